//! The five failures of September 2024, each counted by its name: how often the run was in the situation that broke then, and how
//! often it broke here. The invariants judge; this says what they mean to a buyer.

use serde::{Deserialize, Serialize};

use super::idempotence::NaturalId;
use super::timeline::{self, Acknowledged};
use super::{Case, Evidence, Finding, Replay};
use crate::evidence::{Asked, Op, ScanRecords};
use crate::hash::{Map, Set};
use crate::history::{OrderId, Outcome, PaymentName, PaymentOutcome, WriteAnswer};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure2024 {
    pub name: String,
    /// What it was, for a buyer, and what counts here.
    pub what: String,
    /// Invariants that break with it.
    pub shown_by: Vec<String>,
    /// How often the run was in that situation.
    pub checked: u64,
    pub violations: u64,
}

/// How often the lots' orders were in a situation, and how often it broke.
#[derive(Debug, Default)]
pub struct Counts {
    paid_but_no_quota: (u64, u64),
    paid_twice: (u64, u64),
    burned_stamp: (u64, u64),
}

impl Counts {
    pub fn merge(&mut self, other: &Self) {
        let add = |(checked, broken): &mut (u64, u64), more: (u64, u64)| {
            *checked += more.0;
            *broken += more.1;
        };
        add(&mut self.paid_but_no_quota, other.paid_but_no_quota);
        add(&mut self.paid_twice, other.paid_twice);
        add(&mut self.burned_stamp, other.burned_stamp);
    }
}

#[must_use]
pub fn counts(case: &Case) -> Counts {
    Counts { paid_but_no_quota: paid_but_no_quota(case), paid_twice: paid_twice(case), burned_stamp: burned_stamp(case) }
}

/// In the order of the published accounts.
#[must_use]
pub fn failures_2024(
    evidence: &Evidence,
    replay: &Replay,
    writes: &[Acknowledged],
    counts: &Counts,
    findings: &[Finding],
) -> Vec<Failure2024> {
    let failure = |name: &str, what: &str, shown_by: &[&str], (checked, violations): (u64, u64)| Failure2024 {
        name: name.into(),
        what: what.into(),
        shown_by: shown_by.iter().map(|id| (*id).to_owned()).collect(),
        checked,
        violations,
    };
    let broken = |id: &str| findings.iter().find(|finding| finding.id == id).map_or(0, |finding| finding.violations);
    vec![
        failure(
            "paid-but-no-quota",
            "a payment that was taken has its serials, or is owed back",
            &["V1", "V5"],
            counts.paid_but_no_quota,
        ),
        failure("paid-twice", "a second payment of an order is owed back, whole", &["V5", "V6", "V7"], counts.paid_twice),
        failure(
            "burned-stamp",
            "a document that is stamped again after a broken call gets the same serial",
            &["V2", "V8"],
            counts.burned_stamp,
        ),
        failure(
            "unreachable",
            "while a node was down and a majority up, writes were accepted",
            &["V14"],
            (accepted_in_outages(evidence, writes), broken("V14")),
        ),
        failure(
            "unknown",
            "a call without an answer became known by asking, and the list of what is owed back was right",
            &["V12", "V11"],
            unknown(evidence, replay, findings.iter().find(|finding| finding.id == "V12")),
        ),
    ]
}

fn paid_but_no_quota(case: &Case) -> (u64, u64) {
    let (mut checked, mut violations) = (0, 0);
    for (id, group) in &case.groups {
        let NaturalId::Payment(name) = id else { continue };
        let Some(index) = group.iter().find_map(|op| accepted_at(op)) else { continue };
        checked += 1;
        let mut scans = case.scans().filter(|(_, scan, _)| scan.header.applied_index >= index);
        violations += u64::from(scans.any(|(.., records)| !has_stamps_or_money(records, name)));
    }
    (checked, violations)
}

/// At which log index.
fn accepted_at(op: &Op) -> Option<u64> {
    match &op.known()?.outcome {
        Outcome::Written(written) => Some(written.receipt.place.log_index),
        _ => None,
    }
}

fn has_stamps_or_money(records: &ScanRecords, name: &PaymentName) -> bool {
    let Some(payment) = records.payments.get(name) else { return false };
    let order = records.orders.get(&payment.order);
    let stands = order.is_some_and(|order| order.serials.is_some() && order.paid_by.as_ref() == Some(name));
    (payment.outcome == PaymentOutcome::Applied && stands) || records.refunds.contains_key(name)
}

fn paid_twice(case: &Case) -> (u64, u64) {
    let mut payments: Set<&PaymentName> = Set::default();
    let mut broken: Set<&PaymentName> = Set::default();
    for (.., records) in case.scans() {
        let mut applied: Map<OrderId, &PaymentName> = Map::default();
        for (name, payment) in &records.payments {
            let whole = || records.refunds.get(name).is_some_and(|refund| refund.amount_idr == payment.amount_idr);
            match payment.outcome {
                PaymentOutcome::AlreadyPaid => {
                    payments.insert(name);
                    if !whole() {
                        broken.insert(name);
                    }
                }
                PaymentOutcome::Applied if applied.insert(payment.order, name).is_some() => {
                    payments.insert(name);
                    broken.insert(name);
                }
                _ => {}
            }
        }
    }
    (payments.len() as u64, broken.len() as u64)
}

fn burned_stamp(case: &Case) -> (u64, u64) {
    let (mut checked, mut violations) = (0, 0);
    for (id, group) in &case.groups {
        let NaturalId::Stamp(order, document) = id else { continue };
        let was_broken = group.iter().any(|op| op.answers.first().is_none_or(|answer| is_unknown(&answer.outcome)));
        let answers = group.iter().flat_map(|op| &op.answers);
        let mut numbers: Vec<u64> = answers.filter_map(|answer| stamped(&answer.outcome)).collect();
        if !was_broken || numbers.is_empty() {
            continue;
        }
        checked += 1;
        for (.., records) in case.scans() {
            numbers.extend(records.stampings.get(&(*order, *document)).map(|seen| seen.number));
        }
        violations += u64::from(numbers.iter().any(|number| *number != numbers[0]));
    }
    (checked, violations)
}

const fn is_unknown(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unknown { .. })
}

fn stamped(outcome: &Outcome) -> Option<u64> {
    match outcome {
        Outcome::Written(written) => match written.answer {
            WriteAnswer::Stamped { number, .. } => Some(number),
            _ => None,
        },
        _ => None,
    }
}

fn accepted_in_outages(evidence: &Evidence, writes: &[Acknowledged]) -> u64 {
    let outages = timeline::partial_outages(evidence);
    let within = |outage: &std::ops::Range<u64>| {
        let from = writes.partition_point(|write| write.returned_ns < outage.start);
        let to = writes.partition_point(|write| write.returned_ns < outage.end);
        writes[from..to].iter().filter(|write| write.invoked_ns >= outage.start).count() as u64
    };
    outages.iter().map(within).sum()
}

/// Calls that ended without an answer, and lists of what is owed back.
fn unknown(evidence: &Evidence, replay: &Replay, known: Option<&Finding>) -> (u64, u64) {
    let lists = evidence.moments.iter().filter(|call| call.asked == Asked::RefundsDue).count() as u64;
    let (checked, violations) = known.map_or((0, 0), |finding| (finding.checked, finding.violations));
    (checked + lists, violations + replay.wrong_refund_lists)
}

#[cfg(test)]
mod tests;

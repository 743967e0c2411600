//! The five failures of September 2024, each judged by its name: how often the run was in the situation that broke then, and how
//! often it broke here. The invariants say what broke in the ledger; this says what it means to a buyer. A failure whose situation
//! the scenario should have brought about, and did not, leaves the run inconclusive: nothing was shown of it.

use serde::{Deserialize, Serialize};

use super::idempotence::NaturalId;
use super::timeline::{self, Acknowledged};
use super::{Case, Evidence, Finding, Replay, Violation};
use crate::evidence::{Asked, Op, ScanRecords};
use crate::hash::{Map, Set};
use crate::history::{OrderId, Outcome, PaymentName, PaymentOutcome, WriteAnswer};
use crate::scenario::FailureOf2024;

/// A finding, and what it is shown by. (Fields of `verdict.json` are only ever added.)
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure2024 {
    pub name: String,
    /// What must hold, for a buyer.
    pub what: String,
    /// Invariants that break with it.
    pub shown_by: Vec<String>,
    /// How often the run was in that situation.
    pub checked: u64,
    /// All, also those that are not shown.
    pub violations: u64,
    #[serde(default)]
    pub shown: Vec<Violation>,
    /// Why nothing can be concluded.
    #[serde(default)]
    pub inconclusive: Vec<String>,
}

impl Failure2024 {
    fn of(finding: Finding, shown_by: &[&str], provoked: &[String]) -> Self {
        let finding = match provoked.contains(&finding.id) {
            true => finding.unsure_if_empty("its scenario provokes this failure, and the run was never in its way"),
            false => finding,
        };
        let Finding { id, name, checked, violations, shown, inconclusive, .. } = finding.conclude();
        let shown_by = shown_by.iter().map(|id| (*id).to_owned()).collect();
        Self { name: id, what: name, shown_by, checked, violations, shown, inconclusive }
    }

    /// As an invariant's, with the failure's name for its id.
    #[must_use]
    pub fn finding(&self) -> Finding {
        let mut finding = Finding::new(&self.name, &self.what);
        (finding.checked, finding.violations) = (self.checked, self.violations);
        (finding.shown, finding.inconclusive) = (self.shown.clone(), self.inconclusive.clone());
        finding
    }

    /// In one word or two, for people.
    #[must_use]
    pub fn state(&self) -> String {
        match (self.violations, self.inconclusive.is_empty(), self.checked) {
            (0, false, _) => "unsure".to_owned(),
            (0, true, 0) => "not tried".to_owned(),
            (0, true, _) => "never".to_owned(),
            (count, ..) => format!("{count} TIMES"),
        }
    }
}

fn new(failure: FailureOf2024) -> Finding {
    let what = match failure {
        FailureOf2024::PaidButNoQuota => "a payment that was taken has its serials, or is owed back",
        FailureOf2024::PaidTwice => "a second payment of an order is owed back, whole",
        FailureOf2024::BurnedStamp => "a document that is stamped again after a broken call gets the same serial",
        FailureOf2024::Unreachable => "while a node was down and a majority up, writes were accepted",
        FailureOf2024::Unknown => {
            "a call without an answer became known by asking, and the list of what is owed back was right"
        }
    };
    Finding::new(failure.name(), what)
}

/// What lots show of the failures that are a single order's.
#[derive(Debug)]
pub struct OfOrders([Finding; 3]);

impl Default for OfOrders {
    fn default() -> Self {
        Self([FailureOf2024::PaidButNoQuota, FailureOf2024::PaidTwice, FailureOf2024::BurnedStamp].map(new))
    }
}

impl OfOrders {
    #[must_use]
    pub fn of(case: &Case) -> Self {
        let mut of_orders = Self::default();
        let [no_quota, twice, burned] = &mut of_orders.0;
        paid_but_no_quota(case, no_quota);
        paid_twice(case, twice);
        burned_stamp(case, burned);
        of_orders
    }

    pub fn merge(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(there, more)| there.merge(more));
    }
}

/// In the order of the published accounts.
#[must_use]
pub fn failures_2024(
    evidence: &Evidence,
    replay: &Replay,
    writes: &[Acknowledged],
    of_orders: OfOrders,
    findings: &[Finding],
) -> Vec<Failure2024> {
    let of = |id: &str| findings.iter().find(|finding| finding.id == id);
    let [no_quota, twice, burned] = of_orders.0;
    let unreachable = unreachable(evidence, writes, of("V14"));
    let unknown = unknown(evidence, replay, of("V12"));
    let judged: [(Finding, &[&str]); 5] = [
        (no_quota, &["V1", "V5"]),
        (twice, &["V5", "V6", "V7"]),
        (burned, &["V2", "V8"]),
        (unreachable, &["V14"]),
        (unknown, &["V12", "V11"]),
    ];
    judged.map(|(finding, shown_by)| Failure2024::of(finding, shown_by, &evidence.facts.provoked)).into()
}

fn paid_but_no_quota(case: &Case, finding: &mut Finding) {
    for (id, group) in &case.groups {
        let NaturalId::Payment(name) = id else { continue };
        let Some((op, index)) = group.iter().find_map(|op| Some((op.id(), accepted_at(op)?))) else { continue };
        finding.checked += 1;
        let mut scans = case.scans().filter(|(_, scan, _)| scan.header.applied_index >= index);
        if let Some((node, ..)) = scans.find(|(.., records)| !has_stamps_or_money(records, name)) {
            finding.violated(&[op], Some(index), || {
                format!("payment {} was taken, and node {node} has neither its stamps nor a refund due", text(name))
            });
        }
    }
}

fn text(name: &PaymentName) -> String {
    format!("{}/{}", name.gateway, name.payment_id)
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

fn paid_twice(case: &Case, finding: &mut Finding) {
    let mut payments: Set<&PaymentName> = Set::default();
    let mut broken: Map<&PaymentName, u16> = Map::default();
    for (node, _, records) in case.scans() {
        let mut applied: Map<OrderId, &PaymentName> = Map::default();
        for (name, payment) in &records.payments {
            let whole = || records.refunds.get(name).is_some_and(|refund| refund.amount_idr == payment.amount_idr);
            match payment.outcome {
                PaymentOutcome::AlreadyPaid => {
                    payments.insert(name);
                    if !whole() {
                        broken.insert(name, node);
                    }
                }
                PaymentOutcome::Applied if applied.insert(payment.order, name).is_some() => {
                    payments.insert(name);
                    broken.insert(name, node);
                }
                _ => {}
            }
        }
    }
    finding.checked += payments.len() as u64;
    for (name, node) in broken {
        let ops: Vec<u64> = case.groups.get(&NaturalId::Payment(name)).into_iter().flatten().map(|op| op.id()).collect();
        finding
            .violated(&ops, None, || format!("of the second payment {}, node {node} does not owe the whole back", text(name)));
    }
}

fn burned_stamp(case: &Case, finding: &mut Finding) {
    for (id, group) in &case.groups {
        let NaturalId::Stamp(order, document) = id else { continue };
        let was_broken = group.iter().any(|op| op.answers.first().is_none_or(|answer| is_unknown(&answer.outcome)));
        let answers = group.iter().flat_map(|op| &op.answers);
        let mut numbers: Vec<u64> = answers.filter_map(|answer| stamped(&answer.outcome)).collect();
        if !was_broken || numbers.is_empty() {
            continue;
        }
        finding.checked += 1;
        for (.., records) in case.scans() {
            numbers.extend(records.stampings.get(&(*order, *document)).map(|seen| seen.number));
        }
        if let Some(other) = numbers.iter().find(|number| **number != numbers[0]) {
            let ops: Vec<u64> = group.iter().map(|op| op.id()).collect();
            finding.violated(&ops, None, || {
                format!("one document, whose call broke, has number {} and number {other}", numbers[0])
            });
        }
    }
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

/// `recovery`: V14, whose bound is this failure's too.
fn unreachable(evidence: &Evidence, writes: &[Acknowledged], recovery: Option<&Finding>) -> Finding {
    let mut finding = new(FailureOf2024::Unreachable);
    break_as(&mut finding, recovery);
    finding.checked = accepted_in_outages(evidence, writes);
    finding
}

/// What broke the invariant broke this, too. Why it could not be sure, it says itself.
fn break_as(finding: &mut Finding, invariant: Option<&Finding>) {
    let Some(mut invariant) = invariant.cloned() else { return };
    invariant.inconclusive.clear();
    finding.merge(invariant);
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

/// Calls that ended without an answer (`known`: V12), and lists of what is owed back.
fn unknown(evidence: &Evidence, replay: &Replay, known: Option<&Finding>) -> Finding {
    let mut finding = new(FailureOf2024::Unknown);
    break_as(&mut finding, known);
    finding.checked += evidence.moments.iter().filter(|call| call.asked == Asked::RefundsDue).count() as u64;
    for _ in 0..replay.wrong_refund_lists {
        finding.violated(&[], None, || "a page of what is owed back was not right as of its index: V11 names the call".into());
    }
    finding
}

#[cfg(test)]
mod tests;

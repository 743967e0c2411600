//! V7: the provider's books and the ledger, joined: each charge is a payment of the same order and amount, and nothing is a
//! payment that nobody charged; each pay-out is a settled refund of the same amount and name, and no refund is settled that was
//! not paid out, or paid out twice.

use std::cell::LazyCell;

use smallvec::SmallVec;

use super::idempotence::NaturalId;
use super::{Case, Finding};
use crate::evidence::Op;
use crate::hash::{Map, Set};
use crate::history::{Outcome, PaymentName, ProviderEvent, ProviderStep, Text};

#[must_use]
pub fn provider_and_ledger_agree(case: &Case) -> Finding {
    let mut finding =
        Finding::new("V7", "the provider's books equal the ledger: charges are payments, pay-outs settled refunds");
    let mut charges: Map<&PaymentName, &ProviderEvent> = Map::default();
    for event in case.lot.provider.iter().filter(|event| event.step == ProviderStep::ChargeAccepted) {
        if charges.insert(&event.payment, event).is_some() {
            let id = &event.payment.payment_id;
            finding.unsure(format!("payment {id} was charged twice under one name: the tool's mistake"));
        }
    }
    charged_is_recorded(case, &charges, &mut finding);
    recorded_is_charged(case, &charges, &mut finding);
    notices_are_calls(case, &mut finding);
    let paid_out = paid_out(case, &mut finding);
    paid_out_is_settled(case, &paid_out, &mut finding);
    settled_is_paid_out(case, &paid_out, &mut finding);
    finding.unsure_if_empty("nobody was charged, and no payment is recorded")
}

fn charged_is_recorded(case: &Case, charges: &Map<&PaymentName, &ProviderEvent>, finding: &mut Finding) {
    let mut undelivered = 0;
    for (name, charge) in charges {
        let calls = case.groups.get(&NaturalId::Payment(name)).map_or(&[][..], SmallVec::as_slice);
        let accepted = || calls.iter().filter_map(|op| Some((accepted_at(op)?, op.id())));
        let ops = || accepted().map(|(_, op)| op).collect::<Vec<u64>>();
        for (node, scan, records) in case.scans() {
            finding.checked += 1;
            let (id, index) = (&name.payment_id, Some(scan.header.applied_index));
            match records.payments.get(*name) {
                Some(seen) if (seen.order, seen.amount_idr) == (charge.order, charge.amount_idr) => {}
                Some(seen) => finding.violated(&ops(), index, || {
                    format!("node {node}: payment {id} was charged as {}, {} is recorded", charge.amount_idr, seen.amount_idr)
                }),
                None if accepted().next().is_none() => undelivered += 1,
                None if accepted().any(|(log_index, _)| log_index <= scan.header.applied_index) => {
                    finding.violated(&ops(), index, || {
                        format!("node {node}: payment {id} of {} was charged and accepted, and is not there", charge.amount_idr)
                    });
                }
                // This replica was scanned before it had got there: V1 says so.
                None => {}
            }
        }
    }
    finding.doubt(undelivered, "charges are not in the ledger, and no notice of them was accepted");
}

fn recorded_is_charged(case: &Case, charges: &Map<&PaymentName, &ProviderEvent>, finding: &mut Finding) {
    let noticed: LazyCell<Set<&PaymentName>, _> =
        LazyCell::new(|| case.lot.provider.iter().map(|event| &event.payment).collect());
    let mut uncharged = 0;
    for (node, scan, records) in case.scans() {
        for name in records.payments.keys().filter(|name| !charges.contains_key(*name)) {
            finding.checked += 1;
            // The charge is in the part of the history that is not there.
            if case.evidence.history_is_cut || noticed.contains(name) {
                uncharged += 1;
                continue;
            }
            finding.violated(&[], Some(scan.header.applied_index), || {
                format!("node {node}: payment {} is recorded, and nobody was charged", name.payment_id)
            });
        }
    }
    finding.doubt(uncharged, "payments have no charge in the books, which lack a part");
}

/// By payment, the transfer's name and amount.
type PaidOut<'a> = Map<&'a PaymentName, (&'a Text, i64)>;

fn paid_out<'a>(case: &'a Case, finding: &mut Finding) -> PaidOut<'a> {
    let mut paid_out = PaidOut::default();
    for event in &case.lot.provider {
        let ProviderStep::PaidOut { reference } = &event.step else { continue };
        if paid_out.insert(&event.payment, (reference, event.amount_idr)).is_some() {
            let id = &event.payment.payment_id;
            finding.unsure(format!("the refund of payment {id} was paid out twice: the tool's mistake"));
        }
    }
    paid_out
}

fn paid_out_is_settled(case: &Case, paid_out: &PaidOut, finding: &mut Finding) {
    let mut untold = 0;
    let furthest = case.evidence.scans.values().map(|scan| scan.header.applied_index).max().unwrap_or(0);
    for (node, scan, records) in case.scans() {
        let index = Some(scan.header.applied_index);
        let is_behind = scan.header.applied_index < furthest;
        for (name, (reference, amount_idr)) in paid_out {
            finding.checked += 1;
            let id = &name.payment_id;
            let is_settled = records.refunds.get(*name).is_some_and(|refund| refund.settled.is_some());
            // This replica was scanned before it had got there: V1 says so.
            if is_behind && !is_settled {
                continue;
            }
            let calls = case.groups.get(&NaturalId::Settlement(name)).map_or(&[][..], SmallVec::as_slice);
            let accepted: Vec<u64> = calls.iter().filter(|op| accepted_at(op).is_some()).map(|op| op.id()).collect();
            match records.refunds.get(*name) {
                None => finding.violated(&accepted, index, || {
                    format!("node {node}: {amount_idr} was paid out for payment {id}, which is not owed back")
                }),
                Some(refund) if refund.amount_idr != *amount_idr => finding.violated(&accepted, index, || {
                    format!("node {node}: {amount_idr} was paid out for payment {id}, {} is owed back", refund.amount_idr)
                }),
                Some(refund) => match &refund.settled {
                    Some(settled) if settled.reference == **reference => {}
                    Some(settled) => finding.violated(&accepted, index, || {
                        format!("node {node}: payment {id} was paid back as {reference}, settled as {}", settled.reference)
                    }),
                    // (An answer that was lost, V1 tells.)
                    None if accepted.is_empty() => untold += 1,
                    None => finding.violated(&accepted, index, || {
                        format!("node {node}: payment {id} was paid back, the settlement was accepted, and it is still due")
                    }),
                },
            }
        }
    }
    finding.doubt(untold, "pay-outs are not settled in the ledger, and no settlement of them was accepted");
}

fn settled_is_paid_out(case: &Case, paid_out: &PaidOut, finding: &mut Finding) {
    for (node, scan, records) in case.scans() {
        let index = Some(scan.header.applied_index);
        for (name, refund) in records.refunds.iter().filter(|(name, _)| !paid_out.contains_key(*name)) {
            finding.checked += 1;
            if refund.settled.is_none() {
                continue;
            }
            if case.evidence.history_is_cut {
                finding.unsure("settled refunds have no pay-out in the books, which lack a part");
                continue;
            }
            let id = &name.payment_id;
            finding.violated(&[], index, || format!("node {node}: the refund of payment {id} is settled, and nobody paid it"));
        }
    }
}

/// What the provider counts as delivered, the call of that delivery was told: otherwise the tool's two records disagree.
fn notices_are_calls(case: &Case, finding: &mut Finding) {
    let by_id: Map<u64, &Op> = case.lot.ops.iter().map(|op| (op.id(), op)).collect();
    for event in &case.lot.provider {
        let ProviderStep::NoticeAnswered { op, accepted, .. } = event.step else { continue };
        finding.checked += 1;
        if by_id.get(&op.0).is_none_or(|call| accepted_at(call).is_some() != accepted && !accepted_late(call, accepted)) {
            let id = &event.payment.payment_id;
            finding
                .unsure(format!("the books say accepted: {accepted} of notice {id}, op {} does not: the tool's mistake", op.0));
        }
    }
}

/// At which log index.
fn accepted_at(op: &Op) -> Option<u64> {
    match &op.known()?.outcome {
        Outcome::Written(written) => Some(written.receipt.place.log_index),
        _ => None,
    }
}

/// Given up, noted as not accepted, and answered with success after that.
fn accepted_late(op: &Op, accepted: bool) -> bool {
    !accepted && op.known().is_some_and(|answer| answer.is_late)
}

#[cfg(test)]
mod tests;

//! V8 and V17: however often something was asked or told, it happened once.

use smallvec::SmallVec;

use crate::hash::Map;

use super::{Case, Evidence, Finding};
use crate::evidence::{Moment, Op};
use crate::history::{Digest, OrderId, Outcome, PaymentName, Purpose, Request, SeriesCode, WriteAnswer, Written};

/// What a write is idempotent by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NaturalId<'a> {
    Series(SeriesCode),
    Order(OrderId),
    Payment(&'a PaymentName),
    Cancel(OrderId),
    Void(OrderId),
    Stamp(OrderId, Digest),
    Settlement(&'a PaymentName),
    Policy(u32),
}

impl<'a> NaturalId<'a> {
    /// `None` of a read.
    #[must_use]
    pub fn of(request: &'a Request) -> Option<Self> {
        match request {
            Request::OpenSeries { series, .. } => Some(Self::Series(*series)),
            Request::PlaceOrder { order, .. } => Some(Self::Order(*order)),
            Request::RecordPayment { payment, .. } => Some(Self::Payment(payment)),
            Request::CancelOrder { order } => Some(Self::Cancel(*order)),
            Request::VoidOrder { order } => Some(Self::Void(*order)),
            Request::StampDocument { order, document } => Some(Self::Stamp(*order, *document)),
            Request::SettleRefund { payment, .. } => Some(Self::Settlement(payment)),
            Request::SetPolicy { version, .. } => Some(Self::Policy(*version)),
            Request::GetOrder { .. }
            | Request::GetPayment { .. }
            | Request::VerifySerial { .. }
            | Request::GetPolicy
            | Request::ListRefundsDue { .. }
            | Request::ListOrders(_)
            | Request::ListPayments(_) => None,
        }
    }
}

/// Every write by its id, in the order of their calls: mostly one or two.
pub type Groups<'a> = Map<NaturalId<'a>, SmallVec<[&'a Op; 2]>>;

#[must_use]
pub fn groups(ops: &[Op]) -> Groups<'_> {
    let mut groups: Groups<'_> = Map::with_capacity_and_hasher(ops.len() / 2, Default::default());
    for op in ops {
        if let Some(id) = NaturalId::of(&op.invoke.request) {
            groups.entry(id).or_default().push(op);
        }
    }
    groups
}

fn writes<'a>(group: &[&'a Op]) -> impl Iterator<Item = (&'a Op, &'a Written)> {
    let answers = group.iter().flat_map(|op| op.answers.iter().map(move |answer| (*op, answer)));
    answers.filter_map(|(op, answer)| match &answer.outcome {
        Outcome::Written(written) => Some((op, written)),
        _ => None,
    })
}

/// Equal but for `replayed`, the term of who answered, and printed codes that only one of them has: an answer to a batch may lack
/// them, and whether this one may, V3 says. A gateway's notice is told no serials at all.
fn same_answer(one: &Written, two: &Written) -> bool {
    if matches!(one.answer, WriteAnswer::Noticed { .. }) || matches!(two.answer, WriteAnswer::Noticed { .. }) {
        return one.receipt.place == two.receipt.place && one.answer.payment_outcome() == two.answer.payment_outcome();
    }
    let mut answer = two.answer.clone();
    if let WriteAnswer::Recorded { serials: Some(first), .. } = &one.answer
        && let WriteAnswer::Recorded { serials: Some(second), .. } = &mut answer
        && (first.codes.count == 0 || second.codes.count == 0)
    {
        second.codes = first.codes;
    }
    one.receipt.place == two.receipt.place && one.answer == answer
}

#[must_use]
pub fn same_id_same_answer(case: &Case) -> Finding {
    let mut finding = same_id_finding();
    for group in case.groups.values() {
        let mut answered = writes(group);
        let Some((first_op, first)) = answered.next() else { continue };
        for (op, written) in answered {
            finding.checked += 1;
            let index = Some(written.receipt.place.log_index);
            if op.invoke.request != first_op.invoke.request {
                finding.violated(&[first_op.id(), op.id()], index, || "two bodies were accepted under one id".into());
            } else if !same_answer(first, written) {
                finding.violated(&[first_op.id(), op.id()], index, || {
                    let (one, two) = (first.receipt.place, written.receipt.place);
                    format!("one request was answered {:?} at {one} and {:?} at {two}", first.answer, written.answer)
                });
            }
        }
        finding.checked += group.iter().filter(|op| is_refused_body(op, first_op)).count() as u64;
        // Late answers are of the same call, so count calls, not answers.
        let originals = || writes(group).filter(|(_, written)| !written.receipt.replayed).map(|(op, _)| op.id());
        if originals().any(|op| Some(op) != originals().next()) {
            let mut originals: Vec<u64> = originals().collect();
            originals.dedup();
            let index = Some(first.receipt.place.log_index);
            finding
                .violated(&originals, index, || format!("{} calls with one id say that they were the first", originals.len()));
        }
    }
    finding
}

#[must_use]
pub fn writes_were_sent(evidence: &Evidence) -> Finding {
    let mut finding = same_id_finding();
    if !evidence.moments.iter().any(Moment::is_write) {
        finding.unsure("there was nothing to check: no write was sent");
    }
    finding
}

fn same_id_finding() -> Finding {
    Finding::new("V8", "same id and body, same answer; same id and other body, refused")
}

/// Another body under an id that was taken, and refused as it must be. (That it was refused for this, V11 says.)
fn is_refused_body(op: &Op, first: &Op) -> bool {
    let outcome = op.known().map(|answer| &answer.outcome);
    op.invoke.request != first.invoke.request && matches!(outcome, Some(Outcome::Refused { .. }))
}

#[must_use]
pub fn one_effect_a_notice(case: &Case) -> Finding {
    let mut finding = Finding::new("V17", "n deliveries of a payment notice have one effect, and 2xx only after commit");
    for (_, group) in case.groups.iter().filter(|(id, _)| matches!(id, NaturalId::Payment(_))) {
        for op in group.iter().filter(|op| op.invoke.purpose == Purpose::Forged) {
            finding.checked += 1;
            if op.answers.iter().any(|answer| matches!(answer.outcome, Outcome::Written(_))) {
                finding.violated(&[op.id()], None, || "a notice was accepted that the gateway did not sign".into());
            }
        }
        let mut answered = writes(group);
        let Some((first_op, first)) = answered.next() else { continue };
        for (op, written) in answered {
            if op.invoke.request != first_op.invoke.request {
                continue;
            }
            finding.checked += 1;
            if !same_answer(first, written) {
                finding.violated(&[first_op.id(), op.id()], Some(written.receipt.place.log_index), || {
                    let (one, two) = (first.receipt.place, written.receipt.place);
                    format!("one notice had an effect at {one} and another at {two}")
                });
            }
        }
        // Accepted is what stands in the committed log, as this notice and no other.
        for (op, written) in writes(group) {
            let log = &case.evidence.log;
            let place = written.receipt.place;
            if log.hole.is_some() || place.log_index > log.last_index() {
                continue;
            }
            finding.checked += 1;
            if case.lot.at(place).is_none_or(|there| there.request != op.invoke.request) {
                finding.violated(&[op.id()], Some(place.log_index), || {
                    format!("a notice was accepted as recorded at {place}, and does not stand there in the committed log")
                });
            }
        }
    }
    finding.unsure_if_empty("no payment notice was accepted")
}

#[cfg(test)]
mod tests;

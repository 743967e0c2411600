//! V8 and V17: however often something was asked or told, it happened once.

use crate::hash::Map;

use super::{Case, Finding, Op};
use crate::history::{OrderId, Outcome, PaymentName, ProviderStep, Request, SeriesCode, WriteAnswer, Written};

/// What a write is idempotent by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NaturalId<'a> {
    Series(SeriesCode),
    Order(OrderId),
    Payment(&'a PaymentName),
    Cancel(OrderId),
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
            Request::GetOrder { .. } | Request::GetPayment { .. } | Request::VerifySerial { .. } => None,
        }
    }
}

/// Every write by its id, in the order of their calls.
#[must_use]
pub fn groups(ops: &[Op]) -> Map<NaturalId<'_>, Vec<&Op>> {
    let mut groups: Map<_, Vec<_>> = Map::with_capacity_and_hasher(ops.len() / 2, Default::default());
    for op in ops {
        if let Some(id) = NaturalId::of(&op.invoke.request) {
            groups.entry(id).or_default().push(op);
        }
    }
    groups
}

fn writes<'a>(group: &[&'a Op]) -> Vec<(&'a Op, &'a Written)> {
    let answers = group.iter().flat_map(|op| op.answers.iter().map(move |answer| (*op, answer)));
    answers
        .filter_map(|(op, answer)| match &answer.outcome {
            Outcome::Written(written) => Some((op, written)),
            _ => None,
        })
        .collect()
}

/// Equal but for `replayed` and the term of who answered.
fn same_answer(one: &Written, two: &Written) -> bool {
    one.receipt.place == two.receipt.place && one.answer == two.answer
}

#[must_use]
pub fn same_id_same_answer(case: &Case) -> Finding {
    let mut finding = Finding::new("V8", "same id and body, same answer; same id and other body, refused");
    for group in case.groups.values() {
        finding.checked += 1;
        let writes = writes(group);
        let Some((first_op, first)) = writes.first() else { continue };
        for (op, written) in &writes[1..] {
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
        // Late answers are of the same call, so count calls, not answers.
        let mut originals: Vec<u64> =
            writes.iter().filter(|(_, written)| !written.receipt.replayed).map(|(op, _)| op.id()).collect();
        originals.dedup();
        if originals.len() > 1 {
            let index = Some(first.receipt.place.log_index);
            finding
                .violated(&originals, index, || format!("{} calls with one id say that they were the first", originals.len()));
        }
    }
    finding.or_unsure_if_empty("no write was sent")
}

#[must_use]
pub fn one_effect_a_notice(case: &Case) -> Finding {
    let mut finding = Finding::new("V17", "n deliveries of a payment notice have one effect, and 2xx only after commit");
    for (id, group) in &case.groups {
        if !matches!(id, NaturalId::Payment(_)) {
            continue;
        }
        finding.checked += 1;
        let writes = writes(group);
        let Some((first_op, first)) = writes.first() else { continue };
        for (op, written) in &writes[1..] {
            if op.invoke.request == first_op.invoke.request && !same_answer(first, written) {
                finding.violated(&[first_op.id(), op.id()], Some(written.receipt.place.log_index), || {
                    let (one, two) = (first.receipt.place, written.receipt.place);
                    format!("one notice had an effect at {one} and another at {two}")
                });
            }
        }
        for (op, written) in &writes {
            if let WriteAnswer::Recorded { .. } = written.answer
                && case.evidence.log.hole.is_none()
                && case.replay.at(&case.evidence.log, written.receipt.place).is_none()
            {
                finding.violated(&[op.id()], Some(written.receipt.place.log_index), || {
                    "a notice was accepted and is not in the log".into()
                });
            }
        }
    }
    for event in &case.evidence.provider {
        let ProviderStep::NoticeAnswered { op, accepted: true, .. } = event.step else { continue };
        finding.checked += 1;
        let group = case.groups.get(&NaturalId::Payment(&event.payment));
        let committed = group.is_some_and(|group| !writes(group).is_empty());
        if !committed {
            let id = &event.payment.payment_id;
            finding.violated(&[op.0], None, || format!("notice {id} counts as delivered and no call recorded it"));
        }
    }
    finding.or_unsure_if_empty("no payment notice was sent")
}

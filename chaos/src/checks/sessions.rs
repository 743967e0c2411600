//! V10: an order moves only along the drawn arrows, and a session never reads backwards.

use super::{Case, Finding};
use crate::history::{OrderId, OrderState, Outcome, PaymentOutcome, Place, ReadAnswer, Request};
use crate::model::order_text;

/// An order's state at a place, as somebody saw it; `op` 0: in a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Observed {
    order: OrderId,
    place: Place,
    state: OrderState,
    op: u64,
}

pub(super) fn finding() -> Finding {
    Finding::new("V10", "an order moves only along the drawn arrows; a session never reads backwards")
}

/// Of the lot's orders. (What a session reads is [`super::sweep`]'s.)
#[must_use]
pub fn arrows(case: &Case) -> Finding {
    let mut finding = finding();
    let mut observed = observations(case);
    observed.sort_unstable();
    for pair in observed.windows(2) {
        let [before, after] = [pair[0], pair[1]];
        if before.order != after.order {
            continue;
        }
        finding.checked += 1;
        if !may_become(before.state, after.state) || (before.place == after.place && before.state != after.state) {
            let ops: Vec<u64> = [before.op, after.op].into_iter().filter(|op| *op != 0).collect();
            finding.violated(&ops, Some(after.place.log_index), || {
                let order = order_text(after.order);
                format!("order {order} was {:?} at {} and {:?} at {}", before.state, before.place, after.state, after.place)
            });
        }
    }
    finding.unsure_if_empty("no order was ever seen")
}

/// Over any number of steps.
fn may_become(from: OrderState, to: OrderState) -> bool {
    match from {
        OrderState::AwaitingPayment => true,
        OrderState::Expired => matches!(to, OrderState::Expired | OrderState::Issued | OrderState::Voided),
        OrderState::Issued => matches!(to, OrderState::Issued | OrderState::Voided),
        OrderState::Cancelled | OrderState::Voided => from == to,
    }
}

fn observations(case: &Case) -> Vec<Observed> {
    let mut observed = Vec::new();
    for op in &case.lot.ops {
        for answer in &op.answers {
            let seen = match (&op.invoke.request, &answer.outcome) {
                (Request::GetOrder { order, .. }, Outcome::Read(read)) => match (&read.answer, read.read_index) {
                    (ReadAnswer::Order(seen), Some(index)) => Some((*order, after(index), seen.state)),
                    _ => None,
                },
                (Request::PlaceOrder { order, .. }, Outcome::Written(written)) => {
                    Some((*order, written.receipt.place, OrderState::AwaitingPayment))
                }
                (Request::CancelOrder { order }, Outcome::Written(written)) => {
                    Some((*order, written.receipt.place, OrderState::Cancelled))
                }
                (Request::RecordPayment { order, .. }, Outcome::Written(written)) => {
                    let is_applied = written.answer.payment_outcome() == Some(PaymentOutcome::Applied);
                    is_applied.then_some((*order, written.receipt.place, OrderState::Issued))
                }
                (Request::VoidOrder { order }, Outcome::Written(written)) => {
                    Some((*order, written.receipt.place, OrderState::Voided))
                }
                // Whoever gets a stamp has an issued order at that place.
                (Request::StampDocument { order, .. }, Outcome::Written(written)) => {
                    Some((*order, written.receipt.place, OrderState::Issued))
                }
                _ => None,
            };
            observed.extend(seen.map(|(order, place, state)| Observed { order, place, state, op: op.id() }));
        }
    }
    for (_, scan, records) in case.scans() {
        let place = after(scan.header.applied_index);
        observed.extend(records.orders.values().map(|seen| Observed { order: seen.order, place, state: seen.state, op: 0 }));
    }
    observed
}

/// A read shows the state after the whole entry: behind every place in it.
const fn after(log_index: u64) -> Place {
    Place { log_index, offset: u32::MAX }
}

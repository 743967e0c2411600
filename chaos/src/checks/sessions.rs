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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Evidence;
    use crate::checks::made::{ORDER, OTHER_ORDER, call, judged, lot, order, place, written};
    use crate::evidence::Op;
    use crate::history::{Consistency, OrderSeen, Outcome, Read, WriteAnswer};

    #[test]
    fn an_order_goes_along_these_arrows_alone() {
        use OrderState::{AwaitingPayment, Cancelled, Expired, Issued, Voided};
        let states = [AwaitingPayment, Issued, Cancelled, Expired, Voided];
        for (from, reached) in [
            (AwaitingPayment, &states[..]),
            (Expired, &[Issued, Expired, Voided]),
            (Issued, &[Issued, Voided]),
            (Cancelled, &[Cancelled]),
            (Voided, &[Voided]),
        ] {
            let may: Vec<OrderState> = states.into_iter().filter(|to| may_become(from, *to)).collect();
            assert_eq!(may, reached, "{from:?}");
        }
    }

    fn seen(op: u64, id: OrderId, index: u64, state: OrderState) -> Op {
        let answer = ReadAnswer::Order(Box::new(OrderSeen { order: id, ..order(state) }));
        let read = Read { read_index: Some(index), ledger_time_ms: 1, answer };
        call(op, [op, op], Request::GetOrder { order: id, consistency: Consistency::Linearizable }, Outcome::Read(read))
    }

    #[test]
    fn at_one_place_an_order_has_one_state_and_later_one_that_it_may_have_become() {
        use OrderState::{AwaitingPayment, Cancelled, Issued, Voided};
        let placed = || call(1, [1, 1], place(3), written(2, WriteAnswer::Placed { amount_idr: 1, expires_at_ms: 1 }));
        let rows: [(Vec<Op>, u64, &[u64]); 6] = [
            (vec![placed(), seen(2, ORDER, 5, Issued), seen(3, ORDER, 9, Voided)], 2, &[]),
            (vec![placed(), seen(2, ORDER, 9, Issued), seen(3, ORDER, 5, AwaitingPayment)], 2, &[]),
            (vec![placed(), seen(2, ORDER, 5, Issued), seen(3, ORDER, 9, Cancelled)], 2, &[2, 3]),
            // An arrow leads from one to the other, but not at once.
            (vec![placed(), seen(2, ORDER, 5, AwaitingPayment), seen(3, ORDER, 5, Issued)], 2, &[2, 3]),
            (vec![placed(), seen(2, ORDER, 5, Issued), seen(3, ORDER, 5, Issued)], 2, &[]),
            (vec![seen(2, ORDER, 5, Issued), seen(3, OTHER_ORDER, 5, Cancelled)], 0, &[]),
        ];
        for (ops, checked, broken) in rows {
            let finding = judged(&Evidence::default(), &lot(ops.clone()), arrows);
            let named: Vec<u64> = finding.shown.iter().flat_map(|shown| shown.ops.clone()).collect();
            assert_eq!((finding.checked, named.as_slice()), (checked, broken), "{ops:?}");
        }
    }
}

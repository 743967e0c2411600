//! V10: an order moves only along the drawn arrows, and a session never reads backwards.

use crate::hash::Map;

use super::{Case, Finding, is_linearizable};
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

#[must_use]
pub fn arrows_and_sessions(case: &Case) -> Finding {
    let mut finding = Finding::new("V10", "an order moves only along the drawn arrows; a session never reads backwards");
    arrows(case, &mut finding);
    sessions(case, &mut finding);
    finding.or_unsure_if_empty("no order was ever seen")
}

fn arrows(case: &Case, finding: &mut Finding) {
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
    for op in &case.evidence.ops {
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
    for (_, scan) in case.evidence.distinct_scans() {
        let place = after(scan.header.applied_index);
        observed.extend(scan.records.orders.values().map(|seen| Observed {
            order: seen.order,
            place,
            state: seen.state,
            op: 0,
        }));
    }
    observed
}

/// A read shows the state after the whole entry: behind every place in it.
const fn after(log_index: u64) -> Place {
    Place { log_index, offset: u32::MAX }
}

/// Within a session, a linearizable read is good for everything that the session was answered before it asked.
fn sessions(case: &Case, finding: &mut Finding) {
    let mut by_session: Map<u32, Vec<(u64, bool, u64, u64)>> = Map::default();
    for op in &case.evidence.ops {
        let Some(known) = op.known() else { continue };
        let (index, is_read) = match &known.outcome {
            Outcome::Written(written) => (written.receipt.place.log_index, false),
            Outcome::Read(read) => match (read.read_index, is_linearizable(&op.invoke.request)) {
                (Some(index), true) => (index, true),
                _ => continue,
            },
            _ => continue,
        };
        let session = by_session.entry(op.invoke.session).or_default();
        if is_read {
            session.push((op.invoke.at_ns, false, index, op.id()));
        }
        // At equal times the call comes before the answer: the two overlap.
        session.push((known.at_ns, true, index, op.id()));
    }
    for mut events in by_session.into_values() {
        events.sort_unstable();
        let mut floor = (0, 0);
        for (_, is_answer, index, op) in events {
            if is_answer {
                floor = floor.max((index, op));
                continue;
            }
            finding.checked += 1;
            if index < floor.0 {
                finding.violated(&[floor.1, op], Some(index), || {
                    format!("a session read at index {index} after it had been answered at index {}", floor.0)
                });
            }
        }
    }
}

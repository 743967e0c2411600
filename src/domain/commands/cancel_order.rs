//! `CancelOrder`: gives up an order that waits for its payment, and frees its stamps. A payment that is on its way will be
//! recorded as a refund due.

use super::{Step, series_of_order};
use crate::domain::decision::{Change, Decision, Outcome, Refusal};
use crate::domain::ledger::LedgerView;
use crate::domain::names::OrderId;
use crate::domain::order::OrderState;

pub(super) fn decide<V: LedgerView>(view: &V, step: Step, id: OrderId) -> Result<Decision, V::Error> {
    let Some(mut order) = view.order(id)? else {
        return Ok(Decision::refused(step.place, Refusal::OrderUnknown));
    };
    match order.state {
        OrderState::AwaitingPayment => {}
        // Only a cancel leads to this state, and it has no body that could differ.
        OrderState::Cancelled { place, .. } => return Ok(Decision::replayed(place, Outcome::OrderCancelled)),
        OrderState::Issued { .. } => return Ok(Decision::refused(step.place, Refusal::OrderIssued)),
        OrderState::Expired { .. } => return Ok(Decision::refused(step.place, Refusal::OrderExpired)),
        OrderState::Voided { .. } => return Ok(Decision::refused(step.place, Refusal::OrderVoided)),
    }

    let mut series = series_of_order(view, order.series)?;
    series.release(order.quantity);
    let cancelled = OrderState::Cancelled { place: step.place, at: step.now };
    let before = std::mem::replace(&mut order.state, cancelled);
    let mut totals = view.totals()?;
    totals.count_order(Some(&before), &order);
    let changes = vec![Change::Series(series), Change::Order(order), Change::Totals(totals)];
    Ok(Decision::done(step.place, Outcome::OrderCancelled, changes))
}

//! `VoidOrder`: the buyer gives an issued order back, whole, before any of its stamps is used and within the window of the policy.
//! What the policy gives back is a refund due; the rest is held. The serials are void for ever.

use super::{Step, policy_in_force, series_of_order};
use crate::domain::decision::{Change, Decision, Outcome, Refusal};
use crate::domain::ledger::LedgerView;
use crate::domain::names::OrderId;
use crate::domain::order::{Issue, OrderState};
use crate::domain::refund::{Refund, RefundReason};

pub(super) fn decide<V: LedgerView>(view: &V, step: Step, id: OrderId) -> Result<Decision, V::Error> {
    let refused = |refusal| Ok(Decision::refused(step.place, refusal));
    let Some(mut order) = view.order(id)? else { return refused(Refusal::OrderUnknown) };
    let (issue, stamped) = match &order.state {
        OrderState::Issued { issue, stamped } => (issue.clone(), *stamped),
        // Only a void leads to this state, and it has no body that could differ.
        OrderState::Voided { issue, place, .. } => {
            return Ok(Decision::replayed(*place, Outcome::OrderVoided { refund: refund_of(view, issue)?.amount }));
        }
        OrderState::AwaitingPayment | OrderState::Cancelled { .. } | OrderState::Expired { .. } => {
            return refused(Refusal::OrderNotIssued);
        }
    };
    if stamped > 0 {
        return refused(Refusal::OrderStamped);
    }
    let mut totals = view.totals()?;
    let policy = policy_in_force(view, &totals)?;
    if !policy.allows_void(issue.at, step.now) {
        return refused(Refusal::VoidWindowClosed);
    }

    let mut series = series_of_order(view, order.series)?;
    series.void(order.quantity);
    let refund = Refund {
        payment: issue.paid_by.clone(),
        order: id,
        amount: policy.refund_of(order.amount),
        reason: RefundReason::Void,
        due: step.place,
        due_at: step.now,
        settled: None,
    };
    let voided = OrderState::Voided { issue, place: step.place, at: step.now };
    let before = std::mem::replace(&mut order.state, voided);
    totals.count_order(Some(&before), &order);
    totals.count_refund(&refund);
    totals.held = totals.held.plus(order.amount.minus(refund.amount));
    let outcome = Outcome::OrderVoided { refund: refund.amount };
    let changes = vec![Change::Series(series), Change::Order(order), Change::Refund(refund), Change::Totals(totals)];
    Ok(Decision::done(step.place, outcome, changes))
}

fn refund_of<V: LedgerView>(view: &V, issue: &Issue) -> Result<Refund, V::Error> {
    Ok(view.refund(&issue.paid_by)?.expect("a void makes the refund of its payment, and no refund is ever removed"))
}

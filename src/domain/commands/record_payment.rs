//! `RecordPayment`: money was received. The order's stamps are issued in the same step, so that *paid but not issued* is not
//! a state; money that cannot issue stamps is owed back whole, for a reason that is recorded with it.
//!
//! A waiting order whose time is up stays payable until `ExpireOrders` has taken its reservation away.

use super::{Step, first_unequal, series_of_order};
use crate::domain::decision::{Change, Decision, Outcome, Refusal};
use crate::domain::ledger::LedgerView;
use crate::domain::names::{OrderId, PaymentName, Rupiah};
use crate::domain::order::{Issue, Order, OrderState};
use crate::domain::payment::{Payment, PaymentOutcome};
use crate::domain::refund::{Refund, RefundReason};
use crate::domain::series::Series;

pub(super) fn decide<V: LedgerView>(
    view: &V,
    step: Step,
    name: &PaymentName,
    order: OrderId,
    amount: Rupiah,
) -> Result<Decision, V::Error> {
    if let Some(recorded) = view.payment(name)? {
        return Ok(match first_difference(&recorded, order, amount) {
            Some(field) => Decision::refused(step.place, Refusal::PaymentIdReused { field }),
            None => Decision::replayed(recorded.recorded, Outcome::PaymentRecorded(recorded.outcome)),
        });
    }
    // Planted bug 9: each node's own clock decides.
    #[cfg(feature = "planted-bugs")]
    let now = if crate::planted::is(9) { crate::clock::unix_ms() } else { step.now.0 };
    #[cfg(feature = "planted-bugs")]
    let step = Step { now: crate::domain::LedgerTime(now), ..step };

    let mut totals = view.totals()?;
    let mut changes = Vec::with_capacity(4);
    let outcome = match judge(view, order, amount)? {
        Verdict::RefundDue(reason) => reason,
        Verdict::Issue { mut order, mut series } => {
            let serials = series.issue(order.quantity);
            let issue = Issue { first: serials.first, paid_by: name.clone(), place: step.place, at: step.now };
            let issued = OrderState::Issued { issue, stamped: 0 };
            let before = std::mem::replace(&mut order.state, issued);
            totals.count_order(Some(&before), &order);
            changes.extend([Change::Series(series), Change::Order(order)]);
            PaymentOutcome::Applied(serials)
        }
    };
    let payment =
        Payment { name: name.clone(), order, amount, outcome: outcome.clone(), recorded: step.place, recorded_at: step.now };
    totals.count_payment(&payment);
    if let Some(reason) = RefundReason::of(&payment.outcome) {
        let (due, due_at) = (step.place, step.now);
        let refund = Refund { payment: name.clone(), order, amount, reason, due, due_at, settled: None };
        totals.count_refund(&refund);
        changes.push(Change::Refund(refund));
    }
    changes.extend([Change::Payment(payment), Change::Totals(totals)]);
    Ok(Decision::done(step.place, Outcome::PaymentRecorded(outcome), changes))
}

#[expect(clippy::large_enum_variant, reason = "lives for one call; a box would cost every issue an allocation")]
enum Verdict {
    /// The series has enough free stamps for the order.
    Issue {
        order: Order,
        series: Series,
    },
    RefundDue(PaymentOutcome),
}

/// The reasons in the order of [`PaymentOutcome`]: the first that applies is recorded.
fn judge<V: LedgerView>(view: &V, order: OrderId, amount: Rupiah) -> Result<Verdict, V::Error> {
    let Some(order) = view.order(order)? else {
        return Ok(Verdict::RefundDue(PaymentOutcome::OrderUnknown));
    };
    match order.state {
        OrderState::Cancelled { .. } => return Ok(Verdict::RefundDue(PaymentOutcome::OrderCancelled)),
        OrderState::Voided { .. } => return Ok(Verdict::RefundDue(PaymentOutcome::OrderVoided)),
        OrderState::Issued { .. } => return Ok(Verdict::RefundDue(PaymentOutcome::AlreadyPaid)),
        OrderState::AwaitingPayment | OrderState::Expired { .. } => {}
    }
    // More is wrong too: an order is paid exactly or not at all, and what is owed back is a whole payment.
    if amount != order.amount {
        return Ok(Verdict::RefundDue(PaymentOutcome::WrongAmount));
    }
    let mut series = series_of_order(view, order.series)?;
    if order.is_awaiting_payment() {
        // Its own reservation: the test below cannot fail for it.
        series.release(order.quantity);
    }
    if series.free() < u64::from(order.quantity.get()) {
        return Ok(Verdict::RefundDue(PaymentOutcome::NoStock));
    }
    Ok(Verdict::Issue { order, series })
}

fn first_difference(recorded: &Payment, order: OrderId, amount: Rupiah) -> Option<&'static str> {
    first_unequal([("order_id", recorded.order == order), ("amount_idr", recorded.amount == amount)])
}

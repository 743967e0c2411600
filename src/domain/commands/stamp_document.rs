//! `StampDocument`: puts the order's next unused stamp on a document. The same document again gets the same stamp, so that a
//! broken connection cannot burn one.

use super::Step;
use crate::domain::decision::{Change, Decision, Outcome, Refusal};
use crate::domain::ledger::LedgerView;
use crate::domain::names::{DocumentDigest, OrderId, StampNumber};
use crate::domain::order::OrderState;
use crate::domain::stamping::Stamping;

pub(super) fn decide<V: LedgerView>(view: &V, step: Step, id: OrderId, document: DocumentDigest) -> Result<Decision, V::Error> {
    let refused = |refusal| Ok(Decision::refused(step.place, refusal));
    let Some(mut order) = view.order(id)? else { return refused(Refusal::OrderUnknown) };
    if let Some(there) = view.stamping(id, document)? {
        let outcome = Outcome::DocumentStamped { series: there.series, number: there.number };
        return Ok(Decision::replayed(there.place, outcome));
    }
    let (first, stamped) = match &mut order.state {
        OrderState::Issued { issue, stamped } => (issue.first, stamped),
        OrderState::Voided { .. } => return refused(Refusal::OrderVoided),
        OrderState::AwaitingPayment | OrderState::Cancelled { .. } | OrderState::Expired { .. } => {
            return refused(Refusal::OrderNotIssued);
        }
    };
    if *stamped >= order.quantity.get() {
        return refused(Refusal::OrderExhausted);
    }

    let number = StampNumber::new(first.get() + u64::from(*stamped)).expect("the order's last stamp has a number too");
    *stamped += 1;
    let stamping = Stamping { order: id, document, series: order.series, number, place: step.place, at: step.now };
    let mut totals = view.totals()?;
    totals.stampings += 1;
    let outcome = Outcome::DocumentStamped { series: order.series, number };
    let changes = vec![Change::Order(order), Change::Stamping(stamping), Change::Totals(totals)];
    Ok(Decision::done(step.place, outcome, changes))
}

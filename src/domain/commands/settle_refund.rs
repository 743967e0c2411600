//! `SettleRefund`: the money that was owed back for a payment was paid out. Recorded once; the amount is asked for so that nobody
//! settles another sum than is owed.

use super::{Step, first_unequal};
use crate::domain::decision::{Change, Decision, Outcome, Refusal};
use crate::domain::ledger::LedgerView;
use crate::domain::names::{PaymentName, Rupiah, SettlementReference};
use crate::domain::refund::Settlement;

pub(super) fn decide<V: LedgerView>(
    view: &V,
    step: Step,
    payment: &PaymentName,
    amount: Rupiah,
    reference: &SettlementReference,
) -> Result<Decision, V::Error> {
    let Some(mut refund) = view.refund(payment)? else {
        return Ok(Decision::refused(step.place, Refusal::RefundUnknown));
    };
    if let Some(settled) = &refund.settled {
        let differs = first_unequal([("amount_idr", refund.amount == amount), ("reference", settled.reference == *reference)]);
        return Ok(match differs {
            Some(field) => Decision::refused(step.place, Refusal::RefundReused { field }),
            None => Decision::replayed(settled.place, Outcome::RefundSettled),
        });
    }
    if refund.amount != amount {
        return Ok(Decision::refused(step.place, Refusal::RefundAmountWrong));
    }

    refund.settled = Some(Settlement { reference: reference.clone(), place: step.place, at: step.now });
    let mut totals = view.totals()?;
    totals.count_settlement(&refund);
    Ok(Decision::done(step.place, Outcome::RefundSettled, vec![Change::Refund(refund), Change::Totals(totals)]))
}

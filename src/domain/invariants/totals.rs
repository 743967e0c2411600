//! The totals are the sums of the records, and the ledger's clock is not behind any of them. A sum of money stays at the highest
//! value that its field has room for ([`Rupiah`](crate::domain::Rupiah)); what is counted here has no such bound.

use super::Violation;
use crate::domain::ledger::{LedgerView, MemoryLedger};
use crate::domain::order::OrderState;
use crate::domain::payment::PaymentOutcome;

const IDR_MAX: u128 = u64::MAX as u128;

#[must_use]
pub fn totals_are_the_sums(ledger: &MemoryLedger) -> Vec<Violation> {
    let Ok(kept) = ledger.totals();
    let (mut awaiting, mut issued, mut cancelled, mut expired) = (0, 0, 0, 0);
    let (mut serials, mut issued_value, mut latest) = (0, 0, 0);
    for order in ledger.all_orders() {
        match order.state {
            OrderState::AwaitingPayment => awaiting += 1,
            OrderState::Issued { .. } => {
                issued += 1;
                serials += u128::from(order.quantity.get());
                issued_value += u128::from(order.amount.as_idr());
            }
            OrderState::Cancelled { .. } => cancelled += 1,
            OrderState::Expired { .. } => expired += 1,
        }
        latest = latest.max(order.placed_at.0).max(order.settled().map_or(0, |(_, at)| at.0));
    }
    let (mut applied, mut refunds, mut received, mut refund_due) = (0, 0, 0, 0);
    for payment in ledger.all_payments() {
        let amount = u128::from(payment.amount.as_idr());
        received += amount;
        match payment.outcome {
            PaymentOutcome::Applied(_) => applied += 1,
            _ => {
                refunds += 1;
                refund_due += amount;
            }
        }
        latest = latest.max(payment.recorded_at.0);
    }
    let fields = [
        ("orders_awaiting_payment", kept.orders_awaiting_payment, awaiting),
        ("orders_issued", kept.orders_issued, issued),
        ("orders_cancelled", kept.orders_cancelled, cancelled),
        ("orders_expired", kept.orders_expired, expired),
        ("serials_issued", kept.serials_issued, serials),
        ("payments_applied", kept.payments_applied, applied),
        ("payments_refund_due", kept.payments_refund_due, refunds),
        ("received", kept.received.as_idr(), received.min(IDR_MAX)),
        ("issued_value", kept.issued_value.as_idr(), issued_value.min(IDR_MAX)),
        ("refund_due", kept.refund_due.as_idr(), refund_due.min(IDR_MAX)),
        // Later than every record is fine: entries without an effect move the clock too.
        ("ledger_time", kept.ledger_time.0, kept.ledger_time.0.max(latest).into()),
    ];
    let wrong = fields.into_iter().filter(|(_, kept, counted)| u128::from(*kept) != *counted);
    wrong.map(|(field, kept, counted)| Violation::TotalsWrong { field, kept: kept.into(), counted }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::clean;
    use super::*;
    use crate::domain::{Change, LedgerTime, Rupiah, Totals};

    fn damaged(damage: impl FnOnce(&mut Totals)) -> Vec<Violation> {
        let mut ledger = clean();
        let Ok(mut totals) = ledger.totals();
        damage(&mut totals);
        ledger.absorb(Change::Totals(totals));
        totals_are_the_sums(&ledger)
    }

    #[test]
    fn totals_of_a_clean_ledger_are_its_sums() {
        assert_eq!(totals_are_the_sums(&clean()), []);
    }

    #[test]
    fn a_count_and_a_sum_that_drifted_are_named() {
        let found = damaged(|totals| {
            totals.orders_expired = 0;
            totals.refund_due = Rupiah::from_idr(1);
        });
        let expired = Violation::TotalsWrong { field: "orders_expired", kept: 0, counted: 1 };
        let refund_due = Violation::TotalsWrong { field: "refund_due", kept: 1, counted: 59_999 };
        assert_eq!(found, [expired, refund_due]);
    }

    #[test]
    fn a_record_later_than_the_ledgers_clock_is_named() {
        let found = damaged(|totals| totals.ledger_time = LedgerTime(2_099));
        assert_eq!(found, [Violation::TotalsWrong { field: "ledger_time", kept: 2_099, counted: 2_100 }]);
    }
}

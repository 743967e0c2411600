//! The totals are the sums of the records, and the ledger's clock is not behind any of them. A sum of money stays at the highest
//! value that its field has room for ([`Rupiah`](crate::domain::Rupiah)); what is counted here has no such bound.

use super::Violation;
use crate::domain::ledger::{LedgerView, MemoryLedger};
use crate::domain::order::{Order, OrderState};
use crate::domain::payment::{Payment, PaymentOutcome};

const IDR_MAX: u128 = u64::MAX as u128;

#[must_use]
pub fn totals_are_the_sums(ledger: &MemoryLedger) -> Vec<Violation> {
    let Ok(kept) = ledger.totals();
    let counted = Counted::of(ledger);
    let idr = |sum: u128| sum.min(IDR_MAX);
    let fields = [
        ("orders_awaiting_payment", kept.orders_awaiting_payment, counted.orders[0]),
        ("orders_issued", kept.orders_issued, counted.orders[1]),
        ("orders_cancelled", kept.orders_cancelled, counted.orders[2]),
        ("orders_expired", kept.orders_expired, counted.orders[3]),
        ("orders_voided", kept.orders_voided, counted.orders[4]),
        ("serials_issued", kept.serials_issued, counted.serials_issued),
        ("serials_voided", kept.serials_voided, counted.serials_voided),
        ("stampings", kept.stampings, counted.stampings),
        ("payments.applied", kept.payments.applied, counted.payments[0]),
        ("payments.order_unknown", kept.payments.order_unknown, counted.payments[1]),
        ("payments.order_cancelled", kept.payments.order_cancelled, counted.payments[2]),
        ("payments.order_voided", kept.payments.order_voided, counted.payments[3]),
        ("payments.already_paid", kept.payments.already_paid, counted.payments[4]),
        ("payments.wrong_amount", kept.payments.wrong_amount, counted.payments[5]),
        ("payments.no_stock", kept.payments.no_stock, counted.payments[6]),
        ("refunds", kept.refunds, counted.refunds),
        ("refunds_settled", kept.refunds_settled, counted.refunds_settled),
        ("received", kept.received.as_idr(), idr(counted.received)),
        ("issued_ever", kept.issued_ever.as_idr(), idr(counted.issued_ever)),
        ("voided_value", kept.voided_value.as_idr(), idr(counted.voided_value)),
        ("held", kept.held.as_idr(), idr(counted.held)),
        ("due_ever", kept.due_ever.as_idr(), idr(counted.due_ever)),
        ("refunded", kept.refunded.as_idr(), idr(counted.refunded)),
        ("policy_version", kept.policy_version.into(), counted.policy_version.into()),
        // Later than every record is fine: entries without an effect move the clock too.
        ("ledger_time", kept.ledger_time.0, kept.ledger_time.0.max(counted.latest).into()),
    ];
    let wrong = fields.into_iter().filter(|(_, kept, counted)| u128::from(*kept) != *counted);
    wrong.map(|(field, kept, counted)| Violation::TotalsWrong { field, kept: kept.into(), counted }).collect()
}

/// What the records sum up to.
#[derive(Default)]
struct Counted {
    /// By state: awaiting, issued, cancelled, expired, voided.
    orders: [u128; 5],
    /// By outcome, in the order of [`PaymentOutcome`].
    payments: [u128; 7],
    serials_issued: u128,
    serials_voided: u128,
    stampings: u128,
    refunds: u128,
    refunds_settled: u128,
    received: u128,
    issued_ever: u128,
    voided_value: u128,
    held: u128,
    due_ever: u128,
    refunded: u128,
    policy_version: u32,
    latest: u64,
}

impl Counted {
    fn of(ledger: &MemoryLedger) -> Self {
        let mut counted = Self::default();
        ledger.all_orders().for_each(|order| counted.add_order(ledger, order));
        ledger.all_payments().for_each(|payment| counted.add_payment(payment));
        for refund in ledger.all_refunds() {
            let amount = u128::from(refund.amount.as_idr());
            counted.refunds += 1;
            counted.due_ever += amount;
            counted.latest = counted.latest.max(refund.due_at.0);
            if let Some(settled) = &refund.settled {
                counted.refunds_settled += 1;
                counted.refunded += amount;
                counted.latest = counted.latest.max(settled.at.0);
            }
        }
        for stamping in ledger.all_stampings() {
            counted.stampings += 1;
            counted.latest = counted.latest.max(stamping.at.0);
        }
        for policy in ledger.all_policies() {
            counted.policy_version = policy.terms.version();
            counted.latest = counted.latest.max(policy.set_at.0);
        }
        counted
    }

    fn add_order(&mut self, ledger: &MemoryLedger, order: &Order) {
        let (stamps, amount) = (u128::from(order.quantity.get()), u128::from(order.amount.as_idr()));
        let state = match order.state {
            OrderState::AwaitingPayment => 0,
            OrderState::Issued { .. } => {
                self.serials_issued += stamps;
                1
            }
            OrderState::Cancelled { .. } => 2,
            OrderState::Expired { .. } => 3,
            OrderState::Voided { .. } => {
                self.serials_voided += stamps;
                self.voided_value += amount;
                let refund = order.issue().and_then(|issue| ledger.peek_refund(&issue.paid_by));
                self.held += amount - refund.map_or(0, |refund| u128::from(refund.amount.as_idr())).min(amount);
                4
            }
        };
        self.orders[state] += 1;
        if let Some(issue) = order.issue() {
            self.issued_ever += amount;
            self.latest = self.latest.max(issue.at.0);
        }
        self.latest = self.latest.max(order.placed_at.0).max(order.settled().map_or(0, |(_, at)| at.0));
    }

    fn add_payment(&mut self, payment: &Payment) {
        let outcome = match payment.outcome {
            PaymentOutcome::Applied(_) => 0,
            PaymentOutcome::OrderUnknown => 1,
            PaymentOutcome::OrderCancelled => 2,
            PaymentOutcome::OrderVoided => 3,
            PaymentOutcome::AlreadyPaid => 4,
            PaymentOutcome::WrongAmount => 5,
            PaymentOutcome::NoStock => 6,
        };
        self.payments[outcome] += 1;
        self.received += u128::from(payment.amount.as_idr());
        self.latest = self.latest.max(payment.recorded_at.0);
    }
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
            totals.due_ever = Rupiah::from_idr(1);
        });
        let expired = Violation::TotalsWrong { field: "orders_expired", kept: 0, counted: 1 };
        let due_ever = Violation::TotalsWrong { field: "due_ever", kept: 1, counted: 30_000 + 29_999 + 22_500 };
        assert_eq!(found, [expired, due_ever]);
    }

    #[test]
    fn a_record_later_than_the_ledgers_clock_is_named() {
        let found = damaged(|totals| totals.ledger_time = LedgerTime(2_599));
        assert_eq!(found, [Violation::TotalsWrong { field: "ledger_time", kept: 2_599, counted: 2_600 }]);
    }
}

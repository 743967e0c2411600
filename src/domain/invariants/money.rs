//! received = issued value + held + refund due + refunded. A payment stands for the stamps of one order, once.

use std::collections::BTreeMap;

use super::Violation;
use crate::domain::ledger::MemoryLedger;
use crate::domain::names::{OrderId, PaymentName, Rupiah};
use crate::domain::payment::PaymentOutcome;

/// Counts what came in from the payments, the value of what is issued and was voided from the orders, and what is or was owed
/// back from the refunds. Held is what a voided order cost more than its refund gives.
#[must_use]
pub fn money_adds_up(ledger: &MemoryLedger) -> Vec<Violation> {
    let idr = |amount: Rupiah| u128::from(amount.as_idr());
    let received = ledger.all_payments().map(|payment| idr(payment.amount)).sum();
    let (mut refund_due, mut refunded) = (0, 0);
    for refund in ledger.all_refunds() {
        *if refund.settled.is_none() { &mut refund_due } else { &mut refunded } += idr(refund.amount);
    }
    let (mut issued_value, mut held) = (0, 0);
    for order in ledger.all_orders() {
        let Some(issue) = order.issue() else { continue };
        if order.is_issued() {
            issued_value += idr(order.amount);
        } else {
            let given_back = ledger.peek_refund(&issue.paid_by).map_or(0, |refund| idr(refund.amount));
            held += idr(order.amount).saturating_sub(given_back);
        }
    }
    if received == issued_value + held + refund_due + refunded {
        return Vec::new();
    }
    vec![Violation::MoneyUnaccounted { received, issued_value, held, refund_due, refunded }]
}

/// An order costs its quantity times the face value, and the payment that issued it was exactly that.
#[must_use]
pub fn each_order_is_priced_and_paid_exactly(ledger: &MemoryLedger) -> Vec<Violation> {
    let wrong = ledger.all_orders().filter(|order| {
        let price = ledger
            .peek_series(order.series)
            .map(|series| u128::from(series.face_value.as_idr()) * u128::from(order.quantity.get()));
        let payment = order.issue().and_then(|issue| ledger.peek_payment(&issue.paid_by));
        let paid = payment.map_or(order.amount, |payment| payment.amount);
        price != Some(order.amount.as_idr().into()) || paid != order.amount
    });
    wrong.map(|order| Violation::AmountWrong { order: order.id }).collect()
}

/// Orders that were issued and applied payments belong to each other one to one, and agree on the stamps.
#[must_use]
pub fn each_payment_counts_once(ledger: &MemoryLedger) -> Vec<Violation> {
    let mut found = Vec::new();
    for order in ledger.all_orders() {
        let Some(issue) = order.issue() else { continue };
        let applied = ledger.peek_payment(&issue.paid_by).is_some_and(|payment| {
            payment.order == order.id && order.serials().map(PaymentOutcome::Applied).as_ref() == Some(&payment.outcome)
        });
        if !applied {
            found.push(Violation::IssuedWithoutPayment { order: order.id });
        }
    }
    let mut applied_to: BTreeMap<OrderId, &PaymentName> = BTreeMap::new();
    for payment in ledger.all_payments() {
        let PaymentOutcome::Applied(_) = payment.outcome else { continue };
        let order = payment.order;
        if let Some(first) = applied_to.insert(order, &payment.name) {
            let (first, second) = (first.clone(), payment.name.clone());
            found.push(Violation::PaymentCountedTwice { order, first, second });
            continue;
        }
        if ledger.peek_order(order).is_none_or(|order| order.issue().is_none()) {
            found.push(Violation::AppliedWithoutIssue { payment: payment.name.clone(), order });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{AWAITING, ISSUED, clean, payment};
    use super::*;
    use crate::domain::{Change, Payment};

    fn damage_payment(ledger: &mut MemoryLedger, id: &str, damage: impl FnOnce(&mut Payment)) {
        let mut record = ledger.peek_payment(&payment(id)).expect("in the fixture").clone();
        damage(&mut record);
        ledger.absorb(Change::Payment(record));
    }

    #[test]
    fn money_of_a_clean_ledger_adds_up() {
        assert_eq!(money_adds_up(&clean()), []);
        assert_eq!(each_order_is_priced_and_paid_exactly(&clean()), []);
        assert_eq!(each_payment_counts_once(&clean()), []);
    }

    #[test]
    fn a_payment_that_changed_its_amount_is_missed_in_the_sum_and_at_its_order() {
        let mut ledger = clean();
        damage_payment(&mut ledger, "p1", |record| record.amount = Rupiah::from_idr(1));
        let (issued_value, held) = (60_000, 7_500);
        let (refund_due, refunded) = (29_999 + 22_500, 30_000);
        let received = issued_value + held + refund_due + refunded - 29_999;
        let sum = Violation::MoneyUnaccounted { received, issued_value, held, refund_due, refunded };
        assert_eq!(money_adds_up(&ledger), [sum]);
        assert_eq!(each_order_is_priced_and_paid_exactly(&ledger), [Violation::AmountWrong { order: ISSUED }]);
    }

    #[test]
    fn an_order_that_is_not_its_price_is_named() {
        let mut ledger = clean();
        ledger.damage_order(AWAITING, |order| order.amount = Rupiah::from_idr(29_999));
        assert_eq!(each_order_is_priced_and_paid_exactly(&ledger), [Violation::AmountWrong { order: AWAITING }]);
    }

    #[test]
    fn an_issue_for_a_payment_that_is_owed_back_is_named() {
        let mut ledger = clean();
        damage_payment(&mut ledger, "p1", |record| record.outcome = PaymentOutcome::AlreadyPaid);
        assert_eq!(each_payment_counts_once(&ledger), [Violation::IssuedWithoutPayment { order: ISSUED }]);
    }

    #[test]
    fn two_payments_applied_to_one_order_are_named() {
        let mut ledger = clean();
        let applied = ledger.peek_payment(&payment("p1")).expect("in the fixture").outcome.clone();
        damage_payment(&mut ledger, "p3", |record| record.outcome = applied);
        let twice = Violation::PaymentCountedTwice { order: ISSUED, first: payment("p1"), second: payment("p3") };
        assert_eq!(each_payment_counts_once(&ledger), [twice]);
    }

    #[test]
    fn a_payment_applied_to_an_order_that_is_not_issued_is_named() {
        let mut ledger = clean();
        let applied = ledger.peek_payment(&payment("p1")).expect("in the fixture").outcome.clone();
        damage_payment(&mut ledger, "p4", |record| record.outcome = applied);
        let without = Violation::AppliedWithoutIssue { payment: payment("p4"), order: AWAITING };
        assert_eq!(each_payment_counts_once(&ledger), [without]);
    }
}

//! Sums over the whole ledger, kept as it changes, so that money and stamps can be checked at every log index.

use super::names::{LedgerTime, Rupiah};
use super::order::{Order, OrderState};
use super::payment::{Payment, PaymentOutcome};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    pub orders_awaiting_payment: u64,
    pub orders_issued: u64,
    pub orders_cancelled: u64,
    pub orders_expired: u64,
    pub serials_issued: u64,
    pub payments_applied: u64,
    pub payments_refund_due: u64,
    pub received: Rupiah,
    pub issued_value: Rupiah,
    pub refund_due: Rupiah,
    /// The ledger's clock: the highest time that any entry carried.
    pub ledger_time: LedgerTime,
}

impl Totals {
    /// Counts an order that is new (`before` is none) or took a step.
    pub fn count_order(&mut self, before: Option<&OrderState>, after: &Order) {
        if let Some(before) = before {
            *self.orders_in(before) -= 1;
        }
        *self.orders_in(&after.state) += 1;
        if let Some(serials) = after.serials() {
            self.serials_issued += u64::from(serials.quantity.get());
            self.issued_value = self.issued_value.plus(after.amount);
        }
    }

    /// Counts a payment that is new.
    pub fn count_payment(&mut self, payment: &Payment) {
        self.received = self.received.plus(payment.amount);
        if let PaymentOutcome::Applied(_) = payment.outcome {
            self.payments_applied += 1;
        } else {
            self.payments_refund_due += 1;
            self.refund_due = self.refund_due.plus(payment.amount);
        }
    }

    const fn orders_in(&mut self, state: &OrderState) -> &mut u64 {
        match state {
            OrderState::AwaitingPayment => &mut self.orders_awaiting_payment,
            OrderState::Issued { .. } => &mut self.orders_issued,
            OrderState::Cancelled { .. } => &mut self.orders_cancelled,
            OrderState::Expired { .. } => &mut self.orders_expired,
        }
    }
}

//! Sums over the whole ledger, kept as it changes, so that money and stamps can be checked at every log index.
//!
//! Money is kept as sums of all that ever happened, which only grow; what is there now is the difference of two of them. A sum that
//! has no room for more stays at its highest value ([`Rupiah`]), and all nodes agree on it.

use super::names::{LedgerTime, Rupiah};
use super::order::{Order, OrderState};
use super::payment::{Payment, PaymentOutcome};
use super::refund::Refund;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    pub orders_awaiting_payment: u64,
    pub orders_issued: u64,
    pub orders_cancelled: u64,
    pub orders_expired: u64,
    pub orders_voided: u64,
    /// Stamps of issued orders.
    pub serials_issued: u64,
    /// Stamps of voided orders.
    pub serials_voided: u64,
    /// Stamps on documents.
    pub stampings: u64,
    pub payments: PaymentCounts,
    /// Refunds that ever fell due.
    pub refunds: u64,
    pub refunds_settled: u64,
    pub received: Rupiah,
    /// Of all orders that were ever issued.
    pub issued_ever: Rupiah,
    /// Of those that were voided.
    pub voided_value: Rupiah,
    /// What the voids did not give back.
    pub held: Rupiah,
    /// All refunds that ever fell due.
    pub due_ever: Rupiah,
    pub refunded: Rupiah,
    /// Of the policy in force; 0 is the one that no one set.
    pub policy_version: u32,
    /// The ledger's clock: the highest time that any entry carried.
    pub ledger_time: LedgerTime,
}

/// Recorded payments by what became of them. All but the applied ones fell due, whether they are paid back by now or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PaymentCounts {
    pub applied: u64,
    pub order_unknown: u64,
    pub order_cancelled: u64,
    pub order_voided: u64,
    pub already_paid: u64,
    pub wrong_amount: u64,
    pub no_stock: u64,
}

impl PaymentCounts {
    pub(super) const fn with(&mut self, outcome: &PaymentOutcome) -> &mut u64 {
        match outcome {
            PaymentOutcome::Applied(_) => &mut self.applied,
            PaymentOutcome::OrderUnknown => &mut self.order_unknown,
            PaymentOutcome::OrderCancelled => &mut self.order_cancelled,
            PaymentOutcome::OrderVoided => &mut self.order_voided,
            PaymentOutcome::AlreadyPaid => &mut self.already_paid,
            PaymentOutcome::WrongAmount => &mut self.wrong_amount,
            PaymentOutcome::NoStock => &mut self.no_stock,
        }
    }

    /// That issued nothing.
    #[must_use]
    pub const fn refund_due(&self) -> u64 {
        let Self { applied: _, order_unknown, order_cancelled, order_voided, already_paid, wrong_amount, no_stock } = *self;
        order_unknown + order_cancelled + order_voided + already_paid + wrong_amount + no_stock
    }
}

impl Totals {
    /// Value of the orders that are issued now.
    #[must_use]
    pub const fn issued_value(&self) -> Rupiah {
        self.issued_ever.minus(self.voided_value)
    }

    /// What is owed back now.
    #[must_use]
    pub const fn refund_due(&self) -> Rupiah {
        self.due_ever.minus(self.refunded)
    }

    /// Refunds that are not settled.
    #[must_use]
    pub const fn refunds_due(&self) -> u64 {
        self.refunds - self.refunds_settled
    }

    /// Counts an order that is new (`before` is none) or took a step from state to state.
    pub fn count_order(&mut self, before: Option<&OrderState>, after: &Order) {
        if let Some(before) = before {
            *self.orders_in(before) -= 1;
        }
        *self.orders_in(&after.state) += 1;
        let stamps = u64::from(after.quantity.get());
        match after.state {
            OrderState::Issued { .. } => {
                self.serials_issued += stamps;
                self.issued_ever = self.issued_ever.plus(after.amount);
            }
            OrderState::Voided { .. } => {
                self.serials_issued -= stamps;
                self.serials_voided += stamps;
                self.voided_value = self.voided_value.plus(after.amount);
            }
            OrderState::AwaitingPayment | OrderState::Cancelled { .. } | OrderState::Expired { .. } => {}
        }
    }

    /// Counts a payment that is new.
    pub fn count_payment(&mut self, payment: &Payment) {
        self.received = self.received.plus(payment.amount);
        *self.payments.with(&payment.outcome) += 1;
    }

    /// Counts a refund that fell due.
    pub fn count_refund(&mut self, refund: &Refund) {
        self.refunds += 1;
        self.due_ever = self.due_ever.plus(refund.amount);
    }

    /// Counts a refund that was settled.
    pub fn count_settlement(&mut self, refund: &Refund) {
        self.refunds_settled += 1;
        self.refunded = self.refunded.plus(refund.amount);
    }

    const fn orders_in(&mut self, state: &OrderState) -> &mut u64 {
        match state {
            OrderState::AwaitingPayment => &mut self.orders_awaiting_payment,
            OrderState::Issued { .. } => &mut self.orders_issued,
            OrderState::Cancelled { .. } => &mut self.orders_cancelled,
            OrderState::Expired { .. } => &mut self.orders_expired,
            OrderState::Voided { .. } => &mut self.orders_voided,
        }
    }
}

//! Money that is owed back for one payment, until it is settled.
//!
//! A payment that could not issue stamps is owed back whole, from the entry on that recorded it; the payment of a voided order is
//! owed back in part, by the policy that was in force.

use super::names::{LedgerTime, OrderId, PaymentName, Place, Rupiah, SettlementReference};
use super::payment::PaymentOutcome;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// What it is known by: a payment is owed back at most once.
    pub payment: PaymentName,
    pub order: OrderId,
    pub amount: Rupiah,
    pub reason: RefundReason,
    pub due: Place,
    pub due_at: LedgerTime,
    /// None as long as it is due.
    pub settled: Option<Settlement>,
}

/// The money went back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The transfer's name in the books of whoever paid it out.
    pub reference: SettlementReference,
    pub place: Place,
    pub at: LedgerTime,
}

/// Why: as the payment's outcome says, or because its order was voided later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefundReason {
    OrderUnknown,
    OrderCancelled,
    /// The order was voided before this payment came.
    OrderVoided,
    AlreadyPaid,
    WrongAmount,
    NoStock,
    /// The payment issued stamps, and they were voided.
    Void,
}

impl RefundReason {
    /// In the order of the variants.
    pub const ALL: [Self; 7] = [
        Self::OrderUnknown,
        Self::OrderCancelled,
        Self::OrderVoided,
        Self::AlreadyPaid,
        Self::WrongAmount,
        Self::NoStock,
        Self::Void,
    ];

    /// Stable: a label of metrics, and `REFUND_REASON_` of the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OrderUnknown => "order_unknown",
            Self::OrderCancelled => "order_cancelled",
            Self::OrderVoided => "order_voided",
            Self::AlreadyPaid => "already_paid",
            Self::WrongAmount => "wrong_amount",
            Self::NoStock => "no_stock",
            Self::Void => "void",
        }
    }

    /// Of a payment that issued nothing; none if it issued stamps.
    #[must_use]
    pub const fn of(outcome: &PaymentOutcome) -> Option<Self> {
        match outcome {
            PaymentOutcome::Applied(_) => None,
            PaymentOutcome::OrderUnknown => Some(Self::OrderUnknown),
            PaymentOutcome::OrderCancelled => Some(Self::OrderCancelled),
            PaymentOutcome::OrderVoided => Some(Self::OrderVoided),
            PaymentOutcome::AlreadyPaid => Some(Self::AlreadyPaid),
            PaymentOutcome::WrongAmount => Some(Self::WrongAmount),
            PaymentOutcome::NoStock => Some(Self::NoStock),
        }
    }
}

//! One notice of received money, and what became of it.

use super::names::{LedgerTime, OrderId, PaymentName, Place, Rupiah};
use super::series::SerialRange;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    pub name: PaymentName,
    pub order: OrderId,
    pub amount: Rupiah,
    pub outcome: PaymentOutcome,
    pub recorded: Place,
    pub recorded_at: LedgerTime,
}

/// In order of precedence after `Applied`: the first reason that applies is recorded. All but `Applied` are owed back whole, as a
/// [`Refund`](super::Refund). The proto files keep the same order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PaymentOutcome {
    Applied(SerialRange),
    OrderUnknown,
    OrderCancelled,
    OrderVoided,
    /// A second payment of an issued order.
    AlreadyPaid,
    WrongAmount,
    /// The order had expired, and its series has too few free stamps left.
    NoStock,
}

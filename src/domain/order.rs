//! An order and the states it moves through.

use super::names::{AccountId, LedgerTime, OrderId, PaymentName, Place, Quantity, Rupiah, SeriesCode, StampNumber};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub id: OrderId,
    pub account: AccountId,
    pub series: SeriesCode,
    pub quantity: Quantity,
    /// Quantity times the face value at the time of placing.
    pub amount: Rupiah,
    pub placed: Place,
    pub placed_at: LedgerTime,
    pub expires_at: LedgerTime,
    pub state: OrderState,
}

/// `AwaitingPayment → Issued | Cancelled | Expired`, `Expired → Issued` (late payment, stock left).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderState {
    /// Its stamps are reserved.
    AwaitingPayment,
    Issued {
        first: StampNumber,
        paid_by: PaymentName,
        place: Place,
        at: LedgerTime,
    },
    Cancelled {
        place: Place,
        at: LedgerTime,
    },
    Expired {
        place: Place,
        at: LedgerTime,
    },
}

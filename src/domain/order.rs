//! An order and the states it moves through.

use super::names::{AccountId, LedgerTime, OrderId, PaymentName, Place, Quantity, Rupiah, SeriesCode, StampNumber};
use super::series::SerialRange;

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

impl Order {
    #[must_use]
    pub const fn is_awaiting_payment(&self) -> bool {
        matches!(self.state, OrderState::AwaitingPayment)
    }

    /// Its stamps, once issued.
    #[must_use]
    pub const fn serials(&self) -> Option<SerialRange> {
        match self.state {
            OrderState::Issued { first, .. } => Some(SerialRange { series: self.series, first, quantity: self.quantity }),
            _ => None,
        }
    }

    /// The last step: issue, cancel or expiry. None while it waits for its payment.
    #[must_use]
    pub const fn settled(&self) -> Option<(Place, LedgerTime)> {
        match self.state {
            OrderState::AwaitingPayment => None,
            OrderState::Issued { place, at, .. } | OrderState::Cancelled { place, at } | OrderState::Expired { place, at } => {
                Some((place, at))
            }
        }
    }
}

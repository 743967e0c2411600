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

/// `AwaitingPayment → Issued | Cancelled | Expired`, `Expired → Issued` (late payment, stock left), `Issued → Voided`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderState {
    /// Its stamps are reserved.
    AwaitingPayment,
    Issued {
        issue: Issue,
        /// Stamps put on documents so far, in the order of their numbers: the next one is `issue.first + stamped`.
        stamped: u32,
    },
    Cancelled {
        place: Place,
        at: LedgerTime,
    },
    Expired {
        place: Place,
        at: LedgerTime,
    },
    /// None of its stamps was used; all of them are void for ever.
    Voided {
        issue: Issue,
        place: Place,
        at: LedgerTime,
    },
}

/// Stamps and the payment that they were issued for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    pub first: StampNumber,
    pub paid_by: PaymentName,
    pub place: Place,
    pub at: LedgerTime,
}

impl Order {
    #[must_use]
    pub const fn is_awaiting_payment(&self) -> bool {
        matches!(self.state, OrderState::AwaitingPayment)
    }

    #[must_use]
    pub const fn is_issued(&self) -> bool {
        matches!(self.state, OrderState::Issued { .. })
    }

    /// What was issued, also if it was voided since.
    #[must_use]
    pub const fn issue(&self) -> Option<&Issue> {
        match &self.state {
            OrderState::Issued { issue, .. } | OrderState::Voided { issue, .. } => Some(issue),
            OrderState::AwaitingPayment | OrderState::Cancelled { .. } | OrderState::Expired { .. } => None,
        }
    }

    /// Its stamps, once issued: they stay its own, also when they are void.
    #[must_use]
    pub fn serials(&self) -> Option<SerialRange> {
        self.issue().map(|issue| SerialRange { series: self.series, first: issue.first, quantity: self.quantity })
    }

    /// Stamps put on documents.
    #[must_use]
    pub const fn stamped(&self) -> u32 {
        match self.state {
            OrderState::Issued { stamped, .. } => stamped,
            _ => 0,
        }
    }

    /// The last step from state to state: issue, cancel, expiry or void. None while it waits for its payment.
    #[must_use]
    pub const fn settled(&self) -> Option<(Place, LedgerTime)> {
        match &self.state {
            OrderState::AwaitingPayment => None,
            OrderState::Issued { issue: Issue { place, at, .. }, .. }
            | OrderState::Cancelled { place, at }
            | OrderState::Expired { place, at }
            | OrderState::Voided { place, at, .. } => Some((*place, *at)),
        }
    }
}

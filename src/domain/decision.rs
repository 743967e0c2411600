//! What the rules decided: the answer, and the changes that make it true.

use super::names::{LedgerTime, Place, Rupiah};
use super::order::Order;
use super::payment::{Payment, PaymentOutcome};
use super::series::Series;
use super::totals::Totals;

/// A record's new value. Storage derives its indexes from these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Series(Series),
    Order(Order),
    Payment(Payment),
    Totals(Totals),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub reply: Reply,
    /// Empty for refusals and replays.
    pub changes: Vec<Change>,
}

impl Decision {
    pub(super) const fn done(place: Place, outcome: Outcome, changes: Vec<Change>) -> Self {
        Self { reply: Reply { place, replayed: false, outcome }, changes }
    }

    pub(super) const fn refused(place: Place, refusal: Refusal) -> Self {
        Self::done(place, Outcome::Refused(refusal), Vec::new())
    }

    /// The answer of the execution at `original`, again.
    pub(super) const fn replayed(original: Place, outcome: Outcome) -> Self {
        Self { reply: Reply { place: original, replayed: true, outcome }, changes: Vec::new() }
    }
}

/// The ledger's answer to one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Of the execution that this answers; of a replay, the original's.
    pub place: Place,
    pub replayed: bool,
    pub outcome: Outcome,
}

/// Only facts that never change again, so that a replay can give the same answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    SeriesOpened,
    OrderPlaced { amount: Rupiah, expires_at: LedgerTime },
    PaymentRecorded(PaymentOutcome),
    OrderCancelled,
    OrdersExpired { count: u32 },
    Refused(Refusal),
}

/// In order of precedence: the first that applies is the answer. `proto/stampede/v1/issuance.proto` and the table test keep
/// the same order. A refusal had no effect, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// The id stands for another request; the field is the first that differs.
    #[error("the series exists with a different {field}")]
    SeriesReused { field: &'static str },
    #[error("the order exists with a different {field}")]
    OrderIdReused { field: &'static str },
    #[error("the payment exists with a different {field}")]
    PaymentIdReused { field: &'static str },
    #[error("no series has this code")]
    SeriesUnknown,
    #[error("the series has too few free stamps")]
    StockExhausted,
    #[error("no such order")]
    OrderUnknown,
    #[error("the order is paid and issued")]
    OrderIssued,
    #[error("the order has expired")]
    OrderExpired,
}

impl Refusal {
    /// Stable name on the wire.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::SeriesReused { .. } => "SERIES_REUSED",
            Self::OrderIdReused { .. } => "ORDER_ID_REUSED",
            Self::PaymentIdReused { .. } => "PAYMENT_ID_REUSED",
            Self::SeriesUnknown => "SERIES_UNKNOWN",
            Self::StockExhausted => "STOCK_EXHAUSTED",
            Self::OrderUnknown => "ORDER_UNKNOWN",
            Self::OrderIssued => "ORDER_ISSUED",
            Self::OrderExpired => "ORDER_EXPIRED",
        }
    }

    /// The field that differs, of the `*_REUSED` refusals.
    #[must_use]
    pub const fn field(self) -> Option<&'static str> {
        match self {
            Self::SeriesReused { field } | Self::OrderIdReused { field } | Self::PaymentIdReused { field } => Some(field),
            _ => None,
        }
    }
}

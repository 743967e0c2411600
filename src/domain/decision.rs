//! What the rules decided: the answer, and the changes that make it true.

use super::names::{LedgerTime, Place, Rupiah, SeriesCode, StampNumber};
use super::order::Order;
use super::payment::{Payment, PaymentOutcome};
use super::policy::Policy;
use super::refund::Refund;
use super::series::Series;
use super::stamping::Stamping;
use super::totals::Totals;

/// A record's new value. Storage derives its indexes from these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Series(Series),
    Order(Order),
    Payment(Payment),
    Refund(Refund),
    Stamping(Stamping),
    Policy(Policy),
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
    OrderPlaced {
        amount: Rupiah,
        expires_at: LedgerTime,
    },
    PaymentRecorded(PaymentOutcome),
    OrderCancelled,
    /// What is owed back for it.
    OrderVoided {
        refund: Rupiah,
    },
    DocumentStamped {
        series: SeriesCode,
        number: StampNumber,
    },
    RefundSettled,
    PolicySet,
    OrdersExpired {
        count: u32,
    },
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
    #[error("the refund is settled with a different {field}")]
    RefundReused { field: &'static str },
    #[error("the policy has this version with a different {field}")]
    PolicyVersionReused { field: &'static str },
    #[error("no series has this code")]
    SeriesUnknown,
    #[error("the series has too few free stamps")]
    StockExhausted,
    #[error("no such order")]
    OrderUnknown,
    #[error("nothing is owed back for this payment")]
    RefundUnknown,
    #[error("the order has no stamps: it is not paid")]
    OrderNotIssued,
    #[error("the order is paid and issued")]
    OrderIssued,
    #[error("the order has expired")]
    OrderExpired,
    #[error("the order is voided")]
    OrderVoided,
    #[error("stamps of the order are on documents")]
    OrderStamped,
    #[error("all stamps of the order are on documents")]
    OrderExhausted,
    #[error("the time in which the order could be voided is over")]
    VoidWindowClosed,
    #[error("another amount is owed back for this payment")]
    RefundAmountWrong,
    #[error("the version does not follow that of the policy in force")]
    PolicyVersionSkipped,
}

impl Refusal {
    /// Stable name on the wire.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::SeriesReused { .. } => "SERIES_REUSED",
            Self::OrderIdReused { .. } => "ORDER_ID_REUSED",
            Self::PaymentIdReused { .. } => "PAYMENT_ID_REUSED",
            Self::RefundReused { .. } => "REFUND_REUSED",
            Self::PolicyVersionReused { .. } => "POLICY_VERSION_REUSED",
            Self::SeriesUnknown => "SERIES_UNKNOWN",
            Self::StockExhausted => "STOCK_EXHAUSTED",
            Self::OrderUnknown => "ORDER_UNKNOWN",
            Self::RefundUnknown => "REFUND_UNKNOWN",
            Self::OrderNotIssued => "ORDER_NOT_ISSUED",
            Self::OrderIssued => "ORDER_ISSUED",
            Self::OrderExpired => "ORDER_EXPIRED",
            Self::OrderVoided => "ORDER_VOIDED",
            Self::OrderStamped => "ORDER_STAMPED",
            Self::OrderExhausted => "ORDER_EXHAUSTED",
            Self::VoidWindowClosed => "VOID_WINDOW_CLOSED",
            Self::RefundAmountWrong => "REFUND_AMOUNT_WRONG",
            Self::PolicyVersionSkipped => "POLICY_VERSION_SKIPPED",
        }
    }

    /// The refusal with this name on the wire. `field` is taken of those that name one.
    #[must_use]
    pub fn of_reason(reason: &str, field: &'static str) -> Option<Self> {
        let all = [
            Self::SeriesReused { field },
            Self::OrderIdReused { field },
            Self::PaymentIdReused { field },
            Self::RefundReused { field },
            Self::PolicyVersionReused { field },
            Self::SeriesUnknown,
            Self::StockExhausted,
            Self::OrderUnknown,
            Self::RefundUnknown,
            Self::OrderNotIssued,
            Self::OrderIssued,
            Self::OrderExpired,
            Self::OrderVoided,
            Self::OrderStamped,
            Self::OrderExhausted,
            Self::VoidWindowClosed,
            Self::RefundAmountWrong,
            Self::PolicyVersionSkipped,
        ];
        all.into_iter().find(|refusal| refusal.reason() == reason)
    }

    /// A later state of the ledger may grant what was refused: when stock is free again, the order is there or paid, the money
    /// came, the policy changed. Whoever has an earlier attempt at the same command still under way cannot say that it never
    /// happens. (An order that was cancelled is never issued, and yet refused as one that may be.) The others stand for ever: what a record says of an id, a use or an amount is never taken back.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        match self {
            Self::SeriesUnknown
            | Self::StockExhausted
            | Self::OrderUnknown
            | Self::RefundUnknown
            | Self::OrderNotIssued
            | Self::VoidWindowClosed
            | Self::PolicyVersionSkipped => true,
            Self::SeriesReused { .. }
            | Self::OrderIdReused { .. }
            | Self::PaymentIdReused { .. }
            | Self::RefundReused { .. }
            | Self::PolicyVersionReused { .. }
            | Self::OrderIssued
            | Self::OrderExpired
            | Self::OrderVoided
            | Self::OrderStamped
            | Self::OrderExhausted
            | Self::RefundAmountWrong => false,
        }
    }

    /// The field that differs, of the `*_REUSED` refusals.
    #[must_use]
    pub const fn field(self) -> Option<&'static str> {
        match self {
            Self::SeriesReused { field }
            | Self::OrderIdReused { field }
            | Self::PaymentIdReused { field }
            | Self::RefundReused { field }
            | Self::PolicyVersionReused { field } => Some(field),
            _ => None,
        }
    }
}

//! What a command must have been answered.

use crate::history::coded::{Coded, Decoded, Malformed, coded_enum, coded_struct};
use crate::history::{OrderId, PaymentOutcome, Place, SeriesCode, Text};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Of the execution; of a replay, the original's.
    pub place: Place,
    pub replayed: bool,
    pub answer: Answer,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    SeriesOpened,
    Placed {
        amount_idr: i64,
        expires_at_ms: i64,
    },
    /// `first_number` of the serials, if applied; their series and quantity are the order's.
    Recorded {
        outcome: PaymentOutcome,
        serials: Option<(SeriesCode, u64, u32)>,
    },
    Cancelled,
    Voided {
        refund_idr: i64,
    },
    Stamped {
        series: SeriesCode,
        number: u64,
    },
    RefundSettled,
    PolicySet,
    /// Oldest expiry first.
    Expired {
        orders: Vec<OrderId>,
    },
    /// `differs`: the fields that may be named.
    Refused {
        reason: Text,
        differs: Vec<Text>,
    },
}

coded_struct! {
    Reply { place, replayed, answer }
}

coded_enum! {
    Answer {
        1 SeriesOpened, 2 Placed { amount_idr, expires_at_ms }, 3 Recorded { outcome, serials }, 4 Cancelled,
        5 Voided { refund_idr }, 6 Stamped { series, number }, 7 RefundSettled, 8 PolicySet, 9 Expired { orders },
        10 Refused { reason, differs },
    }
}

impl Answer {
    /// It changed the ledger (if it is no replay).
    #[must_use]
    pub const fn has_effect(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }
}

pub(super) fn executed(place: Place, answer: Answer) -> Reply {
    Reply { place, replayed: false, answer }
}

pub(super) fn replay(place: Place, answer: Answer) -> Reply {
    Reply { place, replayed: true, answer }
}

pub(super) fn refused(place: Place, reason: &str, differs: Vec<Text>) -> Reply {
    Reply { place, replayed: false, answer: Answer::Refused { reason: reason.into(), differs } }
}

pub(super) fn differing(fields: &[(&str, bool)]) -> Vec<Text> {
    fields.iter().filter(|(_, differs)| *differs).map(|(name, _)| (*name).into()).collect()
}

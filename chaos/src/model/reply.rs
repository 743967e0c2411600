//! What a command must have been answered.

use crate::history::{PaymentOutcome, Place, SeriesCode};

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
    Expired,
    /// `differs`: the fields that may be named.
    Refused {
        reason: &'static str,
        differs: Vec<&'static str>,
    },
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

pub(super) fn refused(place: Place, reason: &'static str, differs: Vec<&'static str>) -> Reply {
    Reply { place, replayed: false, answer: Answer::Refused { reason, differs } }
}

pub(super) fn differing(fields: &[(&'static str, bool)]) -> Vec<&'static str> {
    fields.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect()
}

//! What is owed back, by reason: followed as refunds fall due and are settled, so that whoever watches the node reads no refund.
//!
//! Not part of the state, and in no file: it is counted from the index of refunds due when a ledger is opened or installed.

use super::view::{Passed, Source, refunds_due};
use crate::domain::{Refund, RefundReason};
use crate::limits;
use crate::storage::StorageError;

/// As of one log index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RefundsDue([Due; RefundReason::ALL.len()]);

/// Of one reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Due {
    pub refunds: u64,
    /// Rupiah, all of them together: more than one sum of money has room for.
    pub amount_idr: u128,
}

impl RefundsDue {
    /// Reads the records of all that is due.
    pub(super) fn count(source: &impl Source, passed: &Passed) -> Result<Self, StorageError> {
        let (mut counted, mut after) = (Self::default(), None);
        loop {
            let page = refunds_due(source, after, limits::REFUNDS_COUNTED_AT_ONCE, passed)?;
            page.iter().for_each(|refund| counted.follow(None, refund));
            match page.last() {
                Some(last) => after = Some(last.due),
                None => return Ok(counted),
            }
        }
    }

    /// One record was written: `before` is none if it is new.
    pub(super) fn follow(&mut self, before: Option<&Refund>, after: &Refund) {
        if let Some(before) = before.filter(|refund| refund.settled.is_none()) {
            let due = &mut self.0[before.reason as usize];
            due.refunds -= 1;
            due.amount_idr -= u128::from(before.amount.as_idr());
        }
        if after.settled.is_none() {
            let due = &mut self.0[after.reason as usize];
            due.refunds += 1;
            due.amount_idr += u128::from(after.amount.as_idr());
        }
    }

    /// Every reason, also those for which nothing is due.
    pub fn by_reason(&self) -> impl Iterator<Item = (RefundReason, Due)> + '_ {
        RefundReason::ALL.into_iter().zip(self.0)
    }
}

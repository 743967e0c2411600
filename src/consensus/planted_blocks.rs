//! Planted bug 8: a leader hands serial numbers out of a block of its own that no term fences. Who leads again goes on where it
//! had stopped, although another leader has issued those numbers since.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::{Outcome, PaymentOutcome, Reply, SeriesCode, StampNumber};

#[derive(Default)]
pub(super) struct Blocks(Mutex<HashMap<SeriesCode, Block>>);

struct Block {
    /// Of the office in which it was last handed out from.
    term: u64,
    /// One past the highest number that was told.
    next: u64,
    /// Numbers that others have issued, and that the block does not know of.
    missed: u64,
}

impl Blocks {
    /// Puts the block's numbers in place of those that the ledger issued.
    pub(super) fn hand_out(&self, term: u64, mut replies: Vec<Reply>) -> Vec<Reply> {
        let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for reply in replies.iter_mut().filter(|reply| !reply.replayed) {
            let Outcome::PaymentRecorded(PaymentOutcome::Applied(serials)) = &mut reply.outcome else { continue };
            let issued = serials.first.get();
            let block = blocks.entry(serials.series).or_insert(Block { term, next: issued, missed: 0 });
            if block.term != term {
                *block = Block { term, missed: issued.saturating_sub(block.next), ..*block };
            }
            let first = issued.saturating_sub(block.missed);
            block.next = block.next.max(first + u64::from(serials.quantity.get()));
            serials.first = StampNumber::new(first).unwrap_or(serials.first);
        }
        replies
    }
}

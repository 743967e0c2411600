//! Planted bug 1: the client is answered before anything is committed.

use crate::domain::{Command, LedgerTime, Overlay, Place, Reply, apply, clamp_time};
use crate::storage::LedgerStore;

/// What the replies would be if the entry were the next to be applied.
pub(super) fn before_commit<S: LedgerStore>(ledger: &S, at: LedgerTime, commands: &[Command]) -> Option<Vec<Reply>> {
    let log_index = ledger.meta().applied?.index + 1;
    let view = ledger.view();
    let mut overlay = Overlay::new(&view);
    let (now, _) = clamp_time(&overlay, at).ok()?;
    let mut replies = Vec::with_capacity(commands.len());
    for (offset, command) in (0..).zip(commands) {
        let decision = apply(&overlay, Place { log_index, offset }, now, command).ok()?;
        decision.changes.into_iter().try_for_each(|change| overlay.absorb(change)).ok()?;
        replies.push(decision.reply);
    }
    Some(replies)
}

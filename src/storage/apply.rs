//! What one committed entry does to a ledger: shared by every ledger store, on disk and in the simulation, so that all of them
//! count time and digest alike.

use super::digest::EncodedRecord;
use super::{AppliedMembership, CommandBatch, CommittedEntry, EntryBody, LedgerMeta};
use crate::domain::{self, Change, LedgerView, Overlay, Place, Reply, Totals};

/// The net effect of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedEntry {
    /// One for each command; none for blank and membership entries.
    pub replies: Vec<Reply>,
    /// One for each changed record.
    pub changes: Vec<Change>,
    /// `records[i]` is `changes[i]` as it is stored.
    pub records: Vec<EncodedRecord>,
}

/// Decides `entry` over `view`, and brings `meta` to it: position, membership, digest. Writes nothing.
///
/// # Errors
/// The view could not be read; `meta` is as it was.
pub fn apply_entry<V: LedgerView>(view: &V, meta: &mut LedgerMeta, entry: &CommittedEntry) -> Result<AppliedEntry, V::Error> {
    let mut applied = AppliedEntry { replies: Vec::new(), changes: Vec::new(), records: Vec::new() };
    let mut digest = meta.digest;
    if let EntryBody::Commands(batch) = &entry.body {
        (applied.replies, applied.changes) = apply_batch(view, entry.position.index, batch)?;
        applied.records = applied.changes.iter().map(EncodedRecord::of).collect();
        for (change, new) in applied.changes.iter().zip(&applied.records) {
            let old = stored(view, change)?.map(|old| EncodedRecord::of(&old).value);
            digest.replace(&new.key, old.as_deref(), &new.value);
        }
    }
    if let EntryBody::Membership(membership) = &entry.body {
        meta.membership = Some(AppliedMembership { position: Some(entry.position), membership: Some(membership.clone()) });
    }
    meta.digest = digest;
    meta.applied = Some(entry.position);
    Ok(applied)
}

fn apply_batch<V: LedgerView>(view: &V, log_index: u64, batch: &CommandBatch) -> Result<(Vec<Reply>, Vec<Change>), V::Error> {
    let mut overlay = Overlay::new(view);
    let mut totals = view.totals()?;
    // Leaders have different clocks; the ledger's only moves on.
    if batch.proposed_at > totals.ledger_time {
        totals.ledger_time = batch.proposed_at;
        overlay.absorb(Change::Totals(totals.clone()));
    }
    let mut replies = Vec::with_capacity(batch.commands.len());
    for (offset, command) in (0..).zip(&batch.commands) {
        let decision = domain::apply(&overlay, Place { log_index, offset }, totals.ledger_time, command)?;
        decision.changes.into_iter().for_each(|change| overlay.absorb(change));
        replies.push(decision.reply);
    }
    Ok((replies, overlay.into_changes()))
}

/// The record that `change` replaces. Totals that are all zero were never written.
fn stored<V: LedgerView>(view: &V, change: &Change) -> Result<Option<Change>, V::Error> {
    Ok(match change {
        Change::Series(series) => view.series(series.code)?.map(Change::Series),
        Change::Order(order) => view.order(order.id)?.map(Change::Order),
        Change::Payment(payment) => view.payment(&payment.name)?.map(Change::Payment),
        Change::Totals(_) => Some(view.totals()?).filter(|totals| *totals != Totals::default()).map(Change::Totals),
    })
}

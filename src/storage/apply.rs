//! What committed entries do to a ledger: shared by every ledger store, on disk and in the simulation, so that all of them
//! count time and digest alike.

use super::digest::EncodedRecord;
use super::{AppliedMembership, CommandBatch, CommittedEntry, EntryBody, LedgerMeta};
use crate::domain::ledger::Edit;
use crate::domain::{self, LedgerView, Overlay, Place, Reply};

/// The net effect of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedEntry {
    /// One for each command; none for blank and membership entries.
    pub replies: Vec<Reply>,
    /// One for each changed record.
    pub edits: Vec<Edit>,
    /// `records[i]` is the record that `edits[i]` leaves, as it is stored.
    pub records: Vec<EncodedRecord>,
}

/// Applies `entry` to `overlay`, and brings `meta` to it: position, membership, digest. Writes nothing.
///
/// # Errors
/// The view could not be read; `overlay` and `meta` are then good for nothing.
pub fn apply_entry<V: LedgerView>(
    overlay: &mut Overlay<'_, V>,
    meta: &mut LedgerMeta,
    entry: &CommittedEntry,
) -> Result<AppliedEntry, V::Error> {
    let replies = match &entry.body {
        EntryBody::Blank => Vec::new(),
        EntryBody::Commands(batch) => apply_batch(overlay, entry.position.index, batch)?,
        EntryBody::Membership(membership) => {
            meta.membership = Some(AppliedMembership { position: Some(entry.position), membership: Some(membership.clone()) });
            Vec::new()
        }
    };
    meta.applied = Some(entry.position);
    let edits = overlay.take_edits();
    let mut records = Vec::with_capacity(edits.len());
    for edit in &edits {
        let new = EncodedRecord::of(&edit.after);
        let old = edit.before.as_ref().filter(|before| is_stored(before)).map(|before| EncodedRecord::of(before).value);
        meta.digest.replace(&new.key, old.as_deref(), &new.value);
        records.push(new);
    }
    Ok(AppliedEntry { replies, edits, records })
}

fn apply_batch<V: LedgerView>(
    overlay: &mut Overlay<'_, V>,
    log_index: u64,
    batch: &CommandBatch,
) -> Result<Vec<Reply>, V::Error> {
    let (now, clock) = domain::clamp_time(overlay, batch.proposed_at)?;
    if let Some(clock) = clock {
        overlay.absorb(clock)?;
    }
    let mut replies = Vec::with_capacity(batch.commands.len());
    for (offset, command) in (0..).zip(&batch.commands) {
        let decision = domain::apply(overlay, Place { log_index, offset }, now, command)?;
        for change in decision.changes {
            overlay.absorb(change)?;
        }
        replies.push(decision.reply);
    }
    Ok(replies)
}

/// Totals that are all zero were never written: they are those of an empty ledger.
fn is_stored(before: &domain::Change) -> bool {
    !matches!(before, domain::Change::Totals(totals) if *totals == domain::Totals::default())
}

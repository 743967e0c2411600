//! What committed entries do to a ledger: shared by every ledger store, on disk and in the simulation, so that all of them
//! count time and digest alike, and leave the same audit record.

use super::audit::{AuditBody, AuditName, AuditRecord, AuditedCommand};
use super::codec::encode_audit_record;
use super::digest::EncodedRecord;
use super::{AppliedMembership, CommandBatch, CommittedEntry, EntryBody, LedgerMeta, keys};
use crate::domain::ledger::Edit;
use crate::domain::{self, Change, LedgerView, OrderId, OrderState, Overlay, Place, Reply};

/// The net effect of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedEntry {
    /// One for each command; none for blank and membership entries.
    pub replies: Vec<Reply>,
    /// One for each changed record.
    pub edits: Vec<Edit>,
    /// `records[i]` is the record that `edits[i]` leaves, as it is stored.
    pub records: Vec<EncodedRecord>,
    /// What the entry came to, as it is stored.
    pub audit: EncodedRecord,
}

/// Applies `entry` to `overlay`, and brings `meta` to it: position, membership, digest, head of the audit record. Writes nothing.
///
/// # Errors
/// The view could not be read; `overlay` and `meta` are then good for nothing.
pub fn apply_entry<V: LedgerView>(
    overlay: &mut Overlay<'_, V>,
    meta: &mut LedgerMeta,
    entry: &CommittedEntry,
) -> Result<AppliedEntry, V::Error> {
    let body = match &entry.body {
        EntryBody::Blank => AuditBody::Blank,
        EntryBody::Commands(batch) => {
            let commands = apply_batch(overlay, entry.position.index, batch)?;
            AuditBody::Commands { proposed_at: batch.proposed_at, commands }
        }
        EntryBody::Membership(membership) => {
            meta.membership = Some(AppliedMembership { position: Some(entry.position), membership: Some(membership.clone()) });
            AuditBody::Membership(membership.clone())
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
    let ledger_time = overlay.totals()?.ledger_time;
    let record = AuditRecord { position: entry.position, previous: meta.audit_head, ledger_time, body };
    let audit = EncodedRecord { key: keys::audit(entry.position.index), value: encode_audit_record(&record) };
    let head = AuditName::of(&audit.value);
    meta.digest.replace_audit_head(meta.audit_head, head);
    meta.audit_head = head;
    let replies = record.body.commands().iter().map(|audited| audited.reply.clone()).collect();
    Ok(AppliedEntry { replies, edits, records, audit })
}

fn apply_batch<V: LedgerView>(
    overlay: &mut Overlay<'_, V>,
    log_index: u64,
    batch: &CommandBatch,
) -> Result<Vec<AuditedCommand>, V::Error> {
    let (now, clock) = domain::clamp_time(overlay, batch.proposed_at)?;
    if let Some(clock) = clock {
        overlay.absorb(clock)?;
    }
    let mut audited = Vec::with_capacity(batch.commands.len());
    for (offset, command) in (0..).zip(&batch.commands) {
        let decision = domain::apply(overlay, Place { log_index, offset }, now, command)?;
        let expired = decision.changes.iter().filter_map(expired).collect();
        for change in decision.changes {
            overlay.absorb(change)?;
        }
        audited.push(AuditedCommand { command: command.clone(), reply: decision.reply, expired });
    }
    Ok(audited)
}

/// The order that a change expires: who was told nothing, because nobody had asked.
fn expired(change: &Change) -> Option<OrderId> {
    match change {
        Change::Order(order) if matches!(order.state, OrderState::Expired { .. }) => Some(order.id),
        _ => None,
    }
}

/// Totals that are all zero were never written: they are those of an empty ledger.
fn is_stored(before: &Change) -> bool {
    !matches!(before, Change::Totals(totals) if *totals == domain::Totals::default())
}

//! What committed entries do to a ledger: shared by every ledger store, on disk and in the simulation, so that all of them
//! count time and digest alike, and leave the same audit record.

use super::audit::AuditName;
use super::codec::{Audited, encode_audited};
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
    let (mut replies, mut expired, mut of_cluster) = (Vec::new(), Vec::new(), None);
    match &entry.body {
        EntryBody::Blank => {}
        EntryBody::Commands(batch) => {
            (replies, expired) = apply_batch(overlay, entry.position.index, batch)?;
            if let Some(command) = &batch.cluster {
                let now = overlay.totals()?.ledger_time;
                of_cluster = Some(meta.cluster.apply(command, meta.membership.as_ref(), now));
            }
        }
        EntryBody::Membership(membership) => {
            meta.cluster.membership_changes(meta.membership.as_ref(), membership);
            meta.membership = Some(AppliedMembership { position: Some(entry.position), membership: Some(membership.clone()) });
        }
    }
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
    let body = match &entry.body {
        EntryBody::Blank => Audited::Blank,
        EntryBody::Commands(batch) => Audited::Commands {
            batch,
            replies: replies.iter().collect(),
            expired: expired.iter().map(|(offset, orders)| (*offset, orders.as_slice())).collect(),
            cluster: of_cluster,
        },
        EntryBody::Membership(membership) => Audited::Membership(membership),
    };
    let value = encode_audited(entry.position, meta.audit_head, ledger_time, body);
    let audit = EncodedRecord { key: keys::audit(entry.position.index), value };
    let head = AuditName::of(&audit.value);
    meta.digest.replace_audit_head(meta.audit_head, head);
    meta.audit_head = head;
    Ok(AppliedEntry { replies, edits, records, audit })
}

/// Of an `ExpireOrders`: its offset, and what it expired.
type Expired = (u32, Vec<OrderId>);

fn apply_batch<V: LedgerView>(
    overlay: &mut Overlay<'_, V>,
    log_index: u64,
    batch: &CommandBatch,
) -> Result<(Vec<Reply>, Vec<Expired>), V::Error> {
    let (now, clock) = domain::clamp_time(overlay, batch.proposed_at)?;
    if let Some(clock) = clock {
        overlay.absorb(clock)?;
    }
    let (mut replies, mut all_expired) = (Vec::with_capacity(batch.commands.len()), Vec::new());
    for (offset, command) in (0..).zip(&batch.commands) {
        let decision = domain::apply(overlay, Place { log_index, offset }, now, command)?;
        let expired: Vec<OrderId> = decision.changes.iter().filter_map(expired).collect();
        if !expired.is_empty() {
            all_expired.push((offset, expired));
        }
        for change in decision.changes {
            overlay.absorb(change)?;
        }
        replies.push(decision.reply);
    }
    Ok((replies, all_expired))
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

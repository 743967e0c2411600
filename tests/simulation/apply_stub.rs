use stampede::domain::{Change, LedgerView, Overlay, Place, Reply, apply, clamp_time};
use stampede::storage::digest::EncodedRecord;
use stampede::storage::{AppliedMembership, CommittedEntry, EntryBody, LedgerMeta, StorageError};

pub struct Applied {
    pub changes: Vec<Change>,
    pub replies: Vec<Reply>,
}

pub fn apply_entry<V: LedgerView<Error = StorageError>>(
    view: &V,
    meta: &mut LedgerMeta,
    entry: &CommittedEntry,
) -> Result<Applied, StorageError> {
    let mut overlay = Overlay::new(view);
    let mut replies = Vec::new();
    match &entry.body {
        EntryBody::Blank => {}
        EntryBody::Membership(membership) => {
            meta.membership = Some(AppliedMembership { position: Some(entry.position), membership: Some(membership.clone()) });
        }
        EntryBody::Commands(batch) => {
            let (now, clock) = clamp_time(&overlay, batch.proposed_at)?;
            clock.into_iter().for_each(|change| overlay.absorb(change));
            for (offset, command) in (0..).zip(&batch.commands) {
                let decision = apply(&overlay, Place { log_index: entry.position.index, offset }, now, command)?;
                decision.changes.into_iter().for_each(|change| overlay.absorb(change));
                replies.push(decision.reply);
            }
        }
    }
    let changes = overlay.into_changes();
    for change in &changes {
        let new = EncodedRecord::of(change);
        let old = match change {
            Change::Series(series) => view.series(series.code)?.map(Change::Series),
            Change::Order(order) => view.order(order.id)?.map(Change::Order),
            Change::Payment(payment) => view.payment(&payment.name)?.map(Change::Payment),
            Change::Totals(_) => {
                let totals = view.totals()?;
                if totals == Default::default() { None } else { Some(Change::Totals(totals)) }
            }
        };
        let old = old.map(|old| EncodedRecord::of(&old).value);
        meta.digest.replace(&new.key, old.as_deref(), &new.value);
    }
    meta.applied = Some(entry.position);
    Ok(Applied { changes, replies })
}

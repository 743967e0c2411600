//! Whether a history is one that the rules allow: every entry is applied again to a ledger in memory, and must leave the very
//! bytes that were recorded.

use std::convert::Infallible;

use super::{AuditBody, AuditRecord, AuditedCommand, Chain};
use crate::domain::invariants::{self, Violation};
use crate::domain::{MemoryLedger, Overlay, Place};
use crate::storage::{CommittedEntry, EntryBody, LedgerMeta, StorageError, apply_entry};

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReplayError {
    /// The chain is broken.
    #[error(transparent)]
    Damaged(#[from] StorageError),
    #[error("command {place}: recorded was {recorded}, the rules say {ruled}")]
    Differs { place: Place, recorded: String, ruled: String },
    #[error("entry {index}: the recorded {what} is not what the rules make of it")]
    EntryDiffers { index: u64, what: &'static str },
}

/// A ledger that grows with the records that are fed to it, from the first one on.
#[derive(Debug, Default)]
pub struct Replay {
    meta: LedgerMeta,
    ledger: MemoryLedger,
}

impl Replay {
    /// Where it has got to: position, state digest, head.
    #[must_use]
    pub fn meta(&self) -> &LedgerMeta {
        &self.meta
    }

    #[must_use]
    pub fn ledger(&self) -> &MemoryLedger {
        &self.ledger
    }

    /// Takes the next record: the bytes that its name is made of.
    ///
    /// # Errors
    /// It does not follow, or the rules make something else of its commands. The replay is then good for nothing.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<AuditRecord, ReplayError> {
        let mut chain = match self.meta.applied {
            None => Chain::from_genesis(),
            Some(applied) => Chain::behind(applied, self.meta.audit_head),
        };
        let record = chain.follow(bytes)?;
        let mut meta = self.meta.clone();
        let Ok(applied) = self.apply(&mut meta, &record);
        if applied != bytes {
            return Err(self.difference(&record, &applied));
        }
        self.meta = meta;
        Ok(record)
    }

    /// What the rules leave of the record's entry, as bytes.
    fn apply(&mut self, meta: &mut LedgerMeta, record: &AuditRecord) -> Result<Vec<u8>, Infallible> {
        let applied = apply_entry(&mut Overlay::new(&self.ledger), meta, &entry_of(record))?;
        applied.edits.into_iter().for_each(|edit| self.ledger.absorb(edit.after));
        Ok(applied.audit.value)
    }

    fn difference(&self, recorded: &AuditRecord, applied: &[u8]) -> ReplayError {
        let index = recorded.position.index;
        let ruled = match crate::storage::codec::decode_audit_record(applied) {
            Ok(ruled) => ruled,
            Err(error) => return error.into(),
        };
        let pairs = recorded.body.commands().iter().zip(ruled.body.commands());
        let differs = (0..).zip(pairs).find(|(_, (recorded, ruled))| recorded != ruled);
        if let Some((offset, (recorded, ruled))) = differs {
            let place = Place { log_index: index, offset };
            return ReplayError::Differs { place, recorded: outcome(recorded), ruled: outcome(ruled) };
        }
        let what = if recorded.ledger_time == ruled.ledger_time { "encoding" } else { "time" };
        ReplayError::EntryDiffers { index, what }
    }

    /// Every invariant over the ledger as it is now; empty if all hold.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        invariants::violations(&self.ledger)
    }
}

fn outcome(audited: &AuditedCommand) -> String {
    let replayed = if audited.reply.replayed { ", again" } else { "" };
    format!("{:?} of {}{replayed}, {} expired", audited.reply.outcome, audited.reply.place, audited.expired.len())
}

fn entry_of(record: &AuditRecord) -> CommittedEntry {
    let body = match &record.body {
        AuditBody::Blank => EntryBody::Blank,
        AuditBody::Membership(membership) => EntryBody::Membership(membership.clone()),
        AuditBody::Commands { batch, .. } => EntryBody::Commands(batch.clone()),
    };
    CommittedEntry { position: record.position, body }
}

//! The audit record: what every log entry came to, one record for each index from 0 on, kept as long as the ledger.
//!
//! The Raft log forgets what a snapshot covers, and the ledger keeps the last state of each order; the audit record keeps every
//! command with its outcome, refusals and replays included. It is part of the ledger: written in the same batch as the changes,
//! and in every snapshot.
//!
//! Each record holds the name of the one before it, and its own name is the BLAKE3 of its bytes. So the newest name (the *head*)
//! stands for the whole history: nobody can change, drop or add a record without another head. The state digest covers the
//! head, so replicas that disagree about the past disagree in their digests, and `audit_head` of an earlier day, noted
//! somewhere else, is enough to convict a history that was rewritten since. What a chain cannot tell is whether its owner made
//! all of it anew and nobody noted a head.

mod replay;

pub use replay::{Replay, ReplayError};

use super::cluster::ClusterOutcome;
use super::codec::{corrupt, decode_audit_link, decode_audit_record};
use super::{CommandBatch, LogPosition, Membership, StorageError};
use crate::domain::{Command, LedgerTime, OrderId, Reply};

/// What an audit record is called: the BLAKE3 of its bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AuditName(pub [u8; 32]);

impl AuditName {
    /// What the first record names as the one before it.
    pub const GENESIS: Self = Self([0; 32]);

    #[must_use]
    pub fn of(record: &[u8]) -> Self {
        Self(*blake3::hash(record).as_bytes())
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// 64 lower-case hexadecimal digits.
impl std::fmt::Display for AuditName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What one log entry came to.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRecord {
    pub position: LogPosition,
    pub previous: AuditName,
    /// After the entry.
    pub ledger_time: LedgerTime,
    pub body: AuditBody,
}

#[derive(Debug, Clone, PartialEq)]
pub enum AuditBody {
    Blank,
    /// `batch`: what stands in the log; `commands`: the same with what came of each.
    Commands {
        batch: CommandBatch,
        commands: Vec<AuditedCommand>,
        /// Of the batch's cluster command, if it has one.
        cluster: Option<ClusterOutcome>,
    },
    Membership(Membership),
}

impl AuditBody {
    /// Of an entry that carries none: none.
    #[must_use]
    pub fn commands(&self) -> &[AuditedCommand] {
        match self {
            Self::Commands { commands, .. } => commands,
            Self::Blank | Self::Membership(_) => &[],
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedCommand {
    pub command: Command,
    pub reply: Reply,
    /// What an `ExpireOrders` expired, oldest expiry first; of any other command none.
    pub expired: Vec<OrderId>,
}

/// Follows the records, one after the other, and stops at the first that does not belong where it stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chain {
    /// None: the first record may be any.
    next_index: Option<u64>,
    head: AuditName,
    /// Of the newest record: a later leader's is never lower.
    term: u64,
}

impl Chain {
    /// From the first record there ever was.
    #[must_use]
    pub const fn from_genesis() -> Self {
        Self { next_index: Some(0), head: AuditName::GENESIS, term: 0 }
    }

    /// Begins behind the record at `position` with the name `head`.
    #[must_use]
    pub const fn behind(position: LogPosition, head: AuditName) -> Self {
        // No log comes to the last of all numbers: what claims to is found to follow nothing.
        Self { next_index: Some(position.index.saturating_add(1)), head, term: position.term }
    }

    /// Begins with whatever record comes first: what it calls the one before it is taken on trust.
    #[must_use]
    pub const fn from_anywhere() -> Self {
        Self { next_index: None, head: AuditName::GENESIS, term: 0 }
    }

    /// The name of the newest record.
    #[must_use]
    pub const fn head(&self) -> AuditName {
        self.head
    }

    /// # Errors
    /// [`StorageError::Corrupt`]: `bytes` are no audit record, or not the one that follows.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<AuditRecord, StorageError> {
        let record = decode_audit_record(bytes)?;
        self.link(record.position, record.previous, bytes)?;
        Ok(record)
    }

    /// The same, for whoever wants to know nothing else of it: the rest of a record is vouched for by its name.
    ///
    /// # Errors
    /// As [`Self::follow`].
    pub fn follow_unread(&mut self, bytes: &[u8]) -> Result<LogPosition, StorageError> {
        let (position, previous) = decode_audit_link(bytes)?;
        self.link(position, previous, bytes)?;
        Ok(position)
    }

    fn link(&mut self, position: LogPosition, previous: AuditName, bytes: &[u8]) -> Result<(), StorageError> {
        let what = || format!("audit record {}", position.index);
        if let Some(expected) = self.next_index {
            if position.index != expected {
                return Err(corrupt(&what(), format_args!("stands where {expected} is due")));
            }
            if previous != self.head {
                let cause = format_args!("follows a record named {previous}, but {} comes before it", self.head);
                return Err(corrupt(&what(), cause));
            }
        }
        if position.term < self.term {
            return Err(corrupt(&what(), format_args!("is of term {}, behind one of {}", position.term, self.term)));
        }
        *self = Self::behind(position, AuditName::of(bytes));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::codec::encode_audit_record;

    fn blank(index: u64, previous: AuditName) -> Vec<u8> {
        encode_audit_record(&AuditRecord { position: at(index), previous, ledger_time: LedgerTime(5), body: AuditBody::Blank })
    }

    fn at(index: u64) -> LogPosition {
        LogPosition { term: 1, index }
    }

    fn three() -> [Vec<u8>; 3] {
        let first = blank(0, AuditName::GENESIS);
        let second = blank(1, AuditName::of(&first));
        let third = blank(2, AuditName::of(&second));
        [first, second, third]
    }

    fn follow(mut chain: Chain, records: &[&Vec<u8>]) -> Result<AuditName, StorageError> {
        let mut unread = chain;
        for record in records {
            let (read, passed) = (chain.follow(record), unread.follow_unread(record));
            // What is only damaged inside is found by whoever reads it, and by the next link.
            assert!(read.is_err() || passed.is_ok(), "{passed:?}");
            read?;
        }
        assert_eq!(chain, unread);
        Ok(chain.head())
    }

    #[test]
    fn a_chain_ends_with_the_name_of_its_last_record() {
        let [first, second, third] = &three();
        let head = AuditName::of(third);
        assert_eq!(follow(Chain::from_genesis(), &[first, second, third]), Ok(head));
        assert_eq!(follow(Chain::behind(at(0), AuditName::of(first)), &[second, third]), Ok(head));
        assert_eq!(follow(Chain::from_anywhere(), &[second, third]), Ok(head));
    }

    #[test]
    fn a_record_that_is_missing_moved_or_changed_breaks_the_chain() {
        let [first, second, third] = &three();
        assert!(follow(Chain::from_genesis(), &[second]).is_err());
        assert!(follow(Chain::from_genesis(), &[first, third]).is_err());
        assert!(follow(Chain::from_genesis(), &[first, first]).is_err());
        assert!(follow(Chain::from_anywhere(), &[third, second]).is_err());
        let other = &blank(1, AuditName([7; 32]));
        assert!(follow(Chain::from_genesis(), &[first, other]).is_err());
        assert!(follow(Chain::behind(at(0), AuditName([7; 32])), &[second]).is_err());
        let earlier_term = Chain::behind(LogPosition { term: 2, index: 0 }, AuditName::of(first));
        assert!(follow(earlier_term, &[second]).is_err());
        assert!(follow(Chain::from_anywhere(), &[&blank(u64::MAX, AuditName::GENESIS)]).is_ok(), "no number is too large");
        let mut flipped = second.clone();
        *flipped.last_mut().unwrap() ^= 1;
        assert!(follow(Chain::from_genesis(), &[first, &flipped, third]).is_err());
    }
}

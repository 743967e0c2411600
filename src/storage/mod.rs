//! The Raft log and the ledger on disk: RocksDB and nothing else.
//!
//! Two stores, each a RocksDB of its own under the data directory: the *log* (`log/`), every write synced before it is
//! reported; and the *ledger* (`ledger/`), written in one batch per apply and not synced: what a crash loses is replayed from
//! the log, which is never purged past what a durable snapshot holds.
//!
//! Consensus drives both through [`LogStore`] and [`LedgerStore`]; the simulation brings twins of its own that lose what was
//! not synced. Every [`StorageError`] means *stop*: the node cannot go on, and says why.

pub mod apply;
pub mod audit;
pub mod cluster;
pub mod codec;
pub mod crash_point;
pub mod data_dir;
pub mod digest;
mod figures;
mod files;
pub mod keys;
pub mod ledger;
pub mod log;
mod report;
pub mod snapshot;

use std::future::Future;
use std::ops::Range;

use bytes::Bytes;

pub use apply::{AppliedEntry, apply_entry};
pub use audit::AuditName;
pub use cluster::{ClusterCommand, ClusterState};
pub use data_dir::DataDir;
pub use figures::{DiskFigures, StoreFigures};
pub use ledger::{Due, LedgerScan, Page, RefundsDue, RocksLedger, RocksView};
pub use log::RocksLog;
pub use report::{StoreReport, end_of_file};
pub use snapshot::{RocksSnapshot, SnapshotReceiver};

use crate::domain::{Command, LedgerTime, LedgerView, Reply};
pub use crate::proto::storage::{AppliedMembership, LogPosition, Membership, Vote};

/// The node cannot go on. Never retried, never read as "nothing there".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// A read, write or sync failed.
    #[error("{operation}: {cause}")]
    Io { operation: &'static str, cause: String },
    /// Something is there and cannot be what was written.
    #[error("{what} is damaged: {cause}")]
    Corrupt { what: String, cause: String },
    /// Log and ledger do not fit together, or belong to another format.
    #[error("{0}")]
    Unusable(String),
}

/// One encoded [`crate::proto::storage::LogEntry`].
#[derive(Debug, Clone)]
pub struct LogRecord {
    pub index: u64,
    pub bytes: Bytes,
}

/// A write to the log. Writes are durable in the order in which they were given.
#[derive(Debug)]
pub enum LogWrite {
    /// Consecutive, following the last record.
    Append(Vec<LogRecord>),
    /// Forget `from_index` and everything after it.
    Truncate {
        from_index: u64,
    },
    /// Forget everything up to and with `through`.
    Purge {
        through: LogPosition,
    },
    SaveVote(Vote),
    SaveCommitted(Option<LogPosition>),
}

/// Called once, after the write is synced or has failed. A failed write is for ever: every later one fails too.
pub type WriteDone = Box<dyn FnOnce(Result<(), StorageError>) + Send>;

/// What a log holds when it is opened.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogState {
    pub vote: Option<Vote>,
    pub committed: Option<LogPosition>,
    pub purged: Option<LogPosition>,
    /// Of the last record; `purged` if there is none.
    pub last: Option<LogPosition>,
}

/// The Raft log on disk: one FIFO of writes, each reported after its sync.
pub trait LogStore: Clone + Send + Sync + 'static {
    /// Queues `write` and returns at once.
    fn write(&self, write: LogWrite, done: WriteDone);

    /// The durable state; meant for start-up, before the first write.
    fn state(&self) -> impl Future<Output = Result<LogState, StorageError>> + Send;

    /// Records of `range` that are on disk, in order and without a hole; the first may be missing only if it was purged.
    /// Records whose write is still queued may be missing at the end: the caller keeps those in memory.
    fn read(&self, range: Range<u64>) -> impl Future<Output = Result<Vec<LogRecord>, StorageError>> + Send;
}

/// A committed entry, to be applied.
#[derive(Debug, Clone)]
pub struct CommittedEntry {
    pub position: LogPosition,
    pub body: EntryBody,
}

#[derive(Debug, Clone)]
pub enum EntryBody {
    Blank,
    Commands(CommandBatch),
    Membership(Membership),
}

/// The commands of one entry and the time the leader stamped on them. `apply` clamps it: ledger time never goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandBatch {
    pub proposed_at: LedgerTime,
    pub commands: Vec<Command>,
    /// Of the cluster itself; `commands` are then empty.
    pub cluster: Option<ClusterCommand>,
    /// The same as bytes: made once, by the leader, and kept in the log, by the peers and in the audit record as they are.
    encoded: Bytes,
}

impl CommandBatch {
    #[must_use]
    pub fn new(proposed_at: LedgerTime, commands: Vec<Command>) -> Self {
        let encoded = codec::encode_commands(proposed_at, &commands, None);
        Self { proposed_at, commands, cluster: None, encoded }
    }

    #[must_use]
    pub fn of_cluster(proposed_at: LedgerTime, command: ClusterCommand) -> Self {
        let encoded = codec::encode_commands(proposed_at, &[], Some(&command));
        Self { proposed_at, commands: Vec::new(), cluster: Some(command), encoded }
    }

    /// # Errors
    /// [`StorageError::Corrupt`]: no batch, a command that breaks a limit, or more commands than an entry may hold.
    pub fn decode(encoded: Bytes) -> Result<Self, StorageError> {
        let (proposed_at, commands, cluster) = codec::decode_commands(&encoded)?;
        Ok(Self { proposed_at, commands, cluster, encoded })
    }

    #[must_use]
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }
}

/// What a ledger knows of itself, changed in the same write as its records.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LedgerMeta {
    pub applied: Option<LogPosition>,
    pub membership: Option<AppliedMembership>,
    pub digest: StateDigest,
    /// Name of the newest audit record.
    pub audit_head: AuditName,
    /// Who may become a member, and which ids are spent.
    pub cluster: ClusterState,
}

/// Sum of the keyed hashes of every record: equal contents, equal digest, whatever the order they came in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateDigest(pub [u64; 4]);

/// One state of the ledger.
pub trait LedgerState: LedgerView<Error = StorageError> {
    /// Written together with the state's records.
    fn meta(&self) -> &LedgerMeta;
}

/// The ledger's durable half. Generic so that simulation can bring a twin.
pub trait LedgerStore: Clone + Send + Sync + 'static {
    /// The state after one log index; later applies do not show in it.
    type View: LedgerState + Send + Sync + 'static;
    /// A whole ledger as of one log index, ready to be streamed or installed. Cheap to clone: a handle, no bytes.
    type Snapshot: Clone + Send + Sync + 'static;

    /// As of the last apply or install.
    fn meta(&self) -> LedgerMeta;

    /// Applies consecutive entries in one atomic write; one vector of replies for each entry.
    fn apply(&self, entries: Vec<CommittedEntry>) -> impl Future<Output = Result<Vec<Vec<Reply>>, StorageError>> + Send;

    fn view(&self) -> Self::View;

    /// Whether an order waits for its payment that may expire at `now`. An error as of `apply`: the ledger applies no more.
    fn has_expired(&self, now: LedgerTime) -> impl Future<Output = Result<bool, StorageError>> + Send;

    /// The digest after each of the most recently applied entries, oldest first.
    fn recent_digests(&self) -> Vec<(u64, StateDigest)>;

    /// A snapshot as of the moment of the call (not of the moment it is ready), durable when it returns.
    fn build_snapshot(&self) -> impl Future<Output = Result<(LedgerMeta, Self::Snapshot), StorageError>> + Send;

    /// The newest durable snapshot: a handle, no work.
    fn current_snapshot(&self) -> Option<(LedgerMeta, Self::Snapshot)>;

    /// Verifies a received snapshot by its digest, then makes it the ledger. On an error the old ledger stands.
    fn install_snapshot(&self, snapshot: Self::Snapshot) -> impl Future<Output = Result<LedgerMeta, StorageError>> + Send;
}

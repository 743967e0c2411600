//! What callers of [`Node`](super::Node) see: settings, answers, status and errors. No openraft type leaves `consensus`.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::Reply;
use crate::limits;
use crate::storage::{LogPosition, StateDigest, StorageError};

/// This node's own, Unix milliseconds: `clock::unix_ms` in production, virtual time in simulation. Asked when an entry is proposed,
/// when the leader looks whether orders have expired, and when a peer is answered; never when an entry is applied.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What an operator may set. Bounds that nobody should have to set are in `limits`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSettings {
    /// From 1. Minted once, never reused.
    pub node_id: u64,
    pub cluster_name: String,
    /// Shorter than `election_timeout_min`.
    pub heartbeat: Duration,
    /// An election starts so long after the leader's lease ended, at the earliest. Shorter than `election_timeout_max`.
    pub election_timeout_min: Duration,
    /// Also the leader's lease: the longest pause after a leader dies is about this and `election_timeout_min` together.
    pub election_timeout_max: Duration,
    /// Log entries between two snapshots.
    pub snapshot_after_entries: u64,
    /// Log entries kept behind a snapshot, so that a node that was away for a while needs no snapshot.
    pub entries_kept_after_snapshot: u64,
    /// Log entries in one AppendEntries message.
    pub append_entries_max: u64,
    /// Log entries of commands that this node has proposed and that are not applied yet.
    pub entries_in_flight_max: usize,
}

impl NodeSettings {
    /// A member that has not answered the leader's heartbeats for so long does not answer.
    pub(super) fn member_heard_within(&self) -> Duration {
        self.election_timeout_max.max(limits::MEMBER_HEARD_WITHIN)
    }
}

/// What the configuration of consensus must have, and a test may leave out.
#[cfg(debug_assertions)]
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safeguard {
    NoLeaderRestore,
    PreVote,
    QuorumLossProbe,
}

/// Answers to one [`Node::submit`](super::Node::submit): `replies[i]` answers `commands[i]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// Raft term of the leader that answered.
    pub term: u64,
    pub replies: Vec<Reply>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// Nothing that was answered before the call is missing.
    Linearizable,
    /// What this node has applied.
    Stale,
}

/// A state of the ledger to read from.
#[derive(Debug, Clone)]
pub struct Read<V> {
    pub view: V,
    /// The log index that the view is the state after.
    pub index: u64,
    /// The term this node is in.
    pub term: u64,
}

/// What a [`Node::submit`](super::Node::submit) that got no replies can mean.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Nothing was proposed, and nothing will be: send it again.
    #[error("not done: {reason}")]
    Retry { leader: Option<u64>, reason: RetryReason },
    /// It may have happened, or happen yet: ask by id, or send it again.
    #[error("unknown: {reason}")]
    Unknown { leader: Option<u64>, reason: UnknownReason },
    /// This node cannot go on. It may have happened.
    #[error("the node has stopped: {0}")]
    Stopped(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RetryReason {
    /// Nobody leads, or the leader hears no majority.
    #[error("no leader with a majority is known")]
    NoLeader,
    #[error("the leader does not answer")]
    LeaderUnreachable,
    #[error("too much is waiting already")]
    Overloaded,
    /// Of a new order.
    #[error("too few of the nodes have room on their disks for new orders")]
    DiskLow,
    /// It waited as long as it was given.
    #[error("its time was over before anything was done")]
    NotInTime,
    #[error("the node is stopping")]
    Draining,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnknownReason {
    /// Proposed, and not answered in time.
    #[error("no answer within the deadline")]
    Deadline,
    #[error("the leader changed while it was under way")]
    LeaderChanged,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Send it again.
    #[error("not done: {reason}")]
    Retry { leader: Option<u64>, reason: RetryReason },
    #[error("the node has stopped: {0}")]
    Stopped(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    #[error("settings: {0}")]
    Settings(String),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("consensus: {0}")]
    Consensus(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InitError {
    #[error("the cluster is initialised already")]
    AlreadyInitialized,
    /// The list of members is of no use.
    #[error("members: {0}")]
    Members(String),
    #[error("the node has stopped: {0}")]
    Stopped(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// Only the leader can hand over.
    #[error("this node does not lead")]
    NotLeader { leader: Option<u64> },
    /// Not a voter, or this node itself.
    #[error("node {0} cannot lead")]
    NotEligible(u64),
    /// No other voter is caught up, or it did not take over in time. This node may still lead.
    #[error("leadership did not move within the deadline")]
    Deadline,
    #[error("the node has stopped: {0}")]
    Stopped(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It goes on being built.
    #[error("no snapshot within the deadline")]
    Deadline,
    #[error("nothing is applied yet")]
    NothingApplied,
    #[error("the node has stopped: {0}")]
    Stopped(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// The log no longer reaches back that far.
    #[error("the log starts at index {first_index}")]
    Purged { first_index: u64 },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a peer's call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Not now and not here (a message that cannot be read, a read that no quorum confirms): nothing happened.
    #[error("refused: {0}")]
    Refused(String),
    /// It may have happened.
    #[error("unknown: {0}")]
    Unknown(String),
    #[error("the node has stopped: {0}")]
    Stopped(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Has neither log nor vote: waits for `initialize` here, or for a leader's first message.
    Uninitialized,
    Learner,
    Follower,
    Candidate,
    Leader,
    Shutdown,
}

/// What this node knows, at once. Each value by itself is true; together they may be of slightly different moments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    pub node_id: u64,
    pub role: Role,
    pub term: u64,
    /// For whom this node voted in `term`.
    pub voted_for: Option<u64>,
    /// Whom this node takes for the leader, also long after that node has died: Pre-Vote keeps the term.
    pub leader: Option<u64>,
    /// There is a leader: see [`Node::hears_leader`](super::Node::hears_leader).
    pub hears_leader: bool,
    pub last_log_index: Option<u64>,
    pub committed: Option<LogPosition>,
    pub applied: Option<LogPosition>,
    pub snapshot: Option<LogPosition>,
    pub purged: Option<LogPosition>,
    /// State digest at `applied`.
    pub digest: StateDigest,
    pub members: Vec<MemberStatus>,
    /// The voters are being changed, or a leader left that half done.
    pub joint: bool,
    /// This node was a member and is none any more, as far as it has applied the log: it never will be again.
    pub removed: bool,
    /// The cluster has been initialised, as far as this node has heard.
    pub initialized: bool,
    pub draining: bool,
    /// This node's disk has less room than its floor.
    pub disk_low: bool,
    /// The leader refuses new orders, here too, because too few disks have room.
    pub refuses_new_orders: bool,
    /// Why the node stopped, if it did by itself. It must be restarted, or replaced.
    pub fatal: Option<String>,
}

impl NodeStatus {
    #[must_use]
    pub fn leads(&self) -> bool {
        self.role == Role::Leader
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    pub node_id: u64,
    pub peer_address: String,
    pub client_address: String,
    pub voter: bool,
    /// On the leader: it has answered lately.
    pub heard: Option<bool>,
    /// On the leader: the last log index known to be on that member's disk.
    pub matched: Option<u64>,
    /// On the leader: how far that member's clock is ahead of the time that the cluster goes by, milliseconds.
    pub clock_ahead_ms: Option<i64>,
    /// On the leader: its disk has less room than its floor.
    pub disk_low: Option<bool>,
}

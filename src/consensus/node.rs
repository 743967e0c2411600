//! One member of the cluster: the only thing that transport, operations and simulation see of consensus.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use openraft::AsyncRuntime;

use super::api::{
    Clock, Consistency, ExportError, InitError, NodeSettings, NodeStatus, PeerError, Read, ReadError, SnapshotError,
    StartError, SubmitError, Submitted, TransferError,
};
use super::metrics::Metrics;
use super::peer_link::{PeerLink, Peers};
use crate::domain::Command;
use crate::proto::raft::{
    AppendRequest, AppendResponse, ProposeRequest, ProposeResponse, ReadIndexRequest, ReadIndexResponse, SnapshotHeader,
    SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use crate::proto::storage::MemberNode;
use crate::storage::{CommittedEntry, LedgerStore, LogStore, StateDigest};

/// Cheap to clone; every clone is the same node.
pub struct Node<RT, L, S, P>
where
    RT: AsyncRuntime,
    L: LogStore,
    S: LedgerStore,
    P: Peers,
    P::Link: PeerLink<Snapshot = S::Snapshot>,
{
    inner: Arc<Inner<RT, L, S, P>>,
}

struct Inner<RT, L, S, P> {
    ledger: S,
    log: L,
    peers: P,
    metrics: Metrics,
    runtime: std::marker::PhantomData<fn() -> RT>,
}

impl<RT, L, S, P> Clone for Node<RT, L, S, P>
where
    RT: AsyncRuntime,
    L: LogStore,
    S: LedgerStore,
    P: Peers,
    P::Link: PeerLink<Snapshot = S::Snapshot>,
{
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

/// Wakes up whenever something in [`NodeStatus`] may have changed.
pub struct StatusChanges<RT: AsyncRuntime> {
    runtime: std::marker::PhantomData<fn() -> RT>,
}

impl<RT: AsyncRuntime> StatusChanges<RT> {
    /// Returns at once if something changed since the last call. False: the node has stopped, nothing will change.
    pub async fn changed(&mut self) -> bool {
        unreachable!("facade only")
    }
}

impl<RT, L, S, P> Node<RT, L, S, P>
where
    RT: AsyncRuntime,
    L: LogStore,
    S: LedgerStore,
    P: Peers,
    P::Link: PeerLink<Snapshot = S::Snapshot>,
{
    /// Starts the node over what `log` and `ledger` hold. It votes and follows from here on.
    ///
    /// # Errors
    /// The settings contradict each other, or log and ledger do not fit together.
    pub async fn start(settings: NodeSettings, log: L, ledger: S, peers: P, clock: Clock) -> Result<Self, StartError> {
        let _ = (settings, log, ledger, peers, clock);
        unreachable!("facade only")
    }

    /// Makes a cluster of `members`, this node among them. Once, on one node.
    ///
    /// # Errors
    /// See [`InitError`].
    pub async fn initialize(&self, members: Vec<MemberNode>) -> Result<(), InitError> {
        let _ = members;
        unreachable!("facade only")
    }

    /// Proposes `commands` (1 to `limits::BATCH_COMMANDS_MAX`, parsed) wherever the leader is, and answers when a majority has
    /// them on disk and they are applied. A caller that stops waiting does not stop the proposal.
    ///
    /// # Errors
    /// See [`SubmitError`]: its variants say whether it can have happened.
    pub async fn submit(&self, commands: Vec<Command>, within: Duration) -> Result<Submitted, SubmitError> {
        let _ = (commands, within);
        unreachable!("facade only")
    }

    /// A state of the ledger that is as fresh as `consistency` asks for.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read(&self, consistency: Consistency, within: Duration) -> Result<Read<S::View>, ReadError> {
        let _ = (consistency, within);
        unreachable!("facade only")
    }

    #[must_use]
    pub fn status(&self) -> NodeStatus {
        unreachable!("facade only")
    }

    #[must_use]
    pub fn status_changes(&self) -> StatusChanges<RT> {
        unreachable!("facade only")
    }

    /// Hands leadership to `to`, or to the voter that is furthest; answers with the new leader when it has really moved.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn transfer_leader(&self, to: Option<u64>, within: Duration) -> Result<u64, TransferError> {
        let _ = (to, within);
        unreachable!("facade only")
    }

    /// Builds a snapshot of what is applied now, and answers with its log index.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub async fn trigger_snapshot(&self, within: Duration) -> Result<u64, SnapshotError> {
        let _ = within;
        unreachable!("facade only")
    }

    /// Up to `max` applied entries from `from_index` on; empty if none are applied there yet.
    ///
    /// # Errors
    /// The log was purged past `from_index`, or cannot be read.
    pub async fn export_log(&self, from_index: u64, max: usize) -> Result<Vec<CommittedEntry>, ExportError> {
        let _ = (from_index, max);
        unreachable!("facade only")
    }

    /// The digests after the most recently applied entries, from `from_index` on, oldest first.
    #[must_use]
    pub fn recent_digests(&self, from_index: u64) -> Vec<(u64, StateDigest)> {
        let mut digests = self.inner.ledger.recent_digests();
        digests.retain(|(index, _)| *index >= from_index);
        digests
    }

    #[must_use]
    pub fn ledger(&self) -> &S {
        &self.inner.ledger
    }

    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// From here on this node hands its commands to another leader as soon as there is one, and says so in its status.
    /// Calls go on working; `transfer_leader` then moves leadership away.
    pub fn begin_drain(&self) {
        unreachable!("facade only")
    }

    /// Stops all tasks. What was proposed and not answered is unknown to its callers.
    pub async fn shutdown(&self) {
        unreachable!("facade only")
    }

    /// A leader's AppendEntries, pipelined: answers come in the order of the requests, the stream ends at the first error.
    #[must_use]
    pub fn on_append(
        &self,
        requests: BoxStream<'static, AppendRequest>,
    ) -> BoxStream<'static, Result<AppendResponse, PeerError>> {
        let _ = requests;
        unreachable!("facade only")
    }

    /// # Errors
    /// See [`PeerError`].
    pub async fn on_vote(&self, request: VoteRequest) -> Result<VoteResponse, PeerError> {
        let _ = request;
        unreachable!("facade only")
    }

    /// # Errors
    /// See [`PeerError`].
    pub async fn on_pre_vote(&self, request: VoteRequest) -> Result<VoteResponse, PeerError> {
        let _ = request;
        unreachable!("facade only")
    }

    /// # Errors
    /// See [`PeerError`].
    pub async fn on_transfer_leader(&self, request: TransferLeaderRequest) -> Result<TransferLeaderResponse, PeerError> {
        let _ = request;
        unreachable!("facade only")
    }

    /// `snapshot` is received whole; the ledger store verifies it. Of the header only the vote and `manifest.meta` are looked at.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn on_install_snapshot(
        &self,
        header: SnapshotHeader,
        snapshot: S::Snapshot,
    ) -> Result<SnapshotResponse, PeerError> {
        let _ = (header, snapshot);
        unreachable!("facade only")
    }

    /// A follower's commands. Never forwarded again: a node that does not lead says so.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn on_propose(&self, request: ProposeRequest, within: Duration) -> Result<ProposeResponse, PeerError> {
        let _ = (request, within);
        unreachable!("facade only")
    }

    /// # Errors
    /// See [`PeerError`].
    pub async fn on_read_index(&self, request: ReadIndexRequest, within: Duration) -> Result<ReadIndexResponse, PeerError> {
        let _ = (request, within);
        unreachable!("facade only")
    }
}

//! How consensus talks to another node, in the messages of `stampede.raft.v1`. `transport` brings gRPC, the simulation a
//! network that drops and delays.

use std::future::Future;
use std::time::Duration;

use futures_util::stream::BoxStream;

use crate::proto::raft::{
    AppendRequest, AppendResponse, ProposeRequest, ProposeResponse, ReadIndexRequest, ReadIndexResponse, SnapshotResponse,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use crate::storage::{StorageError, Vote};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// No connection: nothing was sent.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// It may have arrived.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// The peer answered that it will not (another cluster, a message it cannot read, no quorum to confirm a read): nothing
    /// happened.
    #[error("refused: {0}")]
    Refused(String),
}

/// Why a snapshot has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotSendError {
    #[error(transparent)]
    Link(#[from] LinkError),
    /// It is this node's own, and cannot be read.
    #[error(transparent)]
    Unread(#[from] StorageError),
}

/// Makes links. One link per peer, connected lazily, kept for the life of the node.
pub trait Peers: Send + Sync + 'static {
    type Link: PeerLink;

    fn link(&self, node_id: u64, peer_address: &str) -> Self::Link;
}

/// To one peer. Cheap to clone: clones share the connection.
pub trait PeerLink: Clone + Send + Sync + 'static {
    /// A snapshot as the ledger store hands it out.
    type Snapshot: Send + 'static;

    /// Answers come in the order of the requests; the stream ends at the first error. `answer_within` bounds the wait for
    /// each answer while one is due.
    fn append(
        &self,
        requests: BoxStream<'static, AppendRequest>,
        answer_within: Duration,
    ) -> impl Future<Output = Result<BoxStream<'static, Result<AppendResponse, LinkError>>, LinkError>> + Send;

    fn vote(&self, request: VoteRequest, within: Duration) -> impl Future<Output = Result<VoteResponse, LinkError>> + Send;

    fn pre_vote(&self, request: VoteRequest, within: Duration) -> impl Future<Output = Result<VoteResponse, LinkError>> + Send;

    /// The snapshot says itself what it is: whoever sends it needs no more than the leader's vote.
    fn install_snapshot(
        &self,
        vote: Vote,
        snapshot: Self::Snapshot,
        within: Duration,
    ) -> impl Future<Output = Result<SnapshotResponse, SnapshotSendError>> + Send;

    fn transfer_leader(
        &self,
        request: TransferLeaderRequest,
        within: Duration,
    ) -> impl Future<Output = Result<TransferLeaderResponse, LinkError>> + Send;

    fn propose(
        &self,
        request: ProposeRequest,
        within: Duration,
    ) -> impl Future<Output = Result<ProposeResponse, LinkError>> + Send;

    fn read_index(
        &self,
        request: ReadIndexRequest,
        within: Duration,
    ) -> impl Future<Output = Result<ReadIndexResponse, LinkError>> + Send;
}

//! The calls of other nodes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use openraft::AsyncRuntime;
use openraft::errors::RaftError;
use openraft::raft::StreamAppendError;
use openraft::type_config::TypeConfigExt;

use super::api::{PeerError, RetryReason, SubmitError};
use super::calls::Sender;
use super::codec::{self, WireError};
use super::node::Node;
use super::peer_link::{PeerLink, Peers};
use super::reads::RoundError;
use super::types::{Snapshot, TypeConfig};
use super::wire;
use crate::limits;
use crate::proto::raft::{
    AppendRequest, AppendResponse, NotInTime, NotLeader, Overloaded, ProposeRequest, ProposeResponse, Proposed,
    ReadIndexRequest, ReadIndexResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse, VoteRequest,
    VoteResponse, propose_response, read_index_response,
};
use crate::storage::codec::reply_to_proto;
use crate::storage::{LedgerMeta, LedgerStore, LogStore, Vote};

impl From<WireError> for PeerError {
    fn from(error: WireError) -> Self {
        Self::Refused(error.to_string())
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
    /// A leader's AppendEntries, pipelined: answers come in the order of the requests, the stream ends at the first error.
    #[must_use]
    pub fn on_append(
        &self,
        requests: BoxStream<'static, AppendRequest>,
    ) -> BoxStream<'static, Result<AppendResponse, PeerError>> {
        let nonsense = Arc::new(Mutex::new(None));
        let found = nonsense.clone();
        // The first bad message ends the stream: going on behind it would lose its entries.
        let told = self.inner.low_disks.clone();
        let requests = requests.scan((), move |(), request| {
            let refuses_new_orders = request.refuses_new_orders;
            let request = wire::append_from_wire::<RT>(request);
            if let Ok(request) = &request {
                told.told(request.vote.leader_id.term, refuses_new_orders);
            }
            std::future::ready(
                request.map_err(|error| *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(error)).ok(),
            )
        });
        let (heard, time) = (self.inner.leader_heard.clone(), self.inner.time.clone());
        let low_disks = self.inner.low_disks.clone();
        let results = self.inner.raft.stream_append(requests).map(move |result| match result {
            Ok(result) => {
                // Not when it comes: to one whose disk stands still, and who therefore cannot follow, it comes too.
                if !matches!(result, Err(StreamAppendError::HigherVote(_))) {
                    heard.now();
                }
                Ok(wire::append_result_to_wire(&result, time.own_ms(), low_disks.own()))
            }
            Err(fatal) => Err(PeerError::Stopped(fatal.to_string())),
        });
        let end = stream::once(async move { nonsense.lock().unwrap_or_else(PoisonError::into_inner).take() });
        let end = end.filter_map(|nonsense: Option<WireError>| std::future::ready(nonsense.map(|error| Err(error.into()))));
        results.chain(end).boxed()
    }

    /// # Errors
    /// See [`PeerError`].
    pub async fn on_vote(&self, request: VoteRequest) -> Result<VoteResponse, PeerError> {
        let response = self.inner.raft.vote(wire::vote_request_from_wire(request)?).await;
        Ok(wire::vote_response_to_wire(&response.map_err(stopped)?, self.inner.time.own_ms(), self.inner.low_disks.own()))
    }

    /// # Errors
    /// See [`PeerError`].
    pub async fn on_pre_vote(&self, request: VoteRequest) -> Result<VoteResponse, PeerError> {
        let response = self.inner.raft.pre_vote(wire::vote_request_from_wire(request)?).await;
        Ok(wire::vote_response_to_wire(&response.map_err(stopped)?, self.inner.time.own_ms(), self.inner.low_disks.own()))
    }

    /// # Errors
    /// See [`PeerError`].
    pub async fn on_transfer_leader(&self, request: TransferLeaderRequest) -> Result<TransferLeaderResponse, PeerError> {
        let response = self.inner.raft.handle_transfer_leader(wire::transfer_from_wire(request)?).await;
        let accepted = response.map_err(|fatal| PeerError::Stopped(fatal.to_string()))?;
        if let Err(reason) = &accepted {
            tracing::warn!(event = "leadership_not_taken", %reason, "leadership was not taken over");
        }
        Ok(TransferLeaderResponse { accepted: accepted.is_ok() })
    }

    /// `snapshot` is received whole and holds the state that `meta` tells of; the ledger store verifies it.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn on_install_snapshot(
        &self,
        vote: Option<Vote>,
        meta: &LedgerMeta,
        snapshot: S::Snapshot,
    ) -> Result<SnapshotResponse, PeerError> {
        let (vote, meta) = (wire::vote_from_wire(vote)?, wire::snapshot_meta(meta)?);
        // openraft would panic on it.
        if meta.last_log_id.is_some_and(|last| last.leader_id.term > vote.leader_id.term) {
            return Err(PeerError::Refused(format!("a snapshot of {meta} from a leader with {vote}")));
        }
        let response = self.inner.raft.install_full_snapshot(vote, Snapshot { meta, snapshot }).await;
        let response = response.map_err(|fatal| PeerError::Stopped(fatal.to_string()))?;
        Ok(SnapshotResponse { vote: Some(wire::vote_to_wire(&response.vote)) })
    }

    /// A follower's commands. Never forwarded again: a node that does not lead says so.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn on_propose(&self, request: ProposeRequest, within: Duration) -> Result<ProposeResponse, PeerError> {
        let commands = codec::commands_from_wire(request.commands)?;
        if commands.is_empty() || commands.len() > limits::BATCH_COMMANDS_MAX {
            return Err(PeerError::Refused(format!("{} commands in one proposal", commands.len())));
        }
        let not_leader =
            |leader: Option<u64>| propose_response::Result::NotLeader(NotLeader { leader_id: leader.unwrap_or(0) });
        let result = match self.inner.proposer.submit(commands, within, Sender::Peer).await {
            Ok(submitted) => propose_response::Result::Proposed(Proposed {
                term: submitted.term,
                replies: submitted.replies.iter().map(reply_to_proto).collect(),
            }),
            Err(SubmitError::Retry { reason: RetryReason::Overloaded, .. }) => {
                propose_response::Result::Overloaded(Overloaded {})
            }
            Err(SubmitError::Retry { reason: RetryReason::NotInTime, .. }) => propose_response::Result::NotInTime(NotInTime {}),
            Err(SubmitError::Retry { leader, .. }) => not_leader(leader),
            Err(SubmitError::Unknown { reason, .. }) => return Err(PeerError::Unknown(reason.to_string())),
            Err(SubmitError::Stopped(reason)) => return Err(PeerError::Unknown(reason)),
        };
        Ok(ProposeResponse { result: Some(result) })
    }

    /// # Errors
    /// See [`PeerError`].
    pub async fn on_read_index(&self, _request: ReadIndexRequest, within: Duration) -> Result<ReadIndexResponse, PeerError> {
        let deadline = TypeConfig::<RT>::now() + within;
        let result = match self.inner.reads.index_here(deadline).await {
            Ok(index) => read_index_response::Result::LogIndex(index),
            Err(RoundError::NotLeader) => read_index_response::Result::NotLeader(NotLeader { leader_id: 0 }),
            Err(RoundError::Failed(reason)) => return Err(PeerError::Refused(reason.to_string())),
            Err(RoundError::Stopped(reason)) => return Err(PeerError::Stopped(reason)),
        };
        Ok(ReadIndexResponse { result: Some(result) })
    }
}

fn stopped<RT: AsyncRuntime>(error: RaftError<TypeConfig<RT>>) -> PeerError {
    PeerError::Stopped(error.to_string())
}

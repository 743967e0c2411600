//! openraft's network over [`PeerLink`].
//!
//! `pre_vote` has a body in openraft's trait, which grants everything: leaving it out here would turn Pre-Vote off without a word.
//! The simulation's `a_node_that_was_cut_off_comes_back_without_an_election` would show it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, Stream, StreamExt};
use openraft::async_runtime::Select2;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::metrics::RaftServerMetrics;
use openraft::network::{
    Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption, RaftNetworkFactory,
};
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendResult, TransferLeaderError, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::WatchReceiverOf;
use openraft::{AnyError, AsyncRuntime, OptionalSend, StorageError};

use super::agreed_time::AgreedTime;
use super::codec::WireError;
use super::first_failure::FirstFailure;
use super::low_disks::LowDisks;
use super::peer_link::{LinkError, PeerLink, Peers, SnapshotSendError};
use super::types::{Member, Snapshot, TypeConfig, Vote};
use super::wire;
use crate::limits;
use crate::proto::raft::{self, AppendResponse};

/// One link per member, made when it is first asked for, and dropped when its member is none any more.
pub(super) struct Links<P: Peers> {
    peers: P,
    made: Mutex<BTreeMap<(u64, String), P::Link>>,
}

impl<P: Peers> Links<P> {
    pub(super) fn new(peers: P) -> Arc<Self> {
        Arc::new(Self { peers, made: Mutex::default() })
    }

    pub(super) fn to(&self, node_id: u64, member: &Member) -> P::Link {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let link = made.entry((node_id, member.peer_address.clone()));
        link.or_insert_with(|| self.peers.link(node_id, &member.peer_address)).clone()
    }

    /// Until consensus stops. Who still has a link that is dropped here keeps it: openraft, to the end of a replication.
    pub(super) async fn follow<RT: AsyncRuntime>(
        self: Arc<Self>,
        mut metrics: WatchReceiverOf<TypeConfig<RT>, RaftServerMetrics<TypeConfig<RT>>>,
    ) {
        loop {
            let membership = metrics.borrow_watched().membership_config.clone();
            let is_member = |node_id: u64, address: &str| {
                membership.membership().get_node(&node_id).is_some_and(|member| member.peer_address == address)
            };
            {
                let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
                made.retain(|(node_id, address), _| is_member(*node_id, address));
            }
            if metrics.changed().await.is_err() {
                return;
            }
        }
    }
}

pub(super) struct NetworkFactory<RT: AsyncRuntime, P: Peers> {
    pub(super) links: Arc<Links<P>>,
    pub(super) failure: FirstFailure,
    pub(super) time: Arc<AgreedTime<RT>>,
    pub(super) low_disks: Arc<LowDisks>,
}

impl<RT: AsyncRuntime, P: Peers> NetworkFactory<RT, P> {
    fn network(&self, target: u64, node: &Member, append_answer_within: Option<Duration>) -> Network<RT, P::Link> {
        let heard = Heard { target, time: self.time.clone(), low_disks: self.low_disks.clone() };
        Network { target, link: self.links.to(target, node), append_answer_within, failure: self.failure.clone(), heard }
    }
}

impl<RT: AsyncRuntime, P: Peers> RaftNetworkFactory<TypeConfig<RT>> for NetworkFactory<RT, P> {
    type Network = Network<RT, P::Link>;

    async fn new_client(&mut self, target: u64, node: &Member) -> Self::Network {
        self.network(target, node, Some(limits::APPEND_ANSWER_WITHIN))
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &Member) -> Self::Network {
        self.network(target, node, None)
    }
}

/// Calls to one peer.
pub(super) struct Network<RT: AsyncRuntime, K> {
    target: u64,
    link: K,
    /// Of replication: a sync on a slow disk may take many heartbeats, and sending everything again helps nobody. None: as
    /// openraft says, which is less than a heartbeat.
    append_answer_within: Option<Duration>,
    /// Of this node's own snapshot, when it is read to be sent.
    failure: FirstFailure,
    heard: Heard<RT>,
}

/// What a peer tells of itself with each answer.
struct Heard<RT: AsyncRuntime> {
    target: u64,
    time: Arc<AgreedTime<RT>>,
    low_disks: Arc<LowDisks>,
}

impl<RT: AsyncRuntime> Clone for Heard<RT> {
    fn clone(&self) -> Self {
        Self { target: self.target, time: self.time.clone(), low_disks: self.low_disks.clone() }
    }
}

impl<RT: AsyncRuntime> Heard<RT> {
    fn note(&self, clock_ms: u64, disk_low: bool) {
        self.time.heard(self.target, clock_ms);
        self.low_disks.heard(self.target, disk_low);
    }
}

fn rpc_error<RT: AsyncRuntime>(error: LinkError) -> RPCError<TypeConfig<RT>> {
    match error {
        LinkError::NoAnswer(_) => RPCError::Network(NetworkError::from_string(error)),
        // A peer that refuses goes on refusing for a while: openraft backs off as from one that is away.
        LinkError::Unreachable(_) | LinkError::Refused(_) => RPCError::Unreachable(Unreachable::from_string(error)),
    }
}

/// A peer that talks nonsense is left alone for a while.
fn nonsense<RT: AsyncRuntime>(error: WireError) -> RPCError<TypeConfig<RT>> {
    tracing::error!(event = "peer_nonsense", %error, "a peer sent what makes no sense");
    RPCError::Unreachable(Unreachable::from_string(error))
}

impl<RT: AsyncRuntime, K> Network<RT, K> {
    fn voted(
        &self,
        response: Result<raft::VoteResponse, LinkError>,
    ) -> Result<VoteResponse<TypeConfig<RT>>, RPCError<TypeConfig<RT>>> {
        let response = response.map_err(rpc_error)?;
        self.heard.note(response.clock_ms, response.disk_low);
        wire::vote_response_from_wire(response).map_err(nonsense)
    }
}

fn append_result<RT: AsyncRuntime>(
    response: Result<AppendResponse, LinkError>,
) -> Result<StreamAppendResult<TypeConfig<RT>>, RPCError<TypeConfig<RT>>> {
    wire::append_result_from_wire(response.map_err(rpc_error)?).map_err(nonsense)
}

impl<RT: AsyncRuntime, K: PeerLink> NetStreamAppend<TypeConfig<RT>> for Network<RT, K> {
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig<RT>>, RPCError<TypeConfig<RT>>>>, RPCError<TypeConfig<RT>>>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig<RT>>> + OptionalSend + Unpin + 'static,
    {
        let low_disks = self.heard.low_disks.clone();
        let to_wire = move |request: AppendEntriesRequest<TypeConfig<RT>>| {
            let refuses_new_orders = low_disks.refused_in() == Some(request.vote.leader_id.term);
            wire::append_to_wire(&request, refuses_new_orders)
        };
        let mut requests = input.map(to_wire).boxed();
        let answer_within = self.append_answer_within.unwrap_or_else(|| option.soft_ttl());
        async move {
            // openraft waits out its back-off inside this stream, before the first request. Connecting without asking for one
            // would skip the wait: a leader would try a dead peer again and again, without a pause.
            let Some(first) = requests.next().await else { return Ok(stream::empty().boxed()) };
            let requests = stream::once(std::future::ready(first)).chain(requests).boxed();
            let responses = self.link.append(requests, answer_within).await.map_err(rpc_error)?;
            let heard = self.heard.clone();
            let hear = move |response: &Result<AppendResponse, LinkError>| {
                if let Ok(response) = response {
                    heard.note(response.clock_ms, response.disk_low);
                }
            };
            Ok(responses.inspect(hear).map(append_result).boxed())
        }
        .boxed()
    }
}

impl<RT: AsyncRuntime, K: PeerLink> NetVote<TypeConfig<RT>> for Network<RT, K> {
    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig<RT>>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig<RT>>, RPCError<TypeConfig<RT>>> {
        let response = self.link.vote(wire::vote_request_to_wire(&rpc), option.soft_ttl()).await;
        self.voted(response)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig<RT>>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig<RT>>, RPCError<TypeConfig<RT>>> {
        let response = self.link.pre_vote(wire::vote_request_to_wire(&rpc), option.soft_ttl()).await;
        self.voted(response)
    }
}

impl<RT: AsyncRuntime, K: PeerLink> NetTransferLeader<TypeConfig<RT>> for Network<RT, K> {
    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig<RT>>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig<RT>>, RPCError<TypeConfig<RT>>> {
        let response = self.link.transfer_leader(wire::transfer_to_wire(&req), option.soft_ttl()).await.map_err(rpc_error)?;
        if response.accepted {
            return Ok(Ok(()));
        }
        // openraft only logs it; the reason is in the peer's own log.
        Ok(Err(TransferLeaderError::LogNotFlushed { expected: req.last_log_id().copied(), actual: None }))
    }
}

impl<RT: AsyncRuntime, K: PeerLink> NetSnapshot<TypeConfig<RT>> for Network<RT, K> {
    type SnapshotData = K::Snapshot;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<K::Snapshot>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig<RT>>, StreamingError<TypeConfig<RT>>> {
        tracing::info!(event = "snapshot_sending", to = self.target, snapshot = %snapshot.meta, "sending a snapshot");
        let sending = self.link.install_snapshot(wire::vote_to_wire(&vote), snapshot.snapshot, option.hard_ttl());
        let response = match TypeConfig::<RT>::select2(cancel, sending).await {
            Select2::First(closed) => return Err(StreamingError::Closed(closed)),
            Select2::Second(response) => response,
        };
        let response = response.map_err(|error| match error {
            SnapshotSendError::Link(error) => rpc_error::<RT>(error).into(),
            // Sent again it would end the same way, for ever.
            SnapshotSendError::Unread(error) => {
                StreamingError::StorageError(StorageError::read_snapshot(None, AnyError::new(&self.failure.keep(error))))
            }
        })?;
        let vote = wire::vote_from_wire(response.vote).map_err(nonsense)?;
        Ok(SnapshotResponse::new(vote))
    }
}

impl<RT: AsyncRuntime, K: PeerLink> NetBackoff<TypeConfig<RT>> for Network<RT, K> {
    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(limits::PEER_BACKOFF)))
    }
}

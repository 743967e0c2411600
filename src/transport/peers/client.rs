//! Calls to other nodes.
//!
//! One lazy connection per peer for everything that is small and urgent, one more for snapshots, so that heartbeats never queue
//! behind them. Connections are made when they are needed and made again when they break; nothing here retries, consensus does.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, ConnectError, Request, Response, Status, Streaming};
use tonic_types::StatusExt;

use super::ClusterIdentity;
use super::identity::Cluster;
use crate::consensus::{LinkError, PeerLink, Peers, SnapshotSendError};
use crate::limits;
use crate::proto::raft::peer_service_client::PeerServiceClient;
use crate::proto::raft::snapshot_request::Part;
use crate::proto::raft::{
    AppendRequest, AppendResponse, IdentifyRequest, IdentifyResponse, JoinRequest, JoinResponse, ProposeRequest,
    ProposeResponse, ReadIndexRequest, ReadIndexResponse, SnapshotHeader, SnapshotRequest, SnapshotResponse,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use crate::storage::{RocksSnapshot, Vote};
use crate::transport::errors::ERROR_DOMAIN;

type Client = PeerServiceClient<Channel>;

/// Makes connections to the other nodes; consensus keeps them.
pub struct GrpcPeers {
    identity: ClusterIdentity,
    /// Where peers are called that are not called where the log says: by node id, and by the address in the log for who takes a
    /// member's place there under an id of its own.
    dial: Dial,
}

/// Where this node calls peers that it does not call where the log says.
#[derive(Debug, Clone, Default)]
pub struct Dial {
    pub by_id: HashMap<u64, String>,
    pub by_peer_address: HashMap<String, String>,
}

impl Dial {
    pub(super) fn address<'a>(&'a self, node_id: u64, peer_address: &'a str) -> &'a str {
        self.by_id.get(&node_id).or_else(|| self.by_peer_address.get(peer_address)).map_or(peer_address, String::as_str)
    }
}

impl GrpcPeers {
    #[must_use]
    pub fn new(identity: ClusterIdentity, dial: Dial) -> Self {
        Self { identity, dial }
    }
}

impl Peers for GrpcPeers {
    type Link = GrpcPeerLink;

    fn link(&self, node_id: u64, peer_address: &str) -> GrpcPeerLink {
        GrpcPeerLink::new(&self.identity, node_id, self.dial.address(node_id, peer_address))
    }
}

/// To one peer.
#[derive(Clone)]
pub struct GrpcPeerLink {
    identity: ClusterIdentity,
    /// Who is called.
    node_id: u64,
    /// Or why there can be none: the address is no address.
    urgent: Result<Client, String>,
    bulk: Result<Client, String>,
}

impl GrpcPeerLink {
    pub(super) fn new(identity: &ClusterIdentity, node_id: u64, address: &str) -> Self {
        Self { identity: identity.clone(), node_id, urgent: connect_lazily(address), bulk: connect_lazily(address) }
    }

    /// Asks of which cluster the node is.
    pub(super) async fn identify(&self, within: Duration) -> Result<IdentifyResponse, LinkError> {
        self.call(IdentifyRequest {}, within, |mut client, request| async move { client.identify(request).await }).await
    }

    /// Takes the node into a cluster, which need not be this one's yet.
    pub(super) async fn join(&self, cluster: &Cluster, within: Duration) -> Result<JoinResponse, LinkError> {
        let send = |mut client: Client, mut request: Request<JoinRequest>| {
            cluster.sign(request.metadata_mut());
            async move { client.join(request).await }
        };
        self.call(JoinRequest {}, within, send).await
    }

    /// Presents a token, before this node has an identity.
    pub(super) async fn admit(
        address: &str,
        request: crate::proto::raft::AdmitRequest,
        within: Duration,
    ) -> Result<crate::proto::raft::AdmitResponse, Status> {
        let mut client = connect_lazily(address).map_err(Status::invalid_argument)?;
        let mut request = Request::new(request);
        request.set_timeout(within);
        let answer = tokio::time::timeout(within, client.admit(request)).await;
        Ok(answer.map_err(|_| Status::deadline_exceeded(format!("no answer within {within:?}")))??.into_inner())
    }

    fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        self.identity.sign(request.metadata_mut(), self.node_id);
        request
    }

    /// A call of one request and one answer.
    async fn call<Q, A, F>(
        &self,
        request: Q,
        within: Duration,
        send: impl FnOnce(Client, Request<Q>) -> F,
    ) -> Result<A, LinkError>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let client = self.urgent.clone().map_err(LinkError::Unreachable)?;
        let mut request = self.signed(request);
        request.set_timeout(within);
        match tokio::time::timeout(within, send(client, request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(self.failed(&status)),
            Err(_) => Err(LinkError::NoAnswer(format!("none within {within:?}"))),
        }
    }

    /// Of a call that the peer did not do. What it says of this node itself is heeded.
    fn failed(&self, status: &Status) -> LinkError {
        self.identity.heed(status);
        link_error(status)
    }
}

fn connect_lazily(address: &str) -> Result<Client, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| format!("{address}: {error}"))?;
    let channel = endpoint
        .tcp_nodelay(true)
        .connect_timeout(limits::PEER_CONNECT_TIMEOUT)
        .initial_stream_window_size(limits::HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::HTTP2_CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(limits::HTTP2_KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(limits::HTTP2_KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_lazy();
    Ok(PeerServiceClient::new(channel)
        .max_decoding_message_size(limits::PEER_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(limits::PEER_MESSAGE_BYTES_MAX))
}

/// Only what is known not to have reached the peer is *unreachable*, only what the peer said in our own terms is *refused*.
fn link_error(status: &Status) -> LinkError {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return LinkError::Unreachable(error.to_string());
        }
        source = error.source();
    }
    let refused = status
        .get_details_error_info()
        .is_some_and(|info| info.domain == ERROR_DOMAIN && info.metadata.get("effect").is_some_and(|effect| effect == "none"));
    // A node of another version without the method has not executed it either.
    if refused || status.code() == Code::Unimplemented {
        return LinkError::Refused(status.message().to_owned());
    }
    LinkError::NoAnswer(format!("{}: {}", status.code(), status.message()))
}

/// When the requests that wait for their answers were sent, oldest first.
type Due = Arc<Mutex<VecDeque<Instant>>>;

/// Notes when each request is handed to the connection.
struct Timed {
    requests: BoxStream<'static, AppendRequest>,
    due: Due,
}

impl Stream for Timed {
    type Item = AppendRequest;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<AppendRequest>> {
        let next = ready!(self.requests.poll_next_unpin(context));
        if next.is_some() {
            self.due.lock().unwrap_or_else(PoisonError::into_inner).push_back(Instant::now());
        }
        Poll::Ready(next)
    }
}

fn oldest(due: &Due) -> Option<Instant> {
    due.lock().unwrap_or_else(PoisonError::into_inner).front().copied()
}

impl PeerLink for GrpcPeerLink {
    type Snapshot = RocksSnapshot;

    async fn append(
        &self,
        requests: BoxStream<'static, AppendRequest>,
        answer_within: Duration,
    ) -> Result<BoxStream<'static, Result<AppendResponse, LinkError>>, LinkError> {
        let mut client = self.urgent.clone().map_err(LinkError::Unreachable)?;
        let due = Due::default();
        let request = self.signed(Timed { requests, due: due.clone() });
        let opened = tokio::time::timeout(answer_within, client.append(request)).await;
        let answers = match opened {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return Err(self.failed(&status)),
            Err(_) => return Err(LinkError::NoAnswer(format!("none within {answer_within:?}"))),
        };
        Ok(stream::unfold(Some(answers), move |answers| {
            let due = due.clone();
            async move {
                let mut answers = answers?;
                let answer = next_answer(&mut answers, &due, answer_within).await?;
                let rest = answer.is_ok().then_some(answers);
                Some((answer, rest))
            }
        })
        .boxed())
    }

    async fn vote(&self, request: VoteRequest, within: Duration) -> Result<VoteResponse, LinkError> {
        self.call(request, within, |mut client, request| async move { client.vote(request).await }).await
    }

    async fn pre_vote(&self, request: VoteRequest, within: Duration) -> Result<VoteResponse, LinkError> {
        self.call(request, within, |mut client, request| async move { client.pre_vote(request).await }).await
    }

    async fn install_snapshot(
        &self,
        vote: Vote,
        snapshot: RocksSnapshot,
        within: Duration,
    ) -> Result<SnapshotResponse, SnapshotSendError> {
        let mut client = self.bulk.clone().map_err(LinkError::Unreachable)?;
        let header = SnapshotHeader { vote: Some(vote), manifest: Some(snapshot.manifest().clone()) };
        // A snapshot that cannot be read ends the stream early: the receiver sees that files are missing and refuses it.
        let unread = Arc::new(Mutex::new(None));
        let found = unread.clone();
        let chunks = snapshot.chunks().scan((), move |(), chunk| {
            let chunk = chunk.map_err(|error| *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(error)).ok();
            std::future::ready(chunk.map(|chunk| SnapshotRequest { part: Some(Part::Chunk(chunk)) }))
        });
        let parts = stream::iter([SnapshotRequest { part: Some(Part::Header(header)) }]).chain(chunks);
        let sent = tokio::time::timeout(within, client.install_snapshot(self.signed(parts))).await;
        if let Some(error) = unread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error.into());
        }
        match sent {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(self.failed(&status).into()),
            Err(_) => Err(LinkError::NoAnswer(format!("none within {within:?}")).into()),
        }
    }

    async fn transfer_leader(
        &self,
        request: TransferLeaderRequest,
        within: Duration,
    ) -> Result<TransferLeaderResponse, LinkError> {
        self.call(request, within, |mut client, request| async move { client.transfer_leader(request).await }).await
    }

    async fn propose(&self, request: ProposeRequest, within: Duration) -> Result<ProposeResponse, LinkError> {
        self.call(request, within, |mut client, request| async move { client.propose(request).await }).await
    }

    async fn read_index(&self, request: ReadIndexRequest, within: Duration) -> Result<ReadIndexResponse, LinkError> {
        self.call(request, within, |mut client, request| async move { client.read_index(request).await }).await
    }
}

/// None at the end of the stream. While nothing is due, silence is no failure.
async fn next_answer(
    answers: &mut Streaming<AppendResponse>,
    due: &Due,
    within: Duration,
) -> Option<Result<AppendResponse, LinkError>> {
    loop {
        let until = oldest(due).unwrap_or_else(Instant::now) + within;
        match tokio::time::timeout_at(until, answers.message()).await {
            Ok(Ok(answer)) => {
                due.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                return answer.map(Ok);
            }
            Ok(Err(status)) => return Some(Err(link_error(&status))),
            // The oldest may be younger than the one that this wait began with.
            Err(_) if oldest(due).is_none_or(|sent| sent.elapsed() < within) => {}
            Err(_) => return Some(Err(LinkError::NoAnswer(format!("none within {within:?}")))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::errors::{Effect, Failure, Reason};

    #[test]
    fn refused_is_what_the_peer_says_in_our_own_terms_and_nothing_else() {
        for reason in Reason::ALL.iter().copied() {
            let told = link_error(&Failure::new(reason, "why").status());
            let is_refused = told == LinkError::Refused("why".to_owned());
            assert_eq!(is_refused, reason.effect() == Effect::None, "{reason:?}: {told:?}");
        }
        assert!(matches!(link_error(&Status::unimplemented("older")), LinkError::Refused(_)));
        for code in [Code::Unavailable, Code::Cancelled, Code::Internal, Code::FailedPrecondition, Code::PermissionDenied] {
            assert!(matches!(link_error(&Status::new(code, "bare")), LinkError::NoAnswer(_)), "{code}: not our own words");
        }
    }

    #[tokio::test]
    async fn unreachable_is_what_was_never_sent() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
        let mut client = connect_lazily(&closed.to_string()).expect("an address");
        let status = client.vote(VoteRequest::default()).await.expect_err("nobody listens");
        assert!(matches!(link_error(&status), LinkError::Unreachable(_)), "{status:?}");
    }
}

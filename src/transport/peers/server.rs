//! `stampede.raft.v1.PeerService`: other nodes' calls, admitted and handed to consensus.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::watch;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status, Streaming};

use super::ClusterIdentity;
use crate::consensus::MemberError;
use crate::proto::raft::peer_service_server::PeerService;
use crate::proto::raft::snapshot_request::Part;
use crate::proto::raft::{
    AdmitRequest, AdmitResponse, Admitted, AppendRequest, AppendResponse, AskLeader, IdentifyRequest, IdentifyResponse,
    JoinRequest, JoinResponse, ProposeRequest, ProposeResponse, ReadIndexRequest, ReadIndexResponse, SnapshotRequest,
    SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse, admit_response,
};
use crate::proto::storage::MemberNode;
use crate::storage::LedgerStore as _;
use crate::storage::data_dir::NodeIdentity;
use crate::transport::calls::CallMetrics;
use crate::transport::deadline;
use crate::transport::edge::{self, OnStorageError};
use crate::transport::errors::{Failure, Reason};
use crate::transport::ledger_node::ClusterNode;
use crate::transport::members::{self, Presented};

pub struct Peers {
    node: ClusterNode,
    identity: ClusterIdentity,
    calls: Arc<CallMetrics>,
    on_storage_error: OnStorageError,
    /// True once the port is closing: streams of peers end, they have no end of their own.
    stop: watch::Receiver<bool>,
}

impl Peers {
    #[must_use]
    pub fn new(
        node: ClusterNode,
        identity: ClusterIdentity,
        calls: Arc<CallMetrics>,
        on_storage_error: OnStorageError,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self { node, identity, calls, on_storage_error, stop }
    }

    fn admit_member(&self, metadata: &MetadataMap) -> Result<(), Failure> {
        self.identity.admit(metadata, &self.node.ledger().meta())
    }

    async fn admit_joiner(&self, request: AdmitRequest, within: Duration) -> Result<AdmitResponse, Failure> {
        let NodeIdentity { cluster_id, cluster_name, .. } = self.identity.data().identity();
        let Presented { token, joiner } = members::presented(&request, &cluster_id)?;
        let AdmitRequest { secret, peer_address, client_address, .. } = request;
        let addresses = MemberNode { node_id: 0, peer_address, client_address };
        let result = match self.node.admit(token, &secret, joiner, addresses, within).await {
            Ok(node_id) => admit_response::Result::Admitted(Admitted { node_id, cluster_id, cluster_name }),
            Err(MemberError::NotLeader { leader }) => {
                let members = self.node.status().members;
                let leader = members.into_iter().find(|member| Some(member.node_id) == leader);
                let peer_address = leader.map(|leader| leader.peer_address).unwrap_or_default();
                admit_response::Result::AskLeader(AskLeader { peer_address })
            }
            Err(error) => return Err(error.into()),
        };
        Ok(AdmitResponse { result: Some(result) })
    }
}

/// Returns when the port is closing.
async fn stopped(mut stop: watch::Receiver<bool>) {
    // A sender that is gone closes nothing.
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The transfer broke, not this node: nothing has replaced anything.
fn broken(message: impl Into<String>) -> Status {
    Failure::new(Reason::PeerRefused, message).status()
}

#[tonic::async_trait]
impl PeerService for Peers {
    type AppendStream = BoxStream<'static, Result<AppendResponse, Status>>;

    async fn append(&self, request: Request<Streaming<AppendRequest>>) -> Result<Response<Self::AppendStream>, Status> {
        let call = self.calls.append.start();
        self.admit_member(request.metadata())?;
        let incoming = request.into_inner();
        let stopped = stopped(self.stop.clone());
        // A broken request ends the stream: going on behind it would lose its entries.
        let unread = Arc::new(Mutex::new(None));
        let found = unread.clone();
        let requests = incoming
            .scan((), move |(), request| {
                let request = request.map_err(|status| *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(status));
                std::future::ready(request.ok())
            })
            .take_until(stopped);
        let answers = self.node.on_append(requests.boxed()).map(|answer| answer.map_err(|error| Failure::from(error).status()));
        let end = stream::once(async move {
            let status = unread.lock().unwrap_or_else(PoisonError::into_inner).take();
            call.end(status.as_ref().map_or(Code::Ok, Status::code));
            status
        });
        let end = end.filter_map(|status| std::future::ready(status.map(Err)));
        Ok(Response::new(answers.chain(end).boxed()))
    }

    async fn identify(&self, request: Request<IdentifyRequest>) -> Result<Response<IdentifyResponse>, Status> {
        self.calls
            .identify
            .count(async {
                let NodeIdentity { cluster_id, cluster_name, .. } = self.identity.tell(request.metadata())?;
                let status = self.node.status();
                // A vote counts: it is given only once some member has begun the log.
                let made = status.initialized || status.term > 0;
                Ok(Response::new(IdentifyResponse { cluster_id, cluster_name, made }))
            })
            .await
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        self.calls
            .join
            .count(async {
                let stop_for = |error| edge::stop_for(&self.on_storage_error, &error);
                self.identity.join(request.metadata(), stop_for).await?;
                Ok(Response::new(JoinResponse {}))
            })
            .await
    }

    async fn admit(&self, request: Request<AdmitRequest>) -> Result<Response<AdmitResponse>, Status> {
        let within = deadline::within(request.metadata());
        let admitted = async { Ok(Response::new(self.admit_joiner(request.into_inner(), within).await?)) };
        self.calls.admit.count(admitted).await
    }

    async fn vote(&self, request: Request<VoteRequest>) -> Result<Response<VoteResponse>, Status> {
        self.calls
            .vote
            .count(async {
                self.admit_member(request.metadata())?;
                Ok(Response::new(self.node.on_vote(request.into_inner()).await.map_err(Failure::from)?))
            })
            .await
    }

    async fn pre_vote(&self, request: Request<VoteRequest>) -> Result<Response<VoteResponse>, Status> {
        self.calls
            .pre_vote
            .count(async {
                self.admit_member(request.metadata())?;
                Ok(Response::new(self.node.on_pre_vote(request.into_inner()).await.map_err(Failure::from)?))
            })
            .await
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<SnapshotRequest>>,
    ) -> Result<Response<SnapshotResponse>, Status> {
        self.calls
            .install_snapshot
            .count(async {
                self.admit_member(request.metadata())?;
                let mut parts = request.into_inner();
                let Some(Part::Header(header)) = parts.message().await?.and_then(|first| first.part) else {
                    return Err(broken("a snapshot begins with its header"));
                };
                let manifest = header.manifest.ok_or_else(|| broken("the snapshot has no manifest"))?;
                let receiver = self.node.ledger().receive_snapshot(manifest);
                let mut receiver = receiver.map_err(|error| broken(error.to_string()))?;
                let mut stopped = pin!(stopped(self.stop.clone()));
                loop {
                    let part = tokio::select! {
                        part = parts.message() => part?,
                        // It may be gigabytes: the leader sends it again when this node is back.
                        () = &mut stopped => return Err(broken("the node is stopping")),
                    };
                    let Some(part) = part else { break };
                    let Some(Part::Chunk(chunk)) = part.part else {
                        return Err(broken("after the header come chunks"));
                    };
                    receiver.write(chunk).await.map_err(|error| broken(error.to_string()))?;
                }
                let snapshot = receiver.finish().await.map_err(|error| broken(error.to_string()))?;
                let meta = snapshot.meta().clone();
                let installed = self.node.on_install_snapshot(header.vote, &meta, snapshot).await;
                Ok(Response::new(installed.map_err(Failure::from)?))
            })
            .await
    }

    async fn transfer_leader(
        &self,
        request: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderResponse>, Status> {
        self.calls
            .peer_transfer_leader
            .count(async {
                self.admit_member(request.metadata())?;
                Ok(Response::new(self.node.on_transfer_leader(request.into_inner()).await.map_err(Failure::from)?))
            })
            .await
    }

    async fn propose(&self, request: Request<ProposeRequest>) -> Result<Response<ProposeResponse>, Status> {
        self.calls
            .propose
            .count(async {
                self.admit_member(request.metadata())?;
                let within = deadline::within(request.metadata());
                Ok(Response::new(self.node.on_propose(request.into_inner(), within).await.map_err(Failure::from)?))
            })
            .await
    }

    async fn read_index(&self, request: Request<ReadIndexRequest>) -> Result<Response<ReadIndexResponse>, Status> {
        self.calls
            .read_index
            .count(async {
                self.admit_member(request.metadata())?;
                let within = deadline::within(request.metadata());
                Ok(Response::new(self.node.on_read_index(request.into_inner(), within).await.map_err(Failure::from)?))
            })
            .await
    }
}

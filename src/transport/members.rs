//! `stampede.admin.v1.MemberService`: who is a member, on the operators' port.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};

use crate::consensus::{MemberChange, MemberError, MemberPlan, Quorum};
use crate::limits;
use crate::proto::admin;
use crate::proto::admin::member_service_server::MemberService;
use crate::storage::LedgerStore as _;
use crate::transport::calls::CallMetrics;
use crate::transport::edge::Edge;
use crate::transport::errors::{Failure, Reason};
use crate::transport::ledger_node::ClusterNode;
use crate::transport::peers::ClusterIdentity;
use crate::transport::{deadline, status, validate};

pub struct Members {
    edge: Edge<ClusterNode>,
    identity: ClusterIdentity,
    calls: Arc<CallMetrics>,
}

impl Members {
    #[must_use]
    pub fn new(edge: Edge<ClusterNode>, identity: ClusterIdentity, calls: Arc<CallMetrics>) -> Self {
        Self { edge, identity, calls }
    }

    async fn change(&self, change: MemberChange, dry_run: bool, within: Duration) -> Result<admin::MemberPlan, Failure> {
        let made = self.edge.node().change_members(change, dry_run, within).await;
        made.map(plan).map_err(|error| self.told(error))
    }

    fn told(&self, error: MemberError) -> Failure {
        let leader = if let MemberError::NotLeader { leader } = &error { *leader } else { None };
        self.edge.with_leader(error.into(), leader)
    }

    fn list(&self) -> Result<admin::ListMembersResponse, Failure> {
        let node = self.edge.node();
        let now = node.status();
        if !now.leads() {
            return Err(self.told(MemberError::NotLeader { leader: now.leader }));
        }
        let meta = node.ledger().meta();
        let tokens = meta.cluster.tokens.iter().map(|(id, token)| admin::OpenToken {
            token_id: id.to_vec(),
            expires_at_ms: millis(token.expires_at.0),
            node_id: token.admitted.map_or(0, |admitted| admitted.node_id),
        });
        let voters = now.members.iter().filter(|member| member.voter);
        let heard = voters.clone().filter(|member| member.heard == Some(true));
        let present = Quorum {
            voters: voters.map(|member| member.node_id).collect(),
            heard: heard.map(|member| member.node_id).collect(),
        };
        Ok(admin::ListMembersResponse {
            leader_id: now.node_id,
            joint: now.joint,
            quorum: Some(quorum(&present)),
            tokens: tokens.collect(),
            cluster_name: self.identity.data().identity().cluster_name,
            promote_lag_entries_max: limits::PROMOTE_LAG_ENTRIES_MAX,
            members: status::members(&now),
        })
    }

    async fn create_token(
        &self,
        request: admin::CreateJoinTokenRequest,
        within: Duration,
    ) -> Result<admin::CreateJoinTokenResponse, Failure> {
        let token = validate::fixed_bytes("token_id", &request.token_id)?;
        let secret = validate::fixed_bytes("secret_blake3", &request.secret_blake3)?;
        let valid_for_ms = validate::token_validity(request.valid_for_ms)?;
        let issued = self.edge.node().issue_token(token, secret, valid_for_ms, within).await;
        let issued = issued.map_err(|error| self.told(error))?;
        let identity = self.identity.data().identity();
        let members = self.edge.node().status().members;
        Ok(admin::CreateJoinTokenResponse {
            cluster_id: identity.cluster_id,
            cluster_name: identity.cluster_name,
            expires_at_ms: millis(issued.expires_at.0),
            peer_addresses: members.into_iter().map(|member| member.peer_address).collect(),
        })
    }
}

/// Times are far below the end of either.
fn millis(time_ms: u64) -> i64 {
    i64::try_from(time_ms).unwrap_or(i64::MAX)
}

fn quorum(of: &Quorum) -> admin::Quorum {
    let size = u32::try_from(of.size()).unwrap_or(u32::MAX);
    admin::Quorum { voter_ids: of.voters.clone(), heard_ids: of.heard.clone(), size }
}

fn plan(plan: MemberPlan) -> admin::MemberPlan {
    admin::MemberPlan {
        before: Some(quorum(&plan.before)),
        after: Some(quorum(&plan.after)),
        was_done: plan.is_done,
        was_begun: plan.is_begun,
    }
}

/// Ids are from 1: 0 is one that was left out.
fn node_id(field: &'static str, node_id: u64) -> Result<u64, Failure> {
    if node_id == 0 { Err(Failure::invalid(field, "must be a node's id, is 0")) } else { Ok(node_id) }
}

#[tonic::async_trait]
impl MemberService for Members {
    async fn list_members(
        &self,
        _request: Request<admin::ListMembersRequest>,
    ) -> Result<Response<admin::ListMembersResponse>, Status> {
        self.calls.list_members.count(async { Ok(Response::new(self.list()?)) }).await
    }

    async fn create_join_token(
        &self,
        request: Request<admin::CreateJoinTokenRequest>,
    ) -> Result<Response<admin::CreateJoinTokenResponse>, Status> {
        let within = deadline::within(request.metadata());
        let created = async { Ok(Response::new(self.create_token(request.into_inner(), within).await?)) };
        self.calls.create_join_token.count(created).await
    }

    async fn promote_member(
        &self,
        request: Request<admin::PromoteMemberRequest>,
    ) -> Result<Response<admin::PromoteMemberResponse>, Status> {
        let (within, request) = (deadline::within(request.metadata()), request.into_inner());
        let promoted = async {
            let change = MemberChange::Promote { node_id: node_id("node_id", request.node_id)? };
            let plan = Some(self.change(change, request.dry_run, within).await?);
            Ok(Response::new(admin::PromoteMemberResponse { plan }))
        };
        self.calls.promote_member.count(promoted).await
    }

    async fn remove_member(
        &self,
        request: Request<admin::RemoveMemberRequest>,
    ) -> Result<Response<admin::RemoveMemberResponse>, Status> {
        let (within, request) = (deadline::within(request.metadata()), request.into_inner());
        let removed = async {
            let change = MemberChange::Remove { node_id: node_id("node_id", request.node_id)? };
            let plan = Some(self.change(change, request.dry_run, within).await?);
            Ok(Response::new(admin::RemoveMemberResponse { plan }))
        };
        self.calls.remove_member.count(removed).await
    }

    async fn replace_member(
        &self,
        request: Request<admin::ReplaceMemberRequest>,
    ) -> Result<Response<admin::ReplaceMemberResponse>, Status> {
        let (within, request) = (deadline::within(request.metadata()), request.into_inner());
        let replaced = async {
            let (old, new) = (request.old_node_id, request.new_node_id);
            let change = MemberChange::Replace { old: node_id("old_node_id", old)?, new: node_id("new_node_id", new)? };
            if old == new {
                return Err(Failure::invalid("new_node_id", "must be another node than old_node_id").status());
            }
            let plan = Some(self.change(change, request.dry_run, within).await?);
            Ok(Response::new(admin::ReplaceMemberResponse { plan }))
        };
        self.calls.replace_member.count(replaced).await
    }
}

/// What a new node presents, parsed.
pub(super) struct Presented {
    pub(super) token: [u8; 16],
    pub(super) joiner: [u8; 16],
}

/// # Errors
/// `INVALID_FIELD`; `OTHER_CLUSTER`: the token is another cluster's.
pub(super) fn presented(request: &crate::proto::raft::AdmitRequest, cluster_id: &str) -> Result<Presented, Failure> {
    let presented = Presented {
        token: validate::fixed_bytes("token_id", &request.token_id)?,
        joiner: validate::fixed_bytes("joiner", &request.joiner)?,
    };
    for (field, address) in [("peer_address", &request.peer_address), ("client_address", &request.client_address)] {
        if !validate::is_host_port(address) {
            return Err(Failure::invalid(field, format_args!("must be host:port, is {address:?}")));
        }
    }
    if cluster_id.is_empty() || request.cluster_id != cluster_id {
        let message = format!("the token is of cluster {}, this node of cluster {cluster_id:?}", request.cluster_id);
        return Err(Failure::new(Reason::OtherCluster, message));
    }
    Ok(presented)
}

//! What a node knows of itself and of the cluster, in the terms of the operators' API.

use std::time::Instant;

use crate::consensus::{Consistency, MemberStatus, NodeStatus, Role};
use crate::domain::LedgerView;
use crate::limits;
use crate::proto::admin;
use crate::storage::data_dir::NodeIdentity;
use crate::storage::{LogPosition, RocksView};
use crate::transport::edge::Edge;
use crate::transport::ledger_node::ClusterNode;
use crate::transport::wire;

/// At once, also without a leader.
pub(super) async fn status(edge: &Edge<ClusterNode>, identity: &NodeIdentity, started: Instant) -> admin::GetStatusResponse {
    // What follows (purged, snapshot, applied, committed, last) is looked at in its order, so that none is ahead of the next.
    let earlier = edge.node().status();
    // Index, digest and totals of one state.
    let of_one_state = |view: &RocksView| Ok((view.meta().clone(), view.totals()?));
    let state = edge.read(Consistency::Stale, limits::CALL_DEADLINE_DEFAULT, of_one_state).await;
    let status = edge.node().status();
    // Without a readable state the rest is still worth knowing.
    let (applied, digest, audit_head, totals) = match state {
        Ok((_, (meta, totals))) => (meta.applied, meta.digest, meta.audit_head.to_string(), Some(wire::totals(&totals))),
        Err(_) => (status.applied, status.digest, String::new(), None),
    };
    let uptime_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let index = |position: Option<LogPosition>| position.map_or(0, |position| position.index);
    admin::GetStatusResponse {
        cluster_id: identity.cluster_id.clone(),
        cluster_name: identity.cluster_name.clone(),
        node_id: status.node_id,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        role: role(&status).into(),
        term: status.term,
        voted_for: status.voted_for.unwrap_or(0),
        leader_id: status.leader.unwrap_or(0),
        last_log_index: status.last_log_index.unwrap_or(0),
        committed_index: index(status.committed),
        applied_index: index(applied),
        snapshot_index: index(earlier.snapshot),
        purged_index: index(earlier.purged),
        digest: digest.to_string(),
        audit_head,
        members: members(&status),
        draining: status.draining,
        totals,
        uptime_ms,
        hears_leader: status.hears_leader,
        disk_low: status.disk_low,
        refuses_new_orders: status.refuses_new_orders,
    }
}

fn role(status: &NodeStatus) -> admin::NodeRole {
    match status.role {
        Role::Uninitialized => admin::NodeRole::Uninitialized,
        Role::Learner => admin::NodeRole::Learner,
        Role::Follower => admin::NodeRole::Follower,
        Role::Candidate => admin::NodeRole::Candidate,
        Role::Leader => admin::NodeRole::Leader,
        Role::Shutdown => admin::NodeRole::Shutdown,
    }
}

pub(super) fn members(status: &NodeStatus) -> Vec<admin::Member> {
    let next = status.last_log_index.map_or(0, |last| last + 1);
    let lag = |member: &MemberStatus| next.saturating_sub(member.matched.map_or(0, |matched| matched + 1));
    let member = |member: &MemberStatus| admin::Member {
        node_id: member.node_id,
        client_address: member.client_address.clone(),
        peer_address: member.peer_address.clone(),
        voter: member.voter,
        matched_index: member.matched.unwrap_or(0),
        // Only the leader knows.
        lag_entries: if status.leads() { lag(member) } else { 0 },
        heard: member.heard.unwrap_or(false),
        disk_low: member.disk_low.unwrap_or(false),
    };
    status.members.iter().map(member).collect()
}

//! What `top` shows of two looks: how each node stands, and how fast things go.

use std::time::{Duration, Instant};

use super::page::{Page, quantile};
use crate::operations::cli::order::short_name;
use crate::proto::admin::{GetStatusResponse, NodeRole};

/// Of calls of one request and one answer, by clients.
const CLIENTS_CALLS: [&str; 2] = ["grpc_service=\"stampede.v1.IssuanceService\"", "grpc_type=\"unary\""];

/// One node, as it told of itself.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) address: String,
    /// None: it did not answer.
    pub(super) answer: Option<(GetStatusResponse, Page)>,
    pub(super) at: Instant,
}

/// A node between two looks. What is not known is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct NodeFigures {
    /// Its id, or the address that does not answer.
    pub(super) name: String,
    pub(super) role: String,
    pub(super) term: Option<u64>,
    pub(super) applied: Option<u64>,
    /// Entries that the leader does not know to be there.
    pub(super) lag: Option<u64>,
    /// Commands that it answered, a second.
    pub(super) commands_per_second: Option<f64>,
    pub(super) p99: Option<Duration>,
    /// Commands that wait to be proposed.
    pub(super) queued: Option<u64>,
    pub(super) disk_free_bytes: Option<u64>,
    /// Of the whole disk.
    pub(super) disk_free_share: Option<f64>,
}

/// The ledger, by the node that has applied most.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ClusterFigures {
    pub(super) name: String,
    pub(super) leader: Option<u64>,
    pub(super) orders_per_second: Option<f64>,
    pub(super) issued_per_second: Option<f64>,
    pub(super) stock_free: Option<u64>,
    pub(super) refunds_due: Option<u64>,
    pub(super) paid_not_issued: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Figures {
    pub(super) cluster: ClusterFigures,
    pub(super) nodes: Vec<NodeFigures>,
}

/// Both looks are of the same nodes, in the same order.
pub(super) fn figures(before: &[Told], now: &[Told]) -> Figures {
    let leader = now.iter().filter_map(|told| told.answer.as_ref()).find(|(status, _)| status.role() == NodeRole::Leader);
    let leader = leader.map(|(status, _)| status);
    let nodes = before.iter().zip(now).map(|(before, now)| node(before, now, leader)).collect();
    Figures { cluster: cluster(before, now), nodes }
}

fn node(before: &Told, now: &Told, leader: Option<&GetStatusResponse>) -> NodeFigures {
    let Some((status, page)) = &now.answer else {
        return NodeFigures { name: now.address.clone(), role: "unreachable".to_owned(), ..NodeFigures::default() };
    };
    let earlier = before.answer.as_ref().map(|(_, page)| page);
    let seconds = now.at.duration_since(before.at).as_secs_f64();
    let known = leader.and_then(|leader| leader.members.iter().find(|member| member.node_id == status.node_id));
    let buckets = |page: &Page| page.buckets("grpc_server_handling_seconds", &CLIENTS_CALLS);
    let p99 = earlier.and_then(|earlier| quantile(0.99, &buckets(earlier), &buckets(page)));
    let (free, size) = (page.sum("stampede_storage_disk_free_bytes"), page.sum("stampede_storage_disk_size_bytes"));
    NodeFigures {
        name: status.node_id.to_string(),
        role: short_name(status.role().as_str_name(), "NODE_ROLE_").as_str().unwrap_or_default().to_owned(),
        term: Some(status.term),
        applied: Some(status.applied_index),
        lag: known.map(|member| member.lag_entries),
        commands_per_second: earlier.and_then(|earlier| rate(earlier, page, "stampede_raft_commands_answered_total", seconds)),
        p99: p99.map(Duration::from_secs_f64),
        queued: page.sum("stampede_raft_proposals_queued_commands").map(whole),
        disk_free_bytes: free.map(whole),
        disk_free_share: free.zip(size).filter(|(_, size)| *size > 0.0).map(|(free, size)| free / size),
    }
}

fn cluster(before: &[Told], now: &[Told]) -> ClusterFigures {
    let furthest = |told: &[Told]| {
        let answers = told.iter().filter_map(|told| Some((told.at, told.answer.clone()?)));
        answers.max_by_key(|(_, (status, _))| status.applied_index)
    };
    let Some((at, (status, page))) = furthest(now) else { return ClusterFigures::default() };
    let earlier = furthest(before);
    let per_second = |name| {
        let (earlier_at, (_, earlier)) = earlier.as_ref()?;
        rate(earlier, &page, name, at.saturating_duration_since(*earlier_at).as_secs_f64())
    };
    ClusterFigures {
        name: status.cluster_name.clone(),
        leader: status.hears_leader.then_some(status.leader_id),
        orders_per_second: per_second("stampede_orders"),
        issued_per_second: per_second("stampede_serials_issued_total"),
        stock_free: page.sum("stampede_stock_free_serials").map(whole),
        refunds_due: page.sum("stampede_refunds_due_orders").map(whole),
        paid_not_issued: page.sum("stampede_paid_not_issued_orders").map(whole),
    }
}

/// A second. What counts less than before has started again, or is told by a node that lacks the newest entries.
fn rate(before: &Page, now: &Page, name: &str, seconds: f64) -> Option<f64> {
    let came = now.sum(name)? - before.sum(name).unwrap_or(0.0);
    (seconds > 0.0).then_some(came.max(0.0) / seconds)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts and bytes: whole and not negative")]
fn whole(value: f64) -> u64 {
    value.max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::admin::Member;

    fn told(at: Instant, node_id: u64, role: NodeRole, applied: u64, page: &str) -> Told {
        let members = vec![Member { node_id: 2, lag_entries: 4, ..Member::default() }];
        let status = GetStatusResponse {
            node_id,
            role: role.into(),
            applied_index: applied,
            hears_leader: true,
            leader_id: 1,
            cluster_name: "rush".to_owned(),
            members,
            ..GetStatusResponse::default()
        };
        Told { address: format!("node-{node_id}:7703"), answer: Some((status, Page::read(page))), at }
    }

    #[test]
    fn rates_are_of_the_time_between_two_looks_and_the_ledgers_of_the_node_that_is_furthest() {
        let start = Instant::now();
        let later = start + Duration::from_secs(2);
        let silent = |at| Told { address: "node-3:7703".to_owned(), answer: None, at };
        let before = [
            told(start, 1, NodeRole::Leader, 10, "stampede_orders{state=\"a\"} 10\nstampede_raft_commands_answered_total 5\n"),
            told(start, 2, NodeRole::Follower, 9, "stampede_orders{state=\"a\"} 9\n"),
            silent(start),
        ];
        let now = [
            told(
                later,
                1,
                NodeRole::Leader,
                30,
                "stampede_orders{state=\"a\"} 30\nstampede_raft_commands_answered_total 25\nstampede_storage_disk_free_bytes 25\n\
                 stampede_storage_disk_size_bytes 100\n",
            ),
            told(later, 2, NodeRole::Follower, 26, "stampede_orders{state=\"a\"} 26\n"),
            silent(later),
        ];
        let figures = figures(&before, &now);
        assert_eq!((figures.cluster.name.as_str(), figures.cluster.leader), ("rush", Some(1)));
        assert_eq!(figures.cluster.orders_per_second, Some(10.0));
        let [leader, follower, gone] = &figures.nodes[..] else { panic!("{figures:?}") };
        assert_eq!((leader.commands_per_second, leader.disk_free_share), (Some(10.0), Some(0.25)));
        assert_eq!((follower.role.as_str(), follower.lag, follower.commands_per_second), ("follower", Some(4), None));
        assert_eq!((gone.name.as_str(), gone.role.as_str(), gone.term), ("node-3:7703", "unreachable", None));
    }
}

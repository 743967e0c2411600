//! Follows the node's status: counts what only a change shows, and writes a line for each change that matters.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::consensus::NodeStatus;

/// What was seen since the process started.
#[derive(Debug)]
pub struct Seen {
    leader_changes: AtomicU64,
    /// The other members as configured: until there is a cluster.
    configured: Vec<u64>,
}

impl Seen {
    #[must_use]
    pub fn new(configured: impl IntoIterator<Item = u64>) -> Self {
        Self { leader_changes: AtomicU64::new(0), configured: configured.into_iter().collect() }
    }

    #[must_use]
    pub fn leader_changes(&self) -> u64 {
        self.leader_changes.load(Relaxed)
    }

    /// The other members, with their names as labels: those of the cluster; before there is one, those of the configuration.
    #[must_use]
    pub fn peers(&self, status: &NodeStatus) -> Vec<(u64, String)> {
        let members = status.members.iter().map(|member| member.node_id).filter(|id| *id != status.node_id);
        let ids: Vec<u64> = if status.members.is_empty() { self.configured.clone() } else { members.collect() };
        ids.into_iter().map(|id| (id, id.to_string())).collect()
    }

    /// Compares two statuses, the newer last.
    pub fn note(&self, before: &NodeStatus, now: &NodeStatus) {
        if now.leader != before.leader {
            if now.leader.is_some() {
                self.leader_changes.fetch_add(1, Relaxed);
            }
            tracing::info!(event = "leader_changed", leader = now.leader, term = now.term, "the leader is another");
        }
        if now.role != before.role {
            tracing::info!(event = "role_changed", role = ?now.role, term = now.term, "this node has another role");
        }
        if now.initialized && !before.initialized {
            tracing::info!(event = "cluster_made", "the cluster is made: this node has heard of it");
        }
        if now.snapshot != before.snapshot {
            tracing::info!(event = "snapshot", index = now.snapshot.map(|position| position.index), "a snapshot is durable");
        }
        if let (Some(reason), None) = (&now.fatal, &before.fatal) {
            tracing::error!(event = "fatal", reason, "this node cannot go on");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::health::tests::healthy;

    #[test]
    fn a_leader_is_counted_when_it_becomes_known_and_not_when_it_is_lost() {
        let seen = Seen::new([1, 3]);
        let without = NodeStatus { leader: None, ..healthy() };
        let other = NodeStatus { leader: Some(3), ..healthy() };
        seen.note(&healthy(), &healthy());
        seen.note(&healthy(), &without);
        assert_eq!(seen.leader_changes(), 0);
        seen.note(&without, &other);
        seen.note(&other, &healthy());
        assert_eq!(seen.leader_changes(), 2);
    }
}

//! Whether this node should be given calls: one list of named checks behind `/readyz`, `/startupz` and gRPC health.
//!
//! `/livez` is not here: it is true as long as the process answers. It never asks for the quorum, so that a cluster without a
//! leader is not restarted node by node.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::consensus::{NodeStatus, Role};
use crate::limits::READY_APPLY_LAG_ENTRIES_MAX;

/// How far the process has come, and what it lacks; the node's status tells the rest.
#[derive(Debug, Default)]
pub struct Lifecycle {
    is_started: AtomicBool,
    is_stopping: AtomicBool,
    /// Series that were opened with another key than this process has.
    series_of_other_keys: Mutex<Vec<String>>,
}

impl Lifecycle {
    /// All listeners are open.
    pub fn started(&self) {
        self.is_started.store(true, Relaxed);
    }

    /// An orderly stop has begun: new calls should go elsewhere.
    pub fn stopping(&self) {
        self.is_stopping.store(true, Relaxed);
    }

    /// True if they are others than before.
    pub fn set_series_of_other_keys(&self, series: Vec<String>) -> bool {
        let mut known = self.series_of_other_keys();
        let is_new = *known != series;
        *known = series;
        is_new
    }

    fn series_of_other_keys(&self) -> MutexGuard<'_, Vec<String>> {
        self.series_of_other_keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub is_ok: bool,
    /// Why not; empty if it is.
    pub detail: String,
}

fn check(name: &'static str, is_ok: bool, detail: impl FnOnce() -> String) -> Check {
    Check { name, is_ok, detail: if is_ok { String::new() } else { detail() } }
}

/// Names of the checks of [`readiness`], for `exclude` and for metrics that are there from the start.
pub const READINESS: [&str; 9] =
    ["started", "running", "initialized", "voter", "leader", "applied", "disk", "serial_key", "serving"];

/// In the order of [`READINESS`].
#[must_use]
pub fn readiness(status: &NodeStatus, lifecycle: &Lifecycle) -> Vec<Check> {
    let lag = apply_lag(status);
    let others = lifecycle.series_of_other_keys();
    vec![
        check("started", lifecycle.is_started.load(Relaxed), || "listeners are not open yet".to_owned()),
        check("running", status.fatal.is_none() && status.role != Role::Shutdown, || {
            status.fatal.clone().unwrap_or_else(|| "consensus has stopped".to_owned())
        }),
        check("initialized", status.initialized, || "waits for `stampede init`".to_owned()),
        check("voter", status.role != Role::Learner, || {
            format!("is a learner: `stampede member promote {}` gives it its vote once it has caught up", status.node_id)
        }),
        check("leader", status.hears_leader, || {
            if status.leads() { "this leader hears no majority" } else { "no leader is heard" }.to_owned()
        }),
        check("applied", lag <= READY_APPLY_LAG_ENTRIES_MAX, || {
            format!("{lag} committed entries are not applied, limit {READY_APPLY_LAG_ENTRIES_MAX}")
        }),
        // Only while others have room: a cluster whose disks are all low goes on taking payments, at all of its nodes.
        check("disk", !status.disk_low || status.refuses_new_orders, || {
            "less room is free than node.disk_floor, and other nodes have more".to_owned()
        }),
        check("serial_key", others.is_empty(), || {
            format!("series {} was opened with another key than serials.key_file has", others.join(", "))
        }),
        check("serving", !status.draining && !lifecycle.is_stopping.load(Relaxed), || "is being drained or stopped".to_owned()),
    ]
}

/// Committed entries, as far as this node knows, that it has not applied.
#[must_use]
pub fn apply_lag(status: &NodeStatus) -> u64 {
    let index = |position: Option<crate::storage::LogPosition>| position.map_or(0, |position| position.index);
    index(status.committed).saturating_sub(index(status.applied))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::storage::{LogPosition, StateDigest};

    /// A follower that lacks nothing.
    pub fn healthy() -> NodeStatus {
        NodeStatus {
            node_id: 2,
            role: Role::Follower,
            term: 3,
            voted_for: Some(1),
            leader: Some(1),
            hears_leader: true,
            last_log_index: Some(10),
            committed: Some(LogPosition { term: 3, index: 10 }),
            applied: Some(LogPosition { term: 3, index: 10 }),
            snapshot: None,
            purged: None,
            digest: StateDigest::default(),
            members: Vec::new(),
            joint: false,
            removed: false,
            initialized: true,
            draining: false,
            disk_low: false,
            refuses_new_orders: false,
            fatal: None,
        }
    }

    fn failing(status: &NodeStatus, lifecycle: &Lifecycle) -> Vec<&'static str> {
        readiness(status, lifecycle).into_iter().filter(|check| !check.is_ok).map(|check| check.name).collect()
    }

    #[test]
    fn each_thing_that_is_wrong_fails_the_check_of_its_name_alone() {
        let lifecycle = Lifecycle::default();
        assert_eq!(failing(&healthy(), &lifecycle), ["started"]);
        lifecycle.started();
        let far_behind = Some(LogPosition { term: 3, index: 11 + READY_APPLY_LAG_ENTRIES_MAX });
        let table: [(NodeStatus, &[&str]); 9] = [
            (healthy(), &[]),
            (NodeStatus { role: Role::Learner, ..healthy() }, &["voter"]),
            (NodeStatus { fatal: Some("disk".to_owned()), ..healthy() }, &["running"]),
            (NodeStatus { initialized: false, leader: None, hears_leader: false, ..healthy() }, &["initialized", "leader"]),
            (NodeStatus { hears_leader: false, ..healthy() }, &["leader"]),
            (NodeStatus { committed: far_behind, ..healthy() }, &["applied"]),
            (NodeStatus { disk_low: true, ..healthy() }, &["disk"]),
            (NodeStatus { disk_low: true, refuses_new_orders: true, ..healthy() }, &[]),
            (NodeStatus { draining: true, ..healthy() }, &["serving"]),
        ];
        for (status, expected) in table {
            assert_eq!(failing(&status, &lifecycle), expected, "{status:?}");
        }
        assert!(lifecycle.set_series_of_other_keys(vec!["CPN".to_owned()]));
        assert_eq!(failing(&healthy(), &lifecycle), ["serial_key"]);
        assert!(lifecycle.set_series_of_other_keys(Vec::new()));
        lifecycle.stopping();
        assert_eq!(failing(&healthy(), &lifecycle), ["serving"]);
    }

    #[test]
    fn the_names_are_those_of_the_checks_in_their_order() {
        let names: Vec<&str> = readiness(&healthy(), &Lifecycle::default()).into_iter().map(|check| check.name).collect();
        assert_eq!(names, READINESS);
    }
}

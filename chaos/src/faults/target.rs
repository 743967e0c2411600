//! Whom a fault hits: found when it fires, by asking the nodes themselves.

use std::time::Duration;

use tokio::time::Instant;

use super::plan::PlannedFault;
use crate::cluster::Cluster;
use crate::history::{NodeRole, wire};
use crate::limits;
use crate::proto::admin::GetStatusResponse;
use crate::scenario::FaultKind;

/// Between two looks for a target.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// A node and what it was when its fault fired.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) node: u16,
    pub(super) role: NodeRole,
    pub(super) term: u64,
}

/// Waits for the state that the fault wants: every node up, and a leader.
pub(super) async fn find(cluster: &Cluster, fault: &PlannedFault) -> Vec<Target> {
    let until = Instant::now() + limits::TARGET_WAIT_MAX;
    loop {
        if let Some(statuses) = all_answer(cluster).await {
            let targets = choose(fault, &statuses);
            if !targets.is_empty() {
                return targets;
            }
        }
        if Instant::now() >= until {
            return Vec::new();
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

/// What each node says of itself; `None` if one does not answer.
pub(super) async fn all_answer(cluster: &Cluster) -> Option<Vec<(u16, GetStatusResponse)>> {
    let statuses = cluster.statuses().await;
    (statuses.len() == cluster.nodes().len()).then_some(statuses)
}

/// Who leads, if somebody does: in the highest term.
pub(super) fn leader(statuses: &[(u16, GetStatusResponse)]) -> Option<&GetStatusResponse> {
    let leads = |status: &&GetStatusResponse| wire::node_role(status.role) == NodeRole::Leader;
    statuses.iter().map(|(_, status)| status).filter(leads).max_by_key(|status| status.term)
}

/// Nobody, if there is no leader: what hits a cluster that does not work shows nothing.
pub(super) fn choose(fault: &PlannedFault, statuses: &[(u16, GetStatusResponse)]) -> Vec<Target> {
    let target = |(node, status): &(u16, GetStatusResponse)| Target {
        node: *node,
        role: wire::node_role(status.role),
        term: status.term,
    };
    let all: Vec<Target> = statuses.iter().map(target).collect();
    let leads = |target: &&Target| target.role == NodeRole::Leader;
    let Some(leader) = all.iter().filter(leads).max_by_key(|target| target.term) else { return Vec::new() };
    let one_of = |among: Vec<Target>| {
        let nth = (fault.choice as usize).checked_rem(among.len());
        nth.map(|nth| among[nth]).into_iter().collect()
    };
    match (fault.kind, fault.kind.role()) {
        (_, "leader") => vec![*leader],
        (_, "follower") => one_of(all.into_iter().filter(|target| target.role == NodeRole::Follower).collect()),
        (FaultKind::Bridge, _) => one_of(all),
        _ => all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::admin::NodeRole as WireRole;
    use crate::scenario::Parameters;

    fn status(node: u16, role: WireRole, term: u64) -> (u16, GetStatusResponse) {
        (node, GetStatusResponse { role: role.into(), term, ..Default::default() })
    }

    fn nodes_of(kind: FaultKind, statuses: &[(u16, GetStatusResponse)]) -> Vec<u16> {
        let fault = PlannedFault { number: 1, kind, at_ms: 0, lasts_ms: 0, parameters: Parameters::default(), choice: 5 };
        choose(&fault, statuses).iter().map(|target| target.node).collect()
    }

    #[test]
    fn the_leader_is_the_one_of_the_highest_term() {
        let statuses = [status(1, WireRole::Leader, 4), status(2, WireRole::Leader, 5), status(3, WireRole::Follower, 5)];
        assert_eq!(nodes_of(FaultKind::KillLeader, &statuses), [2]);
        assert_eq!(nodes_of(FaultKind::KillFollower, &statuses), [3]);
        assert_eq!(nodes_of(FaultKind::KillAll, &statuses), [1, 2, 3]);
    }

    #[test]
    fn without_a_leader_nothing_fires() {
        let statuses = [status(1, WireRole::Candidate, 4), status(2, WireRole::Follower, 4)];
        for kind in FaultKind::ALL {
            assert!(nodes_of(kind, &statuses).is_empty(), "{}", kind.name());
        }
    }
}

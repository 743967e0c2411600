//! `guards.quorum_margin`: whether what is about to fire leaves nodes enough.
//!
//! Counted is what the nodes themselves say in that moment, not what the plan expects: one that is still coming back, or has lost its
//! leader, is none that a majority can do without.

use std::collections::BTreeSet;

use tokio::time::{Instant, sleep};

use super::LOOK_PAUSE;
use super::schedule::Aimed;
use crate::cluster::Cluster;
use crate::history::{NodeRole, wire};
use crate::limits;
use crate::proto::admin::GetStatusResponse;
use crate::scenario::Guards;

/// Why they may not fire. A cluster that is not whole is given the time in which a fault waits for its targets.
pub(super) async fn refusal(cluster: &Cluster, guards: &Guards, aimed: &[Aimed<'_>]) -> Option<String> {
    let nodes = u16::try_from(cluster.nodes().len()).ok()?;
    let needed = guards.nodes_left_min(nodes)?;
    let until = Instant::now() + limits::TARGET_WAIT_MAX;
    loop {
        let there = there(&cluster.statuses().await);
        let left = left(&there, aimed);
        if left >= usize::from(needed) {
            return None;
        }
        if there.len() == usize::from(nodes) || Instant::now() >= until {
            let names: Vec<&str> = aimed.iter().map(|one| one.fault.kind.name()).collect();
            let (names, there) = (names.join(" and "), there.len());
            return Some(format!(
                "guards.quorum_margin: {names} would leave {left} of {nodes} nodes ({there} are well), {needed} must be left"
            ));
        }
        sleep(LOOK_PAUSE).await;
    }
}

/// Those that take part and hear of a leader, or of a majority.
fn there(statuses: &[(u16, GetStatusResponse)]) -> BTreeSet<u16> {
    let takes_part = |status: &GetStatusResponse| {
        let role = wire::node_role(status.role);
        matches!(role, NodeRole::Leader | NodeRole::Follower) && status.hears_leader && !status.draining
    };
    statuses.iter().filter(|(_, status)| takes_part(status)).map(|(node, _)| *node).collect()
}

/// How many are left with all of the faults on.
fn left(there: &BTreeSet<u16>, aimed: &[Aimed<'_>]) -> usize {
    let takes_away = aimed.iter().filter(|one| one.fault.kind.takes_away());
    let away: BTreeSet<u16> = takes_away.flat_map(|one| &one.targets).map(|target| target.node).collect();
    there.difference(&away).count()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::faults::plan::PlannedFault;
    use crate::faults::target::Target;
    use crate::proto::admin::NodeRole as WireRole;
    use crate::scenario::FaultKind;
    use crate::scenario::Parameters;

    fn status(node: u16, role: WireRole, hears_leader: bool, draining: bool) -> (u16, GetStatusResponse) {
        (node, GetStatusResponse { role: role.into(), hears_leader, draining, ..GetStatusResponse::default() })
    }

    #[test]
    fn a_node_that_hears_no_leader_or_leaves_is_none_to_count_on() {
        let statuses = [
            status(1, WireRole::Leader, true, false),
            status(2, WireRole::Follower, true, false),
            status(3, WireRole::Follower, false, false),
            status(4, WireRole::Follower, true, true),
            status(5, WireRole::Learner, true, false),
            status(6, WireRole::Candidate, false, false),
        ];
        assert_eq!(there(&statuses), BTreeSet::from([1, 2]));
    }

    #[test]
    fn what_faults_take_away_together_is_counted_once_for_each_node() {
        let fault =
            |kind| PlannedFault { number: 1, kind, at_ms: 0, lasts_ms: 0, parameters: Parameters::default(), choice: 0 };
        let left_by = |there: &[u16], faults: &[(FaultKind, &[u16])]| {
            let planned: Vec<PlannedFault> = faults.iter().map(|(kind, _)| fault(*kind)).collect();
            let target = |node: &u16| Target { node: *node, role: NodeRole::Leader, term: 1 };
            let aimed: Vec<Aimed<'_>> = planned
                .iter()
                .zip(faults)
                .map(|(fault, (_, nodes))| Aimed {
                    fault,
                    fires_after: Duration::ZERO,
                    targets: nodes.iter().map(target).collect(),
                })
                .collect();
            left(&there.iter().copied().collect(), &aimed)
        };
        let (pause, mute, kill) = (FaultKind::PauseLeader, FaultKind::MuteLeader, FaultKind::KillFollower);
        assert_eq!(left_by(&[1, 2, 3], &[(pause, &[1])]), 2);
        assert_eq!(left_by(&[1, 2, 3], &[(pause, &[1]), (mute, &[1])]), 2, "one node, twice");
        assert_eq!(left_by(&[1, 2, 3], &[(pause, &[1]), (kill, &[2])]), 1);
        assert_eq!(left_by(&[1, 2], &[(pause, &[1])]), 1, "one is not well already");
        assert_eq!(left_by(&[1, 2], &[(pause, &[3])]), 2, "and it is the one that is hit");
        assert_eq!(left_by(&[1, 2, 3], &[(FaultKind::KillAll, &[1, 2, 3])]), 0);
        assert_eq!(left_by(&[1, 2, 3], &[(FaultKind::SlowLeader, &[1])]), 3, "a slow node is there");
        assert_eq!(left_by(&[1, 2, 3], &[(pause, &[])]), 3, "it found no target");
    }
}

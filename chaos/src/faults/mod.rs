//! Fires the planned faults, one after the other, and says in the history what each one met.
//!
//! A target is found when its fault fires: who leads is asked of the nodes themselves. A fault that finds no target is planned
//! in the history and never injected; the judge counts what landed (V20). Each fault is healed before the next one fires, so
//! that no schedule takes the majority away for longer than it says.

pub mod plan;

use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::Instant;

use crate::cluster::{Cluster, Node};
use crate::history::{FaultEvent, FaultStage, NodeRole, Record, Recorder, wire};
use crate::limits;
use crate::proto::admin::GetStatusResponse;
use crate::scenario::FaultKind;
use plan::PlannedFault;

/// Between two looks for a target.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// A node and what it was when its fault fired.
#[derive(Debug, Clone, Copy)]
struct Target {
    node: u16,
    role: NodeRole,
    term: u64,
}

/// Returns when the last fault is healed: what a node did not do as it should. Calls `landed` for each that hurt.
///
/// # Errors
/// The history can no longer be written, a process outlives SIGKILL, or one does not come up again.
pub async fn inject(
    cluster: &Cluster,
    recorder: &Recorder,
    faults: &[PlannedFault],
    phase_start: Instant,
    landed: impl Fn(FaultKind),
) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    for fault in faults {
        tokio::time::sleep_until(phase_start + fault.at()).await;
        let targets = find_targets(cluster, fault).await;
        if targets.is_empty() {
            let nobody = Target { node: 0, role: NodeRole::Unknown, term: 0 };
            recorder.record(event(recorder, fault, FaultStage::Planned, nobody))?;
            continue;
        }
        let hit = fire(cluster, recorder, fault, &targets)?;
        let mut has_landed = false;
        for target in &hit {
            let Gone { by_fault, problem } = wait_gone(cluster.node(target.node), fault.kind).await?;
            if by_fault {
                recorder.record(event(recorder, fault, FaultStage::Effective, *target))?;
            }
            has_landed |= by_fault;
            problems.extend(problem.map(|problem| format!("fault {}: {problem}", fault.number)));
        }
        if has_landed {
            landed(fault.kind);
        }
        tokio::time::sleep(fault.restart_after()).await;
        restart(cluster, recorder, fault, &hit).await?;
    }
    Ok(problems)
}

/// Those that were signalled.
fn fire(cluster: &Cluster, recorder: &Recorder, fault: &PlannedFault, targets: &[Target]) -> anyhow::Result<Vec<Target>> {
    for target in targets {
        recorder.record(event(recorder, fault, FaultStage::Planned, *target))?;
    }
    let mut hit = Vec::new();
    for target in targets {
        let node = cluster.node(target.node);
        let signalled = if fault.kind == FaultKind::StopLeader { node.signal_stop() } else { node.signal_kill() };
        // A node that ended by itself in this moment was not hit by us.
        if signalled.is_ok() {
            recorder.record(event(recorder, fault, FaultStage::Injected, *target))?;
            hit.push(*target);
        }
    }
    Ok(hit)
}

/// How a process that was signalled went.
struct Gone {
    /// False: it had to be helped along, so the fault did not have its effect.
    by_fault: bool,
    problem: Option<String>,
}

/// The process is gone when it returns.
async fn wait_gone(node: &Node, kind: FaultKind) -> anyhow::Result<Gone> {
    let id = node.id();
    if let Some(exit) = node.wait_down(limits::STOP_DEADLINE).await {
        let is_disorderly = kind == FaultKind::StopLeader && !exit.is_success();
        let problem = is_disorderly.then(|| format!("node {id} was stopped by SIGTERM and ended with {exit}"));
        return Ok(Gone { by_fault: true, problem });
    }
    // It may have ended in this moment.
    let _ended = node.signal_kill();
    ensure!(node.wait_down(limits::KILL_DEADLINE).await.is_some(), "node {id} outlived SIGKILL");
    let waited_s = limits::STOP_DEADLINE.as_secs();
    let problem = format!("node {id} did not end within {waited_s} s of its signal and was killed");
    Ok(Gone { by_fault: false, problem: Some(problem) })
}

async fn restart(cluster: &Cluster, recorder: &Recorder, fault: &PlannedFault, hit: &[Target]) -> anyhow::Result<()> {
    for target in hit {
        cluster.node(target.node).start()?;
    }
    for target in hit {
        let ready = cluster.node(target.node).wait_ready(limits::READY_DEADLINE).await;
        ready.with_context(|| format!("after fault {}", fault.number))?;
        recorder.record(event(recorder, fault, FaultStage::Healed, *target))?;
    }
    Ok(())
}

fn event(recorder: &Recorder, fault: &PlannedFault, stage: FaultStage, target: Target) -> Record {
    Record::Fault(FaultEvent {
        at_ns: recorder.now_ns(),
        fault: fault.number,
        stage,
        kind: fault.kind.name().into(),
        node: target.node,
        role: target.role,
        term: target.term,
    })
}

/// Waits for the state that the fault wants: every node up, and a leader where one is needed.
async fn find_targets(cluster: &Cluster, fault: &PlannedFault) -> Vec<Target> {
    let until = Instant::now() + limits::TARGET_WAIT_MAX;
    loop {
        let statuses = cluster.statuses().await;
        let is_whole = statuses.len() == cluster.nodes().len();
        let targets = choose(fault, &statuses);
        if is_whole && !targets.is_empty() {
            return targets;
        }
        if Instant::now() >= until {
            return Vec::new();
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

fn choose(fault: &PlannedFault, statuses: &[(u16, GetStatusResponse)]) -> Vec<Target> {
    let target = |(node, status): &(u16, GetStatusResponse)| Target {
        node: *node,
        role: wire::node_role(status.role),
        term: status.term,
    };
    let leader = statuses
        .iter()
        .filter(|(_, status)| wire::node_role(status.role) == NodeRole::Leader)
        .max_by_key(|(_, status)| status.term);
    match fault.kind {
        FaultKind::KillLeader | FaultKind::StopLeader => leader.map(target).into_iter().collect(),
        // All at once must hit a cluster that works, or it shows nothing.
        FaultKind::KillAll if leader.is_none() => Vec::new(),
        FaultKind::KillAll => statuses.iter().map(target).collect(),
        FaultKind::KillFollower => {
            let followers: Vec<_> =
                statuses.iter().filter(|(_, status)| wire::node_role(status.role) == NodeRole::Follower).collect();
            if leader.is_none() || followers.is_empty() {
                return Vec::new();
            }
            vec![target(followers[fault.choice as usize % followers.len()])]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::admin::NodeRole as WireRole;

    fn status(node: u16, role: WireRole, term: u64) -> (u16, GetStatusResponse) {
        (node, GetStatusResponse { role: role.into(), term, ..Default::default() })
    }

    fn nodes_of(kind: FaultKind, statuses: &[(u16, GetStatusResponse)]) -> Vec<u16> {
        let fault = PlannedFault { number: 1, kind, at_ms: 0, restart_after_ms: 0, choice: 5 };
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
        for kind in [FaultKind::KillLeader, FaultKind::KillFollower, FaultKind::KillAll, FaultKind::StopLeader] {
            assert!(nodes_of(kind, &statuses).is_empty());
        }
    }
}

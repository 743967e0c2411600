//! V20: the faults landed, and in the state that the scenario wanted. A run that hurt nothing shows nothing: what is missing
//! here makes the run inconclusive, it is no mistake of the system.

use std::collections::{BTreeMap, BTreeSet};

use super::{Evidence, Finding};
use crate::hash::{Map, Set};
use crate::history::{FaultStage, Phase, Purpose, RequiredFault, StatusSample, Text};
use crate::scenario::{FaultKind, Required};

#[must_use]
pub fn faults_landed(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("V20", "the required faults landed, in the wanted state");
    let landed = landed(evidence);
    for required in &evidence.facts.required_faults {
        let count = match required.kind.as_str() {
            Required::SNAPSHOT_INSTALLS => snapshot_installs(&evidence.statuses).len(),
            _ if !required.rounds.is_empty() => rounds_landed(&landed, &required.rounds),
            _ => landed.iter().filter(|fault| counts_for(evidence, fault, required)).count(),
        };
        finding.checked += count as u64;
        if count < required.at_least as usize {
            let role = if required.role.is_empty() { String::new() } else { format!(" on {}", required.role) };
            finding.unsure(format!("{} landed {count} times{role}, {} are required", required.kind, required.at_least));
        }
    }
    if landed.is_empty() && !evidence.faults.is_empty() {
        finding.unsure("faults were planned, and none landed");
    }
    for gap in &evidence.gaps {
        finding.unsure(gap.clone());
    }
    if evidence.phase_start(Phase::Heal).is_some()
        && !evidence.moments.iter().any(|moment| moment.purpose == Purpose::FreshWrite)
    {
        finding.unsure("no fresh write was tried after the heal");
    }
    finding
}

/// A fault, and the nodes that it was seen to hurt.
struct Landed {
    fault: u32,
    kind: Text,
    nodes: BTreeSet<u16>,
}

/// In the order of their numbers. Of a fault that is to hit all nodes, one that is missed leaves another fault.
fn landed(evidence: &Evidence) -> Vec<Landed> {
    let mut faults: BTreeMap<u32, Landed> = BTreeMap::new();
    for event in evidence.faults.iter().filter(|event| event.stage == FaultStage::Effective) {
        let fault = event.fault;
        let new = || Landed { fault, kind: event.kind.clone(), nodes: BTreeSet::new() };
        faults.entry(fault).or_insert_with(new).nodes.insert(event.node);
    }
    let wants_all = |fault: &Landed| [FaultKind::KillAll, FaultKind::PowerCutAll].iter().any(|all| *fault.kind == *all.name());
    let is_whole = |fault: &Landed| evidence.facts.nodes.iter().all(|node| fault.nodes.contains(node));
    faults.into_values().filter(|fault| !wants_all(fault) || is_whole(fault)).collect()
}

/// How often a condition became true and all of its faults landed.
fn rounds_landed(landed: &[Landed], rounds: &[Vec<u32>]) -> usize {
    let is_landed = |number: &u32| landed.iter().any(|fault| fault.fault == *number);
    rounds.iter().filter(|round| round.iter().all(is_landed)).count()
}

fn counts_for(evidence: &Evidence, fault: &Landed, required: &RequiredFault) -> bool {
    let in_role = |node: &u16| role_when_fired(evidence, fault.fault, *node) == required.role;
    *fault.kind == *required.kind && (required.role.is_empty() || fault.nodes.iter().any(in_role))
}

fn role_when_fired(evidence: &Evidence, fault: u32, node: u16) -> &'static str {
    let fired =
        evidence.faults.iter().find(|event| event.fault == fault && event.node == node && event.stage == FaultStage::Injected);
    fired.map_or("unknown", |event| event.role.name())
}

/// Snapshots that a node took over from another one: node and index.
///
/// Such a node's log begins right behind a snapshot that is beyond all that its log held before. (A node that builds its own
/// keeps entries behind it, `entries_kept_after_snapshot`: its purged index stays below the snapshot's.) The samples stand in
/// the order of time; an install between two of them that a snapshot of its own follows at once is missed, none is made up.
fn snapshot_installs(statuses: &[StatusSample]) -> Set<(u16, u64)> {
    let mut last: Map<u16, u64> = Map::default();
    let mut installs = Set::default();
    for sample in statuses {
        let before = last.insert(sample.node, sample.last_log_index);
        let begins_behind_it = sample.purged_index == sample.snapshot_index;
        if begins_behind_it && before.is_some_and(|last_index| sample.snapshot_index > last_index) {
            installs.insert((sample.node, sample.snapshot_index));
        }
    }
    installs
}

/// How often each kind of fault landed.
#[must_use]
pub fn faults_by_kind(evidence: &Evidence) -> BTreeMap<String, u64> {
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for fault in landed(evidence) {
        *kinds.entry(fault.kind.into()).or_default() += 1;
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{FaultEvent, NodeRole};

    #[test]
    fn a_condition_that_did_not_fire_as_often_as_required_leaves_the_run_unsure() {
        let event = |fault, stage| FaultEvent {
            at_ns: 1,
            fault,
            stage,
            kind: "pause-leader".into(),
            node: 1,
            role: NodeRole::Leader,
            term: 1,
        };
        let unsure = |landed: &[u32], at_least| {
            let rounds = vec![vec![4, 5], vec![6, 7]];
            let kind = "what fires when term >= 2".to_owned();
            let required = RequiredFault { kind, at_least, rounds, ..RequiredFault::default() };
            let mut evidence = Evidence::default();
            evidence.facts.required_faults = vec![required];
            evidence.faults = landed.iter().map(|fault| event(*fault, FaultStage::Effective)).collect();
            faults_landed(&evidence).inconclusive
        };
        assert!(unsure(&[4, 5], 1).is_empty() && unsure(&[4, 5, 6, 7], 2).is_empty());
        let told = unsure(&[4, 5, 6], 2);
        assert!(told[0].contains("when term >= 2 landed 1 times, 2 are required"), "all of its faults must land: {told:?}");
        assert!(!unsure(&[], 1).is_empty());
    }

    #[test]
    fn a_snapshot_counts_as_installed_if_the_log_begins_right_behind_it_and_beyond_its_former_end() {
        let sample = |last_log_index, snapshot_index, purged_index| StatusSample {
            node: 2,
            last_log_index,
            snapshot_index,
            purged_index,
            ..StatusSample::default()
        };
        // (last, snapshot, purged) before and after.
        let rows = [
            ((100, 80, 30), (400, 400, 400), 1),
            // Caught up by the log, then a snapshot of its own.
            ((100, 80, 30), (400, 390, 340), 0),
            // Restarted with what it had.
            ((100, 100, 100), (100, 100, 100), 0),
        ];
        for (before, after, expected) in rows {
            let of = |(last, snapshot, purged)| sample(last, snapshot, purged);
            assert_eq!(snapshot_installs(&[of(before), of(after)]).len(), expected, "{before:?} {after:?}");
        }
        assert!(snapshot_installs(&[sample(400, 400, 400)]).is_empty(), "nothing is known of before");
    }

    /// Steps of three faults; the first of them killed the leader, which was node 1.
    fn killed(required: RequiredFault) -> Finding {
        let event = |fault, stage, kind: &str, node, role| FaultEvent {
            at_ns: 1,
            fault,
            stage,
            kind: kind.into(),
            node,
            role,
            term: 1,
        };
        let (leader, follower) = (NodeRole::Leader, NodeRole::Follower);
        let mut evidence = Evidence::default();
        evidence.facts.nodes = vec![1, 2, 3];
        evidence.facts.required_faults = vec![required];
        evidence.faults = vec![
            event(1, FaultStage::Planned, "kill-leader", 1, follower),
            event(2, FaultStage::Injected, "stop-follower", 1, follower),
            event(1, FaultStage::Injected, "kill-leader", 2, follower),
            event(1, FaultStage::Injected, "kill-leader", 1, leader),
            event(1, FaultStage::Effective, "kill-leader", 1, leader),
            event(3, FaultStage::Effective, "kill-all", 1, leader),
            event(3, FaultStage::Effective, "kill-all", 2, follower),
            event(4, FaultStage::Effective, "power-cut-all", 1, leader),
            event(4, FaultStage::Effective, "power-cut-all", 2, follower),
            event(4, FaultStage::Effective, "power-cut-all", 3, follower),
        ];
        let kinds: Vec<(String, u64)> = faults_by_kind(&evidence).into_iter().collect();
        assert_eq!(kinds, [("kill-leader".into(), 1), ("power-cut-all".into(), 1)]);
        faults_landed(&evidence)
    }

    #[test]
    fn a_fault_counts_by_its_kind_in_its_role_and_if_it_hit_all_that_it_was_meant_for() {
        for (kind, role, at_least, landed) in [
            ("kill-leader", "leader", 1, 1),
            ("kill-leader", "", 1, 1),
            ("kill-leader", "leader", 2, 1),
            ("kill-leader", "follower", 1, 0),
            ("kill-follower", "", 1, 0),
            ("kill-all", "", 1, 0),
            ("power-cut-all", "", 1, 1),
        ] {
            let required = RequiredFault { kind: kind.into(), at_least, role: role.into(), ..RequiredFault::default() };
            let finding = killed(required);
            let is_short = landed < at_least;
            assert_eq!((finding.checked, finding.inconclusive.len()), (landed.into(), usize::from(is_short)), "{kind} {role}");
        }
    }

    #[test]
    fn a_snapshot_install_is_required_by_its_name() {
        let sample = |last_log_index, snapshot_index| StatusSample {
            node: 2,
            last_log_index,
            snapshot_index,
            purged_index: snapshot_index,
            ..StatusSample::default()
        };
        let required = RequiredFault { kind: Required::SNAPSHOT_INSTALLS.into(), at_least: 1, ..RequiredFault::default() };
        let mut evidence = Evidence { statuses: vec![sample(100, 80), sample(400, 400)], ..Evidence::default() };
        evidence.facts.required_faults = vec![required];
        assert!(faults_landed(&evidence).inconclusive.is_empty());
        evidence.statuses.pop();
        assert_eq!(faults_landed(&evidence).inconclusive.len(), 1);
    }

    #[test]
    fn after_the_heal_somebody_must_have_tried_a_fresh_write() {
        use crate::checks::made::{call, place, unknown};
        let judge = |phase, purpose| {
            let mut op = call(1, [1, 2], place(3), unknown());
            op.invoke.purpose = purpose;
            let moments = vec![crate::evidence::Moment::of(&op)];
            faults_landed(&Evidence { phases: vec![(1, phase)], moments, ..Evidence::default() }).inconclusive.len()
        };
        assert_eq!(judge(Phase::Heal, Purpose::FreshWrite), 0);
        assert_eq!(judge(Phase::Heal, Purpose::Traffic), 1);
        assert_eq!(judge(Phase::Faults, Purpose::Traffic), 0);
    }
}

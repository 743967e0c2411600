//! V16: what Raft promises, over every sample: one leader a term; a node's term, vote and snapshot never go back, commit, applied
//! and purged only over a restart; purged ≤ snapshot ≤ applied ≤ committed ≤ last. Committed entries never change, as far
//! as the exported log shows an entry more than once; where it does not, the digests of V13 speak for the entries.

use crate::hash::Map;

use super::lost_disks::Losses;
use super::{Case, Evidence, Finding};
use crate::history::{NodeRole, Outcome, ProcessEvent, ProcessStep, StatusSample};

fn finding() -> Finding {
    Finding::new("V16", "Raft: one leader a term, nothing goes back, indexes in order")
}

#[must_use]
pub fn raft_invariants(evidence: &Evidence) -> Finding {
    let mut finding = finding();
    one_leader_a_term(evidence, &mut finding);
    let (starts_and_exits, losses) = (starts_and_exits(&evidence.processes), Losses::of(evidence));
    let mut before: Map<u16, &StatusSample> = Map::default();
    for sample in &evidence.statuses {
        finding.checked += 1;
        in_order(sample, &mut finding);
        // What it had is gone with its disk; what it may not do without it, V19 says.
        let has_what_it_had = |before: &&StatusSample| !losses.lie_between(before, sample);
        if let Some(before) = before.insert(sample.node, sample).filter(has_what_it_had) {
            let changes = starts_and_exits.get(&sample.node).map_or(&[][..], Vec::as_slice);
            let next = changes.partition_point(|at_ns| *at_ns < before.at_ns);
            let restarted = changes.get(next).is_some_and(|at_ns| *at_ns <= sample.at_ns);
            never_back(before, sample, restarted, &mut finding);
        }
    }
    finding.checked += evidence.log.compared;
    for index in &evidence.log.conflicts {
        finding.violated(&[], Some(*index), || format!("two exports show different entries at index {index}"));
    }
    for (index, pair) in (evidence.log.first_index..).zip(evidence.log.outlines().windows(2)) {
        if pair[1].term < pair[0].term {
            finding.violated(&[], Some(index + 1), || {
                format!("the log's term goes back from {} to {}", pair[0].term, pair[1].term)
            });
        }
    }
    if evidence.statuses.is_empty() {
        finding.unsure("there was nothing to check: no node was sampled");
    }
    finding
}

/// Of each node, in the order of time.
fn starts_and_exits(events: &[ProcessEvent]) -> Map<u16, Vec<u64>> {
    let mut of_nodes: Map<u16, Vec<u64>> = Map::default();
    for event in events.iter().filter(|event| event.step != ProcessStep::Ready) {
        of_nodes.entry(event.node).or_default().push(event.at_ns);
    }
    of_nodes.values_mut().for_each(|times| times.sort_unstable());
    of_nodes
}

fn one_leader_a_term(evidence: &Evidence, finding: &mut Finding) {
    let mut leaders: Map<u64, u64> = Map::default();
    for sample in &evidence.statuses {
        let leader = match sample.role {
            NodeRole::Leader => sample.member(),
            _ => sample.leader,
        };
        if leader == 0 || sample.role == NodeRole::Candidate {
            continue;
        }
        let first = *leaders.entry(sample.term).or_insert(leader);
        if first != leader {
            let (node, term) = (sample.node, sample.term);
            finding.violated(&[], None, || format!("term {term} has leaders {first} and {leader} (seen at node {node})"));
        }
    }
}

fn in_order(sample: &StatusSample, finding: &mut Finding) {
    let StatusSample { purged_index, snapshot_index, applied_index, committed_index, last_log_index, .. } = *sample;
    let order = [purged_index, snapshot_index, applied_index, committed_index, last_log_index];
    if !order.is_sorted() {
        finding.violated(&[], Some(applied_index), || {
            format!("node {}: purged, snapshot, applied, committed, last are {order:?}", sample.node)
        });
    }
}

/// A restart may set back what is kept in memory, or replayed (committed, applied), or written without waiting for it (purged). A
/// term, a vote and a snapshot are on the disk before anybody is told.
fn never_back(before: &StatusSample, after: &StatusSample, restarted: bool, finding: &mut Finding) {
    let node = after.node;
    let mut must_not_fall =
        vec![("term", before.term, after.term), ("snapshot index", before.snapshot_index, after.snapshot_index)];
    if !restarted {
        must_not_fall.push(("committed index", before.committed_index, after.committed_index));
        must_not_fall.push(("applied index", before.applied_index, after.applied_index));
        must_not_fall.push(("purged index", before.purged_index, after.purged_index));
    }
    for (name, was, is) in must_not_fall {
        if is < was {
            finding.violated(&[], Some(after.applied_index), || format!("node {node}: {name} went back from {was} to {is}"));
        }
    }
    // A node that voted for a loser takes over the vote of the term's leader when it hears of it; any other change is a second vote.
    let took_over = after.voted_for != 0 && after.voted_for == after.leader;
    if before.term == after.term && before.voted_for != 0 && after.voted_for != before.voted_for && !took_over {
        finding.violated(&[], None, || {
            format!("node {node}: in term {} it voted for {} and for {}", after.term, before.voted_for, after.voted_for)
        });
    }
}

/// Who answers a first execution leads in the term of its entry, or in a later one.
#[must_use]
pub fn terms_of_answers(case: &Case) -> Finding {
    let mut finding = finding();
    for op in &case.lot.ops {
        for answer in &op.answers {
            let Outcome::Written(written) = &answer.outcome else { continue };
            let receipt = written.receipt;
            let Some(entry) = case.evidence.log.entry(receipt.place.log_index) else { continue };
            finding.checked += 1;
            if receipt.term < entry.term {
                finding.violated(&[op.id()], Some(receipt.place.log_index), || {
                    format!("answered in term {}, and its entry is of term {}", receipt.term, entry.term)
                });
            }
        }
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{FaultEvent, FaultStage, MemberId};
    use crate::scenario::FaultKind;

    fn sample(term: u64, voted_for: u64, leader: u64) -> StatusSample {
        StatusSample { node: 2, term, voted_for, leader, ..StatusSample::default() }
    }

    #[test]
    fn a_vote_changes_within_a_term_only_to_its_leader() {
        let rows = [
            (sample(3, 2, 0), sample(3, 1, 1), 0),
            (sample(3, 2, 0), sample(3, 1, 0), 1),
            (sample(3, 2, 0), sample(3, 0, 0), 1),
            (sample(3, 2, 0), sample(4, 1, 0), 0),
            (sample(3, 2, 2), sample(2, 2, 2), 1),
        ];
        for (before, after, violations) in rows {
            let mut finding = Finding::new("V16", "");
            never_back(&before, &after, true, &mut finding);
            assert_eq!(finding.violations, violations, "{before:?} {after:?}");
        }
    }

    #[test]
    fn a_leader_is_known_by_its_members_id_and_not_by_its_node() {
        let leads = StatusSample { role: NodeRole::Leader, member: MemberId(4), ..sample(3, 4, 4) };
        let violations = |leader| {
            let statuses = vec![leads.clone(), StatusSample { node: 1, ..sample(3, leader, leader) }];
            let mut finding = Finding::new("V16", "");
            one_leader_a_term(&Evidence { statuses, ..Evidence::default() }, &mut finding);
            finding.violations
        };
        assert_eq!((violations(4), violations(2)), (0, 1));
    }

    #[test]
    fn what_goes_back_with_a_lost_disk_does_so_from_its_next_start_on() {
        let (lost, start) = (100, 150);
        let kind = FaultKind::LoseDiskFollower.name().into();
        let (stage, role) = (FaultStage::Injected, NodeRole::Follower);
        let fault = FaultEvent { at_ns: lost, fault: 1, stage, kind, node: 2, role, term: 3 };
        let process = ProcessEvent { at_ns: start, node: 2, step: ProcessStep::Started { pid: 7 } };
        let at = |at_ns, term| StatusSample { at_ns, ..sample(term, 0, 0) };
        let violations = |looks: &[(u64, u64)]| {
            let statuses = looks.iter().map(|(at_ns, term)| at(*at_ns, *term)).collect();
            let (faults, processes) = (vec![fault.clone()], vec![process]);
            raft_invariants(&Evidence { faults, processes, statuses, ..Evidence::default() }).violations
        };
        assert_eq!(violations(&[(50, 3), (160, 0), (200, 3)]), 0);
        assert_eq!(violations(&[(50, 3), (120, 3), (160, 0)]), 0, "heard before it was killed, told after");
        assert_eq!(violations(&[(50, 3), (160, 0), (200, 3), (210, 2)]), 1, "what it has now it may not lose");
        assert_eq!(violations(&[(50, 3), (120, 2)]), 1);
    }

    #[test]
    fn over_a_restart_a_purge_may_be_forgotten_and_a_snapshot_may_not() {
        let at = |snapshot_index, purged_index| StatusSample { snapshot_index, purged_index, ..sample(3, 1, 1) };
        for (after, restarted, violations) in
            [(at(6, 5), false, 0), (at(6, 3), false, 1), (at(6, 3), true, 0), (at(5, 4), false, 1), (at(5, 4), true, 1)]
        {
            let mut finding = Finding::new("V16", "");
            never_back(&at(6, 4), &after, restarted, &mut finding);
            assert_eq!(finding.violations, violations, "{after:?}");
        }
    }

    #[test]
    fn indexes_stand_in_their_order() {
        let mut sample = StatusSample {
            purged_index: 1,
            snapshot_index: 2,
            applied_index: 2,
            committed_index: 3,
            last_log_index: 3,
            ..Default::default()
        };
        let mut finding = Finding::new("V16", "");
        in_order(&sample, &mut finding);
        assert_eq!(finding.violations, 0);
        sample.applied_index = 4;
        in_order(&sample, &mut finding);
        assert_eq!(finding.violations, 1);
        (sample.applied_index, sample.purged_index) = (3, 3);
        in_order(&sample, &mut finding);
        assert_eq!(finding.violations, 2, "nothing is purged that no snapshot holds");
    }

    #[test]
    fn a_term_has_one_leader_whoever_tells_of_it() {
        let led = |node, role, term, leader| StatusSample { node, role, term, leader, ..StatusSample::default() };
        use NodeRole::{Candidate, Follower, Leader};
        for (one, two, violations) in [
            (led(1, Leader, 3, 1), led(2, Follower, 3, 1), 0),
            (led(1, Leader, 3, 1), led(2, Follower, 3, 2), 1),
            // Who leads says so of itself, whatever else it tells.
            (led(1, Leader, 3, 0), led(2, Leader, 3, 0), 1),
            (led(1, Leader, 3, 1), led(2, Leader, 4, 2), 0),
            (led(1, Leader, 3, 1), led(2, Follower, 3, 0), 0),
            (led(1, Leader, 3, 1), led(2, Candidate, 3, 2), 0),
        ] {
            let mut finding = Finding::new("V16", "");
            one_leader_a_term(&Evidence { statuses: vec![one.clone(), two.clone()], ..Evidence::default() }, &mut finding);
            assert_eq!(finding.violations, violations, "{one:?} {two:?}");
        }
    }

    #[test]
    fn what_is_applied_goes_back_only_between_two_samples_with_a_restart() {
        let at = |at_ns, applied_index| StatusSample {
            at_ns,
            applied_index,
            committed_index: 9,
            last_log_index: 9,
            ..sample(3, 1, 1)
        };
        let exited = ProcessStep::Exited { code: None, signal: Some(9) };
        for (at_ns, node, step, violations) in [
            (15, 2, exited, 0),
            (15, 2, ProcessStep::Started { pid: 1 }, 0),
            (10, 2, exited, 0),
            (20, 2, exited, 0),
            (9, 2, exited, 1),
            (21, 2, exited, 1),
            (15, 1, exited, 1),
            (15, 2, ProcessStep::Ready, 1),
        ] {
            let processes = vec![ProcessEvent { at_ns, node, step }];
            let evidence = Evidence { statuses: vec![at(10, 8), at(20, 7)], processes, ..Evidence::default() };
            let finding = raft_invariants(&evidence);
            assert_eq!((finding.checked, finding.violations), (2, violations), "{at_ns} {node} {step:?}");
        }
    }

    #[test]
    fn without_a_sample_nothing_is_known_of_raft() {
        let log_of = |compared| {
            let mut evidence = Evidence::default();
            evidence.log.compared = compared;
            raft_invariants(&evidence)
        };
        assert_eq!((log_of(5).checked, log_of(5).inconclusive.len()), (5, 1));
    }
}

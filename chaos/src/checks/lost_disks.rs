//! V19, of disks that were lost: who has forgotten what it voted for and acknowledged takes no part as who it was. It comes back as
//! another member, first without a vote, and has one at the end. (That it then holds what the others hold is V13's.)

use std::collections::BTreeSet;

use super::{Evidence, Finding, damage};
use crate::history::{FaultStage, NodeRole, ProcessStep, StatusSample};
use crate::scenario::{FaultKind, Hurt};

/// A disk that was lost.
struct Loss {
    fault: u32,
    node: u16,
    /// Its node was killed, and then its disk was emptied.
    lost_ns: u64,
    /// From then on, there is a process again, which began with an empty disk. (What was heard of the one before may be told after its end,
    /// never after this.)
    started_ns: u64,
    /// It was seen to take no part.
    refused_ns: Option<u64>,
}

/// In the order of time.
pub(super) struct Losses(Vec<Loss>);

impl Losses {
    /// Those after which there was a process again.
    pub(super) fn of(evidence: &Evidence) -> Self {
        let is_loss = |kind: &str| FaultKind::named(kind).is_some_and(|kind| kind.hurt() == Hurt::LosesDisks);
        let steps = |stage| evidence.faults.iter().filter(move |event| event.stage == stage && is_loss(&event.kind));
        let losses = steps(FaultStage::Injected).filter_map(|lost| {
            let is_start = |step| matches!(step, ProcessStep::Started { .. });
            let mut processes = evidence.processes.iter().filter(|event| event.node == lost.node && is_start(event.step));
            let started = processes.find(|event| event.at_ns >= lost.at_ns)?;
            let refused = steps(FaultStage::Effective).find(|event| (event.fault, event.node) == (lost.fault, lost.node));
            let (fault, node, lost_ns, started_ns) = (lost.fault, lost.node, lost.at_ns, started.at_ns);
            Some(Loss { fault, node, lost_ns, started_ns, refused_ns: refused.map(|event| event.at_ns) })
        });
        Self(losses.collect())
    }

    /// Two samples of one node, of which the later is of an empty disk, or of what was made on it.
    pub(super) fn lie_between(&self, before: &StatusSample, after: &StatusSample) -> bool {
        let is_between = |loss: &Loss| before.at_ns < loss.started_ns && loss.started_ns <= after.at_ns;
        self.0.iter().any(|loss| loss.node == after.node && is_between(loss))
    }
}

#[must_use]
pub fn lost_disks_come_back_anew(evidence: &Evidence) -> Finding {
    let mut finding = damage::finding();
    let losses = Losses::of(evidence);
    for loss in &losses.0 {
        let next = losses.0.iter().filter(|other| other.node == loss.node && other.lost_ns > loss.lost_ns);
        let until_ns = next.map(|other| other.lost_ns).min().unwrap_or(u64::MAX);
        let before = || evidence.statuses.iter().filter(|sample| sample.at_ns < loss.started_ns);
        let Some(old) = before().rfind(|sample| sample.node == loss.node).map(StatusSample::member) else {
            finding.unsure(format!("fault {}: nobody knows who node {} was before it lost its disk", loss.fault, loss.node));
            continue;
        };
        let spent: BTreeSet<u64> = before().map(StatusSample::member).collect();
        let times = loss.started_ns..until_ns;
        let its_own = evidence.statuses.iter().filter(|sample| sample.node == loss.node && times.contains(&sample.at_ns));
        comes_back_anew(evidence, loss, &spent, &its_own.collect::<Vec<_>>(), &mut finding);
        nobody_hears_the_old_one(evidence, loss, old, &mut finding);
    }
    finding
}

/// `spent`: ids that members had before. `its_own`: what the node said of itself since.
fn comes_back_anew(evidence: &Evidence, loss: &Loss, spent: &BTreeSet<u64>, its_own: &[&StatusSample], finding: &mut Finding) {
    let (fault, node) = (loss.fault, loss.node);
    let mut told = |sample: &StatusSample, text: String| {
        finding.violated(&[], Some(sample.applied_index), || format!("fault {fault}: node {node} lost its disk, and {text}"));
    };
    let mut checked = 0;
    let mut has_been_learner = false;
    for sample in its_own {
        checked += 1;
        let (member, role) = (sample.member(), sample.role);
        has_been_learner |= role == NodeRole::Learner;
        if spent.contains(&member) && (takes_part(role) || (sample.voted_for != 0 && sample.term > 0)) {
            let (term, voted_for) = (sample.term, sample.voted_for);
            told(sample, format!("is a {} as member {member} again, in term {term} with a vote for {voted_for}", role.name()));
        } else if has_vote(role) && !has_been_learner {
            told(sample, format!("has a vote as member {member}, without having been a learner"));
            // Once is enough.
            has_been_learner = true;
        }
    }
    finding.checked += checked;
    match its_own.last() {
        Some(last) if has_vote(last.role) => {}
        _ if evidence.history_is_cut => {
            finding.unsure(format!("fault {fault}: the history ends before node {node} had a vote again"));
        }
        last => {
            let role = last.map_or("silent", |last| last.role.name());
            finding.violated(&[], None, || format!("fault {fault}: node {node} lost its disk, and at the end it is {role}"));
        }
    }
}

/// Once it was seen to take no part, no term begins any more in which it leads, or somebody votes for it. (One for which it had asked
/// before it was killed has begun by then.)
fn nobody_hears_the_old_one(evidence: &Evidence, loss: &Loss, old: u64, finding: &mut Finding) {
    let Some(refused_ns) = loss.refused_ns else { return };
    let before = evidence.statuses.iter().filter(|sample| sample.at_ns < refused_ns);
    let begun = before.map(|sample| sample.term).max().unwrap_or_default();
    for sample in evidence.statuses.iter().filter(|sample| sample.at_ns >= refused_ns && sample.term > begun) {
        finding.checked += 1;
        if sample.leader == old || sample.voted_for == old {
            let (fault, by, term) = (loss.fault, sample.node, sample.term);
            finding.violated(&[], Some(sample.applied_index), || {
                format!("fault {fault}: member {old} lost its disk, and node {by} takes it for the leader of term {term}, or votes for it")
            });
        }
    }
}

fn takes_part(role: NodeRole) -> bool {
    role == NodeRole::Learner || has_vote(role)
}

fn has_vote(role: NodeRole) -> bool {
    matches!(role, NodeRole::Follower | NodeRole::Candidate | NodeRole::Leader)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{FaultEvent, MemberId, ProcessEvent};

    /// What node 3 says at a moment: as which member, in which role, in which term.
    fn says(at_ns: u64, member: u64, role: NodeRole, term: u64) -> StatusSample {
        StatusSample { at_ns, node: 3, role, term, member: MemberId(member), ..StatusSample::default() }
    }

    fn leads(at_ns: u64, term: u64) -> StatusSample {
        StatusSample { node: 1, leader: 1, voted_for: 1, ..says(at_ns, 1, NodeRole::Leader, term) }
    }

    /// Node 3 loses its disk at 100, is started at 150, and is seen to refuse at 200.
    fn lost(its_own: &[StatusSample], others: &[StatusSample]) -> Evidence {
        let step = |at_ns, stage| FaultEvent {
            at_ns,
            fault: 1,
            stage,
            kind: FaultKind::LoseDiskFollower.name().into(),
            node: 3,
            role: NodeRole::Follower,
            term: 5,
        };
        let started = |at_ns| ProcessEvent { at_ns, node: 3, step: ProcessStep::Started { pid: 7 } };
        let was = [says(50, 3, NodeRole::Follower, 5), leads(60, 5)];
        let mut statuses = [&was[..], its_own, others].concat();
        statuses.sort_by_key(|sample| sample.at_ns);
        Evidence {
            faults: vec![step(100, FaultStage::Injected), step(200, FaultStage::Effective)],
            processes: vec![started(0), started(150), started(300)],
            statuses,
            ..Evidence::default()
        }
    }

    fn as_it_should() -> Vec<StatusSample> {
        vec![
            says(160, 3, NodeRole::Uninitialized, 0),
            says(310, 4, NodeRole::Uninitialized, 0),
            says(320, 4, NodeRole::Learner, 5),
            says(400, 4, NodeRole::Follower, 5),
        ]
    }

    #[test]
    fn who_waits_comes_back_as_another_and_has_a_vote_at_the_end_has_done_right() {
        let finding = lost_disks_come_back_anew(&lost(&as_it_should(), &[leads(500, 6)]));
        assert_eq!((finding.violations, finding.inconclusive.len()), (0, 0), "{:?}", finding.shown);
        assert!(finding.checked >= 4);
    }

    #[test]
    fn what_was_heard_of_the_process_before_is_not_held_against_the_one_after() {
        let late = says(140, 3, NodeRole::Follower, 5);
        assert_eq!(lost_disks_come_back_anew(&lost(&[vec![late], as_it_should()].concat(), &[])).violations, 0);
    }

    #[test]
    fn each_way_not_to_come_back_anew_is_told() {
        let with = |at: usize, sample: StatusSample| {
            let mut its_own = as_it_should();
            its_own[at] = sample;
            its_own
        };
        let voted = StatusSample { voted_for: 1, ..says(160, 3, NodeRole::Uninitialized, 6) };
        for (its_own, told) in [
            (with(0, says(160, 3, NodeRole::Follower, 5)), "is a follower as member 3 again"),
            (with(0, voted), "with a vote for 1"),
            (with(2, says(320, 1, NodeRole::Learner, 5)), "is a learner as member 1 again"),
            (with(2, says(320, 4, NodeRole::Follower, 5)), "without having been a learner"),
            (with(3, says(400, 4, NodeRole::Learner, 5)), "at the end it is learner"),
            (Vec::new(), "at the end it is silent"),
        ] {
            let finding = lost_disks_come_back_anew(&lost(&its_own, &[]));
            assert_eq!(finding.violations, 1, "{told}: {:?}", finding.shown);
            assert!(finding.shown[0].text.contains(told), "{told}: {:?}", finding.shown);
        }
    }

    #[test]
    fn an_old_id_that_leads_or_is_voted_for_in_a_later_term_is_told() {
        let follows = |term, leader, voted_for| StatusSample { leader, voted_for, ..leads(500, term) };
        let violations = |sample| lost_disks_come_back_anew(&lost(&as_it_should(), &[sample])).violations;
        assert_eq!([violations(follows(6, 3, 1)), violations(follows(6, 0, 3))], [1, 1]);
        assert_eq!(violations(follows(5, 0, 3)), 0, "that term had begun before");
    }

    #[test]
    fn a_run_in_which_no_disk_is_lost_shows_nothing() {
        let mut evidence = lost(&as_it_should(), &[]);
        evidence.faults.clear();
        assert_eq!(lost_disks_come_back_anew(&evidence).checked, 0);
    }

    #[test]
    fn a_history_that_ends_too_early_says_nothing_of_the_vote() {
        let evidence = Evidence { history_is_cut: true, ..lost(&as_it_should()[..3], &[]) };
        let finding = lost_disks_come_back_anew(&evidence);
        assert_eq!((finding.violations, finding.inconclusive.len()), (0, 1));
    }
}

//! What was acknowledged when, and which fault left a majority when. V14 judges it, the verdict and the page show it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Evidence;
use crate::evidence::{Asked, Ended, Moment, Op};
use crate::hash::Map;
use crate::history::{FaultStage, NodeRole, OrderId, Outcome, PaymentOutcome, Phase, ProcessStep, Purpose, Request, Text};
use crate::scenario::{FaultKind, Hurt};

/// Nanoseconds of a millisecond.
pub const MS: u64 = 1_000_000;
/// A pause belongs to a kill if it begins within so long after it.
const PAUSE_HORIZON_NS: u64 = 10_000 * MS;

/// A write that was answered from its place in the log: executed, or refused there. A series that is sold out refuses, also
/// when all is well.
#[derive(Debug, Clone, Copy)]
pub struct Acknowledged {
    pub intended_ns: u64,
    pub invoked_ns: u64,
    pub returned_ns: u64,
}

impl Acknowledged {
    /// From the time at which the schedule wanted it sent.
    #[must_use]
    pub fn latency_ns(&self) -> u64 {
        self.returned_ns.saturating_sub(self.intended_ns)
    }
}

/// In the order in which they were acknowledged.
#[must_use]
pub fn acknowledged_writes(evidence: &Evidence) -> Vec<Acknowledged> {
    let acknowledged = |call: &&Moment| matches!(call.ended, Ended::Written | Ended::RefusedThere);
    let of =
        |call: &Moment| Acknowledged { intended_ns: call.intended_ns, invoked_ns: call.invoked_ns, returned_ns: call.ended_ns };
    let mut writes: Vec<_> = evidence.moments.iter().filter(acknowledged).map(of).collect();
    writes.sort_unstable_by_key(|write| write.returned_ns);
    writes
}

/// When each order's issue was first acknowledged.
#[must_use]
pub fn issues(ops: &[Op]) -> Vec<u64> {
    let mut issues: Map<OrderId, u64> = Map::default();
    for op in ops {
        let Request::RecordPayment { order, .. } = op.invoke.request else { continue };
        let Some(answer) = op.known() else { continue };
        if let Outcome::Written(written) = &answer.outcome
            && written.answer.payment_outcome() == Some(PaymentOutcome::Applied)
        {
            let first = issues.entry(order).or_insert(answer.at_ns);
            *first = answer.at_ns.min(*first);
        }
    }
    issues.into_values().collect()
}

/// Until when somebody would have noticed that nothing works: the last arrival of a buyer, for arrivals wait for nobody.
#[must_use]
pub fn arrivals_end(evidence: &Evidence) -> u64 {
    let is_arrival = |call: &&Moment| call.purpose == Purpose::Traffic && call.asked == Asked::NewOrder;
    evidence.moments.iter().filter(is_arrival).map(|call| call.invoked_ns).max().unwrap_or(0)
}

/// A fault, when it fired, and from when on a majority was healthy again.
#[derive(Debug, Clone)]
pub struct Window {
    pub fault: u32,
    pub kind: Text,
    pub fired_ns: u64,
    /// `None`: never again in this run.
    pub healthy_ns: Option<u64>,
    /// When the last of its targets was there again; as it fired, if nobody said so.
    pub undone_ns: u64,
    pub on_leader: bool,
    /// Nodes that it hit.
    pub targets: usize,
}

impl Window {
    /// SIGKILL to the leader alone: an orderly stop hands over, and is another kind.
    #[must_use]
    pub fn is_leader_kill(&self) -> bool {
        *self.kind == *FaultKind::KillLeader.name() && self.on_leader && self.targets == 1
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.fault != other.fault && self.fired_ns <= other.undone_ns && other.fired_ns <= self.undone_ns
    }
}

/// One for each fault that was seen to hurt, in the order in which they fired. Of faults that overlap, the next begins before the one
/// before it is undone: whatever is still broken by that keeps nodes from being healthy.
#[must_use]
pub fn windows(evidence: &Evidence) -> Vec<Window> {
    let mut windows: BTreeMap<u32, Window> = BTreeMap::new();
    let mut hit: BTreeSet<(u32, u16)> = BTreeSet::new();
    let mut landed: BTreeSet<u32> = BTreeSet::new();
    for event in &evidence.faults {
        match event.stage {
            FaultStage::Injected => {
                let window = windows.entry(event.fault).or_insert_with(|| Window {
                    fault: event.fault,
                    kind: event.kind.clone(),
                    fired_ns: event.at_ns,
                    healthy_ns: None,
                    undone_ns: event.at_ns,
                    on_leader: false,
                    targets: 0,
                });
                // It is fired when it has hit all: those that were hit last may be the majority.
                window.fired_ns = event.at_ns;
                window.on_leader |= event.role == NodeRole::Leader;
                window.targets += usize::from(hit.insert((event.fault, event.node)));
            }
            FaultStage::Effective => {
                landed.insert(event.fault);
                // It was armed before, and hurts from here.
                let is_crash = FaultKind::named(&event.kind).is_some_and(|kind| kind.hurt() == Hurt::Crashes);
                if let Some(window) = windows.get_mut(&event.fault).filter(|_| is_crash) {
                    window.fired_ns = event.at_ns;
                }
            }
            FaultStage::Healed => {
                if let Some(window) = windows.get_mut(&event.fault) {
                    window.undone_ns = window.undone_ns.max(event.at_ns);
                }
            }
            FaultStage::Planned => {}
        }
    }
    let health = Health::of(evidence);
    let windows = windows.into_values().filter(|window| landed.contains(&window.fault));
    let mut windows: Vec<Window> =
        windows.map(|window| Window { healthy_ns: health.from(window.fired_ns), ..window }).collect();
    windows.sort_by_key(|window| window.fired_ns);
    windows
}

/// While some node was down and a majority up.
#[must_use]
pub fn partial_outages(evidence: &Evidence) -> Vec<Range<u64>> {
    let health = Health::of(evidence);
    let ends = health.changes.iter().skip(1).map(|(at_ns, _)| *at_ns).chain([evidence.last_ns]);
    let is_partial = |up: usize| up >= health.majority && up < evidence.facts.nodes.len();
    let lasting = health.changes.iter().zip(ends).filter(|((_, up), _)| is_partial(*up));
    lasting.map(|((from_ns, _), to_ns)| *from_ns..to_ns).collect()
}

/// How many nodes were up and there for the others, after each change.
struct Health {
    changes: Vec<(u64, usize)>,
    majority: usize,
}

/// What happened to one node.
#[derive(Clone, Copy)]
enum Change {
    Answers,
    Ends,
    /// It lives, and this fault keeps it from the others.
    Held(u32),
    LetGo(u32),
}

impl Health {
    fn of(evidence: &Evidence) -> Self {
        let mut up: BTreeSet<u16> = BTreeSet::new();
        let mut held: BTreeSet<(u16, u32)> = BTreeSet::new();
        let mut changes = Vec::new();
        for (at_ns, node, change) in changes_of(evidence) {
            match change {
                Change::Answers => drop(up.insert(node)),
                Change::Ends => drop(up.remove(&node)),
                Change::Held(fault) => drop(held.insert((node, fault))),
                Change::LetGo(fault) => drop(held.remove(&(node, fault))),
            }
            // One that two faults hold is there when both have let it go.
            let is_held = |node: u16| held.range((node, 0)..=(node, u32::MAX)).next().is_some();
            changes.push((at_ns, up.iter().filter(|node| !is_held(**node)).count()));
        }
        Self { changes, majority: evidence.facts.majority() }
    }

    /// The first moment, from `from_ns` on, at which a majority was up.
    fn from(&self, from_ns: u64) -> Option<u64> {
        let next = self.changes.partition_point(|(at_ns, _)| *at_ns <= from_ns);
        if next.checked_sub(1).is_some_and(|now| self.changes[now].1 >= self.majority) {
            return Some(from_ns);
        }
        self.changes[next..].iter().find(|(_, up)| *up >= self.majority).map(|(at_ns, _)| *at_ns)
    }
}

/// In the order of time.
fn changes_of(evidence: &Evidence) -> Vec<(u64, u16, Change)> {
    let mut changes: Vec<(u64, u16, Change)> = Vec::new();
    for event in &evidence.processes {
        match event.step {
            ProcessStep::Ready => changes.push((event.at_ns, event.node, Change::Answers)),
            ProcessStep::Exited { .. } => changes.push((event.at_ns, event.node, Change::Ends)),
            ProcessStep::Started { .. } => {}
        }
    }
    for event in &evidence.faults {
        // (A kind of another version of the tool is taken for a kill.)
        let (takes_away, ends) = FaultKind::named(&event.kind).map_or((true, true), |kind| (kind.takes_away(), kind.ends()));
        match event.stage {
            // A signal ends a node's health; its exit is only noticed later. It is healthy again from its first answer on.
            FaultStage::Injected if takes_away && ends => changes.push((event.at_ns, event.node, Change::Ends)),
            FaultStage::Injected if takes_away => changes.push((event.at_ns, event.node, Change::Held(event.fault))),
            FaultStage::Healed if takes_away && !ends => changes.push((event.at_ns, event.node, Change::LetGo(event.fault))),
            _ => {}
        }
    }
    changes.sort_by_key(|(at_ns, ..)| *at_ns);
    changes
}

/// Around each leader kill, the longest time without an acknowledged write that begins or lasts after it, nanoseconds. Of one that
/// another fault overlaps, nobody could say whose the pause was.
#[must_use]
pub fn write_pauses(evidence: &Evidence, writes: &[Acknowledged]) -> Vec<u64> {
    let windows = windows(evidence);
    let traffic_end_ns = evidence.phase_start(Phase::Heal).unwrap_or(evidence.last_ns);
    let mut pauses = Vec::new();
    let is_alone = |window: &Window| !windows.iter().any(|other| window.overlaps(other));
    let left_majority = |window: &Window| window.healthy_ns == Some(window.fired_ns);
    let counts = |window: &Window| window.is_leader_kill() && left_majority(window) && is_alone(window);
    for (at, window) in windows.iter().enumerate().filter(|(_, window)| counts(window)) {
        let next_ns = windows.get(at + 1).map_or(u64::MAX, |next| next.fired_ns);
        let until_ns = next_ns.min(traffic_end_ns).min(window.fired_ns.saturating_add(PAUSE_HORIZON_NS));
        // From the last acknowledgement before the kill, or the pause that the kill fell into would be cut.
        let from = writes.partition_point(|write| write.returned_ns <= window.fired_ns).saturating_sub(1);
        let around = writes[from..].iter().take_while(|write| write.returned_ns <= until_ns).map(|write| write.returned_ns);
        let times: Vec<u64> = around.collect();
        let pause = times.windows(2).map(|pair| pair[1] - pair[0]).max();
        // No acknowledgement until the next fault: the pause lasted at least so long.
        let open_end = times.last().map_or(0, |last| until_ns.saturating_sub(*last));
        pauses.extend(pause.into_iter().chain((times.len() < 2).then_some(open_end)).max());
    }
    pauses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{FaultEvent, ProcessEvent, RunFacts};

    fn fault(at_ns: u64, stage: FaultStage, kind: FaultKind, node: u16) -> FaultEvent {
        numbered(1, at_ns, stage, kind, node)
    }

    fn numbered(fault: u32, at_ns: u64, stage: FaultStage, kind: FaultKind, node: u16) -> FaultEvent {
        FaultEvent { at_ns, fault, stage, kind: kind.name().into(), node, role: NodeRole::Leader, term: 1 }
    }

    fn ready(at_ns: u64, node: u16) -> ProcessEvent {
        ProcessEvent { at_ns, node, step: ProcessStep::Ready }
    }

    /// Three nodes that are ready from the start, and are ready again so.
    fn evidence(faults: Vec<FaultEvent>, ready_again: &[ProcessEvent]) -> Evidence {
        let facts = RunFacts { nodes: vec![1, 2, 3], ..RunFacts::default() };
        let processes = [1, 2, 3].map(|node| ready(0, node)).into_iter().chain(ready_again.iter().copied()).collect();
        Evidence { faults, processes, last_ns: 300, facts, ..Evidence::default() }
    }

    #[test]
    fn after_all_were_killed_a_majority_is_healthy_when_two_answer_again() {
        let hits = (1..=3).flat_map(|node| {
            let at_ns = 100 + u64::from(node);
            [FaultStage::Injected, FaultStage::Effective].map(|stage| fault(at_ns, stage, FaultKind::KillAll, node))
        });
        let evidence = evidence(hits.collect(), &[ready(200, 1), ready(210, 3), ready(220, 2)]);
        let window = &windows(&evidence)[0];
        assert_eq!((window.fired_ns, window.healthy_ns, window.targets), (103, Some(210), 3));
    }

    #[test]
    fn a_fault_that_leaves_a_majority_leaves_it_healthy() {
        for kind in FaultKind::ALL.into_iter().filter(|kind| kind.nodes_left(3) >= 2) {
            let hit = [FaultStage::Injected, FaultStage::Effective].map(|stage| fault(100, stage, kind, 1));
            assert_eq!(windows(&evidence(hit.to_vec(), &[]))[0].healthy_ns, Some(100), "{}", kind.name());
        }
    }

    #[test]
    fn who_was_cut_off_is_there_again_when_the_cut_is_healed() {
        let stages = [(100, FaultStage::Injected), (100, FaultStage::Effective), (150, FaultStage::Healed)];
        let cut = stages.map(|(at_ns, stage)| fault(at_ns, stage, FaultKind::IsolateLeader, 1));
        let evidence = evidence(cut.to_vec(), &[]);
        let outage = partial_outages(&evidence).pop();
        assert_eq!(outage, Some(100..150));
    }

    /// Injected, effective and healed.
    fn hit(fault: u32, kind: FaultKind, node: u16, [at_ns, healed_ns]: [u64; 2]) -> [FaultEvent; 3] {
        let stages = [(at_ns, FaultStage::Injected), (at_ns, FaultStage::Effective), (healed_ns, FaultStage::Healed)];
        stages.map(|(at_ns, stage)| numbered(fault, at_ns, stage, kind, node))
    }

    #[test]
    fn a_node_that_two_faults_hold_is_there_when_both_have_let_it_go() {
        let pause = hit(1, FaultKind::PauseLeader, 1, [100, 150]);
        let mute = hit(2, FaultKind::MuteLeader, 1, [110, 200]);
        let evidence = evidence([pause, mute].concat(), &[]);
        let after_start = partial_outages(&evidence).into_iter().filter(|outage| outage.start >= 100);
        let (starts, ends): (Vec<u64>, Vec<u64>) = after_start.map(|outage| (outage.start, outage.end)).unzip();
        assert_eq!((starts.first(), ends.last()), (Some(&100), Some(&200)));
    }

    #[test]
    fn of_overlapping_faults_the_majority_is_healthy_when_enough_are_undone() {
        // The leader sleeps, and one follower is dead: two of three are away until the leader wakes.
        let pause = hit(1, FaultKind::PauseLeader, 1, [100, 150]);
        let kill = hit(2, FaultKind::KillFollower, 2, [120, 190]);
        let evidence = evidence([pause, kill].concat(), &[ready(190, 2)]);
        let healthy: Vec<_> = windows(&evidence).iter().map(|window| (window.fault, window.healthy_ns)).collect();
        assert_eq!(healthy, [(1, Some(100)), (2, Some(150))]);
    }

    #[test]
    fn a_node_that_is_started_while_it_is_cut_off_is_not_there_yet() {
        let isolate = hit(1, FaultKind::IsolateFollower, 2, [100, 250]);
        let kill = hit(2, FaultKind::KillFollower, 2, [120, 190]);
        let other = hit(3, FaultKind::KillLeader, 1, [195, 260]);
        let evidence = evidence([isolate, kill, other].concat(), &[ready(190, 2), ready(260, 1)]);
        assert_eq!(windows(&evidence)[2].healthy_ns, Some(250));
    }

    #[test]
    fn windows_stand_in_the_order_in_which_their_faults_fired() {
        // Those of conditions have the higher numbers, whenever they fire.
        let by_condition = hit(7, FaultKind::PauseLeader, 1, [100, 110]);
        let timed = hit(1, FaultKind::PauseLeader, 1, [200, 210]);
        let evidence = evidence([timed, by_condition].concat(), &[]);
        assert_eq!(windows(&evidence).iter().map(|window| window.fault).collect::<Vec<_>>(), [7, 1]);
    }

    #[test]
    fn the_pause_of_a_leader_kill_that_another_fault_overlaps_is_nobodys() {
        let kill = hit(1, FaultKind::KillLeader, 1, [100, 150]);
        let write = |at_ns| Acknowledged { intended_ns: at_ns, invoked_ns: at_ns, returned_ns: at_ns };
        let pauses = |other_ns: [u64; 2]| {
            let other = hit(2, FaultKind::PauseFollower, 2, other_ns);
            let evidence = evidence([kill.clone(), other].concat(), &[ready(150, 1)]);
            write_pauses(&evidence, &[90, 130, 135, 140, 180].map(write))
        };
        assert_eq!(pauses([160, 170]), [40]);
        assert!(pauses([140, 170]).is_empty() && pauses([80, 110]).is_empty());
    }

    #[test]
    fn a_fault_that_takes_no_node_away_leaves_it_healthy() {
        let slow = hit(1, FaultKind::SlowLeader, 1, [100, 150]);
        let kill = hit(2, FaultKind::KillFollower, 2, [120, 190]);
        let evidence = evidence([slow, kill].concat(), &[ready(190, 2)]);
        assert_eq!(windows(&evidence)[1].healthy_ns, Some(120));
    }

    #[test]
    fn who_was_killed_is_away_until_it_answers_again_whenever_it_was_started() {
        let kill = hit(1, FaultKind::KillFollower, 2, [100, 130]);
        let outages: Vec<_> = partial_outages(&evidence(kill.to_vec(), &[ready(150, 2)]));
        let mut late = outages.into_iter().filter(|outage| outage.start >= 100);
        assert_eq!((late.next(), late.next()), (Some(100..150), None));
    }

    #[test]
    fn a_pause_lasts_until_the_next_write_or_to_the_end() {
        let kill = hit(1, FaultKind::KillLeader, 1, [100, 150]);
        let evidence = evidence(kill.to_vec(), &[ready(150, 1)]);
        let write = |at_ns| Acknowledged { intended_ns: at_ns, invoked_ns: at_ns, returned_ns: at_ns };
        let pauses = |times: &[u64]| write_pauses(&evidence, &times.iter().map(|at_ns| write(*at_ns)).collect::<Vec<_>>());
        assert_eq!([pauses(&[90, 130]), pauses(&[90, 130, 135]), pauses(&[90]), pauses(&[])], [[40], [40], [210], [0]]);
    }

    #[test]
    fn an_order_is_issued_when_that_was_first_acknowledged() {
        use crate::checks::made::{ORDER, call, pay, place, unknown, written};
        use crate::history::WriteAnswer;
        let paid = |outcome| written(5, WriteAnswer::Recorded { outcome, serials: None });
        let applied = || paid(PaymentOutcome::Applied);
        let other = Request::RecordPayment { payment: crate::checks::made::name("two"), order: [2; 16], amount_idr: 1 };
        let ops = [
            call(1, [10, 60], pay("one"), applied()),
            call(2, [10, 50], pay("one"), applied()),
            call(3, [10, 70], pay("one"), applied()),
            call(4, [10, 20], pay("two"), paid(PaymentOutcome::AlreadyPaid)),
            call(5, [10, 30], pay("one"), unknown()),
            call(6, [10, 20], place(3), written(5, WriteAnswer::Placed { amount_idr: 1, expires_at_ms: 1 })),
            call(7, [10, 90], other, applied()),
            call(8, [10, 20], Request::CancelOrder { order: ORDER }, written(5, WriteAnswer::Cancelled)),
        ];
        let mut issued = issues(&ops);
        issued.sort_unstable();
        assert_eq!(issued, [50, 90]);
    }

    #[test]
    fn the_last_buyer_to_come_ends_the_arrivals() {
        use crate::checks::made::{call, pay, place, unknown};
        let moment = |at_ns, purpose, request| {
            let mut op = call(1, [at_ns, at_ns], request, unknown());
            op.invoke.purpose = purpose;
            Moment::of(&op)
        };
        let moments = vec![
            moment(10, Purpose::Traffic, place(3)),
            moment(20, Purpose::Retry, place(3)),
            moment(30, Purpose::Traffic, pay("one")),
        ];
        assert_eq!(arrivals_end(&Evidence { moments, ..Evidence::default() }), 10);
        assert_eq!(arrivals_end(&Evidence::default()), 0);
    }
}

//! How long each fault was felt, from the moment at which it had hit all its targets:
//!
//! - *detected*: a caller or the cluster noticed. The first call that ended *unknown* or *not done*, or the first sign of a new
//!   leader, whichever came first. (Clients that give up by themselves are taken for callers that noticed.)
//! - *new leader*: the first status of a leader, or answer to a write, of a term above the one in which the fault fired.
//! - *writes*: the first acknowledgement of a write that was sent after the fault, once a majority was healthy.
//! - *recovered*: from here, or from the first write if that came later, a second of such writes is as quick as V14 demands.
//!
//! The next fault ends the look: what had not happened before it stays unknown, and is no figure. V14 judges
//! ([`super::recovery`]); these are for people.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Evidence;
use super::recovery::{self, WINDOW_NS};
use super::timeline::{self, Acknowledged, MS};
use crate::evidence::Ended;
use crate::figures::{Spread, ms};
use crate::history::{FaultStage, NodeRole, Text};

/// The look for a quick second moves on by so much: how exact *recovered* is.
const STEP_NS: u64 = 100 * MS;

/// One fault of the plan. Moments are milliseconds since the start of the run, the times `after` it since `injected_ms`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FaultTimes {
    pub fault: u32,
    pub kind: String,
    /// Those that it hit; those that it was meant for if it hit none.
    pub nodes: Vec<u16>,
    /// When the fault fired: that of the first node, or the leader if that was among them.
    pub role: String,
    /// When the last of its targets was hit. `None`: it found no target.
    pub injected_ms: Option<f64>,
    /// `None`: it was not seen to hurt, it did not land.
    pub effective_ms: Option<f64>,
    pub healed_ms: Option<f64>,
    pub detected_after_ms: Option<f64>,
    pub new_leader_after_ms: Option<f64>,
    pub writes_after_ms: Option<f64>,
    pub recovered_after_ms: Option<f64>,
}

/// The faults of one kind together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KindTimes {
    pub kind: String,
    pub planned: u64,
    pub landed: u64,
    pub detected_ms: Option<Spread>,
    pub new_leader_ms: Option<Spread>,
    pub writes_ms: Option<Spread>,
    pub recovered_ms: Option<Spread>,
}

/// What the history says of one fault, its targets taken together.
#[derive(Default)]
struct Steps {
    kind: Text,
    meant_for: BTreeSet<u16>,
    hit: BTreeSet<u16>,
    role: NodeRole,
    term: u64,
    injected_ns: Option<u64>,
    effective_ns: Option<u64>,
    healed_ns: Option<u64>,
}

/// In the order of their numbers. `writes`: in the order in which they were acknowledged.
#[must_use]
pub fn fault_times(evidence: &Evidence, writes: &[Acknowledged]) -> Vec<FaultTimes> {
    let steps = steps(evidence);
    let felt = Felt::of(evidence, writes);
    let healthy: BTreeMap<u32, u64> =
        timeline::windows(evidence).iter().filter_map(|window| Some((window.fault, window.healthy_ns?))).collect();
    let fired: BTreeSet<u64> = steps.values().filter_map(|steps| steps.injected_ns).collect();
    let times = |(fault, steps): (u32, Steps)| {
        let mut times = FaultTimes {
            fault,
            kind: steps.kind.to_string(),
            nodes: if steps.hit.is_empty() { &steps.meant_for } else { &steps.hit }.iter().copied().collect(),
            role: steps.role.name().into(),
            injected_ms: steps.injected_ns.map(ms),
            effective_ms: steps.effective_ns.map(ms),
            healed_ms: steps.healed_ns.map(ms),
            ..FaultTimes::default()
        };
        if let (Some(fired_ns), Some(_)) = (steps.injected_ns, steps.effective_ns) {
            let until_ns = fired.range(fired_ns + 1..).next().copied().unwrap_or(u64::MAX);
            felt.fill(&mut times, fired_ns, until_ns, steps.term, healthy.get(&fault).copied());
        }
        times
    };
    steps.into_iter().map(times).collect()
}

fn steps(evidence: &Evidence) -> BTreeMap<u32, Steps> {
    let mut faults: BTreeMap<u32, Steps> = BTreeMap::new();
    for event in &evidence.faults {
        let steps = faults.entry(event.fault).or_insert_with(|| Steps { role: event.role, ..Steps::default() });
        steps.kind.clone_from(&event.kind);
        // Node 0 stands for a target that was not found.
        if event.node != 0 {
            steps.meant_for.insert(event.node);
        }
        match event.stage {
            FaultStage::Planned => {}
            FaultStage::Injected => {
                steps.hit.insert(event.node);
                if event.role == NodeRole::Leader {
                    steps.role = NodeRole::Leader;
                }
                steps.term = steps.term.max(event.term);
                steps.injected_ns = steps.injected_ns.max(Some(event.at_ns));
            }
            FaultStage::Effective => steps.effective_ns = steps.effective_ns.or(Some(event.at_ns)),
            FaultStage::Healed => steps.healed_ns = steps.healed_ns.max(Some(event.at_ns)),
        }
    }
    faults
}

/// What callers and the cluster showed, each in the order of time.
struct Felt<'a> {
    /// Ends of calls that were not answered.
    broken_ns: Vec<u64>,
    /// When a term was seen to have a leader.
    led: Vec<(u64, u64)>,
    writes: &'a [Acknowledged],
    /// What V14 counts as quick. `None`: there is no baseline.
    quick_ns: Option<u64>,
}

impl<'a> Felt<'a> {
    fn of(evidence: &Evidence, writes: &'a [Acknowledged]) -> Self {
        let calls = || evidence.moments.iter().filter(|call| call.ended_ns != u64::MAX);
        let broken = calls().filter(|call| matches!(call.ended, Ended::Unknown | Ended::NotDone));
        let mut broken_ns: Vec<u64> = broken.map(|call| call.ended_ns).collect();
        broken_ns.sort_unstable();
        let leaders = evidence.statuses.iter().filter(|sample| sample.role == NodeRole::Leader);
        let written = calls().filter(|call| call.is_written());
        let answers = written.filter_map(|call| Some((call.known_ns, evidence.log.entry(call.index)?.term)));
        let mut led: Vec<(u64, u64)> = leaders.map(|sample| (sample.at_ns, sample.term)).chain(answers).collect();
        led.sort_unstable();
        let quick_ns = recovery::quick_ns(evidence, writes);
        Self { broken_ns, led, writes, quick_ns }
    }

    fn fill(&self, times: &mut FaultTimes, fired_ns: u64, until_ns: u64, term: u64, healthy_ns: Option<u64>) {
        let after = |at_ns: u64| ms(at_ns - fired_ns);
        let broken_ns = self.broken_ns[self.broken_ns.partition_point(|at_ns| *at_ns < fired_ns)..].first().copied();
        let led = &self.led[self.led.partition_point(|(at_ns, _)| *at_ns < fired_ns)..];
        let led_ns = led.iter().find(|(_, seen)| *seen > term).map(|(at_ns, _)| *at_ns);
        let in_time = |at_ns: &u64| *at_ns < until_ns;
        let (broken_ns, led_ns) = (broken_ns.filter(in_time), led_ns.filter(in_time));
        times.detected_after_ms = broken_ns.into_iter().chain(led_ns).min().map(after);
        times.new_leader_after_ms = led_ns.map(after);
        let Some(healthy_ns) = healthy_ns else { return };
        let Some(write_ns) = self.first_write(fired_ns, healthy_ns).filter(in_time) else { return };
        times.writes_after_ms = Some(after(write_ns));
        times.recovered_after_ms =
            self.quick_from(fired_ns, healthy_ns, until_ns).map(|quick_ns| after(quick_ns.max(write_ns)));
    }

    fn first_write(&self, fired_ns: u64, healthy_ns: u64) -> Option<u64> {
        let at = self.writes.partition_point(|write| write.returned_ns < healthy_ns);
        self.writes[at..].iter().find(|write| write.invoked_ns >= fired_ns).map(|write| write.returned_ns)
    }

    /// `None` also if the rate is too low to say.
    fn quick_from(&self, fired_ns: u64, healthy_ns: u64, until_ns: u64) -> Option<u64> {
        let quick_ns = self.quick_ns?;
        let last_ns = self.writes.last()?.returned_ns.min(until_ns.saturating_sub(WINDOW_NS));
        let mut start_ns = healthy_ns;
        while start_ns <= last_ns {
            if recovery::p99_of_window(self.writes, fired_ns, start_ns).is_some_and(|p99_ns| p99_ns <= quick_ns) {
                return Some(start_ns);
            }
            start_ns += STEP_NS;
        }
        None
    }
}

/// In the order of the kinds' names.
#[must_use]
pub fn by_kind(times: &[FaultTimes]) -> Vec<KindTimes> {
    let mut kinds: BTreeMap<&str, Vec<&FaultTimes>> = BTreeMap::new();
    for fault in times {
        kinds.entry(&fault.kind).or_default().push(fault);
    }
    let of = |(kind, faults): (&str, Vec<&FaultTimes>)| {
        let spread = |figure: fn(&FaultTimes) -> Option<f64>| Spread::of(faults.iter().copied().filter_map(figure));
        KindTimes {
            kind: kind.to_owned(),
            planned: faults.len() as u64,
            landed: faults.iter().filter(|fault| fault.effective_ms.is_some()).count() as u64,
            detected_ms: spread(|fault| fault.detected_after_ms),
            new_leader_ms: spread(|fault| fault.new_leader_after_ms),
            writes_ms: spread(|fault| fault.writes_after_ms),
            recovered_ms: spread(|fault| fault.recovered_after_ms),
        }
    };
    kinds.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use smallvec::smallvec;

    use crate::evidence::{Answered, Moment, Op};
    use crate::history::{
        Bounds, FaultEvent, Invoke, OpId, Outcome, Place, ProcessEvent, ProcessStep, Purpose, Receipt, Request, RunFacts,
        StatusSample, WriteAnswer, Written,
    };

    /// A write that was sent at one moment and answered at another, milliseconds.
    fn write(sent_ms: u64, ended_ms: u64, outcome: Outcome) -> Moment {
        let (at_ns, request) = (sent_ms * MS, Request::CancelOrder { order: [0; 16] });
        let purpose = Purpose::Traffic;
        let invoke = Invoke { op: OpId(sent_ms), at_ns, intended_ns: at_ns, session: 1, node: 1, purpose, batch: 0, request };
        Moment::of(&Op { nth: 0, invoke, answers: smallvec![Answered { at_ns: ended_ms * MS, outcome, is_late: false }] })
    }

    fn times(evidence: &Evidence) -> Vec<FaultTimes> {
        fault_times(evidence, &timeline::acknowledged_writes(evidence))
    }

    fn done(term: u64) -> Outcome {
        let receipt = Receipt { place: Place::default(), replayed: false, term };
        Outcome::Written(Written { receipt, answer: WriteAnswer::Cancelled })
    }

    fn event(fault: u32, stage: FaultStage, at_ms: u64) -> FaultEvent {
        FaultEvent { at_ns: at_ms * MS, fault, stage, kind: "kill-leader".into(), node: 1, role: NodeRole::Leader, term: 1 }
    }

    /// Killed at one second; nothing is acknowledged until a leader of term 2 answers at 1.4 s, slowly until 2 s.
    fn a_kill() -> Evidence {
        let before = (0..100).map(|nth| write(nth * 10, nth * 10 + 5, done(1)));
        let broken = write(1_010, 1_030, Outcome::Unknown { why: "deadline".into() });
        let slow = (0..30).map(|nth| write(1_050 + nth, 1_400 + nth * 20, done(2)));
        let after = (0..200).map(|nth| write(2_000 + nth * 10, 2_005 + nth * 10, done(2)));
        let ready = |node| ProcessEvent { at_ns: 0, node, step: ProcessStep::Ready };
        let leads = StatusSample { at_ns: 1_300 * MS, node: 2, role: NodeRole::Leader, term: 2, ..StatusSample::default() };
        // It wants to lead, and does not.
        let wants = StatusSample { at_ns: 1_200 * MS, node: 3, role: NodeRole::Candidate, term: 2, ..StatusSample::default() };
        let facts =
            RunFacts { nodes: vec![1, 2, 3], bounds: Bounds { p99_floor_ms: 20, ..Bounds::default() }, ..RunFacts::default() };
        Evidence {
            moments: before.chain([broken]).chain(slow).chain(after).collect(),
            faults: vec![
                event(1, FaultStage::Injected, 1_000),
                event(1, FaultStage::Effective, 1_004),
                event(1, FaultStage::Healed, 3_000),
            ],
            processes: [1, 2, 3].map(ready).to_vec(),
            statuses: vec![wants, leads],
            last_ns: 5_000 * MS,
            facts,
            ..Evidence::default()
        }
    }

    #[test]
    fn a_kill_is_detected_led_and_recovered_from_at_these_moments() {
        let felt = times(&a_kill());
        let expected = FaultTimes {
            fault: 1,
            kind: "kill-leader".into(),
            nodes: vec![1],
            role: "leader".into(),
            injected_ms: Some(1_000.0),
            effective_ms: Some(1_004.0),
            healed_ms: Some(3_000.0),
            detected_after_ms: Some(30.0),
            new_leader_after_ms: Some(300.0),
            writes_after_ms: Some(400.0),
            // The last slow answer came at 1.98 s; the look moves on by tenths of a second.
            recovered_after_ms: Some(1_000.0),
        };
        assert_eq!(felt, [expected]);
    }

    #[test]
    fn the_next_fault_ends_the_look() {
        let mut evidence = a_kill();
        evidence.faults.extend([event(2, FaultStage::Injected, 1_350), event(2, FaultStage::Effective, 1_351)]);
        let first = &times(&evidence)[0];
        assert_eq!((first.new_leader_after_ms, first.writes_after_ms), (Some(300.0), None));
    }

    #[test]
    fn a_fault_that_did_not_land_has_its_moments_and_no_times() {
        let mut evidence = a_kill();
        evidence.faults.retain(|event| event.stage != FaultStage::Effective);
        evidence.faults.push(FaultEvent { node: 0, ..event(2, FaultStage::Planned, 4_000) });
        let felt = times(&evidence);
        assert_eq!((felt[0].injected_ms, felt[0].detected_after_ms), (Some(1_000.0), None));
        assert_eq!((felt[1].injected_ms, felt[1].nodes.len()), (None, 0));
        let kinds = by_kind(&felt);
        assert_eq!((kinds[0].planned, kinds[0].landed, kinds[0].detected_ms), (2, 0, None));
    }

    #[test]
    fn faults_of_a_kind_are_told_together() {
        let of = |kind: &str, detected: f64| FaultTimes {
            kind: kind.into(),
            effective_ms: Some(1.0),
            detected_after_ms: Some(detected),
            ..FaultTimes::default()
        };
        let kinds = by_kind(&[of("pause-leader", 9.0), of("a-kind-of-tomorrow", 5.0), of("pause-leader", 3.0)]);
        assert_eq!(kinds.iter().map(|kind| kind.kind.as_str()).collect::<Vec<_>>(), ["a-kind-of-tomorrow", "pause-leader"]);
        assert_eq!(kinds[1].detected_ms, Some(Spread { count: 2, p50: 3.0, p95: 9.0, max: 9.0 }));
    }

    #[test]
    fn a_fault_has_the_role_of_its_first_target_or_the_leaders_if_that_was_hit() {
        let role = |steps: &[(FaultStage, NodeRole)]| {
            let events = steps.iter().map(|(stage, role)| FaultEvent { role: *role, ..event(1, *stage, 1_000) });
            times(&Evidence { faults: events.collect(), ..Evidence::default() })[0].role.clone()
        };
        use FaultStage::{Injected, Planned};
        use NodeRole::{Follower, Leader};
        assert_eq!(role(&[(Planned, Follower), (Injected, Follower)]), "follower");
        assert_eq!(role(&[(Injected, Follower), (Injected, Leader), (Injected, Follower)]), "leader");
        assert_eq!(role(&[(Planned, Follower), (Planned, Leader)]), "follower");
    }

    #[test]
    fn what_was_seen_as_the_fault_fired_counts_and_what_is_seen_as_the_next_fires_does_not() {
        let mut evidence = a_kill();
        evidence.moments.push(write(990, 1_000, Outcome::Unknown { why: "deadline".into() }));
        assert_eq!(times(&evidence)[0].detected_after_ms, Some(0.0));
        let led_at = |at_ms, term| {
            let mut evidence = a_kill();
            evidence.statuses =
                vec![StatusSample { at_ns: at_ms * MS, role: NodeRole::Leader, term, ..StatusSample::default() }];
            evidence.faults.extend([event(2, FaultStage::Injected, 1_350), event(2, FaultStage::Effective, 1_351)]);
            times(&evidence)[0].new_leader_after_ms
        };
        assert_eq!([led_at(1_000, 2), led_at(1_349, 2), led_at(1_350, 2)], [Some(0.0), Some(349.0), None]);
        assert_eq!(led_at(1_200, 1), None, "its own term");
    }

    #[test]
    fn the_first_write_is_one_that_a_healthy_majority_answered() {
        let first = |ended_ms: u64| {
            let mut evidence = a_kill();
            // Node 3 is ready 200 ms after the kill.
            evidence.processes[2].at_ns = 1_200 * MS;
            evidence.moments.push(write(1_001, ended_ms, done(2)));
            times(&evidence)[0].writes_after_ms
        };
        assert_eq!([first(1_100), first(1_199), first(1_200)], [Some(400.0), Some(400.0), Some(200.0)]);
    }
}

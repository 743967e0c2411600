//! Looks at the run and makes of it what is on the screen.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::lights::{Lights, Writes};
use super::model::{CURVE_SECONDS, Faults, Model, NodeRow, NodeState, Said, Traffic};
use crate::cluster::Cluster;
use crate::faults;
use crate::history::{FaultEvent, FaultStage, Recorder, wire};
use crate::network::{Direction, Network, Passage};
use crate::progress::Progress;
use crate::proto::admin::GetStatusResponse;
use crate::run::at_risk_idr;
use crate::scenario::{FaultKind, Scenario};
use crate::traffic::Gauges;

/// Phases in which buyers come.
const PHASES_WITH_BUYERS: [&str; 2] = ["warm-up", "faults"];
const PAUSES: [FaultKind; 2] = [FaultKind::PauseLeader, FaultKind::PauseFollower];
const SECOND: Duration = Duration::from_secs(1);

/// The run's own parts, to look at.
pub struct Watched<'a> {
    pub scenario: &'a Scenario,
    pub seed: u64,
    pub cluster: &'a Cluster,
    pub gauges: &'a Gauges,
    pub recorder: Recorder,
    pub progress: &'a Progress,
}

pub(super) struct Watcher<'a> {
    run: &'a Watched<'a>,
    planned: usize,
    required: u32,
    said: BTreeMap<u16, Said>,
    curves: Curves,
    lights: Lights,
}

impl<'a> Watcher<'a> {
    pub(super) fn new(run: &'a Watched<'a>) -> Self {
        let plan = faults::plan::plan(run.scenario, run.seed);
        let planned = plan.faults.len() + plan.when.iter().flat_map(|when| &when.rounds).map(Vec::len).sum::<usize>();
        // Of a condition, all faults of a round that must have landed.
        let rounds = |required: u32, round: usize| required * u32::try_from(round).unwrap_or(u32::MAX);
        let by_conditions = plan.when.iter().map(|when| rounds(when.required, when.rounds.first().map_or(0, Vec::len)));
        let required = run.scenario.required.faults.values().copied().chain(by_conditions).sum();
        let lights = Lights::new(run.scenario.bounds.first_success.get());
        Self { run, planned, required, said: BTreeMap::new(), curves: Curves::default(), lights }
    }

    pub(super) async fn look(&mut self) -> Model {
        let statuses = self.run.cluster.statuses().await;
        let at = Duration::from_nanos(self.run.recorder.now_ns());
        let links = self.run.cluster.network().map(Network::passages);
        let on = self.run.recorder.faults().now();
        let nodes = self.rows(&statuses, links.as_ref(), &on);
        let traffic = self.traffic(at);
        let phase = self.run.progress.phase();
        let are_due = PHASES_WITH_BUYERS.contains(&phase) && can_work(&nodes, links.as_ref(), &on);
        self.lights.look(at, &statuses, Writes { are_due, acknowledged: traffic.placed + traffic.issued });
        Model {
            title: format!("{}, seed {}", self.run.scenario.name, self.run.seed),
            phase,
            elapsed: at,
            nodes,
            links,
            faults: Faults {
                on: told(&on, at),
                landed: self.run.recorder.faults().landed(),
                planned: self.planned,
                required: self.required,
            },
            traffic,
            guards: self.guards(at, &statuses),
            lights: self.lights.shown(),
        }
    }

    fn rows(
        &mut self,
        statuses: &[(u16, GetStatusResponse)],
        links: Option<&BTreeMap<Direction, Passage>>,
        on: &[FaultEvent],
    ) -> Vec<NodeRow> {
        let longest = statuses.iter().map(|(_, status)| status.last_log_index).max().unwrap_or_default();
        for (node, status) in statuses {
            self.said.insert(*node, said(status, longest));
        }
        let row = |node: u16, is_running: bool| {
            let answers = statuses.iter().any(|(id, _)| *id == node);
            let is_paused = on.iter().any(|event| event.node == node && PAUSES.iter().any(|kind| *event.kind == *kind.name()));
            let state = match (is_running, answers) {
                (false, _) => NodeState::Down,
                (true, false) if is_paused => NodeState::Paused,
                (true, false) => NodeState::Silent,
                (true, true) if links.is_some_and(|links| is_cut_off(node, links)) => NodeState::Cut,
                (true, true) => NodeState::Up,
            };
            NodeRow { node, state, said: self.said.get(&node).copied() }
        };
        self.run.cluster.nodes().iter().map(|node| row(node.id(), node.is_running())).collect()
    }

    fn traffic(&mut self, at: Duration) -> Traffic {
        let gauges = self.run.gauges;
        let issued = gauges.issued.load(Ordering::Relaxed);
        if self.curves.is_due(at) {
            self.curves.add(at, issued, gauges.take_p99_ms());
        }
        Traffic {
            issued_per_s: self.curves.issued_per_s.clone(),
            p99_ms: self.curves.p99_ms.clone(),
            placed: gauges.placed.load(Ordering::Relaxed),
            issued,
            unknown: gauges.unknown_now.load(Ordering::Relaxed),
            shed: gauges.shed.load(Ordering::Relaxed),
        }
    }

    fn guards(&self, at: Duration, statuses: &[(u16, GetStatusResponse)]) -> Vec<String> {
        let guards = &self.run.scenario.guards;
        let mut lines = vec![format!("wall_time {} s of {}", at.as_secs(), guards.wall_time)];
        if let Some(allowed) = guards.money_at_risk {
            let at_risk = at_risk_idr(statuses).map_or_else(|| "?".to_owned(), |idr| idr.to_string());
            lines.push(format!("money_at_risk {at_risk} of {} IDR", allowed.above_idr));
        }
        lines
    }
}

/// A value for each of the last seconds.
#[derive(Default)]
struct Curves {
    /// When the last second was taken, and what was issued by then.
    taken: (Duration, u64),
    issued_per_s: VecDeque<u64>,
    p99_ms: VecDeque<Option<u64>>,
}

impl Curves {
    fn is_due(&self, at: Duration) -> bool {
        at.saturating_sub(self.taken.0) >= SECOND
    }

    fn add(&mut self, at: Duration, issued: u64, p99_ms: Option<u64>) {
        let (before, issued_before) = std::mem::replace(&mut self.taken, (at, issued));
        // A look that came late covers more than a second.
        let length_ms = u64::try_from(at.saturating_sub(before).as_millis()).unwrap_or(u64::MAX).max(1);
        self.issued_per_s.push_back((issued - issued_before) * 1_000 / length_ms);
        self.p99_ms.push_back(p99_ms);
        while self.p99_ms.len() > CURVE_SECONDS {
            self.issued_per_s.pop_front();
            self.p99_ms.pop_front();
        }
    }
}

fn said(status: &GetStatusResponse, longest: u64) -> Said {
    Said {
        member: status.node_id,
        role: wire::node_role(status.role),
        term: status.term,
        last_log_index: status.last_log_index,
        committed_index: status.committed_index,
        applied_index: status.applied_index,
        snapshot_index: status.snapshot_index,
        behind: longest.saturating_sub(status.applied_index),
    }
}

/// Hears none of the others, or is heard by none.
fn is_cut_off(node: u16, links: &BTreeMap<Direction, Passage>) -> bool {
    let all_cut = |is_its: &dyn Fn(&Direction) -> bool| {
        let mut its = links.iter().filter(|(direction, _)| is_its(direction)).peekable();
        its.peek().is_some() && its.all(|(_, passage)| *passage == Passage::Cut)
    };
    all_cut(&|(from, _)| *from == node) || all_cut(&|(_, to)| *to == node)
}

/// A majority answers, no fault is on at any of it, and everything passes within it. (Whether it does work is what V14 is about.)
fn can_work(nodes: &[NodeRow], links: Option<&BTreeMap<Direction, Passage>>, on: &[FaultEvent]) -> bool {
    let is_whole = |row: &&NodeRow| row.state == NodeState::Up && on.iter().all(|event| event.node != row.node);
    let whole: Vec<u16> = nodes.iter().filter(is_whole).map(|row| row.node).collect();
    let is_within = |(from, to): &Direction| whole.contains(from) && whole.contains(to);
    let mut within = links.into_iter().flatten().filter(|(direction, _)| is_within(direction));
    whole.len() > nodes.len() / 2 && within.all(|(_, passage)| *passage == Passage::Free)
}

/// A line for each fault, with all whom it hits.
fn told(on: &[FaultEvent], at: Duration) -> Vec<String> {
    let line = |events: &[FaultEvent]| {
        let first = events.first()?;
        let nodes: Vec<String> = events.iter().map(|event| event.node.to_string()).collect();
        let since = events.iter().map(|event| event.at_ns).min().map(Duration::from_nanos).unwrap_or_default();
        let is_felt = events.iter().any(|event| event.stage == FaultStage::Effective);
        let (fault, kind, nodes) = (first.fault, &first.kind, nodes.join(", "));
        let (length, felt) = (at.saturating_sub(since).as_secs_f64(), if is_felt { "landed" } else { "not landed yet" });
        Some(format!("{fault} {kind} at {nodes}, {length:.1} s, {felt}"))
    };
    on.chunk_by(|a, b| a.fault == b.fault).filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::NodeRole;
    use crate::scenario::Hurt;

    fn on(fault: u32, kind: &str, node: u16, stage: FaultStage) -> FaultEvent {
        FaultEvent { at_ns: 1_000_000_000, fault, stage, kind: kind.into(), node, role: NodeRole::Unknown, term: 0 }
    }

    fn links(cut: &[Direction]) -> BTreeMap<Direction, Passage> {
        let all = (1..=3).flat_map(|from| (1..=3).map(move |to| (from, to))).filter(|(from, to)| from != to);
        all.map(|one| (one, if cut.contains(&one) { Passage::Cut } else { Passage::Free })).collect()
    }

    fn rows(states: [NodeState; 3]) -> Vec<NodeRow> {
        (1..).zip(states).map(|(node, state)| NodeRow { node, state, said: None }).collect()
    }

    #[test]
    fn pauses_are_the_faults_that_pause() {
        assert!(PAUSES.iter().all(|kind| kind.hurt() == Hurt::Pauses));
    }

    #[test]
    fn a_node_is_cut_off_if_it_hears_nobody_or_nobody_hears_it() {
        assert!(is_cut_off(1, &links(&[(1, 2), (1, 3)])), "it is mute");
        assert!(is_cut_off(1, &links(&[(2, 1), (3, 1)])), "it is deaf");
        assert!(!is_cut_off(1, &links(&[(1, 2), (3, 1)])));
        assert!(!is_cut_off(2, &links(&[(1, 2), (1, 3)])), "the others are not");
    }

    #[test]
    fn a_majority_can_work_that_no_fault_hits_and_within_which_everything_passes() {
        use NodeState::{Cut, Down, Up};
        assert!(can_work(&rows([Up; 3]), None, &[]));
        assert!(can_work(&rows([Down, Up, Up]), Some(&links(&[])), &[]));
        assert!(!can_work(&rows([Down, Down, Up]), Some(&links(&[])), &[]));
        assert!(can_work(&rows([Cut, Up, Up]), Some(&links(&[(1, 2), (1, 3)])), &[]));
        assert!(!can_work(&rows([Cut, Up, Up]), Some(&links(&[(2, 3)])), &[]));
        let slow = |node| on(1, "stall-disk-leader", node, FaultStage::Effective);
        assert!(can_work(&rows([Up; 3]), None, &[slow(1)]));
        assert!(!can_work(&rows([Up; 3]), None, &[slow(1), slow(2)]));
    }

    #[test]
    fn a_fault_is_told_once_with_all_whom_it_hits() {
        let events = [
            on(3, "kill-all", 1, FaultStage::Effective),
            on(3, "kill-all", 2, FaultStage::Injected),
            on(4, "mute-leader", 2, FaultStage::Injected),
        ];
        let lines = told(&events, Duration::from_millis(2_500));
        assert_eq!(lines, ["3 kill-all at 1, 2, 1.5 s, landed", "4 mute-leader at 2, 1.5 s, not landed yet"]);
    }

    #[test]
    fn a_late_look_makes_no_peak_and_the_curves_have_an_end() {
        let mut curves = Curves::default();
        curves.add(Duration::from_secs(1), 100, Some(7));
        assert!(!curves.is_due(Duration::from_millis(1_900)) && curves.is_due(Duration::from_secs(2)));
        curves.add(Duration::from_secs(3), 300, None);
        assert_eq!(
            (curves.issued_per_s.make_contiguous(), &*curves.p99_ms.make_contiguous()),
            (&mut [100, 100][..], &[Some(7), None][..])
        );
        for second in 4..200 {
            curves.add(Duration::from_secs(second), 300, None);
        }
        assert_eq!((curves.issued_per_s.len(), curves.p99_ms.len()), (CURVE_SECONDS, CURVE_SECONDS));
    }
}

//! A run's faults as a list from which some can be left out, and the scenario of those that are kept.
//!
//! What the seed drew is given its moment, so that it stays when others go. What fires by a condition stays with its condition.

use std::collections::BTreeMap;

use crate::faults::plan::{Plan, PlannedFault};
use crate::limits;
use crate::scenario::{FaultAt, FaultKind, FaultWhen, Faults, Parameters, Scenario, Span};

const SMALLEST: &str = "-smallest";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Piece {
    At(FaultAt),
    /// Of one condition of the scenario, one fault.
    When {
        condition: usize,
        fault: usize,
    },
}

/// A scenario in pieces.
#[derive(Debug)]
pub(super) struct Pieces {
    whole: Scenario,
    pieces: Vec<Piece>,
}

impl Pieces {
    /// `plan`: as it was resolved for the run.
    #[must_use]
    pub(super) fn of(scenario: &Scenario, plan: &Plan) -> Self {
        let timed = plan.faults.iter().map(|fault| Piece::At(fault_at(fault)));
        let conditional = scenario
            .faults
            .when
            .iter()
            .enumerate()
            .flat_map(|(condition, when)| (0..when.faults.len()).map(move |fault| Piece::When { condition, fault }));
        let mut whole = scenario.clone();
        let named: String = whole.name.chars().take(limits::NAME_CHARS_MAX - SMALLEST.len()).collect();
        whole.name = named + SMALLEST;
        Self { whole, pieces: timed.chain(conditional).collect() }
    }

    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// With nothing but the faults at these places; all that have a moment must land.
    #[must_use]
    pub(super) fn keep(&self, places: &[usize]) -> Scenario {
        let mut scenario = self.whole.clone();
        let kept = || places.iter().map(|place| self.pieces[*place]);
        let at: Vec<FaultAt> = kept().filter_map(|piece| if let Piece::At(at) = piece { Some(at) } else { None }).collect();
        let mut required: BTreeMap<FaultKind, u32> = BTreeMap::new();
        for one in &at {
            *required.entry(one.kind).or_default() += 1;
        }
        let mut when = scenario.faults.when;
        for (condition, one) in when.iter_mut().enumerate() {
            let is_kept = |fault: usize| kept().any(|piece| piece == Piece::When { condition, fault });
            one.faults = only(one.fire_after().zip(&one.faults), is_kept);
        }
        when.retain(|one| !one.faults.is_empty());
        scenario.faults = Faults { random: Vec::new(), at, when };
        scenario.required.faults = required;
        // Of fewer faults nobody has said what they bring about.
        scenario.provokes.clear();
        scenario
    }

    /// In one line.
    #[must_use]
    pub(super) fn names(&self, places: &[usize]) -> String {
        let name = |place: &usize| match self.pieces[*place] {
            Piece::At(one) => format!("{} at {}", one.kind.name(), one.at),
            Piece::When { condition, fault } => {
                let when = &self.whole.faults.when[condition];
                format!("{} when {}", when.faults[fault].kind.name(), when.state)
            }
        };
        let names: Vec<String> = places.iter().map(name).collect();
        if names.is_empty() { "no fault".to_owned() } else { names.join(", ") }
    }
}

fn fault_at(fault: &PlannedFault) -> FaultAt {
    let Parameters { delay, packets, offset, point, limit } = fault.parameters;
    FaultAt {
        kind: fault.kind,
        at: Span::from_millis(fault.at_ms),
        lasts: Span::from_millis(fault.lasts_ms),
        delay,
        packets,
        offset,
        point,
        limit,
        choice: Some(fault.choice),
    }
}

/// Each fires when it did before, whoever is left out.
fn only<'a>(faults: impl Iterator<Item = (Span, &'a FaultWhen)>, is_kept: impl Fn(usize) -> bool) -> Vec<FaultWhen> {
    let mut before = Span::default();
    let kept = faults.enumerate().filter(|(fault, _)| is_kept(*fault));
    kept.map(|(_, (at, fault))| {
        let after = at.get().saturating_sub(before.get()).into();
        before = at;
        FaultWhen { after, ..*fault }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::plan::plan;
    use crate::scenario::BUILT_IN;
    use crate::scenario::Parameters;
    use crate::shrink::as_file;

    #[test]
    fn all_pieces_of_a_scenario_are_its_schedule_again() {
        for (name, _) in BUILT_IN {
            let (scenario, _) = Scenario::load(name).unwrap();
            let planned = plan(&scenario, 7);
            let pieces = Pieces::of(&scenario, &planned);
            let all: Vec<usize> = (0..pieces.len()).collect();
            let kept = Scenario::parse(&as_file(&pieces.keep(&all)).unwrap()).unwrap();
            let again = plan(&kept, 8);
            let moments = |plan: &Plan| -> Vec<(u32, FaultKind, u64, u64, Parameters)> {
                let when = plan.when.iter().flat_map(|when| when.rounds.iter().flatten());
                plan.faults
                    .iter()
                    .chain(when)
                    .map(|one| (one.number, one.kind, one.at_ms, one.lasts_ms, one.parameters))
                    .collect()
            };
            assert_eq!(moments(&again), moments(&planned), "{name}");
            let choices = |plan: &Plan| plan.faults.iter().map(|one| one.choice).collect::<Vec<_>>();
            assert_eq!(choices(&again), choices(&planned), "{name}: another follower, another file");
        }
    }

    #[test]
    fn what_is_kept_keeps_its_moment_and_is_what_must_land() {
        let (scenario, _) = Scenario::load("smoke").unwrap();
        let pieces = Pieces::of(&scenario, &plan(&scenario, 1));
        let kept = pieces.keep(&[0, 2]);
        let kinds: Vec<FaultKind> = kept.faults.at.iter().map(|one| one.kind).collect();
        assert_eq!(kinds, [FaultKind::KillLeader, FaultKind::KillAll]);
        assert_eq!(kept.faults.at[1].at, Span::from_millis(5_000));
        assert_eq!(kept.required.faults, [(FaultKind::KillLeader, 1), (FaultKind::KillAll, 1)].into());
        assert_eq!(pieces.names(&[0, 2]), "kill-leader at 200ms, kill-all at 5s");
        assert_eq!(kept.name, "smoke-smallest");
        let none = pieces.keep(&[]);
        assert!(none.faults == Faults::default() && none.required.faults.is_empty());
    }

    #[test]
    fn of_a_condition_the_faults_that_are_kept_fire_when_they_did() {
        let (scenario, _) = Scenario::load("paid-and-paused").unwrap();
        let pieces = Pieces::of(&scenario, &plan(&scenario, 1));
        assert_eq!(pieces.len(), 2);
        let kept = pieces.keep(&[1]);
        let [when] = &kept.faults.when[..] else { panic!("one condition") };
        assert_eq!((when.faults.len(), when.faults[0].after), (1, scenario.faults.when[0].faults[1].after));
        assert_eq!(when.faults[0].kind, FaultKind::MuteLeader);
        assert!(pieces.keep(&[]).faults.when.is_empty());
    }
}

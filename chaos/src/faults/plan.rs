//! Which fault fires when: drawn from the seed before the run starts, and kept with it.
//!
//! Targets are not drawn here: who leads is known only when the fault fires. Neither are the moments of those that wait for a
//! state of the product; they have their numbers.

use std::time::Duration;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::history::RequiredFault;
use crate::network::Impairment;
use crate::scenario::{FaultKind, FaultWhen, FaultsWhen, Packets, Parameters, Scenario, Span, State};

/// So that faults and buyers do not draw from the same numbers.
const FAULTS_STREAM: u64 = u64::MAX;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// In the order of time.
    pub faults: Vec<PlannedFault>,
    /// In the order of the scenario.
    #[serde(default)]
    pub when: Vec<PlannedWhen>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFault {
    /// From 1: those with a moment in the order of time, then those of each condition.
    pub number: u32,
    pub kind: FaultKind,
    /// After the fault phase began, or after its condition became true. It fires later if the one before is not yet healed.
    pub at_ms: u64,
    /// From its effect until it is undone.
    pub lasts_ms: u64,
    pub parameters: Parameters,
    /// Picks among several possible targets, files, moments: this modulo their number.
    pub choice: u32,
}

/// Faults that wait for a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedWhen {
    pub state: State,
    /// So many of its rounds must have landed.
    pub required: u32,
    /// After the fault phase began: the last moment at which it may fire.
    pub within_ms: u64,
    /// After whatever fault was undone before it, at least.
    pub apart_ms: u64,
    /// The faults of each time that it may fire.
    pub rounds: Vec<Vec<PlannedFault>>,
}

#[must_use]
pub fn plan(scenario: &Scenario, seed: u64) -> Plan {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(FAULTS_STREAM);
    let mut kinds: Vec<_> = scenario.faults.random.iter().flat_map(|faults| (0..faults.count).map(move |_| faults)).collect();
    kinds.shuffle(&mut rng);

    let phase_ms = scenario.phases.faults.ms();
    let slot_ms = phase_ms / u64::try_from(kinds.len()).unwrap_or(u64::MAX).max(1);
    let mut faults: Vec<PlannedFault> = Vec::new();
    for (slot, kind) in (0_u64..).zip(kinds) {
        // In the first half of its slot, so that even the last has time to heal within the phase.
        let at_ms = slot * slot_ms + rng.random_range(0..=slot_ms / 2);
        let range = kind.lasts_min.ms()..=kind.lasts_max.ms();
        faults.push(PlannedFault {
            number: 0,
            kind: kind.kind,
            at_ms,
            lasts_ms: rng.random_range(range),
            parameters: kind.parameters(),
            choice: chosen(kind.kind, rng.random()),
        });
    }
    for one in &scenario.faults.at {
        let (at_ms, lasts_ms) = (one.at.ms(), one.lasts.ms());
        let drawn = chosen(one.kind, rng.random());
        let (parameters, choice) = (one.parameters(), one.choice.unwrap_or(drawn));
        faults.push(PlannedFault { number: 0, kind: one.kind, at_ms, lasts_ms, parameters, choice });
    }
    faults.sort_by_key(|fault| fault.at_ms);
    let mut numbers = 1..;
    for (fault, number) in faults.iter_mut().zip(numbers.by_ref()) {
        fault.number = number;
        if fault.choice == IN_TURN {
            fault.choice = number;
        }
    }
    let when = scenario.faults.when.iter().map(|when| planned_when(when, scenario.phases.faults, &mut numbers, &mut rng));
    let when = when.collect();
    Plan { faults, when }
}

/// In place of a choice: the fault's own number, when it has one.
const IN_TURN: u32 = u32::MAX;

/// One follower after the other is stopped, as in an upgrade; every other choice is what was drawn.
fn chosen(kind: FaultKind, drawn: u32) -> u32 {
    if kind == FaultKind::StopFollower { IN_TURN } else { drawn }
}

fn planned_when(when: &FaultsWhen, phase: Span, numbers: &mut impl Iterator<Item = u32>, rng: &mut ChaCha8Rng) -> PlannedWhen {
    let mut round = || -> Vec<PlannedFault> {
        // One for all: what hits a follower twice must not hit two.
        let choice = rng.random();
        let fault = |((at, fault), number): ((Span, &FaultWhen), u32)| PlannedFault {
            number,
            kind: fault.kind,
            at_ms: at.ms(),
            lasts_ms: fault.lasts.ms(),
            parameters: fault.parameters(),
            choice,
        };
        when.fire_after().zip(&when.faults).zip(numbers.by_ref()).map(fault).collect()
    };
    PlannedWhen {
        state: when.state.clone(),
        required: when.required,
        within_ms: when.fires_within(phase).ms(),
        apart_ms: when.apart.ms(),
        rounds: (0..when.times).map(|_| round()).collect(),
    }
}

impl Plan {
    /// What must have landed by conditions.
    #[must_use]
    pub fn required_by_conditions(&self) -> Vec<RequiredFault> {
        let required = |when: &PlannedWhen| RequiredFault {
            kind: format!("what fires when {}", when.state),
            at_least: when.required,
            role: String::new(),
            rounds: when.rounds.iter().map(|round| round.iter().map(|fault| fault.number).collect()).collect(),
        };
        self.when.iter().map(required).collect()
    }
}

impl PlannedFault {
    #[must_use]
    pub fn at(&self) -> Duration {
        Duration::from_millis(self.at_ms)
    }

    #[must_use]
    pub fn lasts(&self) -> Duration {
        Duration::from_millis(self.lasts_ms)
    }

    /// Of links that are not cut.
    pub(super) fn impairment(&self) -> Impairment {
        let delay = self.parameters.delay.unwrap_or_default().get();
        let Packets { loss, reorder, duplicate, corrupt, bytes_per_s } = self.parameters.packets.unwrap_or_default();
        Impairment { delay, jitter: delay / 2, loss, reorder, duplicate, corrupt, bytes_per_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rush() -> Scenario {
        Scenario::load("casn2024-leader-kill").expect("built in").0
    }

    #[test]
    fn a_seed_gives_one_schedule_and_another_seed_another() {
        assert_eq!(plan(&rush(), 7), plan(&rush(), 7));
        assert_ne!(plan(&rush(), 7), plan(&rush(), 8));
    }

    #[test]
    fn each_time_that_a_condition_may_fire_has_faults_of_its_own_numbers() {
        let (mut scenario, _) = Scenario::load("paid-and-paused").expect("built in");
        scenario.faults.random = rush().faults.random;
        scenario.faults.at = rush().faults.at;
        let plan = plan(&scenario, 7);
        let behind_timed = plan.faults.last().expect("the rush has some").number + 1;
        let numbers: Vec<u32> =
            plan.when.iter().flat_map(|when| when.rounds.iter().flatten()).map(|fault| fault.number).collect();
        assert!(numbers.iter().copied().eq((behind_timed..).take(numbers.len())), "{numbers:?}");
        let required = &plan.required_by_conditions()[0];
        assert_eq!(required.rounds.concat().first(), numbers.first());
        assert!(required.kind.contains("orders_awaiting_payment"), "{}", required.kind);
    }

    #[test]
    fn every_planned_fault_is_in_time_order_within_the_phase() {
        let scenario = rush();
        for seed in 0..50 {
            let faults = plan(&scenario, seed).faults;
            assert!(faults.is_sorted_by_key(|fault| fault.at_ms));
            assert!(faults.iter().all(|fault| fault.at_ms < scenario.phases.faults.ms()));
            for (kind, required) in &scenario.required.faults {
                let planned = faults.iter().filter(|fault| fault.kind == *kind).count();
                assert!(planned >= *required as usize, "seed {seed}: {planned} of {}", kind.name());
            }
        }
    }

    #[test]
    fn faults_are_further_apart_than_the_bound_on_the_first_success() {
        for (name, _) in crate::scenario::BUILT_IN {
            let (scenario, _) = Scenario::load(name).expect("built in");
            for seed in 0..20 {
                let at: Vec<u64> = plan(&scenario, seed).faults.iter().map(|fault| fault.at_ms).collect();
                let gaps = at.windows(2).map(|pair| pair[1] - pair[0]);
                assert!(gaps.min().is_none_or(|gap| gap >= scenario.bounds.first_success.ms()), "{name}, seed {seed}: {at:?}");
            }
        }
    }

    #[test]
    fn some_fault_of_every_schedule_leaves_time_for_the_latency_to_be_back() {
        // From its start until a node that was killed is ready; far above what was seen.
        const START_MS: u64 = 500;
        for (name, _) in crate::scenario::BUILT_IN {
            let (scenario, _) = Scenario::load(name).expect("built in");
            // (The moments of those that wait for a state are not planned.)
            if scenario.faults.random.is_empty() && scenario.faults.at.is_empty() {
                continue;
            }
            let (nodes, end_ms) = (scenario.cluster.nodes, scenario.phases.faults.ms() + scenario.phases.settle.ms());
            let down_ms = |fault: &PlannedFault| {
                if fault.kind.nodes_left(nodes) > nodes / 2 { 0 } else { fault.lasts_ms + START_MS }
            };
            for seed in 0..200 {
                let faults = plan(&scenario, seed).faults;
                let ends = faults.iter().skip(1).map(|next| next.at_ms).chain([end_ms]);
                let mut left = faults.iter().zip(ends).map(|(fault, end)| end.saturating_sub(fault.at_ms + down_ms(fault)));
                assert!(left.any(|left_ms| left_ms >= scenario.bounds.p99_back.ms()), "{name}, seed {seed}: {faults:?}");
            }
        }
    }
}

//! Which fault fires when: drawn from the seed before the run starts, and kept with it.
//!
//! Targets are not drawn here: who leads is known only when the fault fires.

use std::time::Duration;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::network::Impairment;
use crate::scenario::{FaultKind, Packets, Scenario, Span};

/// So that faults and buyers do not draw from the same numbers.
const FAULTS_STREAM: u64 = u64::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PlannedFault {
    /// From 1, in the order of time.
    pub number: u32,
    pub kind: FaultKind,
    /// After the fault phase began. It fires later if the one before is not yet healed.
    pub at_ms: u64,
    /// From its effect until it is undone.
    pub lasts_ms: u64,
    /// Of links that are slowed; otherwise 0.
    pub delay_ms: u64,
    /// Of links that lose or change what they carry; otherwise nothing.
    pub packets: Packets,
    /// Picks among several possible targets: this modulo their number.
    pub choice: u32,
}

#[must_use]
pub fn plan(scenario: &Scenario, seed: u64) -> Vec<PlannedFault> {
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
            delay_ms: kind.delay.map_or(0, Span::ms),
            packets: kind.packets.unwrap_or_default(),
            choice: rng.random(),
        });
    }
    for one in &scenario.faults.at {
        let (at_ms, lasts_ms) = (one.at.ms(), one.lasts.ms());
        let (delay_ms, packets) = (one.delay.map_or(0, Span::ms), one.packets.unwrap_or_default());
        faults.push(PlannedFault { number: 0, kind: one.kind, at_ms, lasts_ms, delay_ms, packets, choice: rng.random() });
    }
    faults.sort_by_key(|fault| fault.at_ms);
    for (number, fault) in (1..).zip(&mut faults) {
        fault.number = number;
    }
    faults
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
        let delay = Duration::from_millis(self.delay_ms);
        let Packets { loss, reorder, duplicate, corrupt, bytes_per_s } = self.packets;
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
    fn every_planned_fault_is_in_time_order_within_the_phase() {
        let scenario = rush();
        for seed in 0..50 {
            let faults = plan(&scenario, seed);
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
                let at: Vec<u64> = plan(&scenario, seed).iter().map(|fault| fault.at_ms).collect();
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
            if scenario.faults == crate::scenario::Faults::default() {
                continue;
            }
            let (nodes, end_ms) = (scenario.cluster.nodes, scenario.phases.faults.ms() + scenario.phases.settle.ms());
            let down_ms = |fault: &PlannedFault| {
                if fault.kind.nodes_left(nodes) > nodes / 2 { 0 } else { fault.lasts_ms + START_MS }
            };
            for seed in 0..200 {
                let faults = plan(&scenario, seed);
                let ends = faults.iter().skip(1).map(|next| next.at_ms).chain([end_ms]);
                let mut left = faults.iter().zip(ends).map(|(fault, end)| end.saturating_sub(fault.at_ms + down_ms(fault)));
                assert!(left.any(|left_ms| left_ms >= scenario.bounds.p99_back.ms()), "{name}, seed {seed}: {faults:?}");
            }
        }
    }
}

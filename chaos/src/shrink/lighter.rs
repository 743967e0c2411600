//! Beside its faults, a scenario can be made smaller in two cheap ways: a shorter phase of faults, and fewer buyers.

use std::time::Duration;

use crate::scenario::{Rate, Scenario, Span};

/// Below this, halving the buyers saves nothing.
const ORDERS_PER_S_MIN: u32 = 10;
const PHASE_MIN: Duration = Duration::from_secs(1);

/// Half the phase of faults, or what its faults need, in whole seconds. `None`: it is as short as it can be.
#[must_use]
pub(super) fn shorter(scenario: &Scenario) -> Option<Scenario> {
    let timed = scenario.faults.at.iter().map(|one| one.at.get() + one.lasts.get());
    // So much of the phase must be left for a condition to become true in.
    let conditional =
        scenario.faults.when.iter().map(|when| when.fires_within(scenario.phases.faults).get() + when.length().get());
    let needed = timed.chain(conditional).max().map_or(PHASE_MIN, |end| end + scenario.bounds.first_success.get());
    let half = scenario.phases.faults.get() / 2;
    let phase = Duration::from_secs(needed.max(half).max(PHASE_MIN).as_millis().div_ceil(1_000).try_into().ok()?);
    let mut shorter = scenario.clone();
    shorter.phases.faults = Span::from(phase);
    (shorter.phases.faults < scenario.phases.faults).then_some(shorter)
}

/// Half as many a second. `None`: there are few.
#[must_use]
pub(super) fn fewer_buyers(scenario: &Scenario) -> Option<Scenario> {
    let half = scenario.traffic.orders.per_second() / 2;
    let mut fewer = scenario.clone();
    fewer.traffic.orders = Rate::try_from(format!("{half}/s")).ok()?;
    (half >= ORDERS_PER_S_MIN).then_some(fewer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::plan::plan;
    use crate::shrink::pieces::Pieces;

    fn phases(mut scenario: Scenario) -> Vec<u64> {
        let mut phases = Vec::new();
        while let Some(shorter) = shorter(&scenario) {
            phases.push(shorter.phases.faults.ms() / 1_000);
            scenario = shorter;
        }
        phases
    }

    #[test]
    fn a_phase_is_halved_until_its_faults_and_the_first_success_just_fit() {
        let (smoke, _) = Scenario::load("smoke").unwrap();
        let pieces = Pieces::of(&smoke, &plan(&smoke, 1));
        assert_eq!(phases(pieces.keep(&[0])), [5, 3], "0.2 s + 0.5 s, and 2 s to write again");
        assert_eq!(phases(pieces.keep(&[2])), [8], "5.2 s and 2 s");
        assert_eq!(phases(pieces.keep(&[])), [5, 3, 2, 1]);
    }

    #[test]
    fn a_phase_leaves_its_conditions_their_time() {
        let (scenario, _) = Scenario::load("paid-and-paused").unwrap();
        assert_eq!(phases(scenario), [] as [u64; 0]);
    }

    #[test]
    fn buyers_are_halved_while_there_are_many() {
        let (mut scenario, _) = Scenario::load("smoke").unwrap();
        let mut rates = Vec::new();
        while let Some(fewer) = fewer_buyers(&scenario) {
            rates.push(fewer.traffic.orders.per_second());
            scenario = fewer;
        }
        assert_eq!(rates, [250, 125, 62, 31, 15]);
    }
}

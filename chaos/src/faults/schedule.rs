//! What fires next: the next fault that has a moment, or those of a condition that became true before it.
//!
//! What comes out here is aimed: its targets are found in this moment. Nothing else comes out before it is undone.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::condition::Condition;
use super::plan::{Plan, PlannedFault, PlannedWhen};
use super::target::{self, Target};
use crate::cluster::Cluster;
use crate::limits;
use crate::proto::admin::GetStatusResponse;

/// A fault and whom it hits. Nobody: it found no target.
pub(super) struct Aimed<'a> {
    pub(super) fault: &'a PlannedFault,
    /// From now.
    pub(super) fires_after: Duration,
    pub(super) targets: Vec<Target>,
}

pub(super) struct Schedule<'a> {
    phase_start: Instant,
    timed: std::slice::Iter<'a, PlannedFault>,
    conditional: Vec<Conditional<'a>>,
    /// When the last fault was undone.
    undone: Option<Instant>,
}

impl<'a> Schedule<'a> {
    pub(super) fn new(plan: &'a Plan, phase_start: Instant) -> Self {
        let conditional = plan.when.iter().map(|when| Conditional::new(when, phase_start)).collect();
        Self { phase_start, timed: plan.faults.iter(), conditional, undone: None }
    }

    /// Waits for it. `None`: nothing can fire any more.
    pub(super) async fn next(&mut self, cluster: &Cluster) -> Option<Vec<Aimed<'a>>> {
        loop {
            let now = Instant::now();
            let due = self.timed.as_slice().first().map(|fault| self.phase_start + fault.at());
            if due.is_some_and(|due| due <= now) {
                let fault = self.timed.next()?;
                let targets = target::find(cluster, fault).await;
                return Some(vec![Aimed { fault, fires_after: Duration::ZERO, targets }]);
            }
            if !self.conditional.iter().any(|one| one.is_open(now)) {
                sleep_until(due?).await;
                continue;
            }
            if let Some(statuses) = target::all_answer(cluster).await
                && let Some(aimed) = self.became_true(&statuses, Instant::now())
            {
                return Some(aimed);
            }
            sleep(limits::CONDITION_INTERVAL).await;
        }
    }

    /// All are aimed at once: who led when the condition became true is hit, whoever leads by then.
    fn became_true(&mut self, statuses: &[(u16, GetStatusResponse)], now: Instant) -> Option<Vec<Aimed<'a>>> {
        let leader = target::leader(statuses)?;
        let is_apart = |apart: Duration| self.undone.is_none_or(|undone| now >= undone + apart);
        let mut open = self.conditional.iter_mut().filter(|one| one.is_open(now));
        // Looked at also while it may not fire: its state may go in that time.
        let fires = open.find_map(|one| (one.condition.is_true(leader) && is_apart(one.apart)).then_some(one))?;
        let round = &fires.rounds[fires.fired];
        fires.fired += 1;
        fires.condition.fire();
        let aim = |fault: &'a PlannedFault| Aimed { fault, fires_after: fault.at(), targets: target::choose(fault, statuses) };
        Some(round.iter().map(aim).collect())
    }

    /// What came out last is undone.
    pub(super) fn undone(&mut self, at: Instant) {
        self.undone = Some(at);
    }

    /// What had to fire by a condition and did not; and the first faults of one that never became true.
    pub(super) fn missed(&self) -> impl Iterator<Item = &'a PlannedFault> {
        self.conditional.iter().flat_map(|one| {
            let wanted = one.required.max(1).max(one.fired);
            one.rounds[one.fired..wanted].iter().flatten()
        })
    }
}

struct Conditional<'a> {
    condition: Condition<'a>,
    rounds: &'a [Vec<PlannedFault>],
    /// Of the rounds.
    fired: usize,
    required: usize,
    closes: Instant,
    apart: Duration,
}

impl<'a> Conditional<'a> {
    fn new(when: &'a PlannedWhen, phase_start: Instant) -> Self {
        Self {
            condition: Condition::new(&when.state),
            rounds: &when.rounds,
            fired: 0,
            required: when.required as usize,
            closes: phase_start + Duration::from_millis(when.within_ms),
            apart: Duration::from_millis(when.apart_ms),
        }
    }

    fn is_open(&self, now: Instant) -> bool {
        // At its last moment it may still fire.
        self.fired < self.rounds.len() && now <= self.closes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::plan::plan;
    use crate::proto::admin::{NodeRole as WireRole, Totals};
    use crate::scenario::{Scenario, Span};

    fn at(ms: u64, from: Instant) -> Instant {
        from + Duration::from_millis(ms)
    }

    fn statuses(leader: u16, orders_awaiting_payment: u64) -> Vec<(u16, GetStatusResponse)> {
        let status = |node: u16| {
            let role = if node == leader { WireRole::Leader } else { WireRole::Follower };
            let totals = Some(Totals { orders_awaiting_payment, ..Totals::default() });
            (node, GetStatusResponse { role: role.into(), node_id: node.into(), totals, ..GetStatusResponse::default() })
        };
        (1..=3).map(status).collect()
    }

    /// At most twice within 9 s, a second apart, when 50 orders wait: pause the leader and mute it.
    fn twice() -> Plan {
        let (mut scenario, _) = Scenario::load("paid-and-paused").unwrap();
        let when = &mut scenario.faults.when[0];
        (when.times, when.required) = (2, 2);
        (when.within, when.apart) = (Some(Span::from_millis(9_000)), Span::from_millis(1_000));
        for threshold in when.state.0.values_mut() {
            (threshold.at_least, threshold.again_below) = (50, None);
        }
        plan(&scenario, 1)
    }

    #[test]
    fn who_leads_when_a_condition_becomes_true_is_hit_by_all_of_its_faults() {
        let (plan, start) = (twice(), Instant::now());
        let mut schedule = Schedule::new(&plan, start);
        assert!(schedule.became_true(&statuses(2, 49), start).is_none());
        let aimed = schedule.became_true(&statuses(2, 50), start).unwrap();
        assert_eq!(aimed.iter().map(|one| one.fault.number).collect::<Vec<_>>(), [1, 2]);
        assert!(aimed.iter().all(|one| one.targets.len() == 1 && one.targets[0].node == 2));
        assert!(aimed[1].fires_after >= aimed[0].fires_after);
    }

    #[test]
    fn a_condition_fires_as_often_as_it_may_within_its_time_and_apart_from_other_faults() {
        let (plan, start) = (twice(), Instant::now());
        let mut schedule = Schedule::new(&plan, start);
        let mut fires = |orders, ms| schedule.became_true(&statuses(1, orders), at(ms, start)).is_some();
        assert!(fires(50, 0));
        schedule.undone(at(1_000, start));
        let mut fires = |orders, ms| schedule.became_true(&statuses(1, orders), at(ms, start)).is_some();
        assert!(!fires(0, 1_500), "it has gone, and may become true again");
        assert!(!fires(50, 1_999) && fires(50, 2_000), "a second after the last was undone");
        assert!(!fires(0, 8_000) && !fires(50, 8_100), "twice is all");

        let mut schedule = Schedule::new(&plan, start);
        assert!(schedule.became_true(&statuses(1, 50), at(9_001, start)).is_none(), "it is too late");
        assert!(schedule.became_true(&statuses(1, 50), at(9_000, start)).is_some());
    }

    #[test]
    fn what_had_to_fire_and_did_not_is_told() {
        let mut plan = twice();
        let missed = |plan: &Plan, fired: usize| -> Vec<u32> {
            let mut schedule = Schedule::new(plan, Instant::now());
            schedule.conditional[0].fired = fired;
            schedule.missed().map(|fault| fault.number).collect()
        };
        assert_eq!((missed(&plan, 0), missed(&plan, 1), missed(&plan, 2)), (vec![1, 2, 3, 4], vec![3, 4], vec![]));
        plan.when[0].required = 0;
        assert_eq!((missed(&plan, 0), missed(&plan, 1)), (vec![1, 2], vec![]), "that it never became true is told too");
    }
}

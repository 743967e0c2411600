//! What time it is, by the clocks of the voters and not of one node.
//!
//! The leader stamps its entries with it, and orders expire by that stamp: a leader whose clock jumps ahead must not expire what has
//! time left, and since ledger time never goes back, nobody could mend it. So every peer tells its clock with each answer to an
//! append and to a vote, and keeps on being counted by it when it no longer answers. A new leader has heard those that elected it.
//!
//! Of the clocks that are known, the one counts that a majority of the voters' number is not behind of: with all voters known, the
//! median. While fewer than half of the voters' clocks are wrong, one of those in front of it is right, so that it is never ahead of
//! the true time, whoever was not heard. (An answer that was long under way makes a clock look late by as long: the same side.)
//!
//! What is left: while so few are known that one of them decides, as after the election of a leader that has heard one peer, a clock
//! that is behind holds the time back until others are heard. Orders expire late then; and what was placed while time stood still
//! has less time left by as much, once it goes on.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::metrics::RaftServerMetrics;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::{InstantOf, WatchReceiverOf};
use openraft::{AsyncRuntime, Instant};

use super::api::Clock;
use super::types::TypeConfig;
use crate::domain::LedgerTime;
use crate::limits;
use crate::planted;

pub(super) struct AgreedTime<RT: AsyncRuntime> {
    own: Clock,
    peers: Mutex<BTreeMap<u64, Told<RT>>>,
    /// Who has a vote. Consensus begins after this.
    metrics: OnceLock<WatchReceiverOf<TypeConfig<RT>, RaftServerMetrics<TypeConfig<RT>>>>,
}

/// A peer's clock when its answer came.
struct Told<RT: AsyncRuntime> {
    clock_ms: u64,
    at: InstantOf<TypeConfig<RT>>,
}

impl<RT: AsyncRuntime> Told<RT> {
    /// What that clock shows now, if it goes as this node's steady clock does. `None`: it was told too long ago to say.
    fn clock_ms(&self) -> Option<u64> {
        let since = self.at.elapsed();
        (since <= limits::PEER_CLOCK_AGE_MAX).then(|| self.clock_ms.saturating_add(millis(since)))
    }
}

impl<RT: AsyncRuntime> AgreedTime<RT> {
    pub(super) fn new(own: Clock) -> Self {
        Self { own, peers: Mutex::default(), metrics: OnceLock::new() }
    }

    /// From now on the voters are those of `metrics`.
    pub(super) fn follow(&self, metrics: WatchReceiverOf<TypeConfig<RT>, RaftServerMetrics<TypeConfig<RT>>>) {
        let is_first = self.metrics.set(metrics).is_ok();
        debug_assert!(is_first, "a node has one consensus");
    }

    /// This node's own clock, Unix milliseconds: for its peers.
    pub(super) fn own_ms(&self) -> u64 {
        (self.own)()
    }

    /// `peer` answered. 0: it does not tell its clock.
    pub(super) fn heard(&self, peer: u64, clock_ms: u64) {
        if clock_ms > 0 {
            let told = Told { clock_ms, at: TypeConfig::<RT>::now() };
            self.peers.lock().unwrap_or_else(PoisonError::into_inner).insert(peer, told);
        }
    }

    pub(super) fn now(&self) -> LedgerTime {
        if planted::is(13) {
            return LedgerTime(self.own_ms());
        }
        let (clocks, voters) = self.clocks();
        LedgerTime(agreed(clocks.into_values().collect(), voters))
    }

    /// How far the clock of each voter that is known is ahead of the agreed time, milliseconds.
    pub(super) fn offsets_ms(&self) -> BTreeMap<u64, i64> {
        let LedgerTime(now) = self.now();
        let signed = |clock: u64| i64::try_from(clock).unwrap_or(i64::MAX);
        self.clocks().0.into_iter().map(|(node, clock)| (node, signed(clock) - signed(now))).collect()
    }

    /// Of this node and of the voters that told theirs; and how many voters there are.
    fn clocks(&self) -> (BTreeMap<u64, u64>, usize) {
        let Some(metrics) = self.metrics.get() else { return ([(0, self.own_ms())].into(), 1) };
        let metrics = metrics.borrow_watched();
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let voters: Vec<u64> = metrics.membership_config.membership().voter_ids().collect();
        let told = |voter: &u64| Some((*voter, peers.get(voter)?.clock_ms()?));
        let mut clocks: BTreeMap<u64, u64> = voters.iter().filter_map(told).collect();
        clocks.insert(metrics.id, self.own_ms());
        (clocks, voters.len())
    }
}

/// The latest clock that as many as a majority of the voters are not behind of; the earliest if there are not so many.
fn agreed(mut clocks: Vec<u64>, voters: usize) -> u64 {
    clocks.sort_unstable();
    let majority = voters / 2 + 1;
    clocks[clocks.len().saturating_sub(majority)]
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use openraft_rt_sim::SimRuntime;

    use super::*;

    const RIGHT: u64 = 1_000_000;
    const AHEAD: u64 = 9_000_000;
    const BEHIND: u64 = 1_000;

    #[test]
    fn one_wrong_clock_of_three_decides_nothing() {
        for wrong in [AHEAD, BEHIND] {
            assert_eq!(agreed(vec![wrong, RIGHT, RIGHT], 3), RIGHT);
        }
        assert_eq!(agreed(vec![AHEAD, RIGHT], 3), RIGHT, "the third was not heard");
        assert_eq!(agreed(vec![AHEAD], 3), AHEAD, "nobody was: that node leads nobody");
    }

    #[test]
    fn two_clocks_ahead_of_five_decide_nothing_whoever_was_heard() {
        for heard in [vec![AHEAD, AHEAD, RIGHT], vec![AHEAD, AHEAD, RIGHT, RIGHT], vec![AHEAD, AHEAD, RIGHT, RIGHT, RIGHT]] {
            assert_eq!(agreed(heard, 5), RIGHT);
        }
        assert_eq!(agreed(vec![AHEAD, BEHIND, RIGHT, RIGHT, RIGHT], 5), RIGHT);
        assert_eq!(agreed(vec![BEHIND, BEHIND, RIGHT, RIGHT, RIGHT], 5), RIGHT);
    }

    #[test]
    fn who_is_alone_goes_by_its_own() {
        assert_eq!(agreed(vec![RIGHT], 1), RIGHT);
        assert_eq!(AgreedTime::<SimRuntime>::new(Arc::new(|| RIGHT)).clocks(), ([(0, RIGHT)].into(), 1), "before consensus");
    }

    #[test]
    fn a_clock_that_was_told_goes_on_until_nobody_can_say_what_it_shows() {
        SimRuntime::with_seed(0).block_on(async {
            let told = Told::<SimRuntime> { clock_ms: RIGHT, at: TypeConfig::<SimRuntime>::now() };
            TypeConfig::<SimRuntime>::sleep(Duration::from_secs(90)).await;
            assert_eq!(told.clock_ms(), Some(RIGHT + 90_000));
            TypeConfig::<SimRuntime>::sleep(limits::PEER_CLOCK_AGE_MAX).await;
            assert_eq!(told.clock_ms(), None);
        });
    }
}

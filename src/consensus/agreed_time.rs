//! What time it is, by the clocks of the cluster and not of one node.
//!
//! The leader stamps its entries with it, and orders expire by that stamp: a leader whose clock jumps ahead must not expire what has
//! time left, and since ledger time never goes back, nobody could mend it. So every peer tells its clock with each answer to an
//! append and to a vote, and the leader goes by the median of those it heard lately and its own. A new leader has heard those that
//! elected it.
//!
//! With an even number of clocks the earlier of the two in the middle counts, so that a pair that disagrees expires late and never
//! early. While fewer than half of the clocks in use are wrong, the agreed time lies between two that are right. An answer that
//! was long under way makes a clock look late by as long, which is the same side.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use openraft::{AsyncRuntime, Instant};

use super::api::Clock;
use super::types::TypeConfig;
use crate::domain::LedgerTime;
use crate::limits;

pub(super) struct AgreedTime<RT: AsyncRuntime> {
    own: Clock,
    peers: Mutex<BTreeMap<u64, Told<RT>>>,
}

/// A peer's clock when its answer came.
struct Told<RT: AsyncRuntime> {
    clock_ms: u64,
    at: InstantOf<TypeConfig<RT>>,
}

impl<RT: AsyncRuntime> Told<RT> {
    fn is_fresh(&self) -> bool {
        self.at.elapsed() <= limits::PEER_CLOCK_AGE_MAX
    }

    /// What that clock shows now.
    fn clock_ms(&self) -> u64 {
        self.clock_ms.saturating_add(millis(self.at.elapsed()))
    }
}

impl<RT: AsyncRuntime> AgreedTime<RT> {
    pub(super) fn new(own: Clock) -> Self {
        Self { own, peers: Mutex::default() }
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

    #[cfg(not(feature = "planted-bug-13"))]
    pub(super) fn now(&self) -> LedgerTime {
        let mut clocks: Vec<u64> = self.peer_clocks().into_values().chain([self.own_ms()]).collect();
        clocks.sort_unstable();
        LedgerTime(clocks[(clocks.len() - 1) / 2])
    }

    /// Planted bug 13: whoever leads goes by its own clock alone.
    #[cfg(feature = "planted-bug-13")]
    pub(super) fn now(&self) -> LedgerTime {
        LedgerTime(self.own_ms())
    }

    /// How far the clock of each node that is in use is ahead of the agreed time, milliseconds; `own` is this node's id.
    pub(super) fn offsets_ms(&self, own: u64) -> BTreeMap<u64, i64> {
        let LedgerTime(now) = self.now();
        let mut clocks = self.peer_clocks();
        clocks.insert(own, self.own_ms());
        let signed = |clock: u64| i64::try_from(clock).unwrap_or(i64::MAX);
        clocks.into_iter().map(|(node, clock)| (node, signed(clock) - signed(now))).collect()
    }

    /// Of the peers heard lately. Of nobody heard lately, the last that they told: better than one clock alone, with which a leader
    /// that was cut off would stamp what it proposes before it finds out.
    fn peer_clocks(&self) -> BTreeMap<u64, u64> {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let any_is_fresh = peers.values().any(Told::is_fresh);
        let in_use = peers.iter().filter(|(_, told)| told.is_fresh() || !any_is_fresh);
        in_use.map(|(peer, told)| (*peer, told.clock_ms())).collect()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(all(test, not(feature = "planted-bug-13")))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::consensus::TokioRuntime;

    const HOUR_MS: u64 = 3_600_000;
    const NOON_MS: u64 = 1_000 * HOUR_MS;

    /// What a leader with this clock agrees on with peers of these clocks.
    fn agreed(own: u64, peers: &[u64]) -> u64 {
        let time = AgreedTime::<TokioRuntime>::new(Arc::new(move || own));
        for (peer, clock) in (2..).zip(peers) {
            time.heard(peer, *clock);
        }
        time.now().0
    }

    /// Peers' clocks go on while the test runs.
    fn is_about(agreed: u64, expected: u64) -> bool {
        (expected..expected + HOUR_MS / 2).contains(&agreed)
    }

    #[test]
    fn one_wrong_clock_of_three_decides_nothing_whoever_has_it() {
        let (ahead, behind) = (NOON_MS + HOUR_MS, NOON_MS - HOUR_MS);
        for wrong in [ahead, behind] {
            assert!(is_about(agreed(wrong, &[NOON_MS, NOON_MS]), NOON_MS));
            assert!(is_about(agreed(NOON_MS, &[wrong, NOON_MS]), NOON_MS));
        }
    }

    #[test]
    fn two_wrong_clocks_of_five_decide_nothing() {
        assert!(is_about(agreed(NOON_MS + HOUR_MS, &[NOON_MS + HOUR_MS, NOON_MS, NOON_MS, NOON_MS]), NOON_MS));
        assert!(is_about(agreed(NOON_MS - HOUR_MS, &[NOON_MS + HOUR_MS, NOON_MS, NOON_MS, NOON_MS]), NOON_MS));
    }

    #[test]
    fn of_two_that_disagree_the_earlier_counts() {
        assert!(is_about(agreed(NOON_MS + HOUR_MS, &[NOON_MS]), NOON_MS));
        assert!(is_about(agreed(NOON_MS, &[NOON_MS - HOUR_MS]), NOON_MS - HOUR_MS));
    }

    #[test]
    fn who_is_alone_or_hears_no_clock_goes_by_its_own() {
        assert_eq!(agreed(NOON_MS, &[]), NOON_MS);
        assert_eq!(agreed(NOON_MS, &[0, 0]), NOON_MS);
    }

    #[test]
    fn each_clock_is_told_how_far_it_is_from_what_was_agreed() {
        let time = AgreedTime::<TokioRuntime>::new(Arc::new(|| NOON_MS + HOUR_MS));
        time.heard(2, NOON_MS);
        time.heard(3, NOON_MS);
        let offsets = time.offsets_ms(1);
        assert_eq!(offsets.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
        assert!(offsets[&1].unsigned_abs() > HOUR_MS / 2 && offsets[&2].unsigned_abs() < HOUR_MS / 2, "{offsets:?}");
    }
}

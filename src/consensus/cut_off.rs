//! Whether this node is cut off: it has heard no leader for longer than elections take; as leader, no majority. Its callers are told
//! at once, to go elsewhere, and do not wait for one: those who come ask here, those who wait already are told by [`watch`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::metrics::RaftMetrics;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::{InstantOf, WatchReceiverOf};
use openraft::{AsyncRuntime, Instant};

use super::leadership::{LeaderHeard, hears_a_majority};
use super::types::TypeConfig;
use crate::limits;

pub(super) struct CutOff<RT: AsyncRuntime> {
    metrics: WatchReceiverOf<TypeConfig<RT>, RaftMetrics<TypeConfig<RT>>>,
    leader_heard: Arc<LeaderHeard<RT>>,
    /// Half of it until it is noticed, half from then on.
    patience: Duration,
    noticed: Mutex<Option<Noticed<RT>>>,
}

/// As far as callers have asked. (Who led, or has only just heard of its cluster, has not heard a leader for long and need not be
/// cut off: the time counts from the first who asked in vain.)
struct Noticed<RT: AsyncRuntime> {
    since: InstantOf<TypeConfig<RT>>,
    last: InstantOf<TypeConfig<RT>>,
}

impl<RT: AsyncRuntime> CutOff<RT> {
    pub(super) fn new(
        metrics: WatchReceiverOf<TypeConfig<RT>, RaftMetrics<TypeConfig<RT>>>,
        leader_heard: Arc<LeaderHeard<RT>>,
        election_timeout_max: Duration,
    ) -> Self {
        let patience = limits::CUT_OFF_AFTER_ELECTIONS / 2 * election_timeout_max;
        Self { metrics, leader_heard, patience, noticed: Mutex::default() }
    }

    pub(super) fn is_so(&self) -> bool {
        let hears = self.leader_heard.within(self.patience) || hears_a_majority(&self.metrics.borrow_watched(), self.patience);
        let mut noticed = self.noticed.lock().unwrap_or_else(PoisonError::into_inner);
        if hears {
            *noticed = None;
            return false;
        }
        let now = TypeConfig::<RT>::now();
        // One that nobody noticed for as long as a call waits may have been two.
        let is_one = |noticed: &&Noticed<RT>| noticed.last.elapsed() <= limits::CALL_DEADLINE_DEFAULT;
        let since = noticed.as_ref().filter(is_one).map_or(now, |noticed| noticed.since);
        *noticed = Some(Noticed { since, last: now });
        since.elapsed() > self.patience
    }

    /// Looks while somebody waits, and has them turned away.
    pub(super) async fn watch(
        self: Arc<Self>,
        is_waited_for: impl Fn() -> bool + Send,
        turn_away: impl Fn() + Send,
        stopped: Arc<AtomicBool>,
    ) {
        while !stopped.load(Ordering::Acquire) {
            TypeConfig::<RT>::sleep(self.patience / 4).await;
            if is_waited_for() && self.is_so() {
                turn_away();
            }
        }
    }
}

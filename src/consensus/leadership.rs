//! Who leads, as far as this node knows, and where everybody is.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::metrics::{RaftMetrics, RaftServerMetrics};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::{InstantOf, WatchReceiverOf};
use openraft::{AsyncRuntime, Instant, ServerState};

use super::api::RetryReason;
use super::types::{Member, TypeConfig};

pub(super) struct Leadership<RT: AsyncRuntime> {
    metrics: WatchReceiverOf<TypeConfig<RT>, RaftServerMetrics<TypeConfig<RT>>>,
}

impl<RT: AsyncRuntime> Clone for Leadership<RT> {
    fn clone(&self) -> Self {
        Self { metrics: self.metrics.clone() }
    }
}

impl<RT: AsyncRuntime> Leadership<RT> {
    pub(super) fn new(metrics: WatchReceiverOf<TypeConfig<RT>, RaftServerMetrics<TypeConfig<RT>>>) -> Self {
        Self { metrics }
    }

    /// The leader and its term.
    pub(super) fn current(&self) -> Option<(u64, u64)> {
        let metrics = self.metrics.borrow_watched();
        let leader = metrics.current_leader?;
        // A node can know its own vote as leader for a moment after it stepped down.
        if leader == metrics.id && metrics.state != ServerState::Leader {
            return None;
        }
        Some((leader, metrics.vote.leader_id.term))
    }

    pub(super) fn leader(&self) -> Option<u64> {
        self.current().map(|(leader, _)| leader)
    }

    /// Where a call that was not done for this reason may find help: not at a leader that cannot lead.
    pub(super) fn worth_asking(&self, reason: RetryReason) -> Option<u64> {
        self.leader().filter(|_| reason != RetryReason::NoLeader)
    }

    pub(super) fn is_me(&self, node_id: u64) -> bool {
        self.metrics.borrow_watched().id == node_id
    }

    /// The term in which this node leads.
    pub(super) fn my_term(&self) -> Option<u64> {
        self.current().filter(|(leader, _)| self.is_me(*leader)).map(|(_, term)| term)
    }

    pub(super) fn member(&self, node_id: u64) -> Option<Member> {
        self.metrics.borrow_watched().membership_config.get_node(&node_id).cloned()
    }

    /// Something may have changed since the last call. False: consensus has stopped.
    pub(super) async fn changed(&mut self) -> bool {
        self.metrics.changed().await.is_ok()
    }

    /// Returns when `leader` no longer leads in `term`, or consensus has stopped.
    pub(super) async fn lost(mut self, leader: u64, term: u64) {
        while self.current() == Some((leader, term)) && self.changed().await {}
    }

    /// Returns when the leader is another one than `known`. False: consensus has stopped, there will be none.
    pub(super) async fn other_than(mut self, known: Option<u64>) -> bool {
        while self.leader() == known {
            if !self.changed().await {
                return false;
            }
        }
        true
    }
}

/// As leader: a majority has answered within this time.
pub(super) fn hears_a_majority<RT: AsyncRuntime>(metrics: &RaftMetrics<TypeConfig<RT>>, within: Duration) -> bool {
    if metrics.state != ServerState::Leader {
        return false;
    }
    // openraft counts a leader's own voice only together with another's.
    let is_alone = metrics.membership_config.membership().voter_ids().eq([metrics.id]);
    is_alone || metrics.last_quorum_acked.is_some_and(|acked| acked.elapsed() <= within)
}

/// As leader: that member has answered a heartbeat within this time.
pub(super) fn has_answered<RT: AsyncRuntime>(metrics: &RaftMetrics<TypeConfig<RT>>, node_id: u64, within: Duration) -> bool {
    let last = metrics.heartbeat.as_ref().and_then(|answered| answered.get(&node_id).copied().flatten());
    last.is_some_and(|last| last.elapsed() <= within)
}

/// When a leader was last heard, and followed, here: openraft knows it, and does not tell.
pub(super) struct LeaderHeard<RT: AsyncRuntime>(Mutex<Option<InstantOf<TypeConfig<RT>>>>);

impl<RT: AsyncRuntime> Default for LeaderHeard<RT> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<RT: AsyncRuntime> LeaderHeard<RT> {
    pub(super) fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(TypeConfig::<RT>::now());
    }

    pub(super) fn within(&self, duration: Duration) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| at.elapsed() <= duration)
    }
}

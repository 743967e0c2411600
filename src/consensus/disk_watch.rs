//! A leader whose disk stalls steps down.
//!
//! Heartbeats need no disk, and a commit needs only the disks of a majority: without this watch, a leader whose log is no longer
//! synced would lead for as long as its disk stands still, until its queues are full and nothing goes on. It hands over as
//! at a stop; from then on it refuses proposals and is silent, so that if the hand-over itself is lost, the others elect. It cannot
//! come back before its disk does: its own vote must be synced.
//!
//! Left to others: a sync that fails (`FirstFailure`), and a disk that stalls while nothing is written, which nobody notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::metrics::RaftMetrics;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use openraft::{AsyncRuntime, Instant, Raft};

use super::leadership::Leadership;
use super::log_store::RaftLog;
use super::metrics::Metrics;
use super::state_machine::StateMachine;
use super::types::TypeConfig;
use crate::limits;
use crate::storage::{LedgerStore, LogStore};

pub(super) async fn run<RT: AsyncRuntime, L: LogStore, S: LedgerStore>(
    raft: Raft<TypeConfig<RT>, StateMachine<RT, S>>,
    log: RaftLog<L>,
    metrics: Arc<Metrics>,
    stopped: Arc<AtomicBool>,
) {
    let leadership = Leadership::<RT>::new(raft.server_metrics());
    let mut progress = Progress::<RT>::default();
    let mut stepped_down_in = None;
    while !stopped.load(Ordering::Acquire) {
        TypeConfig::<RT>::sleep(limits::DISK_LOOK_INTERVAL).await;
        let is_stalled = progress.is_stalled(log.appends_synced());
        // Once a term: openraft takes it back in none.
        let term = leadership.my_term().filter(|term| is_stalled && stepped_down_in != Some(*term));
        let Some((term, to)) = term.zip(furthest_other(&raft.metrics().borrow_watched())) else { continue };
        tracing::warn!(term, to, "the disk stalls: this leader steps down");
        metrics.disk_stall_step_downs.add(1);
        stepped_down_in = Some(term);
        if raft.trigger().transfer_leader(to).await.is_err() {
            return;
        }
    }
}

/// The voter that lacks least, this node left out.
fn furthest_other<RT: AsyncRuntime>(metrics: &RaftMetrics<TypeConfig<RT>>) -> Option<u64> {
    let replication = metrics.replication.as_ref()?;
    let others = metrics.membership_config.membership().voter_ids().filter(|voter| *voter != metrics.id);
    others.max_by_key(|voter| replication.get(voter).copied().flatten())
}

/// How many appends were synced, and since when it has been so many.
struct Progress<RT: AsyncRuntime> {
    synced: u64,
    since: InstantOf<TypeConfig<RT>>,
}

impl<RT: AsyncRuntime> Default for Progress<RT> {
    fn default() -> Self {
        Self { synced: 0, since: TypeConfig::<RT>::now() }
    }
}

impl<RT: AsyncRuntime> Progress<RT> {
    /// Some append waits for its sync, and none was synced for [`limits::DISK_STALL_MAX`]. `synced`, and `made`: appends so far.
    fn is_stalled(&mut self, (synced, made): (u64, u64)) -> bool {
        if synced != self.synced || synced == made {
            *self = Self { synced, since: TypeConfig::<RT>::now() };
        }
        self.since.elapsed() > limits::DISK_STALL_MAX
    }
}

//! A leader whose disk stalls steps down.
//!
//! Heartbeats need no disk, and a commit needs only the disks of a majority: without this watch, a leader whose log is no longer
//! synced, or whose ledger is no longer written, would lead for as long as its disk stands still. It hands over as at a stop; from
//! then on it refuses proposals and is silent, so that if the hand-over itself is lost, the others elect. It cannot come back before
//! its disk does: its own vote must be synced.
//!
//! Whoever takes the office is given the whole time, whatever its disk did before: otherwise the office would go round where all are
//! slow for a moment. (Where the logs of all stand still, the leader hears no majority any more, and has nobody to hand over to.)
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
    ledger: S,
    metrics: Arc<Metrics>,
    stopped: Arc<AtomicBool>,
) {
    let leadership = Leadership::<RT>::new(raft.server_metrics());
    let (mut synced, mut applied) = (Progress::<RT>::default(), Progress::<RT>::default());
    let (mut office, mut stepped_down_in) = (None, None);
    while !stopped.load(Ordering::Acquire) {
        TypeConfig::<RT>::sleep(limits::DISK_LOOK_INTERVAL).await;
        if office != leadership.my_term() {
            office = leadership.my_term();
            (synced, applied) = (Progress::default(), Progress::default());
        }
        // (Each is asked: what goes on must be seen to go on.)
        let is_stalled = synced.is_stalled(log.appends_synced()) | applied.is_stalled(applied_of_committed(&ledger, &log));
        // Once a term: openraft takes it back in none.
        let term = office.filter(|term| is_stalled && stepped_down_in != Some(*term));
        let Some((term, to)) = term.zip(furthest_other(&raft.metrics().borrow_watched())) else { continue };
        tracing::warn!(event = "disk_stalled", term, to, "the disk stalls: this leader steps down");
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

/// What is written to the ledger, of what is committed: log indexes.
fn applied_of_committed<L: LogStore, S: LedgerStore>(ledger: &S, log: &RaftLog<L>) -> (u64, u64) {
    let applied = ledger.meta().applied.map_or(0, |applied| applied.index);
    let (committed, _) = log.committed_and_last();
    // After a start the ledger knows more than the log does.
    (applied, committed.map_or(0, |committed| committed.index).max(applied))
}

/// How far the disk has come, and since when it has been there.
struct Progress<RT: AsyncRuntime> {
    done: u64,
    since: InstantOf<TypeConfig<RT>>,
}

impl<RT: AsyncRuntime> Default for Progress<RT> {
    fn default() -> Self {
        Self { done: 0, since: TypeConfig::<RT>::now() }
    }
}

impl<RT: AsyncRuntime> Progress<RT> {
    /// Something is to be done, and nothing was for [`limits::DISK_STALL_MAX`].
    fn is_stalled(&mut self, (done, to_do): (u64, u64)) -> bool {
        if done != self.done || done == to_do {
            *self = Self { done, since: TypeConfig::<RT>::now() };
        }
        self.since.elapsed() > limits::DISK_STALL_MAX
    }
}

//! One member of the cluster: the only thing that transport, operations and simulation see of consensus.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::metrics::RaftMetrics;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::WatchReceiverOf;
use openraft::{AsyncRuntime, Config, Instant as _, Raft};
use tokio::sync::Semaphore;

use super::agreed_time::AgreedTime;
use super::api::{Clock, Consistency, NodeSettings, Read, ReadError, RetryReason, StartError, SubmitError, Submitted};
use super::calls::Sender;
use super::config::raft_config;
use super::cut_off::CutOff;
use super::leadership::LeaderHeard;
use super::lines::StreamOrder;
use super::log_store::RaftLog;
use super::low_disks::LowDisks;
use super::metrics::Metrics;
use super::network::{Links, NetworkFactory};
use super::peer_link::{PeerLink, Peers};
#[cfg(feature = "planted-bugs")]
use super::planted_refunds;
use super::proposer::Proposer;
use super::raft_target::RaftTarget;
use super::reads::Reads;
use super::state_machine::StateMachine;
use super::types::TypeConfig;
use super::{admission, disk_watch, expiry, floor_watch};
use crate::domain::Command;
use crate::limits;
use crate::planted;
use crate::storage::{LedgerMeta, LedgerState as _, LedgerStore, LogStore, StateDigest, StorageError};

/// Cheap to clone; every clone is the same node.
pub struct Node<RT, L, S, P>
where
    RT: AsyncRuntime,
    L: LogStore,
    S: LedgerStore,
    P: Peers,
    P::Link: PeerLink<Snapshot = S::Snapshot>,
{
    pub(super) inner: Arc<Inner<RT, L, S, P>>,
}

pub(super) struct Inner<RT: AsyncRuntime, L, S: LedgerStore, P: Peers> {
    pub(super) settings: NodeSettings,
    pub(super) raft: Raft<TypeConfig<RT>, StateMachine<RT, S>>,
    pub(super) log: RaftLog<L>,
    pub(super) ledger: S,
    pub(super) metrics: Arc<Metrics>,
    pub(super) proposer: Arc<Proposer<RT, RaftTarget<RT, S, P>>>,
    pub(super) reads: Arc<Reads<RT, S, P>>,
    pub(super) leader_heard: Arc<LeaderHeard<RT>>,
    pub(super) time: Arc<AgreedTime<RT>>,
    pub(super) low_disks: Arc<LowDisks>,
    cut_off: Arc<CutOff<RT>>,
    /// A change of the membership is under way.
    pub(super) changing_members: Arc<AtomicBool>,
    pub(super) draining: AtomicBool,
    stopped: Arc<AtomicBool>,
}

impl<RT, L, S, P> Clone for Node<RT, L, S, P>
where
    RT: AsyncRuntime,
    L: LogStore,
    S: LedgerStore,
    P: Peers,
    P::Link: PeerLink<Snapshot = S::Snapshot>,
{
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

/// Wakes up whenever something in [`super::NodeStatus`] may have changed.
pub struct StatusChanges<RT: AsyncRuntime> {
    metrics: WatchReceiverOf<TypeConfig<RT>, RaftMetrics<TypeConfig<RT>>>,
}

impl<RT: AsyncRuntime> StatusChanges<RT> {
    /// Returns at once if something changed since the last call. False: the node has stopped, nothing will change.
    pub async fn changed(&mut self) -> bool {
        self.metrics.changed().await.is_ok()
    }
}

impl<RT, L, S, P> Node<RT, L, S, P>
where
    RT: AsyncRuntime,
    L: LogStore,
    S: LedgerStore,
    P: Peers,
    P::Link: PeerLink<Snapshot = S::Snapshot>,
{
    /// Starts the node over what `log` and `ledger` hold. It votes and follows from here on.
    ///
    /// # Errors
    /// The settings contradict each other, or log and ledger do not fit together.
    pub async fn start(settings: NodeSettings, log: L, ledger: S, peers: P, clock: Clock) -> Result<Self, StartError> {
        let config = raft_config(&settings)?;
        Self::start_with(config, settings, log, ledger, peers, clock).await
    }

    /// Unsafe for data: for the tests that show what each safeguard is there for. A release does not have it.
    #[cfg(debug_assertions)]
    #[doc(hidden)]
    #[allow(clippy::missing_errors_doc)]
    pub async fn start_without(
        safeguard: super::api::Safeguard,
        settings: NodeSettings,
        log: L,
        ledger: S,
        peers: P,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let config = super::config::without(safeguard, raft_config(&settings)?);
        Self::start_with(config, settings, log, ledger, peers, clock).await
    }

    async fn start_with(
        config: Config,
        settings: NodeSettings,
        log: L,
        ledger: S,
        peers: P,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let (log, _) = RaftLog::open(log).await?;
        check_no_gap(&log, &ledger)?;
        cover_purged(&log, &ledger).await?;
        let metrics = Arc::new(Metrics::default());
        let links = Links::new(peers);
        let (state_machine, applied_end) = StateMachine::<RT, S>::new(ledger.clone(), metrics.clone(), log.failure().clone());
        let time = Arc::new(AgreedTime::new(clock));
        let low_disks = Arc::<LowDisks>::default();
        let network = NetworkFactory {
            links: links.clone(),
            failure: log.failure().clone(),
            time: time.clone(),
            low_disks: low_disks.clone(),
        };
        let raft = Raft::new(settings.node_id, Arc::new(config), network, log.clone(), state_machine).await;
        let raft = raft.map_err(|fatal| match log.failure().get() {
            Some(error) => StartError::Storage(error),
            None => StartError::Consensus(fatal.to_string()),
        })?;
        time.follow(raft.server_metrics());
        let target = RaftTarget {
            raft: raft.clone(),
            links: links.clone(),
            time: time.clone(),
            last_stamp: AtomicU64::new(0),
            lease: settings.election_timeout_max,
            #[cfg(feature = "planted-bugs")]
            ledger: ledger.clone(),
            #[cfg(feature = "planted-bugs")]
            blocks: super::planted_blocks::Blocks::default(),
        };
        let room_for_reads = Arc::new(Semaphore::new(limits::READS_WAITING_MAX));
        let proposer = Proposer::start(target, metrics.clone(), room_for_reads.clone(), settings.entries_in_flight_max);
        let reads = Reads::new(raft.clone(), links.clone(), metrics.clone(), applied_end, room_for_reads);
        let stopped = Arc::new(AtomicBool::new(false));
        let leader_heard = Arc::<LeaderHeard<RT>>::default();
        let cut_off = Arc::new(CutOff::new(raft.metrics(), leader_heard.clone(), settings.election_timeout_max));
        drop(TypeConfig::<RT>::spawn(links.follow::<RT>(raft.server_metrics())));
        let inner = Inner {
            settings,
            raft,
            log,
            ledger,
            metrics,
            proposer,
            reads,
            leader_heard,
            time,
            low_disks,
            cut_off,
            changing_members: Arc::default(),
            draining: AtomicBool::new(false),
            stopped,
        };
        let node = Self { inner: Arc::new(inner) };
        node.keep_watch();
        Ok(node)
    }

    /// Begins what is looked at again and again until the node stops.
    fn keep_watch(&self) {
        let Inner { settings, raft, log, ledger, metrics, proposer, reads, time, low_disks, cut_off, .. } = &*self.inner;
        let stopped = || self.inner.stopped.clone();
        drop(TypeConfig::<RT>::spawn(expiry::run(ledger.clone(), proposer.clone(), time.clone(), stopped())));
        drop(TypeConfig::<RT>::spawn(save_committed::<RT, L>(log.clone(), stopped())));
        if !planted::is(16) {
            let disk_watch = disk_watch::run(raft.clone(), log.clone(), ledger.clone(), metrics.clone(), stopped());
            drop(TypeConfig::<RT>::spawn(disk_watch));
        }
        let heard_within = settings.member_heard_within();
        let floor_watch = floor_watch::run(raft.clone(), low_disks.clone(), metrics.clone(), heard_within, stopped());
        drop(TypeConfig::<RT>::spawn(floor_watch));
        drop(TypeConfig::<RT>::spawn(turn_away(cut_off.clone(), proposer.clone(), reads.clone(), stopped())));
    }

    /// Proposes `commands` (1 to `limits::BATCH_COMMANDS_MAX`, parsed) wherever the leader is, and answers when a majority has
    /// them on disk and they are applied. A caller that stops waiting does not stop the proposal.
    ///
    /// # Errors
    /// See [`SubmitError`]: its variants say whether it can have happened.
    pub async fn submit(&self, commands: Vec<Command>, within: Duration) -> Result<Submitted, SubmitError> {
        self.submit_from(Sender::Caller, commands, within).await
    }

    /// The same, of a batch that came on a stream: those of one stream that are let in take effect in the order in which this is
    /// first polled. One that is not done does not keep back those behind it.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn submit_on(
        &self,
        stream: &StreamOrder,
        commands: Vec<Command>,
        within: Duration,
    ) -> Result<Submitted, SubmitError> {
        self.submit_from(Sender::Stream(stream), commands, within).await
    }

    async fn submit_from(
        &self,
        sender: Sender<'_>,
        commands: Vec<Command>,
        within: Duration,
    ) -> Result<Submitted, SubmitError> {
        if self.inner.cut_off.is_so() {
            self.inner.metrics.submits_retry.add(1);
            return Err(SubmitError::Retry { leader: None, reason: RetryReason::NoLeader });
        }
        if admission::is_new_work(&commands) && self.refuses_new_orders() {
            self.inner.metrics.submits_retry.add(1);
            self.inner.metrics.refused_disk_low.add(1);
            let leader = self.leadership().worth_asking(RetryReason::DiskLow);
            return Err(SubmitError::Retry { leader, reason: RetryReason::DiskLow });
        }
        let called_at = TypeConfig::<RT>::now();
        #[cfg(feature = "planted-bugs")]
        let refunds = planted::is(4).then(|| planted_refunds::due_here(&self.inner.ledger.view(), &commands));
        let submitted = self.inner.proposer.submit(commands, within, sender).await?;
        #[cfg(feature = "planted-bugs")]
        let submitted = planted_refunds::told_in(submitted, refunds.unwrap_or_default());
        self.inner.metrics.answered(&submitted.replies, called_at.elapsed());
        Ok(submitted)
    }

    /// A state of the ledger that is as fresh as `consistency` asks for.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read(&self, consistency: Consistency, within: Duration) -> Result<Read<S::View>, ReadError> {
        if consistency == Consistency::Linearizable {
            if self.inner.cut_off.is_so() {
                self.inner.metrics.reads_retry.add(1);
                return Err(ReadError::Retry { leader: None, reason: RetryReason::NoLeader });
            }
            let caught_up = self.inner.reads.catch_up(TypeConfig::<RT>::now() + within).await;
            match &caught_up {
                Ok(()) => self.inner.metrics.reads_answered.add(1),
                Err(_) => self.inner.metrics.reads_retry.add(1),
            }
            caught_up?;
        } else {
            self.inner.metrics.reads_answered.add(1);
        }
        let view = self.inner.ledger.view();
        let index = view.meta().applied.map_or(0, |applied| applied.index);
        let term = self.inner.raft.server_metrics().borrow_watched().vote.leader_id.term;
        Ok(Read { view, index, term })
    }

    #[must_use]
    pub fn status_changes(&self) -> StatusChanges<RT> {
        StatusChanges { metrics: self.inner.raft.metrics() }
    }

    /// Returns when the entry at `index` is applied here. False: the node has stopped.
    pub async fn applied(&self, index: u64) -> bool {
        self.inner.reads.applied(index).await
    }

    /// The digests after the most recently applied entries, from `from_index` on, oldest first.
    #[must_use]
    pub fn recent_digests(&self, from_index: u64) -> Vec<(u64, StateDigest)> {
        let mut digests = self.inner.ledger.recent_digests();
        digests.retain(|(index, _)| *index >= from_index);
        digests
    }

    #[must_use]
    pub fn ledger(&self) -> &S {
        &self.inner.ledger
    }

    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// The first failure of log or ledger that ended consensus; the status has but its text.
    #[must_use]
    pub fn storage_failure(&self) -> Option<StorageError> {
        self.inner.log.failure().get()
    }

    /// This node's disk has less room than its floor, or has enough again. Its peers hear of it with its next answers.
    pub fn set_disk_low(&self, is_low: bool) {
        self.inner.low_disks.set_own(is_low);
    }

    /// The leader, as far as this node has heard, lets no new orders in.
    #[must_use]
    pub fn refuses_new_orders(&self) -> bool {
        let refused_in = self.inner.low_disks.refused_in();
        refused_in.is_some_and(|refused_in| self.leadership().current().is_some_and(|(_, term)| term == refused_in))
    }

    /// Says in the status that this node is about to stop. Calls go on working, also after `transfer_leader` has moved
    /// leadership away: they go to the new leader.
    pub fn begin_drain(&self) {
        self.inner.draining.store(true, Ordering::Release);
    }

    /// Stops all tasks. What was proposed and not answered is unknown to its callers.
    pub async fn shutdown(&self) {
        self.inner.draining.store(true, Ordering::Release);
        self.inner.stopped.store(true, Ordering::Release);
        self.inner.proposer.stop("the node is stopping");
        // Its result tells only whether the task panicked; `status` has the reason.
        let _ = self.inner.raft.shutdown().await;
        self.inner.log.save_committed_now();
    }
}

/// openraft does not look: with a log that was purged past the ledger it would skip the hole in silence.
fn check_no_gap<L: LogStore, S: LedgerStore>(log: &RaftLog<L>, ledger: &S) -> Result<(), StorageError> {
    let next = end(&ledger.meta()).max(snapshot_end(ledger));
    let first = log.first_index();
    if next < first {
        return Err(StorageError::Unusable(format!("the ledger needs log entry {next}, the log starts at {first}")));
    }
    Ok(())
}

/// A follower that lacks what this log no longer has is sent the newest snapshot; if that ends before the log begins, it is sent
/// again and again. A crash leads there when the ledger kept what the log lost (its applies may be ahead of its own log's
/// syncs), or between the switch to an installed snapshot and its adoption: openraft then lets the log begin behind the ledger,
/// but is content with any snapshot.
async fn cover_purged<L: LogStore, S: LedgerStore>(log: &RaftLog<L>, ledger: &S) -> Result<(), StorageError> {
    let applied = end(&ledger.meta());
    let log_will_begin = if applied > log.next_index() { applied } else { log.first_index() };
    if snapshot_end(ledger) < log_will_begin {
        ledger.build_snapshot().await?;
    }
    Ok(())
}

/// The index after the last one that it holds.
fn end(meta: &LedgerMeta) -> u64 {
    meta.applied.map_or(0, |applied| applied.index + 1)
}

fn snapshot_end<S: LedgerStore>(ledger: &S) -> u64 {
    ledger.current_snapshot().map_or(0, |(meta, _)| end(&meta))
}

/// Whoever waits at a node that is cut off is told so.
async fn turn_away<RT: AsyncRuntime, S: LedgerStore, P: Peers>(
    cut_off: Arc<CutOff<RT>>,
    proposer: Arc<Proposer<RT, RaftTarget<RT, S, P>>>,
    reads: Arc<Reads<RT, S, P>>,
    stopped: Arc<AtomicBool>,
) where
    P::Link: PeerLink<Snapshot = S::Snapshot>,
{
    let is_waited_for = || proposer.is_waited_for() || reads.is_waited_for();
    let turn_away = || {
        proposer.turn_away();
        reads.turn_away();
    };
    cut_off.watch(is_waited_for, turn_away, stopped).await;
}

/// While nothing is appended, the committed position must not wait for ever.
async fn save_committed<RT: AsyncRuntime, L: LogStore>(log: RaftLog<L>, stopped: Arc<AtomicBool>) {
    while !stopped.load(Ordering::Acquire) {
        TypeConfig::<RT>::sleep(limits::COMMITTED_SAVE_INTERVAL).await;
        log.save_committed_now();
    }
}

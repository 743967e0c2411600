//! The ledger on disk. One thread changes it (`worker`); readers look at one state of it, however long they take
//! ([`RocksView`]).
//!
//! ```text
//! ledger/CURRENT    the generation in use: a number
//! ledger/<number>/  a RocksDB
//! ```
//! A generation is never renamed: RocksDB opens its files by path for as long as it lives. Installing a snapshot builds the
//! next generation beside the one in use and then switches `CURRENT`, by rename. What the start finds after a crash:
//!
//! | crash | `CURRENT` | the start |
//! |---|---|---|
//! | while the first generation is made | missing | goes on with it: nothing was applied before `CURRENT` was there |
//! | while a generation is built, verified, or before the rename of `CURRENT` | old | uses the old one, removes the other |
//! | after the rename | new | uses the new one, removes the old one |
//!
//! A ledger that has records or a second generation but no `CURRENT` is damaged: it is refused, and nothing of it is removed.
//!
//! Its own write-ahead log is written but not synced. A killed process loses nothing; a power cut loses the newest applies,
//! whole (one write batch each), and they are replayed from the Raft log. Recovery mode `PointInTime` therefore: whatever is
//! wrong with the write-ahead log, the ledger goes back to a state that it had.

mod due;
mod generation;
mod history;
mod list;
#[cfg(feature = "planted-bugs")]
mod planted_losses;
mod recent;
mod scan;
mod view;
mod worker;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

pub use due::{Due, RefundsDue};
pub use list::Page;
pub use scan::LedgerScan;
pub use view::RocksView;

use super::files::io;
use super::snapshot::{RocksSnapshot, SnapshotReceiver, Snapshots};
use super::{CommittedEntry, LedgerMeta, LedgerStore, StateDigest, StorageError, StoreFigures, StoreReport};
use crate::domain::{LedgerTime, Reply};
use crate::limits;
use crate::proto::storage::SnapshotManifest;

pub(super) use generation::{Generation, refuse_remains};
use view::Published;
use worker::{Job, Worker};

type Digests = Arc<Mutex<VecDeque<(u64, StateDigest)>>>;

/// Clones share the store; its thread ends when the last one is dropped.
#[derive(Clone)]
pub struct RocksLedger {
    shared: Arc<Shared>,
}

struct Shared {
    /// Taken on drop: the worker ends when it has done the rest.
    jobs: Option<SyncSender<Job>>,
    worker: Option<JoinHandle<()>>,
    published: Arc<ArcSwap<Published>>,
    recent: Digests,
    snapshots: Arc<Snapshots>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(worker) = self.worker.take() {
            // A panic was already reported on the worker's own thread.
            let _ = worker.join();
        }
    }
}

impl RocksLedger {
    /// Opens the ledger in `dir`, or makes an empty one, with its snapshots. Blocks: meant for start-up.
    ///
    /// # Errors
    /// Something of it is damaged.
    pub fn open(dir: &Path, snapshots_dir: &Path) -> Result<Self, StorageError> {
        let generation = Arc::new(Generation::open_current(dir)?);
        let published = Published::of(&generation)?;
        let snapshots = Arc::new(Snapshots::open(snapshots_dir)?);
        let published = Arc::new(ArcSwap::from_pointee(published));
        let recent = Digests::default();
        worker::remember_only(&recent, &published.load().meta);
        let worker = Worker::new(dir, generation, &published, &recent, &snapshots)?;
        let (jobs, queue) = sync_channel(limits::LEDGER_QUEUE_JOBS_MAX);
        let thread = std::thread::Builder::new().name("ledger".to_owned());
        let worker = thread.spawn(move || worker.run(&queue)).map_err(io("start the ledger's thread"))?;
        Ok(Self { shared: Arc::new(Shared { jobs: Some(jobs), worker: Some(worker), published, recent, snapshots }) })
    }

    /// Every record of one state, in the order of keys.
    #[must_use]
    pub fn scan(&self) -> LedgerScan {
        LedgerScan::new(self.view())
    }

    /// Asks RocksDB. Blocks.
    ///
    /// # Errors
    /// RocksDB's own.
    pub fn figures(&self) -> Result<StoreFigures, StorageError> {
        StoreFigures::of(self.shared.published.load().database())
    }

    /// Blocks.
    #[must_use]
    pub fn report(&self) -> StoreReport {
        StoreReport::of(self.shared.published.load().database())
    }

    /// Takes the files of a snapshot that a peer sends.
    ///
    /// # Errors
    /// The manifest is not acceptable, or the directory cannot be written.
    pub fn receive_snapshot(&self, manifest: SnapshotManifest) -> Result<SnapshotReceiver, StorageError> {
        self.shared.snapshots.receive(manifest)
    }

    /// Queues a job; its answer comes later.
    fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, StorageError>>) -> Job,
    ) -> oneshot::Receiver<Result<T, StorageError>> {
        let (answer, answered) = oneshot::channel();
        let jobs = self.shared.jobs.as_ref().expect("the queue is taken only on drop");
        // Never full for long: every caller waits for its answer. If the thread has ended, the answer's sender is gone too.
        let _ = jobs.send(job(answer));
        answered
    }
}

async fn answer<T>(answered: oneshot::Receiver<Result<T, StorageError>>) -> Result<T, StorageError> {
    answered.await.map_err(|_| io("ask the ledger")("its thread has ended"))?
}

impl LedgerStore for RocksLedger {
    type View = RocksView;
    type Snapshot = RocksSnapshot;

    fn meta(&self) -> LedgerMeta {
        self.shared.published.load().meta.clone()
    }

    async fn apply(&self, entries: Vec<CommittedEntry>) -> Result<Vec<Vec<Reply>>, StorageError> {
        answer(self.ask(|answer| Job::Apply(entries, answer))).await
    }

    async fn has_expired(&self, now: LedgerTime) -> Result<bool, StorageError> {
        answer(self.ask(|answer| Job::HasExpired(now, answer))).await
    }

    fn view(&self) -> RocksView {
        RocksView::new(self.shared.published.load_full())
    }

    fn recent_digests(&self) -> Vec<(u64, StateDigest)> {
        self.shared.recent.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    fn build_snapshot(&self) -> impl Future<Output = Result<(LedgerMeta, RocksSnapshot), StorageError>> + Send {
        let building = self.shared.snapshots.building_path();
        let checkpoint = self.ask(|answer| Job::Checkpoint(building.clone(), answer));
        let snapshots = Arc::clone(&self.shared.snapshots);
        async move {
            let meta = answer(checkpoint).await?;
            let finish = move || snapshots.finish_build(&building, meta);
            let snapshot = tokio::task::spawn_blocking(finish).await.map_err(io("build a snapshot"))??;
            Ok((snapshot.meta().clone(), snapshot))
        }
    }

    fn current_snapshot(&self) -> Option<(LedgerMeta, RocksSnapshot)> {
        self.shared.snapshots.newest().map(|snapshot| (snapshot.meta().clone(), snapshot))
    }

    async fn install_snapshot(&self, snapshot: RocksSnapshot) -> Result<LedgerMeta, StorageError> {
        answer(self.ask(|answer| Job::Install(snapshot, answer))).await
    }
}

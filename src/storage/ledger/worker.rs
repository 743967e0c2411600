//! The one thread that changes the ledger: applies, checkpoints and installs, in the order in which they were asked for.
//!
//! An apply is one write batch: the records, the indexes derived from them, and the meta with the applied position. It is
//! published to readers after it is written.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{DB, WriteBatch};
use tokio::sync::oneshot;

#[cfg(feature = "planted-bugs")]
use super::planted_losses;
use super::recent::{Known, Recent};
use super::scan::digest_of_database;
use super::view::{self, Passed, Published, RocksView};
use super::{Digests, Generation, RefundsDue};
use crate::domain::ledger::Edit;
use crate::domain::{
    Change, DocumentDigest, LedgerTime, LedgerView, Order, OrderId, Overlay, Payment, PaymentName, Place, Policy, Refund,
    Reply, Series, SeriesCode, StampNumber, Stamping, Totals,
};
use crate::limits;
use crate::planted;
use crate::storage::apply::apply_entry;
use crate::storage::codec::encode_meta;
use crate::storage::files::{io, remove_dir, rocks};
use crate::storage::snapshot::{RocksSnapshot, Snapshots};
use crate::storage::{CommittedEntry, EntryBody, LedgerMeta, StateDigest, StorageError, crash_point, keys};

type Answer<T> = oneshot::Sender<Result<T, StorageError>>;

pub(super) enum Job {
    Apply(Vec<CommittedEntry>, Answer<Vec<Vec<Reply>>>),
    /// A read, but here: it blocks, and what it cannot read no apply could.
    HasExpired(LedgerTime, Answer<bool>),
    /// Into a directory that does not exist yet.
    Checkpoint(PathBuf, Answer<LedgerMeta>),
    Install(RocksSnapshot, Answer<LedgerMeta>),
}

pub(super) struct Worker {
    ledger_dir: PathBuf,
    generation: Arc<Generation>,
    meta: LedgerMeta,
    totals: Totals,
    refunds_due: RefundsDue,
    /// All of them: a code has three characters, so there are at most 32,768.
    series: BTreeMap<SeriesCode, Series>,
    recent: Recent,
    published: Arc<ArcSwap<Published>>,
    recent_digests: Digests,
    snapshots: Arc<Snapshots>,
    /// A write failed: what the database holds is not known any more.
    failed: Option<StorageError>,
}

/// The voters are being changed: the next entry of the membership ends it.
fn is_joint(entry: &CommittedEntry) -> bool {
    matches!(&entry.body, EntryBody::Membership(membership) if membership.voter_sets.len() > 1)
}

impl Worker {
    pub(super) fn new(
        ledger_dir: &Path,
        generation: Arc<Generation>,
        published: &Arc<ArcSwap<Published>>,
        recent_digests: &Digests,
        snapshots: &Arc<Snapshots>,
    ) -> Result<Self, StorageError> {
        #[cfg(feature = "planted-bugs")]
        planted_losses::on_restart(&generation)?;
        let (series, recent) = (series_of(&generation)?, Recent::of(&generation)?);
        let (meta, totals, refunds_due) = {
            let start = published.load();
            (start.meta.clone(), start.totals.clone(), start.refunds_due)
        };
        Ok(Self {
            ledger_dir: ledger_dir.to_owned(),
            generation,
            meta,
            totals,
            refunds_due,
            series,
            recent,
            published: Arc::clone(published),
            recent_digests: Arc::clone(recent_digests),
            snapshots: Arc::clone(snapshots),
            failed: None,
        })
    }

    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        // A caller that no longer waits is no error: the job is done all the same.
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Apply(entries, answer) => {
                    let replies = self.unless_failed(|worker| worker.apply(&entries));
                    crash_point::reach("ledger.apply.before_answer");
                    if entries.iter().any(is_joint) {
                        crash_point::reach("ledger.apply.joint");
                    }
                    let _ = answer.send(replies);
                }
                Job::HasExpired(now, answer) => drop(answer.send(self.unless_failed(|worker| worker.has_expired(now)))),
                Job::Checkpoint(dir, answer) => drop(answer.send(self.unless_failed(|worker| worker.checkpoint(&dir)))),
                Job::Install(snapshot, answer) => drop(answer.send(self.install(&snapshot))),
            }
        }
    }

    fn unless_failed<T>(&mut self, job: impl FnOnce(&mut Self) -> Result<T, StorageError>) -> Result<T, StorageError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = job(self);
        self.failed = result.as_ref().err().cloned();
        result
    }

    fn has_expired(&self, now: LedgerTime) -> Result<bool, StorageError> {
        Ok(!RocksView::new(self.published.load_full()).expiring(now, 1)?.is_empty())
    }

    fn apply(&mut self, entries: &[CommittedEntry]) -> Result<Vec<Vec<Reply>>, StorageError> {
        let passed = self.published.load().passed();
        let base =
            Base { db: &self.generation, series: &self.series, recent: &self.recent, totals: &self.totals, passed: &passed };
        let mut overlay = Overlay::new(&base);
        let mut meta = self.meta.clone();
        let mut batch = WriteBatch::default();
        let mut digests = Vec::with_capacity(entries.len());
        let mut replies = Vec::with_capacity(entries.len());
        let mut edits = Vec::with_capacity(entries.len());
        for entry in entries {
            follows(&meta, entry)?;
            let applied = apply_entry(&mut overlay, &mut meta, entry)?;
            applied.records.iter().for_each(|record| batch.put(&record.key, &record.value));
            batch.put(&applied.audit.key, &applied.audit.value);
            add_to_indexes(&mut batch, &applied.edits);
            edits.push(applied.edits);
            digests.push((entry.position.index, meta.digest));
            replies.push(applied.replies);
        }
        // Planted bug 10: the applied position is written with the next apply.
        batch.put(keys::META, encode_meta(if planted::is(10) { &self.meta } else { &meta }));
        crash_point::reach("ledger.apply.before_write");
        self.generation.write(batch).map_err(io("write the ledger"))?;
        self.meta = meta;
        for edit in edits.into_iter().flatten() {
            self.remember(edit)?;
        }
        self.publish(passed);
        remember_digests(&self.recent_digests, &digests);
        Ok(replies)
    }

    /// It is in the database now.
    fn remember(&mut self, written: Edit) -> Result<(), StorageError> {
        match written.after {
            Change::Series(series) => drop(self.series.insert(series.code, series)),
            Change::Totals(totals) => self.totals = totals,
            Change::Order(order) => self.recent.order_written(order),
            Change::Payment(payment) => self.recent.payment_written(&self.generation, payment.name)?,
            Change::Refund(refund) => {
                let before = match &written.before {
                    Some(Change::Refund(before)) => Some(before),
                    _ => None,
                };
                self.refunds_due.follow(before, &refund);
            }
            Change::Stamping(_) | Change::Policy(_) => {}
        }
        Ok(())
    }

    fn publish(&self, passed: Passed) {
        let state = Published::new(&self.generation, self.meta.clone(), self.totals.clone(), self.refunds_due, passed);
        self.published.store(Arc::new(state));
    }

    /// Hard links of the database's files. It flushes what is in memory first, so the files need no write-ahead log, and the
    /// ledger is durable up to here, which the purge of the Raft log rests on.
    fn checkpoint(&mut self, dir: &Path) -> Result<LedgerMeta, StorageError> {
        #[cfg(feature = "planted-bugs")]
        self.generation.put(keys::META, encode_meta(&self.meta)).map_err(io("write the ledger"))?;
        let checkpoint = Checkpoint::new(&self.generation).map_err(rocks("checkpoint the ledger"))?;
        // Planted bug 14: what is in memory stays there, and the write-ahead log of it is not synced.
        let log_bytes_unflushed = if planted::is(14) { u64::MAX } else { 0 };
        checkpoint.create_checkpoint_with_log_size(dir, log_bytes_unflushed).map_err(rocks("checkpoint the ledger"))?;
        Ok(self.meta.clone())
    }

    /// Replaces the ledger. Until the switch nothing has happened, and a refused snapshot leaves the ledger as it is.
    fn install(&mut self, snapshot: &RocksSnapshot) -> Result<LedgerMeta, StorageError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let number = self.generation.number + 1;
        let generation = match self.build_generation(number, snapshot) {
            Ok(generation) => generation,
            Err(error) => {
                let _left_for_the_next_start = remove_dir(&Generation::path(&self.ledger_dir, number));
                return Err(error);
            }
        };
        crash_point::reach("snapshot.install.after_verify");
        let (series, recent) = (series_of(&generation)?, Recent::of(&generation)?);
        let next = Published::of(&generation)?;
        let before_rename = || crash_point::reach("snapshot.install.before_switch");
        if let Err(error) = generation.make_current(&self.ledger_dir, before_rename) {
            // Which of the two the next start will use is not known: this one must not go on.
            self.failed = Some(error.clone());
            return Err(error);
        }
        crash_point::reach("snapshot.install.after_switch");
        let replaced = std::mem::replace(&mut self.generation, generation);
        replaced.retire();
        (self.series, self.recent) = (series, recent);
        (self.meta, self.totals, self.refunds_due) = (next.meta.clone(), next.totals.clone(), next.refunds_due);
        self.published.store(Arc::new(next));
        remember_only(&self.recent_digests, &self.meta);
        self.snapshots.adopt(snapshot)?;
        crash_point::reach("snapshot.install.after_adopt");
        Ok(self.meta.clone())
    }

    /// A generation that holds what the snapshot's manifest says, or an error.
    fn build_generation(&self, number: u64, snapshot: &RocksSnapshot) -> Result<Arc<Generation>, StorageError> {
        // Of an attempt that failed. The others are left alone: one that was replaced may still have readers.
        let dir = Generation::path(&self.ledger_dir, number);
        remove_dir(&dir)?;
        snapshot.copy_to(&dir)?;
        let generation = Arc::new(Generation::open(&self.ledger_dir, number)?);
        let stored = Published::of(&generation)?.meta;
        let scanned = digest_of_database(&generation)?;
        let promised = snapshot.meta();
        if stored != *promised || scanned != promised.digest {
            let cause = format!("it should hold digest {}, but says {} and scans as {scanned}", promised.digest, stored.digest);
            return Err(StorageError::Corrupt { what: format!("snapshot {}", snapshot.name()), cause });
        }
        #[cfg(feature = "planted-bugs")]
        planted_losses::on_install(&generation)?;
        Ok(generation)
    }
}

fn follows(meta: &LedgerMeta, entry: &CommittedEntry) -> Result<(), StorageError> {
    let expected = meta.applied.map_or(0, |applied| applied.index + 1);
    if entry.position.index == expected {
        return Ok(());
    }
    Err(StorageError::Unusable(format!("the ledger's next entry is {expected}, not {}", entry.position.index)))
}

/// Of a ledger that was opened or installed: what came before is not known.
pub(super) fn remember_only(recent: &Mutex<VecDeque<(u64, StateDigest)>>, meta: &LedgerMeta) {
    recent.lock().unwrap_or_else(PoisonError::into_inner).clear();
    remember_digests(recent, meta.applied.map(|applied| (applied.index, meta.digest)).as_slice());
}

fn remember_digests(recent: &Mutex<VecDeque<(u64, StateDigest)>>, digests: &[(u64, StateDigest)]) {
    let mut recent = recent.lock().unwrap_or_else(PoisonError::into_inner);
    recent.extend(digests);
    let surplus = recent.len().saturating_sub(limits::RECENT_DIGESTS_MAX);
    recent.drain(..surplus);
}

fn series_of(db: &DB) -> Result<BTreeMap<SeriesCode, Series>, StorageError> {
    Ok(view::all_series(db)?.into_iter().map(|series| (series.code, series)).collect())
}

/// One index after the other: neighbouring keys are cheaper to insert.
fn add_to_indexes(batch: &mut WriteBatch, edits: &[Edit]) {
    for edit in edits {
        let Change::Order(order) = &edit.after else { continue };
        let waited = matches!(&edit.before, Some(Change::Order(before)) if before.is_awaiting_payment());
        match (waited, order.is_awaiting_payment()) {
            (false, true) => batch.put(keys::expiry(order.expires_at, order.id), []),
            (true, false) => batch.delete(keys::expiry(order.expires_at, order.id)),
            _ => {}
        }
    }
    for edit in edits {
        let Change::Order(order) = &edit.after else { continue };
        let had_stamps = matches!(&edit.before, Some(Change::Order(before)) if before.issue().is_some());
        if let Some(issue) = order.issue().filter(|_| !had_stamps) {
            batch.put(keys::holder(order.series, issue.first), keys::holder_value(order.id, order.quantity.get()));
        }
    }
    for edit in edits {
        match &edit.after {
            Change::Refund(refund) if refund.settled.is_some() => batch.delete(keys::refund_due(refund.due)),
            Change::Refund(refund) => batch.put(keys::refund_due(refund.due), keys::refund(&refund.payment)),
            Change::Stamping(stamping) => {
                batch.put(keys::document(stamping.series, stamping.number), stamping.document.as_bytes());
            }
            Change::Series(_) | Change::Order(_) | Change::Payment(_) | Change::Policy(_) | Change::Totals(_) => {}
        }
    }
}

/// The ledger before an apply, with what the thread keeps in memory.
struct Base<'a> {
    db: &'a DB,
    series: &'a BTreeMap<SeriesCode, Series>,
    recent: &'a Recent,
    totals: &'a Totals,
    passed: &'a Passed,
}

impl LedgerView for Base<'_> {
    type Error = StorageError;

    fn series(&self, code: SeriesCode) -> Result<Option<Series>, StorageError> {
        Ok(self.series.get(&code).cloned())
    }

    fn order(&self, id: OrderId) -> Result<Option<Order>, StorageError> {
        match self.recent.order(id) {
            Known::Record(order) => Ok(Some(order.clone())),
            Known::Absent => Ok(None),
            Known::No => view::order(self.db, id),
        }
    }

    fn payment(&self, name: &PaymentName) -> Result<Option<Payment>, StorageError> {
        match self.recent.payment(name) {
            Known::Absent => Ok(None),
            Known::Record(()) | Known::No => view::payment(self.db, name),
        }
    }

    fn refund(&self, payment: &PaymentName) -> Result<Option<Refund>, StorageError> {
        view::refund(self.db, payment)
    }

    fn stamping(&self, order: OrderId, document: DocumentDigest) -> Result<Option<Stamping>, StorageError> {
        view::stamping(self.db, order, document)
    }

    fn policy(&self, version: u32) -> Result<Option<Policy>, StorageError> {
        view::policy(self.db, version)
    }

    fn totals(&self) -> Result<Totals, StorageError> {
        Ok(self.totals.clone())
    }

    fn expiring(&self, until: LedgerTime, limit: usize) -> Result<Vec<Order>, StorageError> {
        view::expiring(self.db, until, limit, self.passed, self.totals.ledger_time)
    }

    fn holder(&self, series: SeriesCode, number: StampNumber) -> Result<Option<OrderId>, StorageError> {
        view::holder(self.db, series, number)
    }

    fn document(&self, series: SeriesCode, number: StampNumber) -> Result<Option<DocumentDigest>, StorageError> {
        view::document(self.db, series, number)
    }

    fn refunds_due(&self, after: Option<Place>, limit: usize) -> Result<Vec<Refund>, StorageError> {
        view::refunds_due(self.db, after, limit, self.passed)
    }
}

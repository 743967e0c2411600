//! A log on a simulated disk: what was written and not synced is lost in a crash, or kept in part, a prefix of it.
//!
//! The disk outlives the node; a [`SimLog`] is one incarnation's handle on it. The handle of a dead incarnation does nothing
//! any more: its writes vanish and its callbacks are dropped uncalled, as those of a killed process are.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use prost::Message;
use rand::RngExt;
use stampede::planted;
use stampede::proto::storage::LogEntry;
use stampede::storage::{LogPosition, LogRecord, LogState, LogStore, LogWrite, StorageError, Vote, WriteDone};

use crate::swarm::DiskFaults;
use crate::world::{Dice, World, sleep, trace};

/// Writes that one sync may cover; more waits for the next.
const WRITES_PER_SYNC_MAX: usize = 64;

/// How long a read takes, microseconds: long enough for a truncation or a purge to come in between.
const READ: (u64, u64) = (20, 2_000);

/// Synced records that a disk that lies may forget in a crash.
const FORGOTTEN_RECORDS_MAX: usize = 20;

/// What the platter holds.
#[derive(Debug, Clone, Default)]
struct Durable {
    vote: Option<Vote>,
    /// The vote before; for a disk that lies, and bug 6.
    vote_before: Option<Vote>,
    committed: Option<LogPosition>,
    purged: Option<LogPosition>,
    records: BTreeMap<u64, LogRecord>,
}

impl Durable {
    fn write(&mut self, write: LogWrite) {
        match write {
            LogWrite::Append(records) => {
                for record in records {
                    self.records.insert(record.index, record);
                }
            }
            LogWrite::Truncate { from_index } => drop(self.records.split_off(&from_index)),
            LogWrite::Purge { through } => {
                self.records = self.records.split_off(&(through.index + 1));
                self.purged = Some(through);
            }
            LogWrite::SaveVote(vote) => self.vote_before = self.vote.replace(vote),
            LogWrite::SaveCommitted(committed) => self.committed = committed,
        }
    }

    /// The newest records, the last vote, and that anything of it was committed: a state that the disk once had.
    fn forget(&mut self, records: usize) {
        (0..records).for_each(|_| drop(self.records.pop_last()));
        self.vote = self.vote_before;
        if self.committed.map(|at| at.index) > self.last().map(|at| at.index) {
            self.committed = self.last();
        }
    }

    fn last(&self) -> Option<LogPosition> {
        match self.records.values().next_back() {
            Some(record) => position_of(record),
            None => self.purged,
        }
    }
}

fn position_of(record: &LogRecord) -> Option<LogPosition> {
    LogEntry::decode(record.bytes.clone()).expect("only whole entries are written").position
}

struct Disk {
    durable: Durable,
    /// Written, not synced, oldest first.
    queued: VecDeque<(LogWrite, WriteDone)>,
    is_syncing: bool,
    /// The one incarnation whose handle works.
    incarnation: u64,
}

/// Cheap to clone: clones share the disk and the incarnation.
#[derive(Clone)]
pub struct SimLog {
    world: World,
    node_id: u64,
    incarnation: u64,
    faults: Arc<Mutex<DiskFaults>>,
    disk: Arc<Mutex<Disk>>,
}

impl SimLog {
    /// An empty disk, and the first incarnation's handle on it.
    pub fn new(world: World, node_id: u64, faults: DiskFaults) -> Self {
        let disk = Disk { durable: Durable::default(), queued: VecDeque::new(), is_syncing: false, incarnation: 0 };
        Self { world, node_id, incarnation: 0, faults: Arc::new(Mutex::new(faults)), disk: Arc::new(Mutex::new(disk)) }
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().expect("one thread: nobody panicked while holding it")
    }

    fn faults(&self) -> DiskFaults {
        self.faults.lock().expect("one thread: nobody panicked while holding it").clone()
    }

    /// From now on the disk behaves like this.
    pub fn set_faults(&self, faults: DiskFaults) {
        *self.faults.lock().expect("one thread: nobody panicked while holding it") = faults;
    }

    /// The power goes. Every handle so far is dead; the one returned is the next incarnation's.
    pub fn crash(&self) -> Self {
        let survives = self.world.chance(Dice::Disk, self.faults().torn_chance);
        let incarnation;
        let lost = {
            let mut disk = self.lock();
            let lost = std::mem::take(&mut disk.queued);
            disk.is_syncing = false;
            disk.incarnation += 1;
            incarnation = disk.incarnation;
            lost
        };
        let (mut writes, dropped_callbacks): (Vec<_>, Vec<_>) = lost.into_iter().unzip();
        let queued = writes.len();
        if survives {
            writes.truncate(self.world.draw(Dice::Disk, |rng| rng.random_range(0..=queued)));
            self.keep_torn(&mut writes);
        } else {
            writes.clear();
        }
        trace!(self.world, "n{} disk crash: {} of {queued} unsynced writes kept", self.node_id, writes.len());
        if writes.len() < queued {
            self.world.count("unsynced writes lost");
        }
        let mut disk = self.lock();
        writes.into_iter().for_each(|write| disk.durable.write(write));
        // Bug 6: the vote is in memory alone.
        if planted::is(6) {
            disk.durable.vote = disk.durable.vote_before;
        }
        // Bug 5: the same as a disk that lies.
        if self.faults().lies || planted::is(5) {
            let forgotten = self.world.draw(Dice::Disk, |rng| rng.random_range(0..=FORGOTTEN_RECORDS_MAX));
            disk.durable.forget(forgotten);
        }
        drop(disk);
        // Outside the lock: dropping them wakes whoever waits for them.
        drop(dropped_callbacks);
        Self { incarnation, ..self.clone() }
    }

    /// The last append that survived may have lost its tail.
    fn keep_torn(&self, writes: &mut [LogWrite]) {
        if let Some(LogWrite::Append(records)) = writes.last_mut() {
            let kept = self.world.draw(Dice::Disk, |rng| rng.random_range(0..=records.len()));
            records.truncate(kept);
        }
    }

    /// Entries that would survive a crash now, for the checks: by index, encoded.
    pub fn durable_records(&self) -> Vec<LogRecord> {
        self.lock().durable.records.values().cloned().collect()
    }

    fn is_dead(&self, disk: &Disk) -> bool {
        disk.incarnation != self.incarnation
    }

    /// Syncs what is queued, group by group, until nothing is.
    async fn sync_queued(self) {
        loop {
            let faults = self.faults();
            let stalls = self.world.chance(Dice::Disk, faults.stall_chance);
            let covered = self.lock().queued.len().min(WRITES_PER_SYNC_MAX);
            if stalls {
                self.world.count("disk stalls");
            }
            sleep(self.world.micros(Dice::Disk, if stalls { faults.stall } else { faults.sync })).await;
            let mut disk = self.lock();
            if self.is_dead(&disk) {
                return;
            }
            let (writes, callbacks): (Vec<_>, Vec<_>) = disk.queued.drain(..covered).unzip();
            if !faults.fails {
                writes.into_iter().for_each(|write| disk.durable.write(write));
            }
            let is_drained = disk.queued.is_empty();
            disk.is_syncing = !is_drained;
            drop(disk);
            callbacks.into_iter().for_each(|done| done(if faults.fails { Err(broken()) } else { Ok(()) }));
            if is_drained {
                return;
            }
        }
    }
}

fn broken() -> StorageError {
    StorageError::Io { operation: "syncing the log", cause: "the disk fails".into() }
}

fn dead() -> StorageError {
    StorageError::Io { operation: "reading the log", cause: "the node was killed".into() }
}

impl LogStore for SimLog {
    fn write(&self, write: LogWrite, done: WriteDone) {
        let mut disk = self.lock();
        if self.is_dead(&disk) {
            drop(disk);
            drop((write, done));
            return;
        }
        disk.queued.push_back((write, done));
        if !std::mem::replace(&mut disk.is_syncing, true) {
            drop(disk);
            SimRuntime::spawn(self.clone().sync_queued());
        }
    }

    async fn state(&self) -> Result<LogState, StorageError> {
        let disk = self.lock();
        if self.is_dead(&disk) {
            return Err(dead());
        }
        let durable = &disk.durable;
        Ok(LogState { vote: durable.vote, committed: durable.committed, purged: durable.purged, last: durable.last() })
    }

    async fn read(&self, range: Range<u64>) -> Result<Vec<LogRecord>, StorageError> {
        sleep(self.world.micros(Dice::Disk, READ)).await;
        let disk = self.lock();
        if self.is_dead(&disk) {
            return Err(dead());
        }
        Ok(disk.durable.records.range(range).map(|(_, record)| record.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    const SYNC: Duration = Duration::from_millis(1);

    fn log(world: &World, torn_chance: u32) -> SimLog {
        let sync = (1_000, 1_000);
        let faults =
            DiskFaults { sync, stall_chance: 0, stall: sync, torn_chance, ledger_flush_chance: 0, lies: false, fails: false };
        SimLog::new(world.clone(), 1, faults)
    }

    fn append(log: &SimLog, index: u64, synced: &Arc<AtomicUsize>) {
        let entry = LogEntry { position: Some(LogPosition { term: 1, index }), payload: None };
        let record = LogRecord { index, bytes: entry.encode_to_vec().into() };
        let synced = synced.clone();
        log.write(
            LogWrite::Append(vec![record]),
            Box::new(move |_| {
                synced.fetch_add(1, Ordering::Relaxed);
            }),
        );
    }

    async fn indexes(log: &SimLog) -> Vec<u64> {
        log.read(0..100).await.expect("the log is alive").iter().map(|record| record.index).collect()
    }

    #[test]
    fn a_crash_loses_what_was_not_synced_and_its_callback() {
        SimRuntime::with_seed(0).block_on(async {
            let (log, synced) = (log(&World::new(1, false), 0), Arc::default());
            append(&log, 1, &synced);
            sleep(SYNC * 2).await;
            append(&log, 2, &synced);
            let reborn = log.crash();
            append(&log, 3, &synced);
            sleep(SYNC * 10).await;
            assert_eq!(synced.load(Ordering::Relaxed), 1);
            assert_eq!(indexes(&reborn).await, [1]);
            assert!(log.read(0..100).await.is_err(), "a dead node reads nothing");
        });
    }

    #[test]
    fn what_survives_a_torn_crash_is_a_prefix() {
        SimRuntime::with_seed(0).block_on(async {
            let world = World::new(1, false);
            let mut kept = std::collections::BTreeSet::new();
            for _ in 0..100 {
                let (log, synced) = (log(&world, 1_000_000), Arc::default());
                (1..=3).for_each(|index| append(&log, index, &synced));
                let survivors = indexes(&log.crash()).await;
                assert!([1, 2, 3].starts_with(&survivors), "{survivors:?}");
                kept.insert(survivors.len());
            }
            assert_eq!(kept.len(), 4, "none, some and all: {kept:?}");
        });
    }
}

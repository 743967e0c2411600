//! The Raft log: a RocksDB of its own, one thread that writes it.
//!
//! The writer takes everything that is queued, up to [`limits::LOG_GROUP_BYTES_MAX`], puts it in one write batch with one sync,
//! and then calls back in the order of the queue: group commit without a timer. After a failure nothing is written any more,
//! because what a failed sync left on the disk is not known; every later write gets the same error.
//!
//! Recovery mode: `TolerateCorruptedTailRecords`. A record that the power cut tore at the end of the write-ahead log was never
//! synced, so nobody was told of it, and it may go. A wrong checksum before the end is damage of what was acknowledged: the log
//! does not open, rather than forget it. So it is with a write-ahead log that was closed and synced and is now short or missing:
//! RocksDB's manifest names each.
//!
//! What nothing here can tell from a torn tail: the newest write-ahead log cut short by something other than a power cut, or
//! damage, in its last 32 KiB, of the field that says how long a record is. Then the node forgets what it acknowledged; replicas
//! are compared by digest, and a disk that does this has to be replaced.
//!
//! `SaveCommitted` does not ask for a sync of its own. The committed position only grows, and an older one is still
//! committed: after a power cut the node replays less at the start and hears the rest from the leader. It keeps its place in the
//! queue, so it never gets ahead of the entries it names.
//!
//! Left to others: entries that are queued but not written can not be read here; consensus keeps them in memory.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;
use prost::Message;
use rocksdb::statistics::Ticker;
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRawIterator, DBRecoveryMode, Options, ReadOptions, WriteBatch,
    WriteOptions,
};

use super::codec::corrupt;
use super::files::{io, rocks};
use super::{
    LogPosition, LogRecord, LogState, LogStore, LogWrite, StorageError, StoreFigures, StoreReport, Vote, WriteDone,
    crash_point, keys,
};
use crate::counters::Histogram;
use crate::limits;
use crate::planted;
use crate::proto::storage::LogEntry;

/// Clones share the store; it closes when the last one is dropped and what was queued is written.
#[derive(Clone)]
pub struct RocksLog {
    shared: Arc<Shared>,
}

struct Shared {
    db: Arc<DB>,
    times: Arc<LogTimes>,
    /// Taken on drop: the writer ends when it has written the rest.
    queue: Option<SyncSender<Queued>>,
    writer: Option<JoinHandle<()>>,
}

struct Queued {
    write: LogWrite,
    queued_at: Instant,
    done: WriteDone,
}

/// How long the log takes, in microseconds.
#[derive(Debug, Default)]
pub struct LogTimes {
    /// Of each write that was synced, with its sync: one for everything that was queued.
    pub sync_us: Histogram,
    /// Of each append, from when it was queued until it was synced.
    pub persist_us: Histogram,
}

impl RocksLog {
    /// Opens the log in `dir`, or makes an empty one. Blocks: meant for start-up.
    ///
    /// # Errors
    /// The log is damaged, or has a hole.
    pub fn open(dir: &Path) -> Result<Self, StorageError> {
        Self::open_with(&options(), dir)
    }

    /// For the test that shows the syncs: counting costs.
    #[doc(hidden)]
    #[allow(clippy::missing_errors_doc)]
    pub fn open_counting_syncs(dir: &Path) -> Result<(Self, SyncCount), StorageError> {
        let mut options = options();
        options.enable_statistics();
        Ok((Self::open_with(&options, dir)?, SyncCount(options)))
    }

    fn open_with(options: &Options, dir: &Path) -> Result<Self, StorageError> {
        let db = Arc::new(DB::open(options, dir).map_err(rocks("open the log"))?);
        let state = read_state(&db)?;
        let (queue, jobs) = sync_channel(limits::LOG_QUEUE_WRITES_MAX);
        let times = Arc::<LogTimes>::default();
        let next = state.last.map_or(0, |last| last.index + 1);
        let writer = Writer { db: Arc::clone(&db), times: Arc::clone(&times), next, failed: None };
        let thread = std::thread::Builder::new().name("log-writer".to_owned());
        let writer = thread.spawn(move || writer.run(&jobs)).map_err(io("start the log writer"))?;
        Ok(Self { shared: Arc::new(Shared { db, times, queue: Some(queue), writer: Some(writer) }) })
    }

    #[must_use]
    pub fn times(&self) -> Arc<LogTimes> {
        Arc::clone(&self.shared.times)
    }

    /// Asks RocksDB. Blocks.
    ///
    /// # Errors
    /// RocksDB's own.
    pub fn figures(&self) -> Result<StoreFigures, StorageError> {
        StoreFigures::of(&self.shared.db)
    }

    /// Blocks.
    #[must_use]
    pub fn report(&self) -> StoreReport {
        StoreReport::of(&self.shared.db)
    }

    /// [`LogStore::state`], blocking.
    ///
    /// # Errors
    /// The log is damaged.
    pub fn read_state(&self) -> Result<LogState, StorageError> {
        read_state(&self.shared.db)
    }

    async fn blocking<T, F>(&self, read: F) -> Result<T, StorageError>
    where
        T: Send + 'static,
        F: FnOnce(&DB) -> Result<T, StorageError> + Send + 'static,
    {
        let db = Arc::clone(&self.shared.db);
        tokio::task::spawn_blocking(move || read(&db)).await.map_err(io("read the log"))?
    }
}

/// RocksDB's own count of how often the write-ahead log was synced.
#[doc(hidden)]
#[derive(Clone)]
pub struct SyncCount(Options);

impl SyncCount {
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.get_ticker_count(Ticker::WalFileSynced)
    }
}

impl LogStore for RocksLog {
    /// Blocks only while the queue is full: the disk is then thousands of writes behind, and waiting is all that is left.
    fn write(&self, write: LogWrite, done: WriteDone) {
        let queue = self.shared.queue.as_ref().expect("the queue is taken only on drop");
        if let Err(refused) = queue.send(Queued { write, queued_at: Instant::now(), done }) {
            let cause = "its thread has ended".to_owned();
            (refused.0.done)(Err(StorageError::Io { operation: "write the log", cause }));
        }
    }

    async fn state(&self) -> Result<LogState, StorageError> {
        self.blocking(read_state).await
    }

    async fn read(&self, range: Range<u64>) -> Result<Vec<LogRecord>, StorageError> {
        self.blocking(move |db| read_records(db, &range)).await
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        drop(self.queue.take());
        // A callback may hold the last clone: the writer cannot wait for itself.
        if let Some(writer) = self.writer.take().filter(|writer| writer.thread().id() != std::thread::current().id()) {
            // A panic was already reported on the writer's own thread.
            let _ = writer.join();
        }
    }
}

struct Writer {
    db: Arc<DB>,
    times: Arc<LogTimes>,
    /// Index that the next record must have.
    next: u64,
    failed: Option<StorageError>,
}

impl Writer {
    fn run(mut self, jobs: &Receiver<Queued>) {
        while let Ok(first) = jobs.recv() {
            let mut group_bytes = size_bytes(&first.write);
            let mut group = vec![first];
            while group_bytes < limits::LOG_GROUP_BYTES_MAX
                && let Ok(next) = jobs.try_recv()
            {
                group_bytes += size_bytes(&next.write);
                group.push(next);
            }
            if self.failed.is_none() {
                self.failed = self.write(&group).err();
            }
            let result = self.failed.clone().map_or(Ok(()), Err);
            for queued in group {
                if result.is_ok() && matches!(queued.write, LogWrite::Append(_)) {
                    self.times.persist_us.record_us(queued.queued_at.elapsed());
                }
                (queued.done)(result.clone());
            }
        }
    }

    fn write(&mut self, group: &[Queued]) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        for queued in group {
            self.add(&mut batch, &queued.write)?;
        }
        let has = |wanted: fn(&LogWrite) -> bool| group.iter().any(|queued| wanted(&queued.write));
        let appends = has(|write| matches!(write, LogWrite::Append(_)));
        let truncates = has(|write| matches!(write, LogWrite::Truncate { .. }));
        let purges = has(|write| matches!(write, LogWrite::Purge { .. }));
        let mut durably = WriteOptions::default();
        let syncs = has(|write| !matches!(write, LogWrite::SaveCommitted(_)));
        durably.set_sync(syncs && !(planted::is(5) && appends));
        if appends {
            crash_point::reach("log.append.before_write");
        }
        if truncates {
            crash_point::reach("log.truncate.before_write");
        }
        if purges {
            crash_point::reach("log.purge.before_write");
        }
        let begun = Instant::now();
        self.db.write_opt(batch, &durably).map_err(rocks("write the log"))?;
        if syncs {
            self.times.sync_us.record_us(begun.elapsed());
        }
        if appends {
            crash_point::reach("log.append.before_done");
        }
        if truncates {
            crash_point::reach("log.truncate.before_done");
        }
        if purges {
            crash_point::reach("log.purge.before_done");
        }
        Ok(())
    }

    fn add(&mut self, batch: &mut WriteBatch, write: &LogWrite) -> Result<(), StorageError> {
        match write {
            LogWrite::Append(records) => {
                for record in records {
                    if record.index != self.next {
                        let message = format!("the log's next record is {}, not {}", self.next, record.index);
                        return Err(StorageError::Unusable(message));
                    }
                    batch.put(keys::log_entry(record.index), &record.bytes);
                    self.next += 1;
                }
            }
            LogWrite::Truncate { from_index } => {
                batch.delete_range(keys::log_entry(*from_index).as_slice(), keys::LOG_ENTRIES_END.as_slice());
                self.next = self.next.min(*from_index);
            }
            LogWrite::Purge { through } => {
                batch.delete_range(keys::log_entry(0).as_slice(), keys::log_entry(through.index + 1).as_slice());
                batch.put(keys::LOG_PURGED, through.encode_to_vec());
                // Past the last record after an installed snapshot.
                self.next = self.next.max(through.index + 1);
            }
            LogWrite::SaveVote(vote) if planted::is(6) => {
                let mut in_memory = WriteOptions::default();
                in_memory.disable_wal(true);
                self.db.put_opt(keys::LOG_VOTE, vote.encode_to_vec(), &in_memory).map_err(rocks("write the log"))?;
            }
            LogWrite::SaveVote(vote) => batch.put(keys::LOG_VOTE, vote.encode_to_vec()),
            LogWrite::SaveCommitted(Some(committed)) => batch.put(keys::LOG_COMMITTED, committed.encode_to_vec()),
            LogWrite::SaveCommitted(None) => batch.delete(keys::LOG_COMMITTED),
        }
        Ok(())
    }
}

fn size_bytes(write: &LogWrite) -> usize {
    match write {
        LogWrite::Append(records) => records.iter().map(|record| record.bytes.len()).sum(),
        _ => 0,
    }
}

fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(limits::LOG_WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(limits::LOG_WRITE_BUFFERS);
    options.set_bytes_per_sync(limits::WRITE_BACK_BYTES);
    options.set_keep_log_file_num(limits::ROCKSDB_INFO_LOGS);
    options.set_max_log_file_size(limits::ROCKSDB_INFO_LOG_BYTES);
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(limits::LOG_BLOCK_CACHE_BYTES));
    options.set_block_based_table_factory(&table);
    options
}

fn message<M: Message + Default>(db: &impl Get, key: &[u8], what: &str) -> Result<Option<M>, StorageError> {
    db.get(key)?.map(|bytes| M::decode(bytes.as_slice()).map_err(|error| corrupt(what, error))).transpose()
}

/// Of the database, or of one state of it.
trait Get {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;
}

impl Get for DB {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Self::get(self, key).map_err(rocks("read the log"))
    }
}

impl Get for rocksdb::Snapshot<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Self::get(self, key).map_err(rocks("read the log"))
    }
}

fn read_state(db: &DB) -> Result<LogState, StorageError> {
    let vote: Option<Vote> = message(db, keys::LOG_VOTE, "vote")?;
    let committed: Option<LogPosition> = message(db, keys::LOG_COMMITTED, "committed position")?;
    let purged: Option<LogPosition> = message(db, keys::LOG_PURGED, "purged position")?;
    let mut records = db.raw_iterator_opt(entries_only());
    records.seek_to_first();
    let first = found(&records)?;
    records.seek_to_last();
    let last = found(&records)?;
    if let Some((record, _)) = first {
        begins_at(purged, record.index)?;
    }
    Ok(LogState { vote, committed, purged, last: last.map(|(_, position)| position).or(purged) })
}

/// The record under the cursor. A seek that failed looks like one that found nothing, and the next one clears its error.
fn found(cursor: &DBRawIterator<'_>) -> Result<Option<(LogRecord, LogPosition)>, StorageError> {
    cursor.status().map_err(rocks("read the log"))?;
    cursor.item().map(|(key, value)| decoded(key, value)).transpose()
}

fn begins_at(purged: Option<LogPosition>, first: u64) -> Result<(), StorageError> {
    let expected = purged.map_or(0, |purged| purged.index + 1);
    if first == expected {
        return Ok(());
    }
    Err(corrupt("log", format_args!("the first record is {first}, must be {expected}")))
}

fn entries_only() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(keys::log_entry(0));
    options.set_iterate_upper_bound(keys::LOG_ENTRIES_END);
    options
}

fn read_records(db: &DB, range: &Range<u64>) -> Result<Vec<LogRecord>, StorageError> {
    // Of one state: a purge meanwhile must not look like a hole.
    let state = db.snapshot();
    let purged: Option<LogPosition> = message(&state, keys::LOG_PURGED, "purged position")?;
    let mut expected = range.start.max(purged.map_or(0, |purged| purged.index + 1));
    let mut options = entries_only();
    options.set_iterate_upper_bound(keys::log_entry(range.end));
    let mut iterator = state.raw_iterator_opt(options);
    iterator.seek(keys::log_entry(range.start));
    let mut records = Vec::new();
    while let Some((key, value)) = iterator.item() {
        let (record, _) = decoded(key, value)?;
        if record.index != expected {
            return Err(corrupt("log", format_args!("record {expected} is missing, the next one is {}", record.index)));
        }
        expected += 1;
        records.push(record);
        iterator.next();
    }
    iterator.status().map_err(rocks("read the log"))?;
    Ok(records)
}

/// A record is what its key says, or the log is damaged.
fn decoded(key: &[u8], value: &[u8]) -> Result<(LogRecord, LogPosition), StorageError> {
    let index = match key.get(1..).map(<[u8; 8]>::try_from) {
        Some(Ok(index)) => u64::from_be_bytes(index),
        _ => return Err(corrupt("log", format_args!("a key has {} bytes, must have 9", key.len()))),
    };
    let what = || format!("log record {index}");
    let bytes = Bytes::copy_from_slice(value);
    // The commands stay a slice of `bytes`: nothing more is copied.
    let entry = LogEntry::decode(bytes.clone()).map_err(|error| corrupt(&what(), error))?;
    match entry.position {
        Some(position) if position.index == index => Ok((LogRecord { index, bytes }, position)),
        Some(position) => Err(corrupt(&what(), format_args!("it says that it is record {}", position.index))),
        None => Err(corrupt(&what(), "position is missing")),
    }
}

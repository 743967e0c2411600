//! openraft's log over a [`LogStore`]: a tail in memory in front of the disk.
//!
//! An entry can be read when `append` returns and is reported flushed after its sync; until then, and for as long as the tail
//! has room, it is served from memory, which is what replication and apply ask for. Older reads go to the disk.
//!
//! Everything before `tail.start` is on disk; everything from there on is in memory. All writes go through the store's one
//! FIFO. The vote is synced before `save_vote` returns. The committed position may be lost: it is written with the next
//! append, or by [`RaftLog::save_committed_now`] when there is none.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{Stream, stream};
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::{AsyncRuntime, OptionalSend};
use tokio::sync::oneshot;

use super::first_failure::FirstFailure;
use super::types::{Entry, LogId, TypeConfig, Vote};
use super::wire;
use crate::limits;
use crate::storage::codec::corrupt;
use crate::storage::{LogRecord, LogState as StoredState, LogStore, LogWrite, StorageError};

pub(super) struct RaftLog<L> {
    store: L,
    tail: Arc<Mutex<Tail>>,
    /// Held while a write is made and queued, so that the order on disk is the order of the decisions.
    order: Arc<Mutex<()>>,
    failure: FirstFailure,
}

impl<L: Clone> Clone for RaftLog<L> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), tail: self.tail.clone(), order: self.order.clone(), failure: self.failure.clone() }
    }
}

struct Tail {
    entries: VecDeque<TailEntry>,
    /// Log index of the first of `entries`, or of the next one to come.
    start: u64,
    /// Of all entries.
    bytes: usize,
    /// Appends made so far; the number of an append is how many came before it.
    appends: u64,
    /// Appends before this one are on disk.
    appends_synced: u64,
    /// A read that a truncation overtook may find less than it was promised.
    truncations: u64,
    last: Option<LogId>,
    purged: Option<LogId>,
    vote: Option<Vote>,
    committed: Option<LogId>,
    committed_is_queued: bool,
}

struct TailEntry {
    entry: Entry,
    bytes: usize,
    append: u64,
}

impl Tail {
    fn next_index(&self) -> u64 {
        self.start + self.entries.len() as u64
    }

    fn drop_first(&mut self) {
        if let Some(dropped) = self.entries.pop_front() {
            self.bytes -= dropped.bytes;
            self.start += 1;
        }
    }

    /// Makes room; what is not on disk yet stays.
    fn evict(&mut self) {
        while self.entries.len() > limits::LOG_TAIL_ENTRIES_MAX || self.bytes > limits::LOG_TAIL_BYTES_MAX {
            match self.entries.front() {
                Some(first) if first.append < self.appends_synced => self.drop_first(),
                _ => return,
            }
        }
    }

    fn truncate_after(&mut self, after: Option<LogId>) {
        let next = after.map_or(0, |after| after.index + 1);
        while self.next_index() > next {
            match self.entries.pop_back() {
                Some(dropped) => self.bytes -= dropped.bytes,
                // What remains to be dropped is on disk only.
                None => self.start = next,
            }
        }
        self.last = after;
        self.truncations += 1;
    }

    fn purge(&mut self, through: LogId) {
        while !self.entries.is_empty() && self.start <= through.index {
            self.drop_first();
        }
        // A snapshot may be ahead of the log: the log goes on behind it.
        self.start = self.start.max(through.index + 1);
        self.purged = Some(through);
        self.last = self.last.max(Some(through));
    }

    /// The entries of `range` that are in memory. At least one, if there is one, then as many as fit.
    fn entries(&self, range: Range<u64>, bytes_max: usize) -> Vec<Entry> {
        let skipped = range.start.saturating_sub(self.start);
        let wanted = range.end.saturating_sub(range.start.max(self.start));
        let Ok(skipped) = usize::try_from(skipped) else { return Vec::new() };
        let mut bytes = 0;
        let entries = self.entries.iter().skip(skipped).take(usize::try_from(wanted).unwrap_or(usize::MAX));
        let fitting = entries.take_while(|entry| {
            let fits = bytes == 0 || bytes + entry.bytes <= bytes_max;
            bytes += entry.bytes;
            fits
        });
        fitting.map(|entry| entry.entry.clone()).collect()
    }
}

impl<L: LogStore> RaftLog<L> {
    /// Also returns what the log held when it was opened.
    pub(super) async fn open(store: L) -> Result<(Self, StoredState), StorageError> {
        let state = store.state().await?;
        let last = state.last.as_ref().map(wire::log_id_of);
        let vote = state.vote.map(|vote| wire::vote_from_wire(Some(vote))).transpose();
        let tail = Tail {
            entries: VecDeque::new(),
            start: last.map_or(0, |last| last.index + 1),
            bytes: 0,
            appends: 0,
            appends_synced: 0,
            truncations: 0,
            last,
            purged: state.purged.as_ref().map(wire::log_id_of),
            vote: vote.map_err(|error| StorageError::Corrupt { what: "the saved vote".into(), cause: error.to_string() })?,
            committed: state.committed.as_ref().map(wire::log_id_of),
            committed_is_queued: true,
        };
        Ok((Self { store, tail: Arc::new(Mutex::new(tail)), order: Arc::default(), failure: FirstFailure::default() }, state))
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        // Nothing panics while it is held; a poisoned tail would still be whole.
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shared with the ledger's adapter.
    pub(super) fn failure(&self) -> &FirstFailure {
        &self.failure
    }

    fn order(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn first_index(&self) -> u64 {
        self.tail().purged.map_or(0, |purged| purged.index + 1)
    }

    pub(super) fn next_index(&self) -> u64 {
        self.tail().next_index()
    }

    /// How far openraft has said that the log is committed, and the last entry: as of now, while openraft's metrics are as of
    /// its last report. It says so here before it applies.
    pub(super) fn committed_and_last(&self) -> (Option<LogId>, Option<LogId>) {
        let tail = self.tail();
        (tail.committed, tail.last)
    }

    /// How many appends are on disk, and how many were made.
    pub(super) fn appends_synced(&self) -> (u64, u64) {
        let tail = self.tail();
        (tail.appends_synced, tail.appends)
    }

    /// Queues the committed position if the last appends did not take it along.
    pub(super) fn save_committed_now(&self) {
        let _order = self.order();
        self.queue_committed();
    }

    fn queue_committed(&self) {
        let committed = {
            let mut tail = self.tail();
            if std::mem::replace(&mut tail.committed_is_queued, true) {
                return;
            }
            tail.committed.as_ref().map(wire::position)
        };
        // A failure shows in every later write; no answer waits for this one.
        self.store.write(LogWrite::SaveCommitted(committed), Box::new(|_| ()));
    }

    /// Queues and waits for the sync.
    async fn write_synced(&self, write: LogWrite) -> io::Result<()> {
        let (done, synced) = oneshot::channel();
        self.store.write(write, Box::new(move |result| drop(done.send(result))));
        match synced.await {
            Ok(result) => result.map_err(|error| self.failure.keep(error)),
            Err(_) => Err(io::Error::other("the log has stopped")),
        }
    }

    /// Consecutive entries from `range.start` on, at most up to its end, and at least one unless the log ends before. Reads
    /// may stop early: at `bytes_max`, and where the tail begins.
    ///
    /// # Errors
    /// Also where a purge was faster; so the error is kept by whoever knows better.
    pub(super) async fn read_some(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, StorageError> {
        let (on_disk, truncations) = {
            let tail = self.tail();
            if range.start >= tail.start {
                return Ok(tail.entries(range, bytes_max));
            }
            let disk_end = range.end.min(tail.start).min(range.start + limits::LOG_READ_ENTRIES_MAX);
            (range.start..disk_end, tail.truncations)
        };
        let records = self.store.read(on_disk.clone()).await?;
        let mut entries = Vec::with_capacity(records.len());
        let mut bytes = 0;
        for (record, index) in records.iter().zip(on_disk.clone()) {
            if !entries.is_empty() && bytes + record.bytes.len() > bytes_max {
                return Ok(entries);
            }
            bytes += record.bytes.len();
            entries.push(decode(record, index)?);
        }
        // Entries that are promised to be on disk must be there, unless they were cut off while we read.
        let is_short = (entries.len() as u64) < on_disk.end.saturating_sub(on_disk.start);
        if is_short && self.tail().truncations == truncations {
            let found = entries.len();
            return Err(corrupt("log", format_args!("entries {on_disk:?} were asked for, {found} are there")));
        }
        Ok(entries)
    }

    /// All entries of `range` that the log has.
    async fn read_all(&self, range: Range<u64>) -> Result<Vec<Entry>, StorageError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut next = range.start;
        while next < range.end {
            let some = self.read_some(next..range.end, usize::MAX).await?;
            if some.is_empty() {
                break;
            }
            next += some.len() as u64;
            entries.extend(some);
        }
        Ok(entries)
    }
}

fn decode(record: &LogRecord, index: u64) -> Result<Entry, StorageError> {
    if record.index != index {
        return Err(corrupt("log", format_args!("entry {index} was asked for, {} came", record.index)));
    }
    let what = || format!("log entry {index}");
    let entry = wire::entry_from_record(&record.bytes).map_err(|error| corrupt(&what(), error))?;
    if entry.log_id.index != index {
        return Err(corrupt(&what(), format_args!("it says that it is {}", entry.log_id.index)));
    }
    Ok(entry)
}

fn to_range(bounds: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match bounds.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match bounds.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl<RT: AsyncRuntime, L: LogStore> RaftLogReader<TypeConfig<RT>> for RaftLog<L> {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.read_all(to_range(&range)).await.map_err(|error| self.failure.keep(error))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.tail().vote)
    }

    /// For replication: one message.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        match self.read_some(start..end, limits::APPEND_BYTES_MAX).await {
            // A purge was faster: openraft sends a heartbeat for nothing, and a snapshot next. Only here may entries be
            // missing; apply would skip a hole.
            Err(_) if start < self.first_index() => Ok(Vec::new()),
            result => result.map_err(|error| self.failure.keep(error)),
        }
    }

    /// For apply: a long replay is read piece by piece.
    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let range = to_range(&range);
        let first = match self.read_some(range.clone(), limits::APPEND_BYTES_MAX).await {
            Ok(first) => first.into_iter(),
            Err(error) => {
                return Box::pin(stream::iter([Err(self.failure.keep(error))])) as stream::BoxStream<'static, _>;
            }
        };
        let next = range.start + first.len() as u64;
        let state = Some((self.clone(), first, next..range.end));
        Box::pin(stream::unfold(state, |state| async move {
            let (log, mut ready, mut rest) = state?;
            if let Some(entry) = ready.next() {
                return Some((Ok(entry), Some((log, ready, rest))));
            }
            if rest.is_empty() {
                return None;
            }
            match log.read_some(rest.clone(), limits::APPEND_BYTES_MAX).await {
                Ok(some) => {
                    rest.start += some.len() as u64;
                    let mut ready = some.into_iter();
                    match ready.next() {
                        Some(entry) => Some((Ok(entry), Some((log, ready, rest)))),
                        // What is committed is never cut off: an end here would be taken for the end of what there is to apply.
                        None => {
                            let missing = corrupt("log", format_args!("entries {rest:?} are not there"));
                            Some((Err(log.failure.keep(missing)), None))
                        }
                    }
                }
                Err(error) => Some((Err(log.failure.keep(error)), None)),
            }
        }))
    }
}

impl<RT: AsyncRuntime, L: LogStore> RaftLogStorage<TypeConfig<RT>> for RaftLog<L> {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig<RT>>, io::Error> {
        let tail = self.tail();
        Ok(LogState { last_purged_log_id: tail.purged, last_log_id: tail.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.write_synced(LogWrite::SaveVote(wire::vote_to_wire(vote))).await?;
        self.tail().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let mut tail = self.tail();
        tail.committed = committed;
        tail.committed_is_queued = false;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.tail().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig<RT>>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let _order = self.order();
        self.queue_committed();
        let mut records = Vec::new();
        let append = {
            let mut tail = self.tail();
            let append = tail.appends;
            tail.appends += 1;
            for entry in entries {
                if entry.log_id.index != tail.next_index() {
                    return Err(io::Error::other(format!("entry {} does not follow the log's last", entry.log_id.index)));
                }
                let bytes = wire::entry_to_record(&entry);
                tail.last = Some(entry.log_id);
                tail.bytes += bytes.len();
                records.push(LogRecord { index: entry.log_id.index, bytes: bytes.clone() });
                tail.entries.push_back(TailEntry { entry, bytes: bytes.len(), append });
            }
            append
        };
        let (tail, failure) = (self.tail.clone(), self.failure.clone());
        let done = move |result: Result<(), StorageError>| {
            if result.is_ok() {
                let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
                tail.appends_synced = append + 1;
                tail.evict();
            }
            callback.io_completed(result.map_err(|error| failure.keep(error)));
        };
        self.store.write(LogWrite::Append(records), Box::new(done));
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        self.tail().truncate_after(last_log_id);
        let from_index = last_log_id.map_or(0, |last| last.index + 1);
        self.write_synced(LogWrite::Truncate { from_index }).await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        self.tail().purge(log_id);
        // Not waited for: it gives back space and promises nothing. A failure shows in every later write.
        self.store.write(LogWrite::Purge { through: wire::position(&log_id) }, Box::new(|_| ()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::{StreamExt, TryStreamExt};
    use openraft::EntryPayload;
    use openraft_rt_tokio::TokioRuntime;

    use super::super::types::log_id;
    use super::*;
    use crate::storage::WriteDone;

    /// Syncs at once.
    #[derive(Clone, Default)]
    struct MemoryLog(Arc<Mutex<Vec<LogRecord>>>);

    impl MemoryLog {
        fn records(&self) -> MutexGuard<'_, Vec<LogRecord>> {
            self.0.lock().expect("no test panics while holding it")
        }
    }

    impl LogStore for MemoryLog {
        fn write(&self, write: LogWrite, done: WriteDone) {
            match write {
                LogWrite::Append(records) => self.records().extend(records),
                LogWrite::Purge { through } => self.records().retain(|record| record.index > through.index),
                _ => {}
            }
            done(Ok(()));
        }

        async fn state(&self) -> Result<StoredState, StorageError> {
            Ok(StoredState::default())
        }

        async fn read(&self, range: Range<u64>) -> Result<Vec<LogRecord>, StorageError> {
            Ok(self.records().iter().filter(|record| range.contains(&record.index)).cloned().collect())
        }
    }

    const ENTRIES: u64 = limits::LOG_TAIL_ENTRIES_MAX as u64 + 500;

    async fn filled(store: &MemoryLog) -> RaftLog<MemoryLog> {
        let (mut log, _) = RaftLog::open(store.clone()).await.expect("an empty log opens");
        let entries = (0..ENTRIES).map(|index| Entry { log_id: log_id(1, index), payload: EntryPayload::Blank });
        let blocking = RaftLogStorage::<TypeConfig<TokioRuntime>>::append(&mut log, entries, IOFlushed::noop());
        blocking.await.expect("a log that syncs takes appends");
        log
    }

    #[tokio::test]
    async fn what_the_tail_let_go_is_read_from_disk() {
        let log = filled(&MemoryLog::default()).await;
        assert!(log.tail().start > 0, "the tail is bounded");
        let entries = log.read_all(0..ENTRIES).await.expect("every entry is there");
        let indexes: Vec<u64> = entries.iter().map(|entry| entry.log_id.index).collect();
        assert_eq!(indexes, (0..ENTRIES).collect::<Vec<_>>());
    }

    async fn streamed(log: &mut RaftLog<MemoryLog>, range: Range<u64>) -> Vec<Result<u64, io::Error>> {
        let entries = RaftLogReader::<TypeConfig<TokioRuntime>>::entries_stream(log, range).await;
        entries.map_ok(|entry| entry.log_id.index).collect().await
    }

    #[tokio::test]
    async fn a_purge_may_overtake_replication_and_never_apply() {
        let mut log = filled(&MemoryLog::default()).await;
        RaftLogStorage::<TypeConfig<TokioRuntime>>::purge(&mut log, log_id(1, 10)).await.expect("nothing fails here");
        let sent = RaftLogReader::<TypeConfig<TokioRuntime>>::limited_get_log_entries(&mut log, 5, 20).await;
        assert!(sent.expect("a snapshot follows").is_empty());
        assert_eq!(log.failure().get(), None, "nothing is wrong with the disk");
        assert!(matches!(streamed(&mut log, 5..20).await.as_slice(), [Err(_)]));
    }

    #[tokio::test]
    async fn apply_is_not_told_that_a_log_ends_where_entries_are_missing() {
        let mut log = filled(&MemoryLog::default()).await;
        let applied = streamed(&mut log, ENTRIES - 1..ENTRIES + 5).await;
        assert!(matches!(applied.as_slice(), [Ok(last), Err(_)] if *last == ENTRIES - 1), "{applied:?}");
    }

    #[tokio::test]
    async fn a_read_that_would_start_later_than_asked_is_an_error() {
        let store = MemoryLog::default();
        let log = filled(&store).await;
        store.records().remove(0);
        assert!(log.read_some(0..10, usize::MAX).await.is_err());
        assert!(log.read_some(1..10, usize::MAX).await.is_ok());
    }

    #[tokio::test]
    async fn what_apply_cannot_read_is_kept_as_damage() {
        let unreadable: fn(&mut Vec<LogRecord>) = |records| records[5].bytes = Bytes::from_static(&[0xff; 7]);
        let missing: fn(&mut Vec<LogRecord>) = |records| drop(records.remove(5));
        for damage in [unreadable, missing] {
            let store = MemoryLog::default();
            let mut log = filled(&store).await;
            damage(&mut store.records());
            let streamed = streamed(&mut log, 0..10).await;
            assert!(streamed.last().is_some_and(Result::is_err), "{streamed:?}");
            let kept = log.failure().get();
            assert!(matches!(kept, Some(StorageError::Corrupt { .. })), "{kept:?}");
        }
    }
}

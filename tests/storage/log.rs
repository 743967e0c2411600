//! The Raft log keeps what it reported, reports in order, and never shows a hole.

use std::fs;
use std::path::{Path, PathBuf};

use stampede::storage::{LogPosition, LogStore, LogWrite, RocksLog, StorageError, Vote, keys};

use crate::support::{append, files_with, flip, position, record, write};

fn open(dir: &Path) -> RocksLog {
    RocksLog::open(dir).unwrap()
}

async fn read(log: &RocksLog, range: std::ops::Range<u64>) -> Vec<u64> {
    log.read(range).await.unwrap().iter().map(|record| record.index).collect()
}

/// The write-ahead log that holds everything, in a log that was written once.
fn write_ahead_log(dir: &Path) -> PathBuf {
    let mut files = files_with(dir, "log");
    files.retain(|path| path.metadata().unwrap().len() > 0);
    assert_eq!(files.len(), 1);
    files.remove(0)
}

fn cut(path: &Path, bytes: u64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - bytes).unwrap();
}

fn assert_damaged(result: Result<impl Sized, StorageError>) {
    let error = result.err().expect("must be refused");
    assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
}

/// Many records in one table of many blocks, nothing in the write-ahead log.
fn in_a_table(dir: &Path) -> PathBuf {
    write(&open(dir), append(0..2_000)).unwrap();
    rocksdb::DB::open_default(dir).unwrap().flush().unwrap();
    files_with(dir, "sst").remove(0)
}

#[tokio::test]
async fn everything_reported_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let vote = Vote { term: 3, node_id: 2, committed: true };
    let log = open(dir.path());
    write(&log, append(0..10)).unwrap();
    write(&log, LogWrite::SaveVote(vote)).unwrap();
    write(&log, LogWrite::SaveCommitted(Some(position(7)))).unwrap();
    drop(log);
    let log = open(dir.path());
    let state = log.state().await.unwrap();
    assert_eq!(
        (state.vote, state.committed, state.purged, state.last),
        (Some(vote), Some(position(7)), None, Some(position(9)))
    );
    assert_eq!(read(&log, 3..6).await, [3, 4, 5]);
    assert_eq!(log.read(4..5).await.unwrap()[0].bytes, record(4, 1).bytes);
    assert_eq!(read(&log, 8..20).await, [8, 9], "records that are not written yet may be missing at the end");
}

#[tokio::test]
async fn writes_are_reported_in_the_order_in_which_they_were_given() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let (done, order) = std::sync::mpsc::channel();
    for index in 0..200 {
        let done = done.clone();
        log.write(append(index..index + 1), Box::new(move |result| done.send((index, result)).unwrap()));
    }
    drop((done, log));
    assert_eq!(order.iter().collect::<Vec<_>>(), (0..200).map(|index| (index, Ok(()))).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_truncated_tail_is_gone_and_can_be_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    write(&log, append(0..10)).unwrap();
    write(&log, LogWrite::Truncate { from_index: 6 }).unwrap();
    assert_eq!(read(&log, 0..20).await, [0, 1, 2, 3, 4, 5]);
    write(&log, LogWrite::Append(vec![record(6, 2)])).unwrap();
    drop(log);
    let log = open(dir.path());
    assert_eq!(log.state().await.unwrap().last, Some(LogPosition { term: 2, index: 6 }));
    assert_eq!(read(&log, 5..20).await, [5, 6]);
}

#[tokio::test]
async fn purged_records_are_gone_and_the_log_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    write(&log, append(0..10)).unwrap();
    write(&log, LogWrite::Purge { through: position(3) }).unwrap();
    assert_eq!(read(&log, 0..6).await, [4, 5], "only what was purged may be missing at the start");
    write(&log, LogWrite::Purge { through: position(20) }).unwrap();
    write(&log, append(21..23)).unwrap();
    write(&log, LogWrite::Purge { through: position(22) }).unwrap();
    drop(log);
    let state = open(dir.path()).state().await.unwrap();
    assert_eq!((state.purged, state.last), (Some(position(22)), Some(position(22))));
}

#[tokio::test]
async fn after_a_failed_write_every_later_one_fails() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    write(&log, append(0..3)).unwrap();
    let error = write(&log, append(5..6)).unwrap_err();
    assert_eq!(error, StorageError::Unusable("the log's next record is 3, not 5".to_owned()));
    assert_eq!(write(&log, append(3..4)), Err(error.clone()));
    assert_eq!(write(&log, LogWrite::SaveCommitted(None)), Err(error));
    assert_eq!(log.state().await.unwrap().last, Some(position(2)));
}

#[tokio::test]
async fn a_missing_record_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    write(&open(dir.path()), append(0..5)).unwrap();
    let remove = |index| rocksdb::DB::open_default(dir.path()).unwrap().delete(keys::log_entry(index)).unwrap();
    remove(2);
    let log = open(dir.path());
    let error = log.read(0..5).await.unwrap_err().to_string();
    assert_eq!(error, "log is damaged: record 2 is missing, the next one is 3");
    assert!(log.read(2..5).await.is_err(), "a read that starts at the hole starts late");
    drop(log);
    remove(0);
    let error = RocksLog::open(dir.path()).err().unwrap().to_string();
    assert_eq!(error, "log is damaged: the first record is 1, must be 0");
}

#[tokio::test]
async fn a_record_that_is_another_one_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    write(&open(dir.path()), append(0..5)).unwrap();
    rocksdb::DB::open_default(dir.path()).unwrap().put(keys::log_entry(2), record(3, 1).bytes).unwrap();
    let error = open(dir.path()).read(0..5).await.unwrap_err().to_string();
    assert_eq!(error, "log record 2 is damaged: it says that it is record 3");
}

#[tokio::test]
async fn a_torn_tail_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    (0..5).for_each(|index| write(&log, append(index..index + 1)).unwrap());
    drop(log);
    cut(&write_ahead_log(dir.path()), 3);
    assert_eq!(open(dir.path()).state().await.unwrap().last, Some(position(3)));
}

#[tokio::test]
async fn damage_before_the_tail_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    (0..5).for_each(|index| write(&log, append(index..index + 1)).unwrap());
    drop(log);
    flip(&write_ahead_log(dir.path()), 1, 2);
    assert_damaged(RocksLog::open(dir.path()));
}

#[tokio::test]
async fn damage_of_a_table_is_damage_when_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    flip(&in_a_table(dir.path()), 1, 3);
    let log = open(dir.path());
    assert_eq!(log.state().await.unwrap().last, Some(position(1_999)));
    assert_damaged(log.read(0..2_000).await);
}

/// A failed seek finds nothing, and the next seek clears its error: the log would seem to begin where it should.
#[tokio::test]
async fn damage_of_the_first_record_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let table = in_a_table(dir.path());
    let log = open(dir.path());
    // Found in what was written last: nothing but the first record is in the first block.
    write(&log, LogWrite::SaveVote(Vote { term: 3, node_id: 2, committed: false })).unwrap();
    write(&log, LogWrite::SaveCommitted(Some(position(9)))).unwrap();
    write(&log, LogWrite::Purge { through: position(9) }).unwrap();
    drop(log);
    flip(&table, 0, 1);
    assert_damaged(RocksLog::open(dir.path()));
}

/// Writes enough to close two write-ahead logs, and returns the first; no record is in a table yet.
fn closed_write_ahead_log(dir: &Path) -> PathBuf {
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_write_buffer_size(64 * 1024);
    options.set_max_write_buffer_number(16);
    options.set_min_write_buffer_number_to_merge(15);
    let db = rocksdb::DB::open(&options, dir).unwrap();
    let mut durably = rocksdb::WriteOptions::default();
    durably.set_sync(true);
    for hundred in 0.. {
        let mut batch = rocksdb::WriteBatch::default();
        (hundred * 100..(hundred + 1) * 100).for_each(|index| batch.put(keys::log_entry(index), record(index, 1).bytes));
        db.write_opt(batch, &durably).unwrap();
        if files_with(dir, "log").len() > 2 {
            break;
        }
    }
    drop(db);
    assert_eq!(files_with(dir, "sst"), [""; 0].map(PathBuf::from));
    files_with(dir, "log").remove(0)
}

/// Both kinds of damage that RocksDB's recovery mode alone takes for a torn tail.
#[test]
fn a_closed_write_ahead_log_that_is_short_or_missing_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    cut(&closed_write_ahead_log(dir.path()), 3);
    assert_damaged(RocksLog::open(dir.path()));
    let dir = tempfile::tempdir().unwrap();
    fs::remove_file(closed_write_ahead_log(dir.path())).unwrap();
    assert_damaged(RocksLog::open(dir.path()));
    let dir = tempfile::tempdir().unwrap();
    closed_write_ahead_log(dir.path());
    open(dir.path());
}

#[test]
fn what_is_reported_is_synced_and_what_is_queued_shares_a_sync() {
    let dir = tempfile::tempdir().unwrap();
    let (log, syncs) = RocksLog::open_counting_syncs(dir.path()).unwrap();
    let vote = Vote { term: 3, node_id: 2, committed: false };
    let kinds = [
        append(0..3),
        LogWrite::SaveVote(vote),
        LogWrite::Truncate { from_index: 2 },
        LogWrite::Purge { through: position(0) },
    ];
    for (number, kind) in (1..).zip(kinds) {
        write(&log, kind).unwrap();
        assert_eq!(syncs.get(), number);
    }
    let before = syncs.get();
    // The writer waits in this callback until the others are queued.
    let (called, reached) = std::sync::mpsc::channel();
    let (release, held) = std::sync::mpsc::channel();
    let wait = move |_| {
        called.send(()).unwrap();
        held.recv().unwrap()
    };
    log.write(append(2..3), Box::new(wait));
    reached.recv().unwrap();
    let (done, order) = std::sync::mpsc::channel();
    for index in 3..203 {
        let (done, syncs) = (done.clone(), syncs.clone());
        log.write(append(index..index + 1), Box::new(move |result| done.send((result, syncs.get())).unwrap()));
    }
    release.send(()).unwrap();
    drop((done, log));
    let reported: Vec<_> = order.iter().collect();
    assert_eq!(reported.len(), 200);
    assert!(reported.iter().all(|seen| *seen == (Ok(()), before + 2)), "one sync for the first and one for the others");
}

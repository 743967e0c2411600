//! The Raft log keeps what it reported, reports in order, and never shows a hole.

use std::fs;
use std::path::{Path, PathBuf};

use stampede::storage::{LogPosition, LogStore, LogWrite, RocksLog, StorageError, Vote, keys};

use crate::support::{append, position, record, write};

fn open(dir: &Path) -> RocksLog {
    RocksLog::open(dir).unwrap()
}

async fn read(log: &RocksLog, range: std::ops::Range<u64>) -> Vec<u64> {
    log.read(range).await.unwrap().iter().map(|record| record.index).collect()
}

/// The write-ahead log that holds everything, in a log that was written once.
fn write_ahead_log(dir: &Path) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "log") && path.metadata().unwrap().len() > 0);
    assert_eq!(files.len(), 1);
    files.remove(0)
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
    let file = fs::OpenOptions::new().write(true).open(write_ahead_log(dir.path())).unwrap();
    file.set_len(file.metadata().unwrap().len() - 3).unwrap();
    assert_eq!(open(dir.path()).state().await.unwrap().last, Some(position(3)));
}

#[tokio::test]
async fn damage_before_the_tail_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    (0..5).for_each(|index| write(&log, append(index..index + 1)).unwrap());
    drop(log);
    let path = write_ahead_log(dir.path());
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(RocksLog::open(dir.path()).is_err());
}

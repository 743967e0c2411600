//! What is on the disk is damaged, and the node finds it while it starts or works: it ends, with the exit code of damage.

use prost::Message;
use stampede::proto::storage::{LogEntry, log_entry};
use stampede::storage::{DataDir, LogPosition, LogRecord, LogStore, LogWrite, RocksLog};

use crate::harness::{Cluster, until};

/// "do not start it again on this data"
const DAMAGED: Option<i32> = Some(21);

/// Leads alone.
fn running_alone() -> Cluster {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    cluster.until_started(1);
    assert!(cluster.stampede(&["init", "--name", "one"]).status.success());
    until("it leads", || cluster.leader() == Some(1));
    cluster
}

/// Works on the log of a node that does not run; all is written when this returns.
fn with_log(cluster: &Cluster, work: impl FnOnce(&RocksLog)) {
    let (log, _ledger) = DataDir::open(&cluster.data_dir(1), 1).unwrap().open_stores().unwrap();
    work(&log);
}

fn write(log: &RocksLog, write: LogWrite) {
    log.write(write, Box::new(|done| done.unwrap()));
}

/// Its frame is whole, so only who wants its commands finds out.
fn undecodable(position: LogPosition) -> LogRecord {
    let payload = Some(log_entry::Payload::Commands(vec![0xff; 7].into()));
    LogRecord { index: position.index, bytes: LogEntry { position: Some(position), payload }.encode_to_vec().into() }
}

#[test]
fn a_committed_entry_that_cannot_be_decoded() {
    let mut cluster = running_alone();
    cluster.kill(1);
    with_log(&cluster, |log| {
        let last = log.read_state().unwrap().last.unwrap();
        let next = LogPosition { index: last.index + 1, ..last };
        write(log, LogWrite::Append(vec![undecodable(next)]));
        write(log, LogWrite::SaveCommitted(Some(next)));
    });
    cluster.start(1);
    assert_eq!(cluster.wait(1).code(), DAMAGED, "{}", cluster.log(1));
}

//! What is on the disk is damaged, and the node finds it while it starts or works: it ends, with the exit code of damage.

use prost::Message;
use stampede::proto::admin::ExportLogRequest;
use stampede::proto::admin::admin_service_client::AdminServiceClient;
use stampede::proto::storage::{LogEntry, log_entry};
use stampede::storage::{DataDir, LogPosition, LogRecord, LogStore, LogWrite, RocksLog};

use crate::harness::{Cluster, until};

/// "do not start it again on this data"
const DAMAGED: Option<i32> = Some(21);

/// Leads alone, and has applied all that is in its log.
fn running_alone() -> Cluster {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    cluster.until_started(1);
    assert!(cluster.stampede(&["init", "--name", "one"]).status.success());
    until("it leads", || cluster.leader() == Some(1));
    assert!(cluster.stampede(&["series", "open", "CPN", "--capacity", "10"]).status.success());
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

#[test]
fn an_applied_entry_that_cannot_be_decoded_when_it_is_exported() {
    let mut cluster = running_alone();
    cluster.kill(1);
    with_log(&cluster, |log| {
        let last = log.read_state().unwrap().last.unwrap();
        write(log, LogWrite::Truncate { from_index: last.index });
        write(log, LogWrite::Append(vec![undecodable(last)]));
    });
    cluster.start(1);
    cluster.until_started(1);
    let exported = runtime().block_on(async {
        let mut admin = AdminServiceClient::connect(format!("http://{}", cluster.admin_address(1))).await.unwrap();
        let mut entries = admin.export_log(ExportLogRequest { from_index: 0 }).await?.into_inner();
        while entries.message().await?.is_some() {}
        Ok::<_, tonic::Status>(())
    });
    // The node may be faster than its answer.
    assert!(exported.is_err());
    assert_eq!(cluster.wait(1).code(), DAMAGED, "{}", cluster.log(1));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

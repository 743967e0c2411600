//! Consensus over what a crash left on disk: nobody may be sent a snapshot that ends before the log begins.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stampede::consensus::{Node, NodeSettings};
use stampede::storage::{DataDir, LedgerStore, LogPosition, LogWrite};
use stampede::transport::peers::Dial;
use stampede::transport::{ClusterIdentity, ClusterNode, GrpcPeers};

use crate::support::{append, entries, position, write};

/// Longer than a start takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn settings() -> NodeSettings {
    NodeSettings {
        node_id: 1,
        cluster_name: "test".to_owned(),
        heartbeat: Duration::from_millis(50),
        election_timeout_min: Duration::from_millis(150),
        election_timeout_max: Duration::from_millis(300),
        snapshot_after_entries: 100_000,
        entries_kept_after_snapshot: 100_000,
        append_entries_max: 64,
        entries_in_flight_max: 4,
    }
}

/// The log has lost what the ledger applied through `through`: it begins behind that, and so does the newest snapshot.
pub(crate) async fn assert_starts_behind_a_snapshot(dir: &Path, through: LogPosition) {
    let data = Arc::new(DataDir::open(dir, 1).unwrap());
    let (log, ledger) = data.open_stores().unwrap();
    let peers = GrpcPeers::new(ClusterIdentity::new(data, [1, 2, 3]), Dial::default());
    let node: ClusterNode =
        Node::start(settings(), log, ledger.clone(), peers, Arc::new(stampede::clock::unix_ms)).await.unwrap();
    let mut changes = node.status_changes();
    while node.status().purged.is_none() {
        assert!(tokio::time::timeout(PATIENCE, changes.changed()).await.expect("the log begins behind the ledger"));
    }
    let status = node.status();
    assert_eq!((status.purged, status.snapshot, status.applied), (Some(through), Some(through), Some(through)));
    assert_eq!(ledger.current_snapshot().unwrap().0, ledger.meta());
    node.shutdown().await;
}

#[tokio::test]
async fn a_log_that_lost_what_the_ledger_applied_begins_behind_a_new_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let (log, ledger) = DataDir::open(dir.path(), 1).unwrap().open_stores().unwrap();
    write(&log, append(0..10)).unwrap();
    ledger.apply(entries(1, 6)).await.unwrap();
    ledger.build_snapshot().await.unwrap();
    ledger.apply(entries(1, 20)[6..].to_vec()).await.unwrap();
    drop((log, ledger));
    assert_starts_behind_a_snapshot(dir.path(), position(19)).await;
}

#[tokio::test]
async fn a_log_that_is_purged_past_the_newest_snapshot_gets_a_newer_one() {
    let dir = tempfile::tempdir().unwrap();
    let (log, ledger) = DataDir::open(dir.path(), 1).unwrap().open_stores().unwrap();
    ledger.apply(entries(1, 6)).await.unwrap();
    ledger.build_snapshot().await.unwrap();
    ledger.apply(entries(1, 20)[6..].to_vec()).await.unwrap();
    write(&log, LogWrite::Purge { through: position(19) }).unwrap();
    drop((log, ledger));
    assert_starts_behind_a_snapshot(dir.path(), position(19)).await;
}

//! Whose a data directory is, and that its parts fit together.

use prost::Message;
use stampede::storage::data_dir::{DataDir, FORMAT_VERSION, NodeIdentity};
use stampede::storage::{LedgerStore, LogWrite};

use crate::support::{append, entries, position, write};

fn refusal(result: Result<impl Sized, stampede::storage::StorageError>) -> String {
    result.err().expect("must be refused").to_string()
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = DataDir::open(dir.path(), 1).unwrap();
    assert!(refusal(DataDir::open(dir.path(), 1)).ends_with("is in use by another process"));
    drop(first);
    DataDir::open(dir.path(), 1).unwrap();
}

#[test]
fn a_directory_keeps_its_node_and_its_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(dir.path(), 1).unwrap();
    assert_eq!(data.identity().cluster_id, "");
    data.set_cluster("c-1", "rush").unwrap();
    data.set_cluster("c-1", "rush").unwrap();
    assert!(refusal(data.set_cluster("c-2", "other")).ends_with("belongs to cluster c-1, not c-2"));
    drop(data);
    assert!(refusal(DataDir::open(dir.path(), 2)).ends_with("belongs to node 1, not to node 2"));
    let identity = DataDir::open(dir.path(), 1).unwrap().identity();
    assert_eq!((identity.cluster_id.as_str(), identity.cluster_name.as_str()), ("c-1", "rush"));
}

#[test]
fn a_newer_format_is_refused_and_damage_is_not_a_new_node() {
    let dir = tempfile::tempdir().unwrap();
    let newer = NodeIdentity { format_version: FORMAT_VERSION + 1, node_id: 1, ..NodeIdentity::default() };
    std::fs::write(dir.path().join("NODE"), newer.encode_to_vec()).unwrap();
    assert!(refusal(DataDir::open(dir.path(), 1)).ends_with("has format 2, this program knows up to 1"));
    std::fs::write(dir.path().join("NODE"), [0xff; 7]).unwrap();
    assert!(refusal(DataDir::open(dir.path(), 1)).contains("is damaged"));
}

#[tokio::test]
async fn a_ledger_behind_the_purged_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(dir.path(), 1).unwrap();
    let (log, ledger) = data.open_stores().unwrap();
    write(&log, append(0..10)).unwrap();
    ledger.apply(entries(1, 5)).await.unwrap();
    write(&log, LogWrite::Purge { through: position(4) }).unwrap();
    drop((log, ledger));
    let (log, ledger) = data.open_stores().expect("at the purged index nothing is missing");
    write(&log, LogWrite::Purge { through: position(7) }).unwrap();
    drop((log, ledger));
    let refused = refusal(data.open_stores());
    assert_eq!(refused, "the ledger has applied index 4, but the log is purged through index 7: entries are missing");
}

//! Whose a data directory is, and that its parts fit together.

use std::fs;
use std::path::Path;

use prost::Message;
use stampede::storage::data_dir::{DataDir, FORMAT_VERSION, NodeIdentity};
use stampede::storage::{LedgerStore, LogStore, LogWrite, StorageError, Vote};

use crate::support::{append, assert_sound, entries, files_with, position, write};

fn refusal(result: Result<impl Sized, StorageError>) -> String {
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
fn another_format_is_refused_and_damage_is_not_a_new_node() {
    let dir = tempfile::tempdir().unwrap();
    for (format_version, told) in [
        (FORMAT_VERSION + 1, "has format 5, this program knows formats 3 to 4"),
        (2, "has format 2, this program knows formats 3 to 4"),
    ] {
        let other = NodeIdentity { format_version, node_id: 1, ..NodeIdentity::default() };
        fs::write(dir.path().join("NODE"), other.encode_to_vec()).unwrap();
        assert!(refusal(DataDir::open(dir.path(), 1)).ends_with(told));
    }
    fs::write(dir.path().join("NODE"), [0xff; 7]).unwrap();
    assert!(refusal(DataDir::open(dir.path(), 1)).contains("is damaged"));
}

#[test]
fn a_directory_of_the_format_before_is_one_of_this_from_its_first_opening_on() {
    let dir = tempfile::tempdir().unwrap();
    drop(DataDir::open(dir.path(), 1).unwrap());
    let (cluster_id, cluster_name) = ("c-1".to_owned(), "rush".to_owned());
    let old = NodeIdentity { format_version: 3, node_id: 1, cluster_id, cluster_name };
    fs::write(dir.path().join("NODE"), old.encode_to_vec()).unwrap();
    let present = NodeIdentity { format_version: FORMAT_VERSION, ..old };
    let data = DataDir::open(dir.path(), 1).unwrap();
    assert_eq!(data.identity(), present);
    data.open_stores().unwrap();
    drop(data);
    assert_eq!(DataDir::identity_at(dir.path()).unwrap(), Some(present));
}

#[test]
fn a_node_without_an_id_asks_for_one_under_the_same_name_again() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(DataDir::identity_at(dir.path()).unwrap(), None);
    let first = DataDir::joiner(dir.path(), || [1; 16]).unwrap();
    assert_eq!((first, DataDir::joiner(dir.path(), || [2; 16]).unwrap()), ([1; 16], [1; 16]));
    DataDir::open(dir.path(), 4).unwrap();
    fs::write(dir.path().join("JOINER"), [1; 7]).unwrap();
    assert!(refusal(DataDir::joiner(dir.path(), || [3; 16])).contains("is damaged"));
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

/// A node that has voted, applied and made a snapshot, and was stopped.
async fn stopped_node(path: &Path) {
    let (log, ledger) = DataDir::open(path, 1).unwrap().open_stores().unwrap();
    write(&log, append(0..10)).unwrap();
    write(&log, LogWrite::SaveVote(Vote { term: 3, node_id: 2, committed: false })).unwrap();
    ledger.apply(entries(1, 8)).await.unwrap();
    ledger.build_snapshot().await.unwrap();
}

fn clear(dir: &Path) {
    fs::remove_dir_all(dir).unwrap();
    fs::create_dir(dir).unwrap();
}

/// Every path under `dir` but what each opening makes anew.
fn tree(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path));
        }
        found.push(path.display().to_string());
    }
    found.sort();
    found
}

type Loss = (&'static str, fn(&Path), &'static str);

/// What an operator, a backup or a file system may lose; and what the refusal names.
const LOSSES: [Loss; 9] = [
    ("the log is emptied", |dir| clear(&dir.join("log")), "no log/CURRENT"),
    ("the log is gone", |dir| fs::remove_dir_all(dir.join("log")).unwrap(), "no log/CURRENT"),
    ("the log's CURRENT is gone", |dir| fs::remove_file(dir.join("log/CURRENT")).unwrap(), "no log/CURRENT"),
    (
        "the log's only write-ahead log is gone",
        |dir| files_with(&dir.join("log"), "log").iter().for_each(|file| fs::remove_file(file).unwrap()),
        "no write-ahead log in log/",
    ),
    ("the ledger is emptied", |dir| clear(&dir.join("ledger")), "no ledger/CURRENT"),
    ("the ledger's CURRENT is gone", |dir| fs::remove_file(dir.join("ledger/CURRENT")).unwrap(), "no ledger/CURRENT"),
    ("the generation in use is emptied", |dir| clear(&dir.join("ledger/1")), "1/CURRENT is missing"),
    ("NODE is gone", |dir| fs::remove_file(dir.join("NODE")).unwrap(), "it has a log that is not empty, but no NODE"),
    (
        "NODE and the log are gone",
        |dir| {
            fs::remove_file(dir.join("NODE")).unwrap();
            clear(&dir.join("log"));
        },
        "it has a ledger that is not empty, but no NODE",
    ),
];

#[tokio::test]
async fn a_part_that_is_missing_is_damage_and_nothing_more_is_removed() {
    for (loss, lose, named) in LOSSES {
        let dir = tempfile::tempdir().unwrap();
        stopped_node(dir.path()).await;
        lose(dir.path());
        let (ledger, snapshots) = (dir.path().join("ledger"), dir.path().join("snapshots"));
        let left = (tree(&ledger), tree(&snapshots));
        // The second start must not be more content than the first.
        for _ in 0..2 {
            let error = DataDir::open(dir.path(), 1).and_then(|data| data.open_stores()).err().expect(loss);
            assert!(matches!(error, StorageError::Corrupt { .. }) && error.to_string().contains(named), "{loss}: {error}");
        }
        let tables = |tree: &[String]| tree.iter().filter(|path| path.ends_with(".sst")).cloned().collect::<Vec<_>>();
        assert!(tables(&left.0).iter().all(|table| tree(&ledger).contains(table)), "{loss}");
        assert_eq!(tree(&snapshots), left.1, "{loss}");
    }
}

#[tokio::test]
async fn without_current_no_generation_is_removed() {
    for generation in ["1", "2"] {
        let dir = tempfile::tempdir().unwrap();
        stopped_node(dir.path()).await;
        fs::remove_file(dir.path().join("NODE")).unwrap();
        clear(&dir.path().join("log"));
        let ledger = dir.path().join("ledger");
        fs::remove_file(ledger.join("CURRENT")).unwrap();
        fs::rename(ledger.join("1"), ledger.join(generation)).unwrap_or_default();
        assert!(refusal(DataDir::open(dir.path(), 1)).contains("CURRENT is missing, but"));
        assert!(!files_with(&ledger.join(generation), "sst").is_empty());
        // With its databases' own name files gone too.
        fs::remove_file(ledger.join(generation).join("CURRENT")).unwrap();
        assert!(refusal(DataDir::open(dir.path(), 1)).contains("CURRENT"));
        assert!(!files_with(&ledger.join(generation), "sst").is_empty());
    }
}

#[tokio::test]
async fn snapshots_that_are_missing_are_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    stopped_node(dir.path()).await;
    fs::remove_dir_all(dir.path().join("snapshots")).unwrap();
    let (log, ledger) = DataDir::open(dir.path(), 1).unwrap().open_stores().unwrap();
    assert_eq!((log.state().await.unwrap().last, ledger.current_snapshot().is_none()), (Some(position(9)), true));
    assert_sound(&ledger);
    ledger.build_snapshot().await.unwrap();
}

//! The process dies at each named point; what does the next start find? This binary starts itself again: the child does the
//! work and aborts at the point, the parent opens what is left.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use stampede::proto::storage::{MemberNode, Membership, VoterSet};
use stampede::storage::crash_point::{POINTS, VARIABLE};
use stampede::storage::{
    CommittedEntry, DataDir, EntryBody, LedgerMeta, LedgerStore, LogState, LogStore, LogWrite, RocksLedger, RocksLog,
};
use tokio_stream::StreamExt;

use crate::start::assert_starts_behind_a_snapshot;
use crate::support::{Twin, append, assert_sound, entries, open_ledger, position, write};

const DIR_VARIABLE: &str = "STAMPEDE_CRASH_TEST_DIR";
/// Entries that the ledgers hold: before the crash, and when the work is done.
const BEFORE: usize = 20;
const AFTER: usize = 40;
/// Longer than the work of a child takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn source_dir(dir: &Path) -> PathBuf {
    dir.join("source")
}

/// As the next start of the node does.
fn open_stores(dir: &Path) -> (RocksLog, RocksLedger) {
    DataDir::open(dir, 1).unwrap().open_stores().unwrap()
}

/// The work of the child; it never ends, because the crash point is on its way. Without the variables it is nobody's child.
#[tokio::test]
async fn child() {
    let (Ok(point), Ok(dir)) = (std::env::var(VARIABLE), std::env::var(DIR_VARIABLE)) else { return };
    let dir = PathBuf::from(dir);
    let (log, ledger) = open_stores(&dir);
    match point.split('.').next().unwrap() {
        "data_dir" => DataDir::open(&dir, 1).unwrap().set_cluster("c-1", "rush").unwrap(),
        "log" if point.starts_with("log.append") => write(&log, append(5..8)).unwrap(),
        "log" if point.starts_with("log.truncate") => write(&log, LogWrite::Truncate { from_index: 3 }).unwrap(),
        "log" => write(&log, LogWrite::Purge { through: position(2) }).unwrap(),
        "ledger" if point == "ledger.apply.joint" => drop(ledger.apply(vec![joint()]).await.unwrap()),
        "ledger" => drop(ledger.apply(entries(1, AFTER as u64)[BEFORE..].to_vec()).await.unwrap()),
        "snapshot" if point.starts_with("snapshot.build") => drop(ledger.build_snapshot().await.unwrap()),
        "snapshot" if point.starts_with("snapshot.remove") => outdate_a_snapshot(&ledger).await,
        "snapshot" => install(&dir, &ledger).await,
        _ => {}
    }
}

/// What a leader leaves that dies half-way through a change of the voters.
fn joint() -> CommittedEntry {
    let voter_sets = [vec![1, 2, 3], vec![1, 2, 4]].map(|node_ids| VoterSet { node_ids }).to_vec();
    let nodes = (1..=4).map(|node_id| MemberNode { node_id, ..MemberNode::default() }).collect();
    CommittedEntry { position: position(BEFORE as u64), body: EntryBody::Membership(Membership { voter_sets, nodes }) }
}

async fn is_joint_still(dir: &Path) {
    let (_, ledger) = open_stores(dir);
    let meta = ledger.meta();
    let EntryBody::Membership(expected) = joint().body else { panic!("a membership") };
    assert_eq!(meta.applied, Some(position(BEFORE as u64)));
    assert_eq!(meta.membership.and_then(|applied| applied.membership), Some(expected));
    assert_eq!(meta.cluster.next_node_id, 5, "its members' ids are spent, however it ends");
}

/// Two newer snapshots are kept; the removal of the first is another thread's.
async fn outdate_a_snapshot(ledger: &RocksLedger) {
    ledger.build_snapshot().await.unwrap();
    for entry in entries(1, AFTER as u64)[BEFORE..BEFORE + 2].iter().cloned() {
        ledger.apply(vec![entry]).await.unwrap();
        ledger.build_snapshot().await.unwrap();
    }
    let _ended_in_vain = tokio::time::timeout(PATIENCE, std::future::pending::<()>()).await;
}

async fn install(dir: &Path, target: &RocksLedger) {
    let source = open_ledger(&source_dir(dir)).unwrap();
    let (_, snapshot) = source.current_snapshot().unwrap();
    let mut receiver = target.receive_snapshot(snapshot.manifest().clone()).unwrap();
    let mut chunks = snapshot.chunks();
    while let Some(chunk) = chunks.next().await {
        receiver.write(chunk.unwrap()).await.unwrap();
    }
    let received = receiver.finish().await.unwrap();
    target.install_snapshot(received).await.unwrap();
}

async fn prepare(dir: &Path, point: &str) {
    if point.contains(".create.") {
        return;
    }
    let (log, ledger) = open_stores(dir);
    write(&log, append(0..5)).unwrap();
    ledger.apply(entries(1, BEFORE as u64)).await.unwrap();
    if point.starts_with("snapshot.install") {
        ledger.build_snapshot().await.unwrap();
    }
    let source = open_ledger(&source_dir(dir)).unwrap();
    source.apply(entries(1, AFTER as u64)).await.unwrap();
    source.build_snapshot().await.unwrap();
}

fn crash_at(point: &str, dir: &Path) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["crash::child", "--exact", "--nocapture"]).env(VARIABLE, point).env(DIR_VARIABLE, dir);
    child.output().unwrap()
}

#[tokio::test]
async fn crash_points_leave_what_they_promise() {
    for point in POINTS {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path();
        prepare(dir, point).await;
        let output = crash_at(point, dir);
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), None, "{point}: the child must die by a signal\n{shown}");
        match point {
            "data_dir.create.after_log" => first_start_goes_on(dir, &["LOCK", "log"]).await,
            "ledger.create.before_current" => first_start_goes_on(dir, &["LOCK", "ledger", "log"]).await,
            "data_dir.create.before_identity" => {
                first_start_goes_on(dir, &["LOCK", "NODE.tmp", "ledger", "log", "snapshots"]).await;
            }
            "data_dir.create.after_identity" => {
                first_start_goes_on(dir, &["LOCK", "NODE", "ledger", "log", "snapshots"]).await;
            }
            "data_dir.set_cluster.before_rename" => cluster_is(dir, ""),
            "data_dir.set_cluster.after_rename" => cluster_is(dir, "c-1"),
            "log.append.before_write" => log_holds(dir, 0..5).await,
            "log.append.before_done" => log_holds(dir, 0..8).await,
            "log.truncate.before_write" => log_holds(dir, 0..5).await,
            "log.truncate.before_done" => log_holds(dir, 0..3).await,
            "log.purge.before_write" => log_holds(dir, 0..5).await,
            "log.purge.before_done" => log_holds(dir, 3..5).await,
            "ledger.apply.before_write" => ledger_holds(dir, BEFORE, &[]).await,
            "ledger.apply.joint" => is_joint_still(dir).await,
            "ledger.apply.before_answer" => ledger_holds(dir, AFTER, &[]).await,
            "snapshot.build.before_manifest" | "snapshot.build.before_rename" => ledger_holds(dir, BEFORE, &[]).await,
            "snapshot.build.after_rename" => ledger_holds(dir, BEFORE, &[BEFORE]).await,
            "snapshot.remove.after_rename" => {
                assert!(names(dir, "snapshots").contains(&"removing-0".to_owned()));
                ledger_holds(dir, BEFORE + 2, &[BEFORE + 1, BEFORE + 2]).await;
            }
            "snapshot.receive.before_finish" => ledger_holds(dir, BEFORE, &[]).await,
            "snapshot.install.after_verify" | "snapshot.install.before_switch" => ledger_holds(dir, BEFORE, &[BEFORE]).await,
            "snapshot.install.after_switch" => {
                ledger_holds(dir, AFTER, &[BEFORE]).await;
                let again = tempfile::tempdir().unwrap();
                prepare(again.path(), point).await;
                crash_at(point, again.path());
                assert_starts_behind_a_snapshot(again.path(), position(AFTER as u64 - 1)).await;
            }
            "snapshot.install.after_adopt" => ledger_holds(dir, AFTER, &[BEFORE, AFTER]).await,
            _ => panic!("crash point {point} has no test"),
        }
    }
}

fn names(dir: &Path, of: &str) -> Vec<String> {
    let entries = std::fs::read_dir(dir.join(of)).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Nothing was acknowledged: the next start makes the rest, and has an empty node.
async fn first_start_goes_on(dir: &Path, left: &[&str]) {
    assert_eq!(names(dir, ""), left);
    let (log, ledger) = open_stores(dir);
    assert_eq!((log.state().await.unwrap(), ledger.meta()), (LogState::default(), LedgerMeta::default()));
    assert_eq!((names(dir, "ledger"), names(dir, "snapshots")), (vec!["1".to_owned(), "CURRENT".to_owned()], Vec::new()));
    write(&log, append(0..5)).unwrap();
    ledger.apply(entries(1, 5)).await.unwrap();
    drop((log, ledger));
    let (log, ledger) = open_stores(dir);
    assert_eq!((log.state().await.unwrap().last, ledger.meta().applied), (Some(position(4)), Some(position(4))));
}

/// Bound or not, it opens whole, and is bound for good by the same call.
fn cluster_is(dir: &Path, cluster_id: &str) {
    assert_eq!(DataDir::open(dir, 1).unwrap().identity().cluster_id, cluster_id);
    drop(open_stores(dir));
    let data = DataDir::open(dir, 1).unwrap();
    data.set_cluster("c-1", "rush").unwrap();
    data.set_cluster("c-2", "other").unwrap_err();
    assert_eq!((data.identity().cluster_id.as_str(), data.identity().node_id), ("c-1", 1));
}

async fn log_holds(dir: &Path, records: std::ops::Range<u64>) {
    let (log, _) = open_stores(dir);
    let found: Vec<u64> = log.read(0..100).await.unwrap().iter().map(|record| record.index).collect();
    assert_eq!(found, records.clone().collect::<Vec<_>>());
    let state = log.state().await.unwrap();
    assert_eq!(
        (state.purged.map_or(0, |purged| purged.index + 1), state.last),
        (records.start, Some(position(records.end - 1)))
    );
    // And it goes on.
    write(&log, append(records.end..records.end + 2)).unwrap();
}

/// `count` entries are applied, whole, and these snapshots of so many entries are there; nothing else is left; every kind of
/// work can be done again.
async fn ledger_holds(dir: &Path, count: usize, snapshots: &[usize]) {
    let all = entries(1, AFTER as u64);
    let (log, ledger) = open_stores(dir);
    assert_eq!(ledger.meta(), Twin::of(&all[..count]).meta);
    assert_eq!(log.state().await.unwrap().last, Some(position(4)));
    assert_sound(&ledger);
    let current = ledger.current_snapshot().map(|(meta, _)| meta);
    assert_eq!(current, snapshots.last().map(|count| Twin::of(&all[..*count]).meta));
    let expected: Vec<_> = snapshots.iter().map(|count| format!("{}-1", count - 1)).collect();
    assert_eq!((names(dir, "ledger").len(), names(dir, "snapshots")), (2, expected));

    ledger.build_snapshot().await.unwrap();
    ledger.apply(all[count..].to_vec()).await.unwrap();
    assert_eq!(ledger.meta(), Twin::of(&all).meta);
    install(dir, &ledger).await;
    drop((log, ledger));
    let (_, ledger) = open_stores(dir);
    assert_eq!(ledger.meta(), Twin::of(&all).meta);
    assert_sound(&ledger);
}

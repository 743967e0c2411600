//! The process dies at each named point; what does the next start find? This binary starts itself again: the child does the
//! work and aborts at the point, the parent opens what is left.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use stampede::storage::crash_point::{POINTS, VARIABLE};
use stampede::storage::{LedgerStore, LogStore, LogWrite, RocksLog};
use tokio_stream::StreamExt;

use crate::support::{Twin, append, assert_sound, entries, open_ledger, position, write};

const DIR_VARIABLE: &str = "STAMPEDE_CRASH_TEST_DIR";
/// Entries that the ledgers hold: before the crash, and when the work is done.
const BEFORE: usize = 20;
const AFTER: usize = 40;

fn log_dir(dir: &Path) -> PathBuf {
    dir.join("log")
}

fn source_dir(dir: &Path) -> PathBuf {
    dir.join("source")
}

/// The work of the child; it never ends, because the crash point is on its way.
#[tokio::test]
#[ignore = "started by crash_points_leave_what_they_promise"]
async fn child() {
    let (Ok(point), Ok(dir)) = (std::env::var(VARIABLE), std::env::var(DIR_VARIABLE)) else { return };
    let dir = PathBuf::from(dir);
    if point.starts_with("log.") {
        let log = RocksLog::open(&log_dir(&dir)).unwrap();
        let work = if point.starts_with("log.append") { append(5..8) } else { LogWrite::Purge { through: position(2) } };
        write(&log, work).unwrap();
    } else if point.starts_with("ledger.apply") {
        let ledger = open_ledger(&dir).unwrap();
        ledger.apply(entries(1, AFTER as u64)[BEFORE..].to_vec()).await.unwrap();
    } else if point.starts_with("snapshot.build") {
        open_ledger(&dir).unwrap().build_snapshot().await.unwrap();
    } else {
        install(&dir).await;
    }
}

async fn install(dir: &Path) {
    let source = open_ledger(&source_dir(dir)).unwrap();
    let (_, snapshot) = source.current_snapshot().unwrap();
    let target = open_ledger(dir).unwrap();
    let mut receiver = target.receive_snapshot(snapshot.manifest().clone()).unwrap();
    let mut chunks = snapshot.chunks();
    while let Some(chunk) = chunks.next().await {
        receiver.write(chunk.unwrap()).await.unwrap();
    }
    let received = receiver.finish().await.unwrap();
    target.install_snapshot(received).await.unwrap();
}

async fn prepare(dir: &Path) {
    let log = RocksLog::open(&log_dir(dir)).unwrap();
    write(&log, append(0..5)).unwrap();
    let ledger = open_ledger(dir).unwrap();
    ledger.apply(entries(1, BEFORE as u64)).await.unwrap();
    let source = open_ledger(&source_dir(dir)).unwrap();
    source.apply(entries(1, AFTER as u64)).await.unwrap();
    source.build_snapshot().await.unwrap();
}

fn crash_at(point: &str, dir: &Path) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["crash::child", "--exact", "--ignored", "--nocapture"]).env(VARIABLE, point).env(DIR_VARIABLE, dir);
    child.output().unwrap()
}

#[tokio::test]
async fn crash_points_leave_what_they_promise() {
    for point in POINTS {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path()).await;
        let output = crash_at(point, dir.path());
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), None, "{point}: the child must die by a signal\n{shown}");
        match point {
            "log.append.before_write" => log_holds(dir.path(), 0..5).await,
            "log.append.before_done" => log_holds(dir.path(), 0..8).await,
            "log.purge.before_write" => log_holds(dir.path(), 0..5).await,
            "log.purge.before_done" => log_holds(dir.path(), 3..5).await,
            "ledger.apply.before_write" => ledger_holds(dir.path(), BEFORE, false).await,
            "ledger.apply.before_answer" => ledger_holds(dir.path(), AFTER, false).await,
            "snapshot.build.before_manifest" | "snapshot.build.before_rename" => ledger_holds(dir.path(), BEFORE, false).await,
            "snapshot.build.after_rename" => ledger_holds(dir.path(), BEFORE, true).await,
            "snapshot.install.after_verify" | "snapshot.install.before_switch" => ledger_holds(dir.path(), BEFORE, false).await,
            "snapshot.install.after_switch" => ledger_holds(dir.path(), AFTER, false).await,
            _ => panic!("crash point {point} has no test"),
        }
    }
}

async fn log_holds(dir: &Path, records: std::ops::Range<u64>) {
    let log = RocksLog::open(&log_dir(dir)).unwrap();
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

/// `count` entries are applied, whole; nothing else is left; every kind of work can be done again.
async fn ledger_holds(dir: &Path, count: usize, snapshot: bool) {
    let all = entries(1, AFTER as u64);
    let ledger = open_ledger(dir).unwrap();
    assert_eq!(ledger.meta(), Twin::of(&all[..count]).meta);
    assert_sound(&ledger);
    let current = ledger.current_snapshot().map(|(meta, _)| meta);
    assert_eq!(current, snapshot.then(|| ledger.meta()));
    let directories =
        |of: &str| std::fs::read_dir(dir.join(of)).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
    assert_eq!((directories("ledger"), directories("snapshots")), (1, usize::from(snapshot)));

    ledger.build_snapshot().await.unwrap();
    ledger.apply(all[count..].to_vec()).await.unwrap();
    assert_eq!(ledger.meta(), Twin::of(&all).meta);
    drop(ledger);
    install(dir).await;
    let ledger = open_ledger(dir).unwrap();
    assert_eq!(ledger.meta(), Twin::of(&all).meta);
    assert_sound(&ledger);
}

//! What a cluster does with the disks of its nodes when a fault, or somebody else, leaves them in disorder.
//!
//! Needs root and loop devices (`disks_here`).

// A failed unwrap is a failed test.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, unreachable_pub)]

mod deaf;
mod disks_here;
mod healed;

use std::fs;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use disks_here::has_disks;
use healed::HealedAtTheEnd;
use nix::fcntl::{FallocateFlags, fallocate};
use stampede_chaos::cluster::{Cluster, Node};
use stampede_chaos::disk::Disk;
use stampede_chaos::history::HistoryWriter;
use stampede_chaos::scenario::Scenario;
use stampede_chaos::undo::{Confirmed, heal, scan};

const TOOL: &str = env!("CARGO_BIN_EXE_stampede-chaos");

/// Of programs that are no nodes, each with a disk.
async fn cluster_with_disks(folder: &Path) -> (Cluster, HistoryWriter) {
    let (scenario, _) = Scenario::load("power-cut").unwrap();
    deaf::cluster(&scenario, folder, TOOL).await
}

fn disk(node: &Node) -> &Disk {
    node.disk().expect("the scenario needs disks")
}

fn can_write(disk: &Disk) -> bool {
    File::create(disk.at().join("file")).and_then(|file| file.sync_all()).is_ok()
}

#[tokio::test]
async fn a_disk_that_a_fault_left_dead_or_full_is_healed_and_its_node_started_on_it() {
    if !has_disks(TOOL) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let _healed = HealedAtTheEnd(run.clone());
    let (cluster, _writer) = cluster_with_disks(folder.path()).await;
    let (dead, full) = (cluster.node(1), cluster.node(2));
    dead.start().await.unwrap();
    disk(dead).cut_power().unwrap();
    fs::write(disk(full).at().join("filler"), "half of it").unwrap();
    assert!(!can_write(disk(dead)));
    let healed = async {
        while !(can_write(disk(dead)) && dead.is_running() && full.is_running() && !disk(full).at().join("filler").exists()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        result = cluster.heal() => panic!("programs that answer nothing are no nodes: {result:?}"),
        () = healed => {}
    }
    cluster.kill(Duration::from_secs(5)).await;
    cluster.release_disks();
    assert_eq!(scan(&run).unwrap(), Vec::<String>::new());
}

/// Appends as a log does, and says which record is the last that the disk called durable, until the disk fails.
fn append_until_it_fails(path: &Path, durable: &AtomicU64) {
    let file = File::create(path).unwrap();
    // As a database does with its log: room is there, and the size grows with each record.
    fallocate(&file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, RECORDS_ROOM).unwrap();
    for nth in 1_u64.. {
        if file.write_all_at(&record(nth), (nth - 1) * RECORD_BYTES).and_then(|()| file.sync_data()).is_err() {
            return;
        }
        durable.store(nth, Ordering::SeqCst);
    }
}

const RECORD_BYTES: u64 = 512;
const RECORDS_ROOM: i64 = 4 << 20;

fn record(nth: u64) -> Vec<u8> {
    nth.to_le_bytes().repeat(RECORD_BYTES as usize / 8)
}

/// Linux tells a sync that is under way while a file system is shut down without flushing that it succeeded, in about one of eight
/// tries. A drill that did so lost what nodes had acknowledged.
#[tokio::test]
async fn what_a_failing_disk_called_durable_is_there_when_it_is_mounted_again() {
    if !has_disks(TOOL) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let _healed = HealedAtTheEnd(run.clone());
    let (cluster, _writer) = cluster_with_disks(folder.path()).await;
    let disk = disk(cluster.node(1));
    for round in 0..40 {
        let (path, durable) = (disk.at().join("log"), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let _fails = scope.spawn(|| append_until_it_fails(&path, &durable));
            while durable.load(Ordering::SeqCst) < 5 + round {
                std::thread::yield_now();
            }
            disk.fail().unwrap();
        });
        disk.revive().unwrap();
        let kept = fs::read(&path).unwrap();
        for nth in 1..=durable.into_inner() {
            let place = ((nth - 1) * RECORD_BYTES) as usize..(nth * RECORD_BYTES) as usize;
            assert_eq!(kept.get(place), Some(record(nth).as_slice()), "record {nth} of round {round}");
        }
        fs::remove_file(&path).unwrap();
    }
    cluster.release_disks();
    assert_eq!(scan(&run).unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_disk_that_somebody_uses_keeps_no_other_from_being_unmounted() {
    if !has_disks(TOOL) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let _healed = HealedAtTheEnd(run.clone());
    let (cluster, _writer) = cluster_with_disks(folder.path()).await;
    let somebody = File::create(disk(cluster.node(1)).at().join("file")).unwrap();
    cluster.release_disks();
    let mounted: Vec<bool> = cluster.nodes().iter().map(|node| disk(node).is_mounted()).collect();
    drop(somebody);
    assert_eq!(mounted, [true, false, false]);
    assert_eq!(
        heal(&run, Duration::ZERO, &Confirmed::default()).unwrap().left,
        Vec::<String>::new(),
        "who used it for a moment does no harm"
    );
}

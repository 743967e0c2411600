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
use std::path::Path;
use std::time::Duration;

use disks_here::has_disks;
use healed::HealedAtTheEnd;
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

//! An auditor's day: the record outlives the log, the leader and the replica that it was begun with.

use std::fs;

use serde_json::Value;

use crate::harness::{Cluster, until};
use crate::rejoin::place_orders;

const PURGED: &str = "stampede_raft_purged_index";

fn head(cluster: &Cluster, node: u64) -> Value {
    let told = cluster.stampede_at(node, &["audit", "head", "-o", "json"]);
    serde_json::from_slice::<Value>(&told.stdout).unwrap()["audit_head"].clone()
}

#[test]
fn the_audit_record_is_exported_resumed_at_another_node_and_verified_from_the_file_alone() {
    let mut cluster = Cluster::running_with(&["raft.snapshot_after_entries=100", "raft.entries_kept_after_snapshot=0"]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("audit.jsonl");
    let file = file.to_str().unwrap();
    let (leader, lagging) = {
        let leader = cluster.leader().unwrap();
        (leader, cluster.nodes().into_iter().find(|node| *node != leader).unwrap())
    };
    cluster.kill(lagging);
    place_orders(cluster.client_address(leader), 300);
    until("the log no longer reaches back", || cluster.figure(leader, PURGED).is_some_and(|purged| purged >= 100));
    let first = cluster.stampede_at(leader, &["audit", "export", file, "-o", "json"]);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let noted = serde_json::from_slice::<Value>(&first.stdout).unwrap()["audit_head"].clone();

    // What the other node missed came to it in a snapshot, and the leader goes.
    cluster.start(lagging);
    until("all hold the same", || cluster.same_digest());
    cluster.kill(leader);
    until("another leads", || cluster.leader().is_some());
    let placed = cluster.json(None, &["order", "place", "--series", "CPN", "--quantity", "2"]);
    cluster.json(None, &["order", "pay", placed["order_id"].as_str().unwrap()]);
    let resumed = cluster.stampede_at(lagging, &["audit", "export", file, "-o", "json"]);
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    assert_eq!(serde_json::from_slice::<Value>(&resumed.stdout).unwrap()["audit_head"], head(&cluster, lagging));

    let verify = ["audit", "verify", file, "--known-head", noted.as_str().unwrap()];
    let verified = cluster.json(None, &verify);
    assert_eq!((&verified["serials_issued"], &verified["received_idr"]), (&2.into(), &20_000.into()));
    assert_eq!(verified["audit_head"], head(&cluster, lagging));
    for node in cluster.nodes().into_iter().filter(|node| *node != leader) {
        let checked = cluster.stampede_at(node, &["check", "invariants"]);
        assert!(checked.status.success(), "node {node}: {}", String::from_utf8_lossy(&checked.stderr));
    }

    // A cluster that ends where the file's last record would stand is another one, however little it says.
    let other = Cluster::running();
    let ahead = dir.path().join("ahead.jsonl");
    let applied: u64 = other.figure(1, "stampede_raft_applied_index").unwrap();
    let lines = fs::read_to_string(file).unwrap();
    let at = lines.lines().position(|line| line.contains(&format!("\"index\":{},", applied + 1))).unwrap();
    fs::write(&ahead, lines.lines().take(at + 1).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let foreign = other.stampede_at(1, &["audit", "export", ahead.to_str().unwrap()]);
    assert_eq!(foreign.status.code(), Some(12), "{}", String::from_utf8_lossy(&foreign.stderr));

    // One stamp more than was paid for, in a file that is whole otherwise.
    let lines = fs::read_to_string(file).unwrap();
    fs::write(file, lines.replace("\"stamps\":2", "\"stamps\":3")).unwrap();
    let forged = cluster.stampede(&verify);
    let told = String::from_utf8_lossy(&forged.stderr).into_owned();
    assert!(forged.status.code() == Some(12) && told.contains("says something else than its record"), "{told}");

    let events = cluster.stampede_at(lagging, &["events", "--limit", "302"]);
    let events = String::from_utf8(events.stdout).unwrap();
    let last: Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
    assert_eq!((events.lines().count(), &last["event"]), (302, &"order_placed".into()), "a series, 300 orders, one more");
}

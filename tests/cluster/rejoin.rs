//! A node comes back later than the others' logs reach.

use stampede::proto::v1::PlaceOrderRequest;
use stampede::proto::v1::issuance_service_client::IssuanceServiceClient as Client;

use crate::harness::{Cluster, until};

/// The least that the configuration takes.
const SNAPSHOT_AFTER: u64 = 100;
/// Enough for a snapshot and a purge behind it, and for entries after them: one call at a time is one entry a call.
const ORDERS: u64 = 3 * SNAPSHOT_AFTER;

const TOLERANCE: &str = "stampede_raft_failure_tolerance";
const PURGED: &str = "stampede_raft_purged_index";

/// Orders one after the other at `address`.
pub(crate) fn place_orders(address: String, orders: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = Client::connect(format!("http://{address}")).await.unwrap();
        for _ in 0..orders {
            let order_id = uuid::Uuid::now_v7().to_string();
            let order = PlaceOrderRequest { order_id, account_id: "load".into(), series_code: "CPN".into(), quantity: 1 };
            client.place_order(order).await.unwrap();
        }
    });
}

fn logs(cluster: &Cluster) -> Vec<String> {
    cluster.nodes().into_iter().map(|node| cluster.log(node)).collect()
}

#[test]
fn a_follower_that_missed_what_the_log_has_purged_rejoins_by_snapshot() {
    let mut cluster = Cluster::running_with(&["raft.snapshot_after_entries=100", "raft.entries_kept_after_snapshot=0"]);
    let leader = cluster.leader().unwrap();
    let follower = cluster.nodes().into_iter().find(|node| *node != leader).unwrap();
    until("one may fail", || cluster.figure(leader, TOLERANCE) == Some(1));
    cluster.kill(follower);
    until("no other may fail", || cluster.figure(leader, TOLERANCE) == Some(0));
    place_orders(cluster.client_address(leader), ORDERS);
    until("the leader has purged its log past the follower's", || {
        cluster.figure(leader, PURGED).is_some_and(|purged| purged >= SNAPSHOT_AFTER)
    });

    cluster.start(follower);
    until("all hold the same", || cluster.same_digest());
    let sent = logs(&cluster).iter().any(|log| log.contains("sending a snapshot"));
    assert!(sent, "there is no other way back");
    assert_eq!(cluster.stampede(&["status"]).status.code(), Some(0));

    // What it took over is its own from now on.
    cluster.kill(follower);
    cluster.start(follower);
    place_orders(cluster.client_address(leader), 1);
    until("all hold the same again", || cluster.same_digest());
}

#[test]
fn a_leader_that_cannot_read_its_own_snapshot_ends_and_another_sends_one() {
    let mut cluster = Cluster::running_with(&["raft.snapshot_after_entries=100", "raft.entries_kept_after_snapshot=0"]);
    let leader = cluster.leader().unwrap();
    let follower = cluster.nodes().into_iter().find(|node| *node != leader).unwrap();
    cluster.kill(follower);
    place_orders(cluster.client_address(leader), ORDERS);
    until("the leader will build no more snapshots, and has purged its log behind the last", || {
        let [applied, snapshot, purged] = ["stampede_raft_applied_index", "stampede_raft_snapshot_index", PURGED]
            .map(|name| cluster.figure(leader, name).unwrap_or(0));
        purged >= SNAPSHOT_AFTER && purged == snapshot && applied < snapshot + SNAPSHOT_AFTER
    });
    // The ledger keeps its own links to the same files.
    for snapshot in std::fs::read_dir(cluster.data_dir(leader).join("snapshots")).unwrap() {
        for file in std::fs::read_dir(snapshot.unwrap().path()).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_some_and(|kind| kind == "sst") {
                std::fs::remove_file(file).unwrap();
            }
        }
    }

    cluster.start(follower);
    assert_eq!(cluster.wait(leader).code(), Some(21), "{}", cluster.log(leader));
    let placed = || cluster.stampede(&["order", "place", "--series", "CPN", "--timeout", "1s"]).status.success();
    until("two of three are a majority", placed);
}

#[test]
fn a_member_whose_disk_was_emptied_is_refused_by_name_and_the_cluster_goes_on() {
    let mut cluster = Cluster::running();
    let leader = cluster.leader().unwrap();
    let emptied = cluster.nodes().into_iter().find(|node| *node != leader).unwrap();
    cluster.kill(emptied);
    cluster.empty_disk(emptied);
    cluster.start(emptied);
    until("it says why nobody hears it", || {
        let told = format!("this node {emptied} belongs to no cluster: its disk was emptied");
        cluster.log(emptied).contains(&told)
    });
    place_orders(cluster.client_address(leader), SNAPSHOT_AFTER);
    let waits = cluster.http(emptied, "/readyz?verbose").unwrap();
    assert_eq!(waits.0, 503, "{}", waits.1);
    let again = cluster.stampede_at(emptied, &["init", "--name", "test"]);
    assert!(!again.status.success(), "no second cluster is made of members of the first");
    assert!(String::from_utf8_lossy(&again.stderr).contains("belongs to cluster"), "{again:?}");

    // Its old voice does not count: with one of the others gone there is no majority.
    let other = cluster.nodes().into_iter().find(|node| ![leader, emptied].contains(node)).unwrap();
    cluster.kill(other);
    let alone = cluster.stampede(&["order", "place", "--series", "CPN", "--timeout", "1s"]);
    assert!(!alone.status.success(), "one of three acknowledged: {alone:?}");
    cluster.start(other);
    let placed = || cluster.stampede(&["order", "place", "--series", "CPN", "--timeout", "1s"]).status.success();
    until("two of three are a majority", placed);
}

#[test]
fn a_cluster_is_not_made_while_a_member_is_away_and_is_made_at_any_when_it_is_there() {
    let mut cluster = Cluster::new(3);
    for node in [1, 2] {
        cluster.start(node);
        cluster.until_started(node);
    }
    let made = cluster.stampede(&["init", "--name", "test"]);
    let told = String::from_utf8_lossy(&made.stderr);
    assert!(!made.status.success() && told.contains("member 3 at") && told.contains("start every member"), "{told}");
    assert!(told.contains("nothing was changed"), "{told}");
    cluster.start(3);
    cluster.until_started(3);
    let made = cluster.stampede_at(3, &["init", "--name", "other"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    until("all are in it", || cluster.stampede(&["status"]).status.success());
}

#[test]
fn inits_that_race_at_different_members_end_in_one_cluster() {
    let mut cluster = Cluster::new(3);
    for node in cluster.nodes() {
        cluster.start(node);
    }
    for node in cluster.nodes() {
        cluster.until_started(node);
    }
    let answers: Vec<_> = std::thread::scope(|scope| {
        let init = |node| cluster.stampede_at(node, &["init", "--name", "test", "-o", "json"]);
        let racing: Vec<_> = cluster.nodes().into_iter().map(|node| scope.spawn(move || init(node))).collect();
        racing.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    let mut made: Vec<_> = answers.iter().filter(|answer| answer.status.success()).map(|answer| &answer.stdout).collect();
    made.dedup();
    assert_eq!(made.len(), 1, "{answers:?}");
    until("all are in it", || cluster.stampede(&["status"]).status.success());
}

//! A node comes back later than the others' logs reach.

use stampede::proto::v1::PlaceOrderRequest;
use stampede::proto::v1::issuance_service_client::IssuanceServiceClient as Client;

use crate::harness::{Cluster, until};

/// The least that the configuration takes.
const SNAPSHOT_AFTER: u64 = 100;
/// Enough for a snapshot and a purge behind it, and for entries after them: one call at a time is one entry a call.
const ORDERS: u64 = 3 * SNAPSHOT_AFTER;

/// Orders one after the other at `address`.
fn place_orders(address: String, orders: u64) {
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
    cluster.kill(follower);
    place_orders(cluster.client_address(leader), ORDERS);
    until("the leader has purged its log past the follower's", || {
        cluster.purged(leader).is_some_and(|purged| purged >= SNAPSHOT_AFTER)
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

//! Disks with less room than their floor: new orders are refused by name, or leadership moves; nothing is lost, and with room again
//! orders are taken again by themselves.

use serde_json::Value;
use stampede::proto::v1::PlaceOrderRequest;
use stampede::proto::v1::issuance_service_client::IssuanceServiceClient as Client;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{Cluster, until};
use crate::own_disks::{OwnDisk, way_to_mount};

/// The floor; and elections so slow that on a machine that does much else none comes by itself.
const SETTINGS: [&str; 4] =
    ["node.disk_floor=64MiB", "raft.heartbeat=100ms", "raft.election_timeout_min=2s", "raft.election_timeout_max=3s"];
/// Mebibytes: below the floor, and far from full.
const LOW_MIB: u64 = 40;

/// Three nodes that serve, each with a disk of its own, in the order of their ids.
fn with_own_disks(way: &[&str]) -> (Cluster, Vec<OwnDisk>) {
    let mut cluster = Cluster::with_settings(3, &SETTINGS);
    let disks = cluster.nodes().into_iter().map(|node| OwnDisk::start(&mut cluster, node, way)).collect();
    for node in cluster.nodes() {
        cluster.until_started(node);
    }
    cluster.form();
    (cluster, disks)
}

fn disk(disks: &[OwnDisk], node: u64) -> &OwnDisk {
    &disks[usize::try_from(node).unwrap() - 1]
}

/// Places an order of one stamp at this node; returns its id.
fn place(cluster: &Cluster, node: u64) -> Result<String, Status> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let order_id = uuid::Uuid::now_v7().to_string();
    let request =
        PlaceOrderRequest { order_id: order_id.clone(), account_id: "portal".into(), series_code: "CPN".into(), quantity: 1 };
    runtime.block_on(async {
        let mut client = Client::connect(format!("http://{}", cluster.client_address(node))).await.unwrap();
        client.place_order(request).await
    })?;
    Ok(order_id)
}

/// The reason of an error that says of itself that nothing was done.
fn not_done(status: &Status) -> Option<String> {
    let info = status.get_details_error_info()?;
    (info.metadata.get("effect")? == "retry").then_some(info.reason)
}

fn is_refused_for_room(placed: &Result<String, Status>) -> bool {
    placed.as_ref().is_err_and(|status| not_done(status).as_deref() == Some("DISK_LOW"))
}

/// What `status` says of one node's disk.
fn disk_of(cluster: &Cluster, node: u64) -> Value {
    cluster
        .statuses()
        .into_iter()
        .find(|status| status["node"] == node)
        .map(|status| status["disk"].clone())
        .unwrap_or_default()
}

#[test]
fn while_most_disks_are_below_the_floor_new_orders_are_refused_by_name_and_money_is_taken() {
    let Some(way) = way_to_mount() else { return };
    let (cluster, disks) = with_own_disks(way);
    let leader = cluster.leader().unwrap();
    let low: Vec<u64> = cluster.nodes().into_iter().filter(|node| *node != leader).collect();
    let unpaid: Vec<String> = low.iter().map(|node| place(&cluster, *node).unwrap()).collect();

    disk(&disks, low[0]).leave(LOW_MIB);
    until("the first says so", || {
        cluster.http(low[0], "/readyz").is_some_and(|(code, told)| code == 503 && told.contains("[-]disk"))
    });
    assert_eq!(disk_of(&cluster, low[0]), "low");
    assert_eq!(cluster.stampede(&["status"]).status.code(), Some(11), "one more disk, and no orders are taken");
    assert!(place(&cluster, low[0]).is_ok(), "two have room");

    disk(&disks, low[1]).leave(LOW_MIB);
    for node in cluster.nodes() {
        until("new orders are refused at every node", || is_refused_for_room(&place(&cluster, node)));
        let status = place(&cluster, node).unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.get_details_retry_info().is_some(), "it says when to come back");
        assert_eq!(cluster.figure(node, "stampede_admission_new_orders_refused"), Some(1));
        assert!(cluster.figure(node, "stampede_admission_disk_low_total").unwrap() > 0);
        assert_eq!(cluster.figure(node, "stampede_storage_disk_below_floor"), Some(u64::from(node != leader)));
        assert_eq!(cluster.http(node, "/readyz").unwrap().0, 200, "no other node is better: payments must find one");
    }
    let told = cluster.stampede(&["status"]);
    assert_eq!(told.status.code(), Some(10));
    assert!(String::from_utf8_lossy(&told.stderr).contains("DISK_LOW"), "{told:?}");
    for (node, order) in low.iter().zip(&unpaid) {
        let paid = cluster.json(Some(*node), &["order", "pay", order]);
        assert_eq!(paid["codes"].as_array().map(Vec::len), Some(1), "{paid}");
    }

    disk(&disks, low[0]).make_room();
    for node in cluster.nodes() {
        until("orders are taken again", || place(&cluster, node).is_ok());
    }
    disk(&disks, low[1]).make_room();
    for node in cluster.nodes() {
        until("all are ready", || cluster.http(node, "/readyz").is_some_and(|(code, _)| code == 200));
    }
    for order in &unpaid {
        assert_eq!(cluster.json(None, &["order", "get", order])["state"], "issued");
    }
    until("all hold the same", || cluster.same_digest());
    assert!(cluster.stampede(&["check", "invariants"]).status.success());
}

#[test]
fn a_leader_whose_disk_alone_is_below_the_floor_hands_over_and_orders_go_on() {
    let Some(way) = way_to_mount() else { return };
    let (cluster, disks) = with_own_disks(way);
    let low = cluster.leader().unwrap();
    let mut placed = Vec::new();
    disk(&disks, low).leave(LOW_MIB);
    until("it hands over", || {
        placed.extend(cluster.nodes().into_iter().filter_map(|node| place(&cluster, node).ok()));
        cluster.figure(low, "stampede_raft_disk_low_step_downs_total").is_some_and(|handed_over| handed_over > 0)
    });
    until("another leads", || cluster.leader().is_some_and(|leader| leader != low));
    assert!(cluster.log(low).contains("\"event\":\"disk_low_hand_over\""), "it says why");
    for node in cluster.nodes() {
        until("orders go on at every node", || {
            place(&cluster, node).is_ok_and(|order| {
                placed.push(order);
                true
            })
        });
    }
    for order in &placed {
        assert_eq!(cluster.json(None, &["order", "get", order])["state"], "awaiting_payment");
    }
    disk(&disks, low).make_room();
    until("it is ready", || cluster.http(low, "/readyz").is_some_and(|(code, _)| code == 200));
    until("all hold the same", || cluster.same_digest());
}

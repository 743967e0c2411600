//! An orderly stop of the leader is not noticed by those who buy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use stampede::proto::v1::PlaceOrderRequest;
use stampede::proto::v1::issuance_service_client::IssuanceServiceClient as Client;
use tonic::transport::Endpoint;

use crate::harness::{Cluster, until};

/// Buyers at each node.
const BUYERS_PER_NODE: usize = 4;
/// Orders acknowledged before the leader is told to stop, and after it has gone.
const ORDERS_EACH_SIDE: u64 = 200;

#[derive(Default)]
struct Sales {
    acknowledged: AtomicU64,
    is_over: AtomicBool,
}

/// Buys at one node until the end, or until that node has closed its port; any other error is the answer that must not be.
async fn buy(address: String, sales: Arc<Sales>) -> Result<(), tonic::Status> {
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut client = Client::new(channel);
    while !sales.is_over.load(Relaxed) {
        let order_id = uuid::Uuid::now_v7().to_string();
        let request = PlaceOrderRequest { order_id, account_id: "load".into(), series_code: "CPN".into(), quantity: 1 };
        match client.place_order(request).await {
            Ok(_) => drop(sales.acknowledged.fetch_add(1, Relaxed)),
            // No connection: nothing was sent, and this node has gone. Its clients go elsewhere.
            Err(status) if is_gone(&status) => return Ok(()),
            Err(status) => return Err(status),
        }
    }
    Ok(())
}

fn is_gone(status: &tonic::Status) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A node's own bound is 10 seconds; this much is for the machine.
const ALL_AT_ONCE_WITHIN: Duration = Duration::from_secs(5);

#[test]
fn nodes_that_are_all_told_to_stop_do_not_wait_for_each_other() {
    let mut cluster = Cluster::running();
    let told = Instant::now();
    for node in cluster.nodes() {
        cluster.send_sigterm(node);
    }
    for node in cluster.nodes() {
        assert_eq!(cluster.wait(node).code(), Some(0), "node {node}");
    }
    assert!(told.elapsed() < ALL_AT_ONCE_WITHIN, "{:?}", told.elapsed());
}

#[test]
fn sigterm_of_the_leader_under_load_refuses_nothing_and_leaves_nothing_unknown() {
    let mut cluster = Cluster::running();
    let leader = cluster.leader().unwrap();
    let sales = Arc::new(Sales::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let buyers: Vec<_> = cluster
        .nodes()
        .into_iter()
        .flat_map(|node| std::iter::repeat_n(cluster.client_address(node), BUYERS_PER_NODE))
        .map(|address| runtime.spawn(buy(address, sales.clone())))
        .collect();
    let sold = |more: u64| {
        let target = sales.acknowledged.load(Relaxed) + more;
        until("orders are acknowledged", || sales.acknowledged.load(Relaxed) >= target);
    };

    sold(ORDERS_EACH_SIDE);
    cluster.send_sigterm(leader);
    let status = cluster.wait(leader);
    assert_eq!(status.code(), Some(0), "an orderly stop");
    sold(ORDERS_EACH_SIDE);
    sales.is_over.store(true, Relaxed);
    for buyer in buyers {
        let ended = runtime.block_on(buyer).unwrap();
        assert!(ended.is_ok(), "{ended:?}");
    }

    let log = cluster.log(leader);
    assert!(log.contains("\"event\":\"leadership_handed_over\""), "{log}");
    assert!(cluster.leader().is_some_and(|now| now != leader));
    cluster.start(leader);
    until("it is back", || cluster.statuses().len() == 3);
}

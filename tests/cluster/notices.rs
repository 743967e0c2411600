//! Notices of payment gateways, which reach whichever node their proxy picks.

use serde_json::{Value, json};

use crate::harness::{Cluster, XENDIT_TOKEN, until};

/// Posts an invoice callback to one node: the exit code of the command, what was answered, and what people are told.
fn post(cluster: &Cluster, node: u64, timeout: &str, invoice: &Value) -> (Option<i32>, Value, String) {
    let notice = json!({ "gateway": "xendit", "headers": { "x-callback-token": XENDIT_TOKEN }, "body": invoice.to_string() });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), notice.to_string()).unwrap();
    let (address, path) = (cluster.webhook_address(node), file.path().to_str().unwrap());
    let sent = cluster.stampede(&["webhook", "replay", path, "--webhook", &address, "--timeout", timeout, "-o", "json"]);
    let told = String::from_utf8_lossy(&sent.stderr).into_owned();
    (sent.status.code(), serde_json::from_slice::<Value>(&sent.stdout).unwrap_or_default()[0].clone(), told)
}

fn invoice(id: &str, order: &Value) -> Value {
    json!({ "id": id, "external_id": order, "status": "PAID", "amount": 10_000 })
}

#[test]
fn a_follower_takes_a_notice_and_the_leaders_death_does_not_make_it_two() {
    let mut cluster = Cluster::running();
    let order = &cluster.json(None, &["order", "place", "--series", "CPN"])["order_id"];
    let leader = cluster.leader().unwrap();
    let followers: Vec<u64> = cluster.nodes().into_iter().filter(|node| *node != leader).collect();
    let (code, told, _) = post(&cluster, followers[0], "10s", &invoice("inv-1", order));
    assert_eq!((code, &told["outcome"]), (Some(0), &json!("recorded")), "{told}");
    let order = order.as_str().unwrap();
    let issued = cluster.json(Some(followers[1]), &["order", "get", order]);
    assert_eq!((&issued["state"], &issued["paid_by"]), (&json!("issued"), &json!("xendit/inv-1")));

    cluster.kill(leader);
    until("another leads", || cluster.leader().is_some());
    for node in &followers {
        let (code, told, _) = post(&cluster, *node, "10s", &invoice("inv-1", &json!(order)));
        assert_eq!((code, &told["outcome"]), (Some(0), &json!("replayed")), "{told}");
    }
    assert_eq!(cluster.json(None, &["order", "get", order])["codes"], issued["codes"]);
}

#[test]
fn without_a_majority_a_gateway_is_told_in_time_to_come_again_and_then_heard() {
    let mut cluster = Cluster::running();
    let order = &cluster.json(None, &["order", "place", "--series", "CPN"])["order_id"];
    let survivor = cluster.nodes().into_iter().find(|node| Some(*node) != cluster.leader()).unwrap();
    let others: Vec<u64> = cluster.nodes().into_iter().filter(|node| *node != survivor).collect();
    for node in &others {
        cluster.kill(*node);
    }
    let (code, answer, told) = post(&cluster, survivor, "4s", &invoice("inv-1", order));
    assert_eq!((code, answer), (Some(3), Value::Null), "not taken: {told}");
    let may_come_again = [r#""effect":"retry""#, r#""effect":"unknown""#].iter().any(|effect| told.contains(effect));
    assert!(told.contains(r#""outcome":"unavailable""#) && may_come_again, "{told}");
    for node in others {
        cluster.start(node);
    }
    let (code, told, _) = post(&cluster, survivor, "60s", &invoice("inv-1", order));
    assert_eq!(code, Some(0), "{told}");
    let found = cluster.json(None, &["order", "get", order.as_str().unwrap()]);
    assert_eq!((&found["state"], &found["paid_by"]), (&json!("issued"), &json!("xendit/inv-1")));
}

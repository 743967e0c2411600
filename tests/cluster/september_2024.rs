//! The five failures of September 2024 (each told in the README's table), as an integrator would meet them: none can happen, or it
//! is seen at once.

use serde_json::Value;

use crate::harness::{Cluster, until};

fn place(cluster: &Cluster, stamps: &str) -> String {
    let placed = cluster.json(None, &["order", "place", "--series", "CPN", "--quantity", stamps]);
    placed["order_id"].as_str().unwrap().to_owned()
}

fn pay(cluster: &Cluster, order: &str, payment: &str) -> Value {
    cluster.json(None, &["order", "pay", order, "--gateway", "midtrans", "--payment-id", payment])
}

fn refunds_due(cluster: &Cluster) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let due = cluster.json(None, &["refund", "list"]);
    due.as_array().unwrap().iter().map(|refund| (text(&refund["payment"]), text(&refund["reason"]))).collect()
}

#[test]
fn paid_but_no_quota_payment_and_serials_are_one_step() {
    let mut cluster = Cluster::running();
    let order = place(&cluster, "2");
    let paid = pay(&cluster, &order, "p-1");
    let leader = cluster.leader().unwrap();
    cluster.kill(leader);
    until("another leads", || cluster.leader().is_some());
    let found = cluster.json(None, &["order", "get", &order]);
    assert_eq!((&found["state"], &found["codes"]), (&"issued".into(), &paid["codes"]));
    // A payment that brings no stamps is owed back from the same step on, and is found without a search.
    let cancelled = place(&cluster, "1");
    cluster.json(None, &["order", "cancel", &cancelled]);
    assert_eq!(
        cluster.json(None, &["order", "pay", &cancelled, "--payment-id", "p-2"])["outcome"],
        "refund_due_order_cancelled"
    );
    assert_eq!(refunds_due(&cluster), [("manual/p-2".to_owned(), "order_cancelled".to_owned())]);
}

#[test]
fn paid_twice_the_second_payment_is_owed_back_whole() {
    let cluster = Cluster::running();
    let order = place(&cluster, "1");
    let first = pay(&cluster, &order, "p-1");
    assert_eq!(first["outcome"], "applied");
    // The same notice again is the same payment; another payment of the order is another one.
    assert_eq!(pay(&cluster, &order, "p-1")["replayed"], true);
    assert_eq!(pay(&cluster, &order, "p-2")["outcome"], "refund_due_already_paid");
    let due = cluster.json(None, &["refund", "list"]);
    assert_eq!((&due[0]["payment"], &due[0]["amount_idr"]), (&"midtrans/p-2".into(), &10_000.into()));
    assert_eq!(due.as_array().unwrap().len(), 1);
    assert_eq!(cluster.json(None, &["order", "get", &order])["codes"], first["codes"]);
}

#[test]
fn burned_stamp_a_document_that_is_sent_again_has_its_stamp() {
    let mut cluster = Cluster::running();
    let order = place(&cluster, "2");
    pay(&cluster, &order, "p-1");
    let document = "5a".repeat(32);
    let stamped = cluster.json(None, &["stamp", "apply", &order, "--sha256", &document]);
    // The connection broke, the leader is gone: the caller asks again, at whoever is there.
    let leader = cluster.leader().unwrap();
    cluster.kill(leader);
    until("another leads", || cluster.leader().is_some());
    let again = cluster.json(None, &["stamp", "apply", &order, "--sha256", &document]);
    assert_eq!((&again["code"], &again["replayed"]), (&stamped["code"], &true.into()));
    assert_eq!(cluster.json(None, &["order", "get", &order])["stamped"], 1, "the second stamp is still there");
    let verified = cluster.json(None, &["stamp", "verify", stamped["code"].as_str().unwrap(), "--sha256", &document]);
    assert_eq!((&verified["status"], &verified["document_matches"]), (&"stamped".into(), &true.into()));
}

#[test]
fn unreachable_the_loss_of_any_one_node_takes_no_purchase_down() {
    let mut cluster = Cluster::running();
    for node in cluster.nodes() {
        cluster.kill(node);
        until("another leads", || cluster.leader().is_some_and(|leader| leader != node));
        let order = place(&cluster, "1");
        assert_eq!(pay(&cluster, &order, &format!("p-{node}"))["outcome"], "applied");
        cluster.start(node);
        until("all hold the same", || cluster.same_digest());
    }
}

#[test]
fn unknown_which_payments_have_no_stamps_and_why_is_one_question() {
    let cluster = Cluster::running();
    let bought = place(&cluster, "1");
    pay(&cluster, &bought, "with-stamps");
    pay(&cluster, &bought, "twice");
    let cancelled = place(&cluster, "1");
    cluster.json(None, &["order", "cancel", &cancelled]);
    pay(&cluster, &cancelled, "after-cancel");
    let voided = place(&cluster, "1");
    pay(&cluster, &voided, "voided");
    cluster.json(None, &["order", "void", &voided]);
    let nobody = "0192f0c1-2345-7abc-8def-0123456789ab";
    cluster.json(None, &["order", "pay", nobody, "--gateway", "midtrans", "--payment-id", "stray", "--amount-idr", "10000"]);
    let due = |payment: &str, reason: &str| (format!("midtrans/{payment}"), reason.to_owned());
    let expected = [
        due("twice", "already_paid"),
        due("after-cancel", "order_cancelled"),
        due("voided", "void"),
        due("stray", "order_unknown"),
    ];
    assert_eq!(refunds_due(&cluster), expected, "oldest first");
    // And one metric, with the same answer on each node: how many, why, and how much.
    until("all hold the same", || cluster.same_digest());
    let reasons = [
        ("order_unknown", 1, 10_000),
        ("order_cancelled", 1, 10_000),
        ("order_voided", 0, 0),
        ("already_paid", 1, 10_000),
        ("wrong_amount", 0, 0),
        ("no_stock", 0, 0),
        ("void", 1, 7_500),
    ];
    for node in cluster.nodes() {
        for (reason, orders, idr) in reasons {
            let figure = |unit| cluster.figure(node, &format!("stampede_refunds_due_{unit}{{reason=\"{reason}\"}}"));
            assert_eq!((figure("orders"), figure("amount_idr")), (Some(orders), Some(idr)), "{reason} at node {node}");
        }
    }
}

//! The commands of an operator and of a buyer, on three nodes.

use crate::harness::{Cluster, until};

#[test]
fn an_order_is_placed_paid_and_read_on_different_nodes_and_outlives_the_leader() {
    let mut cluster = Cluster::running();
    let placed = cluster.json(Some(1), &["order", "place", "--series", "CPN", "--quantity", "2", "--account", "buyer-1"]);
    let order = placed["order_id"].as_str().unwrap();
    let paid = cluster.json(Some(2), &["order", "pay", order, "--gateway", "midtrans", "--payment-id", "p-1"]);
    assert_eq!(paid["outcome"], "applied");
    assert_eq!(paid["first_number"], 0);
    let issued = |node| cluster.figure(node, "stampede_issue_latency_seconds_count");
    assert_eq!((issued(1), issued(2)), (Some(0), Some(1)), "by the node that was asked");
    let synced = cluster.figure(2, "stampede_raft_log_sync_duration_seconds_count");
    assert!(synced.is_some_and(|count| count > 0), "{synced:?}");
    let code = paid["codes"][0].as_str().unwrap().to_owned();
    assert_eq!(code.len(), 22);
    let read = cluster.json(Some(3), &["order", "get", order]);
    assert_eq!((&read["state"], &read["codes"]), (&paid_state(), &paid["codes"]));

    let leader = cluster.leader().unwrap();
    cluster.kill(leader);
    until("another leads", || cluster.leader().is_some());
    assert_eq!(cluster.json(None, &["order", "get", order])["codes"], paid["codes"], "what was acknowledged is there");
    let again = cluster.json(None, &["order", "pay", order, "--gateway", "midtrans", "--payment-id", "p-1"]);
    assert_eq!((&again["replayed"], &again["codes"]), (&true.into(), &paid["codes"]), "the same notice has the same answer");
    let next = cluster.json(None, &["order", "place", "--series", "CPN"]);
    let paid_next = cluster.json(None, &["order", "pay", next["order_id"].as_str().unwrap()]);
    assert_eq!(paid_next["first_number"], 2, "no number is given twice or left out");
    assert_eq!(cluster.stampede(&["status"]).status.code(), Some(11), "one more loss would stop it");

    let verified = cluster.json(None, &["stamp", "verify", &code]);
    assert_eq!((&verified["status"], &verified["order_id"]), (&"issued".into(), &order.into()));
    let got = cluster.json(None, &["stamp", "get", &code]);
    assert_eq!((&got["series"], &got["number"], &got["order_id"]), (&"CPN".into(), &0.into(), &order.into()));
    for (command, exit_code) in [("verify", 12), ("get", 7)] {
        let forged = cluster.stampede(&["stamp", command, "CPN0000000000000000000"]);
        assert_eq!(forged.status.code(), Some(exit_code), "{command}");
    }
    assert_eq!(cluster.stampede(&["check", "hash"]).status.code(), Some(10), "one is not compared");

    cluster.start(leader);
    until("all hold the same", || cluster.same_digest());
    assert_eq!(cluster.stampede(&["status"]).status.code(), Some(0));
    let compared = cluster.json(None, &["check", "hash"]);
    let digests: Vec<_> = compared.as_array().unwrap().iter().map(|node| node["digest"].as_str().unwrap()).collect();
    assert!(digests.len() == 3 && digests.iter().all(|digest| *digest == digests[0]), "{compared}");
}

#[test]
fn without_a_majority_a_write_ends_within_its_time_and_says_that_nothing_was_done() {
    let mut cluster = Cluster::running();
    let leader = cluster.leader().unwrap();
    let survivor = cluster.nodes().into_iter().find(|node| *node != leader).unwrap();
    for node in cluster.nodes().into_iter().filter(|node| *node != survivor) {
        cluster.kill(node);
    }
    let address = cluster.client_address(survivor);
    // A connection that breaks under the first one leaves its outcome unknown.
    let mut told = String::new();
    until("it is told that nothing was done", || {
        let placed = cluster.stampede(&["order", "place", "--series", "CPN", "--timeout", "1s", "--server", &address]);
        told = String::from_utf8_lossy(&placed.stderr).into_owned();
        placed.status.code() == Some(8)
    });
    assert!(told.contains("not done within 1s") && told.contains("leader"), "{told}");
    assert_eq!(cluster.stampede(&["status"]).status.code(), Some(10));
}

/// Kills all but one, and waits until that one says everywhere that there is no leader.
fn is_not_ready_alone(cluster: &mut Cluster, survivor: u64) {
    for node in cluster.nodes().into_iter().filter(|node| *node != survivor) {
        cluster.kill(node);
    }
    until("the survivor is not ready", || cluster.http(survivor, "/readyz").is_some_and(|(code, _)| code == 503));
    let (_, told) = cluster.http(survivor, "/readyz?verbose").unwrap();
    let others_pass = told.lines().filter(|line| line.starts_with("[-]")).all(|line| line.starts_with("[-]leader failed"));
    assert!(told.contains("[-]leader failed") && others_pass, "{told}");
    let (_, page) = cluster.http(survivor, "/metrics").unwrap();
    assert!(page.contains("\nstampede_raft_has_leader 0\n"), "{page}");
    until("gRPC health says so", || !cluster.is_serving(survivor));
    let status = cluster.stampede_at(survivor, &["status"]);
    let told = String::from_utf8_lossy(&status.stderr);
    assert!(status.status.code() == Some(10) && told.contains("no node hears a leader"), "{told}");
    assert!(!cluster.stampede_at(survivor, &["leader", "show", "--timeout", "1s"]).status.success());
}

#[test]
fn a_node_without_a_majority_is_not_ready_whether_it_led_or_followed() {
    let mut cluster = Cluster::running();
    for survivor_leads in [false, true] {
        let leader = cluster.leader().unwrap();
        let follower = cluster.nodes().into_iter().find(|node| *node != leader).unwrap();
        let survivor = if survivor_leads { leader } else { follower };
        until("it is ready", || cluster.http(survivor, "/readyz").is_some_and(|(code, _)| code == 200));
        until("gRPC health says so", || cluster.is_serving(survivor));
        is_not_ready_alone(&mut cluster, survivor);
        for node in cluster.nodes().into_iter().filter(|node| *node != survivor) {
            cluster.start(node);
        }
        until("all are ready again", || {
            cluster.nodes().into_iter().all(|node| cluster.http(node, "/readyz").is_some_and(|(code, _)| code == 200))
        });
    }
}

fn paid_state() -> serde_json::Value {
    "issued".into()
}

#[test]
fn what_the_ledger_refuses_has_its_exit_code_and_says_what_to_try() {
    let cluster = Cluster::running();
    let unknown = "01932f5e-7c00-7000-8000-000000000001";
    let placed = cluster.json(None, &["order", "place", "--series", "CPN", "--quantity", "1"]);
    let order = placed["order_id"].as_str().unwrap();
    let table: [(&[&str], i32, &str); 6] = [
        (&["order", "get", unknown], 7, "check the id"),
        (&["order", "cancel", unknown], 7, "ORDER_UNKNOWN"),
        (&["order", "place", "--series", "ZZZ"], 7, "stampede series list"),
        (&["order", "place", "--series", "CPN", "--quantity", "0"], 2, "quantity"),
        (&["order", "place", "--series", "CPN", "--quantity", "2", "--order-id", order], 1, "ORDER_ID_REUSED"),
        (&["series", "open", "CPN", "--capacity", "5"], 1, "SERIES_REUSED"),
    ];
    for (args, code, told) in table {
        let output = cluster.stampede(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(told), "{args:?}: {stderr}");
    }
    assert_eq!(cluster.json(None, &["order", "cancel", order])["state"], "cancelled");
    assert_eq!(cluster.json(None, &["order", "get", order])["state"], "cancelled");
    let listed = cluster.json(None, &["series", "list"]);
    assert_eq!((&listed[0]["series"], &listed[0]["free"]), (&"CPN".into(), &1_000_000.into()));
}

/// `printf "surat lamaran" | sha256sum`
const SHA256SUM: &str = "5191ad02e92157a1fb7c04497fd102c18708d0efbe5e9321941d41530448eb6f";

#[test]
fn a_stamp_is_applied_an_order_voided_and_its_refund_settled_from_the_command_line() {
    let cluster = Cluster::running();
    let buy = |stamps: &str| {
        let placed = cluster.json(None, &["order", "place", "--series", "CPN", "--quantity", stamps]);
        let order = placed["order_id"].as_str().unwrap().to_owned();
        let paid = cluster.json(None, &["order", "pay", &order, "--gateway", "midtrans", "--payment-id", &order]);
        (order, paid["codes"].clone())
    };
    let (order, codes) = buy("2");
    let document = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(document.path(), "surat lamaran").unwrap();
    let file = document.path().to_str().unwrap();
    let stamped = cluster.json(Some(2), &["stamp", "apply", &order, "--file", file]);
    assert_eq!(stamped["code"], codes[0]);
    assert_eq!(stamped["document_sha256"], SHA256SUM);
    let code = codes[0].as_str().unwrap();
    let verified = cluster.json(Some(3), &["stamp", "verify", code, "--file", file]);
    assert_eq!((&verified["status"], &verified["document_matches"]), (&"stamped".into(), &true.into()));
    let other = cluster.stampede(&["stamp", "verify", code, "--sha256", &"00".repeat(32)]);
    assert_eq!(other.status.code(), Some(12), "it is on another document");
    assert_eq!(cluster.stampede(&["order", "void", &order]).status.code(), Some(1), "a stamp of it is used");

    cluster.json(None, &["settings", "set", "--void-refund-percent", "60"]);
    let policy = cluster.json(None, &["settings", "get"]);
    assert_eq!((&policy["policy_version"], &policy["void_window"]), (&1.into(), &"3days".into()));
    let (order, _) = buy("1");
    assert_eq!(cluster.json(None, &["order", "void", &order])["refund_idr"], 6_000);
    let due = cluster.json(None, &["refund", "list"]);
    let payment = format!("midtrans/{order}");
    assert_eq!((&due[0]["payment"], &due[0]["reason"]), (&payment.as_str().into(), &"void".into()));
    let settle = ["refund", "settle", &payment, "--amount-idr", "6000", "--reference", "t-1"];
    assert_eq!(cluster.json(None, &settle)["replayed"], false);
    assert_eq!(cluster.json(None, &settle)["replayed"], true);
    assert_eq!(cluster.json(None, &["refund", "list"]), serde_json::json!([]));
}

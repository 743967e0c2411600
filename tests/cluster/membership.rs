//! Members come and go: by tokens, with ids from the log, one change at a time, and none that loses the quorum.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use stampede::proto::v1::PlaceOrderRequest;
use stampede::proto::v1::issuance_service_client::IssuanceServiceClient as Client;

use crate::harness::{Cluster, PATIENCE, until};

/// Places orders at `address`, each until it is acknowledged, while `work` runs; how many there are then.
fn under_load(address: &str, work: impl FnOnce()) -> u64 {
    let (is_over, placed) = (AtomicBool::new(false), AtomicU64::new(0));
    let load = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut client = Client::connect(format!("http://{address}")).await.unwrap();
            while !is_over.load(Ordering::Acquire) {
                let order_id = uuid::Uuid::now_v7().to_string();
                let order = PlaceOrderRequest { order_id, account_id: "load".into(), series_code: "CPN".into(), quantity: 1 };
                // Under the same id until it is known to be there.
                let begun = Instant::now();
                while let Err(status) = client.place_order(order.clone()).await {
                    assert!(begun.elapsed() < PATIENCE, "no order is taken any more: {status}");
                }
                placed.fetch_add(1, Ordering::AcqRel);
            }
        });
    };
    std::thread::scope(|scope| {
        let load = scope.spawn(load);
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        is_over.store(true, Ordering::Release);
        load.join().unwrap();
        worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    placed.into_inner()
}

/// Orders that wait for their payment, as the ledger of this node counts them.
fn orders_at(cluster: &Cluster, node: u64) -> Option<u64> {
    let (_, page) = cluster.http(node, "/metrics")?;
    let line = page.lines().find(|line| line.starts_with("stampede_orders{state=\"awaiting_payment\"}"))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn a_node_joins_by_a_token_is_promoted_and_removed_under_load_and_nothing_is_lost() {
    let mut cluster = Cluster::running();
    let address = cluster.client_address(1);
    let fourth = cluster.add();
    let token = cluster.token();
    cluster.start_joining(fourth, &token);
    cluster.until_started(fourth);
    assert_eq!(cluster.members().last().unwrap(), &(4, "learner".to_owned()), "the log has minted its id");
    let placed = under_load(&address, || {
        cluster.until_caught_up(4);
        let planned = cluster.json(None, &["member", "promote", "4", "--dry-run"]);
        assert_eq!(planned["voters_after"], serde_json::json!([1, 2, 3, 4]));
        assert_eq!(cluster.voters(), [1, 2, 3], "a dry run changes nothing");
        let made = cluster.json(None, &["member", "promote", "4"]);
        assert_eq!(
            (&made["outcome"], &made["quorum_after"]),
            (&"done".into(), &"4 voters, quorum 3, 4 reachable: 1 more may be lost".into())
        );
        assert_eq!(cluster.voters(), [1, 2, 3, 4]);
        assert_eq!(cluster.json(None, &["member", "promote", "4"])["outcome"], "was done before");
    });
    until("all four hold the same", || cluster.same_digest());
    assert_eq!(orders_at(&cluster, fourth), Some(placed), "what was acknowledged is on the new node, too");

    // Its id is in its data directory from now on.
    cluster.kill(fourth);
    cluster.start(fourth);
    until("all four hold the same again", || cluster.same_digest());

    let more = under_load(&address, || {
        let removed = cluster.stampede(&["member", "remove", "4"]);
        let told = String::from_utf8_lossy(&removed.stderr);
        assert_eq!(removed.status.code(), Some(2), "nobody is there to ask: {told}");
        assert!(told.contains("--confirm test") && told.contains("after:  3 voters"), "{told}");
        assert_eq!(cluster.voters(), [1, 2, 3, 4]);
        let made = cluster.json(None, &["member", "remove", "4", "--confirm", "test"]);
        assert_eq!(made["voters_after"], serde_json::json!([1, 2, 3]));
    });
    assert_eq!(cluster.wait(fourth).code(), Some(24), "{}", cluster.log(fourth));
    until("the three hold all orders", || (1..=3).all(|node| orders_at(&cluster, node) == Some(placed + more)));
    assert_eq!(cluster.json(None, &["member", "remove", "4", "--confirm", "test"])["outcome"], "was done before");

    // It comes back, and is told what it is.
    cluster.start(fourth);
    assert_eq!(cluster.wait(fourth).code(), Some(24), "{}", cluster.log(fourth));
    assert!(cluster.log(fourth).contains("node 4 was removed from cluster"), "{}", cluster.log(fourth));
    assert!(cluster.log(fourth).contains("stampede member add"));
    // Nor can it come back as another by the token that it had.
    cluster.empty_disk(fourth);
    cluster.start_joining(fourth, &token);
    assert_eq!(cluster.wait(fourth).code(), Some(5), "{}", cluster.log(fourth));
    // With one of its own it is a new node: its old id is spent.
    let token = cluster.token();
    cluster.start_joining(fourth, &token);
    cluster.until_caught_up(5);
}

#[test]
fn a_token_is_for_one_node_and_a_leader_that_is_removed_hands_over_first() {
    let mut cluster = Cluster::running();
    let (fourth, fifth, token) = (cluster.add(), cluster.add(), cluster.token());
    cluster.start_joining(fourth, &token);
    cluster.until_caught_up(4);
    cluster.start_joining(fifth, &token);
    assert_eq!(cluster.wait(fifth).code(), Some(5), "{}", cluster.log(fifth));
    assert!(cluster.log(fifth).contains("a token is for one"), "{}", cluster.log(fifth));
    cluster.json(None, &["member", "promote", "4"]);

    let leader = cluster.leader().unwrap();
    let made = cluster.json(None, &["member", "remove", &leader.to_string(), "--confirm", "test"]);
    assert_eq!(made["outcome"], "done");
    assert_eq!(cluster.wait(leader).code(), Some(24), "{}", cluster.log(leader));
    until("another leads", || cluster.leader().is_some_and(|now| now != leader));
    assert_eq!(cluster.voters().len(), 3);
    let placed = cluster.stampede(&["order", "place", "--series", "CPN"]);
    assert!(placed.status.success(), "{placed:?}");
}

#[test]
fn a_change_that_would_lose_the_quorum_is_refused_with_its_arithmetic() {
    let mut cluster = Cluster::running();
    let leader = cluster.leader().unwrap();
    let mut others = cluster.nodes().into_iter().filter(|node| *node != leader);
    let (gone, stays) = (others.next().unwrap(), others.next().unwrap());
    cluster.kill(gone);
    let remove = ["member", "remove", &stays.to_string(), "--confirm", "test"];
    let told = format!("removing node {stays} leaves 2 voters, quorum 2, of which 1 is reachable: refused (QUORUM_AT_RISK)");
    until("the leader does not hear the one that is gone", || {
        let planned = cluster.stampede(&[&remove[..], &["--dry-run"]].concat());
        String::from_utf8_lossy(&planned.stderr).contains(&told)
    });
    let refused = cluster.stampede(&remove);
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    assert_eq!(cluster.voters(), [1, 2, 3]);
    // The one that is gone may be removed: the others are two of two.
    let removed = cluster.json(None, &["member", "remove", &gone.to_string(), "--confirm", "test"]);
    assert_eq!(removed["quorum_after"], "2 voters, quorum 2, 2 reachable: 0 more may be lost");
    for (args, code) in [(["member", "remove", "9", "--dry-run"], 7), (["member", "promote", "9", "--dry-run"], 7)] {
        assert_eq!(cluster.stampede(&args).status.code(), Some(code), "{args:?}");
    }
    let wrong_name = cluster.stampede(&["member", "remove", &stays.to_string(), "--confirm", "other"]);
    assert_eq!(wrong_name.status.code(), Some(5));
    // It missed its own removal, and is told.
    cluster.start(gone);
    assert_eq!(cluster.wait(gone).code(), Some(24), "{}", cluster.log(gone));
}

#[test]
fn a_replacement_that_is_killed_at_each_step_with_its_leader_is_finished_by_the_same_command() {
    let mut cluster = Cluster::running();
    let (old, fourth) = (3, cluster.add());
    let address = cluster.peer_address(fourth);
    let replace = ["member", "replace", "3", "--with", &address, "--confirm", "test"];
    let planned = cluster.stampede(&[&replace[..], &["--dry-run"]].concat());
    assert!(String::from_utf8_lossy(&planned.stderr).contains("would make a token"), "{planned:?}");

    let restart_leader = |cluster: &mut Cluster| {
        let leader = cluster.leader().unwrap();
        cluster.kill(leader);
        cluster.start(leader);
        cluster.until_started(leader);
        until("a leader", || cluster.leader().is_some());
    };
    // Step 1: it has made a token, and waits for the node.
    let begun = cluster.begin(&replace);
    begun.until_told("step 1 of 3");
    restart_leader(&mut cluster);
    assert!(begun.told().contains("step 1 of 3"), "{}", begun.told());
    drop(begun);
    assert_eq!(cluster.members().len(), 3);

    // Step 2: the node is a member, and dies as soon as it has kept its id.
    let begun = cluster.begin(&replace);
    let token = begun.token();
    cluster.start_joining_until(fourth, &token, "data_dir.create.after_identity");
    begun.until_told("step 2 of 3");
    assert_eq!(cluster.wait(fourth).code(), None, "{}", cluster.log(fourth));
    drop(begun);
    restart_leader(&mut cluster);
    let refused = cluster.stampede(&["member", "replace", "3", "--with", "4", "--confirm", "test", "--wait", "1s"]);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(8) && told.contains("the same again goes on from here"), "{told}");
    assert_eq!(cluster.voters(), [1, 2, 3]);

    // Step 3: the node is there, under the id that it has; the leader dies with the voters half changed, and the command with it.
    if cluster.leader() == Some(old) {
        assert!(cluster.stampede(&["leader", "transfer", "--to", "1"]).status.success());
    }
    let leader = cluster.leader().unwrap();
    cluster.arm(leader, "ledger.apply.joint");
    cluster.start_joining(fourth, &token);
    let begun = cluster.begin(&replace);
    begun.until_told("step 3 of 3");
    assert_eq!(cluster.wait(leader).code(), None, "{}", cluster.log(leader));
    drop(begun);
    cluster.start(leader);
    cluster.until_started(leader);
    until("a leader", || cluster.leader().is_some());
    let (code, told) = cluster.begin(&replace).wait();
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(cluster.voters(), [1, 2, 4]);
    assert_eq!(cluster.wait(old).code(), Some(24), "{}", cluster.log(old));
    let again = cluster.json(None, &replace);
    assert_eq!((&again["outcome"], &again["voters_after"]), (&"was done before".into(), &serde_json::json!([1, 2, 4])));
    assert!(cluster.stampede(&["order", "place", "--series", "CPN"]).status.success());
}

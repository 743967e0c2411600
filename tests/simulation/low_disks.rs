//! Disks without room, in a cluster that is otherwise well: who takes new orders, who leads, and what goes on meanwhile.

use std::time::Duration;

use stampede::consensus::{RetryReason, SubmitError};
use stampede::domain::{
    AccountId, Command, Gateway, OrderId, Outcome, PaymentId, PaymentName, PaymentOutcome, Quantity, Rupiah, SeriesCode,
};
use stampede::limits;

use crate::cluster::{Cluster, NODES};
use crate::directed::{A_WHILE, NEW_LEADER_WITHIN, SEEDS, leader_and_term, others, play};
use crate::swarm::Swarm;
use crate::world::{elapsed, sleep};

/// A disk's state has reached the leader, and its word all others: an answer to a heartbeat, a look, a heartbeat.
const NOTICED_WITHIN: Duration = limits::DISK_LOOK_INTERVAL.saturating_mul(3);

fn order(id: u32) -> OrderId {
    OrderId::from_bytes(u128::from(id).to_be_bytes())
}

fn place(id: u32) -> Command {
    let (account, series) = (AccountId::new("portal-1").unwrap(), SeriesCode::new("A24").unwrap());
    Command::PlaceOrder { order: order(id), account, series, quantity: Quantity::new(1).unwrap() }
}

fn pay(id: u32) -> Command {
    let payment_id = PaymentId::new(&format!("p{id}")).unwrap();
    let payment = PaymentName { gateway: Gateway::new("midtrans").unwrap(), payment_id };
    Command::RecordPayment { payment, order: order(id), amount: Rupiah::payment(10_000).unwrap() }
}

/// What became of the last of `commands`, or why nothing did.
async fn submit(cluster: &Cluster, node_id: u64, commands: Vec<Command>) -> Result<Outcome, RetryReason> {
    let (node, _) = cluster.node(node_id).expect("it runs");
    match node.submit(commands, A_WHILE).await {
        Ok(mut submitted) => Ok(submitted.replies.pop().expect("a reply to each").outcome),
        Err(SubmitError::Retry { reason, .. }) => Err(reason),
        Err(error) => panic!("{error}"),
    }
}

async fn takes_orders(cluster: &Cluster, node_id: u64, id: u32) -> bool {
    let outcome = submit(cluster, node_id, vec![place(id)]).await;
    assert!(matches!(outcome, Ok(Outcome::OrderPlaced { .. }) | Err(RetryReason::DiskLow)), "{outcome:?}");
    outcome.is_ok()
}

async fn takes_money(cluster: &Cluster, node_id: u64, commands: Vec<Command>) -> bool {
    matches!(submit(cluster, node_id, commands).await, Ok(Outcome::PaymentRecorded(PaymentOutcome::Applied(_))))
}

fn nothing(_: &mut Swarm) {}

#[test]
fn while_most_disks_are_low_every_node_refuses_new_orders_and_takes_money() {
    for seed in 0..SEEDS {
        play(seed, nothing, |cluster, shop| async move {
            shop.open().await;
            let (leader, _) = leader_and_term(&cluster);
            let followers = others(leader);
            let mut ids = 1..;
            for low in [followers.clone(), vec![leader, followers[0]], vec![leader, followers[0], followers[1]]] {
                let unpaid: Vec<u32> = ids.by_ref().take(6).collect();
                for id in &unpaid {
                    assert!(takes_orders(&cluster, leader, *id).await, "seed {seed}");
                }
                // The leader as the last: with two others that have room it would hand over.
                for node_id in low.iter().rev() {
                    cluster.set_disk_low(*node_id, true);
                    sleep(NOTICED_WITHIN).await;
                }
                for (node_id, unpaid) in NODES.into_iter().zip(unpaid.chunks(2)) {
                    let id = ids.next().expect("no end");
                    assert!(!takes_orders(&cluster, node_id, id).await, "seed {seed}: node {node_id}, low {low:?}");
                    let batch = vec![Command::CancelOrder { order: order(id) }, place(id)];
                    assert_eq!(submit(&cluster, node_id, batch).await, Err(RetryReason::DiskLow), "seed {seed}");
                    assert!(takes_money(&cluster, node_id, vec![pay(unpaid[0])]).await, "seed {seed}: node {node_id}");
                    // What comes with money is let in with it.
                    assert!(takes_money(&cluster, node_id, vec![place(unpaid[1]), pay(unpaid[1])]).await, "seed {seed}");
                }
                assert_eq!(leader_and_term(&cluster).0, leader, "seed {seed}: nobody could lead better");
                for node_id in &low {
                    cluster.set_disk_low(*node_id, false);
                }
                sleep(NOTICED_WITHIN).await;
                for node_id in NODES {
                    assert!(
                        takes_orders(&cluster, node_id, ids.next().expect("no end")).await,
                        "seed {seed}: {node_id}, {low:?}"
                    );
                }
            }
        });
    }
}

#[test]
fn a_leader_whose_disk_is_low_hands_over_and_no_order_is_refused() {
    for seed in 0..SEEDS {
        play(seed, nothing, |cluster, shop| async move {
            shop.open().await;
            let (low, _) = leader_and_term(&cluster);
            let (node, _) = cluster.node(low).expect("it runs");
            let mut ids = 1..;
            cluster.set_disk_low(low, true);
            let begun = elapsed();
            while cluster.leader().is_none_or(|leader| leader == low) {
                let id = ids.next().expect("no end");
                assert!(takes_orders(&cluster, others(low)[0], id).await, "seed {seed}: low {low}");
                assert!(elapsed() < begun + NOTICED_WITHIN + NEW_LEADER_WITHIN, "seed {seed}: it leads with a low disk");
            }
            sleep(2 * limits::DISK_LOW_HAND_OVER_PAUSE).await;
            for (node_id, id) in NODES.into_iter().zip(ids) {
                assert!(takes_orders(&cluster, node_id, id).await, "seed {seed}: node {node_id}, low {low}");
            }
            assert_ne!(leader_and_term(&cluster).0, low, "seed {seed}");
            assert_eq!(node.metrics().disk_low_step_downs.get(), 1, "seed {seed}");
            assert!(node.status().disk_low && !node.status().refuses_new_orders, "seed {seed}");
        });
    }
}

#[test]
fn a_node_that_is_away_lends_no_room() {
    for seed in 0..SEEDS {
        play(seed, nothing, |cluster, shop| async move {
            shop.open().await;
            let (leader, _) = leader_and_term(&cluster);
            let [low, away] = others(leader)[..] else { unreachable!("three nodes") };
            cluster.set_disk_low(low, true);
            sleep(NOTICED_WITHIN).await;
            assert!(takes_orders(&cluster, low, 1).await, "seed {seed}: two have room");
            cluster.crash(away);
            sleep(limits::MEMBER_HEARD_WITHIN + NOTICED_WITHIN).await;
            for node_id in [leader, low] {
                assert!(!takes_orders(&cluster, node_id, 2).await, "seed {seed}: node {node_id}");
            }
            assert!(takes_money(&cluster, low, vec![pay(1)]).await, "seed {seed}");
            cluster.start(away).await;
            sleep(A_WHILE).await;
            for (id, node_id) in (3..).zip(NODES) {
                assert!(takes_orders(&cluster, node_id, id).await, "seed {seed}: node {node_id}");
            }
        });
    }
}

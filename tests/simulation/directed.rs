//! One thing happens, to a cluster that is otherwise well; each safeguard of the configuration, with and without it.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use stampede::consensus::{Consistency, ReadError, RetryReason, Safeguard, SubmitError};
use stampede::domain::{Command, OrderId};
use stampede::limits;

use crate::cluster::{Cluster, ELECTION_TIMEOUT_MAX, NODES, SPARE, SimNode};
use crate::net::{Cut, Direction};
use crate::oracle::Answer;
use crate::swarm::{DiskFaults, NetworkFaults, Swarm};
use crate::workload::Shop;
use crate::world::{World, elapsed, sleep};

pub const SEEDS: u64 = 20;

/// A lease, an election, and one more in case that two stood against each other; and the waits of those who ask again.
pub const NEW_LEADER_WITHIN: Duration = ELECTION_TIMEOUT_MAX.saturating_mul(5);
/// Until a node knows that it is cut off: its patience, and a look.
const CUT_OFF_WITHIN: Duration = ELECTION_TIMEOUT_MAX.saturating_mul(limits::CUT_OFF_AFTER_ELECTIONS + 1);
/// Longer than a lease and an election.
pub const A_WHILE: Duration = Duration::from_secs(1);

/// Plays `script` on a calm cluster that serves.
pub fn play<T, F>(seed: u64, change: impl FnOnce(&mut Swarm), script: impl FnOnce(Cluster, Shop) -> F) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send,
{
    let world = World::new(seed, false);
    let mut swarm = Swarm::calm(&world);
    change(&mut swarm);
    let cluster = Cluster::new(world.clone(), swarm);
    let shop = Shop::new(cluster.clone());
    let result = SimRuntime::with_seed(seed).block_on(async move {
        cluster.initialize().await;
        while !is_served(&shop, NODES[0], A_WHILE).await {}
        script(cluster, shop).await
    });
    assert!(!world.is_violated(), "seed {seed}: {:?}", world.violations());
    result
}

/// A command goes all the way through the log.
async fn is_served(shop: &Shop, node_id: u64, within: Duration) -> bool {
    let command = Command::CancelOrder { order: OrderId::from_bytes([0; 16]) };
    matches!(shop.call(node_id, vec![command], within).await.as_slice(), [Answer::Replied(_)])
}

pub fn leader_and_term(cluster: &Cluster) -> (u64, u64) {
    let leading = cluster.statuses().into_iter().filter(stampede::consensus::NodeStatus::leads);
    leading.map(|status| (status.node_id, status.term)).max_by_key(|(_, term)| *term).expect("somebody leads")
}

pub fn others(node_id: u64) -> Vec<u64> {
    NODES.into_iter().filter(|other| *other != node_id).collect()
}

fn towards(node_id: u64) -> BTreeSet<Direction> {
    others(node_id).into_iter().map(|other| (other, node_id)).collect()
}

fn from(node_id: u64) -> BTreeSet<Direction> {
    others(node_id).into_iter().map(|other| (node_id, other)).collect()
}

#[test]
fn a_lost_transfer_stalls_no_longer_than_a_dead_leader() {
    for seed in 0..SEEDS {
        let loses = |swarm: &mut Swarm| swarm.network = NetworkFaults { loses: Some("transfer"), ..swarm.network.clone() };
        let stalled = play(seed, loses, |cluster, shop| async move {
            let (leader, _) = leader_and_term(&cluster);
            let (node, _) = cluster.node(leader).expect("it runs");
            SimRuntime::spawn(async move { drop(node.transfer_leader(None, A_WHILE).await) });
            let (begun, mut longest) = (elapsed(), Duration::ZERO);
            while elapsed() < begun + 2 * A_WHILE {
                let asked = elapsed();
                assert!(is_served(&shop, leader, A_WHILE).await, "the old leader sends it to the new one");
                longest = longest.max(elapsed() - asked);
            }
            longest
        });
        assert!(stalled > ELECTION_TIMEOUT_MAX, "seed {seed}: the message was lost, or was it? {stalled:?}");
        assert!(stalled <= NEW_LEADER_WITHIN, "seed {seed}: {stalled:?}");
    }
}

/// The leader and its term, before and after one follower was cut off for a while.
fn around_a_cut(without: Option<Safeguard>) -> [(u64, u64); 2] {
    play(
        1,
        |swarm| swarm.without = without,
        |cluster, _shop| async move {
            let before = leader_and_term(&cluster);
            let follower = others(before.0)[0];
            let links = from(follower).union(&towards(follower)).copied().collect();
            cluster.cut(&links, Cut::BlackHole);
            sleep(A_WHILE).await;
            cluster.heal(&links);
            sleep(A_WHILE).await;
            [before, leader_and_term(&cluster)]
        },
    )
}

#[test]
fn a_node_that_was_cut_off_comes_back_without_an_election() {
    let [before, after] = around_a_cut(None);
    assert_eq!(before, after);
    let [before, after] = around_a_cut(Some(Safeguard::PreVote));
    assert!(after.1 > before.1, "it is Pre-Vote that keeps the term: {before:?}, {after:?}");
}

#[test]
fn who_is_cut_off_hears_no_leader_and_says_so_until_it_is_back() {
    let nothing = |_: &mut Swarm| ();
    play(1, nothing, |cluster, shop| async move {
        let hearing = || -> Vec<u64> {
            cluster.statuses().iter().filter(|status| status.hears_leader).map(|status| status.node_id).collect()
        };
        for cuts_leader in [false, true] {
            let (leader, _) = leader_and_term(&cluster);
            let cut = if cuts_leader { leader } else { others(leader)[0] };
            assert_eq!(hearing(), NODES);
            let links = from(cut).union(&towards(cut)).copied().collect();
            cluster.cut(&links, Cut::BlackHole);
            sleep(A_WHILE).await;
            assert!(is_served(&shop, others(cut)[0], A_WHILE).await);
            assert_eq!(hearing(), others(cut), "node {cut} of leader {leader}");
            assert!(!turns_away_at_once(&cluster, cut).await, "the first who asks waits, as in an election");
            assert!(turns_away_at_once(&cluster, cut).await, "node {cut} of leader {leader}");
            assert!(!turns_away_at_once(&cluster, others(cut)[0]).await);
            cluster.heal(&links);
            sleep(A_WHILE).await;
        }
        // Nobody has a majority; the one that led goes on saying that it leads.
        let (leader, term) = leader_and_term(&cluster);
        let links = NODES.into_iter().flat_map(from).collect();
        cluster.cut(&links, Cut::BlackHole);
        sleep(A_WHILE).await;
        assert_eq!((hearing(), leader_and_term(&cluster)), (Vec::new(), (leader, term)));
    });
}

/// A read and a write are told, without waiting, that there is no leader.
async fn turns_away_at_once(cluster: &Cluster, node_id: u64) -> bool {
    let (node, _) = cluster.node(node_id).expect("it runs");
    let begun = elapsed();
    let read = node.read(Consistency::Linearizable, A_WHILE).await.map(|_| ());
    let write = node.submit(vec![Command::CancelOrder { order: OrderId::from_bytes([0; 16]) }], A_WHILE).await.map(|_| ());
    matches!(read, Err(ReadError::Retry { reason: RetryReason::NoLeader, .. }))
        && matches!(write, Err(SubmitError::Retry { reason: RetryReason::NoLeader, .. }))
        && elapsed() == begun
}

#[test]
fn a_member_is_replaced_whoever_leads_and_the_new_one_serves() {
    for (seed, leads) in (0..SEEDS).zip([true, false].into_iter().cycle()) {
        let nothing = |_: &mut Swarm| ();
        play(seed, nothing, |cluster, shop| async move {
            let (leader, _) = leader_and_term(&cluster);
            let old = if leads { leader } else { others(leader)[0] };
            crate::members::replace(&cluster, old).await;
            let stays = others(old)[0];
            assert!(is_served(&shop, SPARE, A_WHILE).await, "seed {seed}");
            // It counts: with one of the others gone it makes the majority.
            cluster.crash(stays);
            sleep(A_WHILE).await;
            assert!(is_served(&shop, SPARE, A_WHILE).await, "seed {seed}");
            let status = cluster.statuses().into_iter().find(|status| status.node_id == SPARE).expect("it runs");
            let voters: Vec<u64> = status.members.iter().filter(|member| member.voter).map(|member| member.node_id).collect();
            let expected: Vec<u64> = others(old).into_iter().chain([SPARE]).collect();
            assert_eq!((voters, status.joint, status.members.len()), (expected, false, 3), "seed {seed}");
        });
    }
}

#[test]
fn who_led_until_now_waits_for_the_next_leader() {
    let nothing = |_: &mut Swarm| ();
    play(1, nothing, |cluster, shop| async move {
        sleep(A_WHILE).await;
        let (leader, _) = leader_and_term(&cluster);
        let (node, _) = cluster.node(leader).expect("it runs");
        node.transfer_leader(None, A_WHILE).await.expect("the others are there");
        assert!(is_served(&shop, leader, A_WHILE).await, "it has heard no leader since it became one");
    });
}

#[test]
fn of_reads_that_no_leader_answers_those_beyond_the_bound_are_turned_away_at_once() {
    let nothing = |_: &mut Swarm| ();
    let ends = play(1, nothing, |cluster, _shop| async move {
        let (leader, _) = leader_and_term(&cluster);
        let alone = others(leader)[0];
        cluster.cut(&from(alone).union(&towards(alone)).copied().collect(), Cut::BlackHole);
        let (node, _) = cluster.node(alone).expect("it runs");
        let begun = elapsed();
        let read = |node: SimNode| async move {
            let ended = node.read(Consistency::Linearizable, A_WHILE).await.map(|_| ());
            (ended.expect_err("nobody answers"), elapsed() - begun)
        };
        futures_util::future::join_all((0..limits::READS_WAITING_MAX + 2).map(|_| read(node.clone()))).await
    });
    let is_overload = |error: &ReadError| matches!(error, ReadError::Retry { reason: RetryReason::Overloaded, .. });
    let (turned_away, waited): (Vec<_>, Vec<_>) = ends.into_iter().partition(|(error, _)| is_overload(error));
    assert_eq!((turned_away.len(), waited.len()), (2, limits::READS_WAITING_MAX));
    assert!(turned_away.iter().all(|(_, after)| after.is_zero()));
    assert!(waited.iter().all(|(_, after)| *after > ELECTION_TIMEOUT_MAX), "{waited:?}");
}

#[test]
fn who_waits_at_a_node_when_it_is_cut_off_is_told_before_the_deadline() {
    const PATIENT: Duration = Duration::from_secs(30);
    for cuts_leader in [false, true] {
        let nothing = |_: &mut Swarm| ();
        let (write, read, waited) = play(1, nothing, |cluster, _shop| async move {
            let (leader, _) = leader_and_term(&cluster);
            let cut = if cuts_leader { leader } else { others(leader)[0] };
            cluster.cut(&from(cut).union(&towards(cut)).copied().collect(), Cut::BlackHole);
            let (node, _) = cluster.node(cut).expect("it runs");
            let begun = elapsed();
            let command = Command::CancelOrder { order: OrderId::from_bytes([0; 16]) };
            let write = node.submit(vec![command], PATIENT);
            let read = node.read(Consistency::Linearizable, PATIENT);
            let (write, read) = futures_util::future::join(write, read).await;
            (write.expect_err("nobody answers"), read.map(|_| ()).expect_err("nobody answers"), elapsed() - begun)
        });
        // It was on its way when the links were cut: proposed at the leader, or sent to it.
        assert!(matches!(write, SubmitError::Unknown { .. }), "{write:?}");
        assert!(matches!(read, ReadError::Retry { reason: RetryReason::NoLeader, .. }), "{read:?}");
        assert!(waited <= CUT_OFF_WITHIN, "{waited:?}");
    }
}

/// Whether another leader serves, soon after the leader hears nobody any more, though everybody hears it.
fn is_replaced_when_deaf(without: Option<Safeguard>) -> bool {
    play(
        1,
        |swarm| swarm.without = without,
        |cluster, shop| async move {
            let (leader, term) = leader_and_term(&cluster);
            cluster.cut(&towards(leader), Cut::BlackHole);
            // The first is unknown: it was sent to the deaf leader, and may be there.
            is_served(&shop, others(leader)[0], A_WHILE).await;
            let is_served = is_served(&shop, others(leader)[0], A_WHILE).await;
            let (now, new_term) = leader_and_term(&cluster);
            assert_eq!(is_served, now != leader && new_term > term, "who answers leads");
            is_served
        },
    )
}

#[test]
fn a_leader_that_hears_nobody_is_replaced() {
    assert!(is_replaced_when_deaf(None));
    assert!(!is_replaced_when_deaf(Some(Safeguard::QuorumLossProbe)), "it is the probe that silences it");
}

/// The leader's log is no longer synced, or its ledger no longer written, and everything else goes on.
///
/// Returns whether it still follows, and keeps its callers waiting for it, meanwhile.
fn stalls_a_leader(seed: u64, set_faults: fn(&Cluster, u64, DiskFaults)) -> bool {
    const STALL: Duration = Duration::from_secs(10);
    let nothing = |_: &mut Swarm| ();
    let (others_serve_after, follows, old, new, stepped_down) = play(seed, nothing, |cluster, shop| async move {
        let (leader, _) = leader_and_term(&cluster);
        let stall = u64::try_from(STALL.as_micros()).expect("seconds");
        let stands_still = DiskFaults { stall_chance: 1_000_000, stall: (stall, stall), ..cluster.swarm.disk.clone() };
        set_faults(&cluster, leader, stands_still);
        let begun = elapsed();
        let (node, _) = cluster.node(leader).expect("it runs");
        while leader_and_term(&cluster).0 == leader {
            is_served(&shop, others(leader)[0], ELECTION_TIMEOUT_MAX).await;
            assert!(elapsed() < begun + STALL, "seed {seed}: it leads with a dead disk");
        }
        while !is_served(&shop, leader_and_term(&cluster).0, ELECTION_TIMEOUT_MAX).await {}
        let after = elapsed() - begun;
        sleep(A_WHILE).await;
        turns_away_at_once(&cluster, leader).await;
        let follows = !turns_away_at_once(&cluster, leader).await;
        set_faults(&cluster, leader, cluster.swarm.disk.calm());
        sleep(STALL).await;
        assert!(is_served(&shop, leader, A_WHILE).await, "seed {seed}: it follows");
        (after, follows, leader, leader_and_term(&cluster).0, node.metrics().disk_stall_step_downs.get())
    });
    assert!(others_serve_after <= limits::DISK_STALL_MAX + NEW_LEADER_WITHIN, "seed {seed}: {others_serve_after:?}");
    assert_ne!(old, new, "seed {seed}");
    assert_eq!(stepped_down, 1, "seed {seed}");
    follows
}

#[test]
fn a_leader_whose_disk_stalls_steps_down() {
    for seed in 0..SEEDS {
        let follows = stalls_a_leader(seed, |cluster, leader, faults| cluster.log(leader).set_faults(faults));
        assert!(!follows, "seed {seed}: what cannot be on its disk it does not say it has, and it sends its callers elsewhere");
        let follows = stalls_a_leader(seed, |cluster, leader, faults| cluster.ledger(leader).set_faults(faults));
        assert!(follows, "seed {seed}: its log is in order");
    }
}

#[test]
fn a_log_that_cannot_be_synced_stops_the_leader_and_acknowledges_nothing() {
    let nothing = |_: &mut Swarm| ();
    let (is_served, fatal) = play(1, nothing, |cluster, shop| async move {
        let (leader, _) = leader_and_term(&cluster);
        let (node, _) = cluster.node(leader).expect("it runs");
        for node_id in NODES {
            cluster.log(node_id).set_faults(DiskFaults { fails: true, ..cluster.swarm.disk.clone() });
        }
        let is_served = is_served(&shop, leader, A_WHILE).await;
        sleep(A_WHILE).await;
        (is_served, node.status().fatal)
    });
    assert!(!is_served, "no majority has it on disk");
    let fatal = fatal.expect("a failed sync is for ever");
    assert!(fatal.contains("the disk fails"), "{fatal}");
}

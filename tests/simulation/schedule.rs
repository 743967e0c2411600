//! The faults of one run, one after the other, from the seed; they overlap, since each lasts for a while.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use rand::RngExt;
use rand::seq::IndexedRandom;

use crate::cluster::Cluster;
use crate::net::{Cut, Direction};
use crate::swarm::FaultKind;
use crate::world::{Dice, elapsed, sleep};

/// How long a node stays down, microseconds: at once, or longer than a lease.
const DOWN_AT_ONCE: (u64, u64) = (100, 5_000);
const DOWN_FOR_A_WHILE: (u64, u64) = (5_000, 1_500_000);
/// How long a cut lasts, microseconds.
const CUT_LASTS: (u64, u64) = (20_000, 1_500_000);
/// How long disks are low, microseconds.
const LOW_LASTS: (u64, u64) = (20_000, 1_500_000);
/// Of cuts to be noticed by the sender at once.
const REFUSED_PPM: u32 = 300_000;
/// How far a clock jumps either way, milliseconds: an hour, longer than any payment window here.
const CLOCK_JUMP_MS: i64 = 3_600_000;
/// How long an operator waits for a snapshot or a transfer.
const OPERATOR_PATIENCE: Duration = Duration::from_secs(1);

/// Hurts the cluster until `until`.
pub async fn hurt(cluster: Cluster, until: Duration) {
    let schedule = cluster.swarm.schedule.clone();
    while elapsed() < until && !cluster.world.is_violated() {
        sleep(cluster.world.micros(Dice::Schedule, schedule.pause)).await;
        let kind = cluster.world.draw(Dice::Schedule, |rng| schedule.kinds.choose(rng).copied());
        let Some(kind) = kind else { return };
        inflict(&cluster, kind);
    }
}

fn inflict(cluster: &Cluster, kind: FaultKind) {
    let members = cluster.members();
    let anyone = pick(cluster, &members);
    let leader = cluster.leader().unwrap_or(anyone);
    let others: Vec<u64> = members.iter().copied().filter(|node_id| *node_id != leader).collect();
    let follower = pick(cluster, &others);
    match kind {
        FaultKind::CrashLeader => crash(cluster, &[leader]),
        FaultKind::CrashFollower => crash(cluster, &[follower]),
        FaultKind::CrashTwo => crash(cluster, &[leader, follower]),
        FaultKind::CrashAll => crash(cluster, &members),
        FaultKind::Isolate => cut(cluster, towards(&members, anyone).union(&from(&members, anyone)).copied().collect()),
        FaultKind::Deafen => {
            let hears = cluster.world.chance(Dice::Schedule, 500_000);
            cut(cluster, if hears { from(&members, leader) } else { towards(&members, leader) });
        }
        FaultKind::CutOneWay => cut(cluster, BTreeSet::from([(leader, follower)])),
        FaultKind::Snapshot => {
            if let Some((node, _)) = cluster.node(anyone) {
                cluster.world.count("snapshots asked for");
                SimRuntime::spawn(async move { drop(node.trigger_snapshot(OPERATOR_PATIENCE).await) });
            }
        }
        FaultKind::TransferLeader => {
            if let Some((node, _)) = cluster.node(leader) {
                cluster.world.count("transfers asked for");
                let world = cluster.world.clone();
                SimRuntime::spawn(async move {
                    if node.transfer_leader(None, OPERATOR_PATIENCE).await.is_ok() {
                        world.count("transfers done");
                    }
                });
            }
        }
        FaultKind::LowDisks => {
            let low =
                cluster.world.draw(Dice::Schedule, |rng| members.iter().copied().filter(|_| rng.random_bool(0.6)).collect());
            lower(cluster, low);
        }
        FaultKind::JumpClock => {
            let offset_ms = cluster.world.draw(Dice::Schedule, |rng| rng.random_range(-CLOCK_JUMP_MS..=CLOCK_JUMP_MS));
            cluster.world.count("clock jumps");
            cluster.set_clock(cluster.swarm.schedule.wrong_clock, offset_ms);
        }
    }
}

fn lower(cluster: &Cluster, nodes: Vec<u64>) {
    cluster.world.count("times that disks were low");
    nodes.iter().for_each(|node_id| cluster.set_disk_low(*node_id, true));
    let lasts = cluster.world.micros(Dice::Schedule, LOW_LASTS);
    let cluster = cluster.clone();
    SimRuntime::spawn(async move {
        sleep(lasts).await;
        nodes.iter().for_each(|node_id| cluster.set_disk_low(*node_id, false));
    });
}

fn pick(cluster: &Cluster, nodes: &[u64]) -> u64 {
    cluster.world.draw(Dice::Schedule, |rng| *nodes.choose(rng).expect("a cluster has nodes"))
}

fn from(members: &[u64], node_id: u64) -> BTreeSet<Direction> {
    members.iter().filter(|other| **other != node_id).map(|other| (node_id, *other)).collect()
}

fn towards(members: &[u64], node_id: u64) -> BTreeSet<Direction> {
    from(members, node_id).into_iter().map(|(a, b)| (b, a)).collect()
}

fn crash(cluster: &Cluster, nodes: &[u64]) {
    for node_id in nodes.iter().copied() {
        cluster.crash(node_id);
        let at_once = cluster.world.chance(Dice::Schedule, cluster.swarm.schedule.restart_at_once_chance);
        let down = cluster.world.micros(Dice::Schedule, if at_once { DOWN_AT_ONCE } else { DOWN_FOR_A_WHILE });
        let cluster = cluster.clone();
        SimRuntime::spawn(async move {
            sleep(down).await;
            cluster.start(node_id).await;
        });
    }
}

fn cut(cluster: &Cluster, directions: BTreeSet<Direction>) {
    let is_refused = cluster.world.chance(Dice::Schedule, REFUSED_PPM);
    cluster.world.count("cuts");
    cluster.cut(&directions, if is_refused { Cut::Refused } else { Cut::BlackHole });
    let lasts = cluster.world.micros(Dice::Schedule, CUT_LASTS);
    let cluster = cluster.clone();
    SimRuntime::spawn(async move {
        sleep(lasts).await;
        cluster.heal(&directions);
    });
}

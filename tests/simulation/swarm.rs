//! Which faults a seed's run meets. Each class is switched fully on or off, and draws its own intensity: runs in which
//! everything happens at once hide what one class alone would show.

use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;
use stampede::consensus::Safeguard;

use crate::cluster::NODES;
use crate::world::{Dice, World};

/// Parts of a million.
pub type Ppm = u32;
/// Least and most, microseconds.
pub type Micros = (u64, u64);

#[derive(Debug, Clone)]
pub struct DiskFaults {
    pub sync: Micros,
    /// Of a sync to take as long as `stall` instead.
    pub stall_chance: Ppm,
    pub stall: Micros,
    /// Of a crash to keep a prefix of what was written and not synced, instead of nothing.
    pub torn_chance: Ppm,
    /// Of an applied batch to reach the disk at once, unasked: a crash goes back no further.
    pub ledger_flush_chance: Ppm,
    /// The disk is broken: it says "synced" before it is, and a crash takes the newest records, and the vote, all the same. No
    /// cluster survives that; only the test of the checks has such disks.
    pub lies: bool,
    /// Every sync fails from now on, and says so.
    pub fails: bool,
}

impl DiskFaults {
    /// The same disk, no worse than its usual self.
    pub fn calm(&self) -> Self {
        Self { sync: (100, 400), stall_chance: 0, ..self.clone() }
    }
}

#[derive(Debug, Clone)]
pub struct NetworkFaults {
    pub delay: Micros,
    /// Of a message to take as long as `slow` instead.
    pub slow_chance: Ppm,
    pub slow: Micros,
    pub drop_chance: Ppm,
    /// Calls of this name never arrive.
    pub loses: Option<&'static str>,
}

impl NetworkFaults {
    pub fn calm(&self) -> Self {
        Self { delay: (100, 800), slow_chance: 0, drop_chance: 0, ..self.clone() }
    }
}

/// What the schedule may do to the cluster, and how often.
#[derive(Debug, Clone)]
pub struct Schedule {
    pub kinds: Vec<FaultKind>,
    /// Between one fault and the next.
    pub pause: Micros,
    /// Of a crashed node to be back within milliseconds.
    pub restart_at_once_chance: Ppm,
    /// The node whose clock is not to be trusted: no cluster keeps time while half of its clocks are wrong.
    pub wrong_clock: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    CrashLeader,
    CrashFollower,
    CrashTwo,
    CrashAll,
    /// All links of one node, both ways.
    Isolate,
    /// All links of the leader, one way: it is heard and hears nothing, or the other way round.
    Deafen,
    /// One direction of one link.
    CutOneWay,
    /// A snapshot now, and the log purged up to it.
    Snapshot,
    /// The leader hands over, as before a planned stop.
    TransferLeader,
    /// The clock of [`Schedule::wrong_clock`], forward or back.
    JumpClock,
    /// Some of the disks have less room than their floor, for a while.
    LowDisks,
}

#[derive(Debug, Clone)]
pub struct Swarm {
    pub disk: DiskFaults,
    pub network: NetworkFaults,
    pub schedule: Schedule,
    pub clients: usize,
    /// Virtual time under faults; healing comes after it.
    pub duration: Duration,
    /// Between one call of a client and its next.
    pub think: Micros,
    /// Of the second series, which runs out.
    pub scarce_capacity: u64,
    pub payment_window: Duration,
    /// See `NodeSettings`: small, so that snapshots, purges and back-pressure happen within seconds.
    pub snapshot_after_entries: u64,
    pub entries_kept_after_snapshot: u64,
    pub append_entries_max: u64,
    pub entries_in_flight_max: usize,
    /// Whose place [`SPARE`](crate::cluster::SPARE) takes, from joining to the old one's removal.
    pub replaces: Option<u64>,
    /// What the product never leaves out.
    pub without: Option<Safeguard>,
}

/// Virtual time under faults of one seed.
const DURATION: Duration = Duration::from_secs(6);

impl Swarm {
    pub fn draw(world: &World) -> Self {
        let mut swarm = Self::drawn(world);
        // The last to be drawn, so that what a seed drew before it had them stays the same.
        swarm.schedule.wrong_clock = world.draw(Dice::Swarm, |rng| *NODES.choose(rng).expect("a cluster has nodes"));
        swarm.replaces = world.draw(Dice::Swarm, |rng| rng.random_bool(0.4).then(|| NODES.choose(rng).copied()).flatten());
        if world.draw(Dice::Swarm, |rng| rng.random_bool(0.3)) {
            swarm.schedule.kinds.push(FaultKind::LowDisks);
        }
        swarm
    }

    fn drawn(world: &World) -> Self {
        world.draw(Dice::Swarm, |rng| {
            let on = |rng: &mut rand_chacha::ChaCha8Rng, chance: f64| rng.random_bool(chance);
            let disk = DiskFaults {
                sync: if on(rng, 0.5) { (100, 400) } else { (100, 6_000) },
                stall_chance: if on(rng, 0.4) { rng.random_range(500..20_000) } else { 0 },
                stall: (20_000, 400_000),
                torn_chance: if on(rng, 0.6) { rng.random_range(100_000..1_000_000) } else { 0 },
                ledger_flush_chance: if on(rng, 0.5) { rng.random_range(1_000..200_000) } else { 0 },
                lies: false,
                fails: false,
            };
            let network = NetworkFaults {
                delay: if on(rng, 0.5) { (100, 800) } else { (100, 12_000) },
                slow_chance: if on(rng, 0.4) { rng.random_range(500..30_000) } else { 0 },
                slow: (30_000, 600_000),
                drop_chance: if on(rng, 0.5) { rng.random_range(500..50_000) } else { 0 },
                loses: None,
            };
            let mut kinds = Vec::new();
            for (kind, chance) in [
                (FaultKind::CrashLeader, 0.7),
                (FaultKind::CrashFollower, 0.5),
                (FaultKind::CrashTwo, 0.3),
                (FaultKind::CrashAll, 0.3),
                (FaultKind::Isolate, 0.5),
                (FaultKind::Deafen, 0.4),
                (FaultKind::CutOneWay, 0.4),
                (FaultKind::Snapshot, 0.5),
                (FaultKind::TransferLeader, 0.3),
                (FaultKind::JumpClock, 0.4),
            ] {
                if on(rng, chance) {
                    kinds.push(kind);
                }
            }
            let calm = rng.random_range(100_000..900_000);
            Self {
                disk,
                network,
                schedule: Schedule {
                    kinds,
                    pause: (20_000, calm),
                    restart_at_once_chance: rng.random_range(0..1_000_000),
                    wrong_clock: NODES[0],
                },
                clients: rng.random_range(2..=8),
                duration: DURATION,
                think: (500, rng.random_range(5_000..40_000)),
                scarce_capacity: rng.random_range(20..300),
                payment_window: Duration::from_millis(rng.random_range(1_000..3_000)),
                snapshot_after_entries: rng.random_range(20..400),
                entries_kept_after_snapshot: rng.random_range(0..60),
                append_entries_max: rng.random_range(1..64),
                entries_in_flight_max: rng.random_range(1..=4),
                replaces: None,
                without: None,
            }
        })
    }

    /// Leaders are killed under load, before their own slow syncs, and are back before anybody misses them.
    pub fn leaders_back_at_once(world: &World) -> Self {
        let mut swarm = Self::draw(world);
        swarm.disk = DiskFaults { sync: (2_000, 12_000), stall_chance: 0, torn_chance: 0, ..swarm.disk };
        swarm.network = swarm.network.calm();
        swarm.schedule = Schedule {
            kinds: vec![FaultKind::CrashLeader],
            pause: (150_000, 400_000),
            restart_at_once_chance: 1_000_000,
            ..swarm.schedule
        };
        swarm.clients = 8;
        swarm.think = (500, 5_000);
        swarm
    }

    /// Nothing happens by itself: for the tests that say what does.
    pub fn calm(world: &World) -> Self {
        let mut swarm = Self::draw(world);
        swarm.disk = DiskFaults { torn_chance: 0, ledger_flush_chance: 0, ..swarm.disk.calm() };
        swarm.network = swarm.network.calm();
        swarm.schedule.kinds.clear();
        swarm.replaces = None;
        swarm
    }

    /// All nodes lose power at once, again and again.
    pub fn power_cuts(world: &World) -> Self {
        let mut swarm = Self::draw(world);
        swarm.schedule = Schedule {
            kinds: vec![FaultKind::CrashAll],
            pause: (300_000, 900_000),
            restart_at_once_chance: 500_000,
            ..swarm.schedule
        };
        swarm
    }
}

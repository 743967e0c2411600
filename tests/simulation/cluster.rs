//! Three nodes, their disks, and what can be done to them. A crash cuts the node off, kills its disk's handles, stops its
//! tasks, and keeps what was durable; a restart builds a new node from that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use stampede::consensus::{Node, NodeSettings, NodeStatus};
use stampede::proto::storage::MemberNode;

use crate::checks::Checks;
use crate::disk::SimLog;
use crate::ledger::SimLedger;
use crate::net::{Cut, Direction, Network, SimPeers};
use crate::swarm::Swarm;
use crate::world::{World, sleep, trace, unix_ms};

pub type SimNode = Node<SimRuntime, SimLog, SimLedger, SimPeers>;

/// Of the cluster that `initialize` makes.
pub const NODES: [u64; 3] = [1, 2, 3];
/// It belongs to no cluster until it is admitted to one; the id that the log mints first.
pub const SPARE: u64 = 4;

/// The product's defaults; leases and timeouts are what the faults must get past.
const HEARTBEAT: Duration = Duration::from_millis(30);
const ELECTION_TIMEOUT_MIN: Duration = Duration::from_millis(100);
pub const ELECTION_TIMEOUT_MAX: Duration = Duration::from_millis(150);
/// Between two samples of every node's status.
const SAMPLE_EVERY: Duration = Duration::from_millis(10);

struct Machine {
    log: SimLog,
    ledger: SimLedger,
    power: Power,
    /// Added to the one virtual clock, milliseconds.
    clock_offset_ms: Arc<AtomicI64>,
    /// It has less room than its floor; whoever runs the node tells it.
    disk_low: bool,
}

enum Power {
    Off,
    Starting,
    On { node: SimNode, life: u64 },
}

/// Cheap to clone: clones share the machines.
#[derive(Clone)]
pub struct Cluster {
    pub world: World,
    pub swarm: Swarm,
    pub network: Network,
    pub checks: Checks,
    machines: Arc<Mutex<BTreeMap<u64, Machine>>>,
    /// Those that may have power.
    members: Arc<Mutex<BTreeSet<u64>>>,
}

impl Cluster {
    pub fn new(world: World, swarm: Swarm) -> Self {
        let checks = Checks::new(world.clone());
        let network = Network::new(world.clone(), swarm.network.clone());
        let machine = |node_id| Machine {
            log: SimLog::new(world.clone(), node_id, swarm.disk.clone()),
            ledger: SimLedger::new(world.clone(), checks.clone(), node_id, swarm.disk.clone()),
            power: Power::Off,
            clock_offset_ms: Arc::default(),
            disk_low: false,
        };
        let machines = NODES.into_iter().chain([SPARE]).map(|node_id| (node_id, machine(node_id))).collect();
        let members = Arc::new(Mutex::new(NODES.into()));
        Self { world, swarm, network, checks, machines: Arc::new(Mutex::new(machines)), members }
    }

    /// The nodes that are, or are about to be, members.
    pub fn members(&self) -> Vec<u64> {
        self.members.lock().expect("one thread: nobody panicked while holding it").iter().copied().collect()
    }

    /// A node was admitted: it may be switched on.
    pub fn join(&self, node_id: u64) {
        self.members.lock().expect("one thread: nobody panicked while holding it").insert(node_id);
    }

    /// A node was removed, and knows it: it goes, and never comes back.
    pub fn retire(&self, node_id: u64) {
        self.members.lock().expect("one thread: nobody panicked while holding it").remove(&node_id);
        self.crash(node_id);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Machine>> {
        self.machines.lock().expect("one thread: nobody panicked while holding it")
    }

    fn settings(&self, node_id: u64) -> NodeSettings {
        NodeSettings {
            node_id,
            cluster_name: "simulated".into(),
            heartbeat: HEARTBEAT,
            election_timeout_min: ELECTION_TIMEOUT_MIN,
            election_timeout_max: ELECTION_TIMEOUT_MAX,
            snapshot_after_entries: self.swarm.snapshot_after_entries,
            entries_kept_after_snapshot: self.swarm.entries_kept_after_snapshot,
            append_entries_max: self.swarm.append_entries_max,
            entries_in_flight_max: self.swarm.entries_in_flight_max,
        }
    }

    /// Switches a node on. It runs when this returns.
    pub async fn start(&self, node_id: u64) {
        let (log, ledger, clock_offset_ms) = {
            let is_member = self.members().contains(&node_id);
            let mut machines = self.lock();
            let machine = machines.get_mut(&node_id).expect("a machine of this cluster");
            if !is_member || !matches!(machine.power, Power::Off) {
                return;
            }
            machine.power = Power::Starting;
            (machine.log.clone(), machine.ledger.clone(), machine.clock_offset_ms.clone())
        };
        let life = self.network.life(node_id);
        let clock = Arc::new(move || unix_ms().saturating_add_signed(clock_offset_ms.load(Ordering::Relaxed)));
        let peers = SimPeers::new(self.network.clone(), node_id);
        trace!(self.world, "n{node_id} starts");
        let settings = self.settings(node_id);
        let started = match self.swarm.without {
            Some(safeguard) => Node::start_without(safeguard, settings, log, ledger, peers, clock).await,
            None => Node::start(settings, log, ledger, peers, clock).await,
        };
        if self.network.life(node_id) != life {
            // Its power went meanwhile: whatever came up has neither disk nor network, and its machine may be starting again.
            if let Ok(node) = started {
                node.shutdown().await;
            }
            return;
        }
        match started {
            Ok(node) => {
                trace!(self.world, "n{node_id} runs");
                self.network.attach(node_id, Arc::new(node.clone()));
                let mut machines = self.lock();
                let machine = machines.get_mut(&node_id).expect("a machine of this cluster");
                node.set_disk_low(machine.disk_low);
                machine.power = Power::On { node, life };
            }
            Err(error) => self.world.violate("StartFailed", format!("n{node_id}: {error}")),
        }
    }

    /// Starts all nodes and makes a cluster of them.
    pub async fn initialize(&self) {
        for node_id in NODES {
            self.start(node_id).await;
        }
        let address = |node_id: u64, port: &str| format!("n{node_id}:{port}");
        let members = NODES.map(|node_id| MemberNode {
            node_id,
            peer_address: address(node_id, "peer"),
            client_address: address(node_id, "client"),
        });
        let (node, _) = self.node(NODES[0]).expect("it was just started");
        if let Err(error) = node.initialize(members.to_vec()).await {
            self.world.violate("StartFailed", format!("initialize: {error}"));
        }
    }

    /// The power of a node goes, also while it starts.
    pub fn crash(&self, node_id: u64) {
        let mut machines = self.lock();
        let machine = machines.get_mut(&node_id).expect("a machine of this cluster");
        let running = match std::mem::replace(&mut machine.power, Power::Off) {
            Power::Off => return,
            Power::Starting => {
                self.world.count("crashes while starting");
                None
            }
            Power::On { node, .. } => {
                self.world.count("crashes");
                Some(node)
            }
        };
        trace!(self.world, "n{node_id} crashes");
        self.network.detach(node_id);
        machine.log = machine.log.crash();
        machine.ledger = machine.ledger.crash();
        drop(machines);
        // Raft's tasks cannot be killed. Whatever they still do reaches neither disk nor network.
        if let Some(node) = running {
            SimRuntime::spawn(async move { node.shutdown().await });
        }
    }

    /// A running node and its life.
    pub fn node(&self, node_id: u64) -> Option<(SimNode, u64)> {
        match &self.lock().get(&node_id)?.power {
            Power::On { node, life } => Some((node.clone(), *life)),
            Power::Off | Power::Starting => None,
        }
    }

    /// The node has not died since.
    pub fn lives(&self, node_id: u64, life: u64) -> bool {
        self.node(node_id).is_some_and(|(_, now)| now == life)
    }

    pub fn running(&self) -> Vec<(u64, SimNode, u64)> {
        self.members().into_iter().filter_map(|node_id| self.node(node_id).map(|(node, life)| (node_id, node, life))).collect()
    }

    pub fn ledger(&self, node_id: u64) -> SimLedger {
        self.lock()[&node_id].ledger.clone()
    }

    pub fn log(&self, node_id: u64) -> SimLog {
        self.lock()[&node_id].log.clone()
    }

    /// The node that leads in the highest term, as far as any says so.
    pub fn leader(&self) -> Option<u64> {
        let leading = self.statuses().into_iter().filter(NodeStatus::leads);
        leading.max_by_key(|status| status.term).map(|status| status.node_id)
    }

    pub fn statuses(&self) -> Vec<NodeStatus> {
        self.running().into_iter().map(|(_, node, _)| node.status()).collect()
    }

    /// From now on the node's clock is this far ahead (or, negative, behind).
    pub fn set_clock(&self, node_id: u64, offset_ms: i64) {
        trace!(self.world, "n{node_id} clock {offset_ms:+} ms");
        self.lock()[&node_id].clock_offset_ms.store(offset_ms, Ordering::Relaxed);
    }

    /// From now on the node's disk has less room than its floor, or has enough.
    pub fn set_disk_low(&self, node_id: u64, is_low: bool) {
        trace!(self.world, "n{node_id} disk {}", if is_low { "is low" } else { "has room" });
        self.lock().get_mut(&node_id).expect("a machine of this cluster").disk_low = is_low;
        if let Some((node, _)) = self.node(node_id) {
            node.set_disk_low(is_low);
        }
    }

    pub fn cut(&self, directions: &BTreeSet<Direction>, how: Cut) {
        trace!(self.world, "cut {directions:?} {how:?}");
        self.network.cut(directions.iter().copied(), how);
    }

    pub fn heal(&self, directions: &BTreeSet<Direction>) {
        trace!(self.world, "heal {directions:?}");
        self.network.heal(directions);
    }

    /// All faults end: links stand, messages and syncs are quick, disks have room, every machine is on.
    pub async fn heal_all(&self) {
        trace!(self.world, "heal all");
        self.network.heal_all();
        self.network.set_faults(self.swarm.network.calm());
        let calm = self.swarm.disk.calm();
        for machine in self.lock().values() {
            machine.log.set_faults(calm.clone());
            machine.ledger.set_faults(calm.clone());
        }
        for node_id in self.members() {
            self.set_disk_low(node_id, false);
            self.start(node_id).await;
        }
    }

    /// Looks at every running node, again and again, for as long as the run lasts.
    pub async fn sample(self) {
        while !self.world.is_violated() {
            for (_, node, life) in self.running() {
                self.checks.status(life, &node.status());
            }
            sleep(SAMPLE_EVERY).await;
        }
    }
}

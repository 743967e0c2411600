//! One seed's run: start, faults under load, heal, converge, ask about every unknown, a fresh write at every node, full scan.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use stampede::domain::Command;
use stampede::domain::OrderId;

use crate::cluster::Cluster;
use crate::members;
use crate::schedule;
use crate::swarm::Swarm;
use crate::workload::Shop;
use crate::world::{Violation, World, elapsed, sleep};

/// After the heal, all nodes agree and serve within this, virtual time.
const CONVERGES_WITHIN: Duration = Duration::from_secs(10);
/// How often convergence is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// As the test harness itself ends after a panic.
const EXIT_PANICKED: i32 = 101;

pub struct Report {
    pub seed: u64,
    pub violations: Vec<Violation>,
    pub counts: BTreeMap<&'static str, u64>,
    pub virtual_time: Duration,
    /// BLAKE3 of the trace, and its lines.
    pub trace_digest: (String, u64),
    pub trace_tail: Vec<String>,
    pub acknowledged: usize,
}

/// Runs `seed` with the faults that it draws.
pub fn run_seed(seed: u64) -> Report {
    run(seed, Swarm::draw)
}

/// Runs `seed` with the faults of `plan`.
pub fn run(seed: u64, plan: impl FnOnce(&World) -> Swarm) -> Report {
    let keeps_trace = std::env::var_os("STAMPEDE_SIM_TRACE").is_some();
    let world = World::new(seed, keeps_trace);
    let swarm = plan(&world);
    let mut runtime = SimRuntime::with_seed(seed);
    SEED.set(seed);
    keep_panics();
    let lived = catch_unwind(AssertUnwindSafe(|| runtime.block_on(live(Cluster::new(world.clone(), swarm)))));
    let (acknowledged, virtual_time) = lived.unwrap_or_default();
    let mut violations = world.violations();
    let panics = PANICS.with_borrow_mut(std::mem::take);
    violations.extend(panics.into_iter().map(|detail| Violation { name: "Panicked", detail }));
    Report {
        seed,
        violations,
        counts: world.counts(),
        virtual_time,
        trace_digest: world.trace_digest(),
        trace_tail: world.trace_text(),
        acknowledged,
    }
}

thread_local! {
    /// Of this thread's run. The runtime keeps a task's panic to itself; a run must not.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static SEED: Cell<u64> = const { Cell::new(0) };
}

fn keep_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.with_borrow_mut(|panics| panics.push(panic.to_string()));
            usual(panic);
            // The executor panics with its own lock held: unwinding would hang the test instead of failing it.
            if panic.location().is_some_and(|at| at.file().ends_with("executor/state.rs")) {
                eprintln!("a task runs without a pause, seed {}", SEED.get());
                std::process::exit(EXIT_PANICKED);
            }
        }));
    });
    PANICS.with_borrow_mut(Vec::clear);
}

async fn live(cluster: Cluster) -> (usize, Duration) {
    let shop = Shop::new(cluster.clone());
    cluster.initialize().await;
    SimRuntime::spawn(cluster.clone().sample());
    shop.open().await;

    let until = elapsed() + cluster.swarm.duration;
    for _ in 0..cluster.swarm.clients {
        SimRuntime::spawn(shop.clone().serve(until));
    }
    let replacing = members::replacing(&cluster);
    schedule::hurt(cluster.clone(), until).await;
    while elapsed() < until && !cluster.world.is_violated() {
        sleep(LOOK_EVERY).await;
    }

    if !cluster.world.is_violated() {
        cluster.heal_all().await;
        members::finished(&cluster, &replacing, elapsed() + CONVERGES_WITHIN).await;
        settle(&cluster, &shop).await;
    }
    (shop.oracle.tally().0, elapsed())
}

/// After the heal: the cluster serves, every unknown becomes known, all replicas hold the same, and it is what was promised.
async fn settle(cluster: &Cluster, shop: &Shop) {
    let deadline = elapsed() + CONVERGES_WITHIN;
    for node_id in cluster.members() {
        let fresh = Command::CancelOrder { order: OrderId::from_bytes([0; 16]) };
        let patience = Duration::from_secs(1);
        while !answered(&shop.call(node_id, vec![fresh.clone()], patience).await) {
            if cluster.world.is_violated() || is_over(cluster, deadline, "NotServing", node_id) {
                return;
            }
            sleep(LOOK_EVERY).await;
        }
    }
    // What is still under way at some client ends first: then nothing moves any more.
    while shop.oracle.in_flight() > 0 {
        if cluster.world.is_violated() || is_over(cluster, deadline, "StillInFlight", 0) {
            return;
        }
        sleep(LOOK_EVERY).await;
    }
    for command in shop.oracle.unknowns() {
        if shop.insist(command.clone()).await.is_none() {
            cluster.world.violate("StaysUnknown", format!("{command:?}"));
            return;
        }
    }
    while !has_converged(cluster) {
        if cluster.world.is_violated() || is_over(cluster, deadline, "NotConverged", 0) {
            return;
        }
        sleep(LOOK_EVERY).await;
    }
    scan(cluster, shop);
}

fn answered(answers: &[crate::oracle::Answer]) -> bool {
    matches!(answers, [crate::oracle::Answer::Replied(_)])
}

fn is_over(cluster: &Cluster, deadline: Duration, name: &'static str, node_id: u64) -> bool {
    let is_over = elapsed() > deadline;
    if is_over {
        cluster.world.violate(name, format!("n{node_id}, {:?} after the heal: {:#?}", CONVERGES_WITHIN, cluster.statuses()));
    }
    is_over
}

fn has_converged(cluster: &Cluster) -> bool {
    let statuses = cluster.statuses();
    let first = &statuses[0];
    statuses.len() == cluster.members().len()
        && statuses.iter().all(|status| {
            status.leader.is_some()
                && !status.refuses_new_orders
                && (status.term, status.leader) == (first.term, first.leader)
                && status.applied.map(|applied| applied.index) == status.last_log_index
                && (status.applied, status.committed) == (first.applied, first.applied)
        })
}

/// Every replica, record by record.
fn scan(cluster: &Cluster, shop: &Shop) {
    let members = cluster.members();
    let first = cluster.ledger(members[0]).contents();
    for node_id in members.iter().copied() {
        let ledger = cluster.ledger(node_id);
        let contents = ledger.contents();
        cluster.checks.ledger(node_id, &contents);
        shop.oracle.final_scan(node_id, &contents);
        if contents != first {
            cluster.world.violate("ReplicasDiffer", format!("n{node_id} and n{} hold different records", members[0]));
        }
        if let Err(why) = ledger.verify_digest() {
            cluster.world.violate("DigestWrong", format!("n{node_id}: {why}"));
        }
        if let Err(why) = ledger.verify_audit() {
            cluster.world.violate("AuditRecordWrong", format!("n{node_id}: {why}"));
        }
    }
    let mut entries = BTreeMap::new();
    for node_id in members {
        for record in cluster.log(node_id).durable_records() {
            let bytes = entries.entry(record.index).or_insert_with(|| record.bytes.clone());
            if *bytes != record.bytes {
                cluster.world.violate("LogsDiffer", format!("n{node_id} holds another entry at index {}", record.index));
            }
        }
    }
}

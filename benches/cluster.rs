//! `make bench`: what three nodes with fsync on, and the client, reach on this machine.
//!
//! An order is PlaceOrder, then RecordPayment, each acknowledged by a majority on disk. Every figure is of one run on one
//! machine; compare only figures of the same run. Nothing here fails for being slow; it does for a payment that was turned away, and
//! where there is nothing to measure, as without a leader.

// A failed unwrap is a failed test.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss, unreachable_pub)]

mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stampede::proto::v1;
use support::cluster::Cluster;
use support::failed::Failed;
use support::load::{self, Buyer};
use support::overload::overload;

/// As the nodes have: the client shares their cores, and should take as little of them as it can.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Length of each throughput window.
const WINDOW: Duration = Duration::from_secs(10);
/// Leaders killed, and leaders asked to stop.
const FAILOVERS: usize = 20;
const HANDOVERS: usize = 10;

#[tokio::main]
async fn main() -> ExitCode {
    // `cargo bench` alone says so; `cargo test` runs this too, with no wish to measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match measure().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("{failed}");
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> Result<(), Failed> {
    let mut cluster = Cluster::start().await;
    println!("three nodes and the client on {} cores, fsync on\n", std::thread::available_parallelism().map_or(0, usize::from));
    // Names of parts: `cargo bench --bench cluster -- batches failover`; none is all of them.
    let names: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |part: &str| names.is_empty() || names.iter().any(|name| name == part);
    if wanted("unary") {
        unary(&cluster).await?;
    }
    if wanted("batches") {
        batches(&cluster).await?;
    }
    if wanted("overload") {
        overload(&cluster).await?;
    }
    memory(&cluster);
    if wanted("failover") {
        failover(&mut cluster).await;
    }
    if wanted("handover") {
        handover(&mut cluster).await;
    }
    Ok(())
}

fn print_throughput_header(what: &str) {
    println!("{what:34} {:>10} {:>9} {:>9}", "orders/s", "p50 ms", "p99 ms");
}

async fn unary(cluster: &Cluster) -> Result<(), Failed> {
    print_throughput_header("one order a call");
    for in_flight in [1, 16, 64, 256] {
        let leader = cluster.leader().await;
        let channels = load::channels(&cluster.client_address(leader), 8).await;
        let window = load::unary(&channels, in_flight, WINDOW).await?;
        println!("unary, {in_flight:3} in flight{:15} {window}", "");
    }
    println!();
    Ok(())
}

async fn batches(cluster: &Cluster) -> Result<(), Failed> {
    print_throughput_header("many orders a call");
    for (callers, commands) in [(2, 100), (2, 1_000), (4, 1_000)] {
        let leader = cluster.leader().await;
        let channels = load::channels(&cluster.client_address(leader), 2).await;
        let window = load::batches(&channels, callers, commands, WINDOW).await?;
        println!("batch, {callers} x {commands:4}{:18} {window}", "");
    }
    let leader = cluster.leader().await;
    let channels = load::channels(&cluster.client_address(leader), 2).await;
    let window = load::streams(&channels, 2, 4, 250, WINDOW).await?;
    println!("2 streams, 4 x 250 in flight{:6} {window}", "");
    println!();
    Ok(())
}

fn memory(cluster: &Cluster) {
    for node in cluster.nodes() {
        println!("node {node}: resident {} MiB", cluster.resident_mib(node));
    }
    println!();
}

/// Buys without pause at any node that answers, and keeps the times of the acknowledgements.
struct Acknowledgements {
    stop: Arc<AtomicBool>,
    /// Nanoseconds since `start` of the last acknowledgement, and the longest gap since the last reset.
    last_ns: Arc<AtomicU64>,
    longest_gap_ns: Arc<AtomicU64>,
    not_ok: Arc<AtomicU64>,
    workers: Vec<tokio::task::JoinHandle<()>>,
}

impl Acknowledgements {
    /// Each attempt may take so long before the next node is asked.
    const ATTEMPT: Duration = Duration::from_millis(250);
    const WORKERS: usize = 32;

    async fn start(cluster: &Cluster, attempt: Duration) -> Self {
        let (stop, start) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let (last_ns, longest_gap_ns, not_ok) =
            (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut workers = Vec::new();
        let mut clients = Vec::new();
        for node in cluster.nodes() {
            clients.push(load::lazy_channel(&cluster.client_address(node)));
        }
        for worker in 0..Self::WORKERS {
            let (stop, last_ns, longest, not_ok) = (stop.clone(), last_ns.clone(), longest_gap_ns.clone(), not_ok.clone());
            let clients = clients.clone();
            workers.push(tokio::spawn(async move {
                let mut at = worker % clients.len();
                while !stop.load(Ordering::Relaxed) {
                    let order = Buyer::order();
                    // The same order id until it is acknowledged: that is what the id is for.
                    while !stop.load(Ordering::Relaxed) {
                        let mut client = v1::issuance_service_client::IssuanceServiceClient::new(clients[at].clone());
                        let call = tokio::time::timeout(attempt, client.place_order(order.clone()));
                        let answer = call.await;
                        if matches!(answer, Ok(Ok(_))) {
                            let now = u64::try_from(start.elapsed().as_nanos()).expect("a run of minutes");
                            let gap = now.saturating_sub(last_ns.fetch_max(now, Ordering::Relaxed));
                            longest.fetch_max(gap, Ordering::Relaxed);
                            break;
                        }
                        // A node that is down takes no connection: nothing was sent, and nobody was let down.
                        if !matches!(&answer, Ok(Err(status)) if load::was_never_sent(status)) {
                            not_ok.fetch_add(1, Ordering::Relaxed);
                            eprintln!("let down by node {}: {answer:?}", at + 1);
                        }
                        at = (at + 1) % clients.len();
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            }));
        }
        let started = Self { stop, last_ns, longest_gap_ns, not_ok, workers };
        while started.last_ns.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        started
    }

    fn reset(&self) {
        self.longest_gap_ns.store(0, Ordering::Relaxed);
        self.not_ok.store(0, Ordering::Relaxed);
    }

    fn longest_gap_ms(&self) -> f64 {
        Duration::from_nanos(self.longest_gap_ns.load(Ordering::Relaxed)).as_secs_f64() * 1e3
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.await.expect("worker ends");
        }
    }
}

async fn failover(cluster: &mut Cluster) {
    let acknowledged = Acknowledgements::start(cluster, Acknowledgements::ATTEMPT).await;
    let mut pauses = Vec::new();
    for _ in 0..FAILOVERS {
        let leader = cluster.leader().await;
        acknowledged.reset();
        cluster.kill(leader);
        cluster.leader_other_than(leader).await;
        // The gap that the kill made ends with an acknowledgement after it.
        tokio::time::sleep(Duration::from_secs(1)).await;
        pauses.push(acknowledged.longest_gap_ms());
        cluster.restart(leader).await;
        cluster.caught_up().await;
    }
    acknowledged.stop().await;
    print_pauses("kill -9 of the leader", &mut pauses);
}

async fn handover(cluster: &mut Cluster) {
    // Long enough that only the node's own answer can end an attempt.
    let acknowledged = Acknowledgements::start(cluster, Duration::from_secs(5)).await;
    let (mut pauses, mut failed) = (Vec::new(), 0);
    for _ in 0..HANDOVERS {
        let leader = cluster.leader().await;
        acknowledged.reset();
        cluster.terminate(leader).await;
        cluster.leader_other_than(leader).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        pauses.push(acknowledged.longest_gap_ms());
        failed += acknowledged.not_ok.load(Ordering::Relaxed);
        cluster.restart(leader).await;
        cluster.caught_up().await;
    }
    acknowledged.stop().await;
    print_pauses("SIGTERM of the leader", &mut pauses);
    println!("{:24} calls refused or unknown: {failed}", "");
}

fn print_pauses(what: &str, pauses: &mut [f64]) {
    pauses.sort_by(f64::total_cmp);
    let (median, max) = (pauses[pauses.len() / 2], pauses[pauses.len() - 1]);
    println!("{what:24} pause between acknowledged writes: median {median:.0} ms, maximum of {} {max:.0} ms", pauses.len());
}

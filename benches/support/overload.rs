//! Three times the load that the cluster can serve: what it issues then, as a share of its peak (G10).
//!
//! The peak is that of callers who wait for their answers, measured before and after each rush: a ledger that grows gets slower, and
//! the machine is noisy, so the peak of the time between is taken to be the mean of the two. One ratio of one rush may be off by a
//! tenth; the median of several rounds stands. The nodes have one core and the client the others: whoever comes too often must cost
//! the nodes something, but not take their processor away.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tonic::transport::Channel;

use super::cluster::Cluster;
use super::failed::Failed;
use super::load::{self, Manners, Rush};

/// Rushes of each kind of portal.
const ROUNDS: usize = 3;
/// Of a rush: more than HTTP/2 alone would hold back.
const PORTAL_CONNECTIONS: usize = 32;
const GATEWAY_CONNECTIONS: usize = 8;
/// Of the peak.
const CALLERS: usize = 256;
const PEAK_WINDOW: Duration = Duration::from_secs(10);
/// Long enough for a steady state behind the moment in which the queues fill up.
const RUSH_WINDOW: Duration = Duration::from_secs(20);
const TIMES_THE_PEAK: f64 = 3.0;
/// Of the peak, in percent: what is asked of a cluster whose portals heed `RetryInfo`.
const GOODPUT_ASKED_PERCENT: f64 = 90.0;

/// # Errors
/// A payment was turned away, or the cluster could not be measured.
pub async fn overload(cluster: &Cluster) -> Result<(), Failed> {
    let last = std::thread::available_parallelism().map_or(0, |cores| cores.get() - 1);
    let pids: Vec<u32> = cluster.nodes().map(|node| cluster.pid(node)).collect();
    let (client, others, all) = (std::process::id(), format!("1-{last}"), format!("0-{last}"));
    if last == 0 || !pin(client, &others) || !pids.iter().all(|pid| pin(*pid, "0")) {
        println!("overload: left out, taskset gives nodes and client no cores of their own\n");
        return Ok(());
    }
    let leader = cluster.leader().await;
    let shed = rounds(&cluster.client_address(leader)).await?;
    for pid in pids.iter().chain([&client]) {
        pin(*pid, &all);
    }
    println!("the leader was node {leader} before and is node {} now\n", cluster.leader().await);
    if shed > 0 { Err(Failed::PaymentsShed { count: shed }) } else { Ok(()) }
}

/// Payments that were turned away.
async fn rounds(leader: &str) -> Result<u64, Failed> {
    let portals = load::channels(leader, PORTAL_CONNECTIONS).await;
    let gateway = load::channels(leader, GATEWAY_CONNECTIONS).await;
    let (mut held_back, mut deaf, mut shed) = (Vec::new(), Vec::new(), 0);
    let mut before = peak(&portals).await?;
    for round in 1..=ROUNDS {
        for (manners, percents) in [(Manners::HoldsBack, &mut held_back), (Manners::Deaf, &mut deaf)] {
            let seen = load::rush(&portals, &gateway, TIMES_THE_PEAK * before, RUSH_WINDOW, manners).await;
            let after = peak(&portals).await?;
            println!("round {round}: peak {before:.0} orders/s before, {after:.0} after; {TIMES_THE_PEAK} times that offered:");
            percents.push(told(manners, f64::midpoint(before, after), &seen));
            shed += seen.payments_shed.load(Ordering::Relaxed);
            before = after;
        }
    }
    let asked = format!("{GOODPUT_ASKED_PERCENT:.0} % is asked for");
    print_median("HoldsBack", &mut held_back, &asked);
    print_median("Deaf", &mut deaf, "each refusal is an exchange of its own");
    Ok(shed)
}

/// Orders a second.
async fn peak(portals: &[Channel]) -> Result<f64, Failed> {
    load::unary(portals, CALLERS, PEAK_WINDOW).await.map(|window| window.orders_per_second())
}

/// What was issued, in percent of the peak.
fn told(manners: Manners, peak: f64, seen: &Rush) -> f64 {
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let goodput = *seen.goodput.lock().expect("no panic");
    let percent = 100.0 * goodput / peak;
    println!("portals {manners:?}: {goodput:.0} orders/s issued ({percent:.0} %)");
    println!(
        "  turned away: {} new orders, {} payments; held back by their portals: {}; failed: {}",
        of(&seen.orders_shed),
        of(&seen.payments_shed),
        of(&seen.held_back),
        of(&seen.failed)
    );
    percent
}

fn print_median(who: &str, percents: &mut [f64], note: &str) {
    percents.sort_by(f64::total_cmp);
    let (least, median, most) = (percents[0], percents[percents.len() / 2], percents[percents.len() - 1]);
    println!("portals {who}: median of {ROUNDS} rounds {median:.0} % of the peak ({least:.0} to {most:.0}); {note}");
}

/// All threads of a process to these cores.
fn pin(pid: u32, cores: &str) -> bool {
    let pinned = std::process::Command::new("taskset").args(["-acp", cores, &pid.to_string()]).output();
    pinned.is_ok_and(|output| output.status.success())
}

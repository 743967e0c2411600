//! V14: from the moment a majority is healthy, writes succeed within one bound and are as quick as before within another.
//!
//! A window that the next fault or the end of the arrivals cuts below a bound shows nothing of that bound and is not counted:
//! a scenario in which no window can fail is inconclusive.

use super::timeline::{Acknowledged, MS, Window, acknowledged_writes, arrivals_end, is_acknowledged, windows};
use super::{Case, Evidence, Finding};
use crate::history::{FaultStage, Purpose};

/// Width of a latency window.
const WINDOW_NS: u64 = 1_000 * MS;
/// Writes that a window needs for a 99th percentile to mean something.
const WINDOW_WRITES_MIN: usize = 20;

#[must_use]
pub fn bounded_recovery(case: &Case) -> Finding {
    let mut finding = Finding::new("V14", "writes succeed soon after a majority is healthy, and are quick again");
    let evidence = case.evidence;
    let writes = acknowledged_writes(evidence);
    let windows = windows(evidence);
    let arrivals_end_ns = arrivals_end(evidence);
    let baseline_ns = baseline(evidence, &writes);
    for (at, window) in windows.iter().enumerate() {
        let next_ns = windows.get(at + 1).map_or(u64::MAX, |next| next.fired_ns).min(arrivals_end_ns);
        let Some(healthy_ns) = window.healthy_ns else {
            finding.unsure(format!("fault {}: a majority was never healthy again", window.fault));
            continue;
        };
        first_success(evidence, &writes, window, (healthy_ns, next_ns), &mut finding);
        if let Some(baseline_ns) = baseline_ns {
            quick_again(evidence, &writes, window, (healthy_ns, next_ns), baseline_ns, &mut finding);
        }
    }
    if finding.checked == 0 && !windows.is_empty() {
        finding.unsure("no fault left time enough to break a bound: see [bounds] of the scenario");
    }
    fresh_writes(evidence, &mut finding);
    finding
}

fn first_success(
    evidence: &Evidence,
    writes: &[Acknowledged],
    window: &Window,
    (healthy_ns, next_ns): (u64, u64),
    finding: &mut Finding,
) {
    let bound_ns = evidence.facts.bounds.first_success_ms.saturating_mul(MS);
    // Below the bound, the next fault or the end of the arrivals excuses any pause.
    if next_ns.saturating_sub(healthy_ns) < bound_ns {
        return;
    }
    finding.checked += 1;
    // The acknowledgement must come after the majority was healthy; the call may be older and have waited.
    let at = writes.partition_point(|write| write.returned_ns < healthy_ns);
    let first_ns = writes[at..].iter().find(|write| write.invoked_ns >= window.fired_ns).map(|write| write.returned_ns);
    let took_ns = first_ns.map_or(u64::MAX, |first_ns| first_ns - healthy_ns);
    if took_ns > bound_ns {
        finding.violated(&[], None, || {
            let took = first_ns.map_or("never".into(), |_| format!("after {} ms", took_ns / MS));
            format!("fault {}: the first write succeeded {took}, the bound is {} ms", window.fault, bound_ns / MS)
        });
    }
}

/// The 99th percentile before the first fault.
fn baseline(evidence: &Evidence, writes: &[Acknowledged]) -> Option<u64> {
    let first_fault =
        evidence.faults.iter().filter(|event| event.stage == FaultStage::Injected).map(|event| event.at_ns).min()?;
    let before: Vec<u64> =
        writes.iter().filter(|write| write.returned_ns < first_fault).map(Acknowledged::latency_ns).collect();
    p99(before)
}

fn quick_again(
    evidence: &Evidence,
    writes: &[Acknowledged],
    window: &Window,
    (healthy_ns, next_ns): (u64, u64),
    baseline_ns: u64,
    finding: &mut Finding,
) {
    let bounds = &evidence.facts.bounds;
    let bound_ns = bounds.p99_recovery_ms.saturating_mul(MS);
    if next_ns.saturating_sub(healthy_ns) < bound_ns {
        return;
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a latency, scaled"
    )]
    let quick_ns = ((baseline_ns as f64 * bounds.p99_factor) as u64).max(bounds.p99_floor_ms.saturating_mul(MS));
    let mut seen = false;
    for start_ns in (healthy_ns..healthy_ns + bound_ns).step_by(usize::try_from(WINDOW_NS).unwrap_or(usize::MAX)) {
        let range = start_ns..start_ns + WINDOW_NS;
        let from = writes.partition_point(|write| write.returned_ns < range.start);
        let to = writes.partition_point(|write| write.returned_ns < range.end);
        let Some(p99_ns) = p99(writes[from..to].iter().map(Acknowledged::latency_ns).collect()) else { continue };
        seen = true;
        if p99_ns <= quick_ns {
            finding.checked += 1;
            return;
        }
    }
    // No window had enough writes: the rate is too low to say, or nothing succeeded, which `first_success` says.
    if seen {
        finding.checked += 1;
        finding.violated(&[], None, || {
            format!("fault {}: p99 was not back at {} ms within {} ms", window.fault, quick_ns / MS, bound_ns / MS)
        });
    }
}

/// `None` if there are too few to say.
fn p99(mut latencies_ns: Vec<u64>) -> Option<u64> {
    if latencies_ns.len() < WINDOW_WRITES_MIN {
        return None;
    }
    latencies_ns.sort_unstable();
    latencies_ns.get((latencies_ns.len() * 99).div_ceil(100) - 1).copied()
}

/// After the heal, the cluster takes writes.
fn fresh_writes(evidence: &Evidence, finding: &mut Finding) {
    let fresh: Vec<_> = evidence.ops.iter().filter(|op| op.invoke.purpose == Purpose::FreshWrite).collect();
    finding.checked += fresh.len() as u64;
    let succeeded = fresh.iter().any(|op| op.known().is_some_and(|answer| is_acknowledged(&answer.outcome)));
    if fresh.is_empty() || succeeded {
        return;
    }
    if evidence.history_is_cut {
        return finding.unsure("the history ends before a fresh write was answered");
    }
    let ops: Vec<u64> = fresh.iter().map(|op| op.id()).collect();
    finding.violated(&ops, None, || "no fresh write succeeded after the heal".into());
}

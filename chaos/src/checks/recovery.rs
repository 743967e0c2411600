//! V14: from the moment a majority is healthy, writes succeed within one bound and are as quick as before within another.
//!
//! A window that the next fault or the end of the arrivals cuts below a bound shows nothing of that bound and is not counted:
//! a scenario in which no window can fail a bound is inconclusive. So is a window that fails one while the tool itself was late.

use std::ops::Range;

use super::timeline::{Acknowledged, MS, Window, arrivals_end, windows};
use super::{Evidence, Finding};
use crate::evidence::Moment;
use crate::figures::percentile;
use crate::history::{Bounds, FaultStage, Purpose};
use crate::limits;

/// Width of a latency window.
pub(super) const WINDOW_NS: u64 = 1_000 * MS;
/// Writes that a window needs for a 99th percentile to mean something.
const WINDOW_WRITES_MIN: usize = 20;

#[must_use]
pub fn bounded_recovery(evidence: &Evidence, writes: &[Acknowledged]) -> Finding {
    let mut finding = Finding::new("V14", "writes succeed soon after a majority is healthy, and are quick again");
    let bounds = &evidence.facts.bounds;
    let windows = windows(evidence);
    let arrivals_end_ns = arrivals_end(evidence);
    let quick_ns = quick_ns(evidence, writes);
    let (mut successes, mut latencies) = (0, 0);
    for (at, window) in windows.iter().enumerate() {
        let next_ns = windows.get(at + 1).map_or(u64::MAX, |next| next.fired_ns).min(arrivals_end_ns);
        let Some(healthy_ns) = window.healthy_ns else {
            finding.unsure(format!("fault {}: a majority was never healthy again", window.fault));
            continue;
        };
        // Below a bound, the next fault or the end of the arrivals excuses whatever is seen.
        let leaves = |bound_ms: u64| next_ns.saturating_sub(healthy_ns) >= bound_ms.saturating_mul(MS);
        if leaves(bounds.first_success_ms) {
            successes += 1;
            first_success(evidence, writes, window, healthy_ns, &mut finding);
        }
        if leaves(bounds.p99_recovery_ms)
            && let Some(quick_ns) = quick_ns
            && let Some(is_quick) = quick_again(writes, window, healthy_ns, bounds.p99_recovery_ms.saturating_mul(MS), quick_ns)
        {
            latencies += 1;
            if !is_quick {
                let (quick_ms, bound_ms) = (quick_ns / MS, bounds.p99_recovery_ms);
                let why = format!("p99 was not back at {quick_ms} ms within {bound_ms} ms");
                late(evidence, window, healthy_ns, bound_ms, &why, &mut finding);
            }
        }
    }
    finding.checked += successes + latencies;
    if successes == 0 && !windows.is_empty() {
        finding.unsure("no fault left time enough to break bounds.first_success of the scenario");
    }
    if latencies == 0 && !windows.is_empty() {
        finding.unsure("no fault left time enough, or writes enough, to break bounds.p99_back of the scenario");
    }
    fresh_writes(evidence, &mut finding);
    finding
}

fn first_success(evidence: &Evidence, writes: &[Acknowledged], window: &Window, healthy_ns: u64, finding: &mut Finding) {
    let bound_ms = evidence.facts.bounds.first_success_ms;
    // The acknowledgement must come after the majority was healthy; the call may be older and have waited.
    let at = writes.partition_point(|write| write.returned_ns < healthy_ns);
    let first_ns = writes[at..].iter().find(|write| write.invoked_ns >= window.fired_ns).map(|write| write.returned_ns);
    let took_ns = first_ns.map_or(u64::MAX, |first_ns| first_ns - healthy_ns);
    if took_ns > bound_ms.saturating_mul(MS) {
        let took = first_ns.map_or("never".into(), |_| format!("after {} ms", took_ns / MS));
        let why = format!("the first write succeeded {took}, the bound is {bound_ms} ms");
        late(evidence, window, healthy_ns, bound_ms, &why, finding);
    }
}

/// A bound was broken: by the system, if the tool itself was in time.
fn late(evidence: &Evidence, window: &Window, healthy_ns: u64, bound_ms: u64, why: &str, finding: &mut Finding) {
    let fault = window.fault;
    match tool_was_late(evidence, window.fired_ns..healthy_ns.saturating_add(bound_ms.saturating_mul(MS))) {
        Some(excuse) => finding.unsure(format!("fault {fault}: {why}; but {excuse}")),
        None => finding.violated(&[], None, || format!("fault {fault}: {why}")),
    }
}

/// Why what was seen in `window` may be the tool's doing, or the machine's. Of calls that go out one by one the first send waits for nothing but the
/// tool; what goes through a stream waits for that, and a repetition for what was before it.
pub(super) fn tool_was_late(evidence: &Evidence, window: Range<u64>) -> Option<String> {
    let calls = || evidence.moments.iter();
    if !calls().any(|call| call.is_write() && window.contains(&call.invoked_ns)) {
        return Some("no write was sent in that time".into());
    }
    let firsts = calls().filter(|call| call.purpose == Purpose::Traffic && !call.in_batch);
    let in_window = firsts.filter(|call| call.invoked_ns >= window.start && call.intended_ns < window.end);
    let lag_ms = in_window.map(|call| call.invoked_ns.saturating_sub(call.intended_ns)).max().unwrap_or(0) / MS;
    if u128::from(lag_ms) > limits::SEND_LAG_MAX.as_millis() {
        return Some(format!("the tool itself sent up to {lag_ms} ms too late"));
    }
    let in_window = evidence.machine_syncs.iter().filter(|sync| sync.at_ns < window.end && sync.end_ns() > window.start);
    let sync_ms = in_window.map(|sync| sync.took_ns).max().unwrap_or(0) / MS;
    (u128::from(sync_ms) > limits::MACHINE_SYNC_MAX.as_millis())
        .then(|| format!("the machine's own disk took {sync_ms} ms to sync {} bytes", limits::MACHINE_SYNC_BYTES))
}

/// What counts as back at the baseline. `None`: there were no faults, or too few writes before them.
pub(super) fn quick_ns(evidence: &Evidence, writes: &[Acknowledged]) -> Option<u64> {
    baseline(evidence, writes).map(|baseline_ns| quick(baseline_ns, &evidence.facts.bounds))
}

/// The 99th percentile before the first fault.
fn baseline(evidence: &Evidence, writes: &[Acknowledged]) -> Option<u64> {
    let first_fault =
        evidence.faults.iter().filter(|event| event.stage == FaultStage::Injected).map(|event| event.at_ns).min()?;
    p99(writes.iter().filter(|write| write.returned_ns < first_fault).map(Acknowledged::latency_ns).collect())
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a latency, scaled")]
fn quick(baseline_ns: u64, bounds: &Bounds) -> u64 {
    ((baseline_ns as f64 * bounds.p99_factor) as u64).max(bounds.p99_floor_ms.saturating_mul(MS))
}

/// Whether the writes that were sent after the fault fired were quick again within the bound. `None`: the rate is too low to say,
/// or nothing succeeded, which [`first_success`] says.
fn quick_again(writes: &[Acknowledged], window: &Window, healthy_ns: u64, bound_ns: u64, quick_ns: u64) -> Option<bool> {
    let mut seen = None;
    for start_ns in (healthy_ns..healthy_ns + bound_ns).step_by(usize::try_from(WINDOW_NS).unwrap_or(usize::MAX)) {
        let Some(p99_ns) = p99_of_window(writes, window.fired_ns, start_ns) else { continue };
        if p99_ns <= quick_ns {
            return Some(true);
        }
        seen = Some(false);
    }
    seen
}

/// Of the second from `start_ns` on. `None` if there are too few to say.
pub(super) fn p99_of_window(writes: &[Acknowledged], fired_ns: u64, start_ns: u64) -> Option<u64> {
    let from = writes.partition_point(|write| write.returned_ns < start_ns);
    let to = writes.partition_point(|write| write.returned_ns < start_ns + WINDOW_NS);
    // What was sent before, the fault did not touch: its answer was on its way.
    let after = writes[from..to].iter().filter(|write| write.invoked_ns >= fired_ns);
    p99(after.map(Acknowledged::latency_ns).collect())
}

/// `None` if there are too few to say.
fn p99(mut latencies_ns: Vec<u64>) -> Option<u64> {
    if latencies_ns.len() < WINDOW_WRITES_MIN {
        return None;
    }
    latencies_ns.sort_unstable();
    percentile(&latencies_ns, 99)
}

/// After the heal, the cluster takes writes.
fn fresh_writes(evidence: &Evidence, finding: &mut Finding) {
    let fresh: Vec<&Moment> = evidence.moments.iter().filter(|call| call.purpose == Purpose::FreshWrite).collect();
    finding.checked += fresh.len() as u64;
    if fresh.is_empty() || evidence.fresh_write_ns.is_some() {
        return;
    }
    if evidence.history_is_cut {
        return finding.unsure("the history ends before a fresh write was answered");
    }
    let ops: Vec<u64> = fresh.iter().map(|call| call.op.into()).collect();
    finding.violated(&ops, None, || "no fresh write succeeded after the heal".into());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(sent_ms: u64, answered_ms: u64) -> Acknowledged {
        let invoked_ns = sent_ms * MS;
        Acknowledged { intended_ns: invoked_ns, invoked_ns, returned_ns: answered_ms * MS }
    }

    #[test]
    fn quick_answers_to_what_was_sent_before_the_fault_are_no_recovery() {
        let fired_ns = 1_000 * MS;
        let window = Window {
            fault: 1,
            kind: "kill-leader".into(),
            fired_ns,
            healthy_ns: Some(fired_ns),
            undone_ns: fired_ns,
            on_leader: true,
            targets: 1,
        };
        let before = vec![written(998, 1_001); WINDOW_WRITES_MIN];
        let slow = vec![written(1_100, 2_900); WINDOW_WRITES_MIN];
        let quick = vec![written(1_500, 1_510); WINDOW_WRITES_MIN];
        let back = |writes: &[&[Acknowledged]]| quick_again(&writes.concat(), &window, fired_ns, 3_000 * MS, 250 * MS);
        assert_eq!(back(&[&before, &slow]), Some(false));
        assert_eq!(back(&[&before, &quick, &slow]), Some(true));
        assert_eq!(back(&[&before]), None, "nothing that was sent after the fault was answered");
    }
}

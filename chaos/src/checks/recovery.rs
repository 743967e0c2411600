//! V14: from the moment a majority is healthy, writes succeed within one bound and are as quick as before within another.
//! Also the pause between acknowledged writes around each leader kill, which the verdict reports.

use std::collections::{BTreeMap, BTreeSet};

use super::{Case, Evidence, Finding};
use crate::history::{FaultStage, NodeRole, Outcome, Phase, ProcessStep, Purpose};

/// Nanoseconds of a millisecond.
pub const MS: u64 = 1_000_000;
/// Width of a latency window.
const WINDOW_NS: u64 = 1_000 * MS;
/// Writes that a window needs for a 99th percentile to mean something.
const WINDOW_WRITES_MIN: usize = 20;
/// A pause belongs to a kill if it begins within so long after it.
const PAUSE_HORIZON_NS: u64 = 10_000 * MS;

/// An acknowledged write.
#[derive(Debug, Clone, Copy)]
pub struct Acknowledged {
    pub intended_ns: u64,
    pub invoked_ns: u64,
    pub returned_ns: u64,
}

impl Acknowledged {
    /// From the time at which the schedule wanted it sent.
    #[must_use]
    pub fn latency_ns(&self) -> u64 {
        self.returned_ns.saturating_sub(self.intended_ns)
    }
}

/// In the order in which they were acknowledged.
#[must_use]
pub fn acknowledged_writes(evidence: &Evidence) -> Vec<Acknowledged> {
    let written = |op: &&super::Op| op.answers.first().is_some_and(|answer| matches!(answer.outcome, Outcome::Written(_)));
    let of = |op: &super::Op| Acknowledged {
        intended_ns: op.invoke.intended_ns,
        invoked_ns: op.invoke.at_ns,
        returned_ns: op.ended_ns(),
    };
    let mut writes: Vec<_> = evidence.ops.iter().filter(written).map(of).collect();
    writes.sort_unstable_by_key(|write| write.returned_ns);
    writes
}

/// A fault, when it fired, and from when on a majority was healthy again.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub fault: u32,
    pub fired_ns: u64,
    /// `None`: never again in this run.
    pub healthy_ns: Option<u64>,
    pub on_leader: bool,
    /// Nodes that it hit.
    pub targets: usize,
}

/// One for each fault that was seen to hurt.
#[must_use]
pub fn windows(evidence: &Evidence) -> Vec<Window> {
    let mut fired: BTreeMap<u32, (u64, bool)> = BTreeMap::new();
    for event in evidence.faults.iter().filter(|event| event.stage == FaultStage::Injected) {
        let entry = fired.entry(event.fault).or_insert((event.at_ns, false));
        entry.1 |= event.role == NodeRole::Leader;
    }
    let landed =
        |fault: &u32| evidence.faults.iter().any(|event| event.fault == *fault && event.stage == FaultStage::Effective);
    let windows = fired.into_iter().filter(|(fault, _)| landed(fault)).map(|(fault, (fired_ns, on_leader))| Window {
        fault,
        fired_ns,
        healthy_ns: healthy_from(evidence, fired_ns),
        on_leader,
        targets: targets(evidence, fault),
    });
    windows.collect()
}

fn targets(evidence: &Evidence, fault: u32) -> usize {
    let injected = evidence.faults.iter().filter(|event| event.fault == fault && event.stage == FaultStage::Injected);
    injected.map(|event| event.node).collect::<BTreeSet<_>>().len()
}

/// The first moment, from `from_ns` on, at which a majority was up.
fn healthy_from(evidence: &Evidence, from_ns: u64) -> Option<u64> {
    let mut changes: Vec<(u64, u16, bool)> = Vec::new();
    for event in &evidence.processes {
        match event.step {
            ProcessStep::Ready => changes.push((event.at_ns, event.node, true)),
            ProcessStep::Exited { .. } => changes.push((event.at_ns, event.node, false)),
            ProcessStep::Started { .. } => {}
        }
    }
    // The signal ends a node's health; its exit is only noticed later.
    let injected = evidence.faults.iter().filter(|event| event.stage == FaultStage::Injected);
    changes.extend(injected.map(|event| (event.at_ns, event.node, false)));
    changes.sort_unstable();
    let mut up: BTreeMap<u16, bool> = BTreeMap::new();
    let mut changes = changes.into_iter().peekable();
    while let Some((_, node, is_up)) = changes.next_if(|(at_ns, ..)| *at_ns <= from_ns) {
        up.insert(node, is_up);
    }
    let majority = evidence.facts.majority();
    let healthy = |up: &BTreeMap<u16, bool>| up.values().filter(|is_up| **is_up).count() >= majority;
    if healthy(&up) {
        return Some(from_ns);
    }
    changes.find_map(|(at_ns, node, is_up)| {
        up.insert(node, is_up);
        healthy(&up).then_some(at_ns)
    })
}

#[must_use]
pub fn bounded_recovery(case: &Case) -> Finding {
    let mut finding = Finding::new("V14", "writes succeed soon after a majority is healthy, and are quick again");
    let evidence = case.evidence;
    let writes = acknowledged_writes(evidence);
    let windows = windows(evidence);
    let traffic_end_ns = evidence.phase_start(Phase::Heal).unwrap_or(u64::MAX);
    let baseline_ns = baseline(evidence, &writes);
    for (at, window) in windows.iter().enumerate() {
        let next_ns = windows.get(at + 1).map_or(u64::MAX, |next| next.fired_ns).min(traffic_end_ns);
        let Some(healthy_ns) = window.healthy_ns else { continue };
        first_success(evidence, &writes, window, healthy_ns, next_ns, &mut finding);
        if let Some(baseline_ns) = baseline_ns {
            quick_again(evidence, &writes, window, (healthy_ns, next_ns), baseline_ns, &mut finding);
        }
    }
    fresh_writes(evidence, &mut finding);
    if finding.checked == 0 && !windows.is_empty() {
        finding.unsure("there was nothing to check: no fault left a majority and time to recover");
    }
    finding
}

fn first_success(
    evidence: &Evidence,
    writes: &[Acknowledged],
    window: &Window,
    healthy_ns: u64,
    next_ns: u64,
    finding: &mut Finding,
) {
    let bound_ns = evidence.facts.bounds.first_success_ms.saturating_mul(MS);
    // The acknowledgement must come after the majority was healthy; the call may be older and have waited.
    let at = writes.partition_point(|write| write.returned_ns < healthy_ns);
    let first_ns = writes[at..].iter().find(|write| write.invoked_ns >= window.fired_ns).map(|write| write.returned_ns);
    let took_ns = first_ns.map_or(u64::MAX, |first_ns| first_ns - healthy_ns);
    // Cut short by the next fault or by the end of the traffic: it showed neither.
    if took_ns > bound_ns && next_ns.saturating_sub(healthy_ns) < bound_ns {
        return;
    }
    finding.checked += 1;
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
#[must_use]
pub fn p99(mut latencies_ns: Vec<u64>) -> Option<u64> {
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
    let succeeded = fresh.iter().any(|op| matches!(op.known().map(|answer| &answer.outcome), Some(Outcome::Written(_))));
    if !fresh.is_empty() && !succeeded {
        let ops: Vec<u64> = fresh.iter().map(|op| op.id()).collect();
        finding.violated(&ops, None, || "no fresh write succeeded after the heal".into());
    }
}

/// Around each leader kill, the longest time without an acknowledged write that begins or lasts after it, nanoseconds.
#[must_use]
pub fn write_pauses(evidence: &Evidence) -> Vec<u64> {
    let writes = acknowledged_writes(evidence);
    let windows = windows(evidence);
    let traffic_end_ns = evidence.phase_start(Phase::Heal).unwrap_or(u64::MAX);
    let mut pauses = Vec::new();
    for (at, window) in
        windows.iter().enumerate().filter(|(_, window)| window.on_leader && window.healthy_ns == Some(window.fired_ns))
    {
        let next_ns = windows.get(at + 1).map_or(u64::MAX, |next| next.fired_ns);
        let until_ns = next_ns.min(traffic_end_ns).min(window.fired_ns.saturating_add(PAUSE_HORIZON_NS));
        // From the last acknowledgement before the kill, or the pause that the kill fell into would be cut.
        let from = writes.partition_point(|write| write.returned_ns <= window.fired_ns).saturating_sub(1);
        let around = writes[from..].iter().take_while(|write| write.returned_ns <= until_ns).map(|write| write.returned_ns);
        let times: Vec<u64> = around.collect();
        let pause = times.windows(2).map(|pair| pair[1] - pair[0]).max();
        // No acknowledgement until the next fault: the pause lasted at least so long.
        let open_end = times.last().map_or(0, |last| until_ns.saturating_sub(*last));
        pauses.extend(pause.into_iter().chain((times.len() < 2).then_some(open_end)).max());
    }
    pauses
}

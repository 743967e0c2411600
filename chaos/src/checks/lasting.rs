//! V15: no lasting damage. Some time after the last fault as many buyers are served in time as before the first, and nobody waits behind
//! what the faults left in queues; without anybody's help, for nothing is restarted then.
//!
//! An order or a payment is served in time if it had its answer, over all attempts, as quickly as V14 wants writes to be again. So a
//! queue that does not empty shows, and a node that answers slowly for ever; and whatever the rate of arrivals does, shares compare.

use std::ops::Range;

use super::timeline::{Acknowledged, MS, arrivals_end};
use super::{Evidence, Finding, recovery};
use crate::evidence::{Asked, Known, Moment};
use crate::hash::Map;
use crate::history::{FaultStage, Purpose};

/// Of the share that was served in time before.
const SERVED_AGAIN: f64 = 0.95;
/// Calls that a window needs for a share to mean something.
const ASKED_MIN: usize = 50;

#[must_use]
pub fn no_lasting_damage(evidence: &Evidence, writes: &[Acknowledged]) -> Finding {
    let mut finding = Finding::new("V15", "some time after the last fault, buyers are served as before the first");
    let at = |stage| evidence.faults.iter().filter(move |event| event.stage == stage);
    let Some(first_ns) = at(FaultStage::Injected).map(|event| event.at_ns).min() else {
        // Nothing was broken.
        return finding;
    };
    // Runs of earlier versions ask for nothing.
    let Some(whole_again_ms) = evidence.facts.bounds.whole_again_ms else { return finding };
    let Some(quick_ns) = recovery::quick_ns(evidence, writes) else {
        finding.unsure("too little was written before the first fault to say what is quick");
        return finding;
    };
    let is_healed = |fault: u32, node: u16| at(FaultStage::Healed).any(|event| (event.fault, event.node) == (fault, node));
    if let Some(open) = at(FaultStage::Injected).find(|event| !is_healed(event.fault, event.node)) {
        finding.unsure(format!("fault {} was never over at node {}", open.fault, open.node));
        return finding;
    }
    let last_ns = at(FaultStage::Healed).map(|event| event.at_ns).max().unwrap_or(first_ns);
    let from_ns = last_ns.saturating_add(whole_again_ms.saturating_mul(MS));
    // Who came later may not have been waited for.
    let until_ns = arrivals_end(evidence).saturating_sub(quick_ns);
    for (asked, what) in [(Asked::NewOrder, "orders"), (Asked::Payment, "payments")] {
        let served = |came| Served::of(evidence, asked, came, quick_ns);
        compare(evidence, &served(0..first_ns), (served(from_ns..until_ns), from_ns..until_ns), what, &mut finding);
    }
    finding
}

fn compare(evidence: &Evidence, before: &Served, (after, window): (Served, Range<u64>), what: &str, finding: &mut Finding) {
    if before.asked < ASKED_MIN || after.asked < ASKED_MIN {
        let (then, now) = (before.asked, after.asked);
        finding.unsure(format!(
            "{then} {what} came before the first fault and {now} some time after the last: too few to compare"
        ));
        return;
    }
    finding.checked += after.asked as u64;
    if after.share() >= SERVED_AGAIN * before.share() {
        return;
    }
    let (now, then) = (after.share() * 100.0, before.share() * 100.0);
    let why =
        format!("{now:.1} % of the {what} were answered in time some time after the last fault, {then:.1} % before the first");
    match recovery::tool_was_late(evidence, window) {
        Some(excuse) => finding.unsure(format!("{why}; but {excuse}")),
        None => finding.violated(&after.late, None, || why),
    }
}

/// Of what was first asked in some time.
#[derive(Default)]
struct Served {
    asked: usize,
    in_time: usize,
    /// Calls of some that were not.
    late: Vec<u64>,
}

impl Served {
    const LATE_SHOWN_MAX: usize = 10;

    fn of(evidence: &Evidence, asked: Asked, came: Range<u64>, quick_ns: u64) -> Self {
        let is_wanted = |call: &&Moment| {
            call.asked == asked && matches!(call.purpose, Purpose::Traffic | Purpose::Retry) && came.contains(&call.intended_ns)
        };
        // Who asks again asks for the same, from the same moment on.
        let mut wishes: Map<(u32, u64), (bool, u32)> = Map::default();
        for call in evidence.moments.iter().filter(is_wanted) {
            let is_answer = call.is_written() || call.known == Known::RefusedThere;
            let in_time = is_answer && call.known_ns <= call.intended_ns.saturating_add(quick_ns);
            let (served, _) = wishes.entry((call.session, call.intended_ns)).or_insert((false, call.op));
            *served |= in_time;
        }
        let in_time = wishes.values().filter(|(served, _)| *served).count();
        let mut late: Vec<u64> = wishes.values().filter(|(served, _)| !served).map(|(_, op)| u64::from(*op)).collect();
        late.sort_unstable();
        late.truncate(Self::LATE_SHOWN_MAX);
        Self { asked: wishes.len(), in_time, late }
    }

    #[expect(clippy::cast_precision_loss, reason = "calls of one drill")]
    fn share(&self) -> f64 {
        self.in_time as f64 / self.asked.max(1) as f64
    }
}

#[cfg(test)]
mod tests;

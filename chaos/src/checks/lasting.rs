//! V15: no lasting damage. Some time after the last fault as many buyers are served in time as before the first, and nobody waits behind
//! what the faults left in queues; without anybody's help, for nothing is restarted then.
//!
//! A buyer is served in time if a first order had its answer, over all attempts, as quickly as V14 wants writes to be again. So a queue
//! that does not empty shows, and a node that answers slowly for ever; and whatever the rate of arrivals does, shares compare.

use std::ops::Range;

use super::timeline::{Acknowledged, MS, arrivals_end};
use super::{Evidence, Finding, recovery};
use crate::evidence::{Asked, Known, Moment};
use crate::hash::Map;
use crate::history::{FaultStage, Purpose};

/// Of the share that was served in time before.
const SERVED_AGAIN: f64 = 0.95;
/// Buyers that a window needs for a share to mean something.
const BUYERS_MIN: usize = 50;

#[must_use]
pub fn no_lasting_damage(evidence: &Evidence, writes: &[Acknowledged]) -> Finding {
    let mut finding = Finding::new("V15", "some time after the last fault, buyers are served as before the first");
    let at = |stage| evidence.faults.iter().filter(move |event| event.stage == stage).map(|event| event.at_ns);
    let (Some(first_ns), Some(last_ns)) = (at(FaultStage::Injected).min(), at(FaultStage::Healed).max()) else {
        // Nothing was broken.
        return finding;
    };
    let (Some(whole_again_ms), Some(quick_ns)) = (evidence.facts.bounds.whole_again_ms, recovery::quick_ns(evidence, writes))
    else {
        return finding;
    };
    let from_ns = last_ns.saturating_add(whole_again_ms.saturating_mul(MS));
    // Who came later may not have been waited for.
    let until_ns = arrivals_end(evidence).saturating_sub(quick_ns);
    let before = Served::of(evidence, 0..first_ns, quick_ns);
    let after = Served::of(evidence, from_ns..until_ns, quick_ns);
    if before.buyers < BUYERS_MIN || after.buyers < BUYERS_MIN {
        finding.unsure(format!(
            "{} buyers came before the first fault and {} after the last one was over for {whole_again_ms} ms: \
             too few to compare",
            before.buyers, after.buyers
        ));
        return finding;
    }
    finding.checked += after.buyers as u64;
    if after.share() < SERVED_AGAIN * before.share() {
        let (now, then) = (after.share() * 100.0, before.share() * 100.0);
        finding.violated(&after.late, None, || {
            format!("{now:.1} % of the buyers were served in time {whole_again_ms} ms after the last fault, {then:.1} % before the first")
        });
    }
    finding
}

/// Of the buyers who came in some time.
#[derive(Default)]
struct Served {
    buyers: usize,
    in_time: usize,
    /// Calls of some who were not.
    late: Vec<u64>,
}

impl Served {
    const LATE_SHOWN_MAX: usize = 10;

    fn of(evidence: &Evidence, came: Range<u64>, quick_ns: u64) -> Self {
        let is_first_order = |call: &&Moment| call.purpose == Purpose::Traffic && call.asked == Asked::NewOrder;
        let mut buyers: Map<u32, (bool, u32)> = Map::default();
        for call in evidence.moments.iter().filter(is_first_order).filter(|call| came.contains(&call.intended_ns)) {
            let is_answer = call.is_written() || call.known == Known::RefusedThere;
            let in_time = is_answer && call.known_ns <= call.intended_ns.saturating_add(quick_ns);
            let (served, _) = buyers.entry(call.session).or_insert((false, call.op));
            *served |= in_time;
        }
        let in_time = buyers.values().filter(|(served, _)| *served).count();
        let mut late: Vec<u64> = buyers.values().filter(|(served, _)| !served).map(|(_, op)| u64::from(*op)).collect();
        late.sort_unstable();
        late.truncate(Self::LATE_SHOWN_MAX);
        Self { buyers: buyers.len(), in_time, late }
    }

    #[expect(clippy::cast_precision_loss, reason = "buyers of one drill")]
    fn share(&self) -> f64 {
        self.in_time as f64 / self.buyers.max(1) as f64
    }
}

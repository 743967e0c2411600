//! V18: no order expires before its payment window is over by the tool's own clock, whatever the nodes' clocks did.
//!
//! The tool does not know when an entry was committed, but it knows bounds. An order was not placed before its first call was sent;
//! and whatever answered from an index at or behind an entry shows that the entry was committed by then. If less than the window
//! lies between the two, the order cannot have had its time, and a payment that came in time met an expired order.

use super::{Case, Evidence, Finding, NaturalId};
use crate::history::{Outcome, Place};
use crate::limits;

#[must_use]
pub fn no_order_expires_early(case: &Case) -> Finding {
    let mut finding = Finding::new("V18", "no order, and no payment in time, expires because a clock jumped");
    if let Some(hole) = &case.evidence.log.hole {
        finding.unsure(hole.clone());
    }
    let committed_by = CommittedBy::of(case.evidence);
    for (id, group) in &case.groups {
        let NaturalId::Order(order) = id else { continue };
        let Some(there) = case.replay.ledger.orders.get(order) else { continue };
        finding.checked += 1;
        let Some(expired) = case.replay.ledger.expired.get(order) else { continue };
        let Some(first) = group.first() else { continue };
        let Some(known) = committed_by.index(expired.log_index) else { continue };
        let had_ms = known.saturating_sub(first.invoke.at_ns) / super::timeline::MS;
        let window_ms = u64::try_from(there.expires_at_ms.saturating_sub(there.placed_at_ms)).unwrap_or(0);
        if had_ms + limits::CLOCK_SLACK_MS < window_ms {
            finding.violated(&[first.id()], Some(expired.log_index), || {
                format!("an order that may wait {window_ms} ms had expired {had_ms} ms after its first call")
            });
        }
    }
    finding.or_unsure_if_empty("no order was placed")
}

/// By when an index was surely committed: nanoseconds of the tool's clock.
struct CommittedBy {
    /// By index; each with the earliest answer from there or behind.
    seen: Vec<(u64, u64)>,
}

impl CommittedBy {
    fn of(evidence: &Evidence) -> Self {
        let answers = evidence.ops.iter().flat_map(|op| &op.answers);
        Self::from_answers(answers.filter_map(|answer| Some((shown_index(&answer.outcome)?, answer.at_ns))).collect())
    }

    /// (index, time) of each answer.
    fn from_answers(mut seen: Vec<(u64, u64)>) -> Self {
        seen.sort_unstable();
        let mut earliest = u64::MAX;
        for (_, at_ns) in seen.iter_mut().rev() {
            earliest = earliest.min(*at_ns);
            *at_ns = earliest;
        }
        Self { seen }
    }

    fn index(&self, index: u64) -> Option<u64> {
        let at = self.seen.partition_point(|(seen, _)| *seen < index);
        self.seen.get(at).map(|(_, at_ns)| *at_ns)
    }
}

/// That was committed when the answer came. (A replay tells of the place of the original, which was committed, too.)
fn shown_index(outcome: &Outcome) -> Option<u64> {
    match outcome {
        Outcome::Written(written) => Some(written.receipt.place.log_index),
        Outcome::Refused { place: Some(Place { log_index, .. }), .. } => Some(*log_index),
        Outcome::Read(read) => read.read_index,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_committed_by_the_earliest_answer_from_there_or_behind() {
        let by = CommittedBy::from_answers(vec![(5, 90), (7, 40), (9, 60)]);
        assert_eq!(
            [4, 5, 6, 7, 8, 9, 10].map(|index| by.index(index)),
            [40, 40, 40, 40, 60, 60, 0].map(|at| (at > 0).then_some(at))
        );
    }
}

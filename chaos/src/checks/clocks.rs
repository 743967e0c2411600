//! V18: no order expires before its payment window is over by the tool's own clock, whatever the nodes' clocks did.
//!
//! The tool does not know when an entry was committed, but it knows bounds. An order was not placed before its first call was sent;
//! and whatever answered from an index at or behind an entry shows that the entry was committed by then. If less than the window
//! lies between the two, the order cannot have had its time, and a payment that came in time met an expired order.

use super::{Case, Finding, NaturalId};
use crate::hash::Set;
use crate::history::OrderId;
use crate::limits;
use crate::model::Answer;

#[must_use]
pub fn no_order_expires_early(case: &Case) -> Finding {
    let mut finding = Finding::new("V18", "no order, and no payment in time, expires because a clock jumped");
    if let Some(hole) = &case.evidence.log.hole {
        finding.unsure(hole.clone());
    }
    let placed = placed(case);
    for (id, group) in &case.groups {
        let NaturalId::Order(order) = id else { continue };
        if !placed.contains(order) {
            continue;
        }
        finding.checked += 1;
        let Some(expired) = case.lot.expired.get(order) else { continue };
        let Some(first) = group.first() else { continue };
        let Some(known_ns) = case.reach.committed_by(expired.place.log_index) else { continue };
        let had_ms = known_ns.saturating_sub(first.invoke.at_ns) / super::timeline::MS;
        let window_ms = u64::try_from(expired.window_ms).unwrap_or(0);
        if had_ms + limits::CLOCK_SLACK_MS < window_ms {
            finding.violated(&[first.id()], Some(expired.place.log_index), || {
                format!("an order that may wait {window_ms} ms had expired {had_ms} ms after its first call")
            });
        }
    }
    finding.unsure_if_empty("no order was placed")
}

/// As the log has it.
fn placed(case: &Case) -> Set<OrderId> {
    let placed = case.lot.commands.iter().filter(|command| matches!(command.reply.answer, Answer::Placed { .. }));
    placed.filter_map(|command| command.request.placed_order()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Evidence;
    use crate::checks::made::{ORDER, at, call, judged, lot, place, unknown};
    use crate::checks::timeline::MS;
    use crate::evidence::{Command, Expiry};
    use crate::model::Reply;

    const WINDOW_MS: i64 = 60_000;

    /// What is looked at and broken: an order whose first call was sent at two seconds expired at index 8, and index 9 was shown.
    fn judge(is_placed: bool, expires: bool, shown_ms: Option<u64>) -> (u64, u64) {
        let shown = shown_ms.map(|at_ms| (9, at_ms * MS)).into_iter().collect();
        let mut lot = lot(vec![call(1, [2_000 * MS, 2_001 * MS], place(3), unknown())]);
        let answer = Answer::Placed { amount_idr: 1, expires_at_ms: 1 };
        let reply = Reply { place: at(2), replayed: false, answer };
        lot.commands.extend(is_placed.then(|| Command { place: at(2), request: place(3), reply }));
        lot.expired.extend(expires.then_some((ORDER, Expiry { place: at(8), window_ms: WINDOW_MS })));
        let finding = judged(&Evidence { shown, ..Evidence::default() }, &lot, no_order_expires_early);
        (finding.checked, finding.violations)
    }

    #[test]
    fn an_order_has_its_window_from_its_first_call_on() {
        let slack_ms = limits::CLOCK_SLACK_MS;
        assert_eq!(judge(true, true, Some(62_000)), (1, 0));
        // Clocks of one machine may differ by so much.
        assert_eq!(judge(true, true, Some(62_000 - slack_ms)), (1, 0));
        assert_eq!(judge(true, true, Some(62_000 - slack_ms - 1)), (1, 1));
        assert_eq!(judge(true, false, Some(3_000)), (1, 0));
        assert_eq!(judge(true, true, None), (1, 0), "when it was committed, nobody knows");
        assert_eq!(judge(false, true, Some(3_000)), (0, 0), "it was never placed");
    }
}

//! V22: under more load than it can serve, the cluster goes on issuing about what it did before, and money that was paid is not turned
//! away where new orders are let in (G10). Goodput is judged in scenarios that bring such a load: those with `bounds.goodput_share`.

use std::ops::Range;

use super::{Evidence, Finding};
use crate::checks::timeline::MS;
use crate::evidence::{Asked, Known, Moment};
use crate::history::Phase;

/// Share of a phase that is not counted: while the queues fill up behind the change of load, and the first answers of a run are still
/// to come.
const SETTLING_PARTS: u64 = 4;

#[must_use]
pub fn overload_is_shed_in_order(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("V22", "under overload: goodput stays, and no payment is shed where orders are let in");
    payments_let_in(evidence, &mut finding);
    if let Some(share) = evidence.facts.bounds.goodput_share {
        goodput(evidence, share, &mut finding);
    }
    finding
}

fn goodput(evidence: &Evidence, share: f64, finding: &mut Finding) {
    let starts = [Phase::WarmUp, Phase::Faults, Phase::Heal].map(|phase| evidence.phase_start(phase));
    let [Some(warm_up), Some(surge), Some(heal)] = starts else {
        finding.unsure("the phases of the run are not known");
        return;
    };
    let (before, during) = (issued_per_s(evidence, warm_up..surge), issued_per_s(evidence, surge..heal));
    let turned_away = evidence.moments.iter().filter(|call| call.asked == Asked::NewOrder && call.known == Known::Shed).count();
    finding.checked += 1;
    if turned_away == 0 {
        finding.unsure("no order was turned away: there was no overload");
    }
    if during < share * before {
        finding.violated(&[], None, || format!("{during:.0} orders/s were issued under overload, {before:.0} before it"));
    }
}

/// Behind the time in which the load changed.
fn issued_per_s(evidence: &Evidence, phase: Range<u64>) -> f64 {
    let counted = phase.start + phase.end.saturating_sub(phase.start) / SETTLING_PARTS..phase.end;
    let issued = evidence.moments.iter().filter(|call| call.known == Known::Issued && counted.contains(&call.known_ns)).count();
    let length_ms = counted.end.saturating_sub(counted.start) / MS;
    if length_ms == 0 { 0.0 } else { issued as f64 * 1_000.0 / length_ms as f64 }
}

/// For each payment that a node turned away: no new order that came to the node and was answered meanwhile was let in.
fn payments_let_in(evidence: &Evidence, finding: &mut Finding) {
    // In other drills a payment may wait in vain for a leader whose disk or process stands still.
    let is_overload = evidence.facts.bounds.goodput_share.is_some();
    let is_shed = |call: &&Moment| {
        call.asked == Asked::Payment && (call.known == Known::Shed || is_overload && call.known == Known::NotInTime)
    };
    finding.checked += evidence.moments.iter().filter(|call| call.asked == Asked::Payment).count() as u64;
    if !evidence.moments.iter().any(|call| is_shed(&call)) {
        return;
    }
    let mut let_in: Vec<&Moment> =
        evidence.moments.iter().filter(|call| call.asked == Asked::NewOrder && call.is_written()).collect();
    let_in.sort_unstable_by_key(|order| (order.node, order.invoked_ns, order.ended_ns, order.op));
    for payment in evidence.moments.iter().filter(is_shed) {
        let (node, from, until) = (payment.node, payment.invoked_ns, payment.ended_ns);
        let at = let_in.partition_point(|order| (order.node, order.invoked_ns) < (node, from));
        let meanwhile = let_in[at..].iter().take_while(|order| order.node == node && order.invoked_ns <= until);
        if let Some(order) = meanwhile.filter(|order| order.ended_ns <= until).last() {
            finding.violated(&[payment.op.into(), order.op.into()], None, || {
                format!("node {node} turned a payment away, and let in a new order that came after it")
            });
        }
    }
}

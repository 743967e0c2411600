//! V22: under more load than it can serve, the cluster goes on issuing about what it did before, and money that was paid is not turned
//! away where new orders are let in (G10). Goodput is judged in scenarios that bring such a load: those with `bounds.goodput_share`.

use std::ops::Range;

use super::{Case, Evidence, Finding, Op};
use crate::checks::timeline::MS;
use crate::history::{Outcome, PaymentOutcome, Phase, Request};

/// Share of a phase that is not counted: while the queues fill up behind the change of load, and the first answers of a run are still
/// to come.
const SETTLING_PARTS: u64 = 4;
/// How a node says that too much waits.
const OVERLOADED: &str = "OVERLOADED";
/// How a node says that it let a call in and had no time for it.
const NOT_IN_TIME: &str = "NOT_IN_TIME";

#[must_use]
pub fn overload_is_shed_in_order(case: &Case) -> Finding {
    let mut finding = Finding::new("V22", "under overload: goodput stays, and no payment is shed where orders are let in");
    payments_let_in(case.evidence, &mut finding);
    if let Some(share) = case.evidence.facts.bounds.goodput_share {
        goodput(case.evidence, share, &mut finding);
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
    let turned_away = evidence.ops.iter().filter(|op| is_new_order(op) && is_shed(op)).count();
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
    let is_counted = |op: &&Op| is_issued(op) && op.known().is_some_and(|answer| counted.contains(&answer.at_ns));
    let issued = evidence.ops.iter().filter(is_counted).count();
    let length_ms = counted.end.saturating_sub(counted.start) / MS;
    if length_ms == 0 { 0.0 } else { issued as f64 * 1_000.0 / length_ms as f64 }
}

/// For each payment that a node turned away: no new order that came to the node and was answered meanwhile was let in.
fn payments_let_in(evidence: &Evidence, finding: &mut Finding) {
    let mut let_in: Vec<(u16, u64, u64, u64)> = evidence
        .ops
        .iter()
        .filter(|op| is_new_order(op) && op.known().is_some_and(|answer| matches!(answer.outcome, Outcome::Written(_))))
        .map(|op| (op.invoke.node, op.invoke.at_ns, op.ended_ns(), op.id()))
        .collect();
    let_in.sort_unstable();
    let is_overload = evidence.facts.bounds.goodput_share.is_some();
    for op in evidence.ops.iter().filter(|op| matches!(op.invoke.request, Request::RecordPayment { .. })) {
        finding.checked += 1;
        // In other drills a payment may wait in vain for a leader whose disk or process stands still.
        let waits_in_vain = is_overload && is_not_done(op, NOT_IN_TIME);
        if !is_shed(op) && !waits_in_vain {
            continue;
        }
        let (node, from, until) = (op.invoke.node, op.invoke.at_ns, op.ended_ns());
        let at = let_in.partition_point(|order| (order.0, order.1) < (node, from));
        let meanwhile = let_in[at..].iter().take_while(|order| order.0 == node && order.1 <= until);
        if let Some((.., order)) = meanwhile.filter(|order| order.2 <= until).last() {
            finding.violated(&[op.id(), *order], None, || {
                format!("node {node} turned a payment away, and let in a new order that came after it")
            });
        }
    }
}

fn is_new_order(op: &Op) -> bool {
    matches!(op.invoke.request, Request::PlaceOrder { .. })
}

fn is_shed(op: &Op) -> bool {
    is_not_done(op, OVERLOADED)
}

fn is_not_done(op: &Op, why: &str) -> bool {
    op.answers.iter().any(|answer| matches!(&answer.outcome, Outcome::NotDone { reason } if **reason == *why))
}

fn is_issued(op: &Op) -> bool {
    let Some(answer) = op.known() else { return false };
    let Outcome::Written(written) = &answer.outcome else { return false };
    !written.receipt.replayed && written.answer.payment_outcome() == Some(PaymentOutcome::Applied)
}

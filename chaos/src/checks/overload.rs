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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::made::{call, pay, place, written};
    use crate::evidence::Op;
    use crate::history::{Bounds, Outcome, PaymentOutcome, RunFacts, WriteAnswer};

    fn not_done(op: u64, times: [u64; 2], reason: &str) -> Op {
        call(op, times, pay("one"), Outcome::NotDone { reason: reason.into() })
    }

    fn let_in(op: u64, times: [u64; 2]) -> Op {
        call(op, times, place(3), written(5, WriteAnswer::Placed { amount_idr: 1, expires_at_ms: 1 }))
    }

    fn at_node(node: u16, mut op: Op) -> Op {
        op.invoke.node = node;
        op
    }

    fn evidence(ops: &[Op], goodput_share: Option<f64>) -> Evidence {
        let facts = RunFacts { bounds: Bounds { goodput_share, ..Bounds::default() }, ..RunFacts::default() };
        Evidence { moments: ops.iter().map(Moment::of).collect(), facts, ..Evidence::default() }
    }

    #[test]
    fn a_payment_is_shed_only_where_no_order_that_came_after_it_is_let_in() {
        let shed = || not_done(1, [10, 50], "OVERLOADED");
        let early = not_done(1, [10, 50], "NOT_IN_TIME");
        let other_reason = not_done(1, [10, 50], "NO_LEADER");
        for (payment, order, expected) in [
            (shed(), let_in(2, [20, 40]), 1),
            (shed(), let_in(2, [10, 50]), 1),
            (shed(), let_in(2, [9, 40]), 0),
            (shed(), let_in(2, [20, 51]), 0),
            (shed(), let_in(2, [51, 60]), 0),
            (shed(), at_node(2, let_in(2, [20, 40])), 0),
            (at_node(2, shed()), let_in(2, [20, 40]), 0),
            (shed(), call(2, [20, 40], place(3), Outcome::NotDone { reason: "OVERLOADED".into() }), 0),
            // Without an overload it may have waited for a disk.
            (early.clone(), let_in(2, [20, 40]), 0),
            (other_reason, let_in(2, [20, 40]), 0),
        ] {
            let mut finding = Finding::default();
            payments_let_in(&evidence(&[payment.clone(), order.clone()], None), &mut finding);
            assert_eq!((finding.checked, finding.violations), (1, expected), "{payment:?} {order:?}");
        }
        let mut finding = Finding::default();
        payments_let_in(&evidence(&[early, let_in(2, [20, 40])], Some(0.9)), &mut finding);
        assert_eq!(finding.violations, 1, "under an overload it was not served in time");
    }

    #[test]
    fn of_several_orders_that_were_let_in_one_is_enough() {
        let orders = [let_in(2, [5, 8]), at_node(0, let_in(3, [20, 30])), let_in(4, [20, 60]), let_in(5, [45, 50])];
        let mut finding = Finding::default();
        payments_let_in(&evidence(&[vec![not_done(1, [10, 50], "OVERLOADED")], orders.to_vec()].concat(), None), &mut finding);
        assert_eq!(finding.shown.iter().map(|shown| shown.ops.as_slice()).collect::<Vec<_>>(), [[1, 5]]);
    }

    /// Phases of four seconds each; orders are issued at these milliseconds, and one may be turned away.
    fn judged(issued_ms: &[u64], share: f64, is_shed: bool) -> (u64, u64, usize) {
        let issue = WriteAnswer::Recorded { outcome: PaymentOutcome::Applied, serials: None };
        let mut ops: Vec<Op> =
            issued_ms.iter().map(|at_ms| call(1, [at_ms * MS, at_ms * MS], pay("one"), written(5, issue.clone()))).collect();
        if is_shed {
            ops.push(call(2, [0, 1], place(3), Outcome::NotDone { reason: "OVERLOADED".into() }));
        }
        let phases = vec![(0, Phase::WarmUp), (4_000 * MS, Phase::Faults), (8_000 * MS, Phase::Heal)];
        let evidence = Evidence { phases, ..evidence(&ops, Some(share)) };
        let mut finding = Finding::default();
        goodput(&evidence, share, &mut finding);
        (finding.checked, finding.violations, finding.inconclusive.len())
    }

    #[test]
    fn under_a_surge_as_much_is_issued_as_the_share_that_was_asked_for() {
        // Ten before it and nine during it, each behind the first quarter of its phase.
        let ten = (0..10).map(|nth| 1_000 + nth * 300);
        let nine = (0..9).map(|nth| 5_000 + nth * 300);
        let issued: Vec<u64> = ten.chain(nine).collect();
        assert_eq!(judged(&issued, 0.9, true), (1, 0, 0));
        assert_eq!(judged(&issued, 0.91, true), (1, 1, 0));
        assert_eq!(judged(&issued, 0.9, false), (1, 0, 1), "nothing was turned away: there was no surge");
        let mut let_in = evidence(&[let_in(2, [0, 1])], Some(0.9));
        let_in.phases = vec![(0, Phase::WarmUp), (4_000 * MS, Phase::Faults), (8_000 * MS, Phase::Heal)];
        let mut finding = Finding::default();
        goodput(&let_in, 0.9, &mut finding);
        assert_eq!(finding.inconclusive.len(), 1, "who was let in was not turned away");
        // What is issued while the queues fill up, or after the heal, does not count.
        let others: Vec<u64> = (0..9).flat_map(|nth| [4_000 + nth * 100, 8_000 + nth]).collect();
        assert_eq!(judged(&[&issued[..10], &others].concat(), 0.9, true), (1, 1, 0));
        let also_settling: Vec<u64> = (0..99).map(|nth| nth * 10).collect();
        assert_eq!(judged(&[&issued[..], &also_settling].concat(), 0.9, true), (1, 0, 0));
    }

    #[test]
    fn of_a_phase_without_a_length_nothing_is_issued() {
        assert_eq!(issued_per_s(&Evidence::default(), 5..5).to_bits(), 0.0_f64.to_bits());
        let issue = WriteAnswer::Recorded { outcome: PaymentOutcome::Applied, serials: None };
        let ops: Vec<Op> =
            (0..6).map(|nth| call(1, [0, (2_000 + nth * 100) * MS], pay("one"), written(5, issue.clone()))).collect();
        let per_s = issued_per_s(&evidence(&ops, None), 1_000 * MS..3_000 * MS);
        assert!((per_s - 4.0).abs() < 1e-9, "six in a second and a half: {per_s}");
    }
}

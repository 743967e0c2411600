//! Of V22: no payment is turned away while a new order is let in, where it was turned away.
//!
//! A node bounds what waits with it, and a payment has more room than a new order has: where not even the payment found room, the
//! order must not. A payment that is shed is answered at once, sooner than any order that is let in, so it is no use to look for an
//! order that began and ended meanwhile. What counts is an order that was sent to the node shortly *before*: the room that it found
//! was the payment's too, unless all of the room between the two bounds, tens of thousands of commands, was filled in
//! [`FILLED_BY_NOBODY_NS`]. (What was sent after the payment proves nothing: when a leader is lost, all who wait are sent away, and
//! there is room at once. And a batch has the room of the payments in it, whatever else it carries.)
//!
//! A payment that waited in vain is told so after its time; for it an order counts that came later and was answered before.

use super::timeline::MS;
use super::{Evidence, Finding};
use crate::evidence::{Asked, Known, Moment};

/// From when an order is sent until a payment behind it is turned away. In so short a time nobody sends a node the commands between
/// the two bounds: with the 38,000 of this system it would take 150,000 a second, thirty times its peak.
const FILLED_BY_NOBODY_NS: u64 = 250 * MS;

/// `is_overload`: the scenario brings more load than can be served, and all of it is new orders.
pub(super) fn payments_are_let_in(evidence: &Evidence, is_overload: bool, finding: &mut Finding) {
    let payments = || evidence.moments.iter().filter(|call| call.asked == Asked::Payment);
    finding.checked += payments().count() as u64;
    // In other drills a payment may wait in vain for a leader whose disk or process stands still.
    let turned_away = |call: &&Moment| call.known == Known::Shed || is_overload && call.known == Known::NotInTime;
    if payments().any(|call| turned_away(&call)) {
        let orders = LetIn::of(&evidence.moments);
        payments().filter(turned_away).for_each(|payment| let_in(payment, &orders, is_overload, finding));
    }
    if is_overload {
        counted_by_nodes(evidence, finding);
    }
}

fn let_in(payment: &Moment, orders: &LetIn, is_overload: bool, finding: &mut Finding) {
    let (id, node) = (u64::from(payment.op), payment.node);
    let is_shed = payment.known == Known::Shed;
    let (order, when) = match is_shed {
        true => (orders.before(payment), "was sent just before it"),
        false => (orders.meanwhile(payment), "came after it"),
    };
    if let Some(order) = order {
        finding.violated(&[id, order.op.into()], None, || {
            format!("node {node} turned a payment away, and let in a new order that {when}")
        });
    } else if is_shed && is_overload {
        finding.violated(&[id], None, || format!("node {node} turned a payment away: with such a load it has room for all"));
    }
}

/// What the tool may not have seen: a gateway's notice that somebody else forwarded, a call whose answer was lost.
fn counted_by_nodes(evidence: &Evidence, finding: &mut Finding) {
    for (node, shed) in &evidence.facts.payments_shed {
        if *shed > 0 {
            finding.violated(&[], None, || format!("node {node} itself counts {shed} calls with payments that it turned away"));
        }
    }
}

/// New orders, one a call, that were executed; by node, and in the order in which they were sent.
struct LetIn<'a>(Vec<&'a Moment>);

impl<'a> LetIn<'a> {
    fn of(moments: &'a [Moment]) -> Self {
        let is_let_in = |call: &&Moment| {
            call.asked == Asked::NewOrder && !call.in_batch && matches!(call.known, Known::Executed | Known::Replayed)
        };
        let mut orders: Vec<&Moment> = moments.iter().filter(is_let_in).collect();
        orders.sort_unstable_by_key(|order| (order.node, order.invoked_ns, order.ended_ns, order.op));
        Self(orders)
    }

    /// Sent to the same node in [`FILLED_BY_NOBODY_NS`] before the payment's answer, but not after the payment: the last.
    fn before(&self, payment: &Moment) -> Option<&'a Moment> {
        let until = self.0.partition_point(|order| (order.node, order.invoked_ns) <= (payment.node, payment.invoked_ns));
        let earliest_ns = payment.ended_ns.saturating_sub(FILLED_BY_NOBODY_NS);
        let recent =
            self.0[..until].iter().rev().take_while(|order| order.node == payment.node && order.invoked_ns >= earliest_ns);
        // One that was answered from what had happened before needed no room.
        recent.copied().find(|order| order.known == Known::Executed)
    }

    /// Sent to the same node after the payment, and answered before it: the last.
    fn meanwhile(&self, payment: &Moment) -> Option<&'a Moment> {
        let (node, from, until) = (payment.node, payment.invoked_ns, payment.ended_ns);
        let at = self.0.partition_point(|order| (order.node, order.invoked_ns) < (node, from));
        let meanwhile = self.0[at..].iter().take_while(|order| order.node == node && order.invoked_ns <= until);
        meanwhile.copied().filter(|order| order.ended_ns <= until).last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Ended;
    use crate::history::Purpose;

    fn call(op: u32, node: u16, asked: Asked, (sent_ms, ended_ms): (u64, u64), known: Known) -> Moment {
        Moment {
            invoked_ns: sent_ms * MS,
            intended_ns: sent_ms * MS,
            ended_ns: ended_ms * MS,
            known_ns: ended_ms * MS,
            index: 0,
            op,
            session: op,
            node,
            asked,
            purpose: Purpose::Traffic,
            ended: Ended::NotDone,
            known,
            in_batch: false,
        }
    }

    fn order(node: u16, times_ms: (u64, u64), known: Known) -> Moment {
        call(7, node, Asked::NewOrder, times_ms, known)
    }

    /// The calls of each violation.
    fn found(payment: Moment, orders: &[Moment], is_overload: bool) -> Vec<Vec<u64>> {
        let evidence = Evidence { moments: [&[payment], orders].concat(), ..Evidence::default() };
        let mut finding = Finding::new("V22", "");
        payments_are_let_in(&evidence, is_overload, &mut finding);
        assert_eq!(finding.checked, 1);
        finding.shown.into_iter().map(|shown| shown.ops).collect()
    }

    /// Turned away at once.
    fn shed() -> Moment {
        call(1, 2, Asked::Payment, (1_000, 1_001), Known::Shed)
    }

    #[test]
    fn a_payment_that_is_shed_at_once_right_behind_an_order_that_is_let_in_is_a_violation() {
        assert_eq!(found(shed(), &[order(2, (999, 1_900), Known::Executed)], false), [[1, 7]]);
        assert_eq!(found(shed(), &[order(2, (751, 900), Known::Executed)], false), [[1, 7]], "a quarter of a second before");
    }

    #[test]
    fn an_order_proves_nothing_that_found_other_room_than_the_payment() {
        let batch = Moment { in_batch: true, ..order(2, (999, 1_900), Known::Executed) };
        let rows = [
            (order(2, (999, 1_000), Known::Shed), "it was shed too"),
            (order(3, (999, 1_900), Known::Executed), "at another node"),
            (order(2, (750, 900), Known::Executed), "so long before that the room may have filled up since"),
            (order(2, (1_002, 1_900), Known::Executed), "after the payment: a lost leader makes room at once"),
            (order(2, (999, 1_900), Known::Replayed), "it was there before, and needed no room"),
            (batch, "it has the room of the payments beside it"),
        ];
        for (order, why) in rows {
            assert_eq!(found(shed(), &[order], false), Vec::<Vec<u64>>::new(), "{why}");
        }
    }

    #[test]
    fn under_overload_no_payment_is_shed_and_none_waits_in_vain_while_later_orders_are_served() {
        assert_eq!(found(shed(), &[], true), [[1]]);
        let late = call(1, 2, Asked::Payment, (1_000, 6_000), Known::NotInTime);
        let (before, later) = (order(2, (999, 1_900), Known::Executed), order(2, (2_000, 3_000), Known::Executed));
        assert_eq!(found(late, &[before, later], true), [[1, 7]]);
        assert_eq!(found(late, &[before], true), Vec::<Vec<u64>>::new(), "everyone waited");
        assert_eq!(found(late, &[later], false), Vec::<Vec<u64>>::new(), "a disk may have stood still");
    }

    #[test]
    fn what_a_node_counts_as_shed_is_held_against_it_under_overload_alone() {
        let mut evidence = Evidence::default();
        evidence.facts.payments_shed = [(1, 0), (2, 5)].into();
        for (is_overload, violations) in [(true, 1), (false, 0)] {
            let mut finding = Finding::new("V22", "");
            payments_are_let_in(&evidence, is_overload, &mut finding);
            assert_eq!(finding.violations, violations);
        }
    }
}

//! V5 and V6: every payment is issued or owed back, never both, and the sums say so at every index.

use crate::hash::Map;

use super::{Case, Finding, ScanRecords};
use crate::history::{
    LedgerTotals, OrderId, OrderState, Outcome, PaymentName, PaymentOutcome, ReadAnswer, Request, WriteAnswer, wire,
};
use crate::model::order_text;

/// The op number of a sighting in a scan.
const IN_A_SCAN: u64 = 0;

/// What was ever shown of payments: by payment its outcome, by order the payment that was applied; each with who saw it first.
#[derive(Default)]
struct Seen<'a> {
    outcomes: Map<&'a PaymentName, (PaymentOutcome, u64)>,
    applied: Map<OrderId, (&'a PaymentName, u64)>,
}

impl<'a> Seen<'a> {
    fn see(&mut self, finding: &mut Finding, name: &'a PaymentName, order: OrderId, outcome: PaymentOutcome, op: u64) {
        finding.checked += 1;
        let id = &name.payment_id;
        let first = *self.outcomes.entry(name).or_insert((outcome, op));
        if first.0 != outcome {
            finding.violated(&named([first.1, op]), None, || {
                format!("payment {id} was shown as {:?} and as {outcome:?}", first.0)
            });
        }
        if outcome != PaymentOutcome::Applied {
            return;
        }
        let first = *self.applied.entry(order).or_insert((name, op));
        if first.0 != name {
            finding.violated(&named([first.1, op]), None, || {
                format!("order {} was issued for payment {} and for {id}", order_text(order), first.0.payment_id)
            });
        }
    }
}

#[must_use]
pub fn issued_or_refunded(case: &Case) -> Finding {
    let mut finding = Finding::new("V5", "issued or refunded, never both, for ever");
    let mut seen = Seen::default();
    for op in &case.evidence.ops {
        for answer in &op.answers {
            match (&op.invoke.request, &answer.outcome) {
                (Request::RecordPayment { payment, order, .. }, Outcome::Written(written)) => {
                    if let WriteAnswer::Recorded { outcome, .. } = &written.answer {
                        seen.see(&mut finding, payment, *order, *outcome, op.id());
                    }
                }
                (_, Outcome::Read(read)) => match &read.answer {
                    ReadAnswer::Payment(shown) => seen.see(&mut finding, &shown.payment, shown.order, shown.outcome, op.id()),
                    ReadAnswer::Order(shown) => {
                        if let Some(payment) = &shown.paid_by {
                            seen.see(&mut finding, payment, shown.order, PaymentOutcome::Applied, op.id());
                        }
                    }
                    _ => {}
                },
                _ => {}
            }
        }
    }
    for (node, scan) in case.evidence.distinct_scans() {
        for shown in scan.records.payments.values() {
            seen.see(&mut finding, &shown.payment, shown.order, shown.outcome, IN_A_SCAN);
        }
        issued_without_payment(&mut finding, node, &scan.records);
    }
    finding.or_unsure_if_empty("no payment was ever seen")
}

fn named(ops: [u64; 2]) -> Vec<u64> {
    ops.into_iter().filter(|op| *op != IN_A_SCAN).collect()
}

/// In a scan: an order is issued exactly if a payment was applied to it.
fn issued_without_payment(finding: &mut Finding, node: u16, records: &ScanRecords) {
    for order in records.orders.values() {
        let payment = order.paid_by.as_ref().and_then(|name| records.payments.get(name));
        let paid = payment.is_some_and(|payment| payment.outcome == PaymentOutcome::Applied && payment.order == order.order);
        if paid != (order.state == OrderState::Issued) {
            finding.violated(&[], None, || {
                format!("node {node}: order {} is {:?}, paid: {paid}", order_text(order.order), order.state)
            });
        }
    }
    for payment in records.payments.values().filter(|payment| payment.outcome == PaymentOutcome::Applied) {
        let order = records.orders.get(&payment.order);
        if order.is_none_or(|order| order.paid_by.as_ref() != Some(&payment.payment)) {
            let id = &payment.payment.payment_id;
            finding.violated(&[], None, || format!("node {node}: payment {id} is applied and its order does not name it"));
        }
    }
    for doubled in &records.doubled {
        finding.violated(&[], None, || format!("node {node}: {doubled} is there twice"));
    }
}

#[must_use]
pub fn money_adds_up(case: &Case) -> Finding {
    let mut finding = Finding::new("V6", "money: received = issued value + refund due, at each log index");
    let evidence = case.evidence;
    if let Some(hole) = &evidence.log.hole {
        finding.unsure(hole.clone());
    }
    let samples = evidence.statuses.iter().filter_map(|sample| Some((sample.node, sample.applied_index, sample.totals?)));
    let scans = evidence
        .scans
        .iter()
        .filter_map(|(node, scan)| Some((*node, scan.header.applied_index, wire::totals(scan.header.totals.as_ref()?))));
    for (node, index, totals) in samples.chain(scans) {
        if evidence.log.entry(index).is_none() && (index > 0 || evidence.log.hole.is_some()) {
            continue;
        }
        finding.checked += 1;
        let LedgerTotals { received_idr, issued_value_idr, refund_due_idr, .. } = totals;
        if Some(received_idr) != issued_value_idr.checked_add(refund_due_idr) {
            finding.violated(&[], Some(index), || {
                format!(
                    "node {node}: received {received_idr} is not issued {issued_value_idr} plus refunds due {refund_due_idr}"
                )
            });
        } else if let Some(expected) = case.replay.totals_at(index)
            && *expected != totals
        {
            finding.violated(&[], Some(index), || format!("node {node}: sums are {totals:?}, the log makes {expected:?}"));
        }
    }
    for (node, scan) in &evidence.scans {
        finding.checked += 1;
        let counted = count(&scan.records);
        let kept = scan.header.totals.as_ref().map(wire::totals);
        if kept != Some(counted) {
            let index = Some(scan.header.applied_index);
            finding.violated(&[], index, || format!("node {node}: its records sum to {counted:?}, it keeps {kept:?}"));
        }
    }
    finding.or_unsure_if_empty("no sums were sampled")
}

fn count(records: &ScanRecords) -> LedgerTotals {
    let mut totals = LedgerTotals::default();
    for order in records.orders.values() {
        let state = match order.state {
            OrderState::AwaitingPayment => &mut totals.orders_awaiting_payment,
            OrderState::Issued => &mut totals.orders_issued,
            OrderState::Cancelled => &mut totals.orders_cancelled,
            OrderState::Expired => &mut totals.orders_expired,
        };
        *state += 1;
        if let Some(serials) = &order.serials {
            totals.serials_issued += u64::from(serials.quantity);
            add(&mut totals.issued_value_idr, order.amount_idr);
        }
    }
    for payment in records.payments.values() {
        add(&mut totals.received_idr, payment.amount_idr);
        if payment.outcome == PaymentOutcome::Applied {
            totals.payments_applied += 1;
        } else {
            totals.payments_refund_due += 1;
            add(&mut totals.refund_due_idr, payment.amount_idr);
        }
    }
    totals
}

/// Absurd amounts of a damaged ledger must not stop the judge: a wrapped sum is not the one that is kept either.
const fn add(sum: &mut i64, amount_idr: i64) {
    *sum = sum.wrapping_add(amount_idr);
}

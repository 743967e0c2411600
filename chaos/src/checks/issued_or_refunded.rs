//! V5: every payment stands for issued stamps or is owed back, never both, in everything that was ever shown.

use super::{Case, Evidence, Finding};
use crate::evidence::{Op, Page, ScanRecords};
use crate::hash::Map;
use crate::history::{
    OrderId, OrderSeen, OrderState, Outcome, PaymentName, PaymentOutcome, PaymentSeen, ReadAnswer, RefundReason, RefundSeen,
    Request, WriteAnswer,
};
use crate::model::order_text;

/// The op number of a sighting in a scan.
const IN_A_SCAN: u64 = 0;

/// What was ever shown: of a payment its outcome and its refund, of an order the payment that was applied, that it was voided, and
/// that a stamp of it is on a document; each with who saw it first.
#[derive(Default)]
struct Seen<'a> {
    outcomes: Map<&'a PaymentName, (PaymentOutcome, u64)>,
    applied: Map<OrderId, (&'a PaymentName, u64)>,
    refunds: Map<&'a PaymentName, (&'a RefundSeen, u64)>,
    voided: Map<OrderId, u64>,
    stamped: Map<OrderId, u64>,
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

    /// A refund stays what it became due as, and is settled once.
    fn see_refund(&mut self, finding: &mut Finding, shown: &'a RefundSeen, op: u64) {
        finding.checked += 1;
        let id = &shown.payment.payment_id;
        let first = *self.refunds.entry(&shown.payment).or_insert((shown, op));
        let owed = |refund: &RefundSeen| (refund.amount_idr, refund.reason, refund.due);
        if owed(first.0) != owed(shown) {
            finding.violated(&named([first.1, op]), None, || {
                format!("payment {id} was shown as owed back {:?} and {:?}", owed(first.0), owed(shown))
            });
        }
        match (&first.0.settled, &shown.settled) {
            (Some(one), Some(two)) if one != two => finding.violated(&named([first.1, op]), None, || {
                format!("the refund of payment {id} was shown as settled as {} and as {}", one.reference, two.reference)
            }),
            // The one that says more is kept.
            (None, Some(_)) => {
                self.refunds.insert(&shown.payment, (shown, op));
            }
            _ => {}
        }
        if shown.reason == RefundReason::Void {
            self.voided.entry(shown.order).or_insert(op);
        }
    }

    fn see_order(&mut self, finding: &mut Finding, shown: &'a OrderSeen, op: u64) {
        if let Some(payment) = &shown.paid_by {
            self.see(finding, payment, shown.order, PaymentOutcome::Applied, op);
        }
        if shown.state == OrderState::Voided {
            self.voided.entry(shown.order).or_insert(op);
        }
        if shown.stamped > 0 {
            self.stamped.entry(shown.order).or_insert(op);
        }
    }

    fn see_call(&mut self, finding: &mut Finding, op: &'a Op) {
        for answer in &op.answers {
            match &answer.outcome {
                Outcome::Written(written) => self.see_write(finding, &op.invoke.request, &written.answer, op.id()),
                Outcome::Read(read) => self.see_read(finding, &read.answer, op.id()),
                _ => {}
            }
        }
    }

    fn see_write(&mut self, finding: &mut Finding, request: &'a Request, answer: &'a WriteAnswer, op: u64) {
        match (request, answer) {
            (
                Request::RecordPayment { payment, order, .. },
                WriteAnswer::Recorded { outcome, .. } | WriteAnswer::Noticed { outcome },
            ) => {
                self.see(finding, payment, *order, *outcome, op);
            }
            (Request::VoidOrder { order }, WriteAnswer::Voided { .. }) => {
                self.voided.entry(*order).or_insert(op);
            }
            (Request::StampDocument { order, .. }, WriteAnswer::Stamped { .. }) => {
                self.stamped.entry(*order).or_insert(op);
            }
            _ => {}
        }
    }

    fn see_read(&mut self, finding: &mut Finding, answer: &'a ReadAnswer, op: u64) {
        match answer {
            ReadAnswer::Payment(shown) => self.see_payment(finding, shown, op),
            ReadAnswer::Order(shown) => self.see_order(finding, shown, op),
            ReadAnswer::SerialStamped { order, .. } => {
                self.stamped.entry(*order).or_insert(op);
            }
            ReadAnswer::SerialVoided { order, .. } => {
                self.voided.entry(*order).or_insert(op);
            }
            _ => {}
        }
    }

    fn see_payment(&mut self, finding: &mut Finding, shown: &'a PaymentSeen, op: u64) {
        self.see(finding, &shown.payment, shown.order, shown.outcome, op);
        if let Some(refund) = &shown.refund {
            self.see_refund(finding, refund, op);
        }
    }

    /// Over everything that was shown, whenever.
    fn conclude(&self, finding: &mut Finding) {
        for (payment, (refund, op)) in &self.refunds {
            let Some((outcome, other)) = self.outcomes.get(payment) else { continue };
            finding.checked += 1;
            if refund.reason != RefundReason::of(*outcome).unwrap_or(RefundReason::Void) {
                finding.violated(&named([*op, *other]), None, || {
                    format!("payment {} was shown as {outcome:?} and as owed back for {:?}", payment.payment_id, refund.reason)
                });
            }
        }
        for (order, op) in &self.voided {
            finding.checked += 1;
            if let Some(other) = self.stamped.get(order) {
                finding.violated(&named([*op, *other]), None, || {
                    format!("order {} was voided and a stamp of it is on a document", order_text(*order))
                });
            }
        }
    }
}

fn finding() -> Finding {
    Finding::new("V5", "issued or refunded, never both, for ever")
}

/// What says how much is refunded is there once.
#[must_use]
pub fn no_policy_twice(evidence: &Evidence) -> Finding {
    let mut finding = finding();
    for (node, scan) in evidence.distinct_scans() {
        let mut versions: Vec<u32> = scan.policies.iter().map(|policy| policy.version).collect();
        versions.sort_unstable();
        for pair in versions.windows(2).filter(|pair| pair[0] == pair[1]) {
            finding.violated(&[], None, || format!("node {node}: policy {} is there twice", pair[0]));
        }
    }
    finding
}

#[must_use]
pub fn issued_or_refunded(case: &Case) -> Finding {
    let mut finding = finding();
    let mut seen = Seen::default();
    case.lot.ops.iter().for_each(|op| seen.see_call(&mut finding, op));
    for (op, page) in &case.lot.listed {
        match page {
            Page::Order(shown) => seen.see_order(&mut finding, shown, *op),
            Page::Payment(shown) => seen.see_payment(&mut finding, shown, *op),
            Page::Refund(shown) => seen.see_refund(&mut finding, shown, *op),
        }
    }
    for (node, _, records) in case.scans() {
        for shown in records.payments.values() {
            seen.see(&mut finding, &shown.payment, shown.order, shown.outcome, IN_A_SCAN);
        }
        records.orders.values().for_each(|shown| seen.see_order(&mut finding, shown, IN_A_SCAN));
        records.refunds.values().for_each(|shown| seen.see_refund(&mut finding, shown, IN_A_SCAN));
        issued_without_payment(&mut finding, node, records);
        owed_back(&mut finding, node, records);
    }
    seen.conclude(&mut finding);
    finding.unsure_if_empty("no payment was ever seen")
}

fn named(ops: [u64; 2]) -> Vec<u64> {
    ops.into_iter().filter(|op| *op != IN_A_SCAN).collect()
}

/// In a scan: an order was issued exactly if a payment was applied to it.
fn issued_without_payment(finding: &mut Finding, node: u16, records: &ScanRecords) {
    for order in records.orders.values() {
        let payment = order.paid_by.as_ref().and_then(|name| records.payments.get(name));
        let paid = payment.is_some_and(|payment| payment.outcome == PaymentOutcome::Applied && payment.order == order.order);
        if paid != matches!(order.state, OrderState::Issued | OrderState::Voided) {
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

/// In a scan: a payment is owed back, or was, exactly if it does not stand for issued stamps; whole, if it never did.
fn owed_back(finding: &mut Finding, node: u16, records: &ScanRecords) {
    for payment in records.payments.values() {
        finding.checked += 1;
        let id = &payment.payment.payment_id;
        let refund = records.refunds.get(&payment.payment);
        let state = records.orders.get(&payment.order).map(|order| order.state);
        let fits = match (payment.outcome, refund) {
            (PaymentOutcome::Applied, None) => state == Some(OrderState::Issued),
            (PaymentOutcome::Applied, Some(refund)) => {
                state == Some(OrderState::Voided)
                    && refund.reason == RefundReason::Void
                    && (1..=payment.amount_idr).contains(&refund.amount_idr)
            }
            (outcome, Some(refund)) => {
                refund.amount_idr == payment.amount_idr && Some(refund.reason) == RefundReason::of(outcome)
            }
            (_, None) => false,
        };
        if !fits {
            let owed = refund.map(|refund| (refund.amount_idr, refund.reason));
            finding.violated(&[], None, || {
                format!("node {node}: payment {id} is {:?}, its order {state:?}, owed back: {owed:?}", payment.outcome)
            });
        }
    }
    for name in records.refunds.keys().filter(|name| !records.payments.contains_key(*name)) {
        finding.violated(&[], None, || format!("node {node}: payment {} is owed back and not there", name.payment_id));
    }
}

#[cfg(test)]
mod tests;

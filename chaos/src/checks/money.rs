//! V6: the sums of money say at every index that nothing was lost or made up.

use super::{Case, Evidence, Finding, Replay};
use crate::evidence::ScanRecords;
use crate::hash::Map;
use crate::history::{LedgerTotals, OrderState, PaymentOutcome, wire};

/// What the records of each scan sum to, by node; the policy's version apart.
#[derive(Debug, Default)]
pub struct Sums(Map<u16, LedgerTotals>);

impl Sums {
    #[must_use]
    pub fn of(case: &Case) -> Self {
        Self(case.scans().map(|(node, _, records)| (node, count(records))).collect())
    }

    pub fn merge(&mut self, other: &Self) {
        for (node, totals) in &other.0 {
            add_all(self.0.entry(*node).or_default(), totals);
        }
    }
}

#[must_use]
pub fn money_adds_up(evidence: &Evidence, replay: &Replay, sums: &Sums) -> Finding {
    let mut finding = Finding::new("V6", "money: received = issued + held + refund due + refunded, at each log index");
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
        if !balances(&totals) {
            finding.violated(&[], Some(index), || {
                format!("node {node}: what was received is not issued, held, due or refunded: {totals:?}")
            });
        } else if let Some(expected) = replay.totals_at(index)
            && *expected != totals
        {
            finding.violated(&[], Some(index), || format!("node {node}: sums are {totals:?}, the log makes {expected:?}"));
        }
    }
    for (node, scan) in &evidence.scans {
        finding.checked += 1;
        let mut counted = sums.0.get(&scan.kept_as).copied().unwrap_or_default();
        counted.policy_version = scan.policies.iter().map(|policy| policy.version).max().unwrap_or(0);
        let kept = scan.header.totals.as_ref().map(wire::totals);
        if kept != Some(counted) {
            let index = Some(scan.header.applied_index);
            finding.violated(&[], index, || format!("node {node}: its records sum to {counted:?}, it keeps {kept:?}"));
        }
    }
    finding.unsure_if_empty("no sums were sampled")
}

fn balances(totals: &LedgerTotals) -> bool {
    let LedgerTotals { received_idr, issued_value_idr, held_idr, refund_due_idr, refunded_idr, .. } = *totals;
    let accounted = issued_value_idr.checked_add(held_idr).and_then(|sum| sum.checked_add(refund_due_idr));
    accounted.and_then(|sum| sum.checked_add(refunded_idr)) == Some(received_idr)
}

/// What a void held back stands in no record: it is the order's amount less what the refund gives back.
fn held(records: &ScanRecords) -> i64 {
    let mut held_idr = 0;
    for order in records.orders.values().filter(|order| order.state == OrderState::Voided) {
        let refund = order.paid_by.as_ref().and_then(|name| records.refunds.get(name));
        add(&mut held_idr, order.amount_idr.wrapping_sub(refund.map_or(0, |refund| refund.amount_idr)));
    }
    held_idr
}

fn count(records: &ScanRecords) -> LedgerTotals {
    let mut totals =
        LedgerTotals { stampings: records.stampings.len() as u64, held_idr: held(records), ..LedgerTotals::default() };
    for order in records.orders.values() {
        let state = match order.state {
            OrderState::AwaitingPayment => &mut totals.orders_awaiting_payment,
            OrderState::Issued => &mut totals.orders_issued,
            OrderState::Cancelled => &mut totals.orders_cancelled,
            OrderState::Expired => &mut totals.orders_expired,
            OrderState::Voided => &mut totals.orders_voided,
        };
        *state += 1;
        let quantity = order.serials.as_ref().map_or(0, |serials| u64::from(serials.quantity));
        match order.state {
            OrderState::Issued => {
                totals.serials_issued += quantity;
                add(&mut totals.issued_value_idr, order.amount_idr);
            }
            OrderState::Voided => totals.serials_voided += quantity,
            OrderState::AwaitingPayment | OrderState::Cancelled | OrderState::Expired => {}
        }
    }
    for payment in records.payments.values() {
        add(&mut totals.received_idr, payment.amount_idr);
        if payment.outcome == PaymentOutcome::Applied {
            totals.payments_applied += 1;
        } else {
            totals.payments_refund_due += 1;
        }
    }
    for refund in records.refunds.values() {
        if refund.settled.is_some() {
            totals.refunds_settled += 1;
            add(&mut totals.refunded_idr, refund.amount_idr);
        } else {
            totals.refunds_due += 1;
            add(&mut totals.refund_due_idr, refund.amount_idr);
        }
    }
    totals
}

fn add_all(sums: &mut LedgerTotals, more: &LedgerTotals) {
    sums.orders_awaiting_payment += more.orders_awaiting_payment;
    sums.orders_issued += more.orders_issued;
    sums.orders_cancelled += more.orders_cancelled;
    sums.orders_expired += more.orders_expired;
    sums.orders_voided += more.orders_voided;
    sums.serials_issued += more.serials_issued;
    sums.serials_voided += more.serials_voided;
    sums.stampings += more.stampings;
    sums.payments_applied += more.payments_applied;
    sums.payments_refund_due += more.payments_refund_due;
    sums.refunds_due += more.refunds_due;
    sums.refunds_settled += more.refunds_settled;
    add(&mut sums.received_idr, more.received_idr);
    add(&mut sums.issued_value_idr, more.issued_value_idr);
    add(&mut sums.held_idr, more.held_idr);
    add(&mut sums.refund_due_idr, more.refund_due_idr);
    add(&mut sums.refunded_idr, more.refunded_idr);
}

/// Absurd amounts of a damaged ledger must not stop the judge: a wrapped sum is not the one that is kept either.
const fn add(sum: &mut i64, amount_idr: i64) {
    *sum = sum.wrapping_add(amount_idr);
}

#[cfg(test)]
mod tests;

//! V4: every number of a series is issued, void, reserved or free, and those that were given out leave no gap.

use std::collections::BTreeMap;

use super::{Case, Finding};
use crate::evidence::{Evidence, ScanRecords};
use crate::history::{OrderState, SeriesCode};
use crate::model::{order_text, series_code, series_text};
use crate::proto::admin::Series;

/// What the orders of one series hold.
#[derive(Debug, Default)]
pub struct Held {
    /// First number and quantity of everything that was ever issued.
    given_out: Vec<(u64, u32)>,
    issued: u64,
    voided: u64,
    reserved: u64,
}

impl Held {
    fn add(&mut self, other: Self) {
        self.given_out.extend(other.given_out);
        self.issued += other.issued;
        self.voided += other.voided;
        self.reserved += other.reserved;
    }
}

/// By node and series.
#[derive(Debug, Default)]
pub struct Accounts(BTreeMap<(u16, SeriesCode), Held>);

impl Accounts {
    pub fn merge(&mut self, other: Self) {
        for (of, held) in other.0 {
            self.0.entry(of).or_default().add(held);
        }
    }
}

fn finding() -> Finding {
    Finding::new("V4", "serial accounting: capacity = issued + voided + reserved + free, without a gap")
}

/// Of the lot's orders: what they hold, and whether it fits their state.
#[must_use]
pub fn accounts(case: &Case) -> (Accounts, Finding) {
    let (mut accounts, mut finding) = (Accounts::default(), finding());
    for (node, scan, records) in case.scans() {
        held_by_orders(node, scan.header.applied_index, records, &mut accounts, &mut finding);
    }
    (accounts, finding)
}

/// Over the final scans; of the time before, V6 compares the sums of samples with the log's.
#[must_use]
pub fn serial_accounting(evidence: &Evidence, mut accounts: Accounts) -> Finding {
    let mut finding = finding();
    for (node, scan) in evidence.distinct_scans() {
        for series in &scan.series {
            finding.checked += 1;
            let Some(code) = series_code(&series.series_code) else { continue };
            let held = accounts.0.remove(&(node, code)).unwrap_or_default();
            adds_up(node, scan.header.applied_index, series, held, &mut finding);
        }
        for (_, code) in accounts.0.keys().filter(|(of, _)| *of == node) {
            let text = series_text(*code);
            finding.violated(&[], Some(scan.header.applied_index), || {
                format!("node {node}: orders of series {text}, which is not there")
            });
        }
    }
    finding.unsure_if_empty("no replica was scanned")
}

fn held_by_orders(node: u16, index: u64, records: &ScanRecords, accounts: &mut Accounts, finding: &mut Finding) {
    for order in records.orders.values() {
        let held = accounts.0.entry((node, order.series)).or_default();
        let quantity = u64::from(order.quantity);
        match (order.state, &order.serials) {
            (OrderState::Issued | OrderState::Voided, Some(serials)) if serials.series == order.series => {
                held.given_out.push((serials.first_number, serials.quantity));
                let sum = if order.state == OrderState::Issued { &mut held.issued } else { &mut held.voided };
                *sum += u64::from(serials.quantity);
            }
            (OrderState::AwaitingPayment, None) => held.reserved += quantity,
            (OrderState::Cancelled | OrderState::Expired, None) => {}
            (state, _) => finding.violated(&[], Some(index), || {
                format!("node {node}: order {} is {state:?} and its serials do not fit that", order_text(order.order))
            }),
        }
    }
}

fn adds_up(node: u16, index: u64, series: &Series, mut held: Held, finding: &mut Finding) {
    held.given_out.sort_unstable();
    let code = &series.series_code;
    let mut next = series.first_number;
    for (first, quantity) in held.given_out {
        if first != next {
            finding.violated(&[], Some(index), || {
                format!("node {node}: series {code}: number {next} was to be given out next, {first} was")
            });
        }
        next = first.saturating_add(u64::from(quantity));
    }
    let sums = (held.issued, held.voided, held.reserved);
    let kept = (series.issued, series.voided, series.reserved);
    if sums != kept || sums.0.saturating_add(sums.1).saturating_add(sums.2) > series.capacity {
        finding.violated(&[], Some(index), || {
            let capacity = series.capacity;
            format!("node {node}: series {code} counts (issued, voided, reserved) {kept:?} of {capacity}, its orders {sums:?}")
        });
    }
}

#[cfg(test)]
mod tests;

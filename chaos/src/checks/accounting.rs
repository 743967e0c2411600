//! V4: every number of a series is issued, void, reserved or free, and those that were given out leave no gap.

use super::{Case, Finding, Scan};
use crate::hash::Map;
use crate::history::{OrderState, SeriesCode};
use crate::model::{order_text, series_code, series_text};
use crate::proto::admin::Series;

/// What the orders of one series hold.
#[derive(Default)]
struct Held {
    /// First number and quantity of everything that was ever issued.
    given_out: Vec<(u64, u32)>,
    issued: u64,
    voided: u64,
    reserved: u64,
}

/// Over the final scans; of the time before, V6 compares the sums of samples with the log's.
#[must_use]
pub fn serial_accounting(case: &Case) -> Finding {
    let mut finding = Finding::new("V4", "serial accounting: capacity = issued + voided + reserved + free, without a gap");
    for (node, scan) in case.evidence.distinct_scans() {
        let mut held = held_by_orders(node, scan, &mut finding);
        for series in &scan.records.series {
            finding.checked += 1;
            let Some(code) = series_code(&series.series_code) else { continue };
            adds_up(node, scan, series, held.remove(&code).unwrap_or_default(), &mut finding);
        }
        for code in held.keys() {
            let text = series_text(*code);
            finding.violated(&[], Some(scan.header.applied_index), || {
                format!("node {node}: orders of series {text}, which is not there")
            });
        }
    }
    finding.or_unsure_if_empty("no replica was scanned")
}

fn held_by_orders(node: u16, scan: &Scan, finding: &mut Finding) -> Map<SeriesCode, Held> {
    let mut by_series: Map<SeriesCode, Held> = Map::default();
    for order in scan.records.orders.values() {
        let held = by_series.entry(order.series).or_default();
        let quantity = u64::from(order.quantity);
        match (order.state, &order.serials) {
            (OrderState::Issued | OrderState::Voided, Some(serials)) if serials.series == order.series => {
                held.given_out.push((serials.first_number, serials.quantity));
                let sum = if order.state == OrderState::Issued { &mut held.issued } else { &mut held.voided };
                *sum += u64::from(serials.quantity);
            }
            (OrderState::AwaitingPayment, None) => held.reserved += quantity,
            (OrderState::Cancelled | OrderState::Expired, None) => {}
            (state, _) => finding.violated(&[], Some(scan.header.applied_index), || {
                format!("node {node}: order {} is {state:?} and its serials do not fit that", order_text(order.order))
            }),
        }
    }
    by_series
}

fn adds_up(node: u16, scan: &Scan, series: &Series, mut held: Held, finding: &mut Finding) {
    held.given_out.sort_unstable();
    let code = &series.series_code;
    let mut next = series.first_number;
    for (first, quantity) in held.given_out {
        if first != next {
            finding.violated(&[], Some(scan.header.applied_index), || {
                format!("node {node}: series {code}: number {next} was to be given out next, {first} was")
            });
        }
        next = first.saturating_add(u64::from(quantity));
    }
    let sums = (held.issued, held.voided, held.reserved);
    let kept = (series.issued, series.voided, series.reserved);
    if sums != kept || sums.0.saturating_add(sums.1).saturating_add(sums.2) > series.capacity {
        finding.violated(&[], Some(scan.header.applied_index), || {
            let capacity = series.capacity;
            format!("node {node}: series {code} counts (issued, voided, reserved) {kept:?} of {capacity}, its orders {sums:?}")
        });
    }
}

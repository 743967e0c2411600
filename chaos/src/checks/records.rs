//! The records of a scan, each compared with what the model holds after the same log index.

use super::Scan;
use super::replay::{order_difference, payment_difference};
use crate::model::{Ledger, Series, order_text, series_code};
use crate::proto::admin;

/// Adds to `faults` what differs (node, index, how), and returns how much was compared.
pub(super) fn compare(ledger: &Ledger, node: u16, scan: &Scan, faults: &mut Vec<(u16, u64, String)>) -> u64 {
    let mut fault = |text: String| faults.push((node, scan.header.applied_index, text));
    let records = &scan.records;
    for (id, seen) in &records.orders {
        let order = order_text(*id);
        match ledger.orders.get(id) {
            None => fault(format!("order {order} is there and not in the log")),
            Some(model) => {
                if let Some(field) = order_difference(*id, model, seen) {
                    fault(format!("order {order}: {field} is not what the log makes it"));
                }
            }
        }
    }
    for id in ledger.orders.keys().filter(|id| !records.orders.contains_key(*id)) {
        fault(format!("order {} is in the log and not there", order_text(*id)));
    }
    for (name, seen) in &records.payments {
        let payment = &name.payment_id;
        match ledger.payments.get(name) {
            None => fault(format!("payment {payment} is there and not in the log")),
            Some(model) => {
                if let Some(field) = payment_difference(name, model, seen) {
                    fault(format!("payment {payment}: {field} is not what the log makes it"));
                }
            }
        }
    }
    for name in ledger.payments.keys().filter(|name| !records.payments.contains_key(*name)) {
        fault(format!("payment {} is in the log and not there", name.payment_id));
    }
    for seen in &records.series {
        let model = series_code(&seen.series_code).and_then(|code| ledger.series.get(&code));
        if !model.is_some_and(|model| same_series(model, seen)) {
            fault(format!("series {} is not what the log makes it", seen.series_code));
        }
    }
    if records.series.len() != ledger.series.len() {
        fault(format!("{} series are there, {} in the log", records.series.len(), ledger.series.len()));
    }
    let time_ms = scan.header.totals.as_ref().map(|totals| totals.ledger_time_ms);
    if time_ms != Some(ledger.now_ms) {
        fault(format!("the ledger's time is {time_ms:?}, the log makes it {}", ledger.now_ms));
    }
    (ledger.orders.len() + ledger.payments.len() + ledger.series.len()) as u64
}

fn same_series(model: &Series, seen: &admin::Series) -> bool {
    let opened = seen.opened.map(crate::history::wire::place);
    let terms = (model.first_number, model.capacity, model.face_value_idr, model.payment_window_ms);
    terms == (seen.first_number, seen.capacity, seen.face_value_idr, seen.payment_window_ms)
        && (model.issued, model.reserved, Some(model.opened)) == (seen.issued, seen.reserved, opened)
}

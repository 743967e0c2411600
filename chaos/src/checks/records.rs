//! The records of a scan, each compared with what the model holds after the same log index.

use std::hash::Hash;

use super::differences::{order_difference, payment_difference, policy_difference, refund_difference};
use crate::evidence::{ModelRecords, Scan, ScanRecords};
use crate::hash::Map;
use crate::history::{Digest, OrderId, OrderSeen, PolicySeen, StampingSeen};
use crate::model::{Ledger, Order, Policy, Series, order_text, series_code};
use crate::proto::admin;

/// What belongs to no order: series, policies, and the time. Adds to `faults` what differs (node, index, how), and returns how much
/// was compared.
pub(super) fn compare_common(ledger: &Ledger, node: u16, scan: &Scan, faults: &mut Vec<(u16, u64, String)>) -> u64 {
    let mut fault = |text: String| faults.push((node, scan.header.applied_index, text));
    let policies: Map<u32, Policy> = (1..).zip(ledger.policies.iter().copied()).collect();
    let seen: Map<u32, PolicySeen> = scan.policies.iter().map(|seen| (seen.version, seen.clone())).collect();
    compare_kind(
        &policies,
        &seen,
        |version, model, seen| policy_difference(*version, model, seen),
        |version| format!("policy {version}"),
        &mut fault,
    );
    for seen in &scan.series {
        let model = series_code(&seen.series_code).and_then(|code| ledger.series.get(&code));
        if !model.is_some_and(|model| same_series(model, seen)) {
            fault(format!("series {} is not what the log makes it", seen.series_code));
        }
    }
    if scan.series.len() != ledger.series.len() {
        fault(format!("{} series are there, {} in the log", scan.series.len(), ledger.series.len()));
    }
    let time_ms = scan.header.totals.as_ref().map(|totals| totals.ledger_time_ms);
    if time_ms != Some(ledger.now_ms) {
        fault(format!("the ledger's time is {time_ms:?}, the log makes it {}", ledger.now_ms));
    }
    (policies.len() + ledger.series.len()) as u64
}

/// What belongs to the orders of a lot. Tells `fault` what differs, and returns how much was compared.
pub(super) fn compare(model: &ModelRecords, seen: &ScanRecords, mut fault: impl FnMut(String)) -> u64 {
    compare_kind(&model.orders, &seen.orders, order_difference_of, |id| format!("order {}", order_text(*id)), &mut fault);
    compare_kind(
        &model.payments,
        &seen.payments,
        payment_difference,
        |name| format!("payment {}", name.payment_id),
        &mut fault,
    );
    compare_kind(
        &model.refunds,
        &seen.refunds,
        refund_difference,
        |name| format!("the refund of payment {}", name.payment_id),
        &mut fault,
    );
    let stampings = stampings(model);
    compare_kind(
        &stampings,
        &seen.stampings,
        |_, model, seen| (model != seen).then_some("the stamp, its place or its time"),
        |(order, _)| format!("a stamp of order {} on a document", order_text(*order)),
        &mut fault,
    );
    (model.orders.len() + model.payments.len() + model.refunds.len() + stampings.len()) as u64
}

fn order_difference_of(id: &OrderId, model: &Order, seen: &OrderSeen) -> Option<&'static str> {
    order_difference(*id, model, seen)
}

/// Both ways: nothing is there that is not in the log, and nothing is in the log that is not there.
fn compare_kind<K: Eq + Hash, M, S>(
    model: &Map<K, M>,
    seen: &Map<K, S>,
    difference: impl Fn(&K, &M, &S) -> Option<&'static str>,
    name: impl Fn(&K) -> String,
    fault: &mut impl FnMut(String),
) {
    for (key, seen) in seen {
        match model.get(key) {
            None => fault(format!("{} is there and not in the log", name(key))),
            Some(model) => {
                if let Some(field) = difference(key, model, seen) {
                    fault(format!("{}: {field} is not what the log makes it", name(key)));
                }
            }
        }
    }
    for key in model.keys().filter(|key| !seen.contains_key(*key)) {
        fault(format!("{} is in the log and not there", name(key)));
    }
}

/// As a scan would show them.
fn stampings(model: &ModelRecords) -> Map<(OrderId, Digest), StampingSeen> {
    let mut stampings = Map::default();
    for (id, order) in &model.orders {
        let Some(issued) = &order.issued else { continue };
        for ((document, stamped), number) in issued.documents.iter().zip(issued.first_number..) {
            let seen = StampingSeen { series: order.series, number, place: stamped.place, stamped_at_ms: stamped.at_ms };
            stampings.insert((*id, *document), seen);
        }
    }
    stampings
}

fn same_series(model: &Series, seen: &admin::Series) -> bool {
    let opened = seen.opened.map(crate::history::wire::place);
    let terms = (model.first_number, model.capacity, model.face_value_idr, model.payment_window_ms);
    terms == (seen.first_number, seen.capacity, seen.face_value_idr, seen.payment_window_ms)
        && (model.issued, model.voided, model.reserved, Some(model.opened)) == (seen.issued, seen.voided, seen.reserved, opened)
}

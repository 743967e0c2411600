//! V1: what was acknowledged is in the final scan of every replica, and every record of a scan is what the log makes it: a
//! replica neither lost, nor changed, nor made up anything that nobody happened to be told.

use std::collections::BTreeSet;

use super::{Case, Evidence, Finding, Replay, records};
use crate::evidence::{Op, Scan, ScanRecords};
use crate::history::{OrderState, Outcome, PaymentOutcome, Place, Request, WriteAnswer, Written};
use crate::model::{order_text, series_text};

fn finding() -> Finding {
    Finding::new("V1", "no acknowledged op is lost, on every replica")
}

/// Of the lot: what was acknowledged, and every record that is its.
#[must_use]
pub fn no_acknowledged_op_is_lost(case: &Case) -> Finding {
    let mut finding = finding();
    let evidence = case.evidence;
    let furthest = evidence.scans.values().map(|scan| scan.header.applied_index).max().unwrap_or(0);
    let mut lagging = BTreeSet::new();
    // The same bytes hold the same orders: look into each content once.
    let distinct: Vec<_> = case.scans().collect();
    for op in &case.lot.ops {
        for answer in &op.answers {
            let Outcome::Written(written) = &answer.outcome else { continue };
            finding.checked += 1;
            let place = written.receipt.place;
            for (node, scan) in &evidence.scans {
                if place.log_index > scan.header.applied_index && place.log_index <= furthest {
                    // Behind is not lost, but then nothing was shown of this replica.
                    lagging.insert(*node);
                }
            }
            for (node, scan, records) in &distinct {
                if lagging.contains(node) && place.log_index > scan.header.applied_index {
                    continue;
                }
                if let Some(lost) = what_is_lost(scan, records, op, written) {
                    finding.violated(&[op.id()], Some(place.log_index), || {
                        format!("{lost}, on node {node}, acknowledged at {place}")
                    });
                    break;
                }
            }
        }
    }
    for (node, scan, seen) in case.scans() {
        let index = scan.header.applied_index;
        // Beyond the exported log, there is nothing to compare with.
        if evidence.log.entry(index).is_some() {
            let model = case.lot.models.get(&index).unwrap_or(&case.nothing.1);
            let fault = |fault: String| finding.violated(&[], Some(index), || format!("node {node}: {fault}"));
            finding.checked += records::compare(model, seen, fault);
        }
    }
    for node in lagging {
        finding.unsure(format!("node {node} was scanned before it had everything that was acknowledged"));
    }
    finding
}

/// What belongs to no order, and which replicas were scanned.
#[must_use]
pub fn replicas_are_whole(evidence: &Evidence, replay: &Replay) -> Finding {
    let mut finding = finding();
    for node in &evidence.facts.nodes {
        if !evidence.scans.contains_key(node) {
            finding.unsure(format!("node {node} was not scanned"));
        }
    }
    finding.checked += replay.records_checked;
    for (node, index, fault) in &replay.record_faults {
        finding.violated(&[], Some(*index), || format!("node {node}: {fault}"));
    }
    for node in &replay.scans_beyond {
        finding.unsure(format!("node {node} was scanned at an index that the exported log lacks"));
    }
    finding.unsure_if_empty("no write was acknowledged")
}

fn what_is_lost(scan: &Scan, records: &ScanRecords, op: &Op, written: &Written) -> Option<String> {
    let place = written.receipt.place;
    match (&op.invoke.request, &written.answer) {
        (Request::OpenSeries { series, .. }, _) => {
            let code = series_text(*series);
            let there = scan.series.iter().any(|record| record.series_code == code);
            (!there).then(|| format!("series {code} is not there"))
        }
        (Request::PlaceOrder { order, quantity, account, .. }, _) => match records.orders.get(order) {
            None => Some(format!("order {} is not there", order_text(*order))),
            Some(seen) if seen.placed != place || seen.quantity != *quantity || seen.account != *account => {
                Some(format!("order {} is there as another, placed at {}", order_text(*order), seen.placed))
            }
            Some(_) => None,
        },
        (
            Request::RecordPayment { payment, order, amount_idr },
            answer @ (WriteAnswer::Recorded { outcome, .. } | WriteAnswer::Noticed { outcome }),
        ) => {
            let id = &payment.payment_id;
            let Some(seen) = records.payments.get(payment) else { return Some(format!("payment {id} is not there")) };
            if seen.recorded != place || seen.order != *order || seen.amount_idr != *amount_idr || seen.outcome != *outcome {
                return Some(format!("payment {id} is there as another: {:?} at {}", seen.outcome, seen.recorded));
            }
            if *outcome != PaymentOutcome::Applied {
                return None;
            }
            issue_lost(records, *order, place, answer)
        }
        (Request::CancelOrder { order }, _) => match records.orders.get(order) {
            Some(seen) if seen.state == OrderState::Cancelled && seen.settled == Some(place) => None,
            Some(seen) => Some(format!("order {} is {:?}, not cancelled", order_text(*order), seen.state)),
            None => Some(format!("cancelled order {} is not there", order_text(*order))),
        },
        (Request::VoidOrder { order }, _) => match records.orders.get(order) {
            Some(seen) if seen.state == OrderState::Voided && seen.settled == Some(place) => None,
            Some(seen) => Some(format!("order {} is {:?}, not voided", order_text(*order), seen.state)),
            None => Some(format!("voided order {} is not there", order_text(*order))),
        },
        (Request::StampDocument { order, document }, WriteAnswer::Stamped { number, .. }) => {
            let text = order_text(*order);
            match records.stampings.get(&(*order, *document)) {
                Some(seen) if (seen.place, seen.number) == (place, *number) => None,
                Some(seen) => Some(format!("a document of order {text} is there with serial {}, not {number}", seen.number)),
                None => Some(format!("serial {number} of order {text} is on no document")),
            }
        }
        (Request::SettleRefund { payment, amount_idr, reference }, _) => {
            let refund = records.refunds.get(payment);
            let settled = refund.and_then(|refund| Some((refund.amount_idr, refund.settled.as_ref()?)));
            let kept = settled.is_some_and(|(amount, settled)| {
                amount == *amount_idr && settled.place == place && settled.reference == *reference
            });
            (!kept).then(|| format!("the refund of payment {} is there as {settled:?}", payment.payment_id))
        }
        (Request::SetPolicy { version, .. }, _) => {
            let set = scan.policies.iter().find(|policy| policy.version == *version).and_then(|policy| policy.set);
            (set != Some(place)).then(|| format!("policy {version} is there as set at {set:?}"))
        }
        _ => None,
    }
}

fn issue_lost(records: &ScanRecords, order: [u8; 16], place: Place, answer: &WriteAnswer) -> Option<String> {
    let text = order_text(order);
    let Some(seen) = records.orders.get(&order) else { return Some(format!("issued order {text} is not there")) };
    let there = seen.serials.as_ref().map(|serials| (serials.first_number, serials.quantity));
    let issued = match answer {
        WriteAnswer::Recorded { serials, .. } => serials.as_ref().map(|range| (range.first_number, range.quantity)),
        // A notice is not told which.
        _ => there,
    };
    // A void is a later step; the serials stay the order's.
    let is_last_step = seen.state == OrderState::Issued && seen.settled == Some(place);
    let kept = (is_last_step || seen.state == OrderState::Voided) && there.is_some() && there == issued;
    (!kept).then(|| format!("order {text} is {:?} with serials {there:?}, was issued {issued:?}", seen.state))
}

#[cfg(test)]
mod tests;

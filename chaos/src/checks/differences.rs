//! The judge's model beside what was seen: the first field in which they differ.

use crate::history::{OrderId, OrderSeen, Outcome, PaymentName, PaymentSeen, PolicySeen, RefundSeen, WriteAnswer};
use crate::model::{Answer, Order, Payment, Policy, Refund};

/// The first field in which what was seen is not what the model holds.
#[must_use]
pub fn order_difference(id: OrderId, model: &Order, seen: &OrderSeen) -> Option<&'static str> {
    let serials = seen.serials.as_ref().map(|serials| (serials.series, serials.first_number, serials.quantity));
    let issued = model.issued.as_ref();
    let fields = [
        ("order_id", id == seen.order),
        ("account_id", model.account == seen.account),
        ("series_code", model.series == seen.series),
        ("quantity", model.quantity == seen.quantity),
        ("amount_idr", model.amount_idr == seen.amount_idr),
        ("state", model.state == seen.state),
        ("placed", model.placed == seen.placed),
        ("placed_at_ms", model.placed_at_ms == seen.placed_at_ms),
        ("expires_at_ms", model.expires_at_ms == seen.expires_at_ms),
        ("settled", model.settled.map(|settled| settled.place) == seen.settled),
        ("settled_at_ms", model.settled.map_or(0, |settled| settled.at_ms) == seen.settled_at_ms),
        ("serials", issued.map(|issued| (model.series, issued.first_number, model.quantity)) == serials),
        ("paid_by", issued.map(|issued| &issued.paid_by) == seen.paid_by.as_ref()),
        ("issued_at_ms", issued.map_or(0, |issued| issued.at_ms) == seen.issued_at_ms),
        ("stamped", issued.map_or(0, |issued| issued.documents.len()) == seen.stamped as usize),
    ];
    fields.iter().find(|(_, equal)| !equal).map(|(name, _)| *name)
}

/// As [`order_difference`]; the refund apart.
#[must_use]
pub fn payment_difference(name: &PaymentName, model: &Payment, seen: &PaymentSeen) -> Option<&'static str> {
    let fields = [
        ("name", *name == seen.payment),
        ("order_id", model.order == seen.order),
        ("amount_idr", model.amount_idr == seen.amount_idr),
        ("outcome", model.outcome == seen.outcome),
        ("recorded", model.recorded == seen.recorded),
        ("recorded_at_ms", model.recorded_at_ms == seen.recorded_at_ms),
    ];
    fields.iter().find(|(_, equal)| !equal).map(|(name, _)| *name)
}

/// As [`order_difference`].
#[must_use]
pub fn refund_difference(name: &PaymentName, model: &Refund, seen: &RefundSeen) -> Option<&'static str> {
    let settled = model.settled.as_ref().map(|(reference, settled)| (reference, settled.place, settled.at_ms));
    let seen_settled = seen.settled.as_ref();
    let fields = [
        ("payment", *name == seen.payment),
        ("order_id", model.order == seen.order),
        ("amount_idr", model.amount_idr == seen.amount_idr),
        ("reason", model.reason == seen.reason),
        ("due", model.due.place == seen.due),
        ("due_at_ms", model.due.at_ms == seen.due_at_ms),
        ("settled", settled == seen_settled.map(|settled| (&settled.reference, settled.place, settled.settled_at_ms))),
    ];
    fields.iter().find(|(_, equal)| !equal).map(|(name, _)| *name)
}

/// As [`order_difference`].
#[must_use]
pub fn policy_difference(version: u32, model: &Policy, seen: &PolicySeen) -> Option<&'static str> {
    let fields = [
        ("version", version == seen.version),
        ("void_refund_percent", model.void_refund_percent == seen.void_refund_percent),
        ("void_window_ms", model.void_window_ms == seen.void_window_ms),
        ("set", model.set.map(|set| set.place) == seen.set),
        ("set_at_ms", model.set.map_or(0, |set| set.at_ms) == seen.set_at_ms),
    ];
    fields.iter().find(|(_, equal)| !equal).map(|(name, _)| *name)
}

/// How an answer differs from what the model says, if it does.
#[must_use]
pub fn answer_difference(expected: &Answer, outcome: &Outcome) -> Option<String> {
    let equal = match (expected, outcome) {
        (Answer::Refused { reason, differs }, Outcome::Refused { reason: seen, field, .. }) => {
            **seen == **reason && (differs.is_empty() || differs.contains(field))
        }
        (expected, Outcome::Written(written)) => match (expected, &written.answer) {
            (Answer::SeriesOpened, WriteAnswer::SeriesOpened)
            | (Answer::Cancelled, WriteAnswer::Cancelled)
            | (Answer::RefundSettled, WriteAnswer::RefundSettled)
            | (Answer::PolicySet, WriteAnswer::PolicySet) => true,
            (Answer::Voided { refund_idr }, WriteAnswer::Voided { refund_idr: seen }) => refund_idr == seen,
            // (That the printed code is the stamp's, V3 says.)
            (Answer::Stamped { series, number }, WriteAnswer::Stamped { series: code, number: seen, .. }) => {
                (series, number) == (code, seen)
            }
            (
                Answer::Placed { amount_idr, expires_at_ms },
                WriteAnswer::Placed { amount_idr: amount, expires_at_ms: expires },
            ) => amount_idr == amount && expires_at_ms == expires,
            (Answer::Recorded { outcome, serials }, WriteAnswer::Recorded { outcome: seen, serials: seen_serials }) => {
                let seen_range = seen_serials.as_ref().map(|range| (range.series, range.first_number, range.quantity));
                outcome == seen && *serials == seen_range
            }
            (Answer::Recorded { outcome, .. }, WriteAnswer::Noticed { outcome: seen }) => outcome == seen,
            _ => false,
        },
        _ => false,
    };
    (!equal).then(|| format!("the log says {expected:?}, the answer was {}", outcome_text(outcome)))
}

/// For violations: short, for people.
#[must_use]
pub fn outcome_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Written(written) => format!("{:?} at {}", written.answer, written.receipt.place),
        Outcome::Refused { reason, field, .. } if field.is_empty() => format!("refused, {reason}"),
        Outcome::Refused { reason, field, .. } => format!("refused, {reason} ({field})"),
        Outcome::NotDone { reason } => format!("not done, {reason}"),
        Outcome::Unknown { why } => format!("unknown, {why}"),
        Outcome::Read(read) => format!("{:?}", read.answer),
    }
}

#[cfg(test)]
mod tests;

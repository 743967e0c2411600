//! Replies as protocol buffers, between nodes. Commands travel as `storage` keeps them.
//!
//! Strict both ways: what is missing, unknown or out of range is an error, never a default.

use bytes::Bytes;

use crate::domain::{
    Command, LedgerTime, Outcome, PaymentOutcome, Place, Quantity, Refusal, Reply, Rupiah, SerialRange, SeriesCode, StampNumber,
};
use crate::proto::{raft, storage as wire};
use crate::storage::{CommandBatch, codec};

/// A message that cannot be what one of our nodes wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {cause}")]
pub struct WireError {
    what: &'static str,
    cause: String,
}

impl WireError {
    pub(super) fn new(what: &'static str, cause: impl ToString) -> Self {
        Self { what, cause: cause.to_string() }
    }

    pub(super) fn missing(what: &'static str) -> Self {
        Self::new(what, "missing")
    }
}

/// Names the field in the error of a value's own check.
fn checked<T, E: ToString>(what: &'static str, value: Result<T, E>) -> Result<T, WireError> {
    value.map_err(|cause| WireError::new(what, cause))
}

pub(super) fn decode_batch(bytes: &Bytes) -> Result<CommandBatch, WireError> {
    checked("command batch", codec::decode_batch(bytes))
}

pub(super) fn commands_from_wire(commands: Vec<wire::Command>) -> Result<Vec<Command>, WireError> {
    commands.iter().map(|command| checked("command", codec::command_from_proto(command))).collect()
}

pub(super) fn reply_to_wire(reply: &Reply) -> raft::Reply {
    use raft::reply::Outcome as Wire;
    let outcome = match &reply.outcome {
        Outcome::SeriesOpened => Wire::SeriesOpened(raft::SeriesOpened {}),
        Outcome::OrderPlaced { amount, expires_at } => {
            Wire::OrderPlaced(raft::OrderPlaced { amount_idr: amount.as_idr(), expires_at_ms: expires_at.0 })
        }
        Outcome::PaymentRecorded(outcome) => Wire::PaymentRecorded(payment_outcome_to_wire(outcome)),
        Outcome::OrderCancelled => Wire::OrderCancelled(raft::OrderCancelled {}),
        Outcome::OrderVoided { refund } => Wire::OrderVoided(raft::OrderVoided { refund_idr: refund.as_idr() }),
        Outcome::DocumentStamped { series, number } => {
            Wire::DocumentStamped(raft::DocumentStamped { series_code: series.as_str().to_owned(), number: number.get() })
        }
        Outcome::RefundSettled => Wire::RefundSettled(raft::RefundSettled {}),
        Outcome::PolicySet => Wire::PolicySet(raft::PolicySet {}),
        Outcome::OrdersExpired { count } => Wire::OrdersExpired(raft::OrdersExpired { count: *count }),
        Outcome::Refused(refusal) => Wire::Refused(raft::Refused {
            reason: refusal.reason().to_owned(),
            field: refusal.field().unwrap_or_default().to_owned(),
        }),
    };
    let place = wire::Place { log_index: reply.place.log_index, offset: reply.place.offset };
    raft::Reply { place: Some(place), replayed: reply.replayed, outcome: Some(outcome) }
}

pub(super) fn reply_from_wire(reply: raft::Reply) -> Result<Reply, WireError> {
    use raft::reply::Outcome as Wire;
    let place = reply.place.ok_or(WireError::missing("place"))?;
    let outcome = match reply.outcome.ok_or(WireError::missing("outcome"))? {
        Wire::SeriesOpened(_) => Outcome::SeriesOpened,
        Wire::OrderPlaced(placed) => {
            Outcome::OrderPlaced { amount: Rupiah::from_idr(placed.amount_idr), expires_at: LedgerTime(placed.expires_at_ms) }
        }
        Wire::PaymentRecorded(recorded) => Outcome::PaymentRecorded(payment_outcome_from_wire(&recorded)?),
        Wire::OrderCancelled(_) => Outcome::OrderCancelled,
        Wire::OrderVoided(voided) => Outcome::OrderVoided { refund: Rupiah::from_idr(voided.refund_idr) },
        Wire::DocumentStamped(stamped) => Outcome::DocumentStamped {
            series: checked("series_code", SeriesCode::new(&stamped.series_code))?,
            number: checked("number", StampNumber::new(stamped.number))?,
        },
        Wire::RefundSettled(_) => Outcome::RefundSettled,
        Wire::PolicySet(_) => Outcome::PolicySet,
        Wire::OrdersExpired(expired) => Outcome::OrdersExpired { count: expired.count },
        Wire::Refused(refused) => Outcome::Refused(refusal_from_wire(&refused)?),
    };
    Ok(Reply { place: Place { log_index: place.log_index, offset: place.offset }, replayed: reply.replayed, outcome })
}

fn payment_outcome_to_wire(outcome: &PaymentOutcome) -> raft::PaymentRecorded {
    use wire::PaymentOutcome as Wire;
    let (outcome, serials) = match outcome {
        PaymentOutcome::Applied(serials) => (Wire::Applied, Some(serials)),
        PaymentOutcome::OrderUnknown => (Wire::OrderUnknown, None),
        PaymentOutcome::OrderCancelled => (Wire::OrderCancelled, None),
        PaymentOutcome::OrderVoided => (Wire::OrderVoided, None),
        PaymentOutcome::AlreadyPaid => (Wire::AlreadyPaid, None),
        PaymentOutcome::WrongAmount => (Wire::WrongAmount, None),
        PaymentOutcome::NoStock => (Wire::NoStock, None),
    };
    raft::PaymentRecorded {
        outcome: outcome.into(),
        series_code: serials.map(|serials| serials.series.as_str().to_owned()).unwrap_or_default(),
        first_number: serials.map(|serials| serials.first.get()).unwrap_or_default(),
        quantity: serials.map(|serials| serials.quantity.get()).unwrap_or_default(),
    }
}

fn payment_outcome_from_wire(recorded: &raft::PaymentRecorded) -> Result<PaymentOutcome, WireError> {
    use wire::PaymentOutcome as Wire;
    Ok(match checked("payment outcome", Wire::try_from(recorded.outcome))? {
        Wire::Unspecified => return Err(WireError::missing("payment outcome")),
        Wire::Applied => PaymentOutcome::Applied(SerialRange {
            series: checked("series_code", SeriesCode::new(&recorded.series_code))?,
            first: checked("first_number", StampNumber::new(recorded.first_number))?,
            quantity: checked("quantity", Quantity::new(recorded.quantity))?,
        }),
        Wire::OrderUnknown => PaymentOutcome::OrderUnknown,
        Wire::OrderCancelled => PaymentOutcome::OrderCancelled,
        Wire::OrderVoided => PaymentOutcome::OrderVoided,
        Wire::AlreadyPaid => PaymentOutcome::AlreadyPaid,
        Wire::WrongAmount => PaymentOutcome::WrongAmount,
        Wire::NoStock => PaymentOutcome::NoStock,
    })
}

/// Fields that a `*_REUSED` refusal can name.
const FIELDS: [&str; 13] = [
    "first_number",
    "capacity",
    "face_value_idr",
    "payment_window_ms",
    "key_check",
    "account_id",
    "series_code",
    "quantity",
    "order_id",
    "amount_idr",
    "reference",
    "void_refund_percent",
    "void_window_ms",
];

fn refusal_from_wire(refused: &raft::Refused) -> Result<Refusal, WireError> {
    let field = || {
        let known = FIELDS.into_iter().find(|field| *field == refused.field);
        known.ok_or_else(|| WireError::new("refused field", format!("unknown field {:?}", refused.field)))
    };
    let known = Refusal::of_reason(&refused.reason, "");
    let refusal = known.ok_or_else(|| WireError::new("refused reason", format!("unknown reason {:?}", refused.reason)))?;
    match refusal.field() {
        None => Ok(refusal),
        Some(_) => Ok(Refusal::of_reason(&refused.reason, field()?).expect("the reason is known")),
    }
}

#[cfg(test)]
mod tests {
    use std::iter::successors;

    use super::*;

    // Each variant names the one after it: a new one does not compile until it has its place here.

    fn refusal_after(refusal: Option<Refusal>) -> Option<Refusal> {
        Some(match refusal {
            None => Refusal::SeriesReused { field: FIELDS[0] },
            Some(Refusal::SeriesReused { .. }) => Refusal::OrderIdReused { field: FIELDS[7] },
            Some(Refusal::OrderIdReused { .. }) => Refusal::PaymentIdReused { field: FIELDS[9] },
            Some(Refusal::PaymentIdReused { .. }) => Refusal::RefundReused { field: FIELDS[10] },
            Some(Refusal::RefundReused { .. }) => Refusal::PolicyVersionReused { field: FIELDS[12] },
            Some(Refusal::PolicyVersionReused { .. }) => Refusal::SeriesUnknown,
            Some(Refusal::SeriesUnknown) => Refusal::StockExhausted,
            Some(Refusal::StockExhausted) => Refusal::OrderUnknown,
            Some(Refusal::OrderUnknown) => Refusal::RefundUnknown,
            Some(Refusal::RefundUnknown) => Refusal::OrderNotIssued,
            Some(Refusal::OrderNotIssued) => Refusal::OrderIssued,
            Some(Refusal::OrderIssued) => Refusal::OrderExpired,
            Some(Refusal::OrderExpired) => Refusal::OrderVoided,
            Some(Refusal::OrderVoided) => Refusal::OrderStamped,
            Some(Refusal::OrderStamped) => Refusal::OrderExhausted,
            Some(Refusal::OrderExhausted) => Refusal::VoidWindowClosed,
            Some(Refusal::VoidWindowClosed) => Refusal::RefundAmountWrong,
            Some(Refusal::RefundAmountWrong) => Refusal::PolicyVersionSkipped,
            Some(Refusal::PolicyVersionSkipped) => return None,
        })
    }

    fn payment_outcome_after(outcome: Option<&PaymentOutcome>) -> Option<PaymentOutcome> {
        Some(match outcome {
            None => PaymentOutcome::Applied(SerialRange {
                series: SeriesCode::new("A24").expect("three of base 32"),
                first: StampNumber::new(7).expect("in range"),
                quantity: Quantity::new(3).expect("in range"),
            }),
            Some(PaymentOutcome::Applied(_)) => PaymentOutcome::OrderUnknown,
            Some(PaymentOutcome::OrderUnknown) => PaymentOutcome::OrderCancelled,
            Some(PaymentOutcome::OrderCancelled) => PaymentOutcome::OrderVoided,
            Some(PaymentOutcome::OrderVoided) => PaymentOutcome::AlreadyPaid,
            Some(PaymentOutcome::AlreadyPaid) => PaymentOutcome::WrongAmount,
            Some(PaymentOutcome::WrongAmount) => PaymentOutcome::NoStock,
            Some(PaymentOutcome::NoStock) => return None,
        })
    }

    fn outcome_after(outcome: Option<&Outcome>) -> Option<Outcome> {
        Some(match outcome {
            None => Outcome::SeriesOpened,
            Some(Outcome::SeriesOpened) => {
                Outcome::OrderPlaced { amount: Rupiah::from_idr(20_000), expires_at: LedgerTime(1_725_498_000_000) }
            }
            Some(Outcome::OrderPlaced { .. }) => Outcome::OrderCancelled,
            Some(Outcome::OrderCancelled) => Outcome::OrderVoided { refund: Rupiah::from_idr(15_000) },
            Some(Outcome::OrderVoided { .. }) => Outcome::DocumentStamped {
                series: SeriesCode::new("A24").expect("three of base 32"),
                number: StampNumber::new(7).expect("in range"),
            },
            Some(Outcome::DocumentStamped { .. }) => Outcome::RefundSettled,
            Some(Outcome::RefundSettled) => Outcome::PolicySet,
            Some(Outcome::PolicySet) => Outcome::OrdersExpired { count: 5 },
            Some(Outcome::OrdersExpired { .. }) => Outcome::PaymentRecorded(payment_outcome_after(None)?),
            Some(Outcome::PaymentRecorded(outcome)) => match payment_outcome_after(Some(outcome)) {
                Some(next) => Outcome::PaymentRecorded(next),
                None => Outcome::Refused(refusal_after(None)?),
            },
            Some(Outcome::Refused(refusal)) => Outcome::Refused(refusal_after(Some(*refusal))?),
        })
    }

    #[test]
    fn every_reply_arrives_as_it_was_sent() {
        let outcomes = successors(outcome_after(None), |outcome| outcome_after(Some(outcome)));
        for (outcome, offset) in outcomes.zip(0..) {
            let reply = Reply { place: Place { log_index: 9, offset }, replayed: offset % 2 == 1, outcome };
            assert_eq!(reply_from_wire(reply_to_wire(&reply)), Ok(reply));
        }
    }

    #[test]
    fn what_no_node_of_ours_says_is_an_error() {
        let refused = |reason: &str, field: &str| raft::Refused { reason: reason.to_owned(), field: field.to_owned() };
        assert!(refusal_from_wire(&refused("OUT_OF_PAPER", "")).is_err());
        assert!(refusal_from_wire(&refused("ORDER_ID_REUSED", "")).is_err());
        assert!(refusal_from_wire(&refused("ORDER_ID_REUSED", "colour")).is_err());
        assert!(reply_from_wire(raft::Reply::default()).is_err());
    }
}

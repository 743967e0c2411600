//! The ledger's answers, as they stand in audit records and travel between peers.

use super::{checked, corrupt, place, place_to_proto, present, serial_range};
use crate::domain::{
    LedgerTime, Outcome, PaymentOutcome, Quantity, Refusal, Reply, Rupiah, SerialRange, SeriesCode, StampNumber,
};
use crate::proto::storage as proto;
use crate::proto::storage::reply::Outcome as Kind;
use crate::storage::StorageError;

const WHAT: &str = "reply";

#[must_use]
pub fn reply_to_proto(reply: &Reply) -> proto::Reply {
    let outcome = match &reply.outcome {
        Outcome::SeriesOpened => Kind::SeriesOpened(proto::SeriesOpened {}),
        Outcome::OrderPlaced { amount, expires_at } => {
            Kind::OrderPlaced(proto::OrderPlaced { amount_idr: amount.as_idr(), expires_at_ms: expires_at.0 })
        }
        Outcome::PaymentRecorded(outcome) => {
            let (outcome, serials) = payment_outcome_to_proto(outcome);
            Kind::PaymentRecorded(proto::PaymentRecorded {
                outcome: outcome.into(),
                series_code: serials.map(|serials| serials.series.as_str().to_owned()).unwrap_or_default(),
                first_number: serials.map(|serials| serials.first.get()).unwrap_or_default(),
                quantity: serials.map(|serials| serials.quantity.get()).unwrap_or_default(),
            })
        }
        Outcome::OrderCancelled => Kind::OrderCancelled(proto::OrderCancelled {}),
        Outcome::OrderVoided { refund } => Kind::OrderVoided(proto::OrderVoided { refund_idr: refund.as_idr() }),
        Outcome::DocumentStamped { series, number } => {
            Kind::DocumentStamped(proto::DocumentStamped { series_code: series.as_str().to_owned(), number: number.get() })
        }
        Outcome::RefundSettled => Kind::RefundSettled(proto::RefundSettled {}),
        Outcome::PolicySet => Kind::PolicySet(proto::PolicySet {}),
        Outcome::OrdersExpired { count } => Kind::OrdersExpired(proto::OrdersExpired { count: *count }),
        Outcome::Refused(refusal) => Kind::Refused(proto::Refused {
            reason: refusal.reason().to_owned(),
            field: refusal.field().unwrap_or_default().to_owned(),
        }),
    };
    proto::Reply { place: Some(place_to_proto(reply.place)), replayed: reply.replayed, outcome: Some(outcome) }
}

/// # Errors
/// [`StorageError::Corrupt`] names the field.
pub fn reply_from_proto(reply: &proto::Reply) -> Result<Reply, StorageError> {
    let place = place(WHAT, "place", reply.place)?;
    let outcome = match present(WHAT, "outcome", reply.outcome.as_ref())? {
        Kind::SeriesOpened(_) => Outcome::SeriesOpened,
        Kind::OrderPlaced(placed) => {
            Outcome::OrderPlaced { amount: Rupiah::from_idr(placed.amount_idr), expires_at: LedgerTime(placed.expires_at_ms) }
        }
        Kind::PaymentRecorded(recorded) => {
            let (series, first, quantity) = (&recorded.series_code, recorded.first_number, recorded.quantity);
            Outcome::PaymentRecorded(payment_outcome(WHAT, recorded.outcome, series, first, quantity)?)
        }
        Kind::OrderCancelled(_) => Outcome::OrderCancelled,
        Kind::OrderVoided(voided) => Outcome::OrderVoided { refund: Rupiah::from_idr(voided.refund_idr) },
        Kind::DocumentStamped(stamped) => Outcome::DocumentStamped {
            series: checked(WHAT, "series_code", SeriesCode::new(&stamped.series_code))?,
            number: checked(WHAT, "number", StampNumber::new(stamped.number))?,
        },
        Kind::RefundSettled(_) => Outcome::RefundSettled,
        Kind::PolicySet(_) => Outcome::PolicySet,
        Kind::OrdersExpired(expired) => Outcome::OrdersExpired { count: expired.count },
        Kind::Refused(refused) => Outcome::Refused(refusal(refused)?),
    };
    Ok(Reply { place, replayed: reply.replayed, outcome })
}

pub(super) fn payment_outcome_to_proto(outcome: &PaymentOutcome) -> (proto::PaymentOutcome, Option<&SerialRange>) {
    match outcome {
        PaymentOutcome::Applied(serials) => (proto::PaymentOutcome::Applied, Some(serials)),
        PaymentOutcome::OrderUnknown => (proto::PaymentOutcome::OrderUnknown, None),
        PaymentOutcome::OrderCancelled => (proto::PaymentOutcome::OrderCancelled, None),
        PaymentOutcome::OrderVoided => (proto::PaymentOutcome::OrderVoided, None),
        PaymentOutcome::AlreadyPaid => (proto::PaymentOutcome::AlreadyPaid, None),
        PaymentOutcome::WrongAmount => (proto::PaymentOutcome::WrongAmount, None),
        PaymentOutcome::NoStock => (proto::PaymentOutcome::NoStock, None),
    }
}

/// Stamps belong to an applied payment, and to no other.
pub(super) fn payment_outcome(
    what: &str,
    outcome: i32,
    series_code: &str,
    first_number: u64,
    quantity: u32,
) -> Result<PaymentOutcome, StorageError> {
    let outcome = proto::PaymentOutcome::try_from(outcome).map_err(|error| corrupt(what, error))?;
    Ok(match outcome {
        proto::PaymentOutcome::Unspecified => return Err(corrupt(what, "outcome is missing")),
        proto::PaymentOutcome::Applied => {
            let series = checked(what, "series_code", SeriesCode::new(series_code))?;
            let quantity = checked(what, "quantity", Quantity::new(quantity))?;
            PaymentOutcome::Applied(serial_range(what, series, first_number, quantity)?)
        }
        _ if !series_code.is_empty() || first_number != 0 || quantity != 0 => {
            return Err(corrupt(what, "has stamps, but is a refund due"));
        }
        proto::PaymentOutcome::OrderUnknown => PaymentOutcome::OrderUnknown,
        proto::PaymentOutcome::OrderCancelled => PaymentOutcome::OrderCancelled,
        proto::PaymentOutcome::OrderVoided => PaymentOutcome::OrderVoided,
        proto::PaymentOutcome::AlreadyPaid => PaymentOutcome::AlreadyPaid,
        proto::PaymentOutcome::WrongAmount => PaymentOutcome::WrongAmount,
        proto::PaymentOutcome::NoStock => PaymentOutcome::NoStock,
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

fn refusal(refused: &proto::Refused) -> Result<Refusal, StorageError> {
    let known = Refusal::of_reason(&refused.reason, "");
    let refusal = known.ok_or_else(|| corrupt(WHAT, format_args!("unknown reason {:?}", refused.reason)))?;
    if refusal.field().is_none() {
        return Ok(refusal);
    }
    let known = FIELDS.into_iter().find(|field| *field == refused.field);
    let field = known.ok_or_else(|| corrupt(WHAT, format_args!("unknown field {:?}", refused.field)))?;
    Ok(Refusal::of_reason(&refused.reason, field).expect("the reason is known"))
}

#[cfg(test)]
mod tests {
    use std::iter::successors;

    use super::*;
    use crate::domain::Place;

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
    fn every_reply_is_read_as_it_was_written() {
        let outcomes = successors(outcome_after(None), |outcome| outcome_after(Some(outcome)));
        for (outcome, offset) in outcomes.zip(0..) {
            let reply = Reply { place: Place { log_index: 9, offset }, replayed: offset % 2 == 1, outcome };
            assert_eq!(reply_from_proto(&reply_to_proto(&reply)), Ok(reply));
        }
    }

    #[test]
    fn what_no_node_of_ours_writes_is_an_error() {
        let refused = |reason: &str, field: &str| proto::Refused { reason: reason.to_owned(), field: field.to_owned() };
        assert!(refusal(&refused("OUT_OF_PAPER", "")).is_err());
        assert!(refusal(&refused("ORDER_ID_REUSED", "")).is_err());
        assert!(refusal(&refused("ORDER_ID_REUSED", "colour")).is_err());
        assert!(reply_from_proto(&proto::Reply::default()).is_err());
    }
}

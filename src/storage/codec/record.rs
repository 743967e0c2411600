//! Series, orders, payments, and what the ledger knows of itself.

use prost::Message;

use super::command::{paid_amount, series_terms};
use super::reply::{payment_outcome, payment_outcome_to_proto};
use super::{
    checked, corrupt, fixed, message, order_id, order_id_bytes, payment_name, place, place_to_proto, present, serial_range,
};
use crate::domain::{AccountId, Issue, LedgerTime, Order, OrderState, Payment, Quantity, Series, SeriesCode};
use crate::limits;
use crate::proto::storage as proto;
use crate::proto::storage::order_record::State;
use crate::storage::audit::AuditName;
use crate::storage::{LedgerMeta, StateDigest, StorageError};

#[must_use]
pub fn encode_series(series: &Series) -> Vec<u8> {
    let record = proto::SeriesRecord {
        series_code: series.code.as_str().to_owned(),
        first_number: series.first_number.get(),
        capacity: series.capacity,
        face_value_idr: series.face_value.as_idr(),
        payment_window_ms: series.payment_window_ms,
        key_check: bytes::Bytes::copy_from_slice(&series.key_check),
        issued: series.issued,
        reserved: series.reserved,
        voided: series.voided,
        opened: Some(place_to_proto(series.opened)),
    };
    record.encode_to_vec()
}

/// # Errors
/// [`StorageError::Corrupt`] names the field.
pub fn decode_series(bytes: &[u8]) -> Result<Series, StorageError> {
    let what = "series record";
    let record: proto::SeriesRecord = message(what, bytes)?;
    let terms = proto::OpenSeries {
        series_code: record.series_code,
        first_number: record.first_number,
        capacity: record.capacity,
        face_value_idr: record.face_value_idr,
        payment_window_ms: record.payment_window_ms,
        key_check: record.key_check,
    };
    let terms = series_terms(what, &terms)?;
    // `Series::free` subtracts: a record that would make it negative was never written.
    let proto::SeriesRecord { issued, voided, reserved, capacity, .. } = record;
    if [issued, voided, reserved].iter().map(|stamps| u128::from(*stamps)).sum::<u128>() > capacity.into() {
        let cause = format_args!("{issued} issued, {voided} voided and {reserved} reserved of {capacity} stamps");
        return Err(corrupt(what, cause));
    }
    let opened = place(what, "opened", record.opened)?;
    Ok(Series { issued, voided, reserved, ..Series::opened(&terms, opened) })
}

#[must_use]
pub fn encode_order(order: &Order) -> Vec<u8> {
    let ended = |place, at: LedgerTime| proto::Ended { place: Some(place_to_proto(place)), at_ms: at.0 };
    let state = match &order.state {
        OrderState::AwaitingPayment => State::Awaiting(proto::Awaiting {}),
        OrderState::Issued { issue, stamped } => State::Issued(issue_to_proto(issue, *stamped)),
        OrderState::Voided { issue, place, at } => State::Voided(proto::Voided {
            issued: Some(issue_to_proto(issue, 0)),
            place: Some(place_to_proto(*place)),
            at_ms: at.0,
        }),
        OrderState::Cancelled { place, at } => State::Cancelled(ended(*place, *at)),
        OrderState::Expired { place, at } => State::Expired(ended(*place, *at)),
    };
    let record = proto::OrderRecord {
        order_id: order_id_bytes(order.id),
        account_id: order.account.as_str().to_owned(),
        series_code: order.series.as_str().to_owned(),
        quantity: order.quantity.get(),
        amount_idr: order.amount.as_idr(),
        placed: Some(place_to_proto(order.placed)),
        placed_at_ms: order.placed_at.0,
        expires_at_ms: order.expires_at.0,
        state: Some(state),
    };
    record.encode_to_vec()
}

/// # Errors
/// [`StorageError::Corrupt`] names the field.
pub fn decode_order(bytes: &[u8]) -> Result<Order, StorageError> {
    let what = "order record";
    let record: proto::OrderRecord = message(what, bytes)?;
    let state = present(what, "state", record.state)?;
    let series = checked(what, "series_code", SeriesCode::new(&record.series_code))?;
    let quantity = checked(what, "quantity", Quantity::new(record.quantity))?;
    let state = match state {
        State::Awaiting(proto::Awaiting {}) => OrderState::AwaitingPayment,
        State::Issued(issued) if issued.stamped > quantity.get() => {
            let cause = format_args!("{} stamped of {} stamps", issued.stamped, quantity.get());
            return Err(corrupt(what, cause));
        }
        State::Issued(issued) => OrderState::Issued { issue: issue(what, series, quantity, &issued)?, stamped: issued.stamped },
        State::Voided(voided) => {
            let issued = present(what, "voided.issued", voided.issued)?;
            if issued.stamped > 0 {
                return Err(corrupt(what, "is voided, but has stamps on documents"));
            }
            let issue = issue(what, series, quantity, &issued)?;
            OrderState::Voided { issue, place: place(what, "voided.place", voided.place)?, at: LedgerTime(voided.at_ms) }
        }
        State::Cancelled(ended) => {
            OrderState::Cancelled { place: place(what, "cancelled.place", ended.place)?, at: LedgerTime(ended.at_ms) }
        }
        State::Expired(ended) => {
            OrderState::Expired { place: place(what, "expired.place", ended.place)?, at: LedgerTime(ended.at_ms) }
        }
    };
    // Every window has at least this length; the clock of a ledger may stand at 0, and at the highest number.
    let expires_at_ms_min = record.placed_at_ms.saturating_add(limits::PAYMENT_WINDOW_MS_MIN);
    if record.expires_at_ms < expires_at_ms_min {
        let cause = format_args!("expires_at_ms must be {expires_at_ms_min} or later, is {}", record.expires_at_ms);
        return Err(corrupt(what, cause));
    }
    Ok(Order {
        id: order_id(what, &record.order_id)?,
        account: checked(what, "account_id", AccountId::new(&record.account_id))?,
        series,
        quantity,
        amount: paid_amount(what, record.amount_idr)?,
        placed: place(what, "placed", record.placed)?,
        placed_at: LedgerTime(record.placed_at_ms),
        expires_at: LedgerTime(record.expires_at_ms),
        state,
    })
}

fn issue_to_proto(issue: &Issue, stamped: u32) -> proto::Issued {
    proto::Issued {
        first_number: issue.first.get(),
        gateway: issue.paid_by.gateway.as_str().to_owned(),
        payment_id: issue.paid_by.payment_id.as_str().to_owned(),
        place: Some(place_to_proto(issue.place)),
        at_ms: issue.at.0,
        stamped,
    }
}

fn issue(what: &str, series: SeriesCode, quantity: Quantity, issued: &proto::Issued) -> Result<Issue, StorageError> {
    Ok(Issue {
        first: serial_range(what, series, issued.first_number, quantity)?.first,
        paid_by: payment_name(what, &issued.gateway, &issued.payment_id)?,
        place: place(what, "issued.place", issued.place)?,
        at: LedgerTime(issued.at_ms),
    })
}

#[must_use]
pub fn encode_payment(payment: &Payment) -> Vec<u8> {
    let (outcome, serials) = payment_outcome_to_proto(&payment.outcome);
    let record = proto::PaymentRecord {
        gateway: payment.name.gateway.as_str().to_owned(),
        payment_id: payment.name.payment_id.as_str().to_owned(),
        order_id: order_id_bytes(payment.order),
        amount_idr: payment.amount.as_idr(),
        outcome: outcome.into(),
        series_code: serials.map(|serials| serials.series.as_str().to_owned()).unwrap_or_default(),
        first_number: serials.map(|serials| serials.first.get()).unwrap_or_default(),
        quantity: serials.map(|serials| serials.quantity.get()).unwrap_or_default(),
        recorded: Some(place_to_proto(payment.recorded)),
        recorded_at_ms: payment.recorded_at.0,
    };
    record.encode_to_vec()
}

/// # Errors
/// [`StorageError::Corrupt`] names the field.
pub fn decode_payment(bytes: &[u8]) -> Result<Payment, StorageError> {
    let what = "payment record";
    let record: proto::PaymentRecord = message(what, bytes)?;
    let outcome = payment_outcome(what, record.outcome, &record.series_code, record.first_number, record.quantity)?;
    Ok(Payment {
        name: payment_name(what, &record.gateway, &record.payment_id)?,
        order: order_id(what, &record.order_id)?,
        amount: paid_amount(what, record.amount_idr)?,
        outcome,
        recorded: place(what, "recorded", record.recorded)?,
        recorded_at: LedgerTime(record.recorded_at_ms),
    })
}

#[must_use]
pub fn meta_to_proto(meta: &LedgerMeta) -> proto::LedgerMeta {
    proto::LedgerMeta {
        applied: meta.applied,
        membership: meta.membership.clone(),
        digest: bytes::Bytes::copy_from_slice(&meta.digest.to_bytes()),
        audit_head: bytes::Bytes::copy_from_slice(meta.audit_head.as_bytes()),
        cluster: super::cluster::record_to_proto(&meta.cluster),
    }
}

/// # Errors
/// [`StorageError::Corrupt`]: the digest, the name of an audit record or a token has not its bytes.
pub fn meta_from_proto(meta: proto::LedgerMeta) -> Result<LedgerMeta, StorageError> {
    let digest = StateDigest::from_bytes(fixed("ledger meta", "digest", &meta.digest)?);
    let audit_head = AuditName(fixed("ledger meta", "audit_head", &meta.audit_head)?);
    let cluster = super::cluster::record_from_proto(meta.cluster)?;
    Ok(LedgerMeta { applied: meta.applied, membership: meta.membership, digest, audit_head, cluster })
}

#[must_use]
pub fn encode_meta(meta: &LedgerMeta) -> Vec<u8> {
    meta_to_proto(meta).encode_to_vec()
}

/// # Errors
/// As [`meta_from_proto`].
pub fn decode_meta(bytes: &[u8]) -> Result<LedgerMeta, StorageError> {
    meta_from_proto(message("ledger meta", bytes)?)
}

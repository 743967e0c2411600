//! The sums over the whole ledger.

use prost::Message;

use super::{corrupt, message};
use crate::domain::{LedgerTime, PaymentCounts, Rupiah, Totals};
use crate::proto::storage as proto;
use crate::storage::StorageError;

#[must_use]
pub fn encode_totals(totals: &Totals) -> Vec<u8> {
    let record = proto::TotalsRecord {
        orders_awaiting_payment: totals.orders_awaiting_payment,
        orders_issued: totals.orders_issued,
        orders_cancelled: totals.orders_cancelled,
        orders_expired: totals.orders_expired,
        orders_voided: totals.orders_voided,
        serials_issued: totals.serials_issued,
        serials_voided: totals.serials_voided,
        stampings: totals.stampings,
        payments_applied: totals.payments.applied,
        payments_order_unknown: totals.payments.order_unknown,
        payments_order_cancelled: totals.payments.order_cancelled,
        payments_order_voided: totals.payments.order_voided,
        payments_already_paid: totals.payments.already_paid,
        payments_wrong_amount: totals.payments.wrong_amount,
        payments_no_stock: totals.payments.no_stock,
        refunds: totals.refunds,
        refunds_settled: totals.refunds_settled,
        received_idr: totals.received.as_idr(),
        issued_ever_idr: totals.issued_ever.as_idr(),
        voided_value_idr: totals.voided_value.as_idr(),
        held_idr: totals.held.as_idr(),
        due_ever_idr: totals.due_ever.as_idr(),
        refunded_idr: totals.refunded.as_idr(),
        policy_version: totals.policy_version,
        ledger_time_ms: totals.ledger_time.0,
    };
    record.encode_to_vec()
}

/// # Errors
/// [`StorageError::Corrupt`]: not a totals record; all zero (totals are first written when there is something to count); more
/// was taken away from a sum than it ever held.
pub fn decode_totals(bytes: &[u8]) -> Result<Totals, StorageError> {
    let what = "totals record";
    let record: proto::TotalsRecord = message(what, bytes)?;
    if record == proto::TotalsRecord::default() {
        return Err(corrupt(what, "counts nothing"));
    }
    // `Totals::refunds_due` subtracts.
    if record.refunds_settled > record.refunds {
        let cause = format_args!("{} refunds settled of {}", record.refunds_settled, record.refunds);
        return Err(corrupt(what, cause));
    }
    Ok(Totals {
        orders_awaiting_payment: record.orders_awaiting_payment,
        orders_issued: record.orders_issued,
        orders_cancelled: record.orders_cancelled,
        orders_expired: record.orders_expired,
        orders_voided: record.orders_voided,
        serials_issued: record.serials_issued,
        serials_voided: record.serials_voided,
        stampings: record.stampings,
        payments: PaymentCounts {
            applied: record.payments_applied,
            order_unknown: record.payments_order_unknown,
            order_cancelled: record.payments_order_cancelled,
            order_voided: record.payments_order_voided,
            already_paid: record.payments_already_paid,
            wrong_amount: record.payments_wrong_amount,
            no_stock: record.payments_no_stock,
        },
        refunds: record.refunds,
        refunds_settled: record.refunds_settled,
        received: Rupiah::from_idr(record.received_idr),
        issued_ever: Rupiah::from_idr(record.issued_ever_idr),
        voided_value: Rupiah::from_idr(record.voided_value_idr),
        held: Rupiah::from_idr(record.held_idr),
        due_ever: Rupiah::from_idr(record.due_ever_idr),
        refunded: Rupiah::from_idr(record.refunded_idr),
        policy_version: record.policy_version,
        ledger_time: LedgerTime(record.ledger_time_ms),
    })
}

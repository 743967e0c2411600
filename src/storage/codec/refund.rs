//! Refunds, and the policies that they follow.

use prost::Message;

use super::command::{paid_amount, policy_terms};
use super::{checked, corrupt, message, order_id, order_id_bytes, payment_name, place, place_to_proto};
use crate::domain::{LedgerTime, Policy, Refund, RefundReason, Settlement, SettlementReference};
use crate::proto::storage as proto;
use crate::storage::StorageError;

#[must_use]
pub fn encode_refund(refund: &Refund) -> Vec<u8> {
    let reason = match refund.reason {
        RefundReason::OrderUnknown => proto::RefundReason::OrderUnknown,
        RefundReason::OrderCancelled => proto::RefundReason::OrderCancelled,
        RefundReason::OrderVoided => proto::RefundReason::OrderVoided,
        RefundReason::AlreadyPaid => proto::RefundReason::AlreadyPaid,
        RefundReason::WrongAmount => proto::RefundReason::WrongAmount,
        RefundReason::NoStock => proto::RefundReason::NoStock,
        RefundReason::Void => proto::RefundReason::Void,
    };
    let settled = refund.settled.as_ref().map(|settled| proto::Settlement {
        reference: settled.reference.as_str().to_owned(),
        place: Some(place_to_proto(settled.place)),
        at_ms: settled.at.0,
    });
    let record = proto::RefundRecord {
        gateway: refund.payment.gateway.as_str().to_owned(),
        payment_id: refund.payment.payment_id.as_str().to_owned(),
        order_id: order_id_bytes(refund.order),
        amount_idr: refund.amount.as_idr(),
        reason: reason.into(),
        due: Some(place_to_proto(refund.due)),
        due_at_ms: refund.due_at.0,
        settled,
    };
    record.encode_to_vec()
}

/// # Errors
/// [`StorageError::Corrupt`] names the field.
pub fn decode_refund(bytes: &[u8]) -> Result<Refund, StorageError> {
    let what = "refund record";
    let record: proto::RefundRecord = message(what, bytes)?;
    let reason = proto::RefundReason::try_from(record.reason).map_err(|error| corrupt(what, error))?;
    let reason = match reason {
        proto::RefundReason::Unspecified => return Err(corrupt(what, "reason is missing")),
        proto::RefundReason::OrderUnknown => RefundReason::OrderUnknown,
        proto::RefundReason::OrderCancelled => RefundReason::OrderCancelled,
        proto::RefundReason::OrderVoided => RefundReason::OrderVoided,
        proto::RefundReason::AlreadyPaid => RefundReason::AlreadyPaid,
        proto::RefundReason::WrongAmount => RefundReason::WrongAmount,
        proto::RefundReason::NoStock => RefundReason::NoStock,
        proto::RefundReason::Void => RefundReason::Void,
    };
    let settled = record.settled.map(|settled| {
        Ok::<_, StorageError>(Settlement {
            reference: checked(what, "settled.reference", SettlementReference::new(&settled.reference))?,
            place: place(what, "settled.place", settled.place)?,
            at: LedgerTime(settled.at_ms),
        })
    });
    Ok(Refund {
        payment: payment_name(what, &record.gateway, &record.payment_id)?,
        order: order_id(what, &record.order_id)?,
        amount: paid_amount(what, record.amount_idr)?,
        reason,
        due: place(what, "due", record.due)?,
        due_at: LedgerTime(record.due_at_ms),
        settled: settled.transpose()?,
    })
}

#[must_use]
pub fn encode_policy(policy: &Policy) -> Vec<u8> {
    let record = proto::PolicyRecord {
        version: policy.terms.version(),
        void_refund_percent: policy.terms.void_refund_percent().get(),
        void_window_ms: policy.terms.void_window_ms(),
        set: Some(place_to_proto(policy.set)),
        set_at_ms: policy.set_at.0,
    };
    record.encode_to_vec()
}

/// # Errors
/// [`StorageError::Corrupt`] names the field.
pub fn decode_policy(bytes: &[u8]) -> Result<Policy, StorageError> {
    let what = "policy record";
    let record: proto::PolicyRecord = message(what, bytes)?;
    let proto::PolicyRecord { version, void_refund_percent, void_window_ms, set, set_at_ms } = record;
    let terms = policy_terms(what, &proto::SetPolicy { version, void_refund_percent, void_window_ms })?;
    Ok(Policy { terms, set: place(what, "set", set)?, set_at: LedgerTime(set_at_ms) })
}

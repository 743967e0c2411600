//! From the client's generated types to the records of a history. `None`: the answer cannot be what the protocol promises;
//! the caller records the op as unknown and says so.

use super::cluster::NodeRole;
use super::record::{Digest, OrderId, PaymentName, Place, Receipt};
use super::seen::{
    CodesSeen, LedgerTotals, OrderSeen, OrderState, PaymentOutcome, PaymentSeen, PolicySeen, RefundReason, RefundSeen,
    SerialsSeen, SettlementSeen, StampingSeen,
};
use crate::model::{order_id, series_code};
use crate::proto::{admin, v1};

#[must_use]
pub fn place(wire: v1::Position) -> Place {
    Place { log_index: wire.log_index, offset: wire.offset }
}

#[must_use]
pub fn receipt(wire: Option<v1::Receipt>) -> Option<Receipt> {
    let wire = wire?;
    Some(Receipt { place: place(wire.position?), replayed: wire.replayed, term: wire.term })
}

#[must_use]
pub fn payment_name(wire: &v1::PaymentName) -> PaymentName {
    PaymentName { gateway: wire.gateway.as_str().into(), payment_id: wire.payment_id.as_str().into() }
}

#[must_use]
pub fn payment_outcome(wire: i32) -> Option<PaymentOutcome> {
    match v1::PaymentOutcome::try_from(wire).ok()? {
        v1::PaymentOutcome::Unspecified => None,
        v1::PaymentOutcome::Applied => Some(PaymentOutcome::Applied),
        v1::PaymentOutcome::RefundDueOrderUnknown => Some(PaymentOutcome::OrderUnknown),
        v1::PaymentOutcome::RefundDueOrderCancelled => Some(PaymentOutcome::OrderCancelled),
        v1::PaymentOutcome::RefundDueOrderVoided => Some(PaymentOutcome::OrderVoided),
        v1::PaymentOutcome::RefundDueAlreadyPaid => Some(PaymentOutcome::AlreadyPaid),
        v1::PaymentOutcome::RefundDueWrongAmount => Some(PaymentOutcome::WrongAmount),
        v1::PaymentOutcome::RefundDueNoStock => Some(PaymentOutcome::NoStock),
    }
}

#[must_use]
pub fn order_state(wire: i32) -> Option<OrderState> {
    match v1::OrderState::try_from(wire).ok()? {
        v1::OrderState::Unspecified => None,
        v1::OrderState::AwaitingPayment => Some(OrderState::AwaitingPayment),
        v1::OrderState::Issued => Some(OrderState::Issued),
        v1::OrderState::Cancelled => Some(OrderState::Cancelled),
        v1::OrderState::Expired => Some(OrderState::Expired),
        v1::OrderState::Voided => Some(OrderState::Voided),
    }
}

#[must_use]
pub fn serials(wire: &v1::SerialRange) -> Option<SerialsSeen> {
    let codes = CodesSeen::of(wire.codes.iter().map(String::as_str));
    Some(SerialsSeen {
        series: series_code(&wire.series_code)?,
        first_number: wire.first_number,
        quantity: wire.quantity,
        codes,
    })
}

#[must_use]
pub fn order(wire: &v1::Order) -> Option<OrderSeen> {
    Some(OrderSeen {
        order: order_id(&wire.order_id)?,
        account: wire.account_id.as_str().into(),
        series: series_code(&wire.series_code)?,
        quantity: wire.quantity,
        amount_idr: wire.amount_idr,
        state: order_state(wire.state)?,
        placed: place(wire.placed?),
        placed_at_ms: wire.placed_at_ms,
        expires_at_ms: wire.expires_at_ms,
        settled: wire.settled.map(place),
        settled_at_ms: wire.settled_at_ms,
        serials: match &wire.serials {
            Some(range) => Some(serials(range)?),
            None => None,
        },
        paid_by: wire.paid_by.as_ref().map(payment_name),
        issued_at_ms: wire.issued_at_ms,
        stamped: wire.stamped,
    })
}

#[must_use]
pub fn payment(wire: &v1::Payment) -> Option<PaymentSeen> {
    Some(PaymentSeen {
        payment: payment_name(wire.name.as_ref()?),
        order: order_id(&wire.order_id)?,
        amount_idr: wire.amount_idr,
        outcome: payment_outcome(wire.outcome)?,
        recorded: place(wire.recorded?),
        recorded_at_ms: wire.recorded_at_ms,
        refund: match &wire.refund {
            Some(owed) => Some(refund(owed)?),
            None => None,
        },
    })
}

fn refund_reason(wire: i32) -> Option<RefundReason> {
    match v1::RefundReason::try_from(wire).ok()? {
        v1::RefundReason::Unspecified => None,
        v1::RefundReason::OrderUnknown => Some(RefundReason::OrderUnknown),
        v1::RefundReason::OrderCancelled => Some(RefundReason::OrderCancelled),
        v1::RefundReason::OrderVoided => Some(RefundReason::OrderVoided),
        v1::RefundReason::AlreadyPaid => Some(RefundReason::AlreadyPaid),
        v1::RefundReason::WrongAmount => Some(RefundReason::WrongAmount),
        v1::RefundReason::NoStock => Some(RefundReason::NoStock),
        v1::RefundReason::Void => Some(RefundReason::Void),
    }
}

#[must_use]
pub fn refund(wire: &v1::Refund) -> Option<RefundSeen> {
    let settlement = |settled: &v1::Settlement| {
        let place = place(settled.position?);
        Some(SettlementSeen { reference: settled.reference.as_str().into(), place, settled_at_ms: settled.settled_at_ms })
    };
    Some(RefundSeen {
        payment: payment_name(wire.payment.as_ref()?),
        order: order_id(&wire.order_id)?,
        amount_idr: wire.amount_idr,
        reason: refund_reason(wire.reason)?,
        due: place(wire.due?),
        due_at_ms: wire.due_at_ms,
        settled: match &wire.settled {
            Some(settled) => Some(settlement(settled)?),
            None => None,
        },
    })
}

/// By what it is kept under, and the stamp.
#[must_use]
pub fn stamping(wire: &admin::Stamping) -> Option<((OrderId, Digest), StampingSeen)> {
    let key = (order_id(&wire.order_id)?, digest(&wire.document_sha256)?);
    let (series, place) = (series_code(&wire.series_code)?, place(wire.position?));
    Some((key, StampingSeen { series, number: wire.number, place, stamped_at_ms: wire.stamped_at_ms }))
}

/// `None` if it has not 32 bytes.
#[must_use]
pub fn digest(wire: &[u8]) -> Option<Digest> {
    wire.try_into().ok()
}

#[must_use]
pub fn policy(wire: &admin::Policy) -> PolicySeen {
    PolicySeen {
        version: wire.version,
        void_refund_percent: wire.void_refund_percent,
        void_window_ms: wire.void_window_ms,
        set: wire.set.map(place),
        set_at_ms: wire.set_at_ms,
    }
}

#[must_use]
pub fn totals(wire: &admin::Totals) -> LedgerTotals {
    LedgerTotals {
        orders_awaiting_payment: wire.orders_awaiting_payment,
        orders_issued: wire.orders_issued,
        orders_cancelled: wire.orders_cancelled,
        orders_expired: wire.orders_expired,
        serials_issued: wire.serials_issued,
        payments_applied: wire.payments_applied,
        payments_refund_due: wire.payments_refund_due,
        received_idr: wire.received_idr,
        issued_value_idr: wire.issued_value_idr,
        refund_due_idr: wire.refund_due_idr,
        orders_voided: wire.orders_voided,
        serials_voided: wire.serials_voided,
        stampings: wire.stampings,
        refunds_due: wire.refunds_due,
        refunds_settled: wire.refunds_settled,
        held_idr: wire.held_idr,
        refunded_idr: wire.refunded_idr,
        policy_version: wire.policy_version,
    }
}

#[must_use]
pub fn node_role(wire: i32) -> NodeRole {
    match admin::NodeRole::try_from(wire) {
        Ok(admin::NodeRole::Uninitialized) => NodeRole::Uninitialized,
        Ok(admin::NodeRole::Learner) => NodeRole::Learner,
        Ok(admin::NodeRole::Follower) => NodeRole::Follower,
        Ok(admin::NodeRole::Candidate) => NodeRole::Candidate,
        Ok(admin::NodeRole::Leader) => NodeRole::Leader,
        Ok(admin::NodeRole::Shutdown) => NodeRole::Shutdown,
        Ok(admin::NodeRole::Unspecified) | Err(_) => NodeRole::Unknown,
    }
}

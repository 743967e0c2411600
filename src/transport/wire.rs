//! From the domain to the wire: the messages of the public API and of the operators' API.
//!
//! Total functions: whatever the ledger can hold has a form here. Printed codes come from the caller, which knows the key.

use crate::domain::{
    Command, Order, OrderState, Payment, PaymentName, PaymentOutcome, Place, Policy, PolicyTerms, Refund, RefundReason, Rupiah,
    SerialRange, Series, Stamping, Totals,
};
use crate::proto::{admin, v1};

#[must_use]
pub fn position(place: Place) -> v1::Position {
    v1::Position { log_index: place.log_index, offset: place.offset }
}

/// Of the answer to a write.
#[must_use]
pub fn receipt(place: Place, replayed: bool, term: u64) -> v1::Receipt {
    v1::Receipt { position: Some(position(place)), replayed, term }
}

/// A sum past 2^63 rupiah is told as 2^63 - 1. It takes nine million payments of the highest amount; the whole rush, four million
/// orders of two stamps, is below 2^37.
#[must_use]
pub fn idr(amount: Rupiah) -> i64 {
    i64::try_from(amount.as_idr()).unwrap_or(i64::MAX)
}

/// Milliseconds: of a Unix time or a duration.
#[must_use]
pub fn ms(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

#[must_use]
pub fn payment_outcome(outcome: &PaymentOutcome) -> v1::PaymentOutcome {
    match outcome {
        PaymentOutcome::Applied(_) => v1::PaymentOutcome::Applied,
        PaymentOutcome::OrderUnknown => v1::PaymentOutcome::RefundDueOrderUnknown,
        PaymentOutcome::OrderCancelled => v1::PaymentOutcome::RefundDueOrderCancelled,
        PaymentOutcome::OrderVoided => v1::PaymentOutcome::RefundDueOrderVoided,
        PaymentOutcome::AlreadyPaid => v1::PaymentOutcome::RefundDueAlreadyPaid,
        PaymentOutcome::WrongAmount => v1::PaymentOutcome::RefundDueWrongAmount,
        PaymentOutcome::NoStock => v1::PaymentOutcome::RefundDueNoStock,
    }
}

#[must_use]
pub fn serial_range(range: &SerialRange, codes: Vec<String>) -> v1::SerialRange {
    v1::SerialRange {
        series_code: range.series.as_str().to_owned(),
        first_number: range.first.get(),
        quantity: range.quantity.get(),
        codes,
    }
}

#[must_use]
pub fn payment_name(name: &PaymentName) -> v1::PaymentName {
    v1::PaymentName { gateway: name.gateway.as_str().to_owned(), payment_id: name.payment_id.as_str().to_owned() }
}

#[must_use]
pub fn order_state(state: &OrderState) -> v1::OrderState {
    match state {
        OrderState::AwaitingPayment => v1::OrderState::AwaitingPayment,
        OrderState::Issued { .. } => v1::OrderState::Issued,
        OrderState::Cancelled { .. } => v1::OrderState::Cancelled,
        OrderState::Expired { .. } => v1::OrderState::Expired,
        OrderState::Voided { .. } => v1::OrderState::Voided,
    }
}

/// `refund` is what is or was owed back for the payment.
#[must_use]
pub fn payment_state(refund: Option<&Refund>) -> admin::PaymentState {
    match refund {
        None => admin::PaymentState::Applied,
        Some(refund) if refund.settled.is_none() => admin::PaymentState::RefundDue,
        Some(_) => admin::PaymentState::Refunded,
    }
}

/// `codes` of the order's stamps; empty where they are left out.
#[must_use]
pub fn order(order: &Order, codes: Vec<String>) -> v1::Order {
    let (settled, issue) = (order.settled(), order.issue());
    v1::Order {
        order_id: order.id.to_string(),
        account_id: order.account.as_str().to_owned(),
        series_code: order.series.as_str().to_owned(),
        quantity: order.quantity.get(),
        amount_idr: idr(order.amount),
        state: order_state(&order.state).into(),
        placed: Some(position(order.placed)),
        placed_at_ms: ms(order.placed_at.0),
        expires_at_ms: ms(order.expires_at.0),
        settled: settled.map(|(place, _)| position(place)),
        settled_at_ms: settled.map_or(0, |(_, at)| ms(at.0)),
        serials: order.serials().map(|range| serial_range(&range, codes)),
        paid_by: issue.map(|issue| payment_name(&issue.paid_by)),
        issued_at_ms: issue.map_or(0, |issue| ms(issue.at.0)),
        stamped: order.stamped(),
    }
}

/// `refund` is what is or was owed back for it; none also where it is left out.
#[must_use]
pub fn payment(payment: &Payment, refund: Option<v1::Refund>) -> v1::Payment {
    v1::Payment {
        name: Some(payment_name(&payment.name)),
        order_id: payment.order.to_string(),
        amount_idr: idr(payment.amount),
        outcome: payment_outcome(&payment.outcome).into(),
        recorded: Some(position(payment.recorded)),
        recorded_at_ms: ms(payment.recorded_at.0),
        refund,
    }
}

#[must_use]
pub fn refund(refund: &Refund) -> v1::Refund {
    let reason = match refund.reason {
        RefundReason::OrderUnknown => v1::RefundReason::OrderUnknown,
        RefundReason::OrderCancelled => v1::RefundReason::OrderCancelled,
        RefundReason::OrderVoided => v1::RefundReason::OrderVoided,
        RefundReason::AlreadyPaid => v1::RefundReason::AlreadyPaid,
        RefundReason::WrongAmount => v1::RefundReason::WrongAmount,
        RefundReason::NoStock => v1::RefundReason::NoStock,
        RefundReason::Void => v1::RefundReason::Void,
    };
    let settled = refund.settled.as_ref().map(|settled| v1::Settlement {
        reference: settled.reference.as_str().to_owned(),
        position: Some(position(settled.place)),
        settled_at_ms: ms(settled.at.0),
    });
    v1::Refund {
        payment: Some(payment_name(&refund.payment)),
        order_id: refund.order.to_string(),
        amount_idr: idr(refund.amount),
        reason: reason.into(),
        due: Some(position(refund.due)),
        due_at_ms: ms(refund.due_at.0),
        settled,
    }
}

#[must_use]
pub fn stamping(stamping: &Stamping) -> admin::Stamping {
    admin::Stamping {
        order_id: stamping.order.to_string(),
        document_sha256: stamping.document.as_bytes().to_vec(),
        series_code: stamping.series.as_str().to_owned(),
        number: stamping.number.get(),
        position: Some(position(stamping.place)),
        stamped_at_ms: ms(stamping.at.0),
    }
}

/// The policy that no one set, if there is none.
#[must_use]
pub fn policy(policy: Option<&Policy>) -> admin::Policy {
    let terms = policy.map_or(PolicyTerms::INITIAL, |policy| policy.terms);
    admin::Policy {
        version: terms.version(),
        void_refund_percent: terms.void_refund_percent().get(),
        void_window_ms: ms(terms.void_window_ms()),
        set: policy.map(|policy| position(policy.set)),
        set_at_ms: policy.map_or(0, |policy| ms(policy.set_at.0)),
    }
}

#[must_use]
pub fn series(series: &Series) -> admin::Series {
    admin::Series {
        series_code: series.code.as_str().to_owned(),
        first_number: series.first_number.get(),
        capacity: series.capacity,
        face_value_idr: idr(series.face_value),
        payment_window_ms: ms(series.payment_window_ms),
        issued: series.issued,
        reserved: series.reserved,
        opened: Some(position(series.opened)),
        voided: series.voided,
    }
}

#[must_use]
pub fn totals(totals: &Totals) -> admin::Totals {
    admin::Totals {
        orders_awaiting_payment: totals.orders_awaiting_payment,
        orders_issued: totals.orders_issued,
        orders_cancelled: totals.orders_cancelled,
        orders_expired: totals.orders_expired,
        serials_issued: totals.serials_issued,
        payments_applied: totals.payments.applied,
        payments_refund_due: totals.payments.refund_due(),
        received_idr: idr(totals.received),
        issued_value_idr: idr(totals.issued_value()),
        refund_due_idr: idr(totals.refund_due()),
        ledger_time_ms: ms(totals.ledger_time.0),
        orders_voided: totals.orders_voided,
        serials_voided: totals.serials_voided,
        stampings: totals.stampings,
        refunds_due: totals.refunds_due(),
        refunds_settled: totals.refunds_settled,
        held_idr: idr(totals.held),
        refunded_idr: idr(totals.refunded),
        policy_version: totals.policy_version,
    }
}

/// As it stands in the log.
#[must_use]
pub fn logged_command(command: &Command) -> admin::logged_command::Command {
    use admin::logged_command::Command as Logged;
    match command {
        Command::OpenSeries(terms) => Logged::OpenSeries(admin::OpenSeriesRequest {
            series_code: terms.code().as_str().to_owned(),
            first_number: terms.first_number().get(),
            capacity: terms.capacity(),
            face_value_idr: idr(terms.face_value()),
            payment_window_ms: ms(terms.payment_window_ms()),
        }),
        Command::PlaceOrder { order, account, series, quantity } => Logged::PlaceOrder(v1::PlaceOrderRequest {
            order_id: order.to_string(),
            account_id: account.as_str().to_owned(),
            series_code: series.as_str().to_owned(),
            quantity: quantity.get(),
        }),
        Command::RecordPayment { payment, order, amount } => Logged::RecordPayment(v1::RecordPaymentRequest {
            gateway: payment.gateway.as_str().to_owned(),
            payment_id: payment.payment_id.as_str().to_owned(),
            order_id: order.to_string(),
            amount_idr: idr(*amount),
        }),
        Command::CancelOrder { order } => Logged::CancelOrder(v1::CancelOrderRequest { order_id: order.to_string() }),
        Command::VoidOrder { order } => Logged::VoidOrder(v1::VoidOrderRequest { order_id: order.to_string() }),
        Command::StampDocument { order, document } => Logged::StampDocument(v1::StampDocumentRequest {
            order_id: order.to_string(),
            document_sha256: document.as_bytes().to_vec(),
        }),
        Command::SettleRefund { payment, amount, reference } => Logged::SettleRefund(admin::SettleRefundRequest {
            gateway: payment.gateway.as_str().to_owned(),
            payment_id: payment.payment_id.as_str().to_owned(),
            amount_idr: idr(*amount),
            reference: reference.as_str().to_owned(),
        }),
        Command::SetPolicy(terms) => Logged::SetPolicy(admin::SetPolicyRequest {
            version: terms.version(),
            void_refund_percent: terms.void_refund_percent().get(),
            void_window_ms: ms(terms.void_window_ms()),
        }),
        Command::ExpireOrders { limit } => Logged::ExpireOrders(admin::ExpireOrders { limit: *limit }),
    }
}

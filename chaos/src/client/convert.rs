//! Between the wire and the history: what was sent, and what was answered, word for word.
//!
//! An answer that lacks a part it must have is no answer: its outcome is unknown, and says what was missing.

use crate::history::{
    Consistency, Digest, OrderId, OrderList, OrderState, Outcome, PaymentList, PaymentName, PaymentState, Read, ReadAnswer,
    Request, WriteAnswer, Written, wire,
};
use crate::model::{order_id, order_text, series_code, series_text};
use crate::proto::{admin, v1};

pub(super) fn command(request: &Request) -> v1::Command {
    let command = match request {
        Request::PlaceOrder { .. } => v1::command::Command::PlaceOrder(place_order(request)),
        Request::RecordPayment { .. } => v1::command::Command::RecordPayment(record_payment(request)),
        Request::CancelOrder { .. } => v1::command::Command::CancelOrder(cancel_order(request)),
        Request::VoidOrder { .. } => v1::command::Command::VoidOrder(void_order(request)),
        Request::StampDocument { .. } => v1::command::Command::StampDocument(stamp_document(request)),
        other => unreachable!("no command of a batch: {other:?}"),
    };
    v1::Command { command: Some(command) }
}

pub(super) fn place_order(request: &Request) -> v1::PlaceOrderRequest {
    let Request::PlaceOrder { order, account, series, quantity } = request else { unreachable!("matched by the caller") };
    v1::PlaceOrderRequest {
        order_id: order_text(*order),
        account_id: account.to_string(),
        series_code: series_text(*series),
        quantity: *quantity,
    }
}

pub(super) fn record_payment(request: &Request) -> v1::RecordPaymentRequest {
    let Request::RecordPayment { payment, order, amount_idr } = request else { unreachable!("matched by the caller") };
    v1::RecordPaymentRequest {
        gateway: payment.gateway.to_string(),
        payment_id: payment.payment_id.to_string(),
        order_id: order_text(*order),
        amount_idr: *amount_idr,
    }
}

pub(super) fn cancel_order(request: &Request) -> v1::CancelOrderRequest {
    let Request::CancelOrder { order } = request else { unreachable!("matched by the caller") };
    v1::CancelOrderRequest { order_id: order_text(*order) }
}

pub(super) fn void_order(request: &Request) -> v1::VoidOrderRequest {
    let Request::VoidOrder { order } = request else { unreachable!("matched by the caller") };
    v1::VoidOrderRequest { order_id: order_text(*order) }
}

pub(super) fn stamp_document(request: &Request) -> v1::StampDocumentRequest {
    let Request::StampDocument { order, document } = request else { unreachable!("matched by the caller") };
    v1::StampDocumentRequest { order_id: order_text(*order), document_sha256: document.to_vec() }
}

fn wire_consistency(consistency: Consistency) -> i32 {
    match consistency {
        Consistency::Linearizable => v1::ReadConsistency::Linearizable.into(),
        Consistency::Stale => v1::ReadConsistency::Stale.into(),
    }
}

pub(super) fn get_order(order: &OrderId, consistency: Consistency) -> v1::GetOrderRequest {
    v1::GetOrderRequest { order_id: order_text(*order), consistency: wire_consistency(consistency) }
}

pub(super) fn get_payment(payment: &PaymentName, consistency: Consistency) -> v1::GetPaymentRequest {
    v1::GetPaymentRequest {
        gateway: payment.gateway.to_string(),
        payment_id: payment.payment_id.to_string(),
        consistency: wire_consistency(consistency),
    }
}

pub(super) fn verify_serial(code: &str, consistency: Consistency, document: Option<&Digest>) -> v1::VerifySerialRequest {
    let document_sha256 = document.map(|digest| digest.to_vec()).unwrap_or_default();
    v1::VerifySerialRequest { code: code.to_owned(), consistency: wire_consistency(consistency), document_sha256 }
}

const fn wire_order_state(state: OrderState) -> v1::OrderState {
    match state {
        OrderState::AwaitingPayment => v1::OrderState::AwaitingPayment,
        OrderState::Issued => v1::OrderState::Issued,
        OrderState::Cancelled => v1::OrderState::Cancelled,
        OrderState::Expired => v1::OrderState::Expired,
        OrderState::Voided => v1::OrderState::Voided,
    }
}

const fn wire_payment_state(state: PaymentState) -> admin::PaymentState {
    match state {
        PaymentState::Applied => admin::PaymentState::Applied,
        PaymentState::RefundDue => admin::PaymentState::RefundDue,
        PaymentState::Refunded => admin::PaymentState::Refunded,
    }
}

pub(super) fn list_orders(list: OrderList) -> admin::ListOrdersRequest {
    admin::ListOrdersRequest {
        page_size: list.page_size,
        page_token: list.page_token.into(),
        states: list.states.into_iter().map(|state| wire_order_state(state).into()).collect(),
        account_id: list.account.unwrap_or_default().into(),
        placed_from_ms: list.placed.from_ms,
        placed_until_ms: list.placed.until_ms,
    }
}

pub(super) fn list_payments(list: PaymentList) -> admin::ListPaymentsRequest {
    admin::ListPaymentsRequest {
        page_size: list.page_size,
        page_token: list.page_token.into(),
        states: list.states.into_iter().map(|state| wire_payment_state(state).into()).collect(),
        gateway: list.gateway.unwrap_or_default().into(),
        recorded_from_ms: list.recorded.from_ms,
        recorded_until_ms: list.recorded.until_ms,
        account_id: String::new(),
    }
}

/// `None` of a part that must be there.
pub(super) fn or_unknown(outcome: Option<Outcome>, what: &str) -> Outcome {
    outcome.unwrap_or_else(|| Outcome::Unknown { why: format!("{what} was answered without a part that it must have").into() })
}

pub(super) fn written(of: Option<v1::Receipt>, answer: WriteAnswer) -> Option<Outcome> {
    Some(Outcome::Written(Written { receipt: wire::receipt(of)?, answer }))
}

pub(super) fn placed(response: v1::PlaceOrderResponse) -> Outcome {
    let answer = WriteAnswer::Placed { amount_idr: response.amount_idr, expires_at_ms: response.expires_at_ms };
    or_unknown(written(response.receipt, answer), "PlaceOrder")
}

pub(super) fn recorded(response: v1::RecordPaymentResponse) -> Outcome {
    let serials = match &response.serials {
        Some(range) => wire::serials(range).map(Some),
        None => Some(None),
    };
    let answer = wire::payment_outcome(response.outcome).zip(serials);
    let answer = answer.map(|(outcome, serials)| WriteAnswer::Recorded { outcome, serials });
    or_unknown(answer.and_then(|answer| written(response.receipt, answer)), "RecordPayment")
}

pub(super) fn cancelled(response: v1::CancelOrderResponse) -> Outcome {
    or_unknown(written(response.receipt, WriteAnswer::Cancelled), "CancelOrder")
}

pub(super) fn voided(response: v1::VoidOrderResponse) -> Outcome {
    let answer = WriteAnswer::Voided { refund_idr: response.refund_idr };
    or_unknown(written(response.receipt, answer), "VoidOrder")
}

pub(super) fn stamped(response: v1::StampDocumentResponse) -> Outcome {
    let (number, code) = (response.number, response.code.into());
    let answer = series_code(&response.series_code).map(|series| WriteAnswer::Stamped { series, number, code });
    or_unknown(answer.and_then(|answer| written(response.receipt, answer)), "StampDocument")
}

pub(super) fn read(mark: Option<v1::ReadMark>, answer: ReadAnswer) -> Outcome {
    // A missing mark is kept as such: the judge knows which answers may lack it.
    let ledger_time_ms = mark.map(|mark| mark.ledger_time_ms).unwrap_or_default();
    Outcome::Read(Read { read_index: mark.map(|mark| mark.read_index), ledger_time_ms, answer })
}

pub(super) fn order_read(response: v1::GetOrderResponse) -> Outcome {
    let order = response.order.as_ref().and_then(wire::order).map(|order| ReadAnswer::Order(Box::new(order)));
    or_unknown(order.map(|order| read(response.mark, order)), "GetOrder")
}

pub(super) fn payment_read(response: v1::GetPaymentResponse) -> Outcome {
    let payment = response.payment.as_ref().and_then(wire::payment).map(|payment| ReadAnswer::Payment(Box::new(payment)));
    or_unknown(payment.map(|payment| read(response.mark, payment)), "GetPayment")
}

pub(super) fn serial_read(response: v1::VerifySerialResponse) -> Outcome {
    let v1::VerifySerialResponse { issued_at_ms, stamped_at_ms, voided_at_ms, document_matches, .. } = response;
    let holder = || order_id(&response.order_id);
    let answer = match response.status() {
        v1::SerialStatus::Forged => Some(ReadAnswer::SerialForged),
        v1::SerialStatus::Unknown => Some(ReadAnswer::SerialUnknown),
        v1::SerialStatus::Issued => holder().map(|order| ReadAnswer::SerialIssued { order, issued_at_ms }),
        v1::SerialStatus::Stamped => {
            holder().map(|order| ReadAnswer::SerialStamped { order, issued_at_ms, stamped_at_ms, document_matches })
        }
        v1::SerialStatus::Voided => holder().map(|order| ReadAnswer::SerialVoided { order, issued_at_ms, voided_at_ms }),
        v1::SerialStatus::Unspecified => None,
    };
    or_unknown(answer.map(|answer| read(response.mark, answer)), "VerifySerial")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_its_receipt_is_unknown() {
        assert!(matches!(placed(v1::PlaceOrderResponse::default()), Outcome::Unknown { .. }));
        assert!(matches!(order_read(v1::GetOrderResponse::default()), Outcome::Unknown { .. }));
        let unspecified = v1::RecordPaymentResponse {
            receipt: Some(v1::Receipt { position: Some(v1::Position::default()), ..Default::default() }),
            ..Default::default()
        };
        assert!(matches!(recorded(unspecified), Outcome::Unknown { .. }));
    }
}

//! What whoever watches the ledger must be told of a command.

use super::reply::{Answer, Reply};
use super::{order_text, series_text};
use crate::history::{OrderId, PaymentName, Request};
use crate::proto::admin::ledger_event::Event;
use crate::proto::{admin, v1};

/// `None` of a refusal and of a replay: nothing happened.
#[must_use]
pub fn event_of(request: &Request, reply: &Reply) -> Option<Event> {
    if reply.replayed || !reply.answer.has_effect() {
        return None;
    }
    Some(match (request, &reply.answer) {
        (Request::OpenSeries { series, first_number, capacity, face_value_idr, payment_window_ms }, _) => {
            Event::SeriesOpened(admin::OpenSeriesRequest {
                series_code: series_text(*series),
                first_number: *first_number,
                capacity: *capacity,
                face_value_idr: *face_value_idr,
                payment_window_ms: *payment_window_ms,
            })
        }
        (Request::PlaceOrder { order, account, series, quantity }, Answer::Placed { amount_idr, expires_at_ms }) => {
            Event::OrderPlaced(admin::OrderPlaced {
                order_id: order_text(*order),
                account_id: account.to_string(),
                series_code: series_text(*series),
                quantity: *quantity,
                amount_idr: *amount_idr,
                expires_at_ms: *expires_at_ms,
            })
        }
        (Request::RecordPayment { payment, order, amount_idr }, Answer::Recorded { outcome, serials }) => {
            let serials = serials.map(|(series, first_number, quantity)| v1::SerialRange {
                series_code: series_text(series),
                first_number,
                quantity,
                codes: Vec::new(),
            });
            Event::PaymentRecorded(admin::PaymentRecorded {
                payment: Some(name(payment)),
                order_id: order_text(*order),
                amount_idr: *amount_idr,
                // The protocol counts from 1.
                outcome: *outcome as i32 + 1,
                serials,
            })
        }
        (Request::CancelOrder { order }, _) => Event::OrderCancelled(ended(*order)),
        (Request::VoidOrder { order }, Answer::Voided { refund_idr }) => {
            Event::OrderVoided(admin::OrderVoided { order_id: order_text(*order), refund_idr: *refund_idr })
        }
        (Request::StampDocument { order, document }, Answer::Stamped { series, number }) => {
            Event::DocumentStamped(admin::DocumentStamped {
                order_id: order_text(*order),
                document_sha256: document.to_vec(),
                series_code: series_text(*series),
                number: *number,
            })
        }
        (Request::SettleRefund { payment, amount_idr, reference }, _) => {
            let v1::PaymentName { gateway, payment_id } = name(payment);
            let (amount_idr, reference) = (*amount_idr, reference.to_string());
            Event::RefundSettled(admin::SettleRefundRequest { gateway, payment_id, amount_idr, reference })
        }
        (Request::SetPolicy { version, void_refund_percent, void_window_ms }, _) => Event::PolicySet(admin::SetPolicyRequest {
            version: *version,
            void_refund_percent: *void_refund_percent,
            void_window_ms: *void_window_ms,
        }),
        _ => return None,
    })
}

#[must_use]
pub fn expired(order: OrderId) -> Event {
    Event::OrderExpired(ended(order))
}

fn ended(order: OrderId) -> admin::OrderEnded {
    admin::OrderEnded { order_id: order_text(order) }
}

fn name(payment: &PaymentName) -> v1::PaymentName {
    v1::PaymentName { gateway: payment.gateway.to_string(), payment_id: payment.payment_id.to_string() }
}

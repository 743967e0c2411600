//! From audit records to events: what took effect, in the order of the log.

use crate::domain::{Command, Outcome, PaymentOutcome};
use crate::proto::admin;
use crate::proto::admin::ledger_event::Event;
use crate::storage::audit::{AuditRecord, AuditedCommand};
use crate::transport::wire;

/// Empty for an entry that changed nothing.
#[must_use]
pub(super) fn events(record: &AuditRecord) -> Vec<admin::LedgerEvent> {
    let of_one = |(offset, audited)| {
        let event = move |event| admin::LedgerEvent { offset, event: Some(event) };
        of_command(audited).into_iter().map(event)
    };
    (0..).zip(record.body.commands()).flat_map(of_one).collect()
}

fn of_command(audited: &AuditedCommand) -> Vec<Event> {
    if audited.reply.replayed {
        return Vec::new();
    }
    let event = match (&audited.command, &audited.reply.outcome) {
        (_, Outcome::Refused(_)) => return Vec::new(),
        (Command::ExpireOrders { .. }, _) => {
            let expired = |order: &_| Event::OrderExpired(ended(order));
            return audited.expired.iter().map(expired).collect();
        }
        (Command::PlaceOrder { order, account, series, quantity }, Outcome::OrderPlaced { amount, expires_at }) => {
            Event::OrderPlaced(admin::OrderPlaced {
                order_id: order.to_string(),
                account_id: account.as_str().to_owned(),
                series_code: series.as_str().to_owned(),
                quantity: quantity.get(),
                amount_idr: wire::idr(*amount),
                expires_at_ms: wire::ms(expires_at.0),
            })
        }
        (Command::RecordPayment { payment, order, amount }, Outcome::PaymentRecorded(outcome)) => {
            let serials = match outcome {
                PaymentOutcome::Applied(range) => Some(wire::serial_range(range, Vec::new())),
                _ => None,
            };
            Event::PaymentRecorded(admin::PaymentRecorded {
                payment: Some(wire::payment_name(payment)),
                order_id: order.to_string(),
                amount_idr: wire::idr(*amount),
                outcome: wire::payment_outcome(outcome).into(),
                serials,
            })
        }
        (Command::CancelOrder { order }, _) => Event::OrderCancelled(ended(order)),
        (Command::VoidOrder { order }, Outcome::OrderVoided { refund }) => {
            Event::OrderVoided(admin::OrderVoided { order_id: order.to_string(), refund_idr: wire::idr(*refund) })
        }
        (Command::StampDocument { order, document }, Outcome::DocumentStamped { series, number }) => {
            Event::DocumentStamped(admin::DocumentStamped {
                order_id: order.to_string(),
                document_sha256: document.as_bytes().to_vec(),
                series_code: series.as_str().to_owned(),
                number: number.get(),
            })
        }
        (command, _) => match wire::logged_command(command) {
            admin::logged_command::Command::OpenSeries(terms) => Event::SeriesOpened(terms),
            admin::logged_command::Command::SettleRefund(refund) => Event::RefundSettled(refund),
            admin::logged_command::Command::SetPolicy(terms) => Event::PolicySet(terms),
            // The ledger never answers so: the replay of the audit record would tell.
            _ => return Vec::new(),
        },
    };
    vec![event]
}

fn ended(order: &crate::domain::OrderId) -> admin::OrderEnded {
    admin::OrderEnded { order_id: order.to_string() }
}

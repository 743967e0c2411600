//! One line of an audit file: what an entry came to, for people and programs, and the stored bytes, for the chain.
//!
//! Everything but `record` is made from `record`, so a line is genuine if it is the line that its own record makes.

use serde_json::{Map, Value, json};

use crate::domain::{Command, Outcome, PaymentOutcome, SerialRange};
use crate::storage::audit::{AuditBody, AuditName, AuditRecord, AuditedCommand};
use crate::storage::cluster::{ClusterCommand, ClusterOutcome};
use crate::storage::codec::decode_audit_record;
use crate::storage::{LogPosition, StorageError};

/// Without the line break.
pub(super) fn line_of(record: &[u8]) -> Result<String, StorageError> {
    let decoded = decode_audit_record(record)?;
    let AuditRecord { position: LogPosition { term, index }, previous, ledger_time, body } = &decoded;
    let mut line = json!({
        "index": index,
        "term": term,
        "ledger_time_ms": ledger_time.0,
        "name": AuditName::of(record).to_string(),
        "previous": previous.to_string(),
        "commands": (0..).zip(body.commands()).map(|(offset, audited)| command(offset, audited)).collect::<Vec<Value>>(),
    });
    match body {
        AuditBody::Commands { batch, cluster, .. } => {
            line["proposed_at_ms"] = json!(batch.proposed_at.0);
            if let (Some(command), Some(outcome)) = (batch.cluster, *cluster) {
                line["cluster"] = of_cluster(command, outcome);
            }
        }
        AuditBody::Membership(membership) => {
            let voters = membership.voter_sets.iter().map(|set| json!(set.node_ids));
            line["voters"] = voters.collect();
        }
        AuditBody::Blank => {}
    }
    line["record"] = json!(hex::encode(record));
    Ok(line.to_string())
}

/// The stored bytes of a line. None: it has none.
pub(super) fn record_of(line: &str) -> Option<Vec<u8>> {
    let line: Value = serde_json::from_str(line).ok()?;
    hex::decode(line.get("record")?.as_str()?).ok()
}

/// Of the cluster itself: who may become a member. Of a token no secret is known here.
fn of_cluster(command: ClusterCommand, outcome: ClusterOutcome) -> Value {
    let mut told = match command {
        ClusterCommand::IssueToken { token, valid_for_ms, .. } => {
            json!({ "command": "ISSUE_TOKEN", "token": hex::encode(token), "valid_for_ms": valid_for_ms })
        }
        ClusterCommand::AdmitNode { token, joiner } => {
            json!({ "command": "ADMIT_NODE", "token": hex::encode(token), "joiner": hex::encode(joiner) })
        }
    };
    match outcome {
        ClusterOutcome::TokenIssued { expires_at } => told["expires_at_ms"] = json!(expires_at.0),
        ClusterOutcome::NodeAdmitted { node_id } => told["node_id"] = json!(node_id),
        ClusterOutcome::Refused(refusal) => told["refused"] = json!(refusal.name()),
    }
    told
}

fn command(offset: u32, audited: &AuditedCommand) -> Value {
    let mut told = Map::new();
    told.insert("offset".into(), json!(offset));
    told.extend(asked(&audited.command));
    let (outcome, more) = answered(&audited.reply.outcome);
    told.insert("outcome".into(), json!(outcome));
    told.extend(more);
    if audited.reply.replayed {
        told.insert("first_executed_at".into(), json!(audited.reply.place.to_string()));
    }
    if !audited.expired.is_empty() {
        told.insert("expired".into(), audited.expired.iter().map(|id| json!(id.to_string())).collect());
    }
    Value::Object(told)
}

fn asked(command: &Command) -> Map<String, Value> {
    object(match command {
        Command::OpenSeries(terms) => json!({
            "command": "OPEN_SERIES",
            "series": terms.code().as_str(),
            "first_number": terms.first_number().get(),
            "capacity": terms.capacity(),
            "face_value_idr": terms.face_value().as_idr(),
            "payment_window_ms": terms.payment_window_ms(),
            "key_check": hex::encode(terms.key_check()),
        }),
        Command::PlaceOrder { order, account, series, quantity } => json!({
            "command": "PLACE_ORDER",
            "order_id": order.to_string(),
            "account_id": account.as_str(),
            "series": series.as_str(),
            "quantity": quantity.get(),
        }),
        Command::RecordPayment { payment, order, amount } => json!({
            "command": "RECORD_PAYMENT",
            "payment": payment.to_string(),
            "order_id": order.to_string(),
            "paid_idr": amount.as_idr(),
        }),
        Command::CancelOrder { order } => json!({"command": "CANCEL_ORDER", "order_id": order.to_string()}),
        Command::VoidOrder { order } => json!({"command": "VOID_ORDER", "order_id": order.to_string()}),
        Command::StampDocument { order, document } => json!({
            "command": "STAMP_DOCUMENT",
            "order_id": order.to_string(),
            "document_sha256": document.to_string(),
        }),
        Command::SettleRefund { payment, amount, reference } => json!({
            "command": "SETTLE_REFUND",
            "payment": payment.to_string(),
            "paid_out_idr": amount.as_idr(),
            "reference": reference.as_str(),
        }),
        Command::SetPolicy(terms) => json!({
            "command": "SET_POLICY",
            "version": terms.version(),
            "void_refund_percent": terms.void_refund_percent().get(),
            "void_window_ms": terms.void_window_ms(),
        }),
        Command::ExpireOrders { limit } => json!({"command": "EXPIRE_ORDERS", "limit": limit}),
    })
}

fn answered(outcome: &Outcome) -> (&'static str, Map<String, Value>) {
    let (name, more) = match outcome {
        Outcome::SeriesOpened => ("SERIES_OPENED", json!({})),
        Outcome::OrderPlaced { amount, expires_at } => {
            ("ORDER_PLACED", json!({"amount_idr": amount.as_idr(), "expires_at_ms": expires_at.0}))
        }
        Outcome::PaymentRecorded(PaymentOutcome::Applied(serials)) => ("ISSUED", issued(serials)),
        Outcome::PaymentRecorded(PaymentOutcome::OrderUnknown) => ("REFUND_DUE_ORDER_UNKNOWN", json!({})),
        Outcome::PaymentRecorded(PaymentOutcome::OrderCancelled) => ("REFUND_DUE_ORDER_CANCELLED", json!({})),
        Outcome::PaymentRecorded(PaymentOutcome::OrderVoided) => ("REFUND_DUE_ORDER_VOIDED", json!({})),
        Outcome::PaymentRecorded(PaymentOutcome::AlreadyPaid) => ("REFUND_DUE_ALREADY_PAID", json!({})),
        Outcome::PaymentRecorded(PaymentOutcome::WrongAmount) => ("REFUND_DUE_WRONG_AMOUNT", json!({})),
        Outcome::PaymentRecorded(PaymentOutcome::NoStock) => ("REFUND_DUE_NO_STOCK", json!({})),
        Outcome::OrderCancelled => ("ORDER_CANCELLED", json!({})),
        Outcome::OrderVoided { refund } => ("ORDER_VOIDED", json!({"refund_due_idr": refund.as_idr()})),
        Outcome::DocumentStamped { series, number } => {
            ("DOCUMENT_STAMPED", json!({"series": series.as_str(), "number": number.get()}))
        }
        Outcome::RefundSettled => ("REFUND_SETTLED", json!({})),
        Outcome::PolicySet => ("POLICY_SET", json!({})),
        Outcome::OrdersExpired { count } => ("ORDERS_EXPIRED", json!({"count": count})),
        Outcome::Refused(refusal) => {
            let field = refusal.field().map_or(json!({}), |field| json!({"differing_field": field}));
            (refusal.reason(), field)
        }
    };
    (name, object(more))
}

fn issued(serials: &SerialRange) -> Value {
    json!({"series": serials.series.as_str(), "first_number": serials.first.get(), "stamps": serials.quantity.get()})
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => unreachable!("every branch above makes an object, not {other}"),
    }
}

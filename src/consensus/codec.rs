//! Commands and replies as protocol buffers: commands in log entries and between nodes, replies between nodes.
//!
//! Strict both ways: what is missing, unknown or out of range is an error, never a default.

use bytes::Bytes;
use prost::Message;

use crate::domain::series::SeriesTerms;
use crate::domain::{
    AccountId, Command, Gateway, LedgerTime, OrderId, Outcome, PaymentId, PaymentName, PaymentOutcome, Place, Quantity,
    Refusal, Reply, Rupiah, SerialRange, SeriesCode, StampNumber,
};
use crate::proto::{raft, storage as wire};
use crate::storage::CommandBatch;

/// A message that cannot be what one of our nodes wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {cause}")]
pub struct WireError {
    what: &'static str,
    cause: String,
}

impl WireError {
    pub(super) fn new(what: &'static str, cause: impl ToString) -> Self {
        Self { what, cause: cause.to_string() }
    }

    pub(super) fn missing(what: &'static str) -> Self {
        Self::new(what, "missing")
    }
}

/// Names the field in the error of a value's own check.
fn checked<T, E: ToString>(what: &'static str, value: Result<T, E>) -> Result<T, WireError> {
    value.map_err(|cause| WireError::new(what, cause))
}

pub(super) fn encode_batch(batch: &CommandBatch) -> Bytes {
    let message = wire::CommandBatch {
        proposed_at_ms: batch.proposed_at.0,
        commands: batch.commands.iter().map(command_to_wire).collect(),
    };
    message.encode_to_vec().into()
}

pub(super) fn decode_batch(bytes: &Bytes) -> Result<CommandBatch, WireError> {
    let message = checked("command batch", wire::CommandBatch::decode(bytes.clone()))?;
    Ok(CommandBatch { proposed_at: LedgerTime(message.proposed_at_ms), commands: commands_from_wire(message.commands)? })
}

pub(super) fn commands_from_wire(commands: Vec<wire::Command>) -> Result<Vec<Command>, WireError> {
    commands.into_iter().map(command_from_wire).collect()
}

pub(super) fn command_to_wire(command: &Command) -> wire::Command {
    use wire::command::Command as Wire;
    let command = match command {
        Command::OpenSeries(terms) => Wire::OpenSeries(wire::OpenSeries {
            series_code: terms.code.as_str().to_owned(),
            first_number: terms.first_number.get(),
            capacity: terms.capacity,
            face_value_idr: terms.face_value.as_idr(),
            payment_window_ms: terms.payment_window_ms,
            key_check: Bytes::copy_from_slice(&terms.key_check),
        }),
        Command::PlaceOrder { order, account, series, quantity } => Wire::PlaceOrder(wire::PlaceOrder {
            order_id: Bytes::copy_from_slice(order.as_bytes()),
            account_id: account.as_str().to_owned(),
            series_code: series.as_str().to_owned(),
            quantity: quantity.get(),
        }),
        Command::RecordPayment { payment, order, amount } => Wire::RecordPayment(wire::RecordPayment {
            gateway: payment.gateway.as_str().to_owned(),
            payment_id: payment.payment_id.as_str().to_owned(),
            order_id: Bytes::copy_from_slice(order.as_bytes()),
            amount_idr: amount.as_idr(),
        }),
        Command::CancelOrder { order } => {
            Wire::CancelOrder(wire::CancelOrder { order_id: Bytes::copy_from_slice(order.as_bytes()) })
        }
        Command::ExpireOrders { limit } => Wire::ExpireOrders(wire::ExpireOrders { limit: *limit }),
    };
    wire::Command { command: Some(command) }
}

fn command_from_wire(command: wire::Command) -> Result<Command, WireError> {
    use wire::command::Command as Wire;
    Ok(match command.command.ok_or(WireError::missing("command"))? {
        Wire::OpenSeries(open) => Command::OpenSeries(SeriesTerms {
            code: checked("series_code", SeriesCode::new(&open.series_code))?,
            first_number: checked("first_number", StampNumber::new(open.first_number))?,
            capacity: open.capacity,
            face_value: Rupiah::from_idr(open.face_value_idr),
            payment_window_ms: open.payment_window_ms,
            key_check: open.key_check.as_ref().try_into().map_err(|_| WireError::new("key_check", "must have 8 bytes"))?,
        }),
        Wire::PlaceOrder(place) => Command::PlaceOrder {
            order: order_id(&place.order_id)?,
            account: checked("account_id", AccountId::new(&place.account_id))?,
            series: checked("series_code", SeriesCode::new(&place.series_code))?,
            quantity: checked("quantity", Quantity::new(place.quantity))?,
        },
        Wire::RecordPayment(record) => Command::RecordPayment {
            payment: PaymentName {
                gateway: checked("gateway", Gateway::new(&record.gateway))?,
                payment_id: checked("payment_id", PaymentId::new(&record.payment_id))?,
            },
            order: order_id(&record.order_id)?,
            amount: Rupiah::from_idr(record.amount_idr),
        },
        Wire::CancelOrder(cancel) => Command::CancelOrder { order: order_id(&cancel.order_id)? },
        Wire::ExpireOrders(expire) => Command::ExpireOrders { limit: expire.limit },
    })
}

fn order_id(bytes: &Bytes) -> Result<OrderId, WireError> {
    let bytes = bytes.as_ref().try_into().map_err(|_| WireError::new("order_id", "must have 16 bytes"))?;
    Ok(OrderId::from_bytes(bytes))
}

pub(super) fn reply_to_wire(reply: &Reply) -> raft::Reply {
    use raft::reply::Outcome as Wire;
    let outcome = match &reply.outcome {
        Outcome::SeriesOpened => Wire::SeriesOpened(raft::SeriesOpened {}),
        Outcome::OrderPlaced { amount, expires_at } => {
            Wire::OrderPlaced(raft::OrderPlaced { amount_idr: amount.as_idr(), expires_at_ms: expires_at.0 })
        }
        Outcome::PaymentRecorded(outcome) => Wire::PaymentRecorded(payment_outcome_to_wire(outcome)),
        Outcome::OrderCancelled => Wire::OrderCancelled(raft::OrderCancelled {}),
        Outcome::OrdersExpired { count } => Wire::OrdersExpired(raft::OrdersExpired { count: *count }),
        Outcome::Refused(refusal) => Wire::Refused(raft::Refused {
            reason: refusal.reason().to_owned(),
            field: refusal.field().unwrap_or_default().to_owned(),
        }),
    };
    let place = wire::Place { log_index: reply.place.log_index, offset: reply.place.offset };
    raft::Reply { place: Some(place), replayed: reply.replayed, outcome: Some(outcome) }
}

pub(super) fn reply_from_wire(reply: raft::Reply) -> Result<Reply, WireError> {
    use raft::reply::Outcome as Wire;
    let place = reply.place.ok_or(WireError::missing("place"))?;
    let outcome = match reply.outcome.ok_or(WireError::missing("outcome"))? {
        Wire::SeriesOpened(_) => Outcome::SeriesOpened,
        Wire::OrderPlaced(placed) => {
            Outcome::OrderPlaced { amount: Rupiah::from_idr(placed.amount_idr), expires_at: LedgerTime(placed.expires_at_ms) }
        }
        Wire::PaymentRecorded(recorded) => Outcome::PaymentRecorded(payment_outcome_from_wire(&recorded)?),
        Wire::OrderCancelled(_) => Outcome::OrderCancelled,
        Wire::OrdersExpired(expired) => Outcome::OrdersExpired { count: expired.count },
        Wire::Refused(refused) => Outcome::Refused(refusal_from_wire(&refused)?),
    };
    Ok(Reply { place: Place { log_index: place.log_index, offset: place.offset }, replayed: reply.replayed, outcome })
}

fn payment_outcome_to_wire(outcome: &PaymentOutcome) -> raft::PaymentRecorded {
    use wire::PaymentOutcome as Wire;
    let (outcome, serials) = match outcome {
        PaymentOutcome::Applied(serials) => (Wire::Applied, Some(serials)),
        PaymentOutcome::OrderUnknown => (Wire::OrderUnknown, None),
        PaymentOutcome::OrderCancelled => (Wire::OrderCancelled, None),
        PaymentOutcome::AlreadyPaid => (Wire::AlreadyPaid, None),
        PaymentOutcome::WrongAmount => (Wire::WrongAmount, None),
        PaymentOutcome::NoStock => (Wire::NoStock, None),
    };
    raft::PaymentRecorded {
        outcome: outcome.into(),
        series_code: serials.map(|serials| serials.series.as_str().to_owned()).unwrap_or_default(),
        first_number: serials.map(|serials| serials.first.get()).unwrap_or_default(),
        quantity: serials.map(|serials| serials.quantity.get()).unwrap_or_default(),
    }
}

fn payment_outcome_from_wire(recorded: &raft::PaymentRecorded) -> Result<PaymentOutcome, WireError> {
    use wire::PaymentOutcome as Wire;
    Ok(match checked("payment outcome", Wire::try_from(recorded.outcome))? {
        Wire::Unspecified => return Err(WireError::missing("payment outcome")),
        Wire::Applied => PaymentOutcome::Applied(SerialRange {
            series: checked("series_code", SeriesCode::new(&recorded.series_code))?,
            first: checked("first_number", StampNumber::new(recorded.first_number))?,
            quantity: checked("quantity", Quantity::new(recorded.quantity))?,
        }),
        Wire::OrderUnknown => PaymentOutcome::OrderUnknown,
        Wire::OrderCancelled => PaymentOutcome::OrderCancelled,
        Wire::AlreadyPaid => PaymentOutcome::AlreadyPaid,
        Wire::WrongAmount => PaymentOutcome::WrongAmount,
        Wire::NoStock => PaymentOutcome::NoStock,
    })
}

/// Fields that a `*_REUSED` refusal can name.
const FIELDS: [&str; 10] = [
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
];

fn refusal_from_wire(refused: &raft::Refused) -> Result<Refusal, WireError> {
    let field = || {
        let known = FIELDS.into_iter().find(|field| *field == refused.field);
        known.ok_or_else(|| WireError::new("refused field", format!("unknown field {:?}", refused.field)))
    };
    Ok(match refused.reason.as_str() {
        "SERIES_REUSED" => Refusal::SeriesReused { field: field()? },
        "ORDER_ID_REUSED" => Refusal::OrderIdReused { field: field()? },
        "PAYMENT_ID_REUSED" => Refusal::PaymentIdReused { field: field()? },
        "SERIES_UNKNOWN" => Refusal::SeriesUnknown,
        "STOCK_EXHAUSTED" => Refusal::StockExhausted,
        "ORDER_UNKNOWN" => Refusal::OrderUnknown,
        "ORDER_ISSUED" => Refusal::OrderIssued,
        "ORDER_EXPIRED" => Refusal::OrderExpired,
        other => return Err(WireError::new("refused reason", format!("unknown reason {other:?}"))),
    })
}

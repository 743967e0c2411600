//! Commands, as they stand in log entries and in proposals between peers.

use super::{checked, corrupt, document, document_bytes, fixed, order_id, order_id_bytes, payment_name, present};
use crate::domain::series::SeriesTerms;
use crate::domain::{AccountId, Command, PolicyTerms, Quantity, Rupiah, SeriesCode, SettlementReference, StampNumber};
use crate::limits;
use crate::proto::storage as proto;
use crate::proto::storage::command::Command as Kind;
use crate::storage::StorageError;

#[must_use]
pub fn command_to_proto(command: &Command) -> proto::Command {
    let kind = match command {
        Command::OpenSeries(terms) => Kind::OpenSeries(proto::OpenSeries {
            series_code: terms.code().as_str().to_owned(),
            first_number: terms.first_number().get(),
            capacity: terms.capacity(),
            face_value_idr: terms.face_value().as_idr(),
            payment_window_ms: terms.payment_window_ms(),
            key_check: bytes::Bytes::copy_from_slice(&terms.key_check()),
        }),
        Command::PlaceOrder { order, account, series, quantity } => Kind::PlaceOrder(proto::PlaceOrder {
            order_id: order_id_bytes(*order),
            account_id: account.as_str().to_owned(),
            series_code: series.as_str().to_owned(),
            quantity: quantity.get(),
        }),
        Command::RecordPayment { payment, order, amount } => Kind::RecordPayment(proto::RecordPayment {
            gateway: payment.gateway.as_str().to_owned(),
            payment_id: payment.payment_id.as_str().to_owned(),
            order_id: order_id_bytes(*order),
            amount_idr: amount.as_idr(),
        }),
        Command::CancelOrder { order } => Kind::CancelOrder(proto::CancelOrder { order_id: order_id_bytes(*order) }),
        Command::VoidOrder { order } => Kind::VoidOrder(proto::VoidOrder { order_id: order_id_bytes(*order) }),
        Command::StampDocument { order, document } => Kind::StampDocument(proto::StampDocument {
            order_id: order_id_bytes(*order),
            document_sha256: document_bytes(*document),
        }),
        Command::SettleRefund { payment, amount, reference } => Kind::SettleRefund(proto::SettleRefund {
            gateway: payment.gateway.as_str().to_owned(),
            payment_id: payment.payment_id.as_str().to_owned(),
            amount_idr: amount.as_idr(),
            reference: reference.as_str().to_owned(),
        }),
        Command::SetPolicy(terms) => Kind::SetPolicy(proto::SetPolicy {
            version: terms.version(),
            void_refund_percent: terms.void_refund_percent().get(),
            void_window_ms: terms.void_window_ms(),
        }),
        Command::ExpireOrders { limit } => Kind::ExpireOrders(proto::ExpireOrders { limit: *limit }),
    };
    proto::Command { command: Some(kind) }
}

/// # Errors
/// [`StorageError::Corrupt`] names the field that breaks a limit of the domain's.
pub fn command_from_proto(command: &proto::Command) -> Result<Command, StorageError> {
    match present("command", "kind", command.command.as_ref())? {
        Kind::OpenSeries(command) => series_terms("OpenSeries command", command).map(Command::OpenSeries),
        Kind::PlaceOrder(command) => {
            let what = "PlaceOrder command";
            Ok(Command::PlaceOrder {
                order: order_id(what, &command.order_id)?,
                account: checked(what, "account_id", AccountId::new(&command.account_id))?,
                series: checked(what, "series_code", SeriesCode::new(&command.series_code))?,
                quantity: checked(what, "quantity", Quantity::new(command.quantity))?,
            })
        }
        Kind::RecordPayment(command) => {
            let what = "RecordPayment command";
            Ok(Command::RecordPayment {
                payment: payment_name(what, &command.gateway, &command.payment_id)?,
                order: order_id(what, &command.order_id)?,
                amount: paid_amount(what, command.amount_idr)?,
            })
        }
        Kind::CancelOrder(command) => Ok(Command::CancelOrder { order: order_id("CancelOrder command", &command.order_id)? }),
        Kind::VoidOrder(command) => Ok(Command::VoidOrder { order: order_id("VoidOrder command", &command.order_id)? }),
        Kind::StampDocument(command) => {
            let what = "StampDocument command";
            let document = document(what, &command.document_sha256)?;
            Ok(Command::StampDocument { order: order_id(what, &command.order_id)?, document })
        }
        Kind::SettleRefund(command) => {
            let what = "SettleRefund command";
            Ok(Command::SettleRefund {
                payment: payment_name(what, &command.gateway, &command.payment_id)?,
                amount: paid_amount(what, command.amount_idr)?,
                reference: checked(what, "reference", SettlementReference::new(&command.reference))?,
            })
        }
        Kind::SetPolicy(command) => policy_terms("SetPolicy command", command).map(Command::SetPolicy),
        Kind::ExpireOrders(command) if (1..=limits::EXPIRE_ORDERS_MAX).contains(&command.limit) => {
            Ok(Command::ExpireOrders { limit: command.limit })
        }
        Kind::ExpireOrders(command) => Err(corrupt(
            "ExpireOrders command",
            format_args!("limit must be 1 to {}, is {}", limits::EXPIRE_ORDERS_MAX, command.limit),
        )),
    }
}

pub(super) fn series_terms(what: &str, terms: &proto::OpenSeries) -> Result<SeriesTerms, StorageError> {
    let terms = SeriesTerms::new(
        checked(what, "series_code", SeriesCode::new(&terms.series_code))?,
        checked(what, "first_number", StampNumber::new(terms.first_number))?,
        terms.capacity,
        terms.face_value_idr,
        terms.payment_window_ms,
        fixed(what, "key_check", &terms.key_check)?,
    );
    terms.map_err(|term| corrupt(what, term))
}

pub(super) fn policy_terms(what: &str, terms: &proto::SetPolicy) -> Result<PolicyTerms, StorageError> {
    let terms = PolicyTerms::new(terms.version, terms.void_refund_percent, terms.void_window_ms);
    terms.map_err(|term| corrupt(what, term))
}

pub(super) fn paid_amount(what: &str, amount_idr: u64) -> Result<Rupiah, StorageError> {
    let amount = i64::try_from(amount_idr).map_err(|error| corrupt(what, format_args!("amount_idr {error}")))?;
    checked(what, "amount_idr", Rupiah::payment(amount))
}

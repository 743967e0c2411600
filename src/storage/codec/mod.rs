//! Between the domain's types and the messages of `proto/stampede/storage/v1`: what is on disk and in the Raft log.
//!
//! Decoding is strict, because these bytes were written by [`encode_series`] and its like, and by nothing else. What they never
//! wrote is [`StorageError::Corrupt`] and names its field; nothing is repaired. On the wire a number that is 0 and one that is
//! missing are the same: it is refused wherever 0 is never written (amounts, quantities, capacities, limits, windows, expiry),
//! and is 0 where it may be (the first number of a series, counts, offsets and positions, times that a clock told). A missing
//! text, id, message or kind is always refused.
//!
//! Not here: what concerns several records (the invariants of the domain); memberships, which consensus judges; the vote and the
//! marks of the log, which the log reads itself. Encoding has one result for one value (prost writes fields by their number), which the state digest rests on;
//! `tests/storage/golden.rs` freezes the bytes.

mod audit;
mod cluster;
mod command;
mod entry;
mod record;
mod refund;
mod reply;
mod stamping;
mod totals;

use std::fmt::Display;

pub(in crate::storage) use audit::{Audited, encode_audited};
pub use audit::{decode_audit_link, decode_audit_record, encode_audit_record};
pub use command::{command_from_proto, command_to_proto};
pub(in crate::storage) use entry::{decode_commands, encode_commands};
pub use entry::{decode_entry, encode_entry, entry_from_proto, entry_to_proto};
pub use record::{
    decode_meta, decode_order, decode_payment, decode_series, encode_meta, encode_order, encode_payment, encode_series,
    meta_from_proto, meta_to_proto,
};
pub use refund::{decode_policy, decode_refund, encode_policy, encode_refund};
pub use reply::{reply_from_proto, reply_to_proto};
pub use stamping::{decode_stamping, encode_stamping};
pub use totals::{decode_totals, encode_totals};

use super::StorageError;
use crate::domain::names::InvalidValue;
use crate::domain::{DocumentDigest, Gateway, OrderId, PaymentId, PaymentName, Quantity, SerialRange, SeriesCode, StampNumber};
use crate::proto::storage as proto;

/// `field` of `what` cannot be what was written.
pub(crate) fn corrupt(what: &str, cause: impl Display) -> StorageError {
    StorageError::Corrupt { what: what.to_owned(), cause: cause.to_string() }
}

fn message<M: prost::Message + Default>(what: &str, bytes: &[u8]) -> Result<M, StorageError> {
    M::decode(bytes).map_err(|error| corrupt(what, error))
}

/// Names the field that a name's check refused.
fn checked<T>(what: &str, field: &str, value: Result<T, InvalidValue>) -> Result<T, StorageError> {
    value.map_err(|error| corrupt(what, format_args!("{field} {error}")))
}

fn present<T>(what: &str, field: &str, value: Option<T>) -> Result<T, StorageError> {
    value.ok_or_else(|| corrupt(what, format_args!("{field} is missing")))
}

fn fixed<const N: usize>(what: &str, field: &str, bytes: &[u8]) -> Result<[u8; N], StorageError> {
    bytes.try_into().map_err(|_| corrupt(what, format_args!("{field} must have {N} bytes, has {}", bytes.len())))
}

/// Of stamps that were issued: the last of them has a number too.
fn serial_range(what: &str, series: SeriesCode, first_number: u64, quantity: Quantity) -> Result<SerialRange, StorageError> {
    let first = checked(what, "first_number", StampNumber::new(first_number))?;
    let last = first_number + u64::from(quantity.get()) - 1;
    checked(what, "last number", StampNumber::new(last))?;
    Ok(SerialRange { series, first, quantity })
}

fn order_id(what: &str, bytes: &[u8]) -> Result<OrderId, StorageError> {
    fixed(what, "order_id", bytes).map(OrderId::from_bytes)
}

fn order_id_bytes(id: OrderId) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(id.as_bytes())
}

fn document(what: &str, bytes: &[u8]) -> Result<DocumentDigest, StorageError> {
    checked(what, "document_sha256", DocumentDigest::new(bytes))
}

fn document_bytes(document: DocumentDigest) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(document.as_bytes())
}

fn payment_name(what: &str, gateway: &str, payment_id: &str) -> Result<PaymentName, StorageError> {
    Ok(PaymentName {
        gateway: checked(what, "gateway", Gateway::new(gateway))?,
        payment_id: checked(what, "payment_id", PaymentId::new(payment_id))?,
    })
}

fn place_to_proto(place: crate::domain::Place) -> proto::Place {
    proto::Place { log_index: place.log_index, offset: place.offset }
}

fn place(what: &str, field: &str, place: Option<proto::Place>) -> Result<crate::domain::Place, StorageError> {
    let place = present(what, field, place)?;
    Ok(crate::domain::Place { log_index: place.log_index, offset: place.offset })
}

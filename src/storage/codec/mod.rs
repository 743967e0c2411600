//! Between the domain's types and the messages of `proto/stampede/storage/v1`: what is on disk and in the Raft log.
//!
//! Decoding is strict. A field that is missing, too long or out of its range is [`StorageError::Corrupt`] and names itself;
//! nothing is repaired and nothing defaults, because these bytes were written by [`encode_series`] and its like, and by
//! nothing else. Encoding has one result for one value (prost writes fields by their number), which the state digest rests on;
//! `tests/storage/golden.rs` freezes the bytes.

mod command;
mod entry;
mod record;

use std::fmt::Display;

pub use command::{command_from_proto, command_to_proto};
pub use entry::{decode_batch, decode_entry, encode_batch, encode_entry, entry_from_proto, entry_to_proto};
pub use record::{
    decode_meta, decode_order, decode_payment, decode_series, decode_totals, encode_meta, encode_order, encode_payment,
    encode_series, encode_totals, meta_from_proto, meta_to_proto,
};

use super::StorageError;
use crate::domain::OrderId;
use crate::domain::names::InvalidValue;
use crate::proto::storage as proto;

/// `field` of `what` cannot be what was written.
pub(super) fn corrupt(what: &str, cause: impl Display) -> StorageError {
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

fn order_id(what: &str, bytes: &[u8]) -> Result<OrderId, StorageError> {
    fixed(what, "order_id", bytes).map(OrderId::from_bytes)
}

fn order_id_bytes(id: OrderId) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(id.as_bytes())
}

fn place_to_proto(place: crate::domain::Place) -> proto::Place {
    proto::Place { log_index: place.log_index, offset: place.offset }
}

fn place(what: &str, field: &str, place: Option<proto::Place>) -> Result<crate::domain::Place, StorageError> {
    let place = present(what, field, place)?;
    Ok(crate::domain::Place { log_index: place.log_index, offset: place.offset })
}

//! The keys of both stores.
//!
//! Each store is one key space, not a set of RocksDB column families: a key begins with one byte that names its table. A
//! column family has write buffers of its own and is flushed on its own, so that after a power cut families can be at different
//! points of an unsynced write-ahead log; one key space can only lose its newest writes, all tables alike. It also bounds
//! the write buffers once, for all.
//!
//! Numbers are big-endian, so that the order of keys is the order of numbers. Texts are ASCII and come last, or are followed
//! by a byte that no name contains.
//!
//! ```text
//! log      00 name                                  vote, committed, purged
//!          01 index                                 LogEntry
//! ledger   00                                       LedgerMeta
//!          01                                       TotalsRecord
//!          02 code(3)                               SeriesRecord
//!          03 order id(16)                          OrderRecord
//!          04 gateway 2f payment id                 PaymentRecord
//!          05 gateway 2f payment id                 RefundRecord
//!          06 order id(16) document(32)             StampingRecord
//!          07 version(4)                            PolicyRecord
//!          08 expires at(8) order id(16)            nothing: orders that wait for their payment, oldest expiry first
//!          09 code(3) first number(8)               order id(16) quantity(4): whose stamps begin there
//!          0a log index(8) offset(4)                key of the RefundRecord: refunds that are due, oldest first
//!          0b code(3) number(8)                     document(32): what a stamp is on
//!          0c log index(8)                          AuditRecord: what the entry came to
//! `tests/storage/golden.rs` freezes them.

use super::StorageError;
use super::codec::corrupt;
use crate::domain::{DocumentDigest, Gateway, LedgerTime, OrderId, PaymentId, PaymentName, Place, SeriesCode, StampNumber};

pub const LOG_VOTE: &[u8] = b"\x00vote";
pub const LOG_COMMITTED: &[u8] = b"\x00committed";
pub const LOG_PURGED: &[u8] = b"\x00purged";

/// First byte of a key of the ledger. The records that the state digest covers are `Totals` to `Policies`, and those of
/// `Audit` by the name of the newest; the rest are indexes derived from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    Meta = 0,
    Totals = 1,
    Series = 2,
    Orders = 3,
    Payments = 4,
    Refunds = 5,
    Stampings = 6,
    Policies = 7,
    Expiry = 8,
    Holders = 9,
    RefundsDue = 10,
    Documents = 11,
    Audit = 12,
}

impl Table {
    /// The first key of the table, and a lower bound of all of them.
    #[must_use]
    pub const fn start(self) -> [u8; 1] {
        [self as u8]
    }

    /// Above every key of the table.
    #[must_use]
    pub const fn end(self) -> [u8; 1] {
        [self as u8 + 1]
    }
}

const LOG_ENTRIES: u8 = 1;

#[must_use]
pub fn log_entry(index: u64) -> [u8; 9] {
    let mut key = [LOG_ENTRIES; 9];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

/// Above every log entry.
pub const LOG_ENTRIES_END: [u8; 1] = [LOG_ENTRIES + 1];

pub const META: [u8; 1] = Table::Meta.start();
pub const TOTALS: [u8; 1] = Table::Totals.start();

fn tagged(table: Table, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(table as u8);
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

#[must_use]
pub fn series(code: SeriesCode) -> Vec<u8> {
    tagged(Table::Series, &[code.as_str().as_bytes()])
}

#[must_use]
pub fn order(id: OrderId) -> Vec<u8> {
    tagged(Table::Orders, &[id.as_bytes()])
}

/// # Errors
/// [`StorageError::Corrupt`]: no key of an order.
pub fn decode_order(key: &[u8]) -> Result<OrderId, StorageError> {
    match key.get(1..).map(<[u8; 16]>::try_from) {
        Some(Ok(id)) => Ok(OrderId::from_bytes(id)),
        _ => Err(corrupt("orders", format_args!("a key has {} bytes, must have 17", key.len()))),
    }
}

#[must_use]
pub fn payment(name: &PaymentName) -> Vec<u8> {
    named(Table::Payments, name)
}

/// The keys of one gateway's payments: from the first, and up to but without the second.
#[must_use]
pub fn payments_of(gateway: &Gateway) -> (Vec<u8>, Vec<u8>) {
    let bounded = |separator: u8| tagged(Table::Payments, &[gateway.as_str().as_bytes(), &[separator]]);
    (bounded(b'/'), bounded(b'/' + 1))
}

/// # Errors
/// [`StorageError::Corrupt`]: no key of a payment.
pub fn decode_payment_id(key: &[u8]) -> Result<PaymentId, StorageError> {
    let id = key.splitn(2, |byte| *byte == b'/').nth(1).unwrap_or_default();
    PaymentId::new(&String::from_utf8_lossy(id)).map_err(|error| corrupt("payments", format_args!("a key's id {error}")))
}

#[must_use]
pub fn refund(payment: &PaymentName) -> Vec<u8> {
    named(Table::Refunds, payment)
}

fn named(table: Table, name: &PaymentName) -> Vec<u8> {
    // No gateway's name contains a slash, so no two names have one key.
    tagged(table, &[name.gateway.as_str().as_bytes(), b"/", name.payment_id.as_str().as_bytes()])
}

#[must_use]
pub fn stamping(order: OrderId, document: DocumentDigest) -> Vec<u8> {
    tagged(Table::Stampings, &[order.as_bytes(), document.as_bytes()])
}

#[must_use]
pub fn policy(version: u32) -> Vec<u8> {
    tagged(Table::Policies, &[&version.to_be_bytes()])
}

#[must_use]
pub fn expiry(at: LedgerTime, id: OrderId) -> Vec<u8> {
    tagged(Table::Expiry, &[&at.0.to_be_bytes(), id.as_bytes()])
}

/// # Errors
/// [`StorageError::Corrupt`]: no key of the expiry index.
pub fn decode_expiry(key: &[u8]) -> Result<(LedgerTime, OrderId), StorageError> {
    let parts = key.strip_prefix(&Table::Expiry.start()).and_then(|rest| rest.split_first_chunk::<8>());
    let Some((at, Ok(id))) = parts.map(|(at, id)| (at, <[u8; 16]>::try_from(id))) else {
        return Err(corrupt("expiry index", format_args!("key has {} bytes, must have 25", key.len())));
    };
    Ok((LedgerTime(u64::from_be_bytes(*at)), OrderId::from_bytes(id)))
}

#[must_use]
pub fn holder(series: SeriesCode, first: StampNumber) -> Vec<u8> {
    tagged(Table::Holders, &[series.as_str().as_bytes(), &first.get().to_be_bytes()])
}

#[must_use]
pub fn refund_due(due: Place) -> Vec<u8> {
    tagged(Table::RefundsDue, &[&due.log_index.to_be_bytes(), &due.offset.to_be_bytes()])
}

#[must_use]
pub fn document(series: SeriesCode, number: StampNumber) -> Vec<u8> {
    tagged(Table::Documents, &[series.as_str().as_bytes(), &number.get().to_be_bytes()])
}

#[must_use]
pub fn audit(log_index: u64) -> Vec<u8> {
    tagged(Table::Audit, &[&log_index.to_be_bytes()])
}

/// # Errors
/// [`StorageError::Corrupt`]: no value of the index of documents.
pub fn decode_document_value(value: &[u8]) -> Result<DocumentDigest, StorageError> {
    DocumentDigest::new(value).map_err(|error| corrupt("documents index", error))
}

/// The series and first number of a key of the holder index; the number as it is, for its place in the run.
///
/// # Errors
/// [`StorageError::Corrupt`]: no key of the holder index.
pub fn decode_holder_first(key: &[u8]) -> Result<u64, StorageError> {
    match key.get(4..).map(<[u8; 8]>::try_from) {
        Some(Ok(first)) => Ok(u64::from_be_bytes(first)),
        _ => Err(corrupt("holder index", format_args!("key has {} bytes, must have 12", key.len()))),
    }
}

#[must_use]
pub fn holder_value(id: OrderId, quantity: u32) -> [u8; 20] {
    let mut value = [0; 20];
    value[..16].copy_from_slice(id.as_bytes());
    value[16..].copy_from_slice(&quantity.to_be_bytes());
    value
}

/// # Errors
/// [`StorageError::Corrupt`]: no value of the holder index.
pub fn decode_holder_value(value: &[u8]) -> Result<(OrderId, u32), StorageError> {
    let parts = value.split_first_chunk::<16>().map(|(id, quantity)| (id, <[u8; 4]>::try_from(quantity)));
    let Some((id, Ok(quantity))) = parts else {
        return Err(corrupt("holder index", format_args!("value has {} bytes, must have 20", value.len())));
    };
    Ok((OrderId::from_bytes(*id), u32::from_be_bytes(quantity)))
}

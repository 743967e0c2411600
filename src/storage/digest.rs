//! The state digest: one value for the contents of a ledger, kept as the ledger changes.
//!
//! It is the sum (four wrapping 64-bit lanes) of BLAKE3 over each record of the tables totals, series, orders, payments,
//! refunds, stampings and policies: key, which begins with the table, and value as they are stored. The audit records count as
//! one: the name of the newest, which stands for all of them. A sum can take a record out as well as put one in, so an entry
//! costs two hashes for each record that it changes, whatever the size of the ledger, and the order of writes leaves no
//! trace. It is counted per log entry, over the entry's net effect: two nodes that group entries differently agree.
//!
//! What it detects: replicas that hold different records at the same log index, for whatever reason: a lost write, a bit flip
//! in a value that passed RocksDB's checksums, a rule that is not deterministic, an install that left something behind.
//! What it does not: indexes (they are derived from records); damage to a record that is never read again until something
//! scans (`LedgerScan`); and a forger. Anyone who may choose records can choose some whose hashes sum up to
//! what he likes; authenticity is the business of the disk's and the peers' guards.

use super::codec::{encode_order, encode_payment, encode_policy, encode_refund, encode_series, encode_stamping, encode_totals};
use super::{AuditName, StateDigest, keys};
use crate::domain::Change;

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedRecord {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

impl EncodedRecord {
    #[must_use]
    pub fn of(change: &Change) -> Self {
        match change {
            Change::Series(series) => Self { key: keys::series(series.code), value: encode_series(series) },
            Change::Order(order) => Self { key: keys::order(order.id), value: encode_order(order) },
            Change::Payment(payment) => Self { key: keys::payment(&payment.name), value: encode_payment(payment) },
            Change::Refund(refund) => Self { key: keys::refund(&refund.payment), value: encode_refund(refund) },
            Change::Stamping(stamping) => {
                Self { key: keys::stamping(stamping.order, stamping.document), value: encode_stamping(stamping) }
            }
            Change::Policy(policy) => Self { key: keys::policy(policy.terms.version()), value: encode_policy(policy) },
            Change::Totals(totals) => Self { key: keys::TOTALS.to_vec(), value: encode_totals(totals) },
        }
    }
}

fn record_hash(key: &[u8], value: &[u8]) -> [u64; 4] {
    let mut hasher = blake3::Hasher::new();
    // The length first: no key and value can be moved against each other.
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    StateDigest::from_bytes(*hasher.finalize().as_bytes()).0
}

impl StateDigest {
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        for (lane, hash) in self.0.iter_mut().zip(record_hash(key, value)) {
            *lane = lane.wrapping_add(hash);
        }
    }

    pub fn remove(&mut self, key: &[u8], value: &[u8]) {
        for (lane, hash) in self.0.iter_mut().zip(record_hash(key, value)) {
            *lane = lane.wrapping_sub(hash);
        }
    }

    /// The record at `key` was `old` (nothing, if it is new) and is `new` from now on.
    pub fn replace(&mut self, key: &[u8], old: Option<&[u8]>, new: &[u8]) {
        if let Some(old) = old {
            self.remove(key, old);
        }
        self.add(key, new);
    }

    /// The newest audit record was `old` and is `new` from now on. Without records there is nothing to count.
    pub fn replace_audit_head(&mut self, old: AuditName, new: AuditName) {
        let key = keys::Table::Audit.start();
        if old != AuditName::GENESIS {
            self.remove(&key, old.as_bytes());
        }
        if new != AuditName::GENESIS {
            self.add(&key, new.as_bytes());
        }
    }

    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, lane) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&lane.to_le_bytes());
        }
        bytes
    }

    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let mut lanes = [0; 4];
        for (lane, chunk) in lanes.iter_mut().zip(bytes.chunks_exact(8)) {
            *lane = u64::from_le_bytes(chunk.try_into().expect("chunks_exact gives eight bytes"));
        }
        Self(lanes)
    }
}

/// 64 lower-case hexadecimal digits.
impl std::fmt::Display for StateDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.to_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

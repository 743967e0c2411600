//! Sums over the whole ledger, kept as it changes, so that money and stamps can be checked at every log index.

use super::names::{LedgerTime, Rupiah};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    pub orders_awaiting_payment: u64,
    pub orders_issued: u64,
    pub orders_cancelled: u64,
    pub orders_expired: u64,
    pub serials_issued: u64,
    pub payments_applied: u64,
    pub payments_refund_due: u64,
    pub received: Rupiah,
    pub issued_value: Rupiah,
    pub refund_due: Rupiah,
    /// The ledger's clock: the highest time that any entry carried.
    pub ledger_time: LedgerTime,
}

//! Every record of one state, for operators and for the check of an installed snapshot. Blocks, for as long as the ledger is
//! large: call it on a thread that may.

use std::ops::ControlFlow;

use rocksdb::{DB, ReadOptions};

use super::RocksView;
use super::view::{Source, within};
use crate::domain::{Change, LedgerView, Totals};
use crate::storage::audit::{AuditName, Chain};
use crate::storage::codec::{
    corrupt, decode_order, decode_payment, decode_policy, decode_refund, decode_series, decode_stamping,
};
use crate::storage::files::rocks;
use crate::storage::keys::{self, Table};
use crate::storage::{LedgerMeta, LogPosition, StateDigest, StorageError};

/// One state: the passes of one scan see the same records.
pub struct LedgerScan {
    view: RocksView,
}

impl LedgerScan {
    pub(super) fn new(view: RocksView) -> Self {
        Self { view }
    }

    /// What the ledger says of itself, its digest included.
    #[must_use]
    pub fn meta(&self) -> &LedgerMeta {
        self.view.meta()
    }

    /// # Errors
    /// They could not be read.
    pub fn totals(&self) -> Result<Totals, StorageError> {
        self.view.totals()
    }

    /// Counted anew from the stored bytes.
    ///
    /// # Errors
    /// A record could not be read.
    pub fn digest(&self) -> Result<StateDigest, StorageError> {
        digest_of(self.view.state())
    }

    /// Shows every record but the totals to `visit`, in the order of keys: series, orders, payments, refunds, stampings, policies,
    /// until it breaks off.
    ///
    /// # Errors
    /// A record could not be read.
    pub fn visit(&self, mut visit: impl FnMut(Change) -> ControlFlow<()>) -> Result<(), StorageError> {
        let _ended = each(self.view.state(), Table::Series, Table::Policies, |key, value| {
            let record = match key.first() {
                Some(&tag) if tag == Table::Series as u8 => Change::Series(decode_series(value)?),
                Some(&tag) if tag == Table::Orders as u8 => Change::Order(decode_order(value)?),
                Some(&tag) if tag == Table::Payments as u8 => Change::Payment(decode_payment(value)?),
                Some(&tag) if tag == Table::Refunds as u8 => Change::Refund(decode_refund(value)?),
                Some(&tag) if tag == Table::Stampings as u8 => Change::Stamping(decode_stamping(value)?),
                Some(&tag) if tag == Table::Policies as u8 => Change::Policy(decode_policy(value)?),
                _ => return Err(corrupt("ledger", "a key of no table")),
            };
            Ok(visit(record))
        })?;
        Ok(())
    }
}

pub(super) fn digest_of_database(db: &DB) -> Result<StateDigest, StorageError> {
    digest_of(db)
}

fn digest_of(source: &impl Source) -> Result<StateDigest, StorageError> {
    let mut digest = StateDigest::default();
    let _ended = each(source, Table::Totals, Table::Policies, |key, value| {
        digest.add(key, value);
        Ok(ControlFlow::Continue(()))
    })?;
    digest.replace_audit_head(AuditName::GENESIS, audit_head_of(source)?);
    Ok(digest)
}

/// Goes the whole way from the first audit record to the newest.
fn audit_head_of(source: &impl Source) -> Result<AuditName, StorageError> {
    let mut chain = Chain::from_genesis();
    let _ended = each(source, Table::Audit, Table::Audit, |key, value| {
        let LogPosition { index, .. } = chain.follow_unread(value)?;
        if key != keys::audit(index) {
            return Err(corrupt("audit record", format_args!("{index} stands under another index")));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(chain.head())
}

fn each(
    source: &impl Source,
    from: Table,
    through: Table,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StorageError>,
) -> Result<ControlFlow<()>, StorageError> {
    let mut options: ReadOptions = within(from.start(), through.end());
    // A scan must not push out what the readers need.
    options.fill_cache(false);
    let mut cursor = source.cursor(options);
    cursor.seek_to_first();
    while let Some((key, value)) = cursor.item() {
        if visit(key, value)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        cursor.next();
    }
    cursor.status().map_err(rocks("scan the ledger"))?;
    Ok(ControlFlow::Continue(()))
}

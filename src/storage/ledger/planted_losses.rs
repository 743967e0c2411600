//! Planted bugs 2 and 3: what a ledger forgets when it is installed or opened.

use rocksdb::{DB, WriteBatch};

use super::view;
use crate::domain::Series;
use crate::planted;
use crate::storage::codec::encode_series;
use crate::storage::files::io;
use crate::storage::{StorageError, keys};

/// Planted bug 2: what was installed starts to count its serials anew.
pub(super) fn on_install(db: &DB) -> Result<(), StorageError> {
    if !planted::is(2) {
        return Ok(());
    }
    for series in view::all_series(db)? {
        let forgotten = Series { issued: 0, voided: 0, ..series };
        db.put(keys::series(forgotten.code), encode_series(&forgotten)).map_err(io("write the ledger"))?;
    }
    Ok(())
}

/// Planted bug 3: a restart forgets the payments.
pub(super) fn on_restart(db: &DB) -> Result<(), StorageError> {
    if !planted::is(3) {
        return Ok(());
    }
    let mut batch = WriteBatch::default();
    batch.delete_range(keys::Table::Payments.start(), keys::Table::Payments.end());
    db.write(batch).map_err(io("write the ledger"))
}

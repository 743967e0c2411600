//! The first failure of log or ledger that consensus met.
//!
//! openraft ends on it and keeps its text alone; an operator must know whether the disk failed or what is on it is damaged.

use std::io;
use std::sync::{Arc, OnceLock};

use crate::storage::StorageError;

/// Cheap to clone; every clone is the same.
#[derive(Clone, Default)]
pub(super) struct FirstFailure(Arc<OnceLock<StorageError>>);

impl FirstFailure {
    /// For openraft, after it is kept.
    pub(super) fn keep(&self, error: StorageError) -> io::Error {
        // Later ones follow from it.
        let _ = self.0.set(error.clone());
        io::Error::other(error)
    }

    pub(super) fn get(&self) -> Option<StorageError> {
        self.0.get().cloned()
    }
}

//! What RocksDB tells people who look for what is wrong: its own log, and its statistics in words. Neither has a record of the
//! ledger in it. Names of things here are RocksDB's and change with its version.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use rocksdb::DB;
use rocksdb::properties;

use crate::limits::DEBUG_FILE_BYTES_MAX;

/// Of one store, log or ledger. A part that could not be had says why in its place.
#[derive(Debug, Clone)]
pub struct StoreReport {
    /// The end of the file `LOG`.
    pub own_log: Vec<u8>,
    /// `rocksdb.stats`: levels, compactions, stalls, since the store was opened.
    pub statistics: String,
}

impl StoreReport {
    pub(super) fn of(db: &DB) -> Self {
        let own_log = end_of_file(&db.path().join("LOG"), DEBUG_FILE_BYTES_MAX);
        let statistics = db.property_value(properties::STATS);
        Self {
            own_log: own_log.unwrap_or_else(|error| error.to_string().into_bytes()),
            statistics: statistics.map_or_else(|error| error.to_string(), Option::unwrap_or_default),
        }
    }
}

/// The last `bytes_max` bytes of a file, or all.
///
/// # Errors
/// It cannot be read.
pub fn end_of_file(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let bytes_max = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    // A file of the kernel has no length.
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes_max)))?;
    let mut end = Vec::new();
    // It may grow meanwhile.
    file.take(bytes_max).read_to_end(&mut end)?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_file_that_is_too_long_the_end_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("LOG");
        std::fs::write(&path, "0123456789").unwrap();
        assert_eq!(end_of_file(&path, 4).unwrap(), b"6789");
        assert_eq!(end_of_file(&path, 100).unwrap(), b"0123456789");
        assert!(end_of_file(&directory.path().join("none"), 4).is_err());
    }
}

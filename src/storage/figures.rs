//! What RocksDB and the disk say of themselves, for those who watch the node. Asking takes RocksDB's locks: it is done at
//! intervals, on a thread that may wait, and never by a call.

use std::path::Path;

use rocksdb::DB;
use rocksdb::properties::{self, PropName};

use super::StorageError;
use super::files::{io, rocks};

/// Of one store, log or ledger, as of one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreFigures {
    /// Bytes of all table files, those among them that only old readers hold.
    pub tables_bytes: u64,
    /// Bytes in memory that are not in table files yet.
    pub memtables_bytes: u64,
    /// Full tables in memory that wait for their flush.
    pub memtables_waiting: u64,
    /// Bytes that compactions have to rewrite before the tables have their shape. RocksDB slows writes down when it is much.
    pub pending_compaction_bytes: u64,
    pub flushes_running: u64,
    pub compactions_running: u64,
    /// Tables of level 0. RocksDB slows writes down when they are many.
    pub level0_files: u64,
    /// RocksDB lets no write in.
    pub is_write_stopped: bool,
    /// Bytes a second to which RocksDB slows writes down; 0 if it does not.
    pub delayed_write_rate_bytes: u64,
    /// Failed flushes and compactions since the store was opened.
    pub background_errors: u64,
    pub block_cache_bytes: u64,
    /// An estimate.
    pub keys: u64,
    /// States that readers hold.
    pub open_snapshots: u64,
}

impl StoreFigures {
    pub(super) fn of(db: &DB) -> Result<Self, StorageError> {
        let get = |name: &PropName| {
            let value = db.property_int_value(name).map_err(rocks("ask for figures"))?;
            // RocksDB leaves out what it cannot tell, such as a rate while it slows nothing down.
            Ok::<_, StorageError>(value.unwrap_or_default())
        };
        Ok(Self {
            tables_bytes: get(properties::TOTAL_SST_FILES_SIZE)?,
            memtables_bytes: get(properties::CUR_SIZE_ALL_MEM_TABLES)?,
            memtables_waiting: get(properties::NUM_IMMUTABLE_MEM_TABLE)?,
            pending_compaction_bytes: get(properties::ESTIMATE_PENDING_COMPACTION_BYTES)?,
            flushes_running: get(properties::NUM_RUNNING_FLUSHES)?,
            compactions_running: get(properties::NUM_RUNNING_COMPACTIONS)?,
            level0_files: get(&properties::num_files_at_level(0))?,
            is_write_stopped: get(properties::IS_WRITE_STOPPED)? != 0,
            delayed_write_rate_bytes: get(properties::ACTUAL_DELAYED_WRITE_RATE)?,
            background_errors: get(properties::BACKGROUND_ERRORS)?,
            block_cache_bytes: get(properties::BLOCK_CACHE_USAGE)?,
            keys: get(properties::ESTIMATE_NUM_KEYS)?,
            open_snapshots: get(properties::NUM_SNAPSHOTS)?,
        })
    }
}

/// Of the file system that a directory is on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskFigures {
    pub size_bytes: u64,
    /// What this process may still write: without what is kept for root.
    pub free_bytes: u64,
}

impl DiskFigures {
    pub(super) fn of(dir: &Path) -> Result<Self, StorageError> {
        let stat = rustix::fs::statvfs(dir).map_err(io("ask for the room on the disk"))?;
        Ok(Self { size_bytes: stat.f_blocks * stat.f_frsize, free_bytes: stat.f_bavail * stat.f_frsize })
    }
}

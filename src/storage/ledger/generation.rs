//! One RocksDB of the ledger, in a directory that is its own for as long as anything reads from it.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rocksdb::{BlockBasedOptions, Cache, DB, DBCompressionType, DBRecoveryMode, Options};

use crate::limits;
use crate::storage::StorageError;
use crate::storage::codec::corrupt;
use crate::storage::files::{create_dir, io, names_in, read_file, remove_dir, replace_file, sync_dir};

const CURRENT: &str = "CURRENT";

pub(in crate::storage) struct Generation {
    pub(super) number: u64,
    dir: PathBuf,
    /// None only while it is dropped.
    db: Option<DB>,
    /// Another generation is in use: the files go when the last reader does.
    retired: AtomicBool,
}

impl Generation {
    /// The generation that `CURRENT` names; the first one if there is none yet. Removes what a crash left beside it.
    pub(super) fn open_current(ledger_dir: &Path) -> Result<Self, StorageError> {
        create_dir(ledger_dir)?;
        let Some(bytes) = read_file(&ledger_dir.join(CURRENT))? else {
            remove_others(ledger_dir, None)?;
            let first = Self::open(ledger_dir, 1)?;
            first.make_current(ledger_dir, || ())?;
            return Ok(first);
        };
        let text = String::from_utf8_lossy(&bytes);
        let number = text.trim_end().parse().map_err(|error| corrupt("ledger/CURRENT", format_args!("{text:?}: {error}")))?;
        if !Self::path(ledger_dir, number).is_dir() {
            return Err(StorageError::Unusable(format!("ledger/CURRENT names generation {number}, which is not there")));
        }
        remove_others(ledger_dir, Some(number))?;
        Self::open(ledger_dir, number)
    }

    pub(super) fn path(ledger_dir: &Path, number: u64) -> PathBuf {
        ledger_dir.join(number.to_string())
    }

    pub(super) fn open(ledger_dir: &Path, number: u64) -> Result<Self, StorageError> {
        let dir = Self::path(ledger_dir, number);
        let db = DB::open(&options(), &dir).map_err(io("open the ledger"))?;
        sync_dir(&dir)?;
        sync_dir(ledger_dir)?;
        Ok(Self { number, dir, db: Some(db), retired: AtomicBool::new(false) })
    }

    /// From the rename on, the next start uses this one.
    pub(super) fn make_current(&self, ledger_dir: &Path, before_rename: impl FnOnce()) -> Result<(), StorageError> {
        replace_file(ledger_dir, CURRENT, format!("{}\n", self.number).as_bytes(), before_rename)
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }
}

impl Deref for Generation {
    type Target = DB;

    fn deref(&self) -> &DB {
        self.db.as_ref().expect("open until dropped")
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        // RocksDB first: it must not find its files gone.
        drop(self.db.take());
        if self.retired.load(Ordering::Relaxed)
            && let Err(error) = remove_dir(&self.dir)
        {
            // The next start removes it.
            tracing::warn!(dir = %self.dir.display(), %error, "a retired ledger generation stays on disk");
        }
    }
}

/// Removes every generation but `kept`, and a `CURRENT` that was not renamed into place.
pub(in crate::storage) fn remove_others(ledger_dir: &Path, kept: Option<u64>) -> Result<(), StorageError> {
    for name in names_in(ledger_dir)? {
        let path = ledger_dir.join(&name);
        match name.parse::<u64>() {
            Ok(number) if Some(number) != kept => remove_dir(&path)?,
            Ok(_) => {}
            Err(_) if path.is_file() && name == format!("{CURRENT}.tmp") => {
                std::fs::remove_file(&path).map_err(io("remove a file"))?;
            }
            Err(_) => {}
        }
    }
    Ok(())
}

fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(limits::LEDGER_WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(limits::LEDGER_WRITE_BUFFERS);
    options.set_memtable_prefix_bloom_ratio(limits::LEDGER_WRITE_BUFFER_BLOOM_SHARE);
    options.set_memtable_whole_key_filtering(true);
    options.set_keep_log_file_num(limits::ROCKSDB_INFO_LOGS);
    options.set_max_log_file_size(limits::ROCKSDB_INFO_LOG_BYTES);
    let mut table = BlockBasedOptions::default();
    table.set_bloom_filter(limits::LEDGER_BLOOM_BITS_PER_KEY, false);
    table.set_block_cache(&Cache::new_lru_cache(limits::LEDGER_BLOCK_CACHE_BYTES));
    // Counted in the cache, so that they are bounded with it.
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    options.set_block_based_table_factory(&table);
    options
}

//! One RocksDB of the ledger, in a directory that is its own for as long as anything reads from it.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rocksdb::{BlockBasedOptions, Cache, DB, DBCompressionType, DBRecoveryMode, IteratorMode, Options};

use crate::limits;
use crate::storage::codec::corrupt;
use crate::storage::files::{create_dir, io, names_in, off_the_workers, read_file, remove_dir, replace_file, rocks, sync_dir};
use crate::storage::{StorageError, crash_point};

const CURRENT: &str = "CURRENT";

/// Of the generation that a new ledger begins with.
const FIRST: u64 = 1;

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
        let Some(bytes) = read_file(&ledger_dir.join(CURRENT))? else { return Self::create(ledger_dir) };
        let text = String::from_utf8_lossy(&bytes);
        let number = text.trim_end().parse().map_err(|error| corrupt("ledger/CURRENT", format_args!("{text:?}: {error}")))?;
        let named = Self::open(ledger_dir, number)?;
        remove_others(ledger_dir, number)?;
        Ok(named)
    }

    /// Makes the first generation, or goes on with one that a crash left half made. Without `CURRENT` nothing is removed: what
    /// is there may be all that is left of a ledger.
    fn create(ledger_dir: &Path) -> Result<Self, StorageError> {
        let missing = |cause: String| Err(corrupt("ledger", format_args!("CURRENT is missing, but {cause}")));
        let numbers = numbers_in(ledger_dir)?;
        if let Some(other) = numbers.iter().find(|number| **number != FIRST) {
            return missing(format!("there is generation {other}"));
        }
        let dir = Self::path(ledger_dir, FIRST);
        create_dir(&dir)?;
        refuse_remains(&dir)?;
        let first = Self::open_with(ledger_dir, FIRST, true)?;
        // Nothing is applied before `CURRENT` is there.
        if first.iterator(IteratorMode::Start).next().transpose().map_err(rocks("read the ledger"))?.is_some() {
            return missing(format!("generation {FIRST} holds records"));
        }
        first.make_current(ledger_dir, || crash_point::reach("ledger.create.before_current"))?;
        Ok(first)
    }

    pub(super) fn path(ledger_dir: &Path, number: u64) -> PathBuf {
        ledger_dir.join(number.to_string())
    }

    /// One that is there: an empty one in its place would be a ledger that has forgotten everything.
    pub(super) fn open(ledger_dir: &Path, number: u64) -> Result<Self, StorageError> {
        let what = Self::path(ledger_dir, number).join(CURRENT);
        if !what.is_file() {
            return Err(corrupt("ledger", format_args!("{} is missing", what.display())));
        }
        Self::open_with(ledger_dir, number, false)
    }

    fn open_with(ledger_dir: &Path, number: u64, create: bool) -> Result<Self, StorageError> {
        let dir = Self::path(ledger_dir, number);
        let mut options = options();
        options.create_if_missing(create);
        let db = DB::open(&options, &dir).map_err(rocks("open the ledger"))?;
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
        let db = self.db.take();
        if !self.retired.load(Ordering::Relaxed) {
            return;
        }
        let dir = std::mem::take(&mut self.dir);
        off_the_workers(move || {
            // RocksDB first: it must not find its files gone.
            drop(db);
            if let Err(error) = remove_dir(&dir) {
                // The next start removes it.
                tracing::warn!(event = "files_left", dir = %dir.display(), %error, "a retired ledger generation stays on disk");
            }
        });
    }
}

/// A new database leaves neither tables nor a write-ahead log before its `CURRENT`: where they are, they are what is left of an old
/// one, which RocksDB would replace.
pub(in crate::storage) fn refuse_remains(database: &Path) -> Result<(), StorageError> {
    let is_data = |name: &String| Path::new(name).extension().is_some_and(|kind| kind == "sst" || kind == "log");
    if !database.join(CURRENT).exists()
        && let Some(name) = names_in(database)?.into_iter().find(is_data)
    {
        return Err(corrupt("a database", format_args!("{} has {name}, but no {CURRENT}", database.display())));
    }
    Ok(())
}

fn numbers_in(ledger_dir: &Path) -> Result<Vec<u64>, StorageError> {
    Ok(names_in(ledger_dir)?.iter().filter_map(|name| name.parse().ok()).collect())
}

/// Removes every generation but `kept`, and a `CURRENT` that was not renamed into place.
fn remove_others(ledger_dir: &Path, kept: u64) -> Result<(), StorageError> {
    for other in numbers_in(ledger_dir)?.into_iter().filter(|number| *number != kept) {
        remove_dir(&Generation::path(ledger_dir, other))?;
    }
    match std::fs::remove_file(ledger_dir.join(format!("{CURRENT}.tmp"))) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove a file")(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn options() -> Options {
    let mut options = Options::default();
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(limits::LEDGER_WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(limits::LEDGER_WRITE_BUFFERS);
    options.set_bytes_per_sync(limits::WRITE_BACK_BYTES);
    options.set_wal_bytes_per_sync(limits::WRITE_BACK_BYTES);
    options.set_level_zero_file_num_compaction_trigger(limits::LEDGER_COMPACTION_FILES);
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

//! The data directory of a node, and who it belongs to.
//!
//! ```text
//! LOCK        held while a process uses the directory
//! NODE        NodeIdentity: format version, node id, cluster; written last of all, synced before the node's first vote
//! JOINER      of a node that joins by a token: what it calls itself until it has an id and a cluster
//! log/        RocksDB: the Raft log
//! ledger/     CURRENT names the generation in use; one RocksDB for each generation
//! snapshots/  <index>-<term>/
//! ```
//! A directory belongs to one node id for ever, and to one cluster once it was initialised. An emptied directory is a new
//! node: its old id must not be used again, because the node has forgotten what it voted for.
//!
//! A part that is missing is therefore never read as "nothing there". With `NODE`, log and ledger must be there too: they were
//! made before it. Without it, they must be empty: that is what a crash in the middle of the first start leaves, and it is
//! gone on with. (Snapshots may go: the ledger makes new ones.)

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prost::Message;

use super::codec::corrupt;
use super::files::{create_dir, create_dir_durably, io, names_in, read_file, replace_file, sync_dir};
use super::ledger::refuse_remains;
use super::{DiskFigures, LedgerMeta, LedgerStore, LogState, RocksLedger, RocksLog, StorageError, crash_point};
pub use crate::proto::storage::NodeIdentity;

/// Of everything under the data directory, and of a snapshot. Raised when an older program could misread what a newer one writes.
///
/// Version 1 had no voids, refunds and stampings, version 2 no audit records. Neither was released, so they are refused, not
/// migrated. Version 3 had no cluster record in the ledger's meta: it is read, and a directory of it becomes one of this version
/// when it is opened, because the older program would forget the record, and with it which node ids are spent.
pub const FORMAT_VERSION: u32 = 4;

/// The oldest that is read.
pub const FORMAT_VERSION_READ_MIN: u32 = 3;

const NODE: &str = "NODE";
const JOINER: &str = "JOINER";

#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    identity: Mutex<NodeIdentity>,
    /// The kernel unlocks it after a crash.
    lock: File,
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // Closing alone would not do while a child of this process, just forked, still has the file open. Nothing is lost if
        // it fails: the lock ends with the process.
        let _ = self.lock.unlock();
    }
}

impl DataDir {
    /// Locks the directory for `node_id`; an empty or missing one becomes this node's.
    ///
    /// # Errors
    /// [`StorageError::Unusable`]: another process has it, it is another node's, or of another format.
    /// [`StorageError::Corrupt`]: `NODE` is damaged, or missing where it must be.
    pub fn open(path: &Path, node_id: u64) -> Result<Self, StorageError> {
        create_dir_durably(path)?;
        let lock = lock(path)?;
        let found = read_file(&path.join(NODE))?.map(|bytes| identity_of(path, &bytes, node_id)).transpose()?;
        let data = Self { path: path.to_owned(), identity: Mutex::new(found.clone().unwrap_or_default()), lock };
        match found {
            None => data.create(node_id)?,
            Some(found) => {
                // Before anything of this version is written behind it.
                let present = NodeIdentity { format_version: FORMAT_VERSION, ..found };
                data.replace_identity(&mut data.identity_lock(), present, || ())?;
                data.forget_joiner()?;
            }
        }
        Ok(data)
    }

    /// What `NODE` says, of a directory that need not be opened; `None` of an empty or a missing one.
    ///
    /// # Errors
    /// `NODE` cannot be read, is damaged, or of another format.
    pub fn identity_at(path: &Path) -> Result<Option<NodeIdentity>, StorageError> {
        let Some(bytes) = read_file(&path.join(NODE))? else { return Ok(None) };
        let identity = decode_identity(path, &bytes)?;
        Ok(Some(identity))
    }

    /// What a node that has no id yet calls itself, made up once and kept here: it asks for its id again under the same.
    /// `make` is asked the first time.
    ///
    /// # Errors
    /// It cannot be read or saved.
    pub fn joiner(path: &Path, make: impl FnOnce() -> [u8; 16]) -> Result<[u8; 16], StorageError> {
        create_dir_durably(path)?;
        if let Some(bytes) = read_file(&path.join(JOINER))? {
            let what = path.join(JOINER).display().to_string();
            return bytes.as_slice().try_into().map_err(|_| corrupt(&what, format_args!("has {} bytes, not 16", bytes.len())));
        }
        let joiner = make();
        replace_file(path, JOINER, &joiner, || ())?;
        Ok(joiner)
    }

    /// The first start: makes the stores, then `NODE`.
    fn create(&self, node_id: u64) -> Result<(), StorageError> {
        create_dir(&self.log_path())?;
        refuse_remains(&self.log_path())?;
        let log = RocksLog::open(&self.log_path())?;
        crash_point::reach("data_dir.create.after_log");
        if log.read_state()? != LogState::default() {
            return Err(self.without_node("log"));
        }
        let ledger = RocksLedger::open(&self.ledger_path(), &self.snapshots_path())?;
        if ledger.meta() != LedgerMeta::default() || ledger.current_snapshot().is_some() {
            return Err(self.without_node("ledger"));
        }
        drop((log, ledger));
        // The names of what `NODE` will demand, before it does.
        sync_dir(&self.log_path())?;
        sync_dir(&self.path)?;
        let new = NodeIdentity { format_version: FORMAT_VERSION, node_id, ..NodeIdentity::default() };
        let before_rename = || crash_point::reach("data_dir.create.before_identity");
        replace_file(&self.path, NODE, &new.encode_to_vec(), before_rename)?;
        crash_point::reach("data_dir.create.after_identity");
        *self.identity_lock() = new;
        Ok(())
    }

    fn without_node(&self, part: &str) -> StorageError {
        self.incomplete(&format!("it has a {part} that is not empty, but no {NODE}"))
    }

    /// An older copy is no way out: it has forgotten votes and entries that were acknowledged since.
    fn incomplete(&self, cause: &str) -> StorageError {
        let way_out = "put back what was taken away, or begin an empty directory under a new node id";
        corrupt(&self.path.display().to_string(), format_args!("{cause}: {way_out}"))
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Asks the file system. Blocks while the disk does not answer.
    ///
    /// # Errors
    /// The file system's own.
    pub fn disk_figures(&self) -> Result<DiskFigures, StorageError> {
        DiskFigures::of(self.path())
    }

    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.path.join("log")
    }

    #[must_use]
    pub fn ledger_path(&self) -> PathBuf {
        self.path.join("ledger")
    }

    #[must_use]
    pub fn snapshots_path(&self) -> PathBuf {
        self.path.join("snapshots")
    }

    /// `cluster_id` is empty until [`Self::set_cluster`].
    #[must_use]
    pub fn identity(&self) -> NodeIdentity {
        self.identity_lock().clone()
    }

    /// Binds the directory to a cluster, durably. The same cluster again is no change.
    ///
    /// # Errors
    /// [`StorageError::Unusable`]: it belongs to another cluster.
    pub fn set_cluster(&self, cluster_id: &str, cluster_name: &str) -> Result<(), StorageError> {
        let mut identity = self.identity_lock();
        if !identity.cluster_id.is_empty() && identity.cluster_id != cluster_id {
            let message = format!("{} belongs to cluster {}, not {cluster_id}", self.path.display(), identity.cluster_id);
            return Err(StorageError::Unusable(message));
        }
        let bound =
            NodeIdentity { cluster_id: cluster_id.to_owned(), cluster_name: cluster_name.to_owned(), ..identity.clone() };
        self.replace_identity(&mut identity, bound, || crash_point::reach("data_dir.set_cluster.before_rename"))?;
        crash_point::reach("data_dir.set_cluster.after_rename");
        drop(identity);
        self.forget_joiner()
    }

    /// With an id and a cluster it has no more use, and must not outlive the rest: a directory that is empty but for it would be
    /// taken for one that was never used.
    fn forget_joiner(&self) -> Result<(), StorageError> {
        if self.identity_lock().cluster_id.is_empty() {
            return Ok(());
        }
        match std::fs::remove_file(self.path.join(JOINER)) {
            Ok(()) => sync_dir(&self.path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io("remove JOINER")(error)),
        }
    }

    /// Whether a node that asked for an id has not got it yet.
    #[must_use]
    pub fn is_joining(path: &Path) -> bool {
        path.join(JOINER).exists()
    }

    /// Opens log and ledger, and checks that they fit together. Blocks: meant for start-up.
    ///
    /// # Errors
    /// A store is damaged or missing, or the ledger lacks entries that the log no longer has.
    pub fn open_stores(&self) -> Result<(RocksLog, RocksLedger), StorageError> {
        self.demand_parts()?;
        let log = RocksLog::open(&self.log_path())?;
        let ledger = RocksLedger::open(&self.ledger_path(), &self.snapshots_path())?;
        check_fit(&log.read_state()?, &ledger.meta())?;
        Ok((log, ledger))
    }

    /// What RocksDB and the ledger would make anew, empty, if it were not there.
    fn demand_parts(&self) -> Result<(), StorageError> {
        let missing = |part: &str| Err(self.incomplete(&format!("{NODE} is there, but no {part}")));
        for part in ["log/CURRENT", "ledger/CURRENT"] {
            if !self.path.join(part).is_file() {
                return missing(part);
            }
        }
        // RocksDB has one from its first opening on, and takes it for empty when it is gone.
        if !names_in(&self.log_path())?.iter().any(|name| name.ends_with(".log")) {
            return missing("write-ahead log in log/");
        }
        Ok(())
    }

    fn replace_identity(
        &self,
        identity: &mut NodeIdentity,
        new: NodeIdentity,
        before_rename: impl FnOnce(),
    ) -> Result<(), StorageError> {
        if new != *identity {
            replace_file(&self.path, NODE, &new.encode_to_vec(), before_rename)?;
            *identity = new;
        }
        Ok(())
    }

    fn identity_lock(&self) -> MutexGuard<'_, NodeIdentity> {
        // The value is replaced whole, after the write: a panic elsewhere leaves it right.
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A ledger that is ahead of its log is no hole: RocksDB syncs what it recovers when it opens.
///
/// Consensus does not look: with a ledger behind the purged part of the log it would skip the entries between in silence.
///
/// # Errors
/// [`StorageError::Unusable`] names both indexes.
pub fn check_fit(log: &LogState, ledger: &LedgerMeta) -> Result<(), StorageError> {
    let Some(purged) = log.purged else { return Ok(()) };
    // At the purged position itself nothing is missing.
    if ledger.applied.is_some_and(|applied| applied.index >= purged.index) {
        return Ok(());
    }
    let applied = ledger.applied.map_or_else(|| "nothing".to_owned(), |applied| format!("index {}", applied.index));
    let message =
        format!("the ledger has applied {applied}, but the log is purged through index {}: entries are missing", purged.index);
    Err(StorageError::Unusable(message))
}

/// # Errors
/// [`StorageError::Unusable`]: `what` is of another format than this program's.
pub(super) fn check_format(what: &str, format_version: u32) -> Result<(), StorageError> {
    if (FORMAT_VERSION_READ_MIN..=FORMAT_VERSION).contains(&format_version) {
        return Ok(());
    }
    let known = format!("{FORMAT_VERSION_READ_MIN} to {FORMAT_VERSION}");
    Err(StorageError::Unusable(format!("{what} has format {format_version}, this program knows formats {known}")))
}

fn lock(path: &Path) -> Result<File, StorageError> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path.join("LOCK")).map_err(io("open LOCK"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(StorageError::Unusable(format!("{} is in use by another process", path.display())))
        }
        Err(TryLockError::Error(error)) => Err(io("lock LOCK")(error)),
    }
}

fn decode_identity(path: &Path, bytes: &[u8]) -> Result<NodeIdentity, StorageError> {
    let identity = NodeIdentity::decode(bytes)
        .map_err(|error| StorageError::Corrupt { what: path.join(NODE).display().to_string(), cause: error.to_string() })?;
    check_format(&path.display().to_string(), identity.format_version)?;
    Ok(identity)
}

fn identity_of(path: &Path, bytes: &[u8], node_id: u64) -> Result<NodeIdentity, StorageError> {
    let identity = decode_identity(path, bytes)?;
    if identity.node_id != node_id {
        let message = format!("{} belongs to node {}, not to node {node_id}", path.display(), identity.node_id);
        return Err(StorageError::Unusable(message));
    }
    Ok(identity)
}

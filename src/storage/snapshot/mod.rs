//! Snapshots: a checkpoint of the ledger (hard links) with a manifest that names each file, its size and its BLAKE3.
//!
//! ```text
//! snapshots/<index>-<term>/    complete; `stampede-manifest` is written last
//! snapshots/building-<n>/      a checkpoint that is being hashed and synced
//! snapshots/incoming-<n>/      received from a peer, not installed yet
//! snapshots/removing-<n>/      no longer wanted, half gone perhaps
//! ```
//! Building: checkpoint, hash and sync every file, write the manifest, sync the directory, rename it into place, sync the parent.
//! Installing: check every file against the manifest, build the ledger's next generation from them, count the state digest
//! anew and compare it with the manifest's, switch (`ledger/mod.rs` has the table), then rename `incoming-` into place.
//! Removing: rename to `removing-`, then delete, so that what has a snapshot's name is whole.
//! A crash at any step leaves a `building-`, `incoming-` or `removing-` directory, which the next start removes, or a complete
//! one. A received snapshot gets its final name only after the switch: the newest snapshot is never ahead of the ledger. After a
//! crash between the two it is gone, and consensus builds one of its own before it starts.
//!
//! BLAKE3 finds damage, of the disk or on the way. It does not tell a true peer from a false one: mTLS has to.

mod transfer;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prost::Message;

pub use transfer::SnapshotReceiver;

use super::codec::{corrupt, meta_from_proto, meta_to_proto};
use super::data_dir::{FORMAT_VERSION, check_format};
use super::files::{create_dir, io, names_in, off_the_workers, read_file, remove_dir, replace_file, sync_dir};
use super::{LedgerMeta, StorageError, crash_point};
use crate::limits;
use crate::planted;
use crate::proto::storage::{SnapshotFile, SnapshotManifest};

const MANIFEST: &str = "stampede-manifest";
const BUILDING: &str = "building-";
const INCOMING: &str = "incoming-";
const REMOVING: &str = "removing-";

/// A handle: no bytes. The files stay as long as any clone does, also after newer snapshots have replaced it.
#[derive(Clone)]
pub struct RocksSnapshot {
    shared: Arc<Shared>,
}

struct Shared {
    /// Changes once, when a received snapshot gets its final name.
    dir: Mutex<PathBuf>,
    manifest: SnapshotManifest,
    meta: LedgerMeta,
    /// The directory goes with the last clone.
    retired: AtomicBool,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.retired.load(Ordering::Relaxed) {
            remove(&lock(&self.dir));
        }
    }
}

/// Out of sight at once; the files go where nobody waits for them.
fn remove(dir: &Path) {
    static REMOVED: AtomicU64 = AtomicU64::new(0);
    let aside = dir.with_file_name(format!("{REMOVING}{}", REMOVED.fetch_add(1, Ordering::Relaxed)));
    if let Err(error) = fs::rename(dir, &aside) {
        // Complete, so the next start keeps it or retires it again.
        tracing::warn!(event = "files_left", dir = %dir.display(), %error, "a retired snapshot stays on disk");
        return;
    }
    off_the_workers(move || {
        // The new name first: a power cut must not bring back the old one over what is deleted below.
        let renamed = aside.parent().map_or(Ok(()), sync_dir);
        crash_point::reach("snapshot.remove.after_rename");
        if let Err(error) = renamed.and_then(|()| remove_dir(&aside)) {
            tracing::warn!(event = "files_left", dir = %aside.display(), %error, "a removed snapshot stays on disk until the next start");
        }
    });
}

impl RocksSnapshot {
    fn new(dir: PathBuf, manifest: SnapshotManifest, retired: bool) -> Result<Self, StorageError> {
        let meta = manifest.meta.clone().ok_or_else(|| corrupt("snapshot manifest", "meta is missing"))?;
        let meta = meta_from_proto(meta)?;
        let shared = Shared { dir: Mutex::new(dir), manifest, meta, retired: AtomicBool::new(retired) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The state that it holds.
    #[must_use]
    pub fn meta(&self) -> &LedgerMeta {
        &self.shared.meta
    }

    /// For the header of a transfer.
    #[must_use]
    pub fn manifest(&self) -> &SnapshotManifest {
        &self.shared.manifest
    }

    /// `<index>-<term>`.
    #[must_use]
    pub fn name(&self) -> String {
        name_of(self.meta())
    }

    fn dir(&self) -> PathBuf {
        lock(&self.shared.dir).clone()
    }

    fn retire(&self) {
        self.shared.retired.store(true, Ordering::Relaxed);
    }

    /// Checks every file, then makes a directory of its own for a database: table files never change, so they are linked;
    /// the others are copied.
    pub(super) fn copy_to(&self, target: &Path) -> Result<(), StorageError> {
        let dir = self.dir();
        create_dir(target)?;
        for file in &self.manifest().files {
            let (from, to) = (dir.join(&file.name), target.join(&file.name));
            if describe(&from, &file.name)? != *file {
                return Err(corrupt(
                    &format!("snapshot {}", self.name()),
                    format_args!("{} differs from the manifest", file.name),
                ));
            }
            if file.name.ends_with(".sst") {
                fs::hard_link(&from, &to).map_err(io("link a snapshot's file"))?;
            } else {
                fs::copy(&from, &to).map_err(io("copy a snapshot's file"))?;
                File::open(&to).and_then(|copy| copy.sync_all()).map_err(io("sync a snapshot's file"))?;
            }
        }
        sync_dir(target)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each critical section leaves the value whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn name_of(meta: &LedgerMeta) -> String {
    let applied = meta.applied.unwrap_or_default();
    format!("{}-{}", applied.index, applied.term)
}

/// Size and checksum of a file as it is on disk.
fn describe(path: &Path, name: &str) -> Result<SnapshotFile, StorageError> {
    let file = File::open(path).map_err(|error| corrupt("snapshot", format_args!("{name}: {error}")))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&file).map_err(io("read a snapshot's file"))?;
    let hash = bytes::Bytes::copy_from_slice(hasher.finalize().as_bytes());
    Ok(SnapshotFile { name: name.to_owned(), size_bytes: hasher.count(), blake3: hash })
}

/// The snapshots of a node.
pub(super) struct Snapshots {
    dir: PathBuf,
    /// Oldest first.
    kept: Mutex<Vec<RocksSnapshot>>,
    /// Numbers the directories of this process.
    next: AtomicU64,
    /// Two builds at one position would want one name.
    finishing: Mutex<()>,
}

impl Snapshots {
    /// Finds the complete ones, removes what a crash left.
    pub(super) fn open(dir: &Path) -> Result<Self, StorageError> {
        create_dir(dir)?;
        let mut kept = Vec::new();
        for name in names_in(dir)? {
            let path = dir.join(&name);
            if [BUILDING, INCOMING, REMOVING].iter().any(|prefix| name.starts_with(prefix)) {
                remove_dir(&path)?;
                continue;
            }
            let what = format!("snapshot {name}");
            let bytes = read_file(&path.join(MANIFEST))?.ok_or_else(|| corrupt(&what, "its manifest is missing"))?;
            let manifest = SnapshotManifest::decode(bytes.as_slice()).map_err(|error| corrupt(&what, error))?;
            acceptable(&manifest)?;
            let snapshot = RocksSnapshot::new(path, manifest, false)?;
            if snapshot.name() != name {
                return Err(corrupt(&what, format_args!("its manifest is of {}", snapshot.name())));
            }
            kept.push(snapshot);
        }
        let snapshots =
            Self { dir: dir.to_owned(), kept: Mutex::default(), next: AtomicU64::new(0), finishing: Mutex::new(()) };
        snapshots.keep(kept);
        Ok(snapshots)
    }

    pub(super) fn newest(&self) -> Option<RocksSnapshot> {
        lock(&self.kept).last().cloned()
    }

    fn fresh(&self, prefix: &str) -> PathBuf {
        self.dir.join(format!("{prefix}{}", self.next.fetch_add(1, Ordering::Relaxed)))
    }

    /// Where the next checkpoint goes; it does not exist.
    pub(super) fn building_path(&self) -> PathBuf {
        self.fresh(BUILDING)
    }

    /// Makes a snapshot of the checkpoint in `building`.
    pub(super) fn finish_build(&self, building: &Path, meta: LedgerMeta) -> Result<RocksSnapshot, StorageError> {
        let _one_at_a_time = lock(&self.finishing);
        if let Some(same) = self.find(&name_of(&meta)) {
            remove_dir(building)?;
            return Ok(same);
        }
        let mut files = Vec::new();
        for name in names_in(building)? {
            let path = building.join(&name);
            files.push(describe(&path, &name)?);
            if !planted::is(14) {
                File::open(&path).and_then(|file| file.sync_all()).map_err(io("sync a snapshot's file"))?;
            }
        }
        if !planted::is(14) {
            sync_dir(building)?;
        }
        crash_point::reach("snapshot.build.before_manifest");
        let manifest = SnapshotManifest { format_version: FORMAT_VERSION, meta: Some(meta_to_proto(&meta)), files };
        write_manifest(building, &manifest)?;
        crash_point::reach("snapshot.build.before_rename");
        let dir = self.dir.join(name_of(&meta));
        fs::rename(building, &dir).map_err(io("rename a snapshot"))?;
        sync_dir(&self.dir)?;
        crash_point::reach("snapshot.build.after_rename");
        let snapshot = RocksSnapshot::new(dir, manifest, false)?;
        self.keep([snapshot.clone()]);
        Ok(snapshot)
    }

    pub(super) fn receive(&self, manifest: SnapshotManifest) -> Result<SnapshotReceiver, StorageError> {
        acceptable(&manifest)?;
        SnapshotReceiver::create(self.fresh(INCOMING), manifest)
    }

    /// An installed snapshot is one of ours from now on.
    pub(super) fn adopt(&self, snapshot: &RocksSnapshot) -> Result<(), StorageError> {
        if self.find(&snapshot.name()).is_some() {
            return Ok(());
        }
        let mut dir = lock(&snapshot.shared.dir);
        let path = self.dir.join(snapshot.name());
        fs::rename(&*dir, &path).map_err(io("rename a snapshot"))?;
        sync_dir(&self.dir)?;
        *dir = path;
        drop(dir);
        snapshot.shared.retired.store(false, Ordering::Relaxed);
        self.keep([snapshot.clone()]);
        Ok(())
    }

    fn find(&self, name: &str) -> Option<RocksSnapshot> {
        lock(&self.kept).iter().find(|kept| kept.name() == name).cloned()
    }

    /// The newest of these and of those that were kept before.
    fn keep(&self, more: impl IntoIterator<Item = RocksSnapshot>) {
        let mut kept = lock(&self.kept);
        kept.extend(more);
        // A build that took long may end after a newer snapshot was installed.
        kept.sort_by_key(|snapshot| snapshot.meta().applied.map(|applied| (applied.index, applied.term)));
        let surplus = kept.len().saturating_sub(limits::SNAPSHOTS_KEPT);
        let old: Vec<_> = kept.drain(..surplus).collect();
        // Who asks for the newest must not wait for a removal.
        drop(kept);
        // Dropped, and with that removed, here or when the last transfer of it ends.
        old.iter().for_each(RocksSnapshot::retire);
    }
}

fn write_manifest(dir: &Path, manifest: &SnapshotManifest) -> Result<(), StorageError> {
    replace_file(dir, MANIFEST, &manifest.encode_to_vec(), || ())
}

/// A manifest may come from a peer: its names become paths.
fn acceptable(manifest: &SnapshotManifest) -> Result<(), StorageError> {
    check_format("the snapshot", manifest.format_version)?;
    let refuse = |cause: String| Err(corrupt("snapshot manifest", cause));
    if manifest.files.len() > limits::SNAPSHOT_FILES_MAX {
        return refuse(format!("{} files, at most {} are taken", manifest.files.len(), limits::SNAPSHOT_FILES_MAX));
    }
    // Sorted by the builder, so names that do not increase are doubled or not ours.
    if !manifest.files.is_sorted_by(|a, b| a.name < b.name) {
        return refuse("its files are not in the order of their names".to_owned());
    }
    let plain = |name: &str| {
        !name.starts_with('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    match manifest.files.iter().find(|file| file.name.is_empty() || !plain(&file.name) || file.name == MANIFEST) {
        Some(file) => refuse(format!("{:?} is no name of a ledger's file", file.name)),
        None => Ok(()),
    }
}

//! Files and directories that must survive a power cut: what is renamed into place was synced before, and the directory after.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use rocksdb::ErrorKind;

use super::StorageError;

/// For `map_err`: names what was being done.
pub(super) fn io<E: Display>(operation: &'static str) -> impl FnOnce(E) -> StorageError {
    move |cause| StorageError::Io { operation, cause: cause.to_string() }
}

/// For `map_err` of RocksDB. What its checksums refuse is damage: another start finds it again, however well the disk is.
pub(super) fn rocks(operation: &'static str) -> impl FnOnce(rocksdb::Error) -> StorageError {
    move |error| match error.kind() {
        ErrorKind::Corruption => {
            StorageError::Corrupt { what: "a database".to_owned(), cause: format!("{operation}: {error}") }
        }
        _ => io(operation)(error),
    }
}

/// A directory's entries are durable once the directory itself is synced.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StorageError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io("sync a directory"))
}

pub(super) fn create_dir(dir: &Path) -> Result<(), StorageError> {
    fs::create_dir_all(dir).map_err(io("create a directory"))
}

/// A directory that is new is durable in its parent, and so is each parent that had to be made for it.
pub(super) fn create_dir_durably(dir: &Path) -> Result<(), StorageError> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
    create_dir(dir)?;
    missing.iter().filter_map(|path| path.parent()).try_for_each(|parent| {
        // The parent of a relative path's first part is the working directory.
        sync_dir(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
    })
}

/// What ends in a removal may end on an async worker, which must not wait for a disk. Work that a closing runtime no longer
/// starts is left for the next start.
pub(super) fn off_the_workers(work: impl FnOnce() + Send + 'static) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_no_runtime) => work(),
    }
}

/// With all that it holds; one that has gone already is removed.
pub(super) fn remove_dir(dir: &Path) -> Result<(), StorageError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove a directory")(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes `dir/name` hold `bytes`: after a crash it holds them whole, or what it held before. `before_rename` runs when the
/// new bytes are durable under a name that nobody reads.
pub(super) fn replace_file(dir: &Path, name: &str, bytes: &[u8], before_rename: impl FnOnce()) -> Result<(), StorageError> {
    let written = dir.join(format!("{name}.tmp"));
    let mut file = File::create(&written).map_err(io("create a file"))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io("write a file"))?;
    before_rename();
    fs::rename(&written, dir.join(name)).map_err(io("rename a file"))?;
    sync_dir(dir)
}

/// Nothing if there is no such file; any other failure is one.
pub(super) fn read_file(path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io("read a file")(format!("{}: {error}", path.display()))),
    }
}

/// Names of the entries of `dir`, sorted.
pub(super) fn names_in(dir: &Path) -> Result<Vec<String>, StorageError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(io("list a directory"))? {
        let entry = entry.map_err(io("list a directory"))?;
        let name = entry.file_name().into_string();
        names.push(
            name.map_err(|name| StorageError::Unusable(format!("{} has a file that is not ours: {name:?}", dir.display())))?,
        );
    }
    names.sort_unstable();
    Ok(names)
}

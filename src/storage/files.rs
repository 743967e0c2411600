//! Files and directories that must survive a power cut: what is renamed into place was synced before, and the directory after.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use super::StorageError;

/// For `map_err`: names what was being done.
pub(super) fn io<E: Display>(operation: &'static str) -> impl FnOnce(E) -> StorageError {
    move |cause| StorageError::Io { operation, cause: cause.to_string() }
}

/// A directory's entries are durable once the directory itself is synced.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StorageError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io("sync a directory"))
}

pub(super) fn create_dir(dir: &Path) -> Result<(), StorageError> {
    fs::create_dir_all(dir).map_err(io("create a directory"))
}

pub(super) fn remove_dir(dir: &Path) -> Result<(), StorageError> {
    fs::remove_dir_all(dir).map_err(io("remove a directory"))
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

//! A disk that is lost. It is empty at once, for its data directory is given another name, and then removed under that.
//!
//! Nobody can give it back. What can be left behind is the rest of one whose removal was broken off.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::{Journal, Undo};

/// What a data directory is called from when it is lost until it is gone. It stays on its own disk.
const NAME: &str = "lost-data";

/// Whoever used it must be gone. A directory that is not there is empty.
///
/// # Errors
/// It cannot be removed, or that it will be cannot be written down.
pub(crate) fn empty(data: &Path, journal: &Journal) -> anyhow::Result<()> {
    let at = data.with_file_name(NAME);
    let undo = Undo::Discard { at: at.clone() };
    journal.will(&undo).context("writing the undo journal")?;
    match fs::rename(data, &at) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        renamed => {
            renamed.and_then(|()| fs::remove_dir_all(&at)).with_context(|| format!("emptying {}", data.display()))?;
        }
    }
    journal.done(&undo).context("writing the undo journal")
}

/// Whether there was anything left.
///
/// # Errors
/// It cannot be removed, or is none of the run in `folder`.
pub(super) fn discard(folder: &Path, at: &Path) -> anyhow::Result<bool> {
    let found = match at.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        found => found?,
    };
    // (A link would lead elsewhere.)
    let is_its = found == at && at.starts_with(folder) && at.file_name().is_some_and(|name| name == NAME);
    ensure!(is_its, "it is no lost disk in {}", folder.display());
    fs::remove_dir_all(at)?;
    Ok(true)
}

/// Beside the data directories of a run's nodes: in their own folders, or on their own disks.
///
/// # Errors
/// A folder cannot be read.
pub(super) fn half_gone(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let nodes = match fs::read_dir(folder.join("nodes")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        nodes => nodes?,
    };
    let mut half_gone = Vec::new();
    for node in nodes {
        let node = node?.path();
        half_gone.extend([node.join(NAME), node.join("disk").join(NAME)].into_iter().filter(|at| at.is_dir()));
    }
    Ok(half_gone)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::undo::{Confirmed, heal, left, scan};

    /// A node's data directory with something in it, and the run's folder.
    fn run() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let data = root.join("nodes/node-2/data");
        fs::create_dir_all(data.join("log")).unwrap();
        fs::write(data.join("log/000004.log"), "a vote").unwrap();
        (folder, root, data)
    }

    #[test]
    fn a_lost_disk_is_empty_and_nothing_of_it_is_left_to_be_taken_back() {
        let (_folder, root, data) = run();
        let journal = Journal::create(&root).unwrap();
        empty(&data, &journal).unwrap();
        assert!(!data.exists() && left(&root).unwrap().is_empty() && scan(&root).unwrap().is_empty());
        empty(&data, &journal).unwrap();
        assert!(left(&root).unwrap().is_empty(), "what is lost can be lost again");
    }

    /// As a tool leaves it that is killed in the middle of it.
    #[test]
    fn a_disk_that_is_half_lost_is_seen_by_the_scan_and_is_gone_when_it_is_healed() {
        let (_folder, root, data) = run();
        let at = data.with_file_name(NAME);
        let journal = Journal::create(&root).unwrap();
        journal.will(&Undo::Discard { at: at.clone() }).unwrap();
        assert_eq!(scan(&root).unwrap(), Vec::<String>::new(), "it was not begun");
        fs::rename(&data, &at).unwrap();
        assert_eq!(scan(&root).unwrap(), [format!("the rest of a lost disk, {}", at.display())]);
        let healed = heal(&root, Duration::ZERO, &Confirmed::default()).unwrap();
        assert_eq!((healed.undone.len(), healed.left.len()), (1, 0), "{healed:?}");
        assert!(!at.exists() && scan(&root).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_lost_disk_of_the_run_is_left_alone_whatever_its_journal_says() {
        let (_folder, root, data) = run();
        let (_other_folder, _, foreign) = run();
        let foreign = foreign.with_file_name(NAME);
        fs::create_dir(&foreign).unwrap();
        let link = data.with_file_name(NAME);
        std::os::unix::fs::symlink(&data, &link).unwrap();
        for at in [&data, &foreign, &link] {
            let error = discard(&root, at).unwrap_err();
            assert!(error.to_string().contains("it is no lost disk in"), "{error}");
        }
        assert!(data.join("log/000004.log").is_file() && foreign.is_dir());
    }
}

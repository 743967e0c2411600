//! Bits that a disk turned over: bytes of one file of a node that is down, and the same bytes again to mend them.
//!
//! Which bytes, is drawn. Spared is what no program could tell from a power cut: the end of a journal (a write-ahead log, a manifest),
//! where a torn record looks like one that was never synced (`src/storage/log.rs` of the system says so); and the write-ahead log of the
//! ledger, which is not synced and may end anywhere. Everything else must be noticed when it is read. What is mended is only what was
//! damaged: all that the node wrote meanwhile stays.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// One bit is turned over in so many bytes, by `choice`: few, so that what is damaged still looks like data.
const SPOTS: [u64; 3] = [1, 2, 4];
/// Two blocks of a journal: the tail that is spared.
const TAIL_BYTES: u64 = 64 << 10;
/// A file with less to damage is left alone.
const DAMAGED_BYTES_MIN: u64 = 1 << 10;
const TURNED_OVER: u8 = 0x01;

/// Damage to come, or done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    file: PathBuf,
    at: Vec<u64>,
}

impl Damage {
    /// Drawn by `choice` among the files of a database, and its write-ahead logs if they are synced. `None`: there is nothing yet that could be damaged.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn draw(database: &Path, wal_is_synced: bool, choice: u32) -> io::Result<Option<Self>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(database)? {
            let entry = entry?;
            let name = entry.file_name().into_string().unwrap_or_default();
            let is_journal = name.starts_with("MANIFEST-") || (wal_is_synced && name.ends_with(".log"));
            if is_journal || name.ends_with(".sst") {
                let tail = if is_journal { TAIL_BYTES } else { 0 };
                files.push((name, entry.metadata()?.len().saturating_sub(tail)));
            }
        }
        // The directory has no order of its own.
        files.sort();
        files.retain(|(_, bytes)| *bytes >= DAMAGED_BYTES_MIN);
        let nth = (choice as usize).checked_rem(files.len());
        Ok(nth.map(|nth| {
            let (name, bytes) = &files[nth];
            let spots = SPOTS[choice as usize / files.len() % SPOTS.len()];
            let step = bytes / spots;
            let at = (0..spots).map(|spot| spot * step + u64::from(choice) % step).collect();
            Self { file: database.join(name), at }
        }))
    }

    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Turns the bytes over; twice, they are as they were. A file that is gone has nothing to mend.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn turn_over(&self) -> anyhow::Result<()> {
        let told = || self.file.display().to_string();
        let file = match File::options().read(true).write(true).open(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened.with_context(told)?,
        };
        for at in &self.at {
            let mut byte = [0];
            file.read_exact_at(&mut byte, *at).with_context(told)?;
            file.write_all_at(&[byte[0] ^ TURNED_OVER], *at).with_context(told)?;
        }
        file.sync_all().with_context(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, usize)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join(name), vec![7; *bytes]).unwrap();
        }
        folder
    }

    #[test]
    fn what_is_turned_over_twice_is_as_it_was() {
        let folder = folder(&[("000012.sst", 50_000)]);
        let damage = Damage::draw(folder.path(), true, 99_991).unwrap().unwrap();
        let bytes = || fs::read(damage.file()).unwrap();
        damage.turn_over().unwrap();
        assert_eq!(bytes().iter().filter(|byte| **byte != 7).count(), damage.at.len());
        damage.turn_over().unwrap();
        assert!(bytes().iter().all(|byte| *byte == 7));
        fs::remove_file(damage.file()).unwrap();
        damage.turn_over().unwrap();
    }

    #[test]
    fn the_end_of_a_write_ahead_log_is_spared() {
        let wal = usize::try_from(TAIL_BYTES + 2 * DAMAGED_BYTES_MIN).unwrap();
        let folder = folder(&[("000010.log", wal)]);
        for choice in 0..2_000 {
            let damage = Damage::draw(folder.path(), true, choice).unwrap().unwrap();
            assert!(damage.at.iter().all(|at| *at < 2 * DAMAGED_BYTES_MIN), "{damage:?}");
        }
    }

    #[test]
    fn a_write_ahead_log_that_is_not_synced_is_spared_whole() {
        let folder = folder(&[("000010.log", 300_000)]);
        assert!(Damage::draw(folder.path(), true, 5).unwrap().is_some());
        assert_eq!(Damage::draw(folder.path(), false, 5).unwrap(), None);
    }

    #[test]
    fn small_files_and_those_that_hold_no_data_are_left_alone() {
        let folder = folder(&[("LOG", 90_000), ("CURRENT", 16), ("000003.sst", 100), ("000004.log", 60_000)]);
        assert_eq!(Damage::draw(folder.path(), true, 3).unwrap(), None);
    }
}

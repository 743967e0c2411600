//! Whether a test can have disks, which need root and loop devices; and that none outlives it.

#![allow(dead_code, unreachable_pub, reason = "shared by test binaries")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use stampede_chaos::disk;
use stampede_chaos::undo::{Confirmed, heal};

/// Where there are none, a test says so and shows nothing; on a machine that is there to test (`CI=true`) that is a failure.
pub fn has_disks(tool: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let Err(error) = disk::probe(folder.path(), Path::new(tool)) else { return true };
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI=true, and no disks: {error:#}");
    eprintln!("nothing is shown of disks here: {error:#}");
    false
}

/// Of a run's folder, also when the test has failed; before the folder goes.
pub struct HealedAtTheEnd(pub PathBuf);

impl Drop for HealedAtTheEnd {
    fn drop(&mut self) {
        let _is_for_people_to_see = heal(&self.0, Duration::ZERO, &Confirmed::default());
    }
}

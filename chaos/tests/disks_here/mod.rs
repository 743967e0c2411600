//! Whether a test can have disks, which need root and loop devices.

#![allow(unreachable_pub, reason = "shared by test binaries")]

use std::path::Path;

use stampede_chaos::disk;

/// Where there are none, a test says so and shows nothing; on a machine that is there to test (`CI=true`) that is a failure.
pub fn has_disks(tool: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let Err(error) = disk::probe(folder.path(), Path::new(tool)) else { return true };
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI=true, and no disks: {error:#}");
    eprintln!("nothing is shown of disks here: {error:#}");
    false
}

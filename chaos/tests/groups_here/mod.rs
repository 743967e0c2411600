//! Whether a test can have control groups, which need root and controllers for processor and memory.

#![allow(unreachable_pub, reason = "shared by test binaries")]

use std::path::Path;

use stampede_chaos::resources::probe;

/// Where there are none, a test says so and shows nothing; on a machine that is there to test (`CI=true`) that is a failure.
pub fn has_groups(tool: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let Err(error) = probe::groups(folder.path(), Path::new(tool)) else { return true };
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI=true, and no control groups: {error:#}");
    eprintln!("nothing is shown of control groups here: {error:#}");
    false
}

//! What a test did to the machine does not outlive it.

#![allow(unreachable_pub, reason = "shared by test binaries")]

use std::path::PathBuf;
use std::time::Duration;

use stampede_chaos::undo::{Confirmed, heal};

/// Of a run's folder, also when the test has failed; before the folder goes.
pub struct HealedAtTheEnd(pub PathBuf);

impl Drop for HealedAtTheEnd {
    fn drop(&mut self) {
        let _is_for_people_to_see = heal(&self.0, Duration::ZERO, &Confirmed::default());
    }
}

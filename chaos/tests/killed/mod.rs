//! A process that does not outlive the test that started it, also when the test fails.

#![allow(unreachable_pub, reason = "shared by test binaries")]

use std::ops::{Deref, DerefMut};
use std::process::{Child, Command};

pub struct Killed(Child);

impl Killed {
    pub fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().expect("the program starts"))
    }
}

impl Deref for Killed {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Killed {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // Both fail if it has ended and was waited for.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

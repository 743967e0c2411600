//! A network namespace: interfaces, addresses and filter rules of its own, which nobody outside of it sees.
//!
//! It has no name. It lives as long as a process is in it or somebody holds it open, and takes all that is in it along when it
//! goes: whatever kills the tool and the nodes removes it, and no heal has to. (A kernel that still tries to send what a killed node
//! had not sent keeps it so much longer, with nobody in it.) Two drills at once cannot meet in one either, so that in each the same
//! addresses will do.
//!
//! Who works in one is a thread that enters it, and ends: the tool's own threads never leave the machine's network. Sockets and
//! processes that it makes there stay there.

use std::fs::File;
use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, ensure};
use nix::sched::{CloneFlags, setns, unshare};

/// Cheap to clone; every clone is the same.
#[derive(Debug, Clone)]
pub struct Namespace(Arc<File>);

impl Namespace {
    /// With a loopback of its own, which is down.
    ///
    /// # Errors
    /// No root, or a kernel without them.
    pub(super) fn make() -> anyhow::Result<Self> {
        let made = on_a_thread_of_its_own(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        });
        Ok(Self(Arc::new(made?.context("making a network namespace")?)))
    }

    /// What `work` opens or starts is in the namespace.
    ///
    /// # Errors
    /// It cannot be entered.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        on_a_thread_of_its_own(|| {
            setns(&*self.0, CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        })?
    }

    /// Runs a program there, which reads `script`: what it said.
    ///
    /// # Errors
    /// It is not there, or fails.
    pub(super) fn command(&self, program: &str, arguments: &[&str], script: &str) -> anyhow::Result<String> {
        self.within(|| {
            let (input, output, error) = (Stdio::piped(), Stdio::piped(), Stdio::piped());
            let mut command = Command::new(program);
            let spawned = command.args(arguments).stdin(input).stdout(output).stderr(error).spawn();
            let mut child = spawned.with_context(|| format!("starting {program}"))?;
            // One that ended without reading it says why below.
            let _unread = child.stdin.take().expect("asked for above").write_all(script.as_bytes());
            let output = child.wait_with_output().with_context(|| format!("waiting for {program}"))?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{program}: {} ({})", said.trim(), output.status);
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        })?
    }

    /// What programs call it that are started by this process.
    pub(super) fn path(&self) -> String {
        use std::os::fd::AsRawFd;
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

fn on_a_thread_of_its_own<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("namespace".into()).spawn_scoped(scope, work)?;
        Ok(thread.join().expect("a panic on it is one here"))
    })
}

//! Kills the nodes when the tool died without doing so itself.
//!
//! A small process of its own, in a process group of its own, that the tool tells over a pipe which processes it started
//! (`+pid`) and which it saw end (`-pid`). When the pipe closes, for whatever reason, those that are left get SIGKILL. Only
//! what was named is killed, and only what was not seen to end. Two moments are left open. A process that was started and not yet
//! named is not killed; it stops by itself, because its standard input closes with the tool. A process that ended, and whose
//! number the system gave away before the tool could say so, would be taken for it, if the tool died in these microseconds and
//! the numbers had come round.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The command that [`run`] serves.
pub const COMMAND: &str = "watchdog";

/// The tool's end of the pipe.
#[derive(Clone)]
pub struct Watchdog(Arc<Mutex<ChildStdin>>);

impl Watchdog {
    pub(super) fn start(tool: &Path) -> io::Result<Self> {
        let mut child = Command::new(tool)
            .arg(COMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Out of reach of the Ctrl-C that ends the tool.
            .process_group(0)
            .spawn()?;
        let pipe = child.stdin.take().expect("asked for above");
        // Reaps it: it ends by itself when the pipe closes.
        std::thread::Builder::new().name("watchdog".into()).spawn(move || child.wait())?;
        Ok(Self(Arc::new(Mutex::new(pipe))))
    }

    pub(super) fn started(&self, pid: u32) -> io::Result<()> {
        self.tell(&format!("+{pid}\n"))
    }

    pub(super) fn ended(&self, pid: u32) -> io::Result<()> {
        self.tell(&format!("-{pid}\n"))
    }

    fn tell(&self, line: &str) -> io::Result<()> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).write_all(line.as_bytes())
    }
}

/// The watchdog's own process: reads until the pipe closes, then kills what is left.
///
/// # Errors
/// None yet; a line that it cannot read ends its reading, and it kills.
pub fn run(pipe: impl BufRead) -> io::Result<()> {
    for pid in left_running(pipe) {
        // It may have ended in this moment.
        let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    Ok(())
}

fn left_running(pipe: impl BufRead) -> BTreeSet<i32> {
    let mut running = BTreeSet::new();
    for line in pipe.lines().map_while(Result::ok) {
        match (line.get(..1), line.get(1..).and_then(|pid| pid.parse().ok())) {
            (Some("+"), Some(pid)) => drop(running.insert(pid)),
            (Some("-"), Some(pid)) => drop(running.remove(&pid)),
            _ => break,
        }
    }
    running
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_seen_to_end_is_killed() {
        assert_eq!(left_running(&b"+10\n+11\n-10\n+12\n"[..]), BTreeSet::from([11, 12]));
    }
}

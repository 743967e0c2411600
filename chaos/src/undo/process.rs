//! Which process it was, so that another that was given its number later is left alone.

use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill as signal};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::scan;

/// Between two looks whether it is gone.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct Identity {
    pub pid: u32,
    /// Ticks from the boot of the machine to its start (proc(5), field 22 of `stat`); `None` where the system does not tell.
    pub started: Option<u64>,
}

impl Identity {
    /// # Errors
    /// There is no such process.
    pub fn of(pid: u32) -> io::Result<Self> {
        Ok(Self { pid, started: started(pid)? })
    }
}

fn started(pid: u32) -> io::Result<Option<u64>> {
    if !cfg!(target_os = "linux") {
        return Ok(None);
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in brackets, and may have brackets and blanks of its own.
    let behind_name = stat.rfind(')').map_or("", |end| &stat[end + 1..]);
    Ok(behind_name.split_whitespace().nth(19).and_then(|ticks| ticks.parse().ok()))
}

/// It is still there, and the same.
#[must_use]
pub fn lives(process: &Identity) -> bool {
    match started(process.pid) {
        Ok(None) => pid_of(process).is_ok_and(|pid| signal(pid, None) != Err(Errno::ESRCH)),
        Ok(now) => now == process.started,
        // What cannot be asked about is not taken for gone. (A process that ends in this moment is ESRCH.)
        Err(error) => error.kind() != io::ErrorKind::NotFound && error.raw_os_error() != Some(Errno::ESRCH as i32),
    }
}

/// It lives and has not ended: whoever started it may never ask how it did.
pub(super) fn is_at_work(process: &Identity) -> bool {
    lives(process) && !has_ended(process.pid)
}

fn pid_of(process: &Identity) -> anyhow::Result<Pid> {
    Ok(Pid::from_raw(i32::try_from(process.pid).context("a process id beyond 31 bits")?))
}

/// SIGKILL to a process of the run in `folder`, and waits until it is gone: whether it was there.
///
/// # Errors
/// It outlives it by `deadline`, or may be another's: then it is left alone.
pub(super) fn kill(process: &Identity, folder: &Path, deadline: Duration) -> anyhow::Result<bool> {
    let end = Instant::now() + deadline;
    let mut was_there = false;
    while is_at_work(process) {
        was_there = true;
        // One that is about to end names nothing any more.
        let is_ours = process.started.is_some() && scan::is_of(folder, process.pid);
        if Instant::now() >= end {
            ensure!(is_ours, "it is not of the run, as far as the system tells");
            bail!("it outlives SIGKILL");
        }
        if is_ours {
            // It may have ended in this moment.
            let _gone = signal(pid_of(process)?, Signal::SIGKILL);
        }
        sleep(LOOK_PAUSE);
    }
    Ok(was_there)
}

/// It is a zombie: whoever started it has not asked how it ended. With its last thread: until then its files are open, and the file
/// system that they are on is in use.
fn has_ended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let is_zombie = stat.rfind(')').is_some_and(|end| stat[end + 1..].trim_start().starts_with('Z'));
    is_zombie && std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count) <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ended_is_not_at_work_though_nobody_has_asked_how() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let process = Identity::of(child.id()).unwrap();
        assert!(is_at_work(&process));
        child.kill().unwrap();
        while is_at_work(&process) {
            std::thread::yield_now();
        }
        assert_eq!(lives(&process), cfg!(target_os = "linux"), "its number is still its own");
        child.wait().unwrap();
    }

    #[test]
    fn a_process_is_known_by_its_start_and_not_by_its_number_alone() {
        let me = Identity::of(std::process::id()).unwrap();
        assert!(lives(&me));
        let Some(started) = me.started else { return };
        assert!(!lives(&Identity { started: Some(started + 1), ..me }));
    }
}

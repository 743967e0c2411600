//! Who is in a network namespace of a run. It has no name, and goes by itself with the last who is in it.

use std::fs;
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::scan::pids;

/// Between two looks whether all have left.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Processes that see the interface `link`.
///
/// # Errors
/// The machine does not tell.
pub(super) fn within(link: &str) -> io::Result<Vec<u32>> {
    Ok(pids()?.filter(|pid| sees(*pid, link)).collect())
}

/// The process sees the interface `link`.
pub(super) fn sees(pid: u32, link: &str) -> bool {
    // proc_pid_net(5): a line for each interface, which begins with its name. (Of a process that ended it cannot be read.)
    let is_link = |line: &str| line.trim_start().strip_prefix(link).is_some_and(|rest| rest.starts_with(':'));
    fs::read_to_string(format!("/proc/{pid}/net/dev")).is_ok_and(|table| table.lines().any(is_link))
}

/// Those that were to be killed are; one that was just started, and that nobody wrote down, stops by itself.
///
/// # Errors
/// Somebody is still in it.
pub(super) fn wait_empty(link: &str, deadline: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + deadline;
    loop {
        let within = within(link)?;
        if within.is_empty() {
            return Ok(());
        }
        if Instant::now() >= end {
            bail!("processes are in them: {within:?}");
        }
        sleep(LOOK_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_sees_the_interfaces_of_its_own_namespace_by_their_whole_names() {
        let me = std::process::id();
        assert_eq!(within("lo").unwrap().contains(&me), cfg!(target_os = "linux"));
        assert!(!within("l").unwrap().contains(&me));
        assert!(wait_empty("l", Duration::ZERO).is_ok());
    }
}

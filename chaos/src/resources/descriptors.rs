//! How many files and connections a process that runs may have open: `prlimit(2)`, on Linux. It needs no root for processes of one's own,
//! and is gone with the process.

use std::collections::BTreeSet;
use std::fs;

use anyhow::Context;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

/// From now on it may open so many more, and what it has open it keeps: the limit that was set for that, for [`are_gone`]. It is one of the
/// descriptors' numbers, of which the lowest that is free is given out next.
///
/// # Errors
/// There is no such process, or it is another's.
pub fn leave(pid: u32, spare: u32) -> anyhow::Result<u64> {
    let taken = numbers(pid)?;
    let mut free = (0..).filter(|number| !taken.contains(number));
    let limit = free.nth(spare as usize).context("a number beyond all that are taken is free")?;
    set(pid, Rlimit { current: Some(limit), ..own() })?;
    Ok(limit)
}

/// None is left of those below the limit.
///
/// # Errors
/// There is no such process, or it is another's.
pub fn are_gone(pid: u32, limit: u64) -> anyhow::Result<bool> {
    let taken = numbers(pid)?;
    Ok((0..limit).all(|number| taken.contains(&number)))
}

/// It may open as many as this process may, by which it was started.
///
/// # Errors
/// There is no such process, or it is another's.
pub fn lift(pid: u32) -> anyhow::Result<()> {
    set(pid, own())
}

fn own() -> Rlimit {
    getrlimit(Resource::Nofile)
}

fn set(pid: u32, limit: Rlimit) -> anyhow::Result<()> {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no process id")?;
    prlimit(Some(process), Resource::Nofile, limit).with_context(|| format!("limiting the descriptors of process {pid}"))?;
    Ok(())
}

fn numbers(pid: u32) -> anyhow::Result<BTreeSet<u64>> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).with_context(|| format!("looking at what process {pid} has open"))?;
    Ok(open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn sleeps() -> Child {
        Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn a_process_keeps_what_it_has_open_and_may_open_so_many_more() {
        let mut child = sleeps();
        let pid = child.id();
        let taken = numbers(pid).unwrap();
        let limit = leave(pid, 2).unwrap();
        assert_eq!((0..limit).filter(|number| !taken.contains(number)).count(), 2);
        assert!(!are_gone(pid, limit).unwrap() && are_gone(pid, leave(pid, 0).unwrap()).unwrap());
        lift(pid).unwrap();
        let told = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let soft = told.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
        assert_eq!(soft, own().current);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(leave(pid, 2).is_err() && lift(pid).is_err(), "it is gone");
    }
}

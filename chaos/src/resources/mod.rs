//! What a node may take of the machine: so much of a processor and so much memory, by a control group of its own, and so many
//! descriptors, by a limit of its process ([`descriptors`]).
//!
//! Groups need root, on Linux. A node's process is moved into its group when it has just been started, so that all of its memory counts. Each is
//! in the run's undo journal before it is made, and goes when the process is gone; the limit of a process goes with the process.

pub mod descriptors;
pub mod probe;
mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use nix::errno::Errno;

use crate::scenario::Share;
use crate::undo::{Journal, Undo, name_of};
use tree::Version;

/// In which a share of a processor is counted, microseconds: the kernel's own, unless somebody changed it.
const PERIOD_US: u64 = 100_000;

/// One node's.
pub struct Group {
    version: Version,
    cpu: PathBuf,
    memory: PathBuf,
    journal: Journal,
}

impl Group {
    /// An empty one without limits. `run`: its folder, as the leftovers scan finds it.
    ///
    /// # Errors
    /// No root, or no controllers for processor and memory.
    pub fn make(run: &Path, node: u16, journal: Journal) -> anyhow::Result<Self> {
        let places = tree::places()?;
        let name = format!("{}-{node}", name_of(run));
        let group = Self { version: places.version, cpu: places.cpu.join(&name), memory: places.memory.join(&name), journal };
        for at in group.directories() {
            group.journal.will(&undo(at)).context("writing the undo journal")?;
            fs::create_dir(at).with_context(|| format!("making the control group {}", at.display()))?;
        }
        Ok(group)
    }

    /// In version 2 it is one.
    fn directories(&self) -> BTreeSet<&Path> {
        [self.cpu.as_path(), self.memory.as_path()].into()
    }

    /// The process, and those that it starts from now on.
    ///
    /// # Errors
    /// It is gone.
    pub fn take_in(&self, pid: u32) -> anyhow::Result<()> {
        self.directories().into_iter().try_for_each(|at| write(&at.join("cgroup.procs"), &pid.to_string()))
    }

    /// `None`: as much as it wants.
    ///
    /// # Errors
    /// The system refuses.
    pub fn limit_cpu(&self, share_of_a_core: Option<Share>) -> anyhow::Result<()> {
        let quota_us = share_of_a_core.map(|share| PERIOD_US * u64::from(share.ppm()) / u64::from(Share::WHOLE));
        match (self.version, quota_us) {
            (Version::One, None) => write(&self.cpu.join("cpu.cfs_quota_us"), "-1"),
            (Version::One, Some(quota_us)) => {
                write(&self.cpu.join("cpu.cfs_period_us"), &PERIOD_US.to_string())?;
                write(&self.cpu.join("cpu.cfs_quota_us"), &quota_us.to_string())
            }
            (Version::Two, None) => write(&self.cpu.join("cpu.max"), &format!("max {PERIOD_US}")),
            (Version::Two, Some(quota_us)) => write(&self.cpu.join("cpu.max"), &format!("{quota_us} {PERIOD_US}")),
        }
    }

    /// How often it has wanted more of a processor than it may have.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn times_throttled(&self) -> anyhow::Result<u64> {
        count(&self.cpu.join("cpu.stat"), "nr_throttled")
    }

    /// `None`: as much as there is. Version 1 goes no lower than what is in use and cannot be taken back; then any more that it wants is
    /// too much, and who wants the limit itself asks again.
    ///
    /// # Errors
    /// The system refuses.
    pub fn limit_memory(&self, bytes: Option<u64>) -> anyhow::Result<()> {
        let at = match self.version {
            Version::One => self.memory.join("memory.limit_in_bytes"),
            Version::Two => self.memory.join("memory.max"),
        };
        let Some(bytes) = bytes else {
            return write(&at, if self.version == Version::One { "-1" } else { "max" });
        };
        match fs::write(&at, bytes.to_string()) {
            Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => self.leave_what_is_in_use(&at),
            written => written.with_context(|| format!("writing {bytes} to {}", at.display())),
        }
    }

    fn leave_what_is_in_use(&self, at: &Path) -> anyhow::Result<()> {
        const TRIES_MAX: u32 = 100;
        for _ in 0..TRIES_MAX {
            // It may have grown when this is written; its end leaves nothing in use.
            let in_use = read(&self.memory.join("memory.usage_in_bytes"))?;
            match fs::write(at, in_use.trim()) {
                Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => {}
                written => return written.with_context(|| format!("writing to {}", at.display())),
            }
        }
        bail!("the kernel gives {} no limit: it is busy", at.display())
    }

    /// How often it has met its limit of memory, and had to give some back or to die.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn times_short_of_memory(&self) -> anyhow::Result<u64> {
        match self.version {
            Version::One => {
                let at = self.memory.join("memory.failcnt");
                read(&at)?.trim().parse().with_context(|| format!("reading {}", at.display()))
            }
            Version::Two => count(&self.memory.join("memory.events"), "max"),
        }
    }

    /// Processes that the kernel killed for it.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn killed_for_memory(&self) -> anyhow::Result<u64> {
        let file = if self.version == Version::One { "memory.oom_control" } else { "memory.events" };
        count(&self.memory.join(file), "oom_kill")
    }

    /// Everything that it could be short of is there again.
    ///
    /// # Errors
    /// The system refuses.
    pub fn lift(&self) -> anyhow::Result<()> {
        self.limit_cpu(None)?;
        self.limit_memory(None)
    }

    /// Its processes must be gone.
    ///
    /// # Errors
    /// They are not.
    pub fn release(&self) -> anyhow::Result<()> {
        for at in self.directories() {
            remove(at)?;
            self.journal.done(&undo(at)).context("writing the undo journal")?;
        }
        Ok(())
    }
}

fn undo(at: &Path) -> Undo {
    Undo::Group { at: at.to_owned() }
}

fn write(at: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(at, text).with_context(|| format!("writing {text} to {}", at.display()))
}

fn read(at: &Path) -> anyhow::Result<String> {
    fs::read_to_string(at).with_context(|| format!("reading {}", at.display()))
}

/// Of a file with a name and a number on each line.
fn count(at: &Path, name: &str) -> anyhow::Result<u64> {
    let text = read(at)?;
    let number = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok());
    number.with_context(|| format!("{} says nothing of {name}", at.display()))
}

/// Whether it was there.
fn remove(at: &Path) -> anyhow::Result<bool> {
    match fs::remove_dir(at) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("removing {}", at.display())),
    }
}

/// Of the run in `folder`, and empty: whether it was there.
///
/// # Errors
/// It is not of that run, or somebody is in it.
pub fn remove_of(folder: &Path, at: &Path) -> anyhow::Result<bool> {
    let name = at.file_name().unwrap_or_default().as_encoded_bytes();
    let is_ours = name.starts_with(prefix(folder).as_bytes()) && tree::is_in_a_tree(at)?;
    ensure!(is_ours, "it is not of {}", folder.display());
    remove(at)
}

/// What is left of the run in `folder`.
///
/// # Errors
/// The machine does not tell.
pub fn groups_of(folder: &Path) -> io::Result<BTreeSet<PathBuf>> {
    tree::groups_named(&prefix(folder))
}

/// The process is in one of the run in `folder`.
#[must_use]
pub fn is_in_a_group_of(folder: &Path, pid: u32) -> bool {
    // Of a process that ended it cannot be read.
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    names_a_group(&groups, &prefix(folder))
}

/// `/proc/PID/cgroup` (cgroups(7)): in the last of three fields of each line, the group's path.
fn names_a_group(groups: &str, prefix: &str) -> bool {
    let path = |line: &str| line.splitn(3, ':').nth(2).unwrap_or_default().to_owned();
    groups.lines().any(|line| path(line).split('/').any(|name| name.starts_with(prefix)))
}

fn prefix(folder: &Path) -> String {
    format!("{}-", name_of(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the files of a group look, where there is no kernel behind them.
    fn group(version: Version, files: &[(&str, &str)]) -> (tempfile::TempDir, Group) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let run = tempfile::tempdir().unwrap();
        let at = folder.path().to_owned();
        (folder, Group { version, cpu: at.clone(), memory: at, journal: Journal::create(run.path()).unwrap() })
    }

    #[test]
    fn in_version_2_limits_are_a_quota_with_its_period_and_a_most() {
        let events = "low 0\nhigh 0\nmax 17\noom 3\noom_kill 2\noom_group_kill 0\n";
        let (folder, group) = group(Version::Two, &[("memory.events", events), ("cpu.stat", "usage_usec 5\nnr_throttled 4\n")]);
        let said = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        group.limit_cpu(Some(Share::from_percent(10))).unwrap();
        group.limit_memory(Some(32 << 20)).unwrap();
        group.take_in(7).unwrap();
        assert_eq!((said("cpu.max"), said("memory.max")), ("10000 100000".into(), "33554432".into()));
        assert_eq!(said("cgroup.procs"), "7");
        group.lift().unwrap();
        assert_eq!((said("cpu.max"), said("memory.max")), ("max 100000".into(), "max".into()));
        let counts = (group.times_throttled(), group.times_short_of_memory(), group.killed_for_memory());
        assert_eq!((counts.0.unwrap(), counts.1.unwrap(), counts.2.unwrap()), (4, 17, 2));
    }

    #[test]
    fn in_version_1_limits_are_a_quota_and_bytes() {
        let control = "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n";
        let (folder, group) = group(Version::One, &[("memory.failcnt", "17\n"), ("memory.oom_control", control)]);
        let said = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        group.limit_cpu(Some(Share::from_percent(10))).unwrap();
        group.limit_memory(Some(32 << 20)).unwrap();
        assert_eq!((said("cpu.cfs_period_us"), said("cpu.cfs_quota_us")), ("100000".into(), "10000".into()));
        assert_eq!(said("memory.limit_in_bytes"), "33554432");
        group.lift().unwrap();
        assert_eq!((said("cpu.cfs_quota_us"), said("memory.limit_in_bytes")), ("-1".into(), "-1".into()));
        assert_eq!((group.times_short_of_memory().unwrap(), group.killed_for_memory().unwrap()), (17, 2));
        assert!(group.times_throttled().is_err(), "there is no cpu.stat");
    }

    #[test]
    fn a_process_is_of_the_run_whose_group_it_is_in_and_of_no_other() {
        let groups = |group: &str| format!("4:memory:/jobs/{group}\n1:cpu:/\n0::/\n");
        assert!(names_a_group(&groups("drill-0123456789-2"), "drill-0123456789-"));
        assert!(names_a_group("0::/user.slice/drill-0123456789-2/below\n", "drill-0123456789-"));
        assert!(!names_a_group(&groups("drill-9876543210-2"), "drill-0123456789-") && !names_a_group("", "drill-"));
        assert!(!is_in_a_group_of(Path::new("/runs/none"), std::process::id()));
    }

    #[test]
    fn what_is_no_group_of_the_run_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("other");
        fs::create_dir(&other).unwrap();
        let named_alike = folder.path().join(format!("{}-1", name_of(folder.path())));
        fs::create_dir(&named_alike).unwrap();
        for at in [&other, &named_alike] {
            assert!(remove_of(folder.path(), at).unwrap_err().to_string().contains("it is not of"), "{}", at.display());
            assert!(at.is_dir());
        }
    }
}

//! What a run did to the machine and has not taken back yet: written down, and synced, before it is done.
//!
//! The run takes it back itself. When the tool dies, its watchdog does, and when both die, `stampede-chaos heal`: each reads the same
//! journal. [`scan`] asks the machine instead, so that what nobody wrote down is seen as well.

mod emptied;
mod journal;
mod namespace;
mod process;
mod recall;
mod scan;

use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::bail;
use serde::{Deserialize, Serialize};

use crate::disk;
use crate::limits;
use crate::resources;

pub(crate) use emptied::empty;
pub use journal::{Journal, has_journal, is_at_work, left, unreadable};
pub use process::{Identity, lives};
pub use recall::{Confirmed, Recall};
pub(crate) use scan::mount_table;
pub use scan::{is_mounted, scan};

/// Between two tries.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// In the order in which it must be done: who writes to a frozen file system cannot be killed, nor is a directory empty in which
/// somebody writes; a file system in use cannot be unmounted, a network namespace goes with the last who is in it, and a control group
/// is removed when nobody is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undo {
    Thaw {
        at: PathBuf,
    },
    Kill(Identity),
    /// What is left of a disk that was lost. Nobody can give it back: what is half gone goes whole.
    Discard {
        at: PathBuf,
    },
    Unmount {
        at: PathBuf,
    },
    /// With this interface.
    Namespaces {
        link: String,
    },
    /// Of processors and memory.
    Group {
        at: PathBuf,
    },
    /// By a command, of nodes that the tool did not start.
    Recall(Recall),
}

impl Undo {
    /// Whether there was anything to take back. What is not of the run in `folder` is left alone: a journal is a file, and whoever
    /// heals may be root. (A command must have been [`Confirmed`] before.)
    ///
    /// # Errors
    /// It is still there.
    pub(crate) fn carry_out(&self, folder: &Path) -> anyhow::Result<bool> {
        match self {
            Self::Kill(process) => process::kill(process, folder, limits::KILL_DEADLINE),
            Self::Discard { at } => emptied::discard(folder, at),
            Self::Thaw { at } | Self::Unmount { at } if !is_mounted(at)? => Ok(false),
            Self::Thaw { at } | Self::Unmount { at } if !at.starts_with(folder) => bail!("it is not in {}", folder.display()),
            Self::Thaw { at } => Ok(disk::thaw(at).map(|()| true)?),
            Self::Unmount { at } => disk::unmount(at),
            Self::Namespaces { link } => namespace::wait_empty(link, limits::KILL_DEADLINE).map(|()| false),
            Self::Group { at } => resources::remove_of(folder, at),
            Self::Recall(recall) => {
                recall.carry_out()?;
                // Unlike the others it is not seen whether it still must be done: once is enough.
                journal::note_done(folder, self)?;
                Ok(true)
            }
        }
    }
}

impl std::fmt::Display for Undo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Thaw { at } => write!(f, "the frozen file system {}", at.display()),
            Self::Kill(process) => write!(f, "process {}", process.pid),
            Self::Discard { at } => write!(f, "the rest of a lost disk, {}", at.display()),
            Self::Unmount { at } => write!(f, "the mount {}", at.display()),
            Self::Namespaces { link } => write!(f, "the network namespaces with {link}"),
            Self::Group { at } => write!(f, "the control group {}", at.display()),
            Self::Recall(recall) => write!(f, "{}", recall.what),
        }
    }
}

/// What is made on the machine for a run is called so, if it has no path in the run's folder: of fifteen characters, as the kernel allows
/// for an interface.
#[must_use]
pub fn name_of(run: &Path) -> String {
    let digest = blake3::hash(run.as_os_str().as_encoded_bytes()).to_hex();
    format!("drill-{}", &digest[..9])
}

/// What was found to be taken back, and what of it is left.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Healed {
    pub undone: Vec<String>,
    pub left: Vec<String>,
}

/// Takes back what the run in `folder` did not. Twice is as good as once.
///
/// What is in use for a moment is tried again. Of commands, those are run that are `confirmed`. `quiet`: for so long nothing may show itself any more, if the tool was killed in the
/// middle of it; [`limits::ORPHANS_SHOWN`], unless the tool itself asks.
///
/// # Errors
/// The journal is there and cannot be read, or the machine does not tell what is left.
pub fn heal(folder: &Path, quiet: Duration, confirmed: &Confirmed) -> anyhow::Result<Healed> {
    let folder = match folder.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Healed::default()),
        found => found?,
    };
    // A run that took back all that it did leaves no process that could still do anything.
    let before = left(&folder)?;
    let quiet = if before.is_empty() { Duration::ZERO } else { quiet };
    let has_recalls = before.iter().any(|undo| matches!(undo, Undo::Recall(_)));
    if has_recalls {
        // A command that outlived its tool has ended by then, or what takes it back could come before it.
        sleep(quiet);
    }
    let pause = if has_recalls { limits::RECALL_PAUSE } else { LOOK_PAUSE };
    let end = Instant::now() + limits::HEAL_DEADLINE;
    let mut healed = heal_once(&folder, confirmed)?;
    let mut last_seen = Instant::now();
    while Instant::now() < end && !(healed.left.is_empty() && last_seen.elapsed() >= quiet) {
        sleep(pause);
        let again = heal_once(&folder, confirmed)?;
        if again != Healed::default() {
            last_seen = Instant::now();
        }
        healed.undone.extend(again.undone);
        healed.left = again.left;
    }
    healed.left.extend(left(&folder)?.iter().filter_map(|undo| confirmed.why_not(undo)));
    healed.left.extend(unreadable(&folder)?);
    Ok(healed)
}

fn heal_once(folder: &Path, confirmed: &Confirmed) -> anyhow::Result<Healed> {
    let mut healed = Healed::default();
    let mut undos = left(folder)?;
    // The tool was killed before it could write them down.
    undos.extend(scan::processes_of(folder)?.into_iter().filter_map(|pid| Identity::of(pid).ok()).map(Undo::Kill));
    // Those that are not confirmed are told at the end.
    for undo in undos.into_iter().filter(|undo| confirmed.why_not(undo).is_none()) {
        match undo.carry_out(folder) {
            Ok(true) => healed.undone.push(undo.to_string()),
            Ok(false) => {}
            Err(error) => healed.left.push(format!("{undo}: {error:#}")),
        }
    }
    healed.left.extend(scan(folder)?);
    Ok(healed)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn sleep_in(folder: &Path) -> Child {
        Command::new("sleep").arg("600").current_dir(folder).stdin(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn what_is_made_for_a_run_has_a_name_of_its_own_that_is_short_enough_for_an_interface() {
        let (one, other) = (name_of(Path::new("/runs/one")), name_of(Path::new("/runs/other")));
        assert!(one != other && one.len() <= 15 && other.len() <= 15, "{one} {other}");
    }

    #[test]
    fn what_was_begun_and_not_taken_back_is_healed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::create(folder.path()).unwrap();
        let sleep = || sleep_in(folder.path());
        let (mut left_behind, mut not_ours) = (sleep(), sleep());
        let undo = |child: &Child| Undo::Kill(Identity::of(child.id()).unwrap());
        journal.will(&undo(&left_behind)).unwrap();
        journal.will(&undo(&not_ours)).unwrap();
        journal.done(&undo(&not_ours)).unwrap();
        let reaper = std::thread::spawn(move || left_behind.wait().unwrap());
        let healed = heal(folder.path(), Duration::ZERO, &Confirmed::default()).unwrap();
        assert!(!reaper.join().unwrap().success());
        assert_eq!((healed.undone.len(), healed.left.len()), (1, 0), "{healed:?}");
        assert!(not_ours.try_wait().unwrap().is_none(), "it was taken back before");
        not_ours.kill().unwrap();
        not_ours.wait().unwrap();
    }

    #[test]
    fn a_process_that_took_the_number_of_another_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::create(folder.path()).unwrap();
        let mut other = sleep_in(folder.path());
        let before = Identity { started: Identity::of(other.id()).unwrap().started.map(|ticks| ticks - 1), pid: other.id() };
        journal.will(&Undo::Kill(before)).unwrap();
        heal(folder.path(), Duration::ZERO, &Confirmed::default()).unwrap();
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn what_is_not_of_the_run_is_left_alone_whatever_its_journal_says() {
        if !cfg!(target_os = "linux") {
            return;
        }
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = folder.path().canonicalize().unwrap();
        let (mut in_folder, mut other) = (sleep_in(&root), sleep_in(elsewhere.path()));
        let soon = Duration::from_millis(50);
        let error = process::kill(&Identity::of(other.id()).unwrap(), &root, soon).unwrap_err();
        assert!(error.to_string().contains("is not of the run"), "{error}");
        let unsure = Identity { started: None, ..Identity::of(in_folder.id()).unwrap() };
        assert!(process::kill(&unsure, &root, soon).is_ok_and(|was_there| !was_there), "another may have its number by now");
        for undo in [Undo::Thaw { at: "/proc".into() }, Undo::Unmount { at: "/proc".into() }] {
            let error = undo.carry_out(&root).unwrap_err();
            assert!(error.to_string().contains("it is not in"), "{error}");
        }
        for child in [&mut in_folder, &mut other] {
            assert!(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The tool was killed while it started them.
    #[test]
    fn a_node_a_mount_and_an_operators_command_that_nobody_wrote_down_are_ended() {
        if !cfg!(target_os = "linux") {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        Journal::create(folder.path()).unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::write(root.join("node"), "read line\n").unwrap();
        let waits = |name: &str, arguments: &[&OsStr]| {
            Command::new("sh").arg0(name).args(arguments).current_dir("/").stdin(Stdio::piped()).spawn().unwrap()
        };
        let node_file = root.join("nodes/node-1/node.toml");
        let mount = waits("mount", &[OsStr::new("-c"), OsStr::new("read line"), root.as_os_str()]);
        let node = Command::new("sh").arg("node").arg(node_file).current_dir(&root).stdin(Stdio::piped()).spawn().unwrap();
        std::fs::write(root.join("member"), "read line\n").unwrap();
        let member = Command::new("sh").arg("member").current_dir(&root).stdin(Stdio::piped()).spawn().unwrap();
        let mut children = [mount, node, member];
        // A process has its arguments a moment after it was started.
        while scan::processes_of(&root).unwrap().len() < children.len() {
            std::thread::yield_now();
        }
        let healed = heal(&root, Duration::ZERO, &Confirmed::default()).unwrap();
        assert_eq!((healed.undone.len(), healed.left.len()), (3, 0), "{healed:?}");
        for child in &mut children {
            assert_eq!(child.wait().unwrap().signal(), Some(9));
        }
    }

    #[test]
    fn a_thaw_comes_before_a_kill_and_a_kill_before_what_a_process_keeps() {
        let at = PathBuf::from("/run");
        let kill = Undo::Kill(Identity { pid: 7, started: None });
        let (unmount, namespaces) = (Undo::Unmount { at: at.clone() }, Undo::Namespaces { link: "drill".into() });
        let (group, discard, thaw) = (Undo::Group { at: at.clone() }, Undo::Discard { at: at.clone() }, Undo::Thaw { at });
        let mut undos = [group.clone(), namespaces.clone(), unmount.clone(), discard.clone(), kill.clone(), thaw.clone()];
        undos.sort();
        assert_eq!(undos, [thaw, kill, discard, unmount, namespaces, group]);
    }
}

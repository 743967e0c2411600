//! What a run did to the machine and has not taken back yet: written down, and synced, before it is done.
//!
//! The run takes it back itself. When the tool dies, its watchdog does, and when both die, `stampede-chaos heal`: each reads the same
//! journal. [`scan`] asks the machine instead, so that what nobody wrote down is seen as well.

mod journal;
mod namespace;
mod process;
mod scan;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::disk;
use crate::limits;

pub use journal::{Journal, has_journal, is_at_work, left};
pub use process::{Identity, lives};
pub use scan::{is_mounted, scan};

/// In the order in which it must be done: who writes to a frozen file system cannot be killed, a file system in use cannot be
/// unmounted, and a network namespace goes with the last who is in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undo {
    Thaw {
        at: PathBuf,
    },
    Kill(Identity),
    Unmount {
        at: PathBuf,
    },
    /// With this interface.
    Namespaces {
        link: String,
    },
}

impl Undo {
    /// # Errors
    /// It is still there.
    pub(crate) fn carry_out(&self) -> anyhow::Result<()> {
        match self {
            Self::Thaw { at } if is_mounted(at)? => Ok(disk::thaw(at)?),
            Self::Thaw { .. } => Ok(()),
            Self::Kill(process) => process::kill(process, limits::KILL_DEADLINE),
            Self::Unmount { at } => disk::unmount(at),
            Self::Namespaces { link } => namespace::wait_empty(link, limits::KILL_DEADLINE),
        }
    }
}

impl std::fmt::Display for Undo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Thaw { at } => write!(f, "the frozen file system {}", at.display()),
            Self::Kill(process) => write!(f, "process {}", process.pid),
            Self::Unmount { at } => write!(f, "the mount {}", at.display()),
            Self::Namespaces { link } => write!(f, "the network namespaces with {link}"),
        }
    }
}

/// What was found to be taken back, and what of it is left.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Healed {
    pub undone: Vec<String>,
    pub left: Vec<String>,
}

/// Takes back what the run in `folder` did not. Twice is as good as once.
///
/// # Errors
/// The journal is there and cannot be read, or the machine does not tell what is left.
pub fn heal(folder: &Path) -> anyhow::Result<Healed> {
    let mut healed = Healed::default();
    for undo in left(folder)? {
        match undo.carry_out() {
            Ok(()) => healed.undone.push(undo.to_string()),
            Err(error) => healed.left.push(format!("{undo}: {error:#}")),
        }
    }
    healed.left.extend(scan(folder)?);
    Ok(healed)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_was_begun_and_not_taken_back_is_healed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::create(folder.path()).unwrap();
        let sleep = || Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let (mut left_behind, mut not_ours) = (sleep(), sleep());
        let undo = |child: &std::process::Child| Undo::Kill(Identity::of(child.id()).unwrap());
        journal.will(&undo(&left_behind)).unwrap();
        journal.will(&undo(&not_ours)).unwrap();
        journal.done(&undo(&not_ours)).unwrap();
        let reaper = std::thread::spawn(move || left_behind.wait().unwrap());
        let healed = heal(folder.path()).unwrap();
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
        let mut other = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let before = Identity { started: Identity::of(other.id()).unwrap().started.map(|ticks| ticks - 1), pid: other.id() };
        journal.will(&Undo::Kill(before)).unwrap();
        heal(folder.path()).unwrap();
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_thaw_comes_before_a_kill_and_a_kill_before_what_a_process_keeps() {
        let at = PathBuf::from("/run");
        let kill = Undo::Kill(Identity { pid: 7, started: None });
        let (unmount, namespaces) = (Undo::Unmount { at: at.clone() }, Undo::Namespaces { link: "drill".into() });
        let mut undos = [namespaces.clone(), unmount.clone(), kill.clone(), Undo::Thaw { at: at.clone() }];
        undos.sort();
        assert_eq!(undos, [Undo::Thaw { at }, kill, unmount, namespaces]);
    }
}

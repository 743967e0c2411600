//! Commands that take back what a command did to a node that the tool did not start.
//!
//! The journal says which, and nobody runs one because a journal says so: it is a file that may have come with a stranger's run,
//! and whoever heals may be root. It is run if the very same command line is made by a cluster file that the caller himself named:
//! the tool and its watchdog name the run's, and `heal` the one of `--cluster`.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use super::Undo;
use crate::limits;

/// Between two looks whether it has ended.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct Recall {
    /// For people: the pause of node 2.
    pub what: String,
    pub command: Vec<String>,
}

/// Command lines that whoever heals has named.
#[derive(Debug, Clone, Default)]
pub struct Confirmed(BTreeSet<Vec<String>>);

impl Confirmed {
    /// Why it must not be taken back by who named these; `None` if it may.
    pub(super) fn why_not(&self, undo: &Undo) -> Option<String> {
        let Undo::Recall(Recall { what, command }) = undo else { return None };
        let told = command.join(" ");
        (!self.0.contains(command)).then(|| {
            format!("{what}: `{told}` is run only if `heal --cluster FILE` names the cluster file that it is from, unchanged")
        })
    }
}

impl FromIterator<Vec<String>> for Confirmed {
    fn from_iter<I: IntoIterator<Item = Vec<String>>>(lines: I) -> Self {
        Self(lines.into_iter().collect())
    }
}

impl Recall {
    /// # Errors
    /// It fails.
    pub(super) fn carry_out(&self) -> anyhow::Result<()> {
        let told = self.command.join(" ");
        let [program, arguments @ ..] = &self.command[..] else { bail!("an empty command") };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().with_context(|| format!("starting the command `{told}`"))?;
        let end = Instant::now() + limits::COMMAND_DEADLINE;
        loop {
            if let Some(status) = child.try_wait()? {
                ensure!(status.success(), "the command `{told}` ended with {status}");
                return Ok(());
            }
            if Instant::now() >= end {
                // It may have ended in this moment.
                let _ended = child.kill();
                child.wait()?;
                bail!("the command `{told}` did not end within {} s", limits::COMMAND_DEADLINE.as_secs());
            }
            sleep(LOOK_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::undo::{Journal, heal};

    #[test]
    fn a_command_of_a_journal_is_run_once_and_only_if_the_caller_named_it_too() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let journal = Journal::create(root).unwrap();
        let recall = |name: &str| {
            let command = ["sh", "-c", &format!("echo >> {}", root.join(name).display())].map(str::to_owned).to_vec();
            Recall { what: format!("the pause of node {name}"), command }
        };
        let (known, strange) = (recall("1"), recall("2"));
        journal.will(&Undo::Recall(known.clone())).unwrap();
        journal.will(&Undo::Recall(strange.clone())).unwrap();
        let confirmed = Confirmed::from_iter([known.command.clone()]);
        let healed = heal(root, Duration::ZERO, &confirmed).unwrap();
        assert_eq!(healed.undone, ["the pause of node 1"]);
        assert!(healed.left.len() == 1 && healed.left[0].contains("only if `heal --cluster FILE` names"), "{healed:?}");
        let confirmed = Confirmed::from_iter([known.command, strange.command]);
        let healed = heal(root, Duration::ZERO, &confirmed).unwrap();
        assert_eq!((healed.undone, healed.left), (vec!["the pause of node 2".to_owned()], Vec::new()));
        let times = |name: &str| std::fs::read_to_string(root.join(name)).unwrap().lines().count();
        assert_eq!((times("1"), times("2")), (1, 1));
    }
}

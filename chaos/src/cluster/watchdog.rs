//! Takes back what the tool did when the tool died without doing so itself.
//!
//! A small process of its own, in a process group of its own, that reads a pipe from the tool. When the pipe closes, for whatever
//! reason, it heals what the run's undo journal has left: it kills the nodes, thaws, unmounts. A process that was started and is not
//! in the journal yet is found by the folder that it names; and a node stops by itself, too, because its standard input closes with
//! the tool.
//!
//! Over the pipe it is told of each freeze before it is made, and thaws it when its time is over, also while the tool lives: whoever
//! writes to a frozen file system waits and cannot be killed, and the tool itself may come to be one of them. It answers when it is
//! armed, and the tool freezes only then.
//!
//! Nothing but the pipe ends it: who cancels a job sends SIGTERM to all processes of it, and the tool may die of that.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use serde::{Deserialize, Serialize};

use crate::undo::{self, Confirmed};
use crate::{disk, limits};

/// The command that [`run`] serves.
pub const COMMAND: &str = "watchdog";

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    WillFreeze { at: PathBuf, at_most_ms: u64 },
    Thawed { at: PathBuf },
}

/// To each word, and when it is there, the watchdog says one of these.
const DONE: u8 = b'+';
const FAILED: u8 = b'-';

/// The tool's ends of the pipes.
#[derive(Clone)]
pub struct Watchdog(Arc<Mutex<(ChildStdin, ChildStdout)>>);

impl Watchdog {
    /// It is there, and out of reach of signals, when this returns. `cluster_file`: of nodes that run already.
    ///
    /// # Errors
    /// The tool cannot be started, or does not say that it is there.
    pub fn start(tool: &Path, run_folder: &Path, cluster_file: Option<&Path>) -> io::Result<Self> {
        let mut child = Command::new(tool)
            .arg(COMMAND)
            .arg(run_folder)
            .args(cluster_file.iter().flat_map(|file| [Path::new("--cluster"), *file]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Out of reach of the Ctrl-C that ends the tool.
            .process_group(0)
            .spawn()?;
        let pipe = child.stdin.take().expect("asked for above");
        let mut answers = child.stdout.take().expect("asked for above");
        // Reaps it: it ends by itself when the pipe closes.
        std::thread::Builder::new().name("watchdog".into()).spawn(move || child.wait())?;
        hear(&mut answers)?;
        Ok(Self(Arc::new(Mutex::new((pipe, answers)))))
    }

    /// Before the freeze: it is thawed after `at_most`, whatever happens.
    ///
    /// # Errors
    /// The watchdog is gone, or cannot: then it must not be frozen.
    pub fn will_freeze(&self, at: &Path, at_most: Duration) -> io::Result<()> {
        let at_most_ms = u64::try_from(at_most.as_millis()).unwrap_or(u64::MAX);
        self.tell(&Word::WillFreeze { at: at.to_owned(), at_most_ms })
    }

    /// # Errors
    /// The watchdog is gone.
    pub fn thawed(&self, at: &Path) -> io::Result<()> {
        self.tell(&Word::Thawed { at: at.to_owned() })
    }

    fn tell(&self, word: &Word) -> io::Result<()> {
        let mut line = serde_json::to_string(word)?;
        line.push('\n');
        let mut pipes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pipes.0.write_all(line.as_bytes())?;
        hear(&mut pipes.1)
    }
}

fn hear(answers: &mut impl Read) -> io::Result<()> {
    let mut answer = [0];
    answers.read_exact(&mut answer)?;
    if answer == [DONE] { Ok(()) } else { Err(io::Error::other("the watchdog cannot do it")) }
}

/// The watchdog's own process: reads until the pipe closes, then heals the run, also by commands that are `confirmed`.
///
/// # Errors
/// The run's undo journal cannot be read.
pub fn run(pipe: impl BufRead, mut answers: impl Write, run_folder: &Path, confirmed: &Confirmed) -> anyhow::Result<()> {
    // A tool that is gone hears nothing, and the pipe is closed then.
    let mut answer = |answer| drop(answers.write_all(&[answer]).and_then(|()| answers.flush()));
    let ignored = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect::<SigSet>().thread_block();
    answer(if ignored.is_ok() { DONE } else { FAILED });
    let mut frozen = BTreeMap::new();
    // A line that it cannot read is the tool's end, too.
    for word in pipe.lines().map_while(Result::ok).map_while(|line| serde_json::from_str(&line).ok()) {
        match word {
            Word::WillFreeze { at, at_most_ms } => match Thaw::after(&at, Duration::from_millis(at_most_ms)) {
                Ok(thaw) => {
                    drop(frozen.insert(at, thaw));
                    answer(DONE);
                }
                Err(_) => answer(FAILED),
            },
            Word::Thawed { at } => {
                drop(frozen.remove(&at));
                answer(DONE);
            }
        }
    }
    // With them go their hands on what is to be unmounted.
    drop(frozen);
    undo::heal(run_folder, limits::ORPHANS_SHOWN, confirmed).map(drop)
}

/// A file system that will be thawed, unless this is dropped before.
struct Thaw {
    /// Taken on drop.
    waits: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Thaw {
    fn after(at: &Path, at_most: Duration) -> io::Result<Self> {
        let at = at.to_owned();
        // Held open: as long as it is, the mount can be reached by this path, and thawed.
        let mount = File::open(&at)?;
        let (dropped, waits) = channel();
        let thread = std::thread::Builder::new().name("thaw".into()).spawn(move || {
            if waits.recv_timeout(at_most) == Err(RecvTimeoutError::Timeout) {
                // There is nobody to tell; the heal tries again.
                let _failed = disk::thaw(&at);
            }
            drop(mount);
        })?;
        Ok(Self { waits: Some((dropped, thread)) })
    }
}

impl Drop for Thaw {
    fn drop(&mut self) {
        if let Some((dropped, thread)) = self.waits.take() {
            drop(dropped);
            // A panic was already reported on the thread itself.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::undo::{Identity, Journal, Undo};

    #[test]
    fn a_freeze_that_it_cannot_guard_is_told_and_keeps_it_from_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut orphan = Command::new("sleep").arg("600").current_dir(folder.path()).spawn().unwrap();
        let journal = Journal::create(folder.path()).unwrap();
        journal.will(&Undo::Kill(Identity::of(orphan.id()).unwrap())).unwrap();
        let word = Word::WillFreeze { at: folder.path().join("no-disk"), at_most_ms: 1 };
        let words = format!("{}\n", serde_json::to_string(&word).unwrap());
        let mut answers = Vec::new();
        let reaper = std::thread::spawn(move || orphan.wait().unwrap());
        run(words.as_bytes(), &mut answers, folder.path(), &Confirmed::default()).unwrap();
        assert_eq!(answers, [DONE, FAILED]);
        assert!(!reaper.join().unwrap().success(), "the run was healed");
        assert!(hear(&mut answers.as_slice()).is_ok() && hear(&mut &answers[1..]).is_err());
    }
}

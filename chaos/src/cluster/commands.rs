//! A node's process in the hands of commands that its operator wrote down ([`super::ClusterFile`]): it runs on another machine, in a container, under
//! a supervisor, and the tool sees of it what the node itself answers.
//!
//! What takes a command back is in the undo journal before the command is begun. A command that fails may have had its effect: what
//! takes it back stays there, and is done at the end.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::ask_status;
use super::file::Taken;
use super::life::{Exit, Life};
use crate::limits;
use crate::undo::{Journal, Recall, Undo};

/// Between two looks whether a killed node still answers.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// Runs command lines, one after the other or at once. What they print is in one file of the run's folder.
#[derive(Clone)]
pub(super) struct Runner {
    pub(super) printed: PathBuf,
    pub(super) journal: Journal,
}

impl Runner {
    /// Until it ends, no longer than [`limits::COMMAND_DEADLINE`]. (What it leaves running may go on to print.)
    ///
    /// # Errors
    /// It cannot be started, does not end in time, or ends with another code than 0.
    pub(super) async fn run(&self, line: &[String]) -> anyhow::Result<()> {
        let told = line.join(" ");
        let [program, arguments @ ..] = line else { bail!("an empty command") };
        let printed = File::options().create(true).append(true).open(&self.printed).context("opening commands.log")?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(printed.try_clone()?)
            .stderr(printed)
            // Out of reach of the Ctrl-C that ends the tool.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting the command `{told}`"))?;
        let ended = tokio::time::timeout(limits::COMMAND_DEADLINE, child.wait()).await;
        let (limit_s, log) = (limits::COMMAND_DEADLINE.as_secs(), self.printed.display());
        let status = ended.with_context(|| format!("the command `{told}` did not end within {limit_s} s: see {log}"))??;
        ensure!(status.success(), "the command `{told}` ended with {status}: see {log}");
        Ok(())
    }

    /// # Errors
    /// As of [`Self::run`], or `recall` cannot be written down.
    pub(super) async fn run_to_be_recalled(&self, line: &[String], recall: &Recall) -> anyhow::Result<()> {
        self.journal.will(&Undo::Recall(recall.clone())).context("writing the undo journal")?;
        self.run(line).await
    }

    /// # Errors
    /// As of [`Self::run`], or it cannot be written down.
    pub(super) async fn recall(&self, recall: &Recall) -> anyhow::Result<()> {
        self.run(&recall.command).await?;
        self.is_recalled(recall)
    }

    fn is_recalled(&self, recall: &Recall) -> anyhow::Result<()> {
        self.journal.done(&Undo::Recall(recall.clone())).context("writing the undo journal")
    }
}

/// Of one node. A pair that is missing is one that no fault of the scenario takes.
pub(super) struct Commands {
    runner: Runner,
    /// `kill`, and `start` to take it back.
    kill: Option<Taken>,
    /// `pause`, and `resume`.
    pause: Option<Taken>,
    /// It was paused and not resumed.
    is_paused: AtomicBool,
}

impl Commands {
    pub(super) fn new(runner: Runner, kill: Option<Taken>, pause: Option<Taken>) -> Self {
        Self { runner, kill, pause, is_paused: AtomicBool::new(false) }
    }

    pub(super) async fn start(&self, life: &Life) -> anyhow::Result<()> {
        let (_, start) = self.kill.as_ref().context("the cluster file has no command for start")?;
        self.runner.recall(start).await?;
        life.has_begun(0)
    }

    /// It counts as ended from when nobody answers any more, or another process does.
    pub(super) async fn kill(&self, life: &Life) -> anyhow::Result<bool> {
        if !life.is_running() {
            return Ok(false);
        }
        let (kill, start) = self.kill.as_ref().context("the cluster file has no command for kill")?;
        life.tell_to_end(true);
        let begun = Instant::now();
        self.runner.run_to_be_recalled(kill, start).await?;
        if self.swap_paused(false)
            && let Some((_, resume)) = &self.pause
        {
            // Its pause went with its process.
            self.runner.is_recalled(resume)?;
        }
        tokio::spawn(wait_for_end(life.clone(), begun));
        Ok(true)
    }

    pub(super) async fn pause(&self, life: &Life) -> anyhow::Result<bool> {
        if !life.is_running() {
            return Ok(false);
        }
        let (pause, resume) = self.pause.as_ref().context("the cluster file has no command for pause")?;
        self.swap_paused(true);
        self.runner.run_to_be_recalled(pause, resume).await?;
        Ok(true)
    }

    pub(super) async fn resume(&self) -> anyhow::Result<()> {
        if self.swap_paused(false)
            && let Some((_, resume)) = &self.pause
        {
            self.runner.recall(resume).await?;
        }
        Ok(())
    }

    fn swap_paused(&self, is_paused: bool) -> bool {
        self.is_paused.swap(is_paused, Ordering::SeqCst)
    }
}

/// `begun`: when its kill began. A supervisor may have started it again since.
async fn wait_for_end(life: Life, begun: Instant) {
    let mut silent_looks = 0;
    while silent_looks < limits::SILENT_LOOKS {
        let status = ask_status(life.admin()).await;
        let is_another = |uptime_ms| u128::from(uptime_ms) < begun.elapsed().as_millis();
        match status {
            Some(status) if is_another(status.uptime_ms) => break,
            Some(_) => silent_looks = 0,
            None => silent_looks += 1,
        }
        sleep(LOOK_PAUSE).await;
    }
    life.has_ended(Exit::UNSEEN, || ());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::undo;

    fn line(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[tokio::test]
    async fn what_takes_a_command_back_is_written_down_before_it_and_stays_if_it_fails() {
        let folder = tempfile::tempdir().unwrap();
        let (printed, journal) = (folder.path().join("commands.log"), Journal::create(folder.path()).unwrap());
        let runner = Runner { printed: printed.clone(), journal };
        let recall = Recall { what: "the kill of node 1".into(), command: line(&["true"]) };
        let error = runner.run_to_be_recalled(&line(&["sh", "-c", "echo half; exit 3"]), &recall).await.unwrap_err();
        assert!(error.to_string().contains("exit status: 3") && error.to_string().contains("commands.log"), "{error}");
        assert_eq!(std::fs::read_to_string(&printed).unwrap(), "half\n");
        assert_eq!(undo::left(folder.path()).unwrap().len(), 1, "it may have had its effect");
        runner.recall(&recall).await.unwrap();
        assert!(undo::left(folder.path()).unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_command_whose_start_leaves_a_process_behind_ends_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let (printed, journal) = (folder.path().join("commands.log"), Journal::create(folder.path()).unwrap());
        let runner = Runner { printed, journal };
        let pid = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}", pid.display());
        runner.run(&line(&["sh", "-c", &script])).await.unwrap();
        let left = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(left), nix::sys::signal::Signal::SIGKILL).unwrap();
    }
}

//! A node's process as a child of the tool: started, signalled, and killed when its owner is dropped.

use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::Context;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;

use super::Binaries;
use super::life::{Exit, Life};
use crate::disk::Disk;
use crate::network::Namespace;
use crate::resources::Group;
use crate::undo::{Identity, Journal, Undo};

/// Where a node's files are, and what they say of where it is.
pub(super) struct Files {
    /// Of what its processes print.
    pub(super) directory: PathBuf,
    pub(super) config: PathBuf,
    pub(super) data: PathBuf,
    /// Where it serves its metrics.
    pub(super) metrics: String,
}

/// What the tool made for it alone, if the scenario's faults need that.
pub(super) struct Own {
    pub(super) disk: Option<Disk>,
    /// Where its processes are, if not in the machine's own network.
    pub(super) namespace: Option<Namespace>,
    /// What its processes may take of the machine.
    pub(super) group: Option<Group>,
}

pub(super) struct Local {
    pub(super) binaries: Binaries,
    pub(super) files: Files,
    pub(super) own: Own,
    pub(super) journal: Journal,
}

impl Local {
    /// What it prints.
    pub(super) fn told(&self) -> PathBuf {
        self.files.directory.join("stderr.log")
    }

    pub(super) fn start(&self, life: &Life, environment: &[(&str, &str)], arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = self.binaries.node_command();
        command
            .envs(environment.iter().copied())
            // Its lifeline: it stops when the tool dies, also in the moment before the watchdog has its number.
            .args(["node", "--exit-with-stdin", "--config"])
            .arg(&self.files.config)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(append_to(&self.files.directory.join("stdout.log"))?)
            .stderr(append_to(&self.told())?)
            .process_group(0)
            .kill_on_drop(true);
        let child = spawn(&mut command, self.own.namespace.as_ref())
            .with_context(|| format!("starting {}", self.binaries.node.display()))?;
        let pid = child.id().context("the process ended while it was started")?;
        let undo = Undo::Kill(Identity::of(pid).context("the process ended while it was started")?);
        self.journal.will(&undo).context("writing the undo journal")?;
        if let Some(group) = &self.own.group {
            group.take_in(pid)?;
        }
        life.has_begun(pid)?;
        tokio::spawn(wait_for_end(child, life.clone(), self.journal.clone(), undo));
        Ok(())
    }
}

/// A signal that tells it to end.
///
/// # Errors
/// As of [`send`].
pub(super) fn end_by(life: &Life, signal: Signal) -> anyhow::Result<()> {
    let was_told = life.tell_to_end(true);
    let sent = send(life, signal);
    if sent.is_err() {
        life.tell_to_end(was_told);
    }
    sent
}

/// # Errors
/// It does not run.
pub(super) fn send(life: &Life, signal: Signal) -> anyhow::Result<()> {
    let pid = life.pid().with_context(|| format!("node {} does not run", life.node()))?;
    let pid = Pid::from_raw(i32::try_from(pid).context("a process id beyond 31 bits")?);
    nix::sys::signal::kill(pid, signal).with_context(|| format!("{signal} to node {}", life.node()))
}

fn spawn(command: &mut Command, namespace: Option<&Namespace>) -> io::Result<Child> {
    let Some(namespace) = namespace else { return command.spawn() };
    let runtime = Handle::current();
    namespace.within(|| {
        let _watched_by_it = runtime.enter();
        command.spawn()
    })?
}

fn append_to(path: &Path) -> anyhow::Result<Stdio> {
    let file = File::options().create(true).append(true).open(path).with_context(|| format!("opening {}", path.display()))?;
    Ok(file.into())
}

/// Owns the process: when this task is dropped, the process is killed.
async fn wait_for_end(mut child: Child, life: Life, journal: Journal, undo: Undo) {
    // Waiting would close it.
    let lifeline = child.stdin.take();
    let status = child.wait().await.ok();
    life.is_gone();
    drop(lifeline);
    let exit = Exit { code: status.and_then(|status| status.code()), signal: status.as_ref().and_then(ExitStatus::signal) };
    // A process that is gone may be killed once more.
    life.has_ended(exit, || drop(journal.done(&undo)));
}

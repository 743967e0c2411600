//! One node: its process, its files, its operators' client.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::config::{Member, loopback};
use super::watchdog::Watchdog;
use super::{AdminClient, admin_client, ask_status};
use crate::client::NodeAddress;
use crate::history::{ProcessEvent, ProcessStep, Record, Recorder};
use crate::limits;
use crate::proto::admin::GetStatusResponse;

/// A node ended that nobody had told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnexpectedExit {
    pub node: u16,
    pub code: Option<i32>,
    pub signal: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Process {
    Down,
    Up { pid: u32, ready: bool },
}

pub struct Node {
    id: u16,
    binary: PathBuf,
    directory: PathBuf,
    config_file: PathBuf,
    client_address: String,
    admin: AdminClient,
    recorder: Recorder,
    watchdog: Watchdog,
    shared: Arc<Shared>,
}

/// Between the node and the task that waits for its process.
struct Shared {
    process: watch::Sender<Process>,
    /// The process was told to end.
    told_to_end: AtomicBool,
    /// The last process ended without having been told to.
    ended_by_itself: AtomicBool,
    unexpected: Mutex<Vec<UnexpectedExit>>,
}

impl Node {
    pub(super) fn new(
        member: &Member,
        binary: PathBuf,
        directory: PathBuf,
        config_file: PathBuf,
        recorder: Recorder,
        watchdog: Watchdog,
    ) -> Self {
        let shared = Shared {
            process: watch::Sender::new(Process::Down),
            told_to_end: AtomicBool::new(false),
            ended_by_itself: AtomicBool::new(false),
            unexpected: Mutex::default(),
        };
        Self {
            id: member.id,
            binary,
            directory,
            config_file,
            client_address: loopback(member.ports.client),
            admin: admin_client(&loopback(member.ports.admin)),
            recorder,
            watchdog,
            shared: Arc::new(shared),
        }
    }

    #[must_use]
    pub fn id(&self) -> u16 {
        self.id
    }

    #[must_use]
    pub fn address(&self) -> NodeAddress {
        NodeAddress { node: self.id, client: self.client_address.clone() }
    }

    #[must_use]
    pub fn admin(&self) -> AdminClient {
        self.admin.clone()
    }

    pub async fn status(&self) -> Option<GetStatusResponse> {
        ask_status(self.admin()).await
    }

    #[must_use]
    pub fn is_running(&self) -> bool {
        *self.shared.process.borrow() != Process::Down
    }

    #[must_use]
    pub fn unexpected_exits(&self) -> Vec<UnexpectedExit> {
        self.shared.unexpected.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It is down, and nobody had told it to end.
    #[must_use]
    pub fn ended_by_itself(&self) -> bool {
        !self.is_running() && self.shared.ended_by_itself.load(Ordering::SeqCst)
    }

    /// # Errors
    /// It runs already, or cannot be started.
    pub fn start(&self) -> anyhow::Result<()> {
        ensure!(!self.is_running(), "node {} runs already", self.id);
        let child = Command::new(&self.binary)
            .arg("node")
            .arg("--config")
            .arg(&self.config_file)
            .stdin(Stdio::null())
            .stdout(append_to(&self.directory.join("stdout.log"))?)
            .stderr(append_to(&self.directory.join("stderr.log"))?)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", self.binary.display()))?;
        let pid = child.id().context("the process ended while it was started")?;
        self.watchdog.started(pid).context("telling the watchdog")?;
        self.shared.told_to_end.store(false, Ordering::SeqCst);
        self.shared.ended_by_itself.store(false, Ordering::SeqCst);
        self.shared.process.send_replace(Process::Up { pid, ready: false });
        self.note(ProcessStep::Started { pid })?;
        tokio::spawn(wait_for_end(self.id, pid, child, Arc::clone(&self.shared), self.recorder.clone(), self.watchdog.clone()));
        tokio::spawn(wait_for_answer(self.id, pid, self.admin(), Arc::clone(&self.shared), self.recorder.clone()));
        Ok(())
    }

    /// # Errors
    /// It ended, or did not answer in time.
    pub async fn wait_ready(&self, deadline: Duration) -> anyhow::Result<()> {
        let mut process = self.shared.process.subscribe();
        let settled = process.wait_for(|process| matches!(process, Process::Down | Process::Up { ready: true, .. }));
        match tokio::time::timeout(deadline, settled).await {
            Ok(Ok(process)) if *process != Process::Down => Ok(()),
            Ok(_) => bail!("node {} ended: see {}", self.id, self.directory.join("stderr.log").display()),
            Err(_) => bail!("node {} did not answer within {} s", self.id, deadline.as_secs()),
        }
    }

    /// SIGKILL; the process is gone when it returns.
    ///
    /// # Errors
    /// It does not run, or does not end.
    pub async fn kill(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGKILL)?;
        ensure!(self.wait_down(limits::KILL_DEADLINE).await, "node {} outlived SIGKILL", self.id);
        Ok(())
    }

    /// SIGTERM, without waiting for its effect.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal_stop(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGTERM)
    }

    /// SIGKILL, without waiting for its effect.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal_kill(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGKILL)
    }

    /// SIGTERM; whether the process ended in time.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub async fn stop(&self, deadline: Duration) -> anyhow::Result<bool> {
        if !self.is_running() {
            return Ok(true);
        }
        self.signal(Signal::SIGTERM)?;
        Ok(self.wait_down(deadline).await)
    }

    pub async fn wait_down(&self, deadline: Duration) -> bool {
        let mut process = self.shared.process.subscribe();
        tokio::time::timeout(deadline, process.wait_for(|process| *process == Process::Down))
            .await
            .is_ok_and(|ended| ended.is_ok())
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let Process::Up { pid, .. } = *self.shared.process.borrow() else { bail!("node {} does not run", self.id) };
        self.shared.told_to_end.store(true, Ordering::SeqCst);
        let pid = Pid::from_raw(i32::try_from(pid).context("a process id beyond 31 bits")?);
        nix::sys::signal::kill(pid, signal).with_context(|| format!("{signal} to node {}", self.id))
    }

    fn note(&self, step: ProcessStep) -> anyhow::Result<()> {
        Ok(self.recorder.record(process_event(&self.recorder, self.id, step))?)
    }
}

fn append_to(path: &Path) -> anyhow::Result<Stdio> {
    let file = File::options().create(true).append(true).open(path).with_context(|| format!("opening {}", path.display()))?;
    Ok(file.into())
}

fn process_event(recorder: &Recorder, node: u16, step: ProcessStep) -> Record {
    Record::Process(ProcessEvent { at_ns: recorder.now_ns(), node, step })
}

/// Owns the process: when this task is dropped, the process is killed.
async fn wait_for_end(node: u16, pid: u32, mut child: Child, shared: Arc<Shared>, recorder: Recorder, watchdog: Watchdog) {
    let ended = child.wait().await;
    let status = ended.ok();
    let (code, signal) = (status.and_then(|status| status.code()), status.as_ref().and_then(ExitStatus::signal));
    // A closed history ends the run elsewhere, and a watchdog that is gone has nothing left to forget.
    let _closed = recorder.record(process_event(&recorder, node, ProcessStep::Exited { code, signal }));
    let _gone = watchdog.ended(pid);
    if !shared.told_to_end.load(Ordering::SeqCst) {
        shared.ended_by_itself.store(true, Ordering::SeqCst);
        shared.unexpected.lock().unwrap_or_else(PoisonError::into_inner).push(UnexpectedExit { node, code, signal });
    }
    shared.process.send_replace(Process::Down);
}

/// From its first answer on, a node counts as healthy.
async fn wait_for_answer(node: u16, pid: u32, admin: AdminClient, shared: Arc<Shared>, recorder: Recorder) {
    while *shared.process.borrow() == (Process::Up { pid, ready: false }) {
        if ask_status(admin.clone()).await.is_some() {
            let is_still_this = shared.process.send_if_modified(|process| {
                let is_still_this = *process == Process::Up { pid, ready: false };
                if is_still_this {
                    *process = Process::Up { pid, ready: true };
                }
                is_still_this
            });
            if is_still_this {
                let _closed = recorder.record(process_event(&recorder, node, ProcessStep::Ready));
            }
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

//! One node: its process, its files, its operators' client.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
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
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::config::{Member, loopback};
use super::{AdminClient, DrillClient, admin_client, ask_status, drill_client};
use crate::client::NodeAddress;
use crate::disk::Disk;
use crate::history::{ProcessEvent, ProcessStep, Record, Recorder};
use crate::limits;
use crate::network::{Door, Namespace};
use crate::proto::admin::{GetStatusResponse, TriggerSnapshotRequest};
use crate::proto::drill::{ArmCrashPointRequest, SetClockRequest};
use crate::scenario::CrashPoint;
use crate::undo::{Identity, Journal, Undo};

/// The environment's name for a crash point of the system.
const CRASH_POINT: &str = "STAMPEDE_CRASH_POINT";

/// What a node's clock shows, beside the machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    pub ahead_ms: i64,
    /// Parts per million of what passes.
    pub gain_ppm: i64,
}

impl Clock {
    pub const RIGHT: Self = Self { ahead_ms: 0, gain_ppm: 0 };
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    pub code: Option<i32>,
    pub signal: Option<i32>,
}

impl Exit {
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => write!(f, "signal {signal}"),
            (None, None) => write!(f, "an unknown cause"),
        }
    }
}

/// A node ended that nobody had told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnexpectedExit {
    pub node: u16,
    pub exit: Exit,
}

/// A node that should be there is not. This is what the system did; other failures of a fault or of a heal are the tool's own.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotThere(pub String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Process {
    /// `None`: not started yet.
    Down(Option<Exit>),
    Up {
        pid: u32,
        ready: bool,
    },
    /// It has ended, and its number may be another's already; that it did is being written down.
    Gone,
}

/// Where a node's files are.
pub(super) struct Files {
    /// Of what its processes print.
    pub(super) directory: PathBuf,
    pub(super) config: PathBuf,
    pub(super) data: PathBuf,
}

/// What the tool made for it alone, if the scenario's faults need that.
pub(super) struct Own {
    pub(super) disk: Option<Disk>,
    /// Where its processes are, if not in the machine's own network.
    pub(super) namespace: Option<Namespace>,
}

pub struct Node {
    id: u16,
    binary: PathBuf,
    files: Files,
    address: NodeAddress,
    admin: AdminClient,
    drill: DrillClient,
    own: Own,
    recorder: Recorder,
    journal: Journal,
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
    pub(super) fn new(member: &Member, binary: PathBuf, files: Files, own: Own, recorder: Recorder, journal: Journal) -> Self {
        let shared = Shared {
            process: watch::Sender::new(Process::Down(None)),
            told_to_end: AtomicBool::new(false),
            ended_by_itself: AtomicBool::new(false),
            unexpected: Mutex::default(),
        };
        let door = Door::to(own.namespace.as_ref());
        Self {
            id: member.id,
            binary,
            files,
            address: NodeAddress {
                node: member.id,
                client: loopback(member.ports.client),
                admin: loopback(member.ports.admin),
                webhook: loopback(member.ports.webhook),
                door: door.clone(),
            },
            admin: admin_client(&loopback(member.ports.admin), &door),
            drill: drill_client(&loopback(member.ports.admin), &door),
            own,
            recorder,
            journal,
            shared: Arc::new(shared),
        }
    }

    #[must_use]
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.files.data
    }

    #[must_use]
    pub fn address(&self) -> NodeAddress {
        self.address.clone()
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
        !matches!(*self.shared.process.borrow(), Process::Down(_))
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
        self.start_with(&[])
    }

    /// It will abort at `point`, which the fault wants.
    ///
    /// # Errors
    /// As of [`Self::start`].
    pub fn start_armed(&self, point: CrashPoint) -> anyhow::Result<()> {
        self.start_with(&[(CRASH_POINT, point.name())])?;
        self.will_end();
        Ok(())
    }

    fn start_with(&self, environment: &[(&str, &str)]) -> anyhow::Result<()> {
        ensure!(!self.is_running(), "node {} runs already", self.id);
        let mut command = Command::new(&self.binary);
        command
            .envs(environment.iter().copied())
            // Its lifeline: it stops when the tool dies, also in the moment before the watchdog has its number.
            .args(["node", "--exit-with-stdin", "--config"])
            .arg(&self.files.config)
            .stdin(Stdio::piped())
            .stdout(append_to(&self.files.directory.join("stdout.log"))?)
            .stderr(append_to(&self.files.directory.join("stderr.log"))?)
            .process_group(0)
            .kill_on_drop(true);
        let child =
            spawn(&mut command, self.own.namespace.as_ref()).with_context(|| format!("starting {}", self.binary.display()))?;
        let pid = child.id().context("the process ended while it was started")?;
        let undo = Undo::Kill(Identity::of(pid).context("the process ended while it was started")?);
        self.journal.will(&undo).context("writing the undo journal")?;
        self.shared.told_to_end.store(false, Ordering::SeqCst);
        self.shared.ended_by_itself.store(false, Ordering::SeqCst);
        self.shared.process.send_replace(Process::Up { pid, ready: false });
        self.note(ProcessStep::Started { pid })?;
        let ended = (self.journal.clone(), undo);
        tokio::spawn(wait_for_end(self.id, child, Arc::clone(&self.shared), self.recorder.clone(), ended));
        tokio::spawn(wait_for_answer(self.id, pid, self.admin(), Arc::clone(&self.shared), self.recorder.clone()));
        Ok(())
    }

    /// # Errors
    /// It ended, or did not answer in time.
    pub async fn wait_ready(&self, deadline: Duration) -> Result<(), NotThere> {
        let mut process = self.shared.process.subscribe();
        let settled = process.wait_for(|process| matches!(process, Process::Down(_) | Process::Up { ready: true, .. }));
        match tokio::time::timeout(deadline, settled).await {
            Ok(Ok(process)) if matches!(*process, Process::Up { .. }) => Ok(()),
            Ok(_) => {
                let told = self.files.directory.join("stderr.log");
                Err(NotThere(format!("node {} ended: see {}", self.id, told.display())))
            }
            Err(_) => Err(NotThere(format!("node {} did not answer within {} s", self.id, deadline.as_secs()))),
        }
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

    /// SIGSTOP: it is there and does nothing.
    ///
    /// # Errors
    /// It does not run.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.send(Signal::SIGSTOP)
    }

    /// SIGCONT; to a process that is not paused it is nothing.
    ///
    /// # Errors
    /// It does not run.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.send(Signal::SIGCONT)
    }

    /// Its own, if the scenario's faults need one.
    #[must_use]
    pub fn disk(&self) -> Option<&Disk> {
        self.own.disk.as_ref()
    }

    /// What comes now will end it, without a signal.
    pub fn will_end(&self) {
        self.shared.told_to_end.store(true, Ordering::SeqCst);
    }

    /// That it does not answer is as it should be.
    #[must_use]
    pub fn is_told_to_end(&self) -> bool {
        self.shared.told_to_end.load(Ordering::SeqCst)
    }

    /// What came did not end it.
    pub fn will_go_on(&self) {
        self.shared.told_to_end.store(false, Ordering::SeqCst);
    }

    /// It aborts when it next comes by `point`; `None`: at none.
    ///
    /// # Errors
    /// It does not answer, or its program takes no such orders.
    pub async fn arm(&self, point: Option<CrashPoint>) -> Result<(), NotThere> {
        let mut drill = self.drill.clone();
        let armed = drill.arm_crash_point(ArmCrashPointRequest { point: point.map_or("", CrashPoint::name).to_owned() });
        match tokio::time::timeout(limits::CONTROL_DEADLINE, armed).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(NotThere(format!("node {} took no crash point: {}", self.id, status.message()))),
            Err(_) => Err(NotThere(format!("node {} did not answer to take a crash point", self.id))),
        }
    }

    /// # Errors
    /// It has nothing to take one of, or does not answer.
    pub async fn trigger_snapshot(&self) -> anyhow::Result<()> {
        let mut admin = self.admin();
        let triggered = admin.trigger_snapshot(TriggerSnapshotRequest {});
        tokio::time::timeout(limits::ADMIN_DEADLINE, triggered)
            .await?
            .with_context(|| format!("a snapshot of node {}", self.id))?;
        Ok(())
    }

    /// # Errors
    /// It does not answer, or its program takes no such orders.
    pub async fn set_clock(&self, clock: Clock) -> Result<(), NotThere> {
        let Clock { ahead_ms, gain_ppm } = clock;
        let mut drill = self.drill.clone();
        let set = drill.set_clock(SetClockRequest { ahead_ms, gain_ppm });
        match tokio::time::timeout(limits::CONTROL_DEADLINE, set).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(NotThere(format!("node {} did not set its clock: {}", self.id, status.message()))),
            Err(_) => Err(NotThere(format!("node {} did not answer to set its clock", self.id))),
        }
    }

    /// The end of what its processes printed to their standard error.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn last_words(&self) -> anyhow::Result<String> {
        const LAST_BYTES: u64 = 4 << 10;
        let path = self.files.directory.join("stderr.log");
        let mut file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        let from = file.metadata()?.len().saturating_sub(LAST_BYTES);
        file.seek(SeekFrom::Start(from))?;
        let mut words = Vec::new();
        file.read_to_end(&mut words)?;
        Ok(String::from_utf8_lossy(&words).into_owned())
    }

    /// How the process ended; `None` if it did not within `deadline`.
    pub async fn wait_down(&self, deadline: Duration) -> Option<Exit> {
        let mut process = self.shared.process.subscribe();
        let down = process.wait_for(|process| matches!(process, Process::Down(Some(_))));
        match *tokio::time::timeout(deadline, down).await.ok()?.ok()? {
            Process::Down(exit) => exit,
            Process::Up { .. } | Process::Gone => None,
        }
    }

    /// One that tells it to end.
    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let was_told = self.shared.told_to_end.swap(true, Ordering::SeqCst);
        let sent = self.send(signal);
        if sent.is_err() {
            self.shared.told_to_end.store(was_told, Ordering::SeqCst);
        }
        sent
    }

    fn send(&self, signal: Signal) -> anyhow::Result<()> {
        let Process::Up { pid, .. } = *self.shared.process.borrow() else { bail!("node {} does not run", self.id) };
        let pid = Pid::from_raw(i32::try_from(pid).context("a process id beyond 31 bits")?);
        nix::sys::signal::kill(pid, signal).with_context(|| format!("{signal} to node {}", self.id))
    }

    fn note(&self, step: ProcessStep) -> anyhow::Result<()> {
        Ok(self.recorder.record(process_event(&self.recorder, self.id, step))?)
    }
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

fn process_event(recorder: &Recorder, node: u16, step: ProcessStep) -> Record {
    Record::Process(ProcessEvent { at_ns: recorder.now_ns(), node, step })
}

/// Owns the process: when this task is dropped, the process is killed.
async fn wait_for_end(node: u16, mut child: Child, shared: Arc<Shared>, recorder: Recorder, (journal, undo): (Journal, Undo)) {
    // Waiting would close it.
    let lifeline = child.stdin.take();
    let status = child.wait().await.ok();
    // Before anything that takes time: who signals this number now may hit somebody else.
    shared.process.send_replace(Process::Gone);
    drop(lifeline);
    let exit = Exit { code: status.and_then(|status| status.code()), signal: status.as_ref().and_then(ExitStatus::signal) };
    let Exit { code, signal } = exit;
    // A closed history ends the run elsewhere; and a process that is gone may be killed once more.
    let _closed = recorder.record(process_event(&recorder, node, ProcessStep::Exited { code, signal }));
    let _unwritten = journal.done(&undo);
    if !shared.told_to_end.load(Ordering::SeqCst) {
        shared.ended_by_itself.store(true, Ordering::SeqCst);
        shared.unexpected.lock().unwrap_or_else(PoisonError::into_inner).push(UnexpectedExit { node, exit });
    }
    shared.process.send_replace(Process::Down(Some(exit)));
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

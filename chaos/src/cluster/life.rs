//! Whether a node's process is there, and how it ended: what whoever controls it says, and what the node's own answers show.
//!
//! It goes into the history from here, however the process is controlled.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{AdminClient, ask_status};
use crate::history::{ProcessEvent, ProcessStep, Record, Recorder};
use crate::limits;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    pub code: Option<i32>,
    pub signal: Option<i32>,
}

impl Exit {
    /// Of a process whose end nobody saw from near.
    pub(super) const UNSEEN: Self = Self { code: None, signal: None };

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    /// `None`: not started yet.
    Down(Option<Exit>),
    Up {
        pid: u32,
        ready: bool,
    },
    /// It has ended, and its number may be another's already; that it did is being written down.
    Gone,
}

/// Cheap to clone; every clone is the same.
#[derive(Clone)]
pub(super) struct Life {
    node: u16,
    admin: AdminClient,
    recorder: Recorder,
    shared: Arc<Shared>,
}

struct Shared {
    process: watch::Sender<Process>,
    /// The process was told to end.
    told_to_end: AtomicBool,
    /// The last process ended without having been told to.
    ended_by_itself: AtomicBool,
    unexpected: Mutex<Vec<UnexpectedExit>>,
    /// When the process that was last started or found first answered.
    answered: Mutex<Option<Instant>>,
}

impl Life {
    pub(super) fn new(node: u16, admin: AdminClient, recorder: Recorder) -> Self {
        let shared = Shared {
            process: watch::Sender::new(Process::Down(None)),
            told_to_end: AtomicBool::new(false),
            ended_by_itself: AtomicBool::new(false),
            unexpected: Mutex::default(),
            answered: Mutex::default(),
        };
        Self { node, admin, recorder, shared: Arc::new(shared) }
    }

    pub(super) fn node(&self) -> u16 {
        self.node
    }

    pub(super) fn admin(&self) -> AdminClient {
        self.admin.clone()
    }

    pub(super) fn process(&self) -> Process {
        *self.shared.process.borrow()
    }

    pub(super) fn is_running(&self) -> bool {
        !matches!(self.process(), Process::Down(_))
    }

    /// Of the process that runs.
    pub(super) fn pid(&self) -> Option<u32> {
        if let Process::Up { pid, .. } = self.process() { Some(pid) } else { None }
    }

    pub(super) fn is_told_to_end(&self) -> bool {
        self.shared.told_to_end.load(Ordering::SeqCst)
    }

    /// Whether it was told before.
    pub(super) fn tell_to_end(&self, is_told: bool) -> bool {
        self.shared.told_to_end.swap(is_told, Ordering::SeqCst)
    }

    pub(super) fn ended_by_itself(&self) -> bool {
        !self.is_running() && self.shared.ended_by_itself.load(Ordering::SeqCst)
    }

    pub(super) fn unexpected_exits(&self) -> Vec<UnexpectedExit> {
        self.shared.unexpected.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It was started. `pid`: 0 if it is no process of this machine's that the tool knows.
    ///
    /// # Errors
    /// The history can no longer be written.
    pub(super) fn has_begun(&self, pid: u32) -> anyhow::Result<()> {
        self.tell_to_end(false);
        self.set_answered(None);
        self.shared.ended_by_itself.store(false, Ordering::SeqCst);
        self.shared.process.send_replace(Process::Up { pid, ready: false });
        self.recorder.record(self.event(ProcessStep::Started { pid }))?;
        tokio::spawn(self.clone().wait_for_answer(pid));
        Ok(())
    }

    /// Whether a process that is so old is another than the one that was last started or found: somebody else started it.
    pub(super) fn is_another(&self, uptime_ms: u64) -> bool {
        let answered = *self.shared.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.is_some_and(|answered| is_younger(uptime_ms, answered.elapsed()))
    }

    fn set_answered(&self, at: Option<Instant>) {
        *self.shared.answered.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Before anything that takes time: who signals its number now may hit somebody else.
    pub(super) fn is_gone(&self) {
        self.shared.process.send_replace(Process::Gone);
    }

    /// It can be started again when this returns. `and_then`: what is to be written down beside it.
    pub(super) fn has_ended(&self, exit: Exit, and_then: impl FnOnce()) {
        let Exit { code, signal } = exit;
        // A closed history ends the run elsewhere.
        let _closed = self.recorder.record(self.event(ProcessStep::Exited { code, signal }));
        and_then();
        if !self.is_told_to_end() {
            self.shared.ended_by_itself.store(true, Ordering::SeqCst);
            let unexpected = UnexpectedExit { node: self.node, exit };
            self.shared.unexpected.lock().unwrap_or_else(PoisonError::into_inner).push(unexpected);
        }
        self.shared.process.send_replace(Process::Down(Some(exit)));
    }

    /// How the process ended; `None` if it did not within `deadline`.
    pub(super) async fn wait_down(&self, deadline: Duration) -> Option<Exit> {
        let mut process = self.shared.process.subscribe();
        let down = process.wait_for(|process| matches!(process, Process::Down(Some(_))));
        match *tokio::time::timeout(deadline, down).await.ok()?.ok()? {
            Process::Down(exit) => exit,
            Process::Up { .. } | Process::Gone => None,
        }
    }

    /// Whether it answers or has ended; `None`: neither within `deadline`.
    pub(super) async fn wait_ready(&self, deadline: Duration) -> Option<bool> {
        let mut process = self.shared.process.subscribe();
        let settled = process.wait_for(|process| matches!(process, Process::Down(_) | Process::Up { ready: true, .. }));
        let settled = tokio::time::timeout(deadline, settled).await.ok()?;
        Some(settled.is_ok_and(|process| matches!(*process, Process::Up { .. })))
    }

    /// From its first answer on, a node counts as healthy.
    async fn wait_for_answer(self, pid: u32) {
        while self.process() == (Process::Up { pid, ready: false }) {
            if ask_status(self.admin()).await.is_some() {
                let is_still_this = self.shared.process.send_if_modified(|process| {
                    let is_still_this = *process == Process::Up { pid, ready: false };
                    if is_still_this {
                        *process = Process::Up { pid, ready: true };
                    }
                    is_still_this
                });
                if is_still_this {
                    self.set_answered(Some(Instant::now()));
                    let _closed = self.recorder.record(self.event(ProcessStep::Ready));
                }
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn event(&self, step: ProcessStep) -> Record {
        Record::Process(ProcessEvent { at_ns: self.recorder.now_ns(), node: self.node, step })
    }
}

/// Than who answered first, so long ago.
fn is_younger(uptime_ms: u64, answered_for: Duration) -> bool {
    u128::from(uptime_ms + limits::CLOCK_SLACK_MS) < answered_for.as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_younger_than_the_first_answer_is_another() {
        let answered_for = Duration::from_secs(60);
        assert!(is_younger(50_000, answered_for), "somebody else started it");
        assert!(!is_younger(60_000, answered_for) && !is_younger(59_500, answered_for) && !is_younger(90_000, answered_for));
    }
}

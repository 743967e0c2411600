//! One call of `submit` on its way through the proposer, and those that go together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use openraft::AsyncRuntime;
use openraft::type_config::alias::InstantOf;
use tokio::sync::oneshot;

use super::admission::Class;
use super::api::{RetryReason, SubmitError, Submitted};
use super::lines::{StreamOrder, Turn};
use super::metrics::Metrics;
use super::types::TypeConfig;
use crate::domain::{Command, Outcome, Reply};

pub(super) type Answer = Result<Submitted, SubmitError>;

/// Who sent a call.
pub(super) enum Sender<'a> {
    Caller,
    /// A caller who goes on without waiting for the answer.
    Stream(&'a StreamOrder),
    Peer,
}

const QUEUED: u8 = 0;
const PROPOSED: u8 = 1;
const GIVEN_UP: u8 = 2;

/// Settles who was first: the caller's deadline, or the batch that took the call along.
pub(super) struct Progress(AtomicU8);

impl Progress {
    pub(super) fn queued() -> Arc<Self> {
        Arc::new(Self(AtomicU8::new(QUEUED)))
    }

    /// False if the caller gave up before.
    pub(super) fn propose(&self) -> bool {
        self.0.compare_exchange(QUEUED, PROPOSED, Ordering::AcqRel, Ordering::Acquire) != Err(GIVEN_UP)
    }

    /// Only after an attempt that surely did nothing, and only if no earlier one may have.
    pub(super) fn take_back(&self) {
        let _ = self.0.compare_exchange(PROPOSED, QUEUED, Ordering::AcqRel, Ordering::Acquire);
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.0.load(Ordering::Acquire) == GIVEN_UP
    }

    /// True if it was surely never proposed, and now never will be.
    pub(super) fn give_up(&self) -> bool {
        self.0.compare_exchange(QUEUED, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

pub(super) struct Call<RT: AsyncRuntime> {
    pub(super) commands: Vec<Command>,
    /// Of `commands`; stays when they are on their way.
    pub(super) count: usize,
    pub(super) class: Class,
    /// Of the stream that it came on, if it came on one.
    pub(super) turn: Option<Turn>,
    /// Its number among all that came.
    pub(super) arrival: u64,
    pub(super) queued_at: InstantOf<TypeConfig<RT>>,
    pub(super) deadline: InstantOf<TypeConfig<RT>>,
    pub(super) progress: Arc<Progress>,
    pub(super) may_have_happened: bool,
    /// From another node: answered, never sent on.
    pub(super) from_peer: bool,
    pub(super) answer: oneshot::Sender<Answer>,
}

impl<RT: AsyncRuntime> Call<RT> {
    pub(super) fn line(&self) -> Class {
        self.turn.as_ref().map_or(self.class, Turn::line)
    }

    pub(super) fn answer(self, answer: Answer) {
        // The caller may have hung up.
        let _ = self.answer.send(answer);
    }
}

/// Calls whose commands become one entry.
pub(super) struct Formed<RT: AsyncRuntime> {
    pub(super) calls: Vec<Call<RT>>,
    /// Of all calls.
    pub(super) commands: usize,
}

impl<RT: AsyncRuntime> Formed<RT> {
    /// All commands in their order; moved, not copied.
    pub(super) fn take_commands(&mut self) -> Vec<Command> {
        if let [call] = self.calls.as_mut_slice() {
            return std::mem::take(&mut call.commands);
        }
        let mut commands = Vec::with_capacity(self.commands);
        for call in &mut self.calls {
            commands.append(&mut call.commands);
        }
        commands
    }

    /// After an attempt that may have to be made again.
    pub(super) fn put_back(&mut self, commands: Option<Vec<Command>>) {
        let Some(commands) = commands else { return };
        let mut commands = commands.into_iter();
        for call in &mut self.calls {
            call.commands = commands.by_ref().take(call.count).collect();
        }
    }

    pub(super) fn is_of_streams(&self) -> bool {
        self.calls.iter().any(|call| call.turn.is_some())
    }

    pub(super) fn latest_deadline(&self) -> Option<InstantOf<TypeConfig<RT>>> {
        self.calls.iter().map(|call| call.deadline).max()
    }
}

pub(super) fn count_outcome(metrics: &Metrics, answer: &Answer) {
    match answer {
        Ok(submitted) => {
            metrics.submits_answered.add(1);
            metrics.commands_answered.add(submitted.replies.len());
        }
        Err(SubmitError::Retry { reason: RetryReason::Overloaded, .. }) => metrics.submits_overloaded.add(1),
        Err(SubmitError::Retry { .. }) => metrics.submits_retry.add(1),
        Err(SubmitError::Unknown { .. } | SubmitError::Stopped(_)) => metrics.submits_unknown.add(1),
    }
}

/// An earlier attempt at the same command may still be on its way to a leader, and be done when its refusal has passed. A caller
/// may be told *refused* only of what never happens.
pub(super) fn may_yet_be_done(reply: &Reply) -> bool {
    matches!(reply.outcome, Outcome::Refused(refusal) if refusal.may_pass())
}

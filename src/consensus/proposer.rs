//! From "here are commands" to their replies: coalesces what waits into one log entry, proposes it if this node leads, sends it
//! to the leader if not, and asks again while nobody can say what became of it.
//!
//! Commands are idempotent by their natural id, so a batch whose fate is unknown (the entry was discarded, the connection or
//! the leader was lost) is simply proposed again, until the caller's deadline. What was surely never proposed is *retry* at
//! the deadline, everything else *unknown*; nothing here ever answers *refused*.
//!
//! One task forms the batches; one short-lived task per batch waits for its outcome. A call's commands are never split, so
//! that they take effect in one entry. Batches that another node sent are never sent on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::async_runtime::Select2;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use openraft::{AsyncRuntime, Instant};
use tokio::sync::{Notify, oneshot};

use super::admission::Class;
use super::api::{RetryReason, SubmitError, Submitted, UnknownReason};
use super::calls::{Answer, Call, Formed, Progress, count_outcome};
use super::metrics::Metrics;
use super::target::{Attempt, Target};
use super::types::TypeConfig;
use crate::domain::{Command, Outcome, Reply};
use crate::limits;

struct Queue<RT: AsyncRuntime> {
    calls: VecDeque<Call<RT>>,
    /// Of all calls.
    commands: usize,
    /// Calls that peers sent: whether there are any is asked before each batch.
    from_peers: usize,
    in_flight: usize,
    /// After an attempt that did nothing, so that it is not repeated in a tight loop.
    paused_until: Option<InstantOf<TypeConfig<RT>>>,
    /// When those whose time was over were last removed.
    swept_at: Option<InstantOf<TypeConfig<RT>>>,
    /// Why the last attempt did nothing, if it did nothing, and the leader and the term that it was made under.
    last_failure: Option<(RetryReason, (u64, u64))>,
    stopped: Option<String>,
}

pub(super) struct Proposer<RT: AsyncRuntime, T> {
    target: T,
    queue: Mutex<Queue<RT>>,
    changed: Notify,
    /// This node is cut off.
    turned_away: Notify,
    metrics: Arc<Metrics>,
    entries_in_flight_max: usize,
}

impl<RT: AsyncRuntime, T: Target<RT>> Proposer<RT, T> {
    pub(super) fn start(target: T, metrics: Arc<Metrics>, entries_in_flight_max: usize) -> Arc<Self> {
        let queue = Queue {
            calls: VecDeque::new(),
            commands: 0,
            from_peers: 0,
            in_flight: 0,
            paused_until: None,
            swept_at: None,
            last_failure: None,
            stopped: None,
        };
        let (changed, turned_away) = (Notify::new(), Notify::new());
        let proposer =
            Arc::new(Self { target, queue: Mutex::new(queue), changed, turned_away, metrics, entries_in_flight_max });
        drop(TypeConfig::<RT>::spawn(proposer.clone().run()));
        proposer
    }

    pub(super) fn leads(&self) -> bool {
        self.target.leadership().my_term().is_some()
    }

    fn queue(&self) -> MutexGuard<'_, Queue<RT>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn submit(&self, commands: Vec<Command>, within: Duration, from_peer: bool) -> Answer {
        let answer = self.answer_to(commands, within, from_peer).await;
        count_outcome(&self.metrics, &answer);
        answer
    }

    async fn answer_to(&self, commands: Vec<Command>, within: Duration, from_peer: bool) -> Answer {
        let queued_at = TypeConfig::<RT>::now();
        let deadline = queued_at + within;
        let progress = Progress::queued();
        let (answer, answered) = oneshot::channel();
        let count = commands.len();
        // A peer has shed what there was to shed: it sends on what it let in, of all classes in one batch.
        let class = if from_peer { Class::Confirmation } else { Class::of(&commands) };
        let call = Call {
            commands,
            count,
            class,
            queued_at,
            deadline,
            progress: progress.clone(),
            may_have_happened: false,
            from_peer,
            answer,
        };
        // Before the call can wait, so that it misses no word of it.
        let turned_away = self.turned_away.notified();
        if let Err(reason) = self.enqueue(call) {
            return Err(self.retry(reason));
        }
        self.changed.notify_one();
        let (why_not_done, unknown) =
            match TypeConfig::<RT>::timeout_at(deadline, TypeConfig::<RT>::select2(answered, turned_away)).await {
                Ok(Select2::First(Ok(answer))) => return answer,
                Ok(Select2::First(Err(_))) => return Err(SubmitError::Stopped("the proposer has stopped".into())),
                Ok(Select2::Second(())) => (RetryReason::NoLeader, UnknownReason::LeaderChanged),
                Err(_) => (self.why_not_done(), UnknownReason::Deadline),
            };
        let answer = match progress.give_up() {
            true => Err(self.retry(why_not_done)),
            false => Err(self.unknown(unknown)),
        };
        self.drop_expired();
        answer
    }

    pub(super) fn is_waited_for(&self) -> bool {
        let queue = self.queue();
        !queue.calls.is_empty() || queue.in_flight > 0
    }

    /// Whoever waits is told that there is no leader here, or that nobody knows what became of it.
    pub(super) fn turn_away(&self) {
        self.turned_away.notify_waiters();
    }

    fn enqueue(&self, call: Call<RT>) -> Result<(), RetryReason> {
        let mut queue = self.queue();
        if queue.stopped.is_some() {
            return Err(RetryReason::Draining);
        }
        // An empty queue takes any call: one call may be as large as a batch.
        if queue.commands > 0 && queue.commands + call.count > call.class.queue_commands_max() {
            self.metrics.shed.of(call.class).add(1);
            return Err(RetryReason::Overloaded);
        }
        queue.commands += call.count;
        queue.from_peers += usize::from(call.from_peer);
        queue.calls.push_back(call);
        self.metrics.queued_commands.set(queue.commands);
        Ok(())
    }

    /// Without a leader no batch clears the queue of those whose time is over.
    fn drop_expired(&self) {
        let now = TypeConfig::<RT>::now();
        let expired: VecDeque<Call<RT>>;
        {
            let mut queue = self.queue();
            // When the time of many is over at once, not each of them looks through all.
            if queue.swept_at.is_some_and(|at| now < at + limits::PROPOSE_AGAIN_AFTER) {
                return;
            }
            queue.swept_at = Some(now);
            // Behind a call with a long deadline, too; and who was turned away.
            let is_over = |call: &Call<RT>| call.deadline <= now || call.progress.is_given_up();
            let (over, waiting) = std::mem::take(&mut queue.calls).into_iter().partition(is_over);
            (expired, queue.calls) = (over, waiting);
            queue.from_peers -= expired.iter().filter(|call| call.from_peer).count();
            queue.commands -= expired.iter().map(|call| call.count).sum::<usize>();
            self.metrics.queued_commands.set(queue.commands);
        }
        self.answer_expired(expired);
    }

    fn answer_expired(&self, expired: impl IntoIterator<Item = Call<RT>>) {
        for call in expired {
            let error = match call.may_have_happened {
                true => self.unknown(UnknownReason::Deadline),
                false => self.retry(self.why_not_done()),
            };
            call.answer(Err(error));
        }
    }

    /// Of a call whose time was up before it was proposed. With a leader that does answer, it waited behind others.
    fn why_not_done(&self) -> RetryReason {
        let last_failure = self.queue().last_failure;
        let leadership = self.target.leadership();
        let Some(current) = leadership.current() else { return RetryReason::NoLeader };
        match last_failure {
            // What an earlier leader did not do says nothing of this one; and this call was let in.
            Some((reason, under)) if under == current && reason != RetryReason::Overloaded => reason,
            _ if leadership.is_me(current.0) && !self.target.hears_a_majority() => RetryReason::NoLeader,
            _ => RetryReason::NotInTime,
        }
    }

    fn retry(&self, reason: RetryReason) -> SubmitError {
        SubmitError::Retry { leader: self.target.leadership().worth_asking(reason), reason }
    }

    fn unknown(&self, reason: UnknownReason) -> SubmitError {
        SubmitError::Unknown { leader: self.target.leadership().leader(), reason }
    }

    /// Forms no more batches. What waits is answered; what is on its way is answered by its own task.
    pub(super) fn stop(&self, reason: &str) {
        let calls = {
            let mut queue = self.queue();
            queue.stopped = Some(reason.to_owned());
            (queue.commands, queue.from_peers) = (0, 0);
            std::mem::take(&mut queue.calls)
        };
        self.metrics.queued_commands.set(0);
        for call in calls {
            let error = match call.may_have_happened {
                true => SubmitError::Stopped(reason.to_owned()),
                false => self.retry(RetryReason::Draining),
            };
            call.answer(Err(error));
        }
        self.changed.notify_one();
    }

    async fn run(self: Arc<Self>) {
        let mut leadership = self.target.leadership();
        loop {
            if self.queue().stopped.is_some() {
                return;
            }
            let leader = leadership.current();
            let formed = match leader {
                Some((id, _)) => self.form(leadership.is_me(id)),
                None => {
                    self.turn_away_peers();
                    None
                }
            };
            if let (Some(formed), Some((leader, term))) = (formed, leader) {
                drop(TypeConfig::<RT>::spawn(self.clone().attempt(formed, leader, term)));
                continue;
            }
            let paused_until = self.queue().paused_until;
            let changed = match paused_until {
                None => TypeConfig::<RT>::select2(leadership.changed(), self.changed.notified()).await,
                Some(until) => TypeConfig::<RT>::select2(leadership.changed(), TypeConfig::<RT>::sleep_until(until)).await,
            };
            // Only a pause that was waited for is over; the attempt that asked for it wakes this task, too.
            if paused_until.is_some() {
                self.queue().paused_until = None;
            }
            if let Select2::First(false) = changed {
                self.stop("consensus has stopped");
                return;
            }
        }
    }

    /// The next batch, if there is something to propose and room for it.
    fn form(&self, here: bool) -> Option<Formed<RT>> {
        let in_flight_max = if here { self.entries_in_flight_max } else { limits::FORWARDS_IN_FLIGHT_MAX };
        if !here {
            self.turn_away_peers();
        }
        let now = TypeConfig::<RT>::now();
        let mut queue = self.queue();
        if queue.in_flight >= in_flight_max || queue.paused_until.is_some_and(|until| until > now) {
            return None;
        }
        let mut formed = Formed { calls: Vec::new(), commands: 0 };
        let mut expired = Vec::new();
        while let Some(next) = queue.calls.front()
            && (formed.calls.is_empty() || formed.commands + next.count <= limits::BATCH_COMMANDS_MAX)
            && let Some(call) = queue.calls.pop_front()
        {
            queue.commands -= call.count;
            queue.from_peers -= usize::from(call.from_peer);
            if call.deadline <= now {
                expired.push(call);
                continue;
            }
            if !call.progress.propose() {
                continue;
            }
            self.metrics.queue_us.record_us(now.saturating_duration_since(call.queued_at));
            formed.commands += call.count;
            formed.calls.push(call);
        }
        self.metrics.queued_commands.set(queue.commands);
        if !formed.calls.is_empty() {
            queue.in_flight += 1;
        }
        self.metrics.entries_in_flight.set(queue.in_flight);
        drop(queue);
        self.answer_expired(expired);
        if formed.calls.is_empty() {
            return None;
        }
        self.metrics.batch_commands.record(formed.commands as u64);
        Some(formed)
    }

    /// A peer's calls are not sent on: the peer knows, or will, who leads.
    fn turn_away_peers(&self) {
        let turned_away: Vec<_> = {
            let mut queue = self.queue();
            if queue.from_peers == 0 {
                return;
            }
            queue.from_peers = 0;
            let (from_peers, own) = std::mem::take(&mut queue.calls).into_iter().partition(|call| call.from_peer);
            queue.calls = own;
            let from_peers: VecDeque<Call<RT>> = from_peers;
            queue.commands -= from_peers.iter().map(|call| call.count).sum::<usize>();
            from_peers.into()
        };
        for call in turned_away {
            let error = match call.may_have_happened || !call.progress.give_up() {
                true => self.unknown(UnknownReason::LeaderChanged),
                false => self.retry(RetryReason::NoLeader),
            };
            call.answer(Err(error));
        }
    }

    async fn attempt(self: Arc<Self>, mut formed: Formed<RT>, leader: u64, term: u64) {
        let started = TypeConfig::<RT>::now();
        let leadership = self.target.leadership();
        let attempt = if leadership.is_me(leader) {
            self.metrics.entries_proposed.add(1);
            let (attempt, returned) = self.target.propose(term, formed.take_commands()).await;
            formed.put_back(returned);
            attempt
        } else {
            self.metrics.batches_forwarded.add(1);
            let commands = formed.take_commands();
            let within = formed.latest_deadline().map_or(Duration::ZERO, |at| at.saturating_duration_since(started));
            let within = within.min(limits::FORWARD_ANSWER_WITHIN);
            let attempt = self.target.forward(leader, term, &commands, within).await;
            formed.put_back(Some(commands));
            attempt
        };
        self.metrics.commit_us.record_us(started.elapsed());
        self.settle(formed, attempt, (leader, term));
        self.changed.notify_one();
    }

    /// `under`: the leader that the attempt was made under, and its term.
    fn settle(&self, formed: Formed<RT>, attempt: Attempt, under: (u64, u64)) {
        match attempt {
            Attempt::Done { term, replies } if replies.len() == formed.commands => {
                let mut replies = replies.into_iter();
                for call in formed.calls {
                    let replies: Vec<Reply> = replies.by_ref().take(call.count).collect();
                    let answer = match call.may_have_happened && replies.iter().any(may_yet_be_done) {
                        true => Err(self.unknown(UnknownReason::LeaderChanged)),
                        false => Ok(Submitted { term, replies }),
                    };
                    call.answer(answer);
                }
                self.landed(|queue| queue.last_failure = None);
            }
            Attempt::Done { replies, .. } => {
                let mismatch = format!("{} commands were answered with {} replies", formed.commands, replies.len());
                self.answer_all(formed, &mismatch);
            }
            Attempt::Stopped(reason) => self.answer_all(formed, &reason),
            Attempt::NotDone(reason) => self.again(formed, Some((reason, under))),
            Attempt::Unknown => self.again(formed, None),
        }
    }

    fn answer_all(&self, formed: Formed<RT>, stopped: &str) {
        self.landed(|_| ());
        for call in formed.calls {
            call.answer(Err(SubmitError::Stopped(stopped.to_owned())));
        }
    }

    /// Back to the head of the queue: oldest first, as before. `not_done`: nothing happened, for this reason and under this
    /// leader.
    fn again(&self, formed: Formed<RT>, not_done: Option<(RetryReason, (u64, u64))>) {
        let stopped = self.landed(|queue| {
            // Looked at together with the push: a call that is queued after the stop would wait for ever.
            if let Some(reason) = &queue.stopped {
                return Some((reason.clone(), formed.calls));
            }
            for mut call in formed.calls.into_iter().rev() {
                match not_done {
                    Some(_) if !call.may_have_happened => call.progress.take_back(),
                    Some(_) => {}
                    None => call.may_have_happened = true,
                }
                queue.commands += call.count;
                queue.from_peers += usize::from(call.from_peer);
                queue.calls.push_front(call);
            }
            queue.last_failure = not_done.or(queue.last_failure);
            queue.paused_until = Some(TypeConfig::<RT>::now() + limits::PROPOSE_AGAIN_AFTER);
            None
        });
        match stopped {
            // Outside the lock: an answer wakes whoever waits for it.
            Some((reason, calls)) => {
                calls.into_iter().for_each(|call| call.answer(Err(SubmitError::Stopped(reason.clone()))));
            }
            None if not_done.is_none() => self.metrics.batches_repeated.add(1),
            None => {}
        }
    }

    fn landed<R>(&self, with_queue: impl FnOnce(&mut Queue<RT>) -> R) -> R {
        let mut queue = self.queue();
        queue.in_flight -= 1;
        let result = with_queue(&mut queue);
        self.metrics.entries_in_flight.set(queue.in_flight);
        self.metrics.queued_commands.set(queue.commands);
        result
    }
}

/// An earlier attempt at the same command may still be on its way to a leader, and be done when its refusal has passed. A caller
/// may be told *refused* only of what never happens.
fn may_yet_be_done(reply: &Reply) -> bool {
    matches!(reply.outcome, Outcome::Refused(refusal) if refusal.may_pass())
}

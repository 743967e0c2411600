//! From "here are commands" to their replies: coalesces what waits into one log entry, proposes it if this node leads, sends it
//! to the leader if not, and asks again while nobody can say what became of it.
//!
//! Commands are idempotent by their natural id, so a batch whose fate is unknown (the entry was discarded, the connection or
//! the leader was lost) is simply proposed again, until the caller's deadline. What was surely never proposed is *retry* at
//! the deadline, everything else *unknown*; nothing here ever answers *refused*.
//!
//! One task forms the batches; one short-lived task per batch waits for its outcome. A call's commands are never split, so
//! that they take effect in one entry. Who comes first is for `lines` to say. A batch for the leader is of one line: there, each
//! class has bounds of its own. Batches that another node sent are never sent on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::async_runtime::Select2;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use openraft::{AsyncRuntime, Instant};
use tokio::sync::{Notify, Semaphore, oneshot};

use super::admission::Class;
use super::api::{RetryReason, SubmitError, Submitted, UnknownReason};
use super::calls::{Answer, Call, Formed, Progress, Sender, count_outcome, may_yet_be_done};
use super::flights::{Flight, Flights, Under};
use super::lines::{Lines, StreamOrder};
use super::metrics::Metrics;
use super::target::{Attempt, Target};
use super::types::TypeConfig;
use crate::domain::{Command, Reply};
use crate::limits;

struct Queue<RT: AsyncRuntime> {
    lines: Lines<RT>,
    flights: Flights,
    /// After an attempt that did nothing, so that it is not repeated in a tight loop.
    paused_until: Option<InstantOf<TypeConfig<RT>>>,
    /// When those whose time was over were last removed.
    swept_at: Option<InstantOf<TypeConfig<RT>>>,
    /// Why the last attempt did nothing, if it did nothing, and the leader and the term that it was made under.
    last_failure: Option<(RetryReason, Under)>,
    stopped: Option<String>,
}

pub(super) struct Proposer<RT: AsyncRuntime, T> {
    target: T,
    queue: Mutex<Queue<RT>>,
    changed: Notify,
    /// This node is cut off.
    turned_away: Notify,
    metrics: Arc<Metrics>,
    /// The room for reads: without any, they are turned away.
    reads: Arc<Semaphore>,
    entries_in_flight_max: usize,
}

impl<RT: AsyncRuntime, T: Target<RT>> Proposer<RT, T> {
    /// `reads`: the room that is left for them.
    pub(super) fn start(target: T, metrics: Arc<Metrics>, reads: Arc<Semaphore>, entries_in_flight_max: usize) -> Arc<Self> {
        let queue = Queue {
            lines: Lines::new(),
            flights: Flights::default(),
            paused_until: None,
            swept_at: None,
            last_failure: None,
            stopped: None,
        };
        let (changed, turned_away) = (Notify::new(), Notify::new());
        let queue = Mutex::new(queue);
        let proposer = Arc::new(Self { target, queue, changed, turned_away, metrics, reads, entries_in_flight_max });
        drop(TypeConfig::<RT>::spawn(proposer.clone().run()));
        proposer
    }

    pub(super) fn leads(&self) -> bool {
        self.target.leadership().my_term().is_some()
    }

    fn queue(&self) -> MutexGuard<'_, Queue<RT>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes its place in line when it is first polled.
    pub(super) async fn submit(&self, commands: Vec<Command>, within: Duration, sender: Sender<'_>) -> Answer {
        let from_peer = matches!(sender, Sender::Peer);
        // Not what a peer says: what it sends.
        let class = if from_peer { Class::of_forwarded(&commands) } else { Class::of(&commands) };
        let answer = self.answer_to(commands, class, within, sender).await;
        count_outcome(&self.metrics, &answer);
        // Of a peer's callers the peer keeps count.
        if let (Err(SubmitError::Retry { reason, .. }), false) = (&answer, from_peer) {
            match reason {
                RetryReason::Overloaded => self.metrics.shed.of(class).add(1),
                RetryReason::NotInTime => self.metrics.not_in_time.of(class).add(1),
                RetryReason::NoLeader | RetryReason::LeaderUnreachable | RetryReason::Draining | RetryReason::DiskLow => {}
            }
        }
        answer
    }

    async fn answer_to(&self, commands: Vec<Command>, class: Class, within: Duration, sender: Sender<'_>) -> Answer {
        let queued_at = TypeConfig::<RT>::now();
        let deadline = queued_at + within;
        let progress = Progress::queued();
        let (answer, answered) = oneshot::channel();
        let count = commands.len();
        let call = Call {
            commands,
            count,
            class,
            turn: None,
            arrival: 0,
            queued_at,
            deadline,
            progress: progress.clone(),
            may_have_happened: false,
            from_peer: matches!(sender, Sender::Peer),
            answer,
        };
        let stream = if let Sender::Stream(stream) = sender { Some(stream) } else { None };
        // Before the call can wait, so that it misses no word of it.
        let turned_away = self.turned_away.notified();
        if let Err(reason) = self.enqueue(call, stream) {
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
        !queue.lines.is_empty() || queue.flights.under_way() > 0
    }

    /// Whoever waits is told that there is no leader here, or that nobody knows what became of it.
    pub(super) fn turn_away(&self) {
        self.turned_away.notify_waiters();
    }

    fn enqueue(&self, call: Call<RT>, stream: Option<&StreamOrder>) -> Result<(), RetryReason> {
        let mut queue = self.queue();
        if queue.stopped.is_some() {
            return Err(RetryReason::Draining);
        }
        let reads_are_shed = || self.reads.available_permits() == 0;
        if queue.lines.commands() >= call.class.queue_commands_max() || call.class.is_below_reads() && reads_are_shed() {
            return Err(RetryReason::Overloaded);
        }
        queue.lines.push(call, stream);
        self.metrics.queued_commands.set(queue.lines.commands());
        Ok(())
    }

    /// Without a leader no batch clears the queue of those whose time is over.
    fn drop_expired(&self) {
        let now = TypeConfig::<RT>::now();
        let expired = {
            let mut queue = self.queue();
            // When the time of many is over at once, not each of them looks through all.
            if queue.swept_at.is_some_and(|at| now < at + limits::PROPOSE_AGAIN_AFTER) {
                return;
            }
            queue.swept_at = Some(now);
            // Behind a call with a long deadline, too; and who was turned away.
            let expired = queue.lines.take(|call| call.deadline <= now || call.progress.is_given_up());
            self.metrics.queued_commands.set(queue.lines.commands());
            expired
        };
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
            queue.lines.take(|_| true)
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
            let formed = match leadership.current() {
                Some(under) => self.form(under, leadership.is_me(under.0)),
                None => {
                    self.turn_away_peers();
                    None
                }
            };
            if let Some((formed, flight)) = formed {
                self.send(formed, flight).await;
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

    /// Returns when the next batch may be sent.
    async fn send(self: &Arc<Self>, formed: Formed<RT>, flight: Flight) {
        let (sent, was_sent) = oneshot::channel();
        drop(TypeConfig::<RT>::spawn(self.clone().attempt(formed, flight, sent)));
        if flight.of_streams {
            // What is dropped has been sent, or never will be.
            let _ = was_sent.await;
        }
    }

    /// The next batch, if there is something to propose and room for it.
    fn form(&self, under: Under, here: bool) -> Option<(Formed<RT>, Flight)> {
        if !here {
            self.turn_away_peers();
        }
        let now = TypeConfig::<RT>::now();
        let mut queue = self.queue();
        if queue.paused_until.is_some_and(|until| until > now) {
            return None;
        }
        let mut open = queue.flights.open(under, here, self.entries_in_flight_max);
        let mut formed = Formed { calls: Vec::new(), commands: 0 };
        let mut expired = Vec::new();
        let fits = |formed: &Formed<RT>, call: &Call<RT>| {
            formed.calls.is_empty() || formed.commands + call.count <= limits::BATCH_COMMANDS_MAX
        };
        while let Some(call) = queue.lines.next(open, |call| fits(&formed, call)) {
            if call.deadline <= now {
                expired.push(call);
                continue;
            }
            if !call.progress.propose() {
                continue;
            }
            self.metrics.queue_us.record_us(now.saturating_duration_since(call.queued_at));
            if !here {
                open = open.only(call.line());
            }
            formed.commands += call.count;
            formed.calls.push(call);
        }
        self.metrics.queued_commands.set(queue.lines.commands());
        let flight = formed.calls.first().map(|first| {
            let flight = Flight { under, here, line: first.line(), of_streams: formed.is_of_streams() };
            queue.flights.take_off(flight);
            flight
        });
        self.metrics.entries_in_flight.set(queue.flights.under_way());
        drop(queue);
        self.answer_expired(expired);
        let flight = flight?;
        self.metrics.batch_commands.record(formed.commands as u64);
        Some((formed, flight))
    }

    /// A peer's calls are not sent on: the peer knows, or will, who leads.
    fn turn_away_peers(&self) {
        let turned_away = {
            let mut queue = self.queue();
            if !queue.lines.has_peers() {
                return;
            }
            queue.lines.take(|call| call.from_peer)
        };
        for call in turned_away {
            let error = match call.may_have_happened || !call.progress.give_up() {
                true => self.unknown(UnknownReason::LeaderChanged),
                false => self.retry(RetryReason::NoLeader),
            };
            call.answer(Err(error));
        }
    }

    async fn attempt(self: Arc<Self>, mut formed: Formed<RT>, flight: Flight, sent: oneshot::Sender<()>) {
        let started = TypeConfig::<RT>::now();
        let (leader, term) = flight.under;
        let attempt = if flight.here {
            self.metrics.entries_proposed.add(1);
            let (attempt, returned) = self.target.propose(term, formed.take_commands(), sent).await;
            formed.put_back(returned);
            attempt
        } else {
            // Of streams' batches there is but one on its way.
            drop(sent);
            self.metrics.batches_forwarded.add(1);
            let commands = formed.take_commands();
            let within = formed.latest_deadline().map_or(Duration::ZERO, |at| at.saturating_duration_since(started));
            let within = within.min(limits::FORWARD_ANSWER_WITHIN);
            let attempt = self.target.forward(leader, term, &commands, within).await;
            formed.put_back(Some(commands));
            attempt
        };
        self.metrics.commit_us.record_us(started.elapsed());
        self.settle(formed, attempt, flight);
        self.changed.notify_one();
    }

    fn settle(&self, formed: Formed<RT>, attempt: Attempt, flight: Flight) {
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
                self.landed(flight, |queue| queue.last_failure = None);
            }
            Attempt::Done { replies, .. } => {
                let mismatch = format!("{} commands were answered with {} replies", formed.commands, replies.len());
                self.answer_all(formed, &mismatch, flight);
            }
            Attempt::Stopped(reason) => self.answer_all(formed, &reason, flight),
            Attempt::NotDone(RetryReason::Overloaded) => self.shed(formed, flight),
            Attempt::NotDone(reason) => self.again(formed.calls, Some(reason), flight),
            Attempt::Unknown => self.again(formed.calls, None, flight),
        }
    }

    fn answer_all(&self, formed: Formed<RT>, stopped: &str, flight: Flight) {
        self.landed(flight, |_| ());
        for call in formed.calls {
            call.answer(Err(SubmitError::Stopped(stopped.to_owned())));
        }
    }

    /// The leader has no room for calls of this class. Sent again and again, they would find room by coming most often.
    fn shed(&self, formed: Formed<RT>, flight: Flight) {
        let (unknown, not_done): (Vec<_>, Vec<_>) = formed.calls.into_iter().partition(|call| call.may_have_happened);
        for call in not_done {
            call.answer(Err(self.retry(RetryReason::Overloaded)));
        }
        if unknown.is_empty() {
            self.landed(flight, |_| ());
        } else {
            self.again(unknown, Some(RetryReason::Overloaded), flight);
        }
    }

    /// Back to their places in line. `not_done`: nothing happened, for this reason.
    fn again(&self, calls: Vec<Call<RT>>, not_done: Option<RetryReason>, flight: Flight) {
        let stopped = self.landed(flight, |queue| {
            queue.flights.failed(flight);
            // Looked at together with the push: a call that is queued after the stop would wait for ever.
            if let Some(reason) = &queue.stopped {
                return Some((reason.clone(), calls));
            }
            for mut call in calls.into_iter().rev() {
                match not_done {
                    Some(_) if !call.may_have_happened => call.progress.take_back(),
                    Some(_) => {}
                    None => call.may_have_happened = true,
                }
                queue.lines.put_back(call);
            }
            queue.last_failure = not_done.map(|reason| (reason, flight.under)).or(queue.last_failure);
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

    fn landed<R>(&self, flight: Flight, with_queue: impl FnOnce(&mut Queue<RT>) -> R) -> R {
        let mut queue = self.queue();
        queue.flights.land(flight);
        let result = with_queue(&mut queue);
        self.metrics.entries_in_flight.set(queue.flights.under_way());
        self.metrics.queued_commands.set(queue.lines.commands());
        result
    }
}

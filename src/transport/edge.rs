//! The one path of every write and read of the public API: ask the node, then put the answer into the caller's terms.
//!
//! Serial codes are made here, at the edge: the ledger holds numbers, the key stays in this process. Before a code of a series
//! is printed, the series' key check is compared with this node's key: a wrong code is worse than none. What the edge caches of a
//! series never changes once the series is opened.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::consensus::admission::Class;
use crate::consensus::{Consistency, ReadError, StreamOrder, SubmitError, Submitted};
use crate::domain::serial_code::{self, SerialKey};
use crate::domain::{
    Command, KeyCheck, LedgerView, Outcome, PaymentOutcome, Reply, SerialRange, Series, SeriesCode, StampNumber,
};
use crate::limits;
use crate::proto::v1;
use crate::proto::v1::command_result::Result as Answer;
use crate::storage::StorageError;
use crate::transport::errors::{Failure, Reason};
use crate::transport::ledger_node::{ClusterNode, LedgerNode};
use crate::transport::read_threads::{NotRun, ReadThreads};
use crate::transport::{validate, wire};

/// Told of everything that a call could not read or save: the node cannot go on, and says why.
pub type OnStorageError = Arc<dyn Fn(&StorageError) + Send + Sync>;

/// The only way to a `STORAGE_FAILED`: what it tells a caller is true.
pub(super) fn stop_for(on_storage_error: &OnStorageError, error: &StorageError) -> Failure {
    on_storage_error(error);
    Failure::new(Reason::StorageFailed, error.to_string())
}

/// How many codes an answer has room for.
pub(super) struct CodeRoom(u32);

impl CodeRoom {
    pub(super) fn of_an_answer() -> Self {
        Self(limits::ANSWER_CODES_MAX)
    }
}

/// Cheap to clone; every clone is the same edge.
pub struct Edge<N> {
    inner: Arc<Inner<N>>,
}

struct Inner<N> {
    node: N,
    key: SerialKey,
    key_check: KeyCheck,
    reads: ReadThreads,
    on_storage_error: OnStorageError,
    /// Of opened series only, so bounded by what operators open.
    key_checks: RwLock<HashMap<SeriesCode, KeyCheck>>,
}

impl<N> Clone for Edge<N> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<N: LedgerNode> Edge<N> {
    /// # Errors
    /// The operating system gives no threads for reading.
    pub fn start(node: N, key: SerialKey, on_storage_error: OnStorageError) -> std::io::Result<Self> {
        let key_check = key.key_check();
        let reads = ReadThreads::start()?;
        let key_checks = RwLock::default();
        Ok(Self { inner: Arc::new(Inner { node, key, key_check, reads, on_storage_error, key_checks }) })
    }

    #[must_use]
    pub fn node(&self) -> &N {
        &self.inner.node
    }

    /// Of the key that this node prints codes with.
    #[must_use]
    pub fn key_check(&self) -> KeyCheck {
        self.inner.key_check
    }

    #[must_use]
    pub(super) fn key(&self) -> &SerialKey {
        &self.inner.key
    }

    /// Proposes commands and waits for the ledger's answers.
    pub(super) async fn submit(&self, commands: Vec<Command>, within: Duration) -> Result<Submitted, Failure> {
        self.submit_from(None, commands, within).await
    }

    /// `stream`: that they came on, if they came on one. They stand in line when this is first polled.
    async fn submit_from(
        &self,
        stream: Option<&StreamOrder>,
        commands: Vec<Command>,
        within: Duration,
    ) -> Result<Submitted, Failure> {
        let class = Class::of(&commands);
        if class.is_below_reads() && self.inner.reads.is_full() {
            self.inner.node.shed(class);
            return Err(Failure::new(Reason::Overloaded, "reads are turned away, and new orders with them"));
        }
        let submitted = match stream {
            Some(stream) => self.inner.node.submit_on(stream, commands, within).await,
            None => self.inner.node.submit(commands, within).await,
        };
        submitted.map_err(|error| {
            let leader = match &error {
                SubmitError::Retry { leader, .. } | SubmitError::Unknown { leader, .. } => *leader,
                SubmitError::Stopped(_) => None,
            };
            self.with_leader(Failure::from(&error), leader)
        })
    }

    /// One command, in the terms of the wire.
    pub(super) async fn submit_one(&self, command: Command, within: Duration) -> Result<Answer, Failure> {
        let deadline = Instant::now() + within;
        let submitted = self.submit(vec![command], within).await?;
        let reply = submitted.replies.into_iter().next().ok_or_else(unanswered)?;
        self.answer(reply, submitted.term, deadline, &mut CodeRoom::of_an_answer()).await
    }

    /// A whole batch: `results[i]` answers `commands[i]`, whatever became of the others. `stream`: that it came on, if it came on
    /// one; it stands in line when this is first polled.
    pub(super) async fn submit_batch(
        &self,
        batch: v1::SubmitBatchRequest,
        stream: Option<&StreamOrder>,
        within: Duration,
    ) -> v1::SubmitBatchResponse {
        let deadline = Instant::now() + within;
        let mut commands = Vec::with_capacity(batch.commands.len());
        let bad: Vec<Option<Failure>> = (batch.commands.iter().enumerate())
            .map(|(index, command)| validate::batch_command(index, command).map(|command| commands.push(command)).err())
            .collect();
        let submitted = if commands.is_empty() {
            Ok(Submitted { term: 0, replies: Vec::new() })
        } else {
            self.submit_from(stream, commands, within).await
        };
        let (term, mut replies) = match &submitted {
            Ok(submitted) => (submitted.term, submitted.replies.iter()),
            Err(_) => (0, [].iter()),
        };
        let mut room = CodeRoom::of_an_answer();
        let mut results = Vec::with_capacity(bad.len());
        for bad in bad {
            let answer = match (bad, &submitted) {
                (Some(bad), _) => Err(bad),
                (None, Err(failure)) => Err(failure.clone()),
                (None, Ok(_)) => match replies.next() {
                    Some(reply) => self.answer(reply.clone(), term, deadline, &mut room).await,
                    None => Err(unanswered()),
                },
            };
            let answer = answer.unwrap_or_else(|failure| Answer::Error(failure.command_error()));
            results.push(v1::CommandResult { result: Some(answer) });
        }
        v1::SubmitBatchResponse { batch_id: batch.batch_id, results }
    }

    async fn answer(&self, reply: Reply, term: u64, deadline: Instant, room: &mut CodeRoom) -> Result<Answer, Failure> {
        let receipt = wire::receipt(reply.place, reply.replayed, term);
        match reply.outcome {
            Outcome::OrderPlaced { amount, expires_at } => Ok(Answer::PlaceOrder(v1::PlaceOrderResponse {
                receipt: Some(receipt),
                amount_idr: wire::idr(amount),
                expires_at_ms: wire::ms(expires_at.0),
            })),
            Outcome::PaymentRecorded(outcome) => {
                let serials = match &outcome {
                    PaymentOutcome::Applied(range) => {
                        let printed = self.printed(range, deadline, room).await;
                        // It was done, whatever keeps the codes from the caller.
                        Some(printed.map_err(|failure| failure.of_executed(receipt))?)
                    }
                    _ => None,
                };
                let outcome = wire::payment_outcome(&outcome).into();
                Ok(Answer::RecordPayment(v1::RecordPaymentResponse { receipt: Some(receipt), outcome, serials }))
            }
            Outcome::OrderCancelled => Ok(Answer::CancelOrder(v1::CancelOrderResponse { receipt: Some(receipt) })),
            Outcome::OrderVoided { refund } => {
                Ok(Answer::VoidOrder(v1::VoidOrderResponse { receipt: Some(receipt), refund_idr: wire::idr(refund) }))
            }
            Outcome::DocumentStamped { series, number } => {
                // It was done, whatever keeps the code from the caller.
                self.check_key(series, deadline).await.map_err(|failure| failure.of_executed(receipt))?;
                Ok(Answer::StampDocument(v1::StampDocumentResponse {
                    receipt: Some(receipt),
                    series_code: series.to_string(),
                    number: number.get(),
                    code: serial_code::encode(&self.inner.key, series, number).as_str().to_owned(),
                }))
            }
            Outcome::Refused(refusal) => Err(Failure::refused(refusal, Some(receipt))),
            Outcome::SeriesOpened | Outcome::OrdersExpired { .. } | Outcome::RefundSettled | Outcome::PolicySet => {
                Err(unanswered())
            }
        }
    }

    /// The stamps of a range with their printed codes; without, if the answer has no room for all of them.
    pub(super) async fn printed(
        &self,
        range: &SerialRange,
        deadline: Instant,
        room: &mut CodeRoom,
    ) -> Result<v1::SerialRange, Failure> {
        let quantity = range.quantity.get();
        if quantity > room.0 {
            return Ok(wire::serial_range(range, Vec::new()));
        }
        self.check_key(range.series, deadline).await?;
        let mut codes = Vec::with_capacity(quantity as usize);
        for number in range.numbers() {
            let number = StampNumber::new(number).map_err(|error| {
                let cause = format!("serial number {error}");
                self.stop_for(StorageError::Corrupt { what: format!("range of series {}", range.series), cause })
            })?;
            codes.push(serial_code::encode(&self.inner.key, range.series, number).as_str().to_owned());
            room.0 -= 1;
            if room.0.is_multiple_of(limits::CODES_PRINTED_AT_ONCE) {
                tokio::task::yield_now().await;
            }
        }
        Ok(wire::serial_range(range, codes))
    }

    fn known_key_check(&self, series: SeriesCode) -> Option<KeyCheck> {
        self.inner.key_checks.read().unwrap_or_else(PoisonError::into_inner).get(&series).copied()
    }

    /// Whoever sees a series keeps its key check for the others: it never changes.
    ///
    /// # Errors
    /// `SERIAL_KEY_MISMATCH`.
    pub(super) fn learn(&self, series: &Series) -> Result<(), Failure> {
        self.inner.key_checks.write().unwrap_or_else(PoisonError::into_inner).insert(series.code, series.key_check);
        self.same_key(series.code, series.key_check)
    }

    /// The series, as far as this node has met them, that were opened with another key than its own.
    #[must_use]
    pub fn series_of_other_keys(&self) -> Vec<SeriesCode> {
        let key_checks = self.inner.key_checks.read().unwrap_or_else(PoisonError::into_inner);
        let mut others: Vec<_> =
            key_checks.iter().filter(|(_, key)| **key != self.inner.key_check).map(|(code, _)| *code).collect();
        others.sort_unstable();
        others
    }

    /// # Errors
    /// `SERIAL_KEY_MISMATCH` if this node would print other codes for the series than the node that opened it.
    pub(super) async fn check_key(&self, series: SeriesCode, deadline: Instant) -> Result<(), Failure> {
        match self.known_key_check(series) {
            Some(key_check) => self.same_key(series, key_check),
            None => self.look_up_and_check_key(series, deadline).await,
        }
    }

    fn same_key(&self, series: SeriesCode, key_check: KeyCheck) -> Result<(), Failure> {
        if key_check == self.inner.key_check {
            return Ok(());
        }
        let message = format!("series {series} was opened with another key than this node has");
        Err(Failure::new(Reason::SerialKeyMismatch, message).about("series", series.to_string()))
    }

    /// Linearizable: a forwarded command is answered before this node has applied it, and the series may be as young.
    async fn look_up_and_check_key(&self, series: SeriesCode, deadline: Instant) -> Result<(), Failure> {
        let within = deadline.saturating_duration_since(Instant::now());
        let looked_up = self.read(Consistency::Linearizable, within, move |view| view.series(series)).await;
        // The command was executed: whatever keeps its answer from the caller, the outcome is unknown to the caller.
        let (_, found) = looked_up.map_err(|failure| Failure::new(Reason::OutcomeUnknown, failure.message))?;
        let found = found.ok_or_else(|| Failure::new(Reason::OutcomeUnknown, format!("series {series} is not known here")))?;
        self.learn(&found)
    }

    /// Of a code that this node's key did not make: forged, unless its series was opened with another key. Looks only at the
    /// series that this node has met (`meet_all_series` sees to those of its replica), so that whoever makes codes up makes no
    /// work: neither a round of the quorum nor a read.
    ///
    /// # Errors
    /// `SERIAL_KEY_MISMATCH`.
    pub(super) fn check_forged(&self, series: SeriesCode) -> Result<(), Failure> {
        self.known_key_check(series).map_or(Ok(()), |key_check| self.same_key(series, key_check))
    }

    /// Reads one state of the ledger, away from the async workers.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        consistency: Consistency,
        within: Duration,
        look_up: impl FnOnce(&N::View) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<(v1::ReadMark, T), Failure> {
        let deadline = tokio::time::Instant::now() + within;
        let read = self.inner.node.read(consistency, within).await.map_err(|error| {
            let leader = match &error {
                ReadError::Retry { leader, .. } => *leader,
                ReadError::Stopped(_) => None,
            };
            self.with_leader(Failure::from(&error), leader)
        })?;
        let index = read.index;
        let view = read.view;
        // The view is dropped on that thread too: it holds a snapshot of the store.
        let both = move || Ok((view.totals()?.ledger_time, look_up(&view)?));
        let (ledger_time, found) = self.look_up(deadline, both).await?;
        Ok((v1::ReadMark { read_index: index, ledger_time_ms: wire::ms(ledger_time.0) }, found))
    }

    /// Reads what `look_up` has at hand, away from the async workers.
    pub(super) async fn look_up<T: Send + 'static>(
        &self,
        deadline: tokio::time::Instant,
        look_up: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, Failure> {
        self.looked_up(deadline, self.inner.reads.run(look_up)).await
    }

    /// The same, of a page of history, which must not keep those waiting who ask for one record.
    pub(super) async fn look_up_page<T: Send + 'static>(
        &self,
        deadline: tokio::time::Instant,
        look_up: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, Failure> {
        self.looked_up(deadline, self.inner.reads.run_page(look_up)).await
    }

    async fn looked_up<T>(
        &self,
        deadline: tokio::time::Instant,
        read: impl Future<Output = Result<Result<T, StorageError>, NotRun>>,
    ) -> Result<T, Failure> {
        let slow = |_| Failure::new(Reason::Overloaded, "the ledger was not read within the deadline: its disk may be slow");
        let looked_up = tokio::time::timeout_at(deadline, read).await.map_err(slow)?;
        looked_up.map_err(|error| self.unread(error))?.map_err(|error| self.stop_for(error))
    }

    fn unread(&self, error: NotRun) -> Failure {
        match error {
            NotRun::Overloaded => Failure::new(Reason::Overloaded, error.to_string()),
            NotRun::Panicked => {
                let cause = error.to_string();
                (self.inner.on_storage_error)(&StorageError::Io { operation: "read the ledger", cause: cause.clone() });
                Failure::new(Reason::NodeStopped, cause)
            }
        }
    }

    pub(super) fn stop_for(&self, error: StorageError) -> Failure {
        stop_for(&self.inner.on_storage_error, &error)
    }

    pub(super) fn with_leader(&self, failure: Failure, leader: Option<u64>) -> Failure {
        let address = leader.and_then(|id| self.inner.node.client_address(id));
        failure.with_leader(leader, address)
    }
}

impl Edge<ClusterNode> {
    /// Meets every series of this replica, so that one of another key is known before its first code is asked for.
    ///
    /// # Errors
    /// The ledger could not be read.
    pub async fn meet_all_series(&self) -> Result<(), Failure> {
        let (_, all) = self.read(Consistency::Stale, limits::SERIAL_KEY_INTERVAL, |view| view.all_series()).await?;
        for series in all {
            // A mismatch is kept, and told by `series_of_other_keys`.
            let _ = self.learn(&series);
        }
        Ok(())
    }
}

/// The ledger answered another kind of command than was asked: a bug of ours, never a refusal.
fn unanswered() -> Failure {
    Failure::new(Reason::OutcomeUnknown, "the ledger's answer does not fit the command")
}

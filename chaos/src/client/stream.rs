//! A portal's stream to one node: many buyers' commands, in batches, without waiting for one another.
//!
//! One task owns the stream and everything that was sent on it, so that each command gets exactly one outcome: its answer, or
//! unknown when the answer is late or the stream breaks. A command that found the stream down was not sent, and is not in the
//! history.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::{Answer, Beside, Call, NodeAddress, channel, classify, convert, record_invoke};
use crate::history::{HistoryClosed, OpId, Outcome, Record, Recorder, Return};
use crate::limits;
use crate::proto::v1::issuance_service_client::IssuanceServiceClient;
use crate::proto::v1::{CommandResult, SubmitBatchRequest, SubmitBatchResponse, command_result};

/// Batches on their way to the server.
const OUTBOUND_BATCHES_MAX: usize = 256;

struct Item {
    call: Call,
    beside: Option<Beside>,
    answer: oneshot::Sender<Result<Answer, HistoryClosed>>,
}

/// A command that was sent and has no outcome yet.
struct Waiting {
    op: OpId,
    answer: oneshot::Sender<Result<Answer, HistoryClosed>>,
}

pub(super) struct Stream {
    queue: mpsc::Sender<Item>,
}

impl Stream {
    pub(super) fn open(address: &NodeAddress, recorder: Recorder, attempt_deadline: Duration) -> Self {
        let (queue, items) = mpsc::channel(limits::STREAM_QUEUE_MAX);
        let client = IssuanceServiceClient::new(channel(&address.client)).max_decoding_message_size(limits::MESSAGE_BYTES_MAX);
        tokio::spawn(run(client, items, Sender { recorder, attempt_deadline, next_batch: u64::from(address.node) << 40 }));
        Self { queue }
    }

    pub(super) async fn submit(&self, call: Call, beside: Option<Beside>) -> Result<Answer, HistoryClosed> {
        let (answer, outcome) = oneshot::channel();
        match self.queue.try_send(Item { call, beside, answer }) {
            Ok(()) => outcome.await.unwrap_or(Err(HistoryClosed)),
            Err(mpsc::error::TrySendError::Full(_)) => Ok(Answer::NotSent),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(HistoryClosed),
        }
    }
}

/// Keeps a stream open while the drill runs; ends when the history is closed or nobody can submit any more.
async fn run(mut client: IssuanceServiceClient<Channel>, mut items: mpsc::Receiver<Item>, mut sender: Sender) {
    loop {
        let (outbound, batches) = mpsc::channel(OUTBOUND_BATCHES_MAX);
        let opening = client.submit_stream(ReceiverStream::new(batches));
        let opened = tokio::time::timeout(limits::CONNECT_DEADLINE, opening).await;
        if let Ok(Ok(inbound)) = opened {
            let ended = serve(&mut items, outbound, inbound.into_inner(), &mut sender).await;
            if ended.is_err() || items.is_closed() {
                return;
            }
        }
        if !turn_away(&mut items).await {
            return;
        }
    }
}

/// While the stream is down: whoever comes is told at once. False when nobody can come any more.
async fn turn_away(items: &mut mpsc::Receiver<Item>) -> bool {
    let until = Instant::now() + limits::STREAM_REOPEN_PAUSE;
    loop {
        match tokio::time::timeout_at(until, items.recv()).await {
            // A caller that is gone needs no answer.
            Ok(Some(item)) => drop(item.answer.send(Ok(Answer::NotSent))),
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}

async fn serve(
    items: &mut mpsc::Receiver<Item>,
    outbound: mpsc::Sender<SubmitBatchRequest>,
    mut inbound: Streaming<SubmitBatchResponse>,
    sender: &mut Sender,
) -> Result<(), HistoryClosed> {
    let mut sent = Sent::default();
    let mut batch: Vec<Item> = Vec::new();
    let mut send_at = None;
    loop {
        let next_deadline = sent.deadlines.front().map(|(at, _)| *at);
        tokio::select! {
            biased;
            message = inbound.message() => match message {
                Ok(Some(response)) => sent.answered(response, sender)?,
                Ok(None) | Err(_) => break,
            },
            () = at(next_deadline) => sent.give_up_overdue(sender)?,
            () = at(send_at) => {
                send_at = None;
                if !sender.send(std::mem::take(&mut batch), &outbound, &mut sent)? { break }
            }
            item = items.recv() => match item {
                None => break,
                Some(item) => {
                    batch.push(item);
                    send_at = if batch.len() >= limits::STREAM_BATCH_MAX {
                        Some(Instant::now())
                    } else {
                        send_at.or_else(|| Some(Instant::now() + limits::STREAM_LINGER))
                    };
                }
            },
        }
    }
    for item in batch {
        drop(item.answer.send(Ok(Answer::NotSent)));
    }
    sent.give_up_all("the stream broke", sender)
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

struct Sender {
    recorder: Recorder,
    attempt_deadline: Duration,
    /// Starts at a number of its own for each node: batch numbers are unique in a run.
    next_batch: u64,
}

impl Sender {
    /// False if the stream is gone: nothing was sent.
    fn send(
        &mut self,
        items: Vec<Item>,
        outbound: &mpsc::Sender<SubmitBatchRequest>,
        sent: &mut Sent,
    ) -> Result<bool, HistoryClosed> {
        let Ok(permit) = outbound.try_reserve() else {
            let is_gone = outbound.is_closed();
            for item in items {
                drop(item.answer.send(Ok(Answer::NotSent)));
            }
            return Ok(!is_gone);
        };
        self.next_batch += 1;
        let mut request = SubmitBatchRequest { batch_id: self.next_batch, commands: Vec::with_capacity(items.len()) };
        let mut waiting = Vec::with_capacity(items.len());
        for item in items {
            let op = self.recorder.next_op();
            record_invoke(&self.recorder, op, &item.call, self.next_batch, item.beside)?;
            request.commands.push(convert::command(&item.call.request));
            waiting.push(Waiting { op, answer: item.answer });
        }
        permit.send(request);
        sent.waiting.insert(self.next_batch, waiting);
        sent.deadlines.push_back((Instant::now() + self.attempt_deadline, self.next_batch));
        Ok(true)
    }

    fn settle(&self, waiting: Waiting, outcome: Outcome) -> Result<(), HistoryClosed> {
        let record = Return { op: waiting.op, at_ns: self.recorder.now_ns(), outcome: outcome.clone() };
        self.recorder.record(Record::Return(record))?;
        drop(waiting.answer.send(Ok(Answer::Sent(waiting.op, outcome))));
        Ok(())
    }
}

/// What was sent on this stream and not answered.
#[derive(Default)]
struct Sent {
    waiting: BTreeMap<u64, Vec<Waiting>>,
    /// In the order of sending, which is that of the deadlines.
    deadlines: VecDeque<(Instant, u64)>,
    /// Given up, still listened for.
    late: BTreeMap<u64, Vec<OpId>>,
}

impl Sent {
    fn answered(&mut self, response: SubmitBatchResponse, sender: &Sender) -> Result<(), HistoryClosed> {
        if let Some(ops) = self.late.remove(&response.batch_id) {
            for (op, result) in ops.into_iter().zip(response.results) {
                let late = Return { op, at_ns: sender.recorder.now_ns(), outcome: outcome(Some(result)) };
                sender.recorder.record(Record::LateReturn(late))?;
            }
            return Ok(());
        }
        let mut results = response.results.into_iter();
        for waiting in self.waiting.remove(&response.batch_id).unwrap_or_default() {
            sender.settle(waiting, outcome(results.next()))?;
        }
        Ok(())
    }

    fn give_up_overdue(&mut self, sender: &Sender) -> Result<(), HistoryClosed> {
        let now = Instant::now();
        while let Some((_, batch)) = self.deadlines.front().copied().filter(|(at, _)| *at <= now) {
            self.deadlines.pop_front();
            let Some(overdue) = self.waiting.remove(&batch) else { continue };
            self.late.insert(batch, overdue.iter().map(|waiting| waiting.op).collect());
            let why = format!("no answer within {} ms", sender.attempt_deadline.as_millis());
            for waiting in overdue {
                sender.settle(waiting, Outcome::Unknown { why: why.as_str().into() })?;
            }
        }
        Ok(())
    }

    fn give_up_all(self, why: &str, sender: &Sender) -> Result<(), HistoryClosed> {
        for waiting in self.waiting.into_values().flatten() {
            sender.settle(waiting, Outcome::Unknown { why: why.into() })?;
        }
        Ok(())
    }
}

fn outcome(result: Option<CommandResult>) -> Outcome {
    match result.and_then(|result| result.result) {
        Some(command_result::Result::PlaceOrder(response)) => convert::placed(response),
        Some(command_result::Result::RecordPayment(response)) => convert::recorded(response),
        Some(command_result::Result::CancelOrder(response)) => convert::cancelled(response),
        Some(command_result::Result::Error(error)) => classify::outcome_of_command(&error),
        None => Outcome::Unknown { why: "the batch was answered without a result for this command".into() },
    }
}

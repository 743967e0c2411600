//! A portal's stream to one node: many buyers' commands, in batches, without waiting for one another.
//!
//! One task owns the stream and everything that was sent on it, so that each command gets exactly one outcome: its answer, or
//! unknown when the answer is late or the stream breaks. A command that found the stream down was not sent, and is not in the
//! history.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::{Aftermath, Answer, Beside, Call, NodeAddress, channel, classify, convert, record_invoke};
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
    pub(super) fn open(
        address: &NodeAddress,
        recorder: Recorder,
        attempt_deadline: Duration,
        aftermath: Arc<Aftermath>,
    ) -> Self {
        let (queue, items) = mpsc::channel(limits::STREAM_QUEUE_MAX);
        let channel = channel(&address.client, &address.door);
        let client = IssuanceServiceClient::new(channel).max_decoding_message_size(limits::MESSAGE_BYTES_MAX);
        let sender =
            Sender { recorder, attempt_deadline, aftermath, node: address.node, next_batch: u64::from(address.node) << 40 };
        tokio::spawn(run(client, items, sender));
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
        let (next_deadline, next_forgotten) = (sent.next_deadline(), sent.next_forgotten());
        tokio::select! {
            biased;
            message = inbound.message() => match message {
                Ok(Some(response)) => sent.answered(response, sender)?,
                Ok(None) | Err(_) => break,
            },
            () = at(next_deadline) => sent.give_up_overdue(Instant::now(), sender)?,
            () = at(next_forgotten) => sent.forget_old(Instant::now()),
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
    aftermath: Arc<Aftermath>,
    node: u16,
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

    fn record_late(&self, op: OpId, result: CommandResult) -> Result<(), HistoryClosed> {
        let late = Return { op, at_ns: self.recorder.now_ns(), outcome: outcome(Some(result)) };
        self.recorder.record(Record::LateReturn(late))
    }

    fn note_oddity(&self, what: &str) {
        self.aftermath.note_oddity(format!("node {}: {what}", self.node));
    }

    fn settle(&self, waiting: Waiting, outcome: Outcome) -> Result<(), HistoryClosed> {
        let record = Return { op: waiting.op, at_ns: self.recorder.now_ns(), outcome: outcome.clone() };
        self.recorder.record(Record::Return(record))?;
        drop(waiting.answer.send(Ok(Answer::Sent(waiting.op, outcome))));
        Ok(())
    }
}

/// What was sent on this stream.
#[derive(Default)]
struct Sent {
    /// Neither answered nor given up.
    waiting: BTreeMap<u64, Vec<Waiting>>,
    /// In the order of sending, which is that of the deadlines.
    deadlines: VecDeque<(Instant, u64)>,
    /// Answered or given up within [`limits::LATE_ANSWER_MAX`]: what comes now is a sighting.
    settled: BTreeMap<u64, Settled>,
    /// When to forget the settled ones, in that order.
    forget: VecDeque<(Instant, u64)>,
}

struct Settled {
    ops: Vec<OpId>,
    is_answered: bool,
    /// While a late answer is still expected.
    listened_for: Option<OwnedSemaphorePermit>,
}

impl Sent {
    fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|(at, _)| *at)
    }

    fn next_forgotten(&self) -> Option<Instant> {
        self.forget.front().map(|(at, _)| *at)
    }

    fn settle(&mut self, batch: u64, settled: Settled) {
        self.settled.insert(batch, settled);
        self.forget.push_back((Instant::now() + limits::LATE_ANSWER_MAX, batch));
    }

    fn answered(&mut self, response: SubmitBatchResponse, sender: &Sender) -> Result<(), HistoryClosed> {
        let batch = response.batch_id;
        let mut results = response.results.into_iter();
        if let Some(waiting) = self.waiting.remove(&batch) {
            let ops = waiting.iter().map(|waiting| waiting.op).collect();
            for waiting in waiting {
                sender.settle(waiting, outcome(results.next()))?;
            }
            self.settle(batch, Settled { ops, is_answered: true, listened_for: None });
        } else if let Some(settled) = self.settled.get_mut(&batch) {
            if settled.is_answered {
                sender.note_oddity(&format!("batch {batch} was answered twice"));
            }
            settled.is_answered = true;
            drop(settled.listened_for.take());
            for (op, result) in settled.ops.iter().zip(&mut results) {
                sender.record_late(*op, result)?;
            }
        } else {
            sender.note_oddity(&format!("an answer came to batch {batch}, which was not sent, or given up long ago"));
            return Ok(());
        }
        match results.count() {
            0 => {}
            more => sender.note_oddity(&format!("batch {batch} was answered with {more} results more than it has commands")),
        }
        Ok(())
    }

    fn give_up_overdue(&mut self, now: Instant, sender: &Sender) -> Result<(), HistoryClosed> {
        while let Some((_, batch)) = self.deadlines.front().copied().filter(|(at, _)| *at <= now) {
            self.deadlines.pop_front();
            let Some(overdue) = self.waiting.remove(&batch) else { continue };
            let ops = overdue.iter().map(|waiting| waiting.op).collect();
            self.settle(batch, Settled { ops, is_answered: false, listened_for: sender.aftermath.late.enter() });
            let why = format!("no answer within {} ms", sender.attempt_deadline.as_millis());
            for waiting in overdue {
                sender.settle(waiting, Outcome::Unknown { why: why.as_str().into() })?;
            }
        }
        Ok(())
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((_, batch)) = self.forget.front().copied().filter(|(at, _)| *at <= now) {
            self.forget.pop_front();
            self.settled.remove(&batch);
        }
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
        Some(command_result::Result::VoidOrder(response)) => convert::voided(response),
        Some(command_result::Result::StampDocument(response)) => convert::stamped(response),
        Some(command_result::Result::Error(error)) => classify::outcome_of_command(&error),
        None => Outcome::Unknown { why: "the batch was answered without a result for this command".into() },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::client::Way;
    use crate::crowd::Crowd;
    use crate::history::{HistoryReader, HistoryWriter, Purpose, Request, RunClock};

    /// A stream that sent one batch of two commands, and its history.
    struct Fixture {
        sender: Sender,
        sent: Sent,
        batch: u64,
        writer: HistoryWriter,
        folder: tempfile::TempDir,
        outbound: mpsc::Receiver<SubmitBatchRequest>,
    }

    fn one_batch_sent(attempt_deadline: Duration) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let (writer, recorder) = HistoryWriter::create(&folder.path().join("history.bin"), RunClock::start()).unwrap();
        let aftermath = Arc::new(Aftermath { late: Crowd::new(8), oddities: Mutex::default() });
        let mut sender = Sender { recorder, attempt_deadline, aftermath, node: 2, next_batch: 0 };
        let (outbound_sender, outbound) = mpsc::channel(1);
        let mut sent = Sent::default();
        let item = |order: u8| Item {
            call: Call {
                session: 1,
                intended_ns: 0,
                node: 2,
                purpose: Purpose::Traffic,
                request: Request::CancelOrder { order: [order; 16] },
                way: Way::Stream,
            },
            beside: None,
            answer: oneshot::channel().0,
        };
        assert_eq!(sender.send(vec![item(1), item(2)], &outbound_sender, &mut sent), Ok(true));
        Fixture { sender, sent, batch: 1, writer, folder, outbound }
    }

    impl Fixture {
        fn answer(&mut self, batch_id: u64, results: usize) {
            let response = SubmitBatchResponse { batch_id, results: vec![CommandResult::default(); results] };
            self.sent.answered(response, &self.sender).unwrap();
        }

        fn oddities(&self) -> Vec<String> {
            self.sender.aftermath.oddities.lock().unwrap().clone()
        }

        /// How many answers and how many late answers were recorded.
        fn answers(self) -> (usize, usize) {
            let Self { sender, writer, folder, outbound, sent, .. } = self;
            drop((sender, outbound, sent));
            writer.finish().unwrap();
            let records: Vec<Record> =
                HistoryReader::open(&folder.path().join("history.bin")).unwrap().collect::<Result<_, _>>().unwrap();
            let count = |is: fn(&Record) -> bool| records.iter().filter(|record| is(record)).count();
            (count(|record| matches!(record, Record::Return(_))), count(|record| matches!(record, Record::LateReturn(_))))
        }
    }

    #[tokio::test]
    async fn a_second_answer_to_a_batch_is_a_sighting_and_an_oddity() {
        let mut fixture = one_batch_sent(Duration::from_secs(1));
        fixture.answer(fixture.batch, 2);
        assert!(fixture.oddities().is_empty());
        fixture.answer(fixture.batch, 2);
        assert_eq!(fixture.oddities(), ["node 2: batch 1 was answered twice"]);
        assert_eq!(fixture.answers(), (2, 2));
    }

    #[tokio::test]
    async fn results_beyond_the_commands_and_unknown_batches_are_oddities() {
        let mut fixture = one_batch_sent(Duration::from_secs(1));
        fixture.answer(fixture.batch, 3);
        fixture.answer(77, 1);
        let expected = ["1 results more than it has commands", "an answer came to batch 77"];
        let oddities = fixture.oddities();
        assert!(oddities.iter().zip(expected).all(|(oddity, part)| oddity.contains(part)), "{oddities:?}");
        assert_eq!(oddities.len(), 2);
    }

    #[tokio::test]
    async fn a_batch_that_is_given_up_is_listened_for_and_then_forgotten() {
        let mut fixture = one_batch_sent(Duration::from_millis(100));
        let overdue = fixture.sent.next_deadline().unwrap();
        fixture.sent.give_up_overdue(overdue, &fixture.sender).unwrap();
        assert!(fixture.sent.next_deadline().is_none());
        let forgotten = fixture.sent.next_forgotten().expect("it is listened for");
        fixture.sent.forget_old(forgotten);
        assert!(fixture.sent.settled.is_empty() && fixture.sent.next_forgotten().is_none());
        fixture.sender.aftermath.late.wait_empty().await;
        assert_eq!(fixture.answers(), (2, 0));
    }

    #[tokio::test]
    async fn a_late_answer_is_a_sighting_and_no_oddity() {
        let mut fixture = one_batch_sent(Duration::ZERO);
        fixture.sent.give_up_overdue(Instant::now(), &fixture.sender).unwrap();
        fixture.answer(fixture.batch, 2);
        assert!(fixture.oddities().is_empty());
        fixture.sender.aftermath.late.wait_empty().await;
        assert_eq!(fixture.answers(), (2, 2));
    }
}

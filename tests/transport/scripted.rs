//! What a healthy cluster does not show: a node whose answers are scripted, behind the real client port.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use stampede::consensus::{Consistency, Read, ReadError, RetryReason, SubmitError, Submitted, UnknownReason};
use stampede::domain::serial_code::{self, SerialKey};
use stampede::domain::{
    Change, Command, DocumentDigest, KeyCheck, LedgerTime, LedgerView, MemoryLedger, Order, OrderId, Outcome, Payment,
    PaymentName, PaymentOutcome, Place, Policy, Quantity, Refund, Reply, Rupiah, SerialRange, Series, SeriesCode, StampNumber,
    Stamping, Totals,
};
use stampede::limits;
use stampede::proto::v1;
use stampede::proto::v1::command_result::Result as Answer;
use stampede::proto::v1::issuance_service_client::IssuanceServiceClient;
use stampede::storage::StorageError;
use stampede::transport::{CallMetrics, Edge, LedgerNode, Signals, serve_client};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_types::StatusExt;

use crate::support::{channel, effect, info, key};

/// Longer than any deadline of these tests.
const STALL: Duration = Duration::from_secs(3);

type Script = Arc<dyn Fn(&[Command]) -> Result<Submitted, SubmitError> + Send + Sync>;

#[derive(Clone)]
struct ScriptedNode {
    script: Script,
    takes: Duration,
    view: ScriptedView,
    /// Commands that are under way now, and the most that ever were.
    commands: Arc<[AtomicUsize; 2]>,
    reads: Arc<AtomicUsize>,
}

#[derive(Clone, Default)]
struct ScriptedView {
    ledger: MemoryLedger,
    /// How long each look at an order takes.
    stall: Duration,
}

impl LedgerView for ScriptedView {
    type Error = StorageError;

    fn series(&self, code: SeriesCode) -> Result<Option<Series>, StorageError> {
        Ok(self.ledger.peek_series(code).cloned())
    }

    fn order(&self, id: OrderId) -> Result<Option<Order>, StorageError> {
        std::thread::sleep(self.stall);
        Ok(self.ledger.peek_order(id).cloned())
    }

    fn payment(&self, name: &PaymentName) -> Result<Option<Payment>, StorageError> {
        Ok(self.ledger.peek_payment(name).cloned())
    }

    fn refund(&self, payment: &PaymentName) -> Result<Option<Refund>, StorageError> {
        Ok(self.ledger.peek_refund(payment).cloned())
    }

    fn stamping(&self, _order: OrderId, _document: DocumentDigest) -> Result<Option<Stamping>, StorageError> {
        Ok(None)
    }

    fn policy(&self, _version: u32) -> Result<Option<Policy>, StorageError> {
        Ok(None)
    }

    fn document(&self, _series: SeriesCode, _number: StampNumber) -> Result<Option<DocumentDigest>, StorageError> {
        Ok(None)
    }

    fn refunds_due(&self, _after: Option<Place>, _limit: usize) -> Result<Vec<Refund>, StorageError> {
        Ok(Vec::new())
    }

    fn totals(&self) -> Result<Totals, StorageError> {
        Ok(Totals::default())
    }

    fn expiring(&self, _until: LedgerTime, _limit: usize) -> Result<Vec<Order>, StorageError> {
        Ok(Vec::new())
    }

    fn holder(&self, _series: SeriesCode, _number: StampNumber) -> Result<Option<OrderId>, StorageError> {
        Ok(None)
    }
}

impl LedgerNode for ScriptedNode {
    type View = ScriptedView;

    async fn submit(&self, commands: Vec<Command>, _within: Duration) -> Result<Submitted, SubmitError> {
        let [now, most] = &*self.commands;
        most.fetch_max(now.fetch_add(commands.len(), SeqCst) + commands.len(), SeqCst);
        tokio::time::sleep(self.takes).await;
        now.fetch_sub(commands.len(), SeqCst);
        (self.script)(&commands)
    }

    async fn read(&self, _consistency: Consistency, _within: Duration) -> Result<Read<ScriptedView>, ReadError> {
        self.reads.fetch_add(1, SeqCst);
        Ok(Read { view: self.view.clone(), index: 7, term: 3 })
    }

    fn client_address(&self, node_id: u64) -> Option<String> {
        Some(format!("10.0.0.{node_id}:7700"))
    }
}

fn series_code() -> SeriesCode {
    SeriesCode::new("AAA").unwrap()
}

/// The series `AAA`, opened with the key of this check.
fn opened_with(key_check: KeyCheck) -> ScriptedView {
    let series = Series {
        code: series_code(),
        first_number: StampNumber::new(1).unwrap(),
        capacity: limits::SERIES_CAPACITY_MAX,
        face_value: Rupiah::from_idr(10_000),
        payment_window_ms: 60_000,
        key_check,
        issued: 0,
        voided: 0,
        reserved: 0,
        opened: Place { log_index: 1, offset: 0 },
    };
    ScriptedView { ledger: [Change::Series(series)].into_iter().collect(), stall: Duration::ZERO }
}

fn node(script: impl Fn(&[Command]) -> Result<Submitted, SubmitError> + Send + Sync + 'static) -> ScriptedNode {
    let view = opened_with(key().key_check());
    ScriptedNode { script: Arc::new(script), takes: Duration::ZERO, view, commands: Arc::default(), reads: Arc::default() }
}

/// Applies every payment to a range of `quantity` stamps.
fn issues(quantity: u32) -> impl Fn(&[Command]) -> Result<Submitted, SubmitError> + Send + Sync + 'static {
    move |commands| {
        let range = SerialRange {
            series: series_code(),
            first: StampNumber::new(1).unwrap(),
            quantity: Quantity::new(quantity).unwrap(),
        };
        let reply = |(_, offset)| Reply {
            place: Place { log_index: 9, offset },
            replayed: false,
            outcome: Outcome::PaymentRecorded(PaymentOutcome::Applied(range)),
        };
        Ok(Submitted { term: 3, replies: commands.iter().zip(0..).map(reply).collect() })
    }
}

/// The port lives as long as the sender.
async fn serve(node: ScriptedNode) -> (IssuanceServiceClient<Channel>, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stop_told) = watch::channel(false);
    let signals = Signals { serving: watch::channel(true).1, stop: stop_told };
    let edge = Edge::start(node, key(), Arc::new(|_| ())).unwrap();
    tokio::spawn(serve_client(listener, edge, CallMetrics::new(), signals));
    (IssuanceServiceClient::new(channel(&address).await), stop)
}

const ID: &str = "0192f0c1-2345-7abc-8def-0123456789ab";

fn payment() -> v1::RecordPaymentRequest {
    v1::RecordPaymentRequest { gateway: "midtrans".into(), payment_id: "p-1".into(), order_id: ID.into(), amount_idr: 10_000 }
}

fn batch(batch_id: u64, commands: usize) -> v1::SubmitBatchRequest {
    let command = v1::Command { command: Some(v1::command::Command::RecordPayment(payment())) };
    v1::SubmitBatchRequest { batch_id, commands: vec![command; commands] }
}

fn serials(result: &v1::CommandResult) -> &v1::SerialRange {
    let Some(Answer::RecordPayment(paid)) = &result.result else { panic!("{result:?}") };
    paid.serials.as_ref().unwrap()
}

#[tokio::test]
async fn what_consensus_says_reaches_the_caller_with_code_effect_leader_and_retry_time() {
    let leader = Some(3);
    let retry = |reason| SubmitError::Retry { leader, reason };
    let unknown = |reason| SubmitError::Unknown { leader, reason };
    let rows = [
        (SubmitError::Retry { leader: None, reason: RetryReason::NoLeader }, Code::Unavailable, "NO_LEADER", "retry", 50),
        (retry(RetryReason::LeaderUnreachable), Code::Unavailable, "LEADER_UNREACHABLE", "retry", 50),
        (retry(RetryReason::Overloaded), Code::ResourceExhausted, "OVERLOADED", "retry", 250),
        (retry(RetryReason::DiskLow), Code::ResourceExhausted, "DISK_LOW", "retry", 1_000),
        (retry(RetryReason::NotInTime), Code::DeadlineExceeded, "NOT_IN_TIME", "retry", 50),
        (retry(RetryReason::Draining), Code::Unavailable, "DRAINING", "retry", 50),
        (unknown(UnknownReason::Deadline), Code::DeadlineExceeded, "OUTCOME_UNKNOWN", "unknown", 0),
        (unknown(UnknownReason::LeaderChanged), Code::Unavailable, "LEADER_CHANGED", "unknown", 0),
        (SubmitError::Stopped("disk".into()), Code::Unavailable, "NODE_STOPPED", "unknown", 0),
    ];
    for (error, code, reason, says, retry_ms) in rows {
        let knows_leader = !matches!(error, SubmitError::Stopped(_) | SubmitError::Retry { leader: None, .. });
        let (mut client, _port) = serve(node(move |_| Err(error.clone()))).await;
        let status = client.record_payment(payment()).await.unwrap_err();
        assert_eq!((status.code(), info(&status).reason.as_str(), effect(&status).as_str()), (code, reason, says));
        let retry = status.get_details_retry_info().and_then(|retry| retry.retry_delay);
        assert_eq!(retry.unwrap_or_default(), Duration::from_millis(retry_ms), "{reason}");
        let address = info(&status).metadata.get("leader_address").cloned().unwrap_or_default();
        assert_eq!(address, if knows_leader { "10.0.0.3:7700" } else { "" }, "{reason}");

        let answer = client.submit_batch(batch(1, 1)).await.unwrap().into_inner();
        let Some(Answer::Error(error)) = &answer.results[0].result else { panic!("{answer:?}") };
        assert_eq!((error.code, error.reason.as_str()), (code as i32, reason));
        assert_eq!(error.effect().as_str_name(), format!("EFFECT_{}", says.to_uppercase()));
        assert_eq!((u64::from(error.retry_after_ms), error.leader_address.as_str()), (retry_ms, address.as_str()), "{reason}");
        assert_eq!(error.leader_id, if knows_leader { 3 } else { 0 });
    }
}

fn with_another_key() -> ScriptedNode {
    let other = SerialKey::from_bytes([8; 32]);
    ScriptedNode { view: opened_with(other.key_check()), ..node(issues(2)) }
}

#[tokio::test]
async fn a_write_that_was_done_and_cannot_be_printed_is_unknown_and_keeps_its_receipt() {
    let (mut client, _port) = serve(with_another_key()).await;
    let status = client.record_payment(payment()).await.unwrap_err();
    assert_eq!((status.code(), info(&status).reason.as_str()), (Code::Internal, "SERIAL_KEY_MISMATCH"));
    assert_eq!((effect(&status).as_str(), info(&status).metadata["log_index"].as_str()), ("unknown", "9"));
    let answer = client.submit_batch(batch(1, 2)).await.unwrap().into_inner();
    let Some(Answer::Error(error)) = &answer.results[1].result else { panic!("{answer:?}") };
    assert_eq!((error.reason.as_str(), error.effect()), ("SERIAL_KEY_MISMATCH", v1::Effect::Unknown));
    assert_eq!(error.receipt.unwrap().position, Some(v1::Position { log_index: 9, offset: 1 }));
}

#[tokio::test]
async fn a_node_with_another_key_calls_no_genuine_code_forged_and_no_forged_code_genuine() {
    let number = StampNumber::new(5).unwrap();
    let made_with = |bytes| serial_code::encode(&SerialKey::from_bytes(bytes), series_code(), number).to_string();
    let (mut client, _port) = serve(with_another_key()).await;
    // This node's key, which the series was not opened with, then the series' own: the first look at the series tells.
    for code in [made_with([7; 32]), made_with([8; 32])] {
        let request = v1::VerifySerialRequest { code, ..Default::default() };
        let status = client.verify_serial(request).await.unwrap_err();
        assert_eq!(info(&status).reason, "SERIAL_KEY_MISMATCH");
    }
}

#[tokio::test]
async fn a_made_up_code_is_told_without_a_read_whether_there_is_such_a_series_or_not() {
    let there = node(issues(2));
    let reads = there.reads.clone();
    let (mut client, _port) = serve(there).await;
    for series in [series_code(), SeriesCode::new("ZZZ").unwrap()] {
        let made_up = serial_code::encode(&SerialKey::from_bytes([8; 32]), series, StampNumber::new(5).unwrap());
        let request = v1::VerifySerialRequest { code: made_up.to_string(), ..Default::default() };
        let answer = client.verify_serial(request).await.unwrap().into_inner();
        assert_eq!((answer.status(), answer.mark), (v1::SerialStatus::Forged, None));
        assert_eq!(reads.load(SeqCst), 0);
    }
    let genuine = serial_code::encode(&key(), series_code(), StampNumber::new(5).unwrap());
    let request = v1::VerifySerialRequest { code: genuine.to_string(), ..Default::default() };
    assert_eq!(client.verify_serial(request).await.unwrap().into_inner().status(), v1::SerialStatus::Unknown);
    assert_eq!(reads.load(SeqCst), 1);
}

#[tokio::test]
async fn the_codes_of_an_answer_are_bounded_and_its_numbers_always_there() {
    for (quantity, commands, printed) in [(10_000, 3, 2), (1_000, 1_000, 20), (2, 1_000, 1_000)] {
        let (mut client, _port) = serve(node(issues(quantity))).await;
        // A client as the library makes it reads it: 4 MiB.
        let answer = client.submit_batch(batch(1, commands)).await.unwrap().into_inner();
        for (at, result) in answer.results.iter().enumerate() {
            let range = serials(result);
            assert_eq!((range.first_number, range.quantity), (1, quantity));
            assert_eq!(range.codes.len(), if at < printed { quantity as usize } else { 0 }, "payment {at} of {commands}");
        }
    }
}

#[tokio::test]
async fn printing_many_codes_lets_other_calls_have_their_turn() {
    let (client, _port) = serve(node(issues(10_000))).await;
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = turns.clone();
    // This test runs on one thread: what does not yield would leave no turn to this task.
    let other = tokio::spawn(async move {
        loop {
            counted.fetch_add(1, SeqCst);
            tokio::task::yield_now().await;
        }
    });
    let before = turns.load(SeqCst);
    client.clone().submit_batch(batch(1, 2)).await.unwrap();
    other.abort();
    let codes_printed_in_turns = limits::ANSWER_CODES_MAX / limits::CODES_PRINTED_AT_ONCE;
    assert!(turns.load(SeqCst) - before >= codes_printed_in_turns as usize);
}

#[tokio::test]
async fn a_disk_that_stalls_holds_no_read_beyond_its_deadline() {
    let mut stalled = node(issues(1));
    stalled.view.stall = STALL;
    let (mut client, _port) = serve(stalled).await;
    let until = Instant::now() + STALL;
    let status = loop {
        let mut request = Request::new(v1::GetOrderRequest { order_id: ID.into(), consistency: 0 });
        request.set_timeout(Duration::from_millis(300));
        let status = client.get_order(request).await.unwrap_err();
        // On a machine that does much else the client's own clock may be first.
        if status.get_details_error_info().is_some() {
            break status;
        }
        assert!(Instant::now() < until, "{status:?}");
    };
    assert_eq!((info(&status).reason.as_str(), effect(&status).as_str()), ("OVERLOADED", "retry"));
}

#[tokio::test]
async fn a_stream_has_no_more_commands_under_way_than_a_node_takes_from_one() {
    let slow = ScriptedNode { takes: Duration::from_millis(100), ..node(issues(1)) };
    let commands = slow.commands.clone();
    let (mut client, _port) = serve(slow).await;
    let batches: Vec<_> = (0..25).map(|number| batch(number, limits::BATCH_COMMANDS_MAX)).collect();
    let mut answers = client.submit_stream(tokio_stream::iter(batches)).await.unwrap().into_inner();
    let mut answered = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        assert_eq!(answer.results.len(), limits::BATCH_COMMANDS_MAX);
        answered += 1;
    }
    assert_eq!(answered, 25);
    let most = commands[1].load(SeqCst);
    assert!(most <= limits::STREAM_COMMANDS_IN_FLIGHT_MAX, "{most}");
    assert!(most > limits::BATCH_COMMANDS_MAX, "they are pipelined");
}

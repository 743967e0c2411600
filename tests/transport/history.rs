//! The audit record over the wire: exported whole, and watched as events.

use std::time::{Duration, Instant};

use stampede::limits;
use stampede::proto::admin::admin_service_client::AdminServiceClient;
use stampede::proto::admin::ledger_event::Event;
use stampede::proto::admin::{
    ExportAuditRequest, OpenSeriesRequest, SettleRefundRequest, WatchLedgerRequest, WatchLedgerResponse,
};
use stampede::proto::v1;
use stampede::proto::v1::command::Command;
use stampede::proto::v1::{PaymentOutcome, PlaceOrderRequest, RecordPaymentRequest, StampDocumentRequest, VoidOrderRequest};
use stampede::storage::audit::Replay;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::support::{TestNode, info, series, start_with_series};

const SOON: Duration = Duration::from_secs(20);

fn id(number: u32) -> String {
    format!("0192f0c1-2345-7abc-8def-{number:012}")
}

/// Of two stamps.
fn order(number: u32) -> PlaceOrderRequest {
    PlaceOrderRequest { order_id: id(number), account_id: "portal-1".into(), series_code: "AAA".into(), quantity: 2 }
}

fn payment(name: &str, order: u32) -> RecordPaymentRequest {
    RecordPaymentRequest { gateway: "midtrans".into(), payment_id: name.into(), order_id: id(order), amount_idr: 20_000 }
}

async fn watch(node: &mut TestNode, from_index: u64) -> Result<Streaming<WatchLedgerResponse>, Status> {
    watch_after(node, from_index, Vec::new()).await
}

async fn watch_after(node: &mut TestNode, from_index: u64, after: Vec<u8>) -> Result<Streaming<WatchLedgerResponse>, Status> {
    node.admin.watch_ledger(WatchLedgerRequest { from_index, after }).await.map(tonic::Response::into_inner)
}

/// The next answer with events.
async fn next(events: &mut Streaming<WatchLedgerResponse>) -> WatchLedgerResponse {
    loop {
        let answer = timeout(SOON, events.message()).await.unwrap().unwrap().unwrap();
        if answer.entry.is_some() {
            return answer;
        }
    }
}

fn only_event(answer: &WatchLedgerResponse) -> Event {
    let [event] = answer.entry.as_ref().unwrap().events.as_slice() else { panic!("one event: {answer:?}") };
    event.event.clone().unwrap()
}

fn metadata(status: &Status, key: &str) -> Option<String> {
    info(status).metadata.get(key).cloned()
}

#[tokio::test]
async fn events_come_in_order_and_go_on_where_a_reader_left_off() {
    let mut node = start_with_series().await;
    let mut events = watch(&mut node, 0).await.unwrap();
    assert!(matches!(only_event(&next(&mut events).await), Event::SeriesOpened(terms) if terms.series_code == "AAA"));

    node.client.place_order(order(1)).await.unwrap();
    // Neither a replay nor a refusal is an event.
    node.client.place_order(order(1)).await.unwrap();
    node.client.void_order(VoidOrderRequest { order_id: id(1) }).await.unwrap_err();
    node.client.record_payment(payment("p1", 1)).await.unwrap();
    node.client.record_payment(payment("p2", 1)).await.unwrap();
    let document = StampDocumentRequest { order_id: id(1), document_sha256: vec![7; 32] };
    let stamped = node.client.stamp_document(document).await.unwrap().into_inner();
    let (gateway, payment_id) = ("midtrans".to_owned(), "p2".to_owned());
    let settle =
        SettleRefundRequest { gateway, payment_id, amount_idr: payment("p2", 1).amount_idr, reference: "t1".to_owned() };
    node.admin.settle_refund(settle).await.unwrap();

    let placed = next(&mut events).await;
    assert!(matches!(only_event(&placed), Event::OrderPlaced(placed) if placed.order_id == id(1)));
    let paid = only_event(&next(&mut events).await);
    let Event::PaymentRecorded(paid) = paid else { panic!("paid: {paid:?}") };
    assert_eq!((paid.outcome(), paid.serials.unwrap().first_number), (PaymentOutcome::Applied, stamped.number));
    let again = only_event(&next(&mut events).await);
    assert!(matches!(again, Event::PaymentRecorded(again) if again.outcome() == PaymentOutcome::RefundDueAlreadyPaid));
    assert!(matches!(only_event(&next(&mut events).await), Event::DocumentStamped(on) if on.number == stamped.number));
    assert!(matches!(only_event(&next(&mut events).await), Event::RefundSettled(refund) if refund.reference == "t1"));

    let mut resumed = watch_after(&mut node, placed.next_index, placed.next_after.clone()).await.unwrap();
    assert!(matches!(only_event(&next(&mut resumed).await), Event::PaymentRecorded(first) if first.payment == paid.payment));
    let gone = watch_after(&mut node, placed.next_index, vec![7; 32]).await.map(|_| ()).unwrap_err();
    assert_eq!((gone.code(), info(&gone).reason.as_str()), (Code::OutOfRange, "POSITION_GONE"), "of another history");
}

#[tokio::test]
async fn a_silent_ledger_says_so_and_a_stopping_node_says_where_to_go_on() {
    let mut node = start_with_series().await;
    let mut events = watch(&mut node, 0).await.unwrap();
    let opened = next(&mut events).await;
    let mark = timeout(SOON, events.message()).await.unwrap().unwrap().unwrap();
    assert_eq!((mark.entry.is_some(), mark.next_index >= opened.next_index), (false, true));
    node.close_ports();
    let status = loop {
        match timeout(SOON, events.message()).await.unwrap() {
            Ok(answer) => assert!(answer.is_some_and(|mark| mark.entry.is_none()), "the end is an error"),
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), metadata(&status, "effect").as_deref()), (Code::Unavailable, Some("retry")));
    assert_eq!(metadata(&status, "next_index"), Some(mark.next_index.to_string()));
}

/// More than a connection and both of its ends hold of one watch.
const BATCHES: usize = 20;

/// In batches, one log entry each; returns their ids.
async fn place_batches(node: &mut TestNode) -> Vec<String> {
    let orders: Vec<String> =
        (0..BATCHES * limits::BATCH_COMMANDS_MAX).map(|number| id(u32::try_from(number).unwrap())).collect();
    node.admin.open_series(OpenSeriesRequest { capacity: orders.len() as u64, ..series("BBB") }).await.unwrap();
    let account_id = "a".repeat(limits::ACCOUNT_ID_CHARS_MAX);
    for batch in orders.chunks(limits::BATCH_COMMANDS_MAX) {
        let place = |order_id: &String| PlaceOrderRequest {
            order_id: order_id.clone(),
            account_id: account_id.clone(),
            series_code: "BBB".to_owned(),
            quantity: 1,
        };
        let commands = batch.iter().map(|order| v1::Command { command: Some(Command::PlaceOrder(place(order))) }).collect();
        node.client.submit_batch(v1::SubmitBatchRequest { batch_id: 1, commands }).await.unwrap();
    }
    orders
}

fn placed(answer: &WatchLedgerResponse) -> impl Iterator<Item = String> {
    let events = answer.entry.iter().flat_map(|entry| &entry.events);
    events.filter_map(|event| match &event.event {
        Some(Event::OrderPlaced(order)) => Some(order.order_id.clone()),
        _ => None,
    })
}

#[tokio::test]
async fn who_stops_reading_holds_up_no_command_is_closed_with_its_position_and_goes_on_there_without_a_gap() {
    let mut node = start_with_series().await;
    // The smallest windows that HTTP/2 has by itself, and every place that there is for those who watch.
    let endpoint = Channel::from_shared(format!("http://{}", node.admin_address)).unwrap().initial_stream_window_size(65_535);
    let mut idler = AdminServiceClient::new(endpoint.connect().await.unwrap());
    let mut unread = Vec::new();
    for _ in 0..limits::WATCHES_MAX {
        let request = WatchLedgerRequest { from_index: 0, after: Vec::new() };
        unread.push(idler.watch_ledger(request).await.unwrap().into_inner());
    }
    let orders = place_batches(&mut node).await;
    let turned_away = watch(&mut node, 0).await.map(|_| ()).unwrap_err();
    assert_eq!(info(&turned_away).reason, "OVERLOADED", "every command was answered while nobody read a thing");

    let end = node.status_when(|_| true).await.applied_index + 1;
    let until = Instant::now() + limits::LONG_ANSWER_READ_WITHIN + SOON;
    let mut in_their_place = Vec::new();
    while in_their_place.len() < limits::WATCHES_MAX {
        in_their_place.extend(watch(&mut node, end).await);
        assert!(Instant::now() < until, "{} are still there", limits::WATCHES_MAX - in_their_place.len());
    }
    drop(in_their_place);
    let (mut seen, mut last) = (Vec::new(), WatchLedgerResponse::default());
    let closed = loop {
        match unread[0].message().await {
            Ok(answer) => last = answer.expect("the end is an error"),
            Err(status) => break status,
        }
        seen.extend(placed(&last));
    };
    assert_eq!((closed.code(), info(&closed).reason.as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    assert!(seen.len() < orders.len(), "it stopped before the end");

    let mut resumed = watch_after(&mut node, last.next_index, last.next_after).await.unwrap();
    let first = next(&mut resumed).await;
    assert_eq!(metadata(&closed, "next_index"), Some(first.entry.as_ref().unwrap().log_index.to_string()));
    seen.extend(placed(&first));
    while seen.len() < orders.len() {
        seen.extend(placed(&next(&mut resumed).await));
    }
    assert!(seen == orders, "each order once, in the order of the log");
}

#[tokio::test]
async fn a_position_that_the_log_has_not_reached_is_refused_by_name() {
    let mut node = start_with_series().await;
    let next_index = node.status_when(|_| true).await.applied_index + 1;
    drop(watch(&mut node, next_index).await.unwrap());
    let ahead = next_index + 1;
    let watched = watch(&mut node, ahead).await.map(|_| ()).unwrap_err();
    let exported = node.admin.export_audit(ExportAuditRequest { from_index: ahead }).await.map(|_| ()).unwrap_err();
    for status in [watched, exported] {
        assert_eq!((status.code(), info(&status).reason.as_str()), (Code::OutOfRange, "POSITION_AHEAD"));
        assert_eq!(metadata(&status, "next_index"), Some(next_index.to_string()));
    }
}

#[tokio::test]
async fn an_export_replays_to_the_ledger_that_the_node_says_it_has() {
    let mut node = start_with_series().await;
    for number in 1..20 {
        node.client.place_order(order(number)).await.unwrap();
        node.client.record_payment(payment(&format!("p{number}"), number)).await.unwrap();
    }
    let mut records = node.admin.export_audit(ExportAuditRequest { from_index: 0 }).await.unwrap().into_inner();
    let mut replay = Replay::default();
    while let Some(answer) = records.message().await.unwrap() {
        assert_eq!(replay.feed(&answer.record).unwrap().position.index, answer.log_index);
    }
    let status = node.status_when(|_| true).await;
    let told = (status.applied_index, status.digest, status.audit_head);
    let meta = replay.meta();
    assert_eq!(told, (meta.applied.unwrap().index, meta.digest.to_string(), meta.audit_head.to_string()));
    assert_eq!(replay.violations(), []);
}

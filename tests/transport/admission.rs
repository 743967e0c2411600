//! Who is let in, and in which order: what many callers of one node see of each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use stampede::limits;
use stampede::proto::admin::OpenSeriesRequest;
use stampede::proto::v1;
use stampede::proto::v1::command::Command;
use stampede::proto::v1::command_result::Result as Answer;
use stampede::proto::v1::issuance_service_client::IssuanceServiceClient;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::codegen::{Bytes, Service, http};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::{PATIENCE, channel, info, series, start_with_series};

fn order(series: &str, number: u32) -> v1::PlaceOrderRequest {
    let order_id = format!("0192f0c1-2345-7abc-8def-{number:012}");
    v1::PlaceOrderRequest { order_id, account_id: "portal-1".into(), series_code: series.into(), quantity: 1 }
}

fn payment(number: u32) -> v1::RecordPaymentRequest {
    let payment_id = format!("p-{number}");
    let order_id = order("AAA", number).order_id;
    v1::RecordPaymentRequest { gateway: "midtrans".into(), payment_id, order_id, amount_idr: 10_000 }
}

fn command(command: Command) -> v1::Command {
    v1::Command { command: Some(command) }
}

/// Batches of orders, and payments one by one, without end.
fn flood(client: &IssuanceServiceClient<Channel>) -> JoinSet<()> {
    let mut flood = JoinSet::new();
    // Apart from the numbers of the test's own orders.
    let next = Arc::new(AtomicU32::new(1_000));
    for _ in 0..2 {
        let (mut client, next) = (client.clone(), next.clone());
        flood.spawn(async move {
            loop {
                let orders = (0..200).map(|_| order("FXD", next.fetch_add(1, Ordering::Relaxed)));
                let commands = orders.map(|order| command(Command::PlaceOrder(order))).collect();
                // Whether it is turned away or not.
                let _ = client.submit_batch(v1::SubmitBatchRequest { batch_id: 0, commands }).await;
            }
        });
    }
    for _ in 0..8 {
        let (mut client, next) = (client.clone(), next.clone());
        flood.spawn(async move {
            loop {
                let _ = client.record_payment(payment(next.fetch_add(1, Ordering::Relaxed))).await;
            }
        });
    }
    flood
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stream_that_pays_its_orders_without_waiting_for_their_answers_is_issued_also_under_a_flood() {
    const ORDERS: u32 = 100;
    let mut node = start_with_series().await;
    node.admin.open_series(OpenSeriesRequest { capacity: limits::SERIES_CAPACITY_MAX, ..series("FXD") }).await.unwrap();
    let mut flood = flood(&node.client);
    let batch = |number: u32, of: Command| v1::SubmitBatchRequest { batch_id: number.into(), commands: vec![command(of)] };
    let batches = (0..ORDERS).flat_map(|number| {
        [
            batch(2 * number, Command::PlaceOrder(order("AAA", number))),
            batch(2 * number + 1, Command::RecordPayment(payment(number))),
        ]
    });
    let mut answers = node.client.submit_stream(tokio_stream::iter(batches.collect::<Vec<_>>())).await.unwrap().into_inner();
    let mut paid = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        match &answer.results[0].result {
            Some(Answer::PlaceOrder(_)) => {}
            Some(Answer::RecordPayment(payment)) => {
                assert_eq!(payment.outcome(), v1::PaymentOutcome::Applied, "{answer:?}");
                paid += 1;
            }
            _ => panic!("{answer:?}"),
        }
    }
    assert_eq!(paid, ORDERS);
    flood.shutdown().await;
    node.stop().await;
}

/// A call whose message does not come whole.
fn withheld(method: &str) -> http::Request<tonic::body::Body> {
    let begun = hyper::body::Frame::data(Bytes::from_static(&[0, 0, 1, 0, 0, b'x']));
    let body = http_body_util::StreamBody::new(stream::iter([Ok::<_, Status>(begun)]).chain(stream::pending()));
    http::Request::post(format!("/stampede.v1.IssuanceService/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(body))
        .unwrap()
}

#[tokio::test]
async fn of_batches_that_do_not_come_whole_so_many_lie_in_memory_and_payments_go_on() {
    let mut node = start_with_series().await;
    let mut holding = JoinSet::new();
    let greedy = channel(&node.client_address).await;
    for _ in 0..limits::BATCH_CALLS_MAX {
        let mut greedy = greedy.clone();
        holding.spawn(async move {
            // None is held longer than `limits::CALL_BODY_WITHIN`.
            loop {
                std::future::poll_fn(|context| greedy.poll_ready(context)).await.unwrap();
                let _ = greedy.call(withheld("SubmitBatch")).await;
            }
        });
    }
    // Bad input, where it is read.
    let none = || v1::SubmitBatchRequest { batch_id: 1, commands: Vec::new() };
    let until = Instant::now() + PATIENCE;
    let is_full = |answer: Result<(), Status>| {
        assert!(Instant::now() < until, "{answer:?}");
        answer.is_err_and(|status| status.code() == Code::ResourceExhausted && info(&status).reason == "OVERLOADED")
    };
    while !is_full(node.client.submit_batch(none()).await.map(drop)) {}
    // There may be payments among what is turned away.
    while !is_full(node.client.place_order(order("AAA", 1)).await.map(drop)) {}
    node.client.record_payment(payment(2)).await.unwrap();

    holding.shutdown().await;
    while is_full(node.client.submit_batch(none()).await.map(drop)) {}
    node.client.place_order(order("AAA", 3)).await.unwrap();
    node.stop().await;
}

/// Whether the node begins to talk. False: it closed.
async fn is_let_in(connection: &mut TcpStream) -> bool {
    let first = timeout(PATIENCE, connection.read(&mut [0; 1])).await.expect("one or the other");
    matches!(first, Ok(1))
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_has_room_when_another_has_gone() {
    let node = start_with_series().await;
    let open = || async { TcpStream::connect(&node.client_address).await.unwrap() };
    // One is the node's own client.
    let mut connections = Vec::new();
    for _ in 1..limits::CLIENT_CONNECTIONS_MAX {
        let mut connection = open().await;
        assert!(is_let_in(&mut connection).await);
        connections.push(connection);
    }
    assert!(!is_let_in(&mut open().await).await);
    assert_eq!(node.calls.client_connections_turned_away.get(), 1);
    connections.pop();
    let until = Instant::now() + PATIENCE;
    while !is_let_in(&mut open().await).await {
        assert!(Instant::now() < until, "one has gone");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    node.stop().await;
}

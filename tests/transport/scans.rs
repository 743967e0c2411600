//! Answers as large as the ledger, to callers that do not read them.

use std::time::Instant;

use stampede::limits;
use stampede::proto::admin::admin_service_client::AdminServiceClient;
use stampede::proto::admin::scan_ledger_response::Item;
use stampede::proto::admin::{ExportLogRequest, OpenSeriesRequest, ScanLedgerRequest, ScanLedgerResponse};
use stampede::proto::v1;
use stampede::proto::v1::command::Command;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::support::{PATIENCE, TestNode, info, series, start_with_series};

/// More than a connection and both of its ends hold of one answer.
const ORDERS: usize = 10 * limits::BATCH_COMMANDS_MAX;

async fn place_orders(node: &mut TestNode) {
    node.admin.open_series(OpenSeriesRequest { capacity: ORDERS as u64, ..series("BBB") }).await.unwrap();
    let place = |number: usize| v1::PlaceOrderRequest {
        order_id: format!("0192f0c1-2345-7abc-8def-{number:012}"),
        account_id: "a".repeat(limits::ACCOUNT_ID_CHARS_MAX),
        series_code: "BBB".into(),
        quantity: 1,
    };
    let orders: Vec<_> = (0..ORDERS).map(|number| v1::Command { command: Some(Command::PlaceOrder(place(number))) }).collect();
    for commands in orders.chunks(limits::BATCH_COMMANDS_MAX) {
        node.client.submit_batch(v1::SubmitBatchRequest { batch_id: 1, commands: commands.to_vec() }).await.unwrap();
    }
}

async fn scan(admin: &mut AdminServiceClient<Channel>) -> Result<Streaming<ScanLedgerResponse>, Status> {
    admin.scan_ledger(ScanLedgerRequest {}).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn scans_that_nobody_reads_are_few_and_the_next_one_is_turned_away_until_one_ends() {
    let mut node = start_with_series().await;
    place_orders(&mut node).await;
    // The smallest windows that HTTP/2 has by itself.
    let endpoint = Channel::from_shared(format!("http://{}", node.admin_address)).unwrap().initial_stream_window_size(65_535);
    let mut admin = AdminServiceClient::new(endpoint.connect().await.unwrap());
    let mut unread = Vec::new();
    for _ in 0..limits::LONG_ANSWERS_MAX {
        unread.push(scan(&mut admin).await.unwrap());
    }
    let exported = admin.export_log(ExportLogRequest { from_index: 1 }).await.map(|_| ());
    for status in [scan(&mut admin).await.map(|_| ()).unwrap_err(), exported.unwrap_err()] {
        assert_eq!((status.code(), info(&status).reason.as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    }

    unread.pop();
    let until = Instant::now() + PATIENCE;
    let mut whole = loop {
        match scan(&mut admin).await {
            Ok(whole) => break whole,
            Err(status) => assert!(Instant::now() < until, "still {status:?}"),
        }
    };
    let mut orders = 0;
    while let Some(record) = whole.message().await.unwrap() {
        orders += usize::from(matches!(record.item, Some(Item::Order(_))));
    }
    assert_eq!(orders, ORDERS, "one that is read is complete");
}

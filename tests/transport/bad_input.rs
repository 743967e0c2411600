//! Bad input is named by field and limit, and changes nothing.

use stampede::limits;
use stampede::proto::admin::{
    ListRefundsDueRequest, ListSeriesRequest, OpenSeriesRequest, Series, SetPolicyRequest, SettleRefundRequest, Totals,
};
use stampede::proto::v1;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{TestNode, effect, info, series, start_with_series};

const ID: &str = "0192f0c1-2345-7abc-8def-0123456789ab";

fn order() -> v1::PlaceOrderRequest {
    v1::PlaceOrderRequest { order_id: ID.into(), account_id: "portal-1".into(), series_code: "AAA".into(), quantity: 1 }
}

fn payment() -> v1::RecordPaymentRequest {
    v1::RecordPaymentRequest { gateway: "midtrans".into(), payment_id: "p-1".into(), order_id: ID.into(), amount_idr: 10_000 }
}

fn command(order: v1::PlaceOrderRequest) -> v1::Command {
    v1::Command { command: Some(v1::command::Command::PlaceOrder(order)) }
}

enum Call {
    Place(v1::PlaceOrderRequest),
    Pay(v1::RecordPaymentRequest),
    Cancel(&'static str),
    Get(v1::GetOrderRequest),
    GetPayment(v1::GetPaymentRequest),
    Batch(usize),
    Open(OpenSeriesRequest),
    Void(&'static str),
    Stamp(&'static str, usize),
    Verify(usize),
    Settle(SettleRefundRequest),
    Policy(SetPolicyRequest),
    Refunds(u32, &'static str),
}

async fn send(node: &mut TestNode, call: Call) -> Result<(), Status> {
    match call {
        Call::Place(request) => node.client.place_order(request).await.map(drop),
        Call::Pay(request) => node.client.record_payment(request).await.map(drop),
        Call::Cancel(id) => node.client.cancel_order(v1::CancelOrderRequest { order_id: id.into() }).await.map(drop),
        Call::Get(request) => node.client.get_order(request).await.map(drop),
        Call::GetPayment(request) => node.client.get_payment(request).await.map(drop),
        Call::Batch(size) => {
            let commands = (0..size).map(|_| command(order())).collect();
            node.client.submit_batch(v1::SubmitBatchRequest { batch_id: 1, commands }).await.map(drop)
        }
        Call::Open(request) => node.admin.open_series(request).await.map(drop),
        Call::Void(id) => node.client.void_order(v1::VoidOrderRequest { order_id: id.into() }).await.map(drop),
        Call::Stamp(id, bytes) => {
            let request = v1::StampDocumentRequest { order_id: id.into(), document_sha256: vec![7; bytes] };
            node.client.stamp_document(request).await.map(drop)
        }
        Call::Verify(bytes) => {
            let request = v1::VerifySerialRequest { document_sha256: vec![7; bytes], ..Default::default() };
            node.client.verify_serial(request).await.map(drop)
        }
        Call::Settle(request) => node.admin.settle_refund(request).await.map(drop),
        Call::Policy(request) => node.admin.set_policy(request).await.map(drop),
        Call::Refunds(page_size, token) => {
            let request = ListRefundsDueRequest { page_size, page_token: token.into() };
            node.admin.list_refunds_due(request).await.map(drop)
        }
    }
}

#[rustfmt::skip]
fn rows() -> Vec<(Call, &'static str, &'static str)> {
    let place = |change: fn(&mut v1::PlaceOrderRequest)| { let mut request = order(); change(&mut request); Call::Place(request) };
    let pay = |change: fn(&mut v1::RecordPaymentRequest)| { let mut request = payment(); change(&mut request); Call::Pay(request) };
    let open = |change: fn(&mut OpenSeriesRequest)| { let mut request = series("BBB"); change(&mut request); Call::Open(request) };
    let settle = |change: fn(&mut SettleRefundRequest)| {
        let (gateway, payment_id, reference) = ("midtrans".into(), "p-1".into(), "t-1".into());
        let mut request = SettleRefundRequest { gateway, payment_id, amount_idr: 10_000, reference };
        change(&mut request);
        Call::Settle(request)
    };
    let policy = |version, void_refund_percent, void_window_ms| Call::Policy(SetPolicyRequest { version, void_refund_percent, void_window_ms });
    vec![
        (place(|r| r.order_id = "order-1".into()), "order_id", "must be a UUID"),
        (place(|r| r.order_id = String::new()), "order_id", "must be a UUID"),
        (place(|r| r.order_id = ID.replace('-', "")), "order_id", "must be a UUID"),
        (place(|r| r.account_id = String::new()), "account_id", "must have 1 to 64 characters, has 0"),
        (place(|r| r.account_id = "a".repeat(65)), "account_id", "must have 1 to 64 characters, has 65"),
        (place(|r| r.account_id = "Budi Santoso".into()), "account_id", "may contain only A-Z a-z 0-9 . _ -"),
        (place(|r| r.series_code = "AA".into()), "series_code", "must have 3 to 3 characters, has 2"),
        (place(|r| r.series_code = "aaa".into()), "series_code", "may contain only"),
        (place(|r| r.quantity = 0), "quantity", "must be 1 to 10000, is 0"),
        (place(|r| r.quantity = 10_001), "quantity", "must be 1 to 10000, is 10001"),
        (pay(|r| r.amount_idr = 0), "amount_idr", "must be 1 to 1000000000000, is 0"),
        (pay(|r| r.amount_idr = -10_000), "amount_idr", "is -10000"),
        (pay(|r| r.amount_idr = 1_000_000_000_001), "amount_idr", "is 1000000000001"),
        (pay(|r| r.gateway = "Midtrans".into()), "gateway", "may contain only a-z 0-9 -"),
        (pay(|r| r.payment_id = "x".repeat(65)), "payment_id", "must have 1 to 64 characters, has 65"),
        (pay(|r| r.order_id = "1".into()), "order_id", "must be a UUID"),
        (Call::Cancel("1"), "order_id", "must be a UUID"),
        (Call::Get(v1::GetOrderRequest { order_id: "1".into(), consistency: 0 }), "order_id", "must be a UUID"),
        (Call::Get(v1::GetOrderRequest { order_id: ID.into(), consistency: 9 }), "consistency", "must be one of"),
        (Call::GetPayment(v1::GetPaymentRequest::default()), "gateway", "must have 1 to 32 characters"),
        (Call::Batch(0), "commands", "must be 1 to 1000, is 0"),
        (Call::Batch(1_001), "commands", "must be 1 to 1000, is 1001"),
        (open(|r| r.capacity = 0), "capacity", "must be 1 to 1000000000, is 0"),
        (open(|r| r.first_number = u64::MAX), "first_number", "must be 0 to 35184372088831"),
        (open(|r| r.first_number = 35_184_372_088_831), "capacity", "must be 1 to 1, is 100"),
        (open(|r| r.face_value_idr = -1), "face_value_idr", "must be 1 to 1000000, is -1"),
        (Call::Void("1"), "order_id", "must be a UUID"),
        (Call::Stamp("1", 32), "order_id", "must be a UUID"),
        (Call::Stamp(ID, 0), "document_sha256", "must have 32 bytes, has 0"),
        (Call::Stamp(ID, 33), "document_sha256", "must have 32 bytes, has 33"),
        (Call::Verify(31), "document_sha256", "must have 32 bytes, has 31"),
        (settle(|r| r.gateway = String::new()), "gateway", "must have 1 to 32 characters, has 0"),
        (settle(|r| r.payment_id = String::new()), "payment_id", "must have 1 to 64 characters, has 0"),
        (settle(|r| r.amount_idr = 0), "amount_idr", "must be 1 to 1000000000000, is 0"),
        (settle(|r| r.amount_idr = -1), "amount_idr", "is -1"),
        (settle(|r| r.reference = String::new()), "reference", "must have 1 to 64 characters, has 0"),
        (settle(|r| r.reference = "Budi Santoso".into()), "reference", "may contain only A-Z a-z 0-9 . _ -"),
        (policy(0, 75, 1_000), "version", "must be 1 to 4294967295, is 0"),
        (policy(1, 0, 1_000), "void_refund_percent", "must be 1 to 100, is 0"),
        (policy(1, 101, 1_000), "void_refund_percent", "must be 1 to 100, is 101"),
        (policy(1, 75, -1), "void_window_ms", "must be 1000 to 31622400000, is -1"),
        (Call::Refunds(1_001, ""), "page_size", "must be 0 to 1000, is 1001"),
        (Call::Refunds(1, "next"), "page_token", "must be empty or a next_page_token"),
        (Call::Refunds(1, "1.x"), "page_token", "must be empty or a next_page_token"),
        (open(|r| r.payment_window_ms = 999), "payment_window_ms", "must be 1000 to 2678400000, is 999"),
    ]
}

#[tokio::test]
async fn bad_input_names_field_and_limit_and_changes_nothing() {
    let mut node = start_with_series().await;
    let before = node.status_when(|status| status.applied_index == status.last_log_index).await;
    for (call, field, limit) in rows() {
        let status = send(&mut node, call).await.expect_err(field);
        assert_eq!(status.code(), Code::InvalidArgument, "{field}: {status:?}");
        assert!(status.message().contains(limit), "{field}: {:?} does not name {limit:?}", status.message());
        assert_eq!((info(&status).reason.as_str(), effect(&status).as_str()), ("INVALID_FIELD", "none"));
        let bad = status.get_details_bad_request().expect("a BadRequest").field_violations;
        assert_eq!(bad.iter().map(|bad| bad.field.as_str()).collect::<Vec<_>>(), [field]);
    }
    let after = node.status_when(|_| true).await;
    assert_eq!((after.last_log_index, after.digest), (before.last_log_index, before.digest));
    node.stop().await;
}

#[tokio::test]
async fn a_series_that_is_not_there_is_refused_by_the_ledger_and_changes_nothing_but_its_clock() {
    let mut node = start_with_series().await;
    let before = held(&mut node).await;
    let unknown = v1::PlaceOrderRequest { series_code: "ZZZ".into(), ..order() };
    let status = node.client.place_order(unknown).await.unwrap_err();
    assert_eq!((status.code(), info(&status).reason.as_str()), (Code::NotFound, "SERIES_UNKNOWN"));
    assert_eq!(effect(&status), "none");
    assert!(info(&status).metadata.contains_key("log_index"), "a refusal says where it was refused");
    assert_eq!(held(&mut node).await, before);
    node.stop().await;
}

/// Totals and series, without the ledger's clock.
async fn held(node: &mut TestNode) -> (Totals, Vec<Series>) {
    let series = node.admin.list_series(ListSeriesRequest {}).await.unwrap().into_inner().series;
    let totals = node.status_when(|_| true).await.totals.expect("the ledger can be read");
    (Totals { ledger_time_ms: 0, ..totals }, series)
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_with_the_limit_and_changes_nothing() {
    let mut node = start_with_series().await;
    let before = node.status_when(|status| status.applied_index == status.last_log_index).await;
    let huge = || v1::PlaceOrderRequest { account_id: "a".repeat(5 * 1024 * 1024), ..order() };
    // The good command before it is not read either.
    let batch = || v1::SubmitBatchRequest { batch_id: 1, commands: vec![command(order()), command(huge())] };
    let answers =
        [("batch", node.client.submit_batch(batch()).await.map(drop)), ("stream", streamed(&mut node, batch()).await)];
    for (form, answer) in answers {
        let status = answer.expect_err(form);
        assert!(matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted), "{form}: {status:?}");
        assert!(status.message().contains("4194304"), "{form}: {status:?}");
        let told = status.get_details_error_info();
        assert!(told.is_none(), "{form}: it says nothing of an effect, the library says the same of an answer");
    }
    // Of one command much less is taken.
    let large = v1::PlaceOrderRequest { account_id: "a".repeat(limits::CALL_BYTES_MAX), ..order() };
    let status = node.client.place_order(large).await.unwrap_err();
    assert_eq!((info(&status).reason.as_str(), effect(&status).as_str()), ("INVALID_FIELD", "none"), "{status:?}");
    assert!(status.message().contains("request must have at most 8192 bytes"), "{status:?}");
    let after = node.status_when(|_| true).await;
    assert_eq!((after.last_log_index, after.digest), (before.last_log_index, before.digest));
    node.stop().await;
}

async fn streamed(node: &mut TestNode, batch: v1::SubmitBatchRequest) -> Result<(), Status> {
    let mut answers = node.client.submit_stream(tokio_stream::iter([batch])).await?.into_inner();
    while answers.message().await?.is_some() {}
    Ok(())
}

#[tokio::test]
async fn a_bad_command_of_a_batch_does_not_keep_the_others() {
    let mut node = start_with_series().await;
    let bad = command(v1::PlaceOrderRequest { quantity: 0, ..order() });
    let commands = vec![command(order()), bad, v1::Command { command: None }];
    let batch = v1::SubmitBatchRequest { batch_id: 9, commands };
    let answer = node.client.submit_batch(batch).await.unwrap().into_inner();
    assert_eq!(answer.batch_id, 9);
    let results: Vec<_> = answer.results.into_iter().map(|result| result.result.unwrap()).collect();
    assert!(matches!(&results[0], v1::command_result::Result::PlaceOrder(placed) if placed.amount_idr == 10_000));
    let fields: Vec<_> = results[1..]
        .iter()
        .map(|result| match result {
            v1::command_result::Result::Error(error) => {
                assert_eq!((error.code, error.effect()), (Code::InvalidArgument as i32, v1::Effect::None));
                error.field.as_str()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(fields, ["commands[1].place_order.quantity", "commands[2].command"]);
    node.stop().await;
}

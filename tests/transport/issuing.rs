//! Orders, payments and look-ups, through each of the three forms of a write.

use stampede::proto::v1;
use stampede::proto::v1::command::Command;
use stampede::proto::v1::command_result::Result as Answer;
use tonic::Code;

use crate::support::{info, start_with_series};

fn order(number: u32) -> v1::PlaceOrderRequest {
    let order_id = format!("0192f0c1-2345-7abc-8def-{number:012}");
    v1::PlaceOrderRequest { order_id, account_id: "portal-1".into(), series_code: "AAA".into(), quantity: 2 }
}

fn payment(number: u32) -> v1::RecordPaymentRequest {
    let payment_id = format!("p-{number}");
    v1::RecordPaymentRequest { gateway: "midtrans".into(), payment_id, order_id: order(number).order_id, amount_idr: 20_000 }
}

#[tokio::test]
async fn an_order_is_placed_paid_looked_up_and_its_codes_verify() {
    let mut node = start_with_series().await;
    let placed = node.client.place_order(order(1)).await.unwrap().into_inner();
    let paid = node.client.record_payment(payment(1)).await.unwrap().into_inner();
    assert_eq!((placed.amount_idr, paid.outcome()), (20_000, v1::PaymentOutcome::Applied));
    let serials = paid.serials.clone().unwrap();
    assert_eq!((serials.codes.len(), serials.codes[0].len()), (2, 22));

    let again = node.client.record_payment(payment(1)).await.unwrap().into_inner();
    assert!(again.receipt.unwrap().replayed);
    assert_eq!((again.serials, again.receipt.unwrap().position), (paid.serials, paid.receipt.unwrap().position));

    let get = v1::GetOrderRequest { order_id: order(1).order_id, consistency: 0 };
    let found = node.client.get_order(get).await.unwrap().into_inner();
    let found_order = found.order.unwrap();
    assert_eq!((found_order.state(), found_order.serials.unwrap().codes), (v1::OrderState::Issued, serials.codes.clone()));
    assert!(found.mark.unwrap().read_index >= paid.receipt.unwrap().position.unwrap().log_index);

    let get = v1::GetPaymentRequest { gateway: "midtrans".into(), payment_id: "p-1".into(), consistency: 2 };
    assert_eq!(node.client.get_payment(get).await.unwrap().into_inner().payment.unwrap().order_id, order(1).order_id);

    let verify = |code: &str| v1::VerifySerialRequest { code: code.to_owned(), ..Default::default() };
    let verified = node.client.verify_serial(verify(&serials.codes[1])).await.unwrap().into_inner();
    assert_eq!((verified.status(), verified.order_id), (v1::SerialStatus::Issued, order(1).order_id));
    let forged = node.client.verify_serial(verify("AAA0000000010000000000")).await.unwrap().into_inner();
    assert_eq!((forged.status(), forged.mark), (v1::SerialStatus::Forged, None));

    let missing = v1::GetOrderRequest { order_id: order(2).order_id, consistency: 0 };
    let status = node.client.get_order(missing).await.unwrap_err();
    assert_eq!((status.code(), info(&status).reason.as_str()), (Code::NotFound, "ORDER_UNKNOWN"));
    assert!(info(&status).metadata.contains_key("read_index"));
    assert_eq!(node.calls.get_order.started(), 2);
    node.stop().await;
}

#[tokio::test]
async fn a_reused_id_is_refused_and_names_the_field() {
    let mut node = start_with_series().await;
    node.client.place_order(order(1)).await.unwrap();
    let other = v1::PlaceOrderRequest { quantity: 3, ..order(1) };
    let status = node.client.place_order(other).await.unwrap_err();
    assert_eq!((status.code(), info(&status).reason.as_str()), (Code::AlreadyExists, "ORDER_ID_REUSED"));
    assert_eq!(info(&status).metadata["field"], "quantity");
    node.stop().await;
}

#[tokio::test]
async fn the_same_id_twice_in_one_batch_is_done_once_and_answered_twice() {
    let mut node = start_with_series().await;
    let place = || v1::Command { command: Some(Command::PlaceOrder(order(1))) };
    let pay = || v1::Command { command: Some(Command::RecordPayment(payment(1))) };
    let other = v1::Command { command: Some(Command::PlaceOrder(v1::PlaceOrderRequest { quantity: 3, ..order(1) })) };
    let commands = vec![place(), place(), other, pay(), pay()];
    let answer = node.client.submit_batch(v1::SubmitBatchRequest { batch_id: 1, commands }).await.unwrap().into_inner();
    let results: Vec<_> = answer.results.into_iter().map(|result| result.result.unwrap()).collect();
    let [
        Answer::PlaceOrder(first),
        Answer::PlaceOrder(second),
        Answer::Error(reused),
        Answer::RecordPayment(paid),
        Answer::RecordPayment(again),
    ] = results.as_slice()
    else {
        panic!("{results:?}")
    };
    let replayed = |receipt: Option<v1::Receipt>| receipt.unwrap().replayed;
    assert_eq!((replayed(first.receipt), replayed(second.receipt)), (false, true));
    assert_eq!(first.receipt.unwrap().position, second.receipt.unwrap().position);
    assert_eq!((reused.reason.as_str(), reused.field.as_str()), ("ORDER_ID_REUSED", "quantity"));
    assert_eq!((replayed(paid.receipt), replayed(again.receipt)), (false, true));
    assert_eq!(paid.serials, again.serials);
    let totals = node.status_when(|_| true).await.totals.unwrap();
    assert_eq!((totals.orders_issued, totals.serials_issued, totals.payments_refund_due), (1, 2, 0));
    node.stop().await;
}

#[tokio::test]
async fn a_payment_that_cannot_issue_is_a_success_and_a_refund_due() {
    let mut node = start_with_series().await;
    node.client.place_order(order(1)).await.unwrap();
    let rows = [
        (v1::RecordPaymentRequest { amount_idr: 19_999, ..payment(1) }, v1::PaymentOutcome::RefundDueWrongAmount),
        (v1::RecordPaymentRequest { payment_id: "p-2".into(), ..payment(1) }, v1::PaymentOutcome::Applied),
        (v1::RecordPaymentRequest { payment_id: "p-3".into(), ..payment(1) }, v1::PaymentOutcome::RefundDueAlreadyPaid),
        (v1::RecordPaymentRequest { payment_id: "p-4".into(), ..payment(4) }, v1::PaymentOutcome::RefundDueOrderUnknown),
    ];
    for (request, expected) in rows {
        let answer = node.client.record_payment(request).await.unwrap().into_inner();
        assert_eq!(answer.outcome(), expected);
        assert_eq!(answer.serials.is_some(), expected == v1::PaymentOutcome::Applied, "{expected:?}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_stream_answers_every_batch_and_ends_with_its_caller() {
    let mut node = start_with_series().await;
    let batches: Vec<_> = (1..=20u32)
        .map(|number| v1::SubmitBatchRequest {
            batch_id: number.into(),
            commands: vec![
                v1::Command { command: Some(Command::PlaceOrder(order(number))) },
                v1::Command { command: Some(Command::RecordPayment(payment(number))) },
            ],
        })
        .collect();
    let mut answers = node.client.submit_stream(tokio_stream::iter(batches)).await.unwrap().into_inner();
    let mut answered = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        assert!(matches!(answer.results[0].result, Some(Answer::PlaceOrder(_))), "{answer:?}");
        let Some(Answer::RecordPayment(paid)) = &answer.results[1].result else { panic!("{answer:?}") };
        assert_eq!(paid.outcome(), v1::PaymentOutcome::Applied);
        answered.push(answer.batch_id);
    }
    answered.sort_unstable();
    assert_eq!(answered, (1..=20).collect::<Vec<u64>>());
    node.stop().await;
}

#[tokio::test]
async fn a_stream_with_a_bad_batch_answers_the_others_first() {
    let mut node = start_with_series().await;
    let good =
        v1::SubmitBatchRequest { batch_id: 1, commands: vec![v1::Command { command: Some(Command::PlaceOrder(order(1))) }] };
    let empty = v1::SubmitBatchRequest { batch_id: 2, commands: Vec::new() };
    let mut answers = node.client.submit_stream(tokio_stream::iter([good, empty])).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().batch_id, 1);
    assert_eq!(answers.message().await.unwrap_err().code(), Code::InvalidArgument);
    node.stop().await;
}

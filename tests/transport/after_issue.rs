//! After the issue: voids, stamps on documents, refunds and the policy, as callers meet them.

use stampede::proto::admin::{GetPolicyRequest, ListRefundsDueRequest, SetPolicyRequest, SettleRefundRequest};
use stampede::proto::v1;
use stampede::proto::v1::command::Command;
use stampede::proto::v1::command_result::Result as Answer;
use tonic::{Code, Status};

use crate::support::{TestNode, effect, info, start_with_series};

fn id(number: u32) -> String {
    format!("0192f0c1-2345-7abc-8def-{number:012}")
}

/// An order of two stamps, paid by `p-<number>`.
async fn buy(node: &mut TestNode, number: u32) -> v1::SerialRange {
    let (account_id, series_code) = ("portal-1".into(), "AAA".into());
    node.client
        .place_order(v1::PlaceOrderRequest { order_id: id(number), account_id, series_code, quantity: 2 })
        .await
        .unwrap();
    pay(node, &format!("p-{number}"), number, 20_000).await.serials.unwrap()
}

async fn pay(node: &mut TestNode, payment: &str, order: u32, amount_idr: i64) -> v1::RecordPaymentResponse {
    let (gateway, payment_id) = ("midtrans".into(), payment.into());
    let notice = v1::RecordPaymentRequest { gateway, payment_id, order_id: id(order), amount_idr };
    node.client.record_payment(notice).await.unwrap().into_inner()
}

fn void(order: u32) -> v1::VoidOrderRequest {
    v1::VoidOrderRequest { order_id: id(order) }
}

fn stamp(order: u32, document: u8) -> v1::StampDocumentRequest {
    v1::StampDocumentRequest { order_id: id(order), document_sha256: vec![document; 32] }
}

fn settle(payment: &str, amount_idr: i64, reference: &str) -> SettleRefundRequest {
    let (gateway, payment_id) = ("midtrans".into(), payment.into());
    SettleRefundRequest { gateway, payment_id, amount_idr, reference: reference.into() }
}

fn told(status: &Status) -> (Code, String, String) {
    (status.code(), info(status).reason, effect(status))
}

fn refused(code: Code, reason: &str) -> (Code, String, String) {
    (code, reason.to_owned(), "none".to_owned())
}

#[tokio::test]
async fn a_document_gets_one_stamp_however_often_it_is_sent_and_its_code_tells_so() {
    let mut node = start_with_series().await;
    let serials = buy(&mut node, 1).await;
    let stamped = node.client.stamp_document(stamp(1, 7)).await.unwrap().into_inner();
    assert_eq!((stamped.number, &stamped.code), (serials.first_number, &serials.codes[0]));
    let again = node.client.stamp_document(stamp(1, 7)).await.unwrap().into_inner();
    assert!(again.receipt.unwrap().replayed);
    assert_eq!(
        (again.number, again.code, again.receipt.unwrap().position),
        (stamped.number, stamped.code.clone(), stamped.receipt.unwrap().position)
    );

    let verify = async |node: &mut TestNode, code: &str, document: &[u8]| {
        let request = v1::VerifySerialRequest { code: code.into(), document_sha256: document.to_vec(), ..Default::default() };
        node.client.verify_serial(request).await.unwrap().into_inner()
    };
    let verified = verify(&mut node, &stamped.code, &[7; 32]).await;
    assert_eq!((verified.status(), verified.document_matches, verified.order_id), (v1::SerialStatus::Stamped, true, id(1)));
    assert!(verified.issued_at_ms > 0 && verified.stamped_at_ms >= verified.issued_at_ms);
    assert!(!verify(&mut node, &stamped.code, &[8; 32]).await.document_matches, "it is on another document");
    assert!(!verify(&mut node, &stamped.code, &[]).await.document_matches, "no document was asked about");
    assert_eq!(verify(&mut node, &serials.codes[1], &[]).await.status(), v1::SerialStatus::Issued);

    node.client.stamp_document(stamp(1, 8)).await.unwrap();
    let exhausted = node.client.stamp_document(stamp(1, 9)).await.unwrap_err();
    assert_eq!(told(&exhausted), refused(Code::FailedPrecondition, "ORDER_EXHAUSTED"));
    let used = node.client.void_order(void(1)).await.unwrap_err();
    assert_eq!(told(&used), refused(Code::FailedPrecondition, "ORDER_STAMPED"));
    let get = v1::GetOrderRequest { order_id: id(1), consistency: 0 };
    assert_eq!(node.client.get_order(get).await.unwrap().into_inner().order.unwrap().stamped, 2);
    node.stop().await;
}

#[tokio::test]
async fn a_voided_order_is_owed_back_by_the_policy_and_its_codes_are_void() {
    let mut node = start_with_series().await;
    let serials = buy(&mut node, 1).await;
    let voided = node.client.void_order(void(1)).await.unwrap().into_inner();
    assert_eq!((voided.refund_idr, voided.receipt.unwrap().replayed), (15_000, false));
    let again = node.client.void_order(void(1)).await.unwrap().into_inner();
    assert_eq!((again.refund_idr, again.receipt.unwrap().replayed), (15_000, true));
    let request = v1::VerifySerialRequest { code: serials.codes[0].clone(), ..Default::default() };
    let verified = node.client.verify_serial(request).await.unwrap().into_inner();
    assert_eq!((verified.status(), verified.order_id), (v1::SerialStatus::Voided, id(1)));
    assert!(verified.voided_at_ms >= verified.issued_at_ms && verified.issued_at_ms > 0);
    let stamped = node.client.stamp_document(stamp(1, 7)).await.unwrap_err();
    assert_eq!(told(&stamped), refused(Code::FailedPrecondition, "ORDER_VOIDED"));
    let cancelled = node.client.cancel_order(v1::CancelOrderRequest { order_id: id(1) }).await.unwrap_err();
    assert_eq!(told(&cancelled), refused(Code::FailedPrecondition, "ORDER_VOIDED"));
    assert_eq!(pay(&mut node, "p-9", 1, 20_000).await.outcome(), v1::PaymentOutcome::RefundDueOrderVoided);

    let get = v1::GetOrderRequest { order_id: id(1), consistency: 0 };
    let order = node.client.get_order(get).await.unwrap().into_inner().order.unwrap();
    assert_eq!((order.state(), order.serials.unwrap().codes), (v1::OrderState::Voided, serials.codes.clone()));
    let get = v1::GetPaymentRequest { gateway: "midtrans".into(), payment_id: "p-1".into(), consistency: 0 };
    let payment = node.client.get_payment(get).await.unwrap().into_inner().payment.unwrap();
    let refund = payment.refund.clone().unwrap();
    assert_eq!(
        (payment.outcome(), refund.amount_idr, refund.reason()),
        (v1::PaymentOutcome::Applied, 15_000, v1::RefundReason::Void)
    );

    let next = buy(&mut node, 2).await;
    assert_eq!(next.first_number, serials.first_number + 2, "the void numbers are not sold again");
    let totals = node.status_when(|_| true).await.totals.unwrap();
    let money = [totals.received_idr, totals.issued_value_idr, totals.held_idr, totals.refund_due_idr, totals.refunded_idr];
    assert_eq!(money, [60_000, 20_000, 5_000, 35_000, 0]);
    assert_eq!((totals.orders_voided, totals.serials_voided, totals.serials_issued), (1, 2, 2));
    node.stop().await;
}

#[tokio::test]
async fn refunds_due_are_listed_oldest_first_page_by_page_until_they_are_settled() {
    let mut node = start_with_series().await;
    for number in 1..=5 {
        pay(&mut node, &format!("p-{number}"), 9, 10_000 + i64::from(number)).await;
    }
    let page = async |node: &mut TestNode, page_token: String| {
        node.admin.list_refunds_due(ListRefundsDueRequest { page_size: 2, page_token }).await.unwrap().into_inner()
    };
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let answer = page(&mut node, token).await;
        assert!(answer.mark.is_some());
        found.extend(answer.refunds.into_iter().map(|refund| refund.payment.unwrap().payment_id));
        token = answer.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(found, ["p-1", "p-2", "p-3", "p-4", "p-5"]);

    let settled = node.admin.settle_refund(settle("p-1", 10_001, "t-1")).await.unwrap().into_inner();
    let again = node.admin.settle_refund(settle("p-1", 10_001, "t-1")).await.unwrap().into_inner();
    assert_eq!((settled.receipt.unwrap().replayed, again.receipt.unwrap().replayed), (false, true));
    let rows = [
        (settle("p-1", 10_001, "t-2"), refused(Code::AlreadyExists, "REFUND_REUSED")),
        (settle("p-2", 1, "t-1"), refused(Code::FailedPrecondition, "REFUND_AMOUNT_WRONG")),
        (settle("p-8", 1, "t-1"), refused(Code::NotFound, "REFUND_UNKNOWN")),
    ];
    for (request, expected) in rows {
        assert_eq!(told(&node.admin.settle_refund(request).await.unwrap_err()), expected);
    }
    let left = page(&mut node, String::new()).await.refunds;
    assert_eq!(left[0].payment.clone().unwrap().payment_id, "p-2", "what is settled is not due");
    node.stop().await;
}

#[tokio::test]
async fn a_policy_is_set_once_for_each_version_and_is_told() {
    let mut node = start_with_series().await;
    let in_force = async |node: &mut TestNode| {
        let policy = node.admin.get_policy(GetPolicyRequest {}).await.unwrap().into_inner().policy.unwrap();
        (policy.version, policy.void_refund_percent, policy.void_window_ms, policy.set.is_some())
    };
    assert_eq!(in_force(&mut node).await, (0, 75, 259_200_000, false));
    let policy = |version, void_refund_percent| SetPolicyRequest { version, void_refund_percent, void_window_ms: 60_000 };
    let set = node.admin.set_policy(policy(1, 50)).await.unwrap().into_inner();
    let again = node.admin.set_policy(policy(1, 50)).await.unwrap().into_inner();
    assert_eq!((set.receipt.unwrap().replayed, again.receipt.unwrap().replayed), (false, true));
    assert_eq!(in_force(&mut node).await, (1, 50, 60_000, true));
    let reused = node.admin.set_policy(policy(1, 60)).await.unwrap_err();
    assert_eq!(told(&reused), refused(Code::AlreadyExists, "POLICY_VERSION_REUSED"));
    assert_eq!(info(&reused).metadata["field"], "void_refund_percent");
    let skipped = node.admin.set_policy(policy(3, 60)).await.unwrap_err();
    assert_eq!(told(&skipped), refused(Code::FailedPrecondition, "POLICY_VERSION_SKIPPED"));
    buy(&mut node, 1).await;
    assert_eq!(node.client.void_order(void(1)).await.unwrap().into_inner().refund_idr, 10_000);
    node.stop().await;
}

#[tokio::test]
async fn stamps_and_voids_travel_in_batches_too() {
    let mut node = start_with_series().await;
    let serials = buy(&mut node, 1).await;
    buy(&mut node, 2).await;
    let command = |command| v1::Command { command: Some(command) };
    let commands = vec![
        command(Command::StampDocument(stamp(1, 7))),
        command(Command::StampDocument(stamp(1, 7))),
        command(Command::VoidOrder(void(1))),
        command(Command::VoidOrder(void(2))),
        command(Command::StampDocument(v1::StampDocumentRequest { document_sha256: vec![1; 31], ..stamp(1, 7) })),
    ];
    let answer = node.client.submit_batch(v1::SubmitBatchRequest { batch_id: 1, commands }).await.unwrap().into_inner();
    let results: Vec<_> = answer.results.into_iter().map(|result| result.result.unwrap()).collect();
    let [
        Answer::StampDocument(first),
        Answer::StampDocument(second),
        Answer::Error(used),
        Answer::VoidOrder(voided),
        Answer::Error(bad),
    ] = results.as_slice()
    else {
        panic!("{results:?}")
    };
    assert_eq!((&first.code, second.number, second.receipt.unwrap().replayed), (&serials.codes[0], serials.first_number, true));
    assert_eq!((used.reason.as_str(), voided.refund_idr), ("ORDER_STAMPED", 15_000));
    assert_eq!((bad.reason.as_str(), bad.field.as_str()), ("INVALID_FIELD", "commands[4].stamp_document.document_sha256"));
    node.stop().await;
}

#[tokio::test]
async fn what_is_not_paid_has_no_stamps_and_what_is_old_is_not_voided() {
    let mut node = start_with_series().await;
    let (account_id, series_code) = ("portal-1".into(), "AAA".into());
    node.client.place_order(v1::PlaceOrderRequest { order_id: id(1), account_id, series_code, quantity: 1 }).await.unwrap();
    let not_issued = refused(Code::FailedPrecondition, "ORDER_NOT_ISSUED");
    assert_eq!(told(&node.client.stamp_document(stamp(1, 7)).await.unwrap_err()), not_issued);
    assert_eq!(told(&node.client.void_order(void(1)).await.unwrap_err()), not_issued);
    buy(&mut node, 2).await;
    let shortest = SetPolicyRequest { version: 1, void_refund_percent: 50, void_window_ms: 1_000 };
    node.admin.set_policy(shortest).await.unwrap();
    let get = v1::GetOrderRequest { order_id: id(2), consistency: 0 };
    let issued_at_ms = node.client.get_order(get).await.unwrap().into_inner().order.unwrap().issued_at_ms;
    // Any command moves the ledger's clock.
    while node.status_when(|_| true).await.totals.unwrap().ledger_time_ms <= issued_at_ms + 1_000 {
        pay(&mut node, "stray", 9, 1).await;
    }
    let late = node.client.void_order(void(2)).await.unwrap_err();
    assert_eq!(told(&late), refused(Code::FailedPrecondition, "VOID_WINDOW_CLOSED"));
    node.stop().await;
}

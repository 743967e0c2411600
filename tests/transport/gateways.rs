//! Notices of payment gateways, as they come over HTTP.

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::RETRY_AFTER;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};
use stampede::limits;
use stampede::proto::admin::ListRefundsDueRequest;
use stampede::proto::v1::{GetPaymentRequest, GetPaymentResponse, PaymentOutcome, PlaceOrderRequest};
use stampede::transport::gateways::{Gateways, Outcome, Secret, Secrets, Source};
use tokio::net::TcpStream;
use tonic::{Code, Status};

use crate::support::{NEW_KEY, OLD_KEY, TOKEN, TestNode, start, start_taking, start_with_series};

pub(crate) const ORDER: &str = "0192f8c0-0000-7000-8000-000000000001";
/// Midtrans' own id of a charge.
const TRANSACTION: &str = "9aed5972-5b6a-401e-894b-a32c91ed1a3a";
pub(crate) const PROMISED: Duration = Duration::from_secs(2);

pub(crate) async fn send(node: &TestNode, gateway: &str, token: &str, body: impl Into<Bytes>) -> Response<Bytes> {
    let stream = TcpStream::connect(&node.webhook_address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("/v1/webhooks/{gateway}")).header("host", "node").header("x-callback-token", token);
    let answer = sender.send_request(request.body(Full::new(body.into())).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

pub(crate) fn told(answer: &Response<Bytes>) -> (u16, String) {
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    (answer.status().as_u16(), body["outcome"].as_str().unwrap_or_default().to_owned())
}

pub(crate) async fn midtrans(node: &TestNode, body: impl Into<Bytes>) -> (u16, String) {
    told(&send(node, "midtrans", "", body).await)
}

async fn xendit(node: &TestNode, token: &str, body: Value) -> (u16, String) {
    told(&send(node, "xendit", token, body.to_string()).await)
}

pub(crate) fn midtrans_notice(
    key: &str,
    order_id: &str,
    status_code: &str,
    gross_amount: &str,
    transaction_status: &str,
) -> String {
    let signature = hex::encode(Sha512::digest(format!("{order_id}{status_code}{gross_amount}{key}")));
    json!({
        "order_id": order_id, "status_code": status_code, "gross_amount": gross_amount, "signature_key": signature,
        "transaction_status": transaction_status, "transaction_id": TRANSACTION,
        "fraud_status": "accept", "currency": "IDR", "a_field_of_next_year": [1, 2, 3],
    })
    .to_string()
}

pub(crate) fn paid(order_id: &str, gross_amount: &str) -> String {
    midtrans_notice(NEW_KEY, order_id, "200", gross_amount, "settlement")
}

pub(crate) async fn place(node: &mut TestNode, order_id: &str) {
    let order = PlaceOrderRequest {
        order_id: order_id.to_owned(),
        account_id: "portal-1".to_owned(),
        series_code: "AAA".to_owned(),
        quantity: 2,
    };
    node.client.place_order(order).await.unwrap();
}

pub(crate) async fn payment(node: &mut TestNode, gateway: &str, payment_id: &str) -> Result<GetPaymentResponse, Status> {
    let request =
        GetPaymentRequest { gateway: gateway.to_owned(), payment_id: payment_id.to_owned(), ..GetPaymentRequest::default() };
    node.client.get_payment(request).await.map(tonic::Response::into_inner)
}

async fn outcome(node: &mut TestNode, gateway: &str, payment_id: &str) -> PaymentOutcome {
    payment(node, gateway, payment_id).await.unwrap().payment.unwrap().outcome()
}

pub(crate) fn recorded() -> (u16, String) {
    (200, "recorded".to_owned())
}

#[tokio::test]
async fn a_paid_notice_issues_once_however_often_and_in_whatever_order_it_comes() {
    let mut node = start_with_series().await;
    place(&mut node, ORDER).await;
    assert_eq!(midtrans(&node, paid(ORDER, "20000.00")).await, recorded());
    for _ in 0..2 {
        assert_eq!(midtrans(&node, paid(ORDER, "20000.00")).await, (200, "replayed".to_owned()));
    }
    let with_old_key = midtrans_notice(OLD_KEY, ORDER, "200", "20000.00", "settlement");
    assert_eq!(midtrans(&node, with_old_key).await, (200, "replayed".to_owned()), "two keys are active");
    let late = midtrans_notice(NEW_KEY, ORDER, "201", "20000.00", "pending");
    assert_eq!(midtrans(&node, late).await, (200, "ignored".to_owned()), "it was sent before the payment, and comes after it");
    assert_eq!(outcome(&mut node, "midtrans", ORDER).await, PaymentOutcome::Applied);
    assert_eq!(node.notices.of(Source::Midtrans, Outcome::Recorded).get(), 1);
    assert_eq!(node.notices.of(Source::Midtrans, Outcome::Replayed).get(), 3);
    node.stop().await;
}

#[tokio::test]
async fn an_invoice_that_is_paid_and_settled_is_one_payment() {
    let mut node = start_with_series().await;
    place(&mut node, ORDER).await;
    let invoice = |status: &str| json!({ "id": "inv-1", "external_id": ORDER, "status": status, "amount": 20_000 });
    assert_eq!(xendit(&node, TOKEN, invoice("PENDING")).await, (200, "ignored".to_owned()));
    assert_eq!(xendit(&node, TOKEN, invoice("PAID")).await, recorded());
    assert_eq!(xendit(&node, TOKEN, invoice("SETTLED")).await, (200, "replayed".to_owned()));
    assert_eq!(xendit(&node, "guessed", invoice("PAID")).await, (401, "forged".to_owned()));
    node.stop().await;
}

#[tokio::test]
async fn money_that_fits_no_order_is_recorded_and_owed_back() {
    let mut node = start_with_series().await;
    place(&mut node, ORDER).await;
    let refund_due = || (200, "refund_due".to_owned());
    assert_eq!(midtrans(&node, paid(ORDER, "15000.00")).await, refund_due());
    let foreign = send(&node, "midtrans", "", paid("shop-17", "20000.00")).await;
    assert_eq!(told(&foreign), refund_due());
    let unknown = "0192f8c0-0000-7000-8000-00000000ffff";
    assert_eq!(midtrans(&node, paid(unknown, "20000.00")).await, refund_due());
    assert_eq!(midtrans(&node, paid("shop-17", "20000.00")).await, (200, "replayed".to_owned()));
    assert_eq!(outcome(&mut node, "midtrans", ORDER).await, PaymentOutcome::RefundDueWrongAmount);
    let foreign: Value = serde_json::from_slice(foreign.body()).unwrap();
    let foreign = foreign["about"]["payment"].as_str().unwrap().strip_prefix("midtrans/").unwrap();
    assert!(foreign.starts_with("foreign-"), "another system's id is nowhere in the ledger: {foreign}");
    assert_eq!(outcome(&mut node, "midtrans", foreign).await, PaymentOutcome::RefundDueOrderUnknown);
    assert_eq!(payment(&mut node, "midtrans", "shop-17").await.unwrap_err().code(), Code::NotFound);
    let due = node.admin.list_refunds_due(ListRefundsDueRequest::default()).await.unwrap().into_inner().refunds;
    assert_eq!(due.iter().map(|refund| refund.amount_idr).collect::<Vec<_>>(), [15_000, 20_000, 20_000]);
    // A second charge of the same order, in time and of the right amount.
    assert_eq!(midtrans(&node, paid(&format!("{ORDER}-2"), "20000.00")).await, recorded());
    node.stop().await;
}

#[tokio::test]
async fn what_is_forged_broken_or_too_long_changes_nothing() {
    let mut node = start_with_series().await;
    place(&mut node, ORDER).await;
    let genuine = paid(ORDER, "20000.00");
    for (body, answer) in [
        (genuine.replace("20000.00", "20000"), (401, "forged")),
        (midtrans_notice("server-key-of-april", ORDER, "200", "20000.00", "settlement"), (401, "forged")),
        (genuine[..genuine.len() / 2].to_owned(), (400, "malformed")),
        (String::new(), (400, "malformed")),
        (paid(ORDER, "20000.50"), (400, "unusable")),
        (genuine.replace('}', &format!(r#","more":"{}"}}"#, "x".repeat(limits::WEBHOOK_BODY_BYTES_MAX))), (413, "oversized")),
    ] {
        assert_eq!(midtrans(&node, body).await, (answer.0, answer.1.to_owned()));
    }
    assert_eq!(payment(&mut node, "midtrans", ORDER).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(midtrans(&node, genuine).await, recorded(), "the genuine one still counts");
    node.stop().await;
}

#[tokio::test]
async fn what_is_forged_broken_or_too_long_of_xendit_changes_nothing() {
    let mut node = start_with_series().await;
    place(&mut node, ORDER).await;
    let genuine = json!({ "id": "inv-1", "external_id": ORDER, "status": "PAID", "amount": 20_000 }).to_string();
    for (token, body, answer) in [
        ("guessed", genuine.clone(), (401, "forged")),
        ("", genuine.clone(), (401, "forged")),
        ("guessed", String::new(), (401, "forged")),
        (TOKEN, genuine[..genuine.len() / 2].to_owned(), (400, "unusable")),
        (TOKEN, String::new(), (400, "unusable")),
        (TOKEN, genuine.replace("20000", "20000.5"), (400, "unusable")),
        (
            TOKEN,
            genuine.replace('}', &format!(r#","more":"{}"}}"#, "x".repeat(limits::WEBHOOK_BODY_BYTES_MAX))),
            (413, "oversized"),
        ),
    ] {
        assert_eq!(told(&send(&node, "xendit", token, body).await), (answer.0, answer.1.to_owned()));
    }
    assert_eq!(payment(&mut node, "xendit", "inv-1").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(told(&send(&node, "xendit", TOKEN, genuine).await), recorded(), "the genuine one still counts");
    node.stop().await;
}

/// Of an order of its own: what each notice is answered, by its `transaction_status` and the `status_code` that is signed.
async fn answers_to(node: &mut TestNode, nth: u8, notices: &[(&str, &str)]) -> Vec<String> {
    let order = format!("0192f8c0-0000-7000-8000-0000000001{nth:02}");
    place(node, &order).await;
    let mut answers = Vec::new();
    for (transaction_status, status_code) in notices {
        let notice = midtrans_notice(NEW_KEY, &order, status_code, "20000.00", transaction_status);
        let (status, outcome) = midtrans(node, notice).await;
        assert_eq!(status, 200, "{transaction_status}: {outcome}");
        answers.push(outcome);
    }
    answers
}

#[tokio::test]
async fn money_that_was_taken_back_is_told_to_somebody_in_whatever_order_the_notices_come() {
    let mut node = start_with_series().await;
    type Case = (&'static [(&'static str, &'static str)], &'static [&'static str]);
    let cases: [Case; 11] = [
        // A card's charge is cancelled after its capture; Midtrans' samples have both codes.
        (&[("capture", "200"), ("cancel", "200"), ("capture", "200")], &["recorded", "reversed", "replayed"]),
        (&[("capture", "200"), ("cancel", "202")], &["recorded", "reversed"]),
        (&[("settlement", "200"), ("deny", "202")], &["recorded", "reversed"]),
        (&[("settlement", "200"), ("expire", "407")], &["recorded", "reversed"]),
        (&[("settlement", "200"), ("failure", "202")], &["recorded", "reversed"]),
        (&[("settlement", "200"), ("refund", "200")], &["recorded", "reversed"]),
        // The end is told first: what took the money back is known by its code, and the late capture is still recorded.
        (&[("cancel", "200"), ("capture", "200")], &["reversed", "recorded"]),
        (&[("refund", "200"), ("settlement", "200")], &["reversed", "recorded"]),
        // Nothing was taken.
        (&[("pending", "201"), ("expire", "407"), ("expire", "407")], &["ignored", "ignored", "ignored"]),
        (&[("cancel", "202"), ("settlement", "200")], &["ignored", "recorded"]),
        (&[("settlement", "200"), ("pending", "201"), ("authorize", "200")], &["recorded", "ignored", "ignored"]),
    ];
    for (nth, (notices, answers)) in (0..).zip(cases) {
        assert_eq!(answers_to(&mut node, nth, notices).await, answers, "{notices:?}");
    }
    let invoice = |id: &str, status: &str| json!({ "id": id, "external_id": ORDER, "status": status, "amount": 20_000 });
    place(&mut node, ORDER).await;
    for (notice, outcome) in [
        (invoice("inv-1", "EXPIRED"), "ignored"),
        (invoice("inv-1", "PAID"), "recorded"),
        (invoice("inv-1", "EXPIRED"), "reversed"),
        (invoice("inv-1", "SETTLED"), "replayed"),
        (invoice("inv-2", "EXPIRED"), "ignored"),
    ] {
        assert_eq!(xendit(&node, TOKEN, notice.clone()).await, (200, outcome.to_owned()), "{notice}");
    }
    node.stop().await;
}

#[tokio::test]
async fn without_a_leader_a_cancelled_charge_is_to_be_told_again() {
    let node = start().await;
    let cancelled = midtrans_notice(NEW_KEY, ORDER, "202", "20000.00", "cancel");
    assert_eq!(midtrans(&node, cancelled).await, (503, "unavailable".to_owned()), "it may have been paid");
}

/// What is written to the log, by all tests of this process: whether a line is written at all is decided once for all threads.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let written = log.clone();
    let subscriber = tracing_subscriber::fmt().json().with_max_level(tracing::Level::WARN).with_writer(move || written.clone());
    tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
    log
});

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn notices(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["fields"].clone());
        lines.filter(|fields| fields["event"] == "webhook_notice").collect()
    }

    /// The newest of a payment.
    fn notice_of(&self, payment: &str) -> Value {
        let of_payment = |line: &Value| line["payment"] == payment;
        self.notices().into_iter().rfind(of_payment).unwrap_or_else(|| panic!("no line of {payment}"))
    }
}

#[tokio::test]
async fn the_log_line_of_a_notice_that_needs_somebody_has_its_ids_and_nobodys_number() {
    const LOGGED: &str = "0192f8c0-0000-7000-8000-0000000010d1";
    let log = &*LOG;
    let node = start_with_series().await;
    let of_midtrans = |code, status| midtrans_notice(NEW_KEY, LOGGED, code, "20000.00", status);
    for (body, outcome) in [
        (of_midtrans("200", "cancel"), "reversed"),
        (of_midtrans("200", "a_word_of_next_year"), "unknown"),
        (paid(LOGGED, "20000.50"), "unusable"),
        (paid(LOGGED, "20000.00"), "refund_due"),
        (paid(LOGGED, "30000.00"), "conflict"),
        (of_midtrans("202", "deny"), "reversed"),
    ] {
        assert_eq!(midtrans(&node, body).await.1, outcome);
        let line = log.notice_of(&format!("midtrans/{LOGGED}"));
        assert_eq!((&line["gateway"], &line["outcome"]), (&json!("midtrans"), &json!(outcome)));
        assert_eq!((&line["order"], &line["transaction"]), (&json!(LOGGED), &json!(TRANSACTION)), "{line}");
    }
    let event = json!({ "event": "payment.of_next_year", "data": { "payment_id": "py-log", "reference_id": LOGGED } });
    assert_eq!(xendit(&node, TOKEN, event).await, (422, "unknown".to_owned()));
    assert_eq!(log.notice_of("xendit/py-log")["order"], json!(LOGGED));

    let phone = "081234567890";
    let foreign = send(&node, "midtrans", "", paid(phone, "20000.00")).await;
    let foreign = serde_json::from_slice::<Value>(foreign.body()).unwrap()["about"]["payment"].clone();
    assert_eq!(log.notice_of(foreign.as_str().unwrap())["outcome"], json!("refund_due"));
    let wordy = json!({ "id": "inv-log", "external_id": phone, "status": "x".repeat(10_000) });
    assert_eq!(xendit(&node, TOKEN, wordy).await, (422, "unknown".to_owned()));
    let wordy = log.notice_of("xendit/inv-log");
    assert!(wordy["message"].as_str().unwrap().len() < 2 * limits::WEBHOOK_MESSAGE_CHARS_MAX, "what is quoted has an end");
    assert_eq!(xendit(&node, "guessed", json!({})).await.0, 401);
    assert!(!log.notices().iter().any(|line| line["outcome"] == "forged"), "strangers fill no log");
    assert!(!format!("{:?}", log.notices()).contains(phone));
    node.stop().await;
}

#[tokio::test]
async fn an_id_that_was_told_with_another_amount_is_a_conflict_and_changes_nothing() {
    let mut node = start_with_series().await;
    place(&mut node, ORDER).await;
    assert_eq!(midtrans(&node, paid(ORDER, "20000.00")).await, recorded());
    assert_eq!(midtrans(&node, paid(ORDER, "30000.00")).await, (409, "conflict".to_owned()));
    assert_eq!(payment(&mut node, "midtrans", ORDER).await.unwrap().payment.unwrap().amount_idr, 20_000);
    node.stop().await;
}

#[tokio::test]
async fn an_answer_says_where_the_money_is_or_what_a_caller_of_grpc_would_be_told() {
    let mut node = start_with_series().await;
    place(&mut node, ORDER).await;
    let mut told = Vec::new();
    for amount in ["20000.00", "20000.00", "30000.00"] {
        let answer = send(&node, "midtrans", "", paid(ORDER, amount)).await;
        told.push(serde_json::from_slice::<Value>(answer.body()).unwrap());
    }
    let receipt = payment(&mut node, "midtrans", ORDER).await.unwrap().payment.unwrap().recorded.unwrap();
    for (told, replayed) in told.iter().zip([false, true]) {
        let told = &told["payment"];
        assert_eq!((&told["outcome"], &told["replayed"]), (&json!("PAYMENT_OUTCOME_APPLIED"), &json!(replayed)));
        assert_eq!((&told["log_index"], &told["offset"]), (&json!(receipt.log_index), &json!(receipt.offset)));
    }
    let error = &told[2]["error"];
    assert_eq!((&error["reason"], &error["domain"]), (&json!("PAYMENT_ID_REUSED"), &json!("stampede")));
    assert_eq!((&error["metadata"]["effect"], &error["metadata"]["field"]), (&json!("none"), &json!("amount_idr")));
    node.stop().await;

    let lonely = start().await;
    let answer = send(&lonely, "midtrans", "", paid(ORDER, "20000.00")).await;
    let told: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!((&told["error"]["reason"], &told["error"]["metadata"]["effect"]), (&json!("NO_LEADER"), &json!("retry")));
}

#[tokio::test]
async fn a_gateway_without_a_secret_is_not_listened_to() {
    let secrets = Secrets { midtrans: vec![Secret::new(NEW_KEY)], xendit: Vec::new() };
    let node = start_taking(Gateways { secrets, midtrans_status: None }).await;
    let notice = json!({"id": "inv-1", "external_id": ORDER, "status": "PAID", "amount": 20_000}).to_string();
    assert_eq!(send(&node, "xendit", "", notice).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(send(&node, "midtrans", "", "{}").await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_genuine_notice_that_records_nothing_says_why() {
    let node = start_with_series().await;
    let told_of = |transaction_status| midtrans_notice(NEW_KEY, ORDER, "200", "20000.00", transaction_status);
    for (body, status, outcome) in [
        (told_of("refund"), 200, "reversed"),
        (told_of("a_word_of_next_year"), 422, "unknown"),
        (told_of("expire"), 200, "ignored"),
        (paid(ORDER, "20000.50"), 400, "unusable"),
    ] {
        assert_eq!(midtrans(&node, body).await, (status, outcome.to_owned()));
    }
    assert_eq!(node.notices.of(Source::Midtrans, Outcome::Unusable).get(), 1);
}

#[tokio::test]
async fn without_a_leader_the_gateway_is_told_in_time_to_send_it_again() {
    let node = start().await;
    let begun = Instant::now();
    let answer = send(&node, "midtrans", "", paid(ORDER, "20000.00")).await;
    assert!(begun.elapsed() < PROMISED, "{:?}", begun.elapsed());
    assert_eq!((answer.status(), told(&answer).1.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "unavailable"));
    assert_eq!(answer.headers()[RETRY_AFTER], "1");
    assert_eq!(node.notices.of(Source::Midtrans, Outcome::Unavailable).get(), 1);
}

/// The command's exit code, and what it printed.
async fn replay(node: &TestNode, notices: &[(&str, &str)]) -> (i32, Value) {
    let lines: Vec<String> = notices
        .iter()
        .map(|(gateway, body)| {
            json!({ "gateway": gateway, "headers": { "x-callback-token": TOKEN }, "body": body }).to_string()
        })
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines.join("\n")).unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_stampede"));
    command.args(["webhook", "replay", "--output", "json", "--webhook", &node.webhook_address]).arg(file.path());
    let output = command.kill_on_drop(true).output().await.unwrap();
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap_or_default())
}

#[tokio::test]
async fn notices_that_were_kept_can_be_sent_later_and_once_more() {
    let mut node = start_with_series().await;
    place(&mut node, ORDER).await;
    let genuine = paid(ORDER, "20000.00");
    let forged = genuine.replace("20000.00", "90000.00");
    let (code, told) = replay(&node, &[("midtrans", &genuine), ("midtrans", &forged)]).await;
    assert_eq!((code, &told[0]["outcome"], &told[1]["status"]), (12, &json!("recorded"), &json!(401)), "{told}");
    let (code, told) = replay(&node, &[("midtrans", &genuine)]).await;
    assert_eq!((code, &told[0]["outcome"]), (0, &json!("replayed")), "{told}");
    let pending = json!({ "id": "inv-1", "external_id": ORDER, "status": "PENDING" }).to_string();
    assert_eq!(replay(&node, &[("xendit", &pending)]).await.0, 0, "nothing was paid");
    assert_eq!(replay(&node, &[("xendit", "{}")]).await.0, 12, "somebody has to look");
    assert_eq!(replay(&node, &[("nobody", "{}")]).await.0, 12, "no such gateway");
    node.stop().await;
}

#[tokio::test]
async fn a_notice_that_can_be_in_no_request_is_refused_at_once_and_its_secrets_are_not_shown() {
    for (gateway, headers, named) in [
        ("xendit", json!({ "x callback token": "hush" }), "x callback token"),
        ("xendit", json!({ "x-callback-token": "hush\n" }), "x-callback-token"),
        ("xen dit", json!({}), "xen dit"),
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        let kept = json!({ "gateway": gateway, "headers": headers, "body": "{}" });
        std::fs::write(file.path(), kept.to_string()).unwrap();
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_stampede"));
        // Nobody listens there: who tried would only learn that.
        command.args(["webhook", "replay", "--webhook", "127.0.0.1:1"]).arg(file.path());
        let output = command.kill_on_drop(true).output().await.unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("line 1") && told.contains(named) && !told.contains("hush"), "{told}");
    }
}

//! The webhook port: `POST /v1/webhooks/midtrans` and `/v1/webhooks/xendit`.
//!
//! In this order: size → raw bytes → origin → contents → `RecordPayment`, committed and applied → 2xx. Gateways send a notice again
//! until they see a 2xx, and give up on a silent server: whatever keeps the payment from being recorded is a 503 within
//! [`limits::WEBHOOK_ANSWER_WITHIN`], and the same notice again is a 200 without a second effect.
//!
//! | status | `outcome` | what happened |
//! |---|---|---|
//! | 200 | `recorded`, `refund_due` | the money is in the ledger: stamps were issued, or it is owed back |
//! | 200 | `replayed` | it was there already |
//! | 200 | `ignored` | a genuine notice of a payment that is not made, or not yet |
//! | 200 | `reversed` | a genuine notice of money that the gateway took back: nothing is recorded, somebody has to look |
//! | 200 | `unknown` | a genuine notice of something else: nothing is recorded, the log names it |
//! | 400 | `malformed` | no notice, whoever sent it: `message` names the field |
//! | 400 | `unusable` | the gateway sent it, but the ledger cannot take it: money may have come, somebody has to look |
//! | 401 | `forged` | not of this merchant |
//! | 404 | | no secret for this gateway is configured |
//! | 409 | `conflict` | the id was told before with another order or amount |
//! | 413 | `oversized` | |
//! | 503 | `unavailable` | not recorded, or not known: send it again |
//!
//! Of a payment that is in the ledger, `payment` tells what its `RecordPayment` was answered. Of what the ledger refused, or
//! consensus did not do, `error` is what a caller of gRPC would be told.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::places::Place;
use super::{ForeignOrders, Notice, NoticeMetrics, Outcome, Rejected, Secrets, Source, connections, midtrans, xendit};
use crate::domain::{self, Command, PaymentOutcome, Reply};
use crate::limits;
use crate::planted;
use crate::transport::edge::Edge;
use crate::transport::errors::{Effect, Failure, Reason};
use crate::transport::ledger_node::LedgerNode;
use crate::transport::wire;

struct Port<N> {
    edge: Edge<N>,
    secrets: Secrets,
    foreign: ForeignOrders,
    metrics: Arc<NoticeMetrics>,
}

/// Until `stop` turns true; then those under way are answered.
pub async fn serve_webhooks<N: LedgerNode>(
    listener: TcpListener,
    edge: Edge<N>,
    secrets: Secrets,
    metrics: Arc<NoticeMetrics>,
    stop: watch::Receiver<bool>,
) {
    let foreign = ForeignOrders::of(edge.key());
    let counted = Arc::clone(&metrics);
    let router = Router::new()
        .route("/v1/webhooks/midtrans", post(midtrans_notice::<N>))
        .route("/v1/webhooks/xendit", post(xendit_notice::<N>))
        .with_state(Arc::new(Port { edge, secrets, foreign, metrics }));
    connections::serve(listener, router, connections::BOUNDS, &counted, stop).await;
}

async fn midtrans_notice<N: LedgerNode>(
    State(port): State<Arc<Port<N>>>,
    Extension(place): Extension<Place>,
    body: Body,
) -> Response {
    if port.secrets.midtrans.is_empty() {
        return not_configured("gateways.midtrans_keys_file");
    }
    let read = |body: &Bytes| midtrans::read(body, &port.secrets.midtrans, &port.foreign);
    port.answer(Source::Midtrans, &place, body, read).await
}

async fn xendit_notice<N: LedgerNode>(
    State(port): State<Arc<Port<N>>>,
    Extension(place): Extension<Place>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if port.secrets.xendit.is_empty() {
        return not_configured("gateways.xendit_tokens_file");
    }
    let token = headers.get(xendit::TOKEN_HEADER).map(HeaderValue::as_bytes);
    let read = |body: &Bytes| xendit::read(token, body, &port.secrets.xendit, &port.foreign);
    port.answer(Source::Xendit, &place, body, read).await
}

fn not_configured(key: &str) -> Response {
    let message = format!("this node takes no notices of this gateway: {key} is not set");
    (StatusCode::NOT_FOUND, Json(json!({ "message": message }))).into_response()
}

struct Answer {
    outcome: Outcome,
    /// For people, if it is no success.
    message: Option<String>,
    /// Another member of the answer, by its name.
    more: Option<(&'static str, Value)>,
}

impl Answer {
    fn new(outcome: Outcome, message: Option<String>) -> Self {
        Self { outcome, message, more: None }
    }

    fn of_failure(outcome: Outcome, failure: Failure) -> Self {
        let more = Some(("error", failure.error_info()));
        Self { outcome, message: Some(failure.message), more }
    }

    /// The payment is in the ledger.
    fn of_payment(payment: &PaymentOutcome, reply: &Reply, term: u64) -> Self {
        let outcome = match payment {
            _ if reply.replayed => Outcome::Replayed,
            PaymentOutcome::Applied(_) => Outcome::Recorded,
            _ => Outcome::RefundDue,
        };
        let told = json!({
            "outcome": wire::payment_outcome(payment).as_str_name(),
            "log_index": reply.place.log_index, "offset": reply.place.offset, "replayed": reply.replayed, "term": term,
        });
        Self { outcome, message: None, more: Some(("payment", told)) }
    }
}

impl<N: LedgerNode> Port<N> {
    async fn answer(
        &self,
        source: Source,
        place: &Place,
        body: Body,
        read: impl Fn(&Bytes) -> Result<Notice, Rejected>,
    ) -> Response {
        let deadline = Instant::now() + limits::WEBHOOK_ANSWER_WITHIN;
        let answer = match self.take_in(body, deadline, read).await {
            Ok(command) => {
                let _answering = place.answering();
                self.record(command, deadline).await
            }
            Err((outcome, message)) => Answer::new(outcome, message),
        };
        self.metrics.of(source, answer.outcome).add(1);
        log(source, &answer);
        response(answer)
    }

    /// The payment that the notice tells of.
    async fn take_in(
        &self,
        body: Body,
        deadline: Instant,
        read: impl Fn(&Bytes) -> Result<Notice, Rejected>,
    ) -> Result<Command, (Outcome, Option<String>)> {
        let body = match timeout_at(deadline, to_bytes(body, limits::WEBHOOK_BODY_BYTES_MAX)).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) if is_too_long(&error) => {
                let limit = limits::WEBHOOK_BODY_BYTES_MAX;
                return Err((Outcome::Oversized, Some(format!("body must have at most {limit} bytes"))));
            }
            Ok(Err(error)) => return Err((Outcome::Malformed, Some(format!("body ended early: {error}")))),
            Err(_) => return Err((Outcome::Unavailable, Some("body did not come in time".to_owned()))),
        };
        match read(&body) {
            Ok(Notice::Paid(command)) => Ok(command),
            Ok(Notice::NotPaid) => Err((Outcome::Ignored, None)),
            Ok(Notice::Reversed(told)) => Err((Outcome::Reversed, Some(format!("{told}: compare the gateway's books")))),
            Ok(Notice::Unknown(told)) => Err((Outcome::Unknown, Some(format!("{told:?} is not known here")))),
            Err(Rejected::Forged(why)) => Err((Outcome::Forged, Some(why.to_owned()))),
            Err(Rejected::Malformed(failure)) => Err((Outcome::Malformed, Some(failure.message))),
            Err(Rejected::Unusable(failure)) => Err((Outcome::Unusable, Some(failure.message))),
        }
    }

    async fn record(&self, command: Command, deadline: Instant) -> Answer {
        let within = deadline.saturating_duration_since(Instant::now());
        let committed = self.commit(command, within);
        if planted::is(12) {
            // 2xx before the commit. (Who stops waiting does not stop the proposal.)
            let unawaited = timeout_at(Instant::now(), committed).await;
            return unawaited.unwrap_or_else(|_| Answer::new(Outcome::Recorded, None));
        }
        committed.await
    }

    async fn commit(&self, command: Command, within: Duration) -> Answer {
        let (reply, term) = match self.edge.submit(vec![command], within).await {
            Ok(submitted) => (submitted.replies.into_iter().next(), submitted.term),
            Err(failure) => return Answer::of_failure(Outcome::Unavailable, failure),
        };
        let Some(reply) = reply else { return misfit() };
        match &reply.outcome {
            domain::Outcome::PaymentRecorded(payment) => Answer::of_payment(payment, &reply, term),
            domain::Outcome::Refused(refusal) => {
                let failure = Failure::refused(*refusal, Some(wire::receipt(reply.place, reply.replayed, term)));
                debug_assert!(failure.reason == Reason::PaymentIdReused && failure.reason.effect() == Effect::None);
                Answer::of_failure(Outcome::Conflict, failure)
            }
            _ => misfit(),
        }
    }
}

fn misfit() -> Answer {
    Answer::new(Outcome::Unavailable, Some("the ledger's answer does not fit the command".to_owned()))
}

fn log(source: Source, answer: &Answer) {
    let (gateway, outcome, told) = (source.name(), answer.outcome.name(), answer.message.as_deref().unwrap_or_default());
    match answer.outcome {
        Outcome::Recorded | Outcome::Replayed | Outcome::Ignored => {}
        Outcome::RefundDue
        | Outcome::Conflict
        | Outcome::Unavailable
        | Outcome::Reversed
        | Outcome::Unknown
        | Outcome::Unusable => {
            tracing::warn!(event = "webhook_notice", gateway, outcome, "a gateway's notice: {told}");
        }
        // Anyone can send these: the metric counts them, the log is not theirs to fill.
        Outcome::Forged | Outcome::Malformed | Outcome::Oversized => {
            tracing::debug!(event = "webhook_notice", gateway, outcome, "a notice: {told}");
        }
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}

fn response(answer: Answer) -> Response {
    let Answer { outcome, message, more } = answer;
    let status = match outcome {
        Outcome::Recorded
        | Outcome::RefundDue
        | Outcome::Replayed
        | Outcome::Ignored
        | Outcome::Reversed
        | Outcome::Unknown => StatusCode::OK,
        Outcome::Malformed | Outcome::Unusable => StatusCode::BAD_REQUEST,
        Outcome::Forged => StatusCode::UNAUTHORIZED,
        Outcome::Conflict => StatusCode::CONFLICT,
        Outcome::Oversized => StatusCode::PAYLOAD_TOO_LARGE,
        Outcome::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut body = json!({ "outcome": outcome.name() });
    if let Some(message) = message {
        body["message"] = message.into();
    }
    if let Some((name, value)) = more {
        body[name] = value;
    }
    let mut response = (status, Json(body)).into_response();
    if outcome == Outcome::Unavailable {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

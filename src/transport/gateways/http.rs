//! The webhook port: `POST /v1/webhooks/midtrans` and `/v1/webhooks/xendit`.
//!
//! In this order: size → raw bytes → origin → contents → the gateway's own word, where it is asked → `RecordPayment`, committed and applied → 2xx. Gateways send a notice again
//! until they see a 2xx, and give up on a silent server: whatever keeps the payment from being recorded is a 503 within
//! [`limits::WEBHOOK_ANSWER_WITHIN`], and the same notice again is a 200 without a second effect.
//!
//! | status | `outcome` | what happened |
//! |---|---|---|
//! | 200 | `recorded`, `refund_due` | the money is in the ledger: stamps were issued, or it is owed back |
//! | 200 | `replayed` | it was there already |
//! | 200 | `ignored` | a genuine notice of a payment that is not made, or not yet, and that the ledger does not have |
//! | 200 | `reversed` | a genuine notice of money that the gateway took back: nothing is recorded, somebody has to look |
//! | 400 | `malformed` | no notice, whoever sent it: `message` names the field |
//! | 400 | `unusable` | the gateway sent it, but the ledger cannot take it: money may have come, somebody has to look |
//! | 401 | `forged` | not of this merchant |
//! | 404 | | no secret for this gateway is configured |
//! | 409 | `conflict` | the id was told before with another order or amount |
//! | 413 | `oversized` | |
//! | 422 | `unknown` | a genuine notice of something that we have no word for: money may have come, somebody has to look |
//! | 503 | `unavailable` | not recorded, or not known: send it again |
//!
//! Of a payment that is in the ledger, `payment` tells what its `RecordPayment` was answered. Of what the ledger refused, or
//! consensus did not do, `error` is what a caller of gRPC would be told. `about` has the ledger's names of what a genuine notice
//! is about; the log line of one that needs somebody has the same.
//!
//! Gateways repeat what is not answered with 2xx: Xendit six times within a day whatever it is, Midtrans a few times, fewer after
//! a 400 than after a 422.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use bytes::Bytes;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::answer::Answer;
use super::midtrans::{Charge, Now};
use super::midtrans_status::MidtransStatus;
use super::places::Place;
use super::{
    About, ForeignIds, Gateways, Notice, NoticeMetrics, Outcome, Rejected, Secrets, Source, Told, connections, midtrans, xendit,
};
use crate::consensus::Consistency;
use crate::domain::{self, Command, LedgerView};
use crate::limits;
use crate::planted;
use crate::transport::edge::Edge;
use crate::transport::errors::{Effect, Failure, Reason};
use crate::transport::ledger_node::LedgerNode;
use crate::transport::wire;

struct Port<N> {
    edge: Edge<N>,
    secrets: Secrets,
    midtrans_status: Option<MidtransStatus>,
    foreign: ForeignIds,
    metrics: Arc<NoticeMetrics>,
}

/// Until `stop` turns true; then those under way are answered.
pub async fn serve_webhooks<N: LedgerNode>(
    listener: TcpListener,
    edge: Edge<N>,
    gateways: Gateways,
    metrics: Arc<NoticeMetrics>,
    stop: watch::Receiver<bool>,
) {
    let foreign = ForeignIds::of(edge.key());
    let counted = Arc::clone(&metrics);
    let Gateways { secrets, midtrans_status } = gateways;
    let midtrans_status = midtrans_status.map(MidtransStatus::new);
    let router = Router::new()
        .route("/v1/webhooks/midtrans", post(midtrans_notice::<N>))
        .route("/v1/webhooks/xendit", post(xendit_notice::<N>))
        .with_state(Arc::new(Port { edge, secrets, midtrans_status, foreign, metrics }));
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

impl<N: LedgerNode> Port<N> {
    async fn answer(
        &self,
        source: Source,
        place: &Place,
        body: Body,
        read: impl Fn(&Bytes) -> Result<Notice, Rejected>,
    ) -> Response {
        let deadline = Instant::now() + limits::WEBHOOK_ANSWER_WITHIN;
        let answer = match take_in(body, deadline, read).await {
            Ok(Notice { about, told, charge }) => {
                let _answering = place.answering();
                self.act_on(told, &about, charge.as_ref(), deadline).await.about(about)
            }
            Err(answer) => answer,
        };
        self.metrics.of(source, answer.outcome).add(1);
        answer.log(source);
        answer.response()
    }

    async fn act_on(&self, told: Told, about: &About, charge: Option<&Charge>, deadline: Instant) -> Answer {
        match told {
            Told::Paid(command) => match self.confirm(charge, deadline).await {
                Ok(()) => self.record(command, deadline).await,
                Err(answer) => answer,
            },
            Told::NotYet => Answer::new(Outcome::Ignored, None),
            Told::Ended(words) => self.end(words, about, deadline).await,
            Told::Reversed(words) => reversed(&words),
            Told::Unknown(words) => Answer::new(Outcome::Unknown, Some(format!("{words} is not known here"))),
        }
    }

    /// Asks the gateway whether it is still paid, if there is a way to.
    async fn confirm(&self, charge: Option<&Charge>, deadline: Instant) -> Result<(), Answer> {
        let (Some(status), Some(charge)) = (&self.midtrans_status, charge) else { return Ok(()) };
        match status.ask(charge, &self.secrets.midtrans, deadline).await {
            Ok(Now::Paid) => Ok(()),
            Ok(Now::TakenBack(words)) => Err(reversed(&format!("told as paid, now {words}"))),
            Ok(Now::NotPaid(words)) => {
                Err(Answer::new(Outcome::Unknown, Some(format!("told as paid, GET Status says {words}"))))
            }
            Err(why) => Err(Answer::new(Outcome::Unavailable, Some(why))),
        }
    }

    /// A payment that ended before it was made is nothing; one that the ledger has was taken back.
    async fn end(&self, words: String, about: &About, deadline: Instant) -> Answer {
        let Some(payment) = about.payment.clone() else {
            return Answer::new(Outcome::Unknown, Some(format!("{words} names no payment")));
        };
        let within = deadline.saturating_duration_since(Instant::now());
        match self.edge.read(Consistency::Linearizable, within, move |view| view.payment(&payment)).await {
            Ok((_, None)) => Answer::new(Outcome::Ignored, None),
            Ok((_, Some(_))) => reversed(&words),
            Err(failure) => Answer::of_failure(Outcome::Unavailable, failure),
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

/// The notice that a body holds, whoever sent it.
async fn take_in(body: Body, deadline: Instant, read: impl Fn(&Bytes) -> Result<Notice, Rejected>) -> Result<Notice, Answer> {
    let body = match timeout_at(deadline, to_bytes(body, limits::WEBHOOK_BODY_BYTES_MAX)).await {
        Ok(Ok(body)) => body,
        Ok(Err(error)) if is_too_long(&error) => {
            let limit = limits::WEBHOOK_BODY_BYTES_MAX;
            return Err(Answer::new(Outcome::Oversized, Some(format!("body must have at most {limit} bytes"))));
        }
        Ok(Err(error)) => return Err(Answer::new(Outcome::Malformed, Some(format!("body ended early: {error}")))),
        Err(_) => return Err(Answer::new(Outcome::Unavailable, Some("body did not come in time".to_owned()))),
    };
    read(&body).map_err(|why| match why {
        Rejected::Forged(why) => Answer::new(Outcome::Forged, Some(why.to_owned())),
        Rejected::Malformed(failure) => Answer::new(Outcome::Malformed, Some(failure.message)),
        Rejected::Unusable(failure, about) => Answer::new(Outcome::Unusable, Some(failure.message)).about(*about),
    })
}

fn is_too_long(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}

fn reversed(words: &str) -> Answer {
    Answer::new(Outcome::Reversed, Some(format!("{words}: compare the gateway's books")))
}

fn misfit() -> Answer {
    Answer::new(Outcome::Unavailable, Some("the ledger's answer does not fit the command".to_owned()))
}

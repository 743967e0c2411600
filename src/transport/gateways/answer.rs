//! What a gateway is answered, and what the log keeps of a notice that needs somebody.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{About, Outcome, Source};
use crate::domain::{PaymentOutcome, Reply};
use crate::limits;
use crate::transport::errors::Failure;
use crate::transport::wire;

pub(super) struct Answer {
    pub(super) outcome: Outcome,
    /// For people, if it is no success. It may quote the notice: never longer than the limit.
    message: Option<String>,
    /// Of a notice whose origin is proved.
    about: About,
    /// Another member of the answer, by its name.
    more: Option<(&'static str, Value)>,
}

impl Answer {
    pub(super) fn new(outcome: Outcome, message: Option<String>) -> Self {
        let message = message.map(|message| message.chars().take(limits::WEBHOOK_MESSAGE_CHARS_MAX).collect());
        Self { outcome, message, about: About::default(), more: None }
    }

    pub(super) fn of_failure(outcome: Outcome, failure: Failure) -> Self {
        let more = Some(("error", failure.error_info()));
        Self { more, ..Self::new(outcome, Some(failure.message)) }
    }

    /// The payment is in the ledger.
    pub(super) fn of_payment(payment: &PaymentOutcome, reply: &Reply, term: u64) -> Self {
        let outcome = match payment {
            _ if reply.replayed => Outcome::Replayed,
            PaymentOutcome::Applied(_) => Outcome::Recorded,
            _ => Outcome::RefundDue,
        };
        let told = json!({
            "outcome": wire::payment_outcome(payment).as_str_name(),
            "log_index": reply.place.log_index, "offset": reply.place.offset, "replayed": reply.replayed, "term": term,
        });
        Self { more: Some(("payment", told)), ..Self::new(outcome, None) }
    }

    pub(super) fn about(self, about: About) -> Self {
        Self { about, ..self }
    }

    /// With the ledger's names, by which an operator finds the payment here and at the gateway; nothing else of the notice's ids.
    pub(super) fn log(&self, source: Source) {
        let (gateway, outcome) = (source.name(), self.outcome.name());
        let told = self.message.as_deref().unwrap_or_default();
        match self.outcome {
            Outcome::Recorded | Outcome::Replayed | Outcome::Ignored => {}
            Outcome::RefundDue
            | Outcome::Conflict
            | Outcome::Unavailable
            | Outcome::Reversed
            | Outcome::Unknown
            | Outcome::Unusable => {
                let About { payment, order, transaction } = &self.about;
                tracing::warn!(
                    event = "webhook_notice",
                    gateway,
                    outcome,
                    payment = payment.as_ref().map(tracing::field::display),
                    order = order.as_ref().map(tracing::field::display),
                    transaction = transaction.as_ref().map(tracing::field::display),
                    "a gateway's notice: {told}"
                );
            }
            // Anyone can send these: the metric counts them, the log is not theirs to fill.
            Outcome::Forged | Outcome::Malformed | Outcome::Oversized => {
                tracing::debug!(event = "webhook_notice", gateway, outcome, "a notice: {told}");
            }
        }
    }

    pub(super) fn response(self) -> Response {
        let status = status_of(self.outcome);
        let mut body = json!({ "outcome": self.outcome.name() });
        if let Some(message) = self.message {
            body["message"] = message.into();
        }
        let About { payment, order, transaction } = self.about;
        let names = [
            ("payment", payment.map(|name| name.to_string())),
            ("order", order.map(|id| id.to_string())),
            ("transaction", transaction.map(|id| id.to_string())),
        ];
        for (name, id) in names {
            if let Some(id) = id {
                body["about"][name] = id.into();
            }
        }
        if let Some((name, value)) = self.more {
            body[name] = value;
        }
        let mut response = (status, Json(body)).into_response();
        if self.outcome == Outcome::Unavailable {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn status_of(outcome: Outcome) -> StatusCode {
    match outcome {
        Outcome::Recorded | Outcome::RefundDue | Outcome::Replayed | Outcome::Ignored | Outcome::Reversed => StatusCode::OK,
        Outcome::Malformed | Outcome::Unusable => StatusCode::BAD_REQUEST,
        Outcome::Forged => StatusCode::UNAUTHORIZED,
        Outcome::Conflict => StatusCode::CONFLICT,
        Outcome::Oversized => StatusCode::PAYLOAD_TOO_LARGE,
        Outcome::Unknown => StatusCode::UNPROCESSABLE_ENTITY,
        Outcome::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

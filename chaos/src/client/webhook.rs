//! Notices as payment gateways post them, and what a node answers.
//!
//! Of a payment that was recorded the answer tells the place in the log, and of what was refused or not done the reason, as gRPC
//! does: the judge holds both to it. A real gateway looks at the status alone, so a 2xx that tells no place is kept as a promise
//! without one.

use std::fmt::Display;
use std::sync::Arc;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha512};
use tokio::sync::Semaphore;

use super::classify::{outcome_of_info, was_never_sent};
use crate::history::{Outcome, PaymentOutcome, Place, Purpose, Receipt, Request, WriteAnswer, Written, wire};
use crate::limits;
use crate::model::order_text;
use crate::network::Door;
use crate::proto::v1;

/// What the gateways share with the nodes.
#[derive(Debug, Clone)]
pub struct GatewaySecrets {
    pub midtrans_server_key: String,
    pub xendit_callback_token: String,
}

/// Of the drill's merchant accounts. They guard nothing: its cluster sells nothing.
impl Default for GatewaySecrets {
    fn default() -> Self {
        Self { midtrans_server_key: "drill-server-key".into(), xendit_callback_token: "drill-callback-token".into() }
    }
}

/// What a forger proves himself with.
const GUESSED: &str = "guessed";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gateway {
    Midtrans,
    Xendit,
}

impl Gateway {
    /// In the path, and of the payments in the ledger.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Midtrans => "midtrans",
            Self::Xendit => "xendit",
        }
    }
}

/// Of one node.
#[derive(Clone)]
pub(super) struct Webhook {
    address: String,
    secrets: Arc<GatewaySecrets>,
    /// For notices under way.
    places: Arc<Semaphore>,
    http: legacy::Client<Door, Full<Bytes>>,
}

impl Webhook {
    pub(super) fn new(address: &str, door: &Door, secrets: &Arc<GatewaySecrets>) -> Self {
        // A notice is one call of the history: it is not sent again behind our back.
        let http = legacy::Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build(door.clone());
        let secrets = Arc::clone(secrets);
        Self { address: address.to_owned(), secrets, places: Arc::new(Semaphore::new(limits::NOTICES_AT_ONCE_MAX)), http }
    }

    /// Posts a `RecordPayment` as the gateway would.
    pub(super) async fn post(self, gateway: Gateway, purpose: Purpose, request: Request) -> Outcome {
        let _place = self.places.acquire().await.expect("nobody closes it");
        let unknown = |why: &dyn Display| Outcome::Unknown { why: format!("{} webhook: {why}", gateway.name()).into() };
        let answer = match self.http.request(self.request(gateway, purpose, &request)).await {
            Ok(answer) => answer,
            Err(error) if was_never_sent(&error) => return Outcome::NotDone { reason: "CONNECTION_REFUSED".into() },
            Err(error) => return unknown(&error),
        };
        let status = answer.status();
        match Limited::new(answer.into_body(), limits::WEBHOOK_ANSWER_BYTES_MAX).collect().await {
            Ok(body) => outcome(status, &body.to_bytes()),
            // The node died under it: the gateway has no answer.
            Err(error) => unknown(&error),
        }
    }

    fn request(&self, gateway: Gateway, purpose: Purpose, request: &Request) -> hyper::Request<Full<Bytes>> {
        let Request::RecordPayment { payment, order, amount_idr } = request else {
            unreachable!("only payments come by webhook")
        };
        let (id, order, is_forged) = (&*payment.payment_id, order_text(*order), purpose == Purpose::Forged);
        let body = match gateway {
            Gateway::Midtrans => {
                let key = if is_forged { GUESSED } else { &self.secrets.midtrans_server_key };
                midtrans_body(id, *amount_idr, key)
            }
            Gateway::Xendit => xendit_body(id, &order, *amount_idr, purpose),
        };
        let token = if is_forged { GUESSED } else { &self.secrets.xendit_callback_token };
        hyper::Request::builder()
            .method(Method::POST)
            .uri(format!("http://{}/v1/webhooks/{}", self.address, gateway.name()))
            .header("content-type", "application/json")
            .header("x-callback-token", token)
            .body(Full::new(Bytes::from(body)))
            .expect("addresses are made by the tool")
    }
}

/// Midtrans calls the payment by the merchant's order id, which begins with ours.
fn midtrans_body(order_id: &str, amount_idr: i64, server_key: &str) -> String {
    let (status_code, gross_amount) = ("200", format!("{amount_idr}.00"));
    let digest = Sha512::digest(format!("{order_id}{status_code}{gross_amount}{server_key}"));
    let signature = digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    json!({
        "transaction_status": "settlement", "fraud_status": "accept", "transaction_id": format!("of-{order_id}"),
        "status_code": status_code, "signature_key": signature, "order_id": order_id, "gross_amount": gross_amount,
        "currency": "IDR", "payment_type": "bank_transfer",
    })
    .to_string()
}

/// An invoice is told as paid, and once more as settled.
fn xendit_body(id: &str, order: &str, amount_idr: i64, purpose: Purpose) -> String {
    let status = if purpose == Purpose::Duplicate { "SETTLED" } else { "PAID" };
    json!({
        "id": id, "external_id": order, "status": status, "amount": amount_idr, "paid_amount": amount_idr, "currency": "IDR",
    })
    .to_string()
}

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    outcome: String,
    payment: Option<Payment>,
    error: Option<ErrorInfo>,
}

#[derive(Deserialize)]
struct Payment {
    outcome: String,
    log_index: u64,
    offset: u32,
    replayed: bool,
    term: u64,
}

#[derive(Deserialize)]
struct ErrorInfo {
    reason: String,
    metadata: std::collections::HashMap<String, String>,
}

/// 2xx counts as delivered, whatever the body says.
fn promised() -> Outcome {
    let answer = WriteAnswer::Noticed { outcome: PaymentOutcome::Applied };
    Outcome::Written(Written { receipt: Receipt::default(), answer })
}

fn outcome(status: StatusCode, body: &[u8]) -> Outcome {
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    if status.is_success() {
        return body.payment.as_ref().and_then(noticed).unwrap_or_else(promised);
    }
    if let Some(error) = body.error {
        return outcome_of_info(&error.reason, &error.metadata);
    }
    if status.is_client_error() {
        // What a gateway is told so, it does not send again.
        let reason = if body.outcome.is_empty() { status.as_str().to_owned() } else { body.outcome.to_uppercase() };
        return Outcome::Refused { reason: reason.into(), field: "".into(), place: None, term: 0 };
    }
    Outcome::Unknown { why: format!("{status} {}", body.outcome).into() }
}

fn noticed(payment: &Payment) -> Option<Outcome> {
    let outcome = wire::payment_outcome(v1::PaymentOutcome::from_str_name(&payment.outcome)?.into())?;
    let place = Place { log_index: payment.log_index, offset: payment.offset };
    let receipt = Receipt { place, replayed: payment.replayed, term: payment.term };
    Some(Outcome::Written(Written { receipt, answer: WriteAnswer::Noticed { outcome } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, body: &str) -> Outcome {
        outcome(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn a_2xx_is_a_promise_also_if_it_does_not_say_where_the_money_is() {
        let whole = r#"{"outcome":"refund_due","payment":{"outcome":"PAYMENT_OUTCOME_REFUND_DUE_WRONG_AMOUNT",
            "log_index":7,"offset":1,"replayed":true,"term":3}}"#;
        let Outcome::Written(written) = told(200, whole) else { panic!("it is recorded") };
        let place = Place { log_index: 7, offset: 1 };
        assert_eq!(written.receipt, Receipt { place, replayed: true, term: 3 });
        assert_eq!(written.answer, WriteAnswer::Noticed { outcome: PaymentOutcome::WrongAmount });
        for body in ["", "{}", r#"{"outcome":"ignored"}"#, &whole.replace("WRONG", "RIGHT")] {
            let Outcome::Written(written) = told(200, body) else { panic!("{body}: the gateway stops here") };
            assert_eq!(written.receipt, Receipt::default());
        }
    }

    #[test]
    fn what_is_no_2xx_is_known_only_if_it_says_so() {
        let retry = r#"{"error":{"reason":"NO_LEADER","domain":"stampede","metadata":{"effect":"retry"}}}"#;
        assert!(matches!(told(503, retry), Outcome::NotDone { .. }));
        assert!(matches!(told(503, &retry.replace("retry", "unknown")), Outcome::Unknown { .. }));
        assert!(matches!(told(503, "{}"), Outcome::Unknown { .. }));
        let reused = r#"{"error":{"reason":"PAYMENT_ID_REUSED","metadata":{"effect":"none","field":"amount_idr",
            "log_index":"9","offset":"2","term":"4"}}}"#;
        let Outcome::Refused { place, field, .. } = told(409, reused) else { panic!("it is refused") };
        assert_eq!((place, &*field), (Some(Place { log_index: 9, offset: 2 }), "amount_idr"));
        let forged = Outcome::Refused { reason: "FORGED".into(), field: "".into(), place: None, term: 0 };
        assert_eq!(told(401, r#"{"outcome":"forged","message":"no"}"#), forged);
    }
}

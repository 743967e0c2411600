//! Xendit: invoice callbacks and payment events (docs.xendit.co, "Webhooks").
//!
//! The header `x-callback-token` is a fixed word of the account. It proves who sends, and nothing about the body: keep the port
//! away from the public network but for Xendit's addresses, behind TLS.
//!
//! An invoice is told twice, as PAID and as SETTLED: its id makes one payment of both. Subscribe to invoices *or* to payment
//! events for one charge: they carry different ids, and the second would look like a second payment, which is owed back.

use serde::Deserialize;

use super::{
    Field, ForeignOrders, Notice, Rejected, Secret, Source, check_currency, is_equal, malformed, parse, record_payment,
    text_of_number,
};

pub const TOKEN_HEADER: &str = "x-callback-token";

/// Of the older and the newer API: what tells that a payment was made. A refund says SUCCEEDED, too.
const PAYMENT_EVENTS: [&str; 2] = ["payment.succeeded", "payment.capture"];

/// An invoice callback, or the envelope of an event.
#[derive(Deserialize)]
struct Body {
    event: Option<String>,
    data: Option<Payment>,
    id: Option<String>,
    external_id: Option<String>,
    #[serde(default)]
    status: String,
    #[serde(default, deserialize_with = "text_of_number")]
    amount: Option<String>,
    #[serde(default, deserialize_with = "text_of_number")]
    paid_amount: Option<String>,
    currency: Option<String>,
}

/// `payment.succeeded` of the older API has `id` and `amount`, `payment.capture` of the newer `payment_id` and `request_amount`.
#[derive(Deserialize)]
struct Payment {
    payment_id: Option<String>,
    id: Option<String>,
    reference_id: Option<String>,
    #[serde(default)]
    status: String,
    #[serde(default, deserialize_with = "text_of_number")]
    request_amount: Option<String>,
    #[serde(default, deserialize_with = "text_of_number")]
    amount: Option<String>,
    currency: Option<String>,
}

/// # Errors
/// See [`Rejected`].
pub fn read(token: Option<&[u8]>, body: &[u8], tokens: &[Secret], foreign: &ForeignOrders) -> Result<Notice, Rejected> {
    let given = token.unwrap_or_default();
    if !tokens.iter().fold(false, |proved, secret| proved | is_equal(given, secret.as_str().as_bytes())) {
        return Err(Rejected::Forged("x-callback-token is not one of this account"));
    }
    understand(body, foreign).map_err(Rejected::of_proved)
}

fn understand(body: &[u8], foreign: &ForeignOrders) -> Result<Notice, Rejected> {
    let body: Body = parse(body)?;
    match (&body.event, &body.data) {
        (Some(event), _) if is_reversal(event) => Ok(Notice::Reversed(event.clone())),
        (Some(event), _) if !PAYMENT_EVENTS.contains(&event.as_str()) => {
            // `payment.failed`, `payment.pending` and the like.
            Ok(if event.starts_with("payment.") { Notice::NotPaid } else { Notice::Unknown(event.clone()) })
        }
        (Some(_), Some(payment)) => read_event(payment, foreign),
        (Some(_), None) => Err(malformed("data", "is missing")),
        (None, _) => read_invoice(&body, foreign),
    }
}

/// `refund.succeeded`, and disputes of cards. What failed took nothing.
fn is_reversal(event: &str) -> bool {
    ["refund.", "dispute.", "chargeback."].iter().any(|kind| event.starts_with(kind)) && !event.ends_with(".failed")
}

fn read_event(payment: &Payment, foreign: &ForeignOrders) -> Result<Notice, Rejected> {
    match payment.status.as_str() {
        "SUCCEEDED" => {}
        "PENDING" | "FAILED" | "VOIDED" | "EXPIRED" | "CANCELED" | "AUTHORIZED" => return Ok(Notice::NotPaid),
        other => return Ok(Notice::Unknown(other.to_owned())),
    }
    check_currency(payment.currency.as_deref())?;
    record(
        foreign,
        ("data.id", payment.payment_id.as_ref().or(payment.id.as_ref())),
        ("data.reference_id", payment.reference_id.as_ref()),
        ("data.amount", payment.request_amount.as_ref().or(payment.amount.as_ref())),
    )
}

fn read_invoice(invoice: &Body, foreign: &ForeignOrders) -> Result<Notice, Rejected> {
    match invoice.status.as_str() {
        "PAID" | "SETTLED" => {}
        "PENDING" | "EXPIRED" => return Ok(Notice::NotPaid),
        other => return Ok(Notice::Unknown(other.to_owned())),
    }
    check_currency(invoice.currency.as_deref())?;
    record(
        foreign,
        ("id", invoice.id.as_ref()),
        ("external_id", invoice.external_id.as_ref()),
        // What came, where it differs from what was asked for.
        ("amount", invoice.paid_amount.as_ref().or(invoice.amount.as_ref())),
    )
}

type Given<'a> = (&'static str, Option<&'a String>);

fn record(foreign: &ForeignOrders, payment_id: Given<'_>, order_id: Given<'_>, amount: Given<'_>) -> Result<Notice, Rejected> {
    let [payment_id, order_id, amount] =
        [payment_id, order_id, amount].map(|(name, text)| Field { name, text: text.map_or("", String::as_str) });
    record_payment(Source::Xendit, foreign, payment_id, order_id, amount).map(Notice::Paid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Command;
    use crate::domain::serial_code::SerialKey;

    const ORDER: &str = "0192f8c0-0000-7000-8000-000000000001";

    fn read(token: Option<&[u8]>, body: &[u8], tokens: &[Secret]) -> Result<Notice, Rejected> {
        super::read(token, body, tokens, &ForeignOrders::of(&SerialKey::from_bytes([7; 32])))
    }

    fn read_with(token: &str, body: &str) -> Result<Notice, Rejected> {
        read(Some(token.as_bytes()), body.as_bytes(), &[Secret::new("older"), Secret::new("token")])
    }

    fn paid(body: &str) -> (String, String, u64) {
        match read_with("token", body) {
            Ok(Notice::Paid(Command::RecordPayment { payment, order, amount })) => {
                (payment.to_string(), order.to_string(), amount.as_idr())
            }
            other => panic!("{body}: {other:?}"),
        }
    }

    fn invoice(status: &str, rest: &str) -> String {
        format!(r#"{{"id":"579c8d61f23fa4ca35e52da4","external_id":"{ORDER}","status":"{status}","amount":20000{rest}}}"#)
    }

    #[test]
    fn an_invoice_that_is_paid_and_then_settled_is_one_payment() {
        let of_invoice = ("xendit/579c8d61f23fa4ca35e52da4".to_owned(), ORDER.to_owned(), 20_000);
        for status in ["PAID", "SETTLED"] {
            assert_eq!(paid(&invoice(status, r#","paid_amount":20000,"currency":"IDR","fees":[]"#)), of_invoice);
        }
        assert_eq!(paid(&invoice("PAID", r#","paid_amount":15000"#)).2, 15_000, "what came counts");
    }

    #[test]
    fn events_of_both_forms_are_read() {
        for data in [
            format!(r#"{{"id":"pymt-1","reference_id":"{ORDER}","status":"SUCCEEDED","amount":20000,"currency":"IDR"}}"#),
            format!(r#"{{"payment_id":"pymt-1","reference_id":"{ORDER}","status":"SUCCEEDED","request_amount":20000.00}}"#),
        ] {
            let event = format!(r#"{{"event":"payment.capture","business_id":"b","data":{data}}}"#);
            assert_eq!(paid(&event), ("xendit/pymt-1".to_owned(), ORDER.to_owned(), 20_000));
        }
    }

    #[test]
    fn what_is_not_paid_is_not_recorded() {
        for status in ["EXPIRED", "PENDING"] {
            assert!(matches!(read_with("token", &invoice(status, "")), Ok(Notice::NotPaid)));
        }
        let failed = r#"{"event":"payment.failed","data":{"id":"p","status":"FAILED"}}"#;
        assert!(matches!(read_with("token", failed), Ok(Notice::NotPaid)));
        for (event, expected) in [
            ("payment.pending", Notice::NotPaid),
            ("refund.failed", Notice::Unknown("refund.failed".to_owned())),
            ("refund.succeeded", Notice::Reversed("refund.succeeded".to_owned())),
            ("payout.succeeded", Notice::Unknown("payout.succeeded".to_owned())),
            ("", Notice::Unknown(String::new())),
        ] {
            let data = format!(r#"{{"id":"r","payment_id":"p","reference_id":"{ORDER}","status":"SUCCEEDED","amount":20000}}"#);
            let notice = format!(r#"{{"event":"{event}","data":{data}}}"#);
            assert_eq!(read_with("token", &notice).unwrap(), expected, "{event} is no payment");
        }
        assert_eq!(read_with("token", &invoice("SPLIT", "")).unwrap(), Notice::Unknown("SPLIT".to_owned()));
    }

    #[test]
    fn without_an_active_token_nothing_is_read() {
        for token in ["", "tok", "tokens", "TOKEN"] {
            assert!(matches!(read_with(token, "no JSON"), Err(Rejected::Forged(_))), "{token}");
        }
        assert!(matches!(read(None, b"{}", &[Secret::new("token")]), Err(Rejected::Forged(_))));
        assert!(matches!(read(None, b"{}", &[]), Err(Rejected::Forged(_))));
        assert!(matches!(read_with("older", &invoice("PAID", "")), Ok(Notice::Paid(_))), "two tokens are active");
    }

    #[test]
    fn what_lacks_an_id_an_order_or_an_amount_names_it() {
        for (body, field) in [
            (format!(r#"{{"external_id":"{ORDER}","status":"PAID","amount":1}}"#), "id"),
            (r#"{"id":"a","status":"PAID","amount":1}"#.to_owned(), "external_id"),
            (format!(r#"{{"id":"a","external_id":"{ORDER}","status":"PAID"}}"#), "amount"),
            (format!(r#"{{"id":"a","external_id":"{ORDER}","status":"PAID","amount":-5}}"#), "amount"),
            (format!(r#"{{"id":"a","external_id":"{ORDER}","status":"PAID","amount":0}}"#), "amount"),
            (format!(r#"{{"id":"a","external_id":"{ORDER}","status":"PAID","amount":10.5}}"#), "amount"),
            (r#"{"event":"payment.capture"}"#.to_owned(), "data"),
            (invoice("PAID", ""), ""),
            (r#"{"id":"a""#.to_owned(), "body"),
        ] {
            match read_with("token", &body) {
                Err(Rejected::Unusable(failure)) => assert!(failure.message.starts_with(field), "{body}: {}", failure.message),
                other => assert!(field.is_empty() && other.is_ok(), "{body}: {other:?}"),
            }
        }
    }
}

//! Xendit: callbacks of invoices, virtual accounts, wallets and QR codes, and payment events (docs.xendit.co, "Webhooks").
//!
//! The header `x-callback-token` is a fixed word of the account. It proves who sends, and nothing about the body: keep the port
//! away from the public network but for Xendit's addresses, behind TLS.
//!
//! | form | known by | payment | order | amount |
//! |---|---|---|---|---|
//! | invoice | no `event` | `id` | `external_id` | `paid_amount`, else `amount` |
//! | fixed virtual account, paid | `callback_virtual_account_id` | `payment_id` | `external_id` | `amount` |
//! | DANA, LinkAja (2019-02-04) | `ewallet_type`, no `id` | `ewallet_type` and `external_id` | `external_id` | `amount` |
//! | OVO (2019-02-04) | `ewallet.payment` | `id` | `external_id` | `amount` |
//! | QR code of the first API | `qr.payment`, no `data` | `id` | `qr_code.external_id` | `amount` |
//! | `qr.payment` | `data` | `data.id` | `data.reference_id` | `data.amount` |
//! | `ewallet.capture` | `data` | `data.id` | `data.reference_id` | `data.capture_amount` |
//! | `payment.succeeded`, `payment.capture` | `data` | `data.payment_id`, else `data.id` | `data.reference_id` | the sum of `data.captures`, else `data.amount`, else `data.request_amount` |
//!
//! What came counts, never what was asked for: `request_amount` only of a payment that is captured by itself, whole, whose event
//! has no other amount. Any other form is unknown, and sent again until somebody has looked.
//!
//! An invoice is told twice, as PAID and as SETTLED: its id makes one payment of both. Subscribe to one form for one charge: two
//! carry different ids, and the second would look like a second payment, which is owed back.

use serde::Deserialize;

use super::fields::{
    Field, charge_of, check_currency, order_of, our_order, parse, payment_of, record_payment, text_of_number, whole_rupiah,
};
use super::{About, ForeignIds, Notice, Rejected, Secret, Source, Told, is_equal, malformed};
use crate::domain::{Command, OrderId, PaymentName};

pub const TOKEN_HEADER: &str = "x-callback-token";

/// What tells that a payment was made. A refund says SUCCEEDED, too.
const PAID_EVENTS: [&str; 4] = ["payment.succeeded", "payment.capture", "ewallet.capture", "qr.payment"];
/// What tells of one that is not, or not yet.
const UNPAID_EVENTS: [&str; 5] =
    ["payment.pending", "payment.failed", "payment.failure", "payment.authorization", "payment.awaiting_capture"];
/// Whose callbacks have no id of the gateway's own.
const WALLETS: [&str; 3] = ["DANA", "LINKAJA", "OVO"];

#[derive(Deserialize)]
struct Envelope {
    event: Option<String>,
    data: Option<Fields>,
}

/// Of a callback, or of the `data` of an event: whatever some form has.
#[derive(Deserialize, Default)]
struct Fields {
    #[serde(default, deserialize_with = "text_of_number")]
    id: Option<String>,
    #[serde(default, deserialize_with = "text_of_number")]
    payment_id: Option<String>,
    payment_request_id: Option<String>,
    invoice_id: Option<String>,
    external_id: Option<String>,
    reference_id: Option<String>,
    qr_code: Option<QrCode>,
    callback_virtual_account_id: Option<String>,
    ewallet_type: Option<String>,
    status: Option<String>,
    payment_status: Option<String>,
    #[serde(default, deserialize_with = "text_of_number")]
    amount: Option<String>,
    #[serde(default, deserialize_with = "text_of_number")]
    paid_amount: Option<String>,
    #[serde(default, deserialize_with = "text_of_number")]
    capture_amount: Option<String>,
    #[serde(default, deserialize_with = "text_of_number")]
    request_amount: Option<String>,
    captures: Option<Vec<Capture>>,
    capture_method: Option<String>,
    currency: Option<String>,
}

#[derive(Deserialize)]
struct QrCode {
    external_id: Option<String>,
}

#[derive(Deserialize)]
struct Capture {
    #[serde(default, deserialize_with = "text_of_number")]
    capture_amount: Option<String>,
}

/// # Errors
/// See [`Rejected`].
pub fn read(token: Option<&[u8]>, body: &[u8], tokens: &[Secret], foreign: &ForeignIds) -> Result<Notice, Rejected> {
    let given = token.unwrap_or_default();
    if !tokens.iter().fold(false, |proved, secret| proved | is_equal(given, secret.as_str().as_bytes())) {
        return Err(Rejected::Forged("x-callback-token is not one of this account"));
    }
    let unread = |why: Rejected| why.of_proved(About::default());
    let envelope: Envelope = parse(body).map_err(unread)?;
    let callback: Fields = parse(body).map_err(unread)?;
    let form = form_of(envelope.event.as_deref(), envelope.data.as_ref(), &callback).map_err(unread)?;
    let about = form.about(foreign);
    let told = match form.stage {
        Stage::Paid => Told::Paid(form.command(foreign).map_err(|why| why.of_proved(about.clone()))?),
        Stage::Other(told) => told,
    };
    Ok(Notice { about, told, charge: None })
}

/// A notice, its form understood.
struct Form<'a> {
    payment: Payment<'a>,
    order: Field<'a>,
    /// The name of the field, and what came.
    amount: (&'static str, Result<String, Rejected>),
    currency: Option<&'a str>,
    stage: Stage,
}

/// What makes the name of a payment.
enum Payment<'a> {
    Id(Field<'a>),
    /// The wallet, and the merchant's id: unique in the wallet.
    Charge(&'static str, Field<'a>),
}

enum Stage {
    Paid,
    Other(Told),
}

impl Form<'_> {
    fn payment(&self, foreign: &ForeignIds) -> Result<PaymentName, Rejected> {
        match self.payment {
            Payment::Id(id) => payment_of(Source::Xendit, foreign, id, self.order),
            Payment::Charge(wallet, id) => charge_of(Source::Xendit, foreign, wallet, id),
        }
    }

    fn order(&self, foreign: &ForeignIds) -> Result<OrderId, Rejected> {
        order_of(Source::Xendit, foreign, self.order)
    }

    fn about(&self, foreign: &ForeignIds) -> About {
        let order = match self.stage {
            // A refund's reference is the refund's own.
            Stage::Other(Told::Reversed(_)) => our_order(self.order.text),
            _ => self.order(foreign).ok(),
        };
        About { payment: self.payment(foreign).ok(), order, transaction: None }
    }

    fn command(self, foreign: &ForeignIds) -> Result<Command, Rejected> {
        check_currency(self.currency)?;
        let (payment, order) = (self.payment(foreign)?, self.order(foreign)?);
        let (name, amount) = self.amount;
        record_payment(payment, order, Field { name, text: &amount? })
    }
}

fn form_of<'a>(event: Option<&'a str>, data: Option<&'a Fields>, callback: &'a Fields) -> Result<Form<'a>, Rejected> {
    let status = callback.status.as_deref();
    let form = |payment, order, stage| {
        let amount = ("amount", Ok(callback.amount.clone().unwrap_or_default()));
        Form { payment, order, amount, currency: callback.currency.as_deref(), stage }
    };
    let id = Payment::Id(Field::new("id", callback.id.as_ref()));
    let external_id = Field::new("external_id", callback.external_id.as_ref());
    Ok(match (event, data, wallet_of(callback)) {
        (Some("ewallet.payment"), None, Some(_)) => form(id, external_id, wallet_stage(status)),
        (Some("qr.payment"), None, _) => {
            let external_id = callback.qr_code.as_ref().and_then(|code| code.external_id.as_ref());
            form(id, Field::new("qr_code.external_id", external_id), event_stage("qr.payment", status))
        }
        (Some(event), Some(data), _) => event_form(event, data),
        (Some(event), None, _) if PAID_EVENTS.contains(&event) => return Err(malformed("data", "is missing")),
        (Some(event), None, _) => form(id, external_id, Stage::Other(Told::Unknown(format!("{event} without data")))),
        (None, _, Some(wallet)) if callback.id.is_none() => {
            let status = callback.payment_status.as_deref().or(status);
            form(Payment::Charge(wallet, external_id), external_id, wallet_stage(status))
        }
        (None, ..) if callback.callback_virtual_account_id.is_some() && status.is_none() => {
            form(Payment::Id(Field::new("payment_id", callback.payment_id.as_ref())), external_id, Stage::Paid)
        }
        (None, ..) => {
            let amount = callback.paid_amount.as_ref().or(callback.amount.as_ref());
            let amount = ("amount", Ok(amount.cloned().unwrap_or_default()));
            Form { amount, ..form(id, external_id, invoice_stage(status)) }
        }
    })
}

fn wallet_of(callback: &Fields) -> Option<&'static str> {
    WALLETS.into_iter().find(|wallet| callback.ewallet_type.as_deref() == Some(*wallet))
}

fn event_form<'a>(event: &'a str, data: &'a Fields) -> Form<'a> {
    let stage = event_stage(event, data.status.as_deref());
    // A refund has an id of its own, and names the payment by one of these.
    let refunded = match stage {
        Stage::Other(Told::Reversed(_)) => data.invoice_id.as_ref().or(data.payment_request_id.as_ref()),
        _ => None,
    };
    let id = data.payment_id.as_ref().or(refunded).or(data.id.as_ref());
    Form {
        payment: Payment::Id(Field::new("data.id", id)),
        order: Field::new("data.reference_id", data.reference_id.as_ref()),
        amount: event_amount(event, data),
        currency: data.currency.as_deref(),
        stage,
    }
}

fn event_amount(event: &str, data: &Fields) -> (&'static str, Result<String, Rejected>) {
    let text = |amount: Option<&String>| Ok(amount.cloned().unwrap_or_default());
    if event == "ewallet.capture" {
        return ("data.capture_amount", text(data.capture_amount.as_ref()));
    }
    match data.captures.as_deref() {
        Some(captures @ [_, ..]) => ("data.captures", sum_of(captures)),
        _ if data.amount.is_some() => ("data.amount", text(data.amount.as_ref())),
        _ if data.capture_method.as_deref() == Some("MANUAL") => ("data.captures", text(None)),
        _ => ("data.request_amount", text(data.request_amount.as_ref())),
    }
}

fn sum_of(captures: &[Capture]) -> Result<String, Rejected> {
    const NAME: &str = "data.captures";
    let add = |sum: i64, capture: &Capture| {
        let amount = whole_rupiah(Field::new(NAME, capture.capture_amount.as_ref()))?;
        sum.checked_add(amount).ok_or_else(|| malformed(NAME, "are too large together"))
    };
    captures.iter().try_fold(0, add).map(|sum| sum.to_string())
}

fn event_stage(event: &str, status: Option<&str>) -> Stage {
    let words = || format!("{event} with status {}", status.unwrap_or("missing"));
    let is_paid_event = PAID_EVENTS.contains(&event);
    let told = if is_reversal(event) {
        Told::Reversed(words())
    } else if !is_paid_event && !UNPAID_EVENTS.contains(&event) {
        Told::Unknown(words())
    } else {
        match status {
            Some("SUCCEEDED") if is_paid_event => return Stage::Paid,
            Some("COMPLETED") if event == "qr.payment" => return Stage::Paid,
            Some("PENDING" | "AUTHORIZED" | "AWAITING_CAPTURE" | "REQUIRES_ACTION") => Told::NotYet,
            Some("FAILED" | "EXPIRED" | "CANCELED") => Told::Ended(words()),
            Some("VOIDED") => Told::Reversed(words()),
            _ => Told::Unknown(words()),
        }
    };
    Stage::Other(told)
}

/// `refund.succeeded`, disputes of cards, and a wallet's void. What failed took nothing.
fn is_reversal(event: &str) -> bool {
    ["refund.", "dispute.", "chargeback.", "ewallet.void"].iter().any(|kind| event.starts_with(kind))
        && !event.ends_with(".failed")
}

fn invoice_stage(status: Option<&str>) -> Stage {
    callback_stage("an invoice", status, &["PAID", "SETTLED"])
}

fn wallet_stage(status: Option<&str>) -> Stage {
    callback_stage("a wallet", status, &["PAID", "SUCCESS_COMPLETED", "COMPLETED"])
}

fn callback_stage(form: &str, status: Option<&str>, paid: &[&str]) -> Stage {
    let words = || format!("{form} with status {}", status.unwrap_or("missing"));
    Stage::Other(match status {
        Some(status) if paid.contains(&status) => return Stage::Paid,
        Some("PENDING") => Told::NotYet,
        Some("EXPIRED" | "FAILED") => Told::Ended(words()),
        _ => Told::Unknown(words()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::serial_code::SerialKey;

    const ORDER: &str = "0192f8c0-0000-7000-8000-000000000001";

    fn read(token: Option<&[u8]>, body: &[u8], tokens: &[Secret]) -> Result<Notice, Rejected> {
        super::read(token, body, tokens, &ForeignIds::of(&SerialKey::from_bytes([7; 32])))
    }

    fn read_with(token: &str, body: &str) -> Result<Notice, Rejected> {
        read(Some(token.as_bytes()), body.as_bytes(), &[Secret::new("older"), Secret::new("token")])
    }

    fn told(body: &Value) -> Told {
        read_with("token", &body.to_string()).unwrap_or_else(|why| panic!("{body}: {why:?}")).told
    }

    fn paid(body: &Value) -> (String, String, u64) {
        match told(body) {
            Told::Paid(Command::RecordPayment { payment, order, amount }) => {
                (payment.to_string(), order.to_string(), amount.as_idr())
            }
            other => panic!("{body}: {other:?}"),
        }
    }

    /// Why a genuine notice is not taken.
    fn unusable(body: &str) -> String {
        match read_with("token", body) {
            Err(Rejected::Unusable(failure, _)) => failure.message,
            other => panic!("{body}: {other:?}"),
        }
    }

    fn with(mut object: Value, key: &str, value: Value) -> Value {
        object[key] = value;
        object
    }

    fn invoice(status: &str) -> Value {
        json!({"id": "579c8d61f23fa4ca35e52da4", "external_id": ORDER, "status": status, "amount": 20_000})
    }

    fn event(event: &str, data: &Value) -> Value {
        json!({"event": event, "business_id": "b", "created": "2026-11-27T00:00:00Z", "data": data})
    }

    fn payment(status: &str) -> Value {
        json!({"payment_id": "py-1", "reference_id": ORDER, "status": status, "request_amount": 20_000, "currency": "IDR"})
    }

    #[test]
    fn an_invoice_that_is_paid_and_then_settled_is_one_payment() {
        let of_invoice = ("xendit/579c8d61f23fa4ca35e52da4".to_owned(), ORDER.to_owned(), 20_000);
        for status in ["PAID", "SETTLED"] {
            let invoice = with(with(invoice(status), "paid_amount", json!(20_000)), "currency", json!("IDR"));
            assert_eq!(paid(&with(invoice, "ewallet_type", json!("OVO"))), of_invoice, "whatever it was paid with");
        }
        assert_eq!(paid(&with(invoice("PAID"), "paid_amount", json!(15_000))).2, 15_000, "what came counts");
    }

    #[test]
    fn each_documented_form_of_a_paid_charge_is_read() {
        let ours = |payment: &str| (format!("xendit/{payment}"), ORDER.to_owned(), 20_000);
        let dana = json!({"external_id": ORDER, "amount": 20_000, "payment_status": "PAID", "ewallet_type": "DANA"});
        assert_eq!(paid(&dana), ours(&format!("DANA-{ORDER}")));
        let linkaja = json!({"external_id": ORDER, "amount": 20_000, "status": "SUCCESS_COMPLETED", "ewallet_type": "LINKAJA"});
        assert_eq!(paid(&linkaja), ours(&format!("LINKAJA-{ORDER}")), "two wallets' charges of one order are two payments");
        let ovo = json!({
            "event": "ewallet.payment", "id": "ovo-1", "external_id": ORDER, "phone": "081234567890", "ewallet_type": "OVO",
            "amount": 20_000, "status": "COMPLETED",
        });
        assert_eq!(paid(&ovo), ours("ovo-1"));
        let account = json!({
            "id": "57fb4e076fa3fa296b7f5a97", "payment_id": "1476087303080", "callback_virtual_account_id": "57fb4df9",
            "external_id": ORDER, "account_number": "8808", "bank_code": "BNI", "amount": 20_000, "sender_name": "JOHN DOE",
        });
        assert_eq!(paid(&account), ours("1476087303080"));
        let qr = json!({
            "event": "qr.payment", "id": "qrpy_1", "amount": 20_000, "status": "COMPLETED",
            "qr_code": {"id": "qr_1", "external_id": ORDER, "type": "DYNAMIC"},
        });
        assert_eq!(paid(&qr), ours("qrpy_1"));
        let data = json!({"id": "qrpy_1", "reference_id": ORDER, "amount": 20_000, "currency": "IDR", "status": "SUCCEEDED"});
        assert_eq!(paid(&event("qr.payment", &data)), ours("qrpy_1"));
        let data = json!({
            "id": "ewc_1", "reference_id": ORDER, "status": "SUCCEEDED", "charge_amount": 30_000, "capture_amount": 20_000,
            "refunded_amount": null,
        });
        assert_eq!(paid(&event("ewallet.capture", &data)), ours("ewc_1"));
        let data = json!({"id": "pymt-1", "reference_id": ORDER, "status": "SUCCEEDED", "amount": 20_000, "currency": "IDR"});
        assert_eq!(paid(&event("payment.succeeded", &data)), ours("pymt-1"));
        assert_eq!(paid(&event("payment.capture", &payment("SUCCEEDED"))), ours("py-1"));
    }

    #[test]
    fn what_came_counts_and_not_what_was_asked_for() {
        let amount = |data: &Value| paid(&event("payment.capture", data)).2;
        let captures = |amounts: &[u64]| {
            let captures: Vec<Value> = amounts.iter().map(|amount| json!({"capture_amount": amount})).collect();
            with(payment("SUCCEEDED"), "captures", json!(captures))
        };
        assert_eq!(amount(&captures(&[15_000])), 15_000);
        assert_eq!(amount(&captures(&[15_000, 2_000])), 17_000);
        assert_eq!(amount(&captures(&[])), 20_000);
        assert_eq!(amount(&with(payment("SUCCEEDED"), "amount", json!(15_000))), 15_000);
        let manual = with(payment("SUCCEEDED"), "capture_method", json!("MANUAL"));
        assert!(unusable(&event("payment.capture", &manual).to_string()).starts_with("data.captures"));
        let empty = with(payment("SUCCEEDED"), "captures", json!([{}]));
        assert!(unusable(&event("payment.capture", &empty).to_string()).starts_with("data.captures"));
        let asked = json!({"id": "ewc_1", "reference_id": ORDER, "status": "SUCCEEDED", "charge_amount": 20_000});
        assert!(unusable(&event("ewallet.capture", &asked).to_string()).starts_with("data.capture_amount"));
    }

    #[test]
    fn each_word_has_its_meaning_and_one_that_we_do_not_know_is_unknown() {
        let meant = |body: &Value| match told(body) {
            Told::Paid(_) => "paid",
            Told::NotYet => "not yet",
            Told::Ended(_) => "ended",
            Told::Reversed(_) => "reversed",
            Told::Unknown(_) => "unknown",
        };
        for (status, expected) in
            [("PAID", "paid"), ("SETTLED", "paid"), ("PENDING", "not yet"), ("EXPIRED", "ended"), ("SPLIT", "unknown")]
        {
            assert_eq!(meant(&invoice(status)), expected, "{status}");
        }
        for (name, status, expected) in [
            ("payment.capture", "SUCCEEDED", "paid"),
            ("payment.capture", "PENDING", "not yet"),
            ("payment.authorization", "AUTHORIZED", "not yet"),
            ("payment.failure", "FAILED", "ended"),
            ("payment.failed", "EXPIRED", "ended"),
            ("ewallet.capture", "VOIDED", "reversed"),
            ("ewallet.void", "VOIDED", "reversed"),
            ("refund.succeeded", "SUCCEEDED", "reversed"),
            ("dispute.created", "NEEDS_RESPONSE", "reversed"),
            ("payment.capture", "CAPTURED_BY_A_WORD_OF_NEXT_YEAR", "unknown"),
            ("payment.pending", "SUCCEEDED", "unknown"),
            ("payment.a_word_of_next_year", "SUCCEEDED", "unknown"),
            ("refund.failed", "FAILED", "unknown"),
            ("capture.succeeded", "SUCCEEDED", "unknown"),
            ("payout.succeeded", "SUCCEEDED", "unknown"),
            ("", "SUCCEEDED", "unknown"),
        ] {
            assert_eq!(meant(&event(name, &payment(status))), expected, "{name} {status}");
        }
        let dana = json!({"external_id": ORDER, "amount": 20_000, "payment_status": "EXPIRED", "ewallet_type": "DANA"});
        assert_eq!(meant(&dana), "ended");
        let created = json!({"id": "57fb4df9", "external_id": ORDER, "account_number": "8808", "status": "ACTIVE"});
        assert_eq!(meant(&created), "unknown", "a virtual account that is there is no money");
        assert_eq!(meant(&json!({})), "unknown");
    }

    #[test]
    fn a_notice_that_pays_nothing_says_what_it_is_about() {
        let about = |body: &Value| read_with("token", &body.to_string()).unwrap().about;
        let shown =
            |about: &About| (about.payment.as_ref().map(ToString::to_string), about.order.map(|order| order.to_string()));
        let ours = (Some("xendit/py-1".to_owned()), Some(ORDER.to_owned()));
        for name in ["payment.failure", "payment.a_word_of_next_year"] {
            assert_eq!(shown(&about(&event(name, &payment("FAILED")))), ours, "{name}");
        }
        let refund = json!({"id": "rfd-1", "invoice_id": "inv-1", "reference_id": "refund-17", "status": "SUCCEEDED"});
        assert_eq!(shown(&about(&event("refund.succeeded", &refund))), (Some("xendit/inv-1".to_owned()), None));
        let foreign = json!({"external_id": "081234567890", "amount": 1, "payment_status": "PAID", "ewallet_type": "DANA"});
        assert!(!format!("{:?}", about(&foreign)).contains("0812"), "a number of somebody's is in no name");
    }

    #[test]
    fn without_an_active_token_nothing_is_read() {
        for token in ["", "tok", "tokens", "TOKEN"] {
            assert!(matches!(read_with(token, "no JSON"), Err(Rejected::Forged(_))), "{token}");
        }
        assert!(matches!(read(None, b"{}", &[Secret::new("token")]), Err(Rejected::Forged(_))));
        assert!(matches!(read(None, b"{}", &[]), Err(Rejected::Forged(_))));
        let notice = read_with("older", &invoice("PAID").to_string()).unwrap();
        assert!(matches!(notice.told, Told::Paid(_)), "two tokens are active");
    }

    #[test]
    fn what_lacks_an_id_an_order_or_an_amount_names_it() {
        let invoice = |rest: &str| format!(r#"{{"status":"PAID",{rest}}}"#);
        for (body, field) in [
            (invoice(&format!(r#""external_id":"{ORDER}","amount":1"#)), "id"),
            (invoice(r#""id":"a","amount":1"#), "external_id"),
            (invoice(&format!(r#""id":"a","external_id":"{ORDER}""#)), "amount"),
            (invoice(&format!(r#""id":"a","external_id":"{ORDER}","amount":-5"#)), "amount"),
            (invoice(&format!(r#""id":"a","external_id":"{ORDER}","amount":0"#)), "amount"),
            (invoice(&format!(r#""id":"a","external_id":"{ORDER}","amount":10.5"#)), "amount"),
            (invoice(&format!(r#""id":"a","external_id":"{ORDER}","amount":1,"currency":"USD""#)), "currency"),
            (r#"{"event":"payment.capture"}"#.to_owned(), "data"),
            (r#"{"event":"payment.capture","data":{"id":"a","status":"SUCCEEDED"}}"#.to_owned(), "data.reference_id"),
            (r#"{"id":"a""#.to_owned(), "body"),
        ] {
            let message = unusable(&body);
            assert!(message.starts_with(field), "{body}: {message}");
        }
    }
}

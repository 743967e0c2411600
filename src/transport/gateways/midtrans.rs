//! Midtrans: HTTP(S) notification (docs.midtrans.com, "Handle after payment: HTTP notification").
//!
//! `signature_key` in the body is the hexadecimal SHA-512 of `order_id`, `status_code`, `gross_amount` as it stands, and the
//! merchant's server key, one behind the other. It covers neither `transaction_status` nor `transaction_id`. Therefore:
//! - Paid is what has `status_code` 200 *and* says settlement, or capture that the fraud check accepted: a signed notice of a
//!   payment that is pending (201) or denied (202) cannot be made one of a paid one. Of cards this is not enough: Midtrans signs
//!   `authorize` and `cancel` with 200, too, and who holds such a notice can say settlement in it. Only its GET Status tells
//!   (`now`). Where it is not asked, let nobody but Midtrans' own addresses reach the port.
//! - The payment's id in the ledger is Midtrans' `order_id`, unique for each charge and signed: whoever sends a signed notice again
//!   under another `transaction_id` repeats the same payment and makes no second one.
//! - The fields are joined without anything between them, so that a signed notice can be cut into other fields: a longer
//!   `order_id`, a shorter `gross_amount`. What comes of that names no order of ours (`our_order`); before a refund of a *foreign*
//!   order is paid out, ask Midtrans for its status.
//!
//! Notices overtake each other, and a charge that was captured may be cancelled, one that was settled be denied (docs.midtrans.com,
//! "Transaction status cycle"). What has ended is therefore looked up in the ledger. `cancel` and `deny` with 200 have taken back
//! what was authorized or captured, also if its notice is still on its way. That one, when it comes, GET Status stops; where it is
//! not asked, it is recorded, and the notice of the cancel, which came before, is all that tells of it.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha512};
use uuid::Uuid;

use super::fields::{Field, charge_of, check_currency, order_of, parse, record_payment};
use super::{About, ForeignIds, Notice, Rejected, Secret, Source, Told, is_equal};

/// Within which an `order_id` is unique.
const EVERY_METHOD: &str = "";

/// What the signature is made of: taken from the body before anything in it is believed, and used for nothing else.
#[derive(Deserialize)]
struct Signed {
    #[serde(default)]
    order_id: String,
    #[serde(default)]
    status_code: String,
    #[serde(default)]
    gross_amount: String,
    #[serde(default)]
    signature_key: String,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    transaction_status: String,
    fraud_status: Option<String>,
    currency: Option<String>,
    transaction_id: Option<Value>,
}

/// # Errors
/// See [`Rejected`].
pub fn read(body: &[u8], server_keys: &[Secret], foreign: &ForeignIds) -> Result<Notice, Rejected> {
    let signed: Signed = parse(body)?;
    if !server_keys.iter().fold(false, |proved, key| proved | is_signed_with(&signed, key)) {
        return Err(Rejected::Forged("signature_key is not made with a server key of this merchant"));
    }
    let order_id = Field { name: "order_id", text: &signed.order_id };
    let mut about = About {
        payment: charge_of(Source::Midtrans, foreign, EVERY_METHOD, order_id).ok(),
        order: order_of(Source::Midtrans, foreign, order_id).ok(),
        transaction: None,
    };
    let status: Status = parse(body).map_err(|why| why.of_proved(about.clone()))?;
    about.transaction = status.transaction_id.as_ref().and_then(Value::as_str).and_then(|id| Uuid::try_parse(id).ok());
    let told = match meaning(&signed.status_code, &status) {
        Meaning::Paid => {
            let command = check_currency(status.currency.as_deref()).and_then(|()| {
                let payment = charge_of(Source::Midtrans, foreign, EVERY_METHOD, order_id)?;
                let order = order_of(Source::Midtrans, foreign, order_id)?;
                record_payment(payment, order, Field { name: "gross_amount", text: &signed.gross_amount })
            });
            Told::Paid(command.map_err(|why| why.of_proved(about.clone()))?)
        }
        Meaning::Other(told) => told,
    };
    let charge = Charge { order_id: signed.order_id, gross_amount: signed.gross_amount };
    Ok(Notice { about, told, charge: Some(charge) })
}

/// What Midtrans knows a charge by. A merchant's id, as it is: never shown.
#[derive(Clone)]
pub struct Charge {
    pub(super) order_id: String,
    gross_amount: String,
}

impl fmt::Debug for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Charge(…)")
    }
}

/// What a charge is now, other than a notice told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Now {
    Paid,
    TakenBack(String),
    /// By what Midtrans calls it.
    NotPaid(String),
}

#[derive(Deserialize)]
struct Current {
    #[serde(default)]
    status_code: String,
    #[serde(default)]
    order_id: String,
    #[serde(default)]
    gross_amount: String,
    #[serde(flatten)]
    status: Status,
}

/// Of what GET Status answered.
///
/// # Errors
/// It is no such answer.
pub(super) fn now(charge: &Charge, body: &[u8]) -> Result<Now, String> {
    let current: Current = serde_json::from_slice(body).map_err(|error| format!("no status: {error}"))?;
    let told = match meaning(&current.status_code, &current.status) {
        Meaning::Other(told) => told,
        Meaning::Paid if current.order_id != charge.order_id => return Err("the status of another charge".to_owned()),
        Meaning::Paid if current.gross_amount != charge.gross_amount => {
            return Ok(Now::NotPaid(format!("paid with gross_amount {}", current.gross_amount)));
        }
        Meaning::Paid => return Ok(Now::Paid),
    };
    Ok(match told {
        Told::Reversed(words) | Told::Ended(words) => Now::TakenBack(words),
        Told::Unknown(words) => Now::NotPaid(words),
        Told::NotYet | Told::Paid(_) => Now::NotPaid(current.status.transaction_status),
    })
}

enum Meaning {
    Paid,
    Other(Told),
}

/// Of each word of the status cycle, under the code that is signed.
fn meaning(status_code: &str, status: &Status) -> Meaning {
    let (told, fraud) = (status.transaction_status.as_str(), status.fraud_status.as_deref());
    let words = || match fraud {
        Some(fraud) => format!("{told} with status_code {status_code} and fraud_status {fraud}"),
        None => format!("{told} with status_code {status_code}"),
    };
    Meaning::Other(match (told, status_code, fraud) {
        ("settlement", "200", None | Some("accept")) | ("capture", "200", Some("accept")) => return Meaning::Paid,
        // Somebody has still to decide.
        ("capture", "200" | "201", Some("challenge")) | ("pending" | "authorize", ..) => Told::NotYet,
        ("cancel" | "deny", "200", _) | ("refund" | "partial_refund" | "chargeback" | "partial_chargeback", ..) => {
            Told::Reversed(words())
        }
        ("cancel" | "deny" | "expire" | "failure", ..) | ("capture", "202", Some("deny")) => Told::Ended(words()),
        _ => Told::Unknown(words()),
    })
}

fn is_signed_with(signed: &Signed, server_key: &Secret) -> bool {
    let digest = Sha512::new()
        .chain_update(&signed.order_id)
        .chain_update(&signed.status_code)
        .chain_update(&signed.gross_amount)
        .chain_update(server_key.as_str())
        .finalize();
    is_equal(signed.signature_key.to_ascii_lowercase().as_bytes(), hex::encode(digest).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Command;
    use crate::domain::serial_code::SerialKey;

    const KEY: &str = "SB-Mid-server-abc123";
    const ORDER: &str = "0192f8c0-0000-7000-8000-000000000001";
    /// Made with Python: `hashlib.sha512((ORDER + "200" + "20000.00" + KEY).encode()).hexdigest()`.
    const SIGNATURE: &str = "d5f59bd4486b847c3dbc1b8ef3ca97488b31b13ed6bf42d9aa3369826341642482f828bfcd63db840d20bed64982f4478c5e4638bb99f76f59a46046ea8718e9";
    /// The same with "201": a payment that is pending.
    const SIGNATURE_PENDING: &str = "eb294054010eff0723b57b7faac488921d603377c0a55d183b2d20fd28b1173ca3f6c57475324b29f47418293f1c654a4cd46e66bca5981ba369a4a16b5f9d2e";

    fn body(status_code: &str, signature: &str, rest: &str) -> Vec<u8> {
        format!(
            r#"{{"order_id":"{ORDER}","status_code":"{status_code}","gross_amount":"20000.00","signature_key":"{signature}",
                "transaction_id":"9aed5972-5b6a-401e-894b-a32c91ed1a3a","va_numbers":[{{"bank":"bca"}}]{rest}}}"#
        )
        .into_bytes()
    }

    fn read(body: &[u8], keys: &[Secret]) -> Result<Notice, Rejected> {
        super::read(body, keys, &ForeignIds::of(&SerialKey::from_bytes([7; 32])))
    }

    fn keys() -> [Secret; 2] {
        [Secret::new("SB-Mid-server-older"), Secret::new(KEY)]
    }

    #[test]
    fn a_settled_payment_is_recorded_under_what_is_signed() {
        for rest in [
            r#","transaction_status":"settlement""#,
            r#","transaction_status":"settlement","fraud_status":"accept","currency":"IDR""#,
            r#","transaction_status":"capture","fraud_status":"accept""#,
        ] {
            let notice = read(&body("200", SIGNATURE, rest), &keys()).unwrap();
            let Told::Paid(Command::RecordPayment { payment, order, amount }) = notice.told else {
                panic!("{rest} is paid: {notice:?}");
            };
            assert_eq!((payment.to_string(), order.to_string()), (format!("midtrans/{ORDER}"), ORDER.to_owned()));
            assert_eq!(amount.as_idr(), 20_000);
            assert_eq!((notice.about.payment, notice.about.order), (Some(payment), Some(order)));
            assert_eq!(notice.about.transaction.unwrap().to_string(), "9aed5972-5b6a-401e-894b-a32c91ed1a3a");
        }
    }

    fn told(status_code: &str, rest: &str) -> Told {
        let signature = hex::encode(Sha512::digest(format!("{ORDER}{status_code}20000.00{KEY}")));
        read(&body(status_code, &signature, rest), &keys()).expect("it is genuine").told
    }

    #[test]
    fn each_word_of_the_status_cycle_has_its_meaning_under_the_code_that_is_signed() {
        let meant = |told: Told| match told {
            Told::Paid(_) => "paid",
            Told::NotYet => "not yet",
            Told::Ended(_) => "ended",
            Told::Reversed(_) => "reversed",
            Told::Unknown(_) => "unknown",
        };
        for (status, status_code, fraud, expected) in [
            ("settlement", "200", None, "paid"),
            ("capture", "200", Some("accept"), "paid"),
            ("pending", "201", None, "not yet"),
            ("authorize", "200", Some("accept"), "not yet"),
            ("capture", "200", Some("challenge"), "not yet"),
            ("capture", "201", Some("challenge"), "not yet"),
            ("capture", "202", Some("deny"), "ended"),
            ("deny", "202", Some("deny"), "ended"),
            ("cancel", "202", Some("accept"), "ended"),
            ("expire", "407", None, "ended"),
            ("expire", "202", None, "ended"),
            ("failure", "202", None, "ended"),
            ("cancel", "200", Some("accept"), "reversed"),
            ("deny", "200", None, "reversed"),
            ("refund", "200", None, "reversed"),
            ("partial_refund", "200", None, "reversed"),
            ("chargeback", "200", None, "reversed"),
            ("partial_chargeback", "200", None, "reversed"),
            // A paid one under a code that was signed for another, or that the fraud check did not accept.
            ("settlement", "201", Some("accept"), "unknown"),
            ("settlement", "202", None, "unknown"),
            ("settlement", "200", Some("deny"), "unknown"),
            ("capture", "201", Some("accept"), "unknown"),
            ("capture", "200", None, "unknown"),
            ("renamed", "200", None, "unknown"),
            ("", "200", None, "unknown"),
        ] {
            let fraud = fraud.map_or(String::new(), |fraud| format!(r#","fraud_status":"{fraud}""#));
            let told = told(status_code, &format!(r#","transaction_status":"{status}"{fraud}"#));
            assert_eq!(meant(told), expected, "{status} {status_code} {fraud}");
        }
        assert_eq!(told("407", r#","transaction_status":"expire""#), Told::Ended("expire with status_code 407".to_owned()));
    }

    #[test]
    fn a_signed_notice_of_a_pending_payment_pays_nothing_whatever_its_unsigned_part_says() {
        let altered = body("201", SIGNATURE_PENDING, r#","transaction_status":"settlement","fraud_status":"accept""#);
        assert!(matches!(read(&altered, &keys()).unwrap().told, Told::Unknown(_)));
    }

    #[test]
    fn a_phone_number_of_another_system_is_in_no_name_of_its_payment() {
        let phone = "081234567890";
        let signature = hex::encode(Sha512::digest(format!("{phone}20020000.00{KEY}")));
        let notice = serde_json::json!({
            "order_id": phone, "status_code": "200", "gross_amount": "20000.00", "signature_key": signature,
            "transaction_status": "settlement", "transaction_id": phone,
        });
        let notice = read(notice.to_string().as_bytes(), &keys()).unwrap();
        assert!(matches!(notice.told, Told::Paid(_)) && !format!("{notice:?}").contains(phone), "{notice:?}");
    }

    #[test]
    fn a_changed_signed_field_or_another_key_is_a_forgery() {
        let paid = r#","transaction_status":"settlement""#;
        let genuine = String::from_utf8(body("200", SIGNATURE, paid)).unwrap();
        let altered = [
            genuine.replace("20000.00", "20000"),
            genuine.replace("20000.00", "10000.00"),
            genuine.replace(ORDER, "0192f8c0-0000-7000-8000-000000000002"),
            genuine.replace(&SIGNATURE[..8], "00000000"),
            genuine.replace(SIGNATURE, ""),
            genuine.replace("signature_key", "signature"),
        ];
        for forged in altered {
            assert!(matches!(read(forged.as_bytes(), &keys()), Err(Rejected::Forged(_))), "{forged}");
        }
        assert!(matches!(read(&body("200", SIGNATURE_PENDING, paid), &keys()), Err(Rejected::Forged(_))));
        assert!(matches!(read(genuine.as_bytes(), &keys()[..1]), Err(Rejected::Forged(_))), "its key is not active any more");
        assert!(matches!(read(genuine.as_bytes(), &[]), Err(Rejected::Forged(_))));
        let loud = genuine.replace(SIGNATURE, &SIGNATURE.to_uppercase());
        assert!(matches!(read(loud.as_bytes(), &keys()).unwrap().told, Told::Paid(_)), "digits may be of either case");
    }

    #[test]
    fn a_truncated_notice_or_one_that_says_a_field_twice_is_malformed() {
        let genuine = body("200", SIGNATURE, r#","transaction_status":"settlement""#);
        for length in [0, 1, genuine.len() / 2, genuine.len() - 1] {
            assert!(matches!(read(&genuine[..length], &keys()), Err(Rejected::Malformed(_))), "{length} bytes");
        }
        let twice = body("200", SIGNATURE, r#","order_id":"other","transaction_status":"settlement""#);
        assert!(matches!(read(&twice, &keys()), Err(Rejected::Malformed(_))));
        let dollars = body("200", SIGNATURE, r#","transaction_status":"settlement","currency":"USD""#);
        assert!(
            matches!(read(&dollars, &keys()), Err(Rejected::Unusable(failure, about)) if failure.message.contains("currency") && about.payment.is_some())
        );
    }

    #[test]
    fn a_signed_notice_that_is_cut_otherwise_pays_no_order_of_ours() {
        let cut = |order_id: &str, status_code: &str, gross_amount: &str| {
            let digest = Sha512::digest(format!("{order_id}{status_code}{gross_amount}{KEY}"));
            let signature = hex::encode(digest);
            let notice = serde_json::json!({
                "order_id": order_id, "status_code": status_code, "gross_amount": gross_amount, "signature_key": signature,
                "transaction_status": "settlement",
            });
            (signature, notice.to_string())
        };
        let (pending, _) = cut(&format!("{ORDER}-2"), "201", "20010000.00");
        let (signature, notice) = cut(&format!("{ORDER}-2201"), "200", "10000.00");
        assert_eq!(signature, pending, "the same signature fits both");
        let notice = read(notice.as_bytes(), &keys()).expect("it is signed");
        assert!(matches!(notice.told, Told::Paid(_)));
        assert_ne!(notice.about.order.unwrap().to_string(), ORDER);
    }

    #[test]
    fn what_a_charge_is_now_is_believed_only_of_this_charge_and_this_amount() {
        let charge = Charge { order_id: ORDER.to_owned(), gross_amount: "20000.00".to_owned() };
        let answer = |order_id: &str, status_code: &str, gross_amount: &str, status: &str| {
            let body = serde_json::json!({
                "order_id": order_id, "status_code": status_code, "gross_amount": gross_amount, "transaction_status": status,
                "fraud_status": "accept", "signature_key": "not asked for",
            });
            now(&charge, body.to_string().as_bytes())
        };
        for paid in ["capture", "settlement"] {
            assert_eq!(answer(ORDER, "200", "20000.00", paid), Ok(Now::Paid));
        }
        for status in ["cancel", "deny", "refund", "expire"] {
            assert!(matches!(answer(ORDER, "202", "20000.00", status), Ok(Now::TakenBack(words)) if words.starts_with(status)));
        }
        assert_eq!(answer(ORDER, "201", "20000.00", "pending"), Ok(Now::NotPaid("pending".to_owned())));
        assert!(matches!(answer(ORDER, "200", "10000.00", "settlement"), Ok(Now::NotPaid(_))));
        assert!(answer("another", "200", "20000.00", "settlement").is_err());
        let nothing = br#"{"status_code":"404","status_message":"Transaction doesn't exist.","id":"b"}"#;
        assert!(matches!(now(&charge, nothing), Ok(Now::NotPaid(words)) if words.contains("404")));
        assert!(now(&charge, b"<html>").is_err());
    }
}

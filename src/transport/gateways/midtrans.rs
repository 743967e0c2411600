//! Midtrans: HTTP(S) notification (docs.midtrans.com, "Handle after payment: HTTP notification").
//!
//! `signature_key` in the body is the hexadecimal SHA-512 of `order_id`, `status_code`, `gross_amount` as it stands, and the
//! merchant's server key, one behind the other. It covers neither `transaction_status` nor `transaction_id`. Therefore:
//! - Paid is what has `status_code` 200 *and* says settlement, or capture that the fraud check accepted: a signed notice of a
//!   payment that is pending (201) or denied (202) cannot be made one of a paid one. Of cards this is not enough: Midtrans signs
//!   `authorize` and `cancel` with 200, too, and who sees such a notice can say settlement in it. Only its GET Status would tell,
//!   which is not asked yet: let nobody but Midtrans' own addresses reach the port.
//! - The payment's id in the ledger is Midtrans' `order_id`, unique for each charge and signed: whoever sends a signed notice again
//!   under another `transaction_id` repeats the same payment and makes no second one.
//! - The fields are joined without anything between them, so that a signed notice can be cut into other fields: a longer
//!   `order_id`, a shorter `gross_amount`. What comes of that names no order of ours (`order_of`); before a refund of a *foreign* order
//!   is paid out, ask Midtrans for its status.

use serde::Deserialize;
use sha2::{Digest, Sha512};

use super::{Field, ForeignOrders, Notice, Rejected, Secret, Source, check_currency, is_equal, parse, record_payment};

/// What `transaction_status` is of a payment that is made, may yet be, or was never.
const STATUSES: [&str; 8] = ["capture", "settlement", "pending", "authorize", "deny", "cancel", "expire", "failure"];
/// And of one that is made no more.
const REVERSALS: [&str; 4] = ["refund", "partial_refund", "chargeback", "partial_chargeback"];

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
}

/// # Errors
/// See [`Rejected`].
pub fn read(body: &[u8], server_keys: &[Secret], foreign: &ForeignOrders) -> Result<Notice, Rejected> {
    let signed: Signed = parse(body)?;
    if !server_keys.iter().fold(false, |proved, key| proved | is_signed_with(&signed, key)) {
        return Err(Rejected::Forged("signature_key is not made with a server key of this merchant"));
    }
    understand(&signed, body, foreign).map_err(Rejected::of_proved)
}

fn understand(signed: &Signed, body: &[u8], foreign: &ForeignOrders) -> Result<Notice, Rejected> {
    let status: Status = parse(body)?;
    let told = status.transaction_status.as_str();
    if REVERSALS.contains(&told) {
        return Ok(Notice::Reversed(told.to_owned()));
    }
    if !STATUSES.contains(&told) {
        return Ok(Notice::Unknown(told.to_owned()));
    }
    let is_accepted = matches!(status.fraud_status.as_deref(), None | Some("accept"));
    let is_paid = match told {
        "settlement" => is_accepted,
        "capture" => status.fraud_status.as_deref() == Some("accept"),
        _ => false,
    };
    if signed.status_code != "200" || !is_paid {
        return Ok(Notice::NotPaid);
    }
    check_currency(status.currency.as_deref())?;
    let order_id = Field { name: "order_id", text: &signed.order_id };
    let amount = Field { name: "gross_amount", text: &signed.gross_amount };
    record_payment(Source::Midtrans, foreign, order_id, order_id, amount).map(Notice::Paid)
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
        super::read(body, keys, &ForeignOrders::of(&SerialKey::from_bytes([7; 32])))
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
            let Ok(Notice::Paid(Command::RecordPayment { payment, order, amount })) =
                read(&body("200", SIGNATURE, rest), &keys())
            else {
                panic!("{rest} is paid");
            };
            assert_eq!((payment.to_string(), order.to_string()), (format!("midtrans/{ORDER}"), ORDER.to_owned()));
            assert_eq!(amount.as_idr(), 20_000);
        }
    }

    #[test]
    fn what_is_not_paid_is_not_recorded_whatever_its_unsigned_part_says() {
        for (status_code, signature, rest) in [
            ("200", SIGNATURE, r#","transaction_status":"capture","fraud_status":"challenge""#),
            ("200", SIGNATURE, r#","transaction_status":"capture""#),
            ("200", SIGNATURE, r#","transaction_status":"settlement","fraud_status":"deny""#),
            ("200", SIGNATURE, r#","transaction_status":"authorize""#),
            ("201", SIGNATURE_PENDING, r#","transaction_status":"pending""#),
            ("201", SIGNATURE_PENDING, r#","transaction_status":"settlement","fraud_status":"accept""#),
        ] {
            assert!(matches!(read(&body(status_code, signature, rest), &keys()), Ok(Notice::NotPaid)), "{status_code} {rest}");
        }
    }

    #[test]
    fn money_that_goes_back_and_a_status_without_a_name_are_told_apart() {
        let told = |status: &str| {
            read(&body("200", SIGNATURE, &format!(r#","transaction_status":"{status}""#)), &keys()).expect("it is genuine")
        };
        assert_eq!(told("partial_refund"), Notice::Reversed("partial_refund".to_owned()));
        assert_eq!(told("chargeback"), Notice::Reversed("chargeback".to_owned()));
        assert_eq!(told("renamed"), Notice::Unknown("renamed".to_owned()));
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
        assert!(matches!(read(loud.as_bytes(), &keys()), Ok(Notice::Paid(_))), "digits may be of either case");
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
        assert!(matches!(read(&dollars, &keys()), Err(Rejected::Unusable(failure)) if failure.message.contains("currency")));
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
        let Ok(Notice::Paid(Command::RecordPayment { order, .. })) = read(notice.as_bytes(), &keys()) else {
            panic!("it is signed");
        };
        assert_ne!(order.to_string(), ORDER);
    }
}

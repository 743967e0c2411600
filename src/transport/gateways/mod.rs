//! Payment gateways' notices over HTTP ([`http`]): who says that money came, and is it them?
//!
//! One file per gateway turns the raw bytes of a notice into a [`Notice`]: it proves the origin first and understands the rest
//! afterwards. What a payment means is the ledger's affair: a notice becomes the same `RecordPayment` that a gRPC call makes.
//!
//! Money is never dropped. A payment for an order that is none of ours is recorded all the same, under an id that no buyer can
//! have made ([`ForeignOrders`]), and is a refund due.
//!
//! Not here: asking the gateway back (its GET Status), payouts.

mod connections;
pub mod http;
pub mod midtrans;
mod places;
pub mod xendit;

use std::fmt;

use serde::Deserialize;
use serde::de::Error as _;
use sha2::{Digest, Sha256};

use crate::counters::Counter;
use crate::domain::serial_code::SerialKey;
use crate::domain::{Command, Gateway, OrderId, PaymentId, PaymentName, Rupiah};
use crate::transport::errors::Failure;

/// What a gateway told, once it was proved to be the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A `RecordPayment`.
    Paid(Command),
    /// Of a payment that is not made, or not yet: nothing to record.
    NotPaid,
    /// The gateway took money back from the merchant, by what it calls that. The ledger has no command for it.
    Reversed(String),
    /// Of something that we have no word for, by what it is called.
    Unknown(String),
}

/// Why a notice is not believed, or not understood.
#[derive(Debug, Clone)]
pub enum Rejected {
    Forged(&'static str),
    /// Whoever sent it.
    Malformed(Failure),
    /// The gateway sent it, and money may have come: somebody has to look.
    Unusable(Failure),
}

impl Rejected {
    /// Of a notice whose origin is proved.
    fn of_proved(self) -> Self {
        match self {
            Self::Malformed(failure) => Self::Unusable(failure),
            other => other,
        }
    }
}

fn malformed(field: &str, limit: impl fmt::Display) -> Rejected {
    Rejected::Malformed(Failure::invalid(field, limit))
}

/// What a gateway proves itself with. Compared in constant time: over digests, so that neither how much fits nor a length shows.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    fn as_str(&self) -> &str {
        &self.0
    }
}

/// Never shown.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The equality of `blake3::Hash` takes the same time wherever two differ.
fn is_equal(given: &[u8], expected: &[u8]) -> bool {
    blake3::hash(given) == blake3::hash(expected)
}

/// The active secrets of each gateway; a gateway without one is not listened to. Two are active while one replaces the other.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// Server keys.
    pub midtrans: Vec<Secret>,
    /// Callback tokens.
    pub xendit: Vec<Secret>,
}

impl Secrets {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.midtrans.is_empty() && self.xendit.is_empty()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Midtrans,
    Xendit,
}

impl Source {
    pub const ALL: [Self; 2] = [Self::Midtrans, Self::Xendit];

    /// In the path, and of the payments in the ledger.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Midtrans => "midtrans",
            Self::Xendit => "xendit",
        }
    }
}

/// What became of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Recorded,
    RefundDue,
    Replayed,
    Ignored,
    Reversed,
    Unknown,
    Forged,
    Malformed,
    Unusable,
    Oversized,
    Conflict,
    Unavailable,
}

impl Outcome {
    pub const ALL: [Self; 12] = [
        Self::Recorded,
        Self::RefundDue,
        Self::Replayed,
        Self::Ignored,
        Self::Reversed,
        Self::Unknown,
        Self::Forged,
        Self::Malformed,
        Self::Unusable,
        Self::Oversized,
        Self::Conflict,
        Self::Unavailable,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::RefundDue => "refund_due",
            Self::Replayed => "replayed",
            Self::Ignored => "ignored",
            Self::Reversed => "reversed",
            Self::Unknown => "unknown",
            Self::Forged => "forged",
            Self::Malformed => "malformed",
            Self::Unusable => "unusable",
            Self::Oversized => "oversized",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Since the node started.
#[derive(Debug, Default)]
pub struct NoticeMetrics {
    /// By gateway and outcome.
    notices: [[Counter; Outcome::ALL.len()]; Source::ALL.len()],
    /// Connections for which there was no place: what they would have told, nobody read.
    pub turned_away: Counter,
    /// Connections that were closed for another one, because they had waited longest for their other end.
    pub made_room: Counter,
}

impl NoticeMetrics {
    #[must_use]
    pub fn of(&self, source: Source, outcome: Outcome) -> &Counter {
        &self.notices[source as usize][outcome as usize]
    }
}

/// The command that a proved and paid notice stands for. The fields are named as the gateway names them.
fn record_payment(
    source: Source,
    foreign: &ForeignOrders,
    payment_id: Field<'_>,
    order_id: Field<'_>,
    amount: Field<'_>,
) -> Result<Command, Rejected> {
    Ok(Command::RecordPayment {
        payment: PaymentName {
            gateway: Gateway::new(source.name()).expect("a gateway's name is one"),
            payment_id: payment_of(payment_id)?,
        },
        order: order_of(source, foreign, order_id)?,
        amount: Rupiah::payment(whole_rupiah(amount)?).map_err(|limit| malformed(amount.name, limit))?,
    })
}

#[derive(Debug, Clone, Copy)]
struct Field<'a> {
    name: &'static str,
    text: &'a str,
}

/// As the gateway calls it; what the ledger cannot hold (other characters, too long) goes by its digest.
fn payment_of(id: Field<'_>) -> Result<PaymentId, Rejected> {
    /// Of 64: the digest of a hundred million ids has no collision to speak of.
    const DIGEST_DIGITS: usize = 40;
    if id.text.is_empty() {
        return Err(malformed(id.name, "is missing"));
    }
    Ok(PaymentId::new(id.text).unwrap_or_else(|_| {
        let digest = hex::encode(Sha256::digest(id.text));
        PaymentId::new(&format!("sha256-{}", &digest[..DIGEST_DIGITS])).expect("digits and a dash, within the limit")
    }))
}

/// Makes the ids that foreign money is recorded under. Keyed, so that nobody can place an order of such an id before the money
/// comes, and be issued stamps for it; equal on all nodes, so that a notice is the same payment at each.
pub struct ForeignOrders([u8; 32]);

impl ForeignOrders {
    #[must_use]
    pub fn of(key: &SerialKey) -> Self {
        Self(key.derive("stampede 2026-11-26 orders of foreign payments v1"))
    }

    /// A UUIDv8.
    fn id(&self, source: Source, raw: &str) -> OrderId {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(source.name().as_bytes()).update(b"/").update(raw.as_bytes());
        let bytes = *hasher.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes");
        OrderId::from_bytes(uuid::Builder::from_custom_bytes(bytes).into_uuid().into_bytes())
    }
}

/// The order that a gateway's order id names: a UUID, alone or with a dash and one or two digits, which a portal gives to a second
/// charge for the same order. More digits could be what a signature that only joins its fields takes for the next field. Any other
/// id is of no order here: its payment comes to be owed back.
fn order_of(source: Source, foreign: &ForeignOrders, id: Field<'_>) -> Result<OrderId, Rejected> {
    const UUID_CHARS: usize = 36;
    const SUFFIX_DIGITS_MAX: usize = 2;
    if id.text.is_empty() {
        return Err(malformed(id.name, "is missing"));
    }
    let (uuid, suffix) = id.text.split_at_checked(UUID_CHARS).unwrap_or((id.text, ""));
    let is_charge =
        |digits: &str| (1..=SUFFIX_DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    match OrderId::parse(uuid) {
        Ok(order) if suffix.is_empty() || suffix.strip_prefix('-').is_some_and(is_charge) => Ok(order),
        _ => Ok(foreign.id(source, id.text)),
    }
}

/// `20000` or `20000.00`. Rupiah have no cents: anything else behind the point is not rounded but refused.
fn whole_rupiah(amount: Field<'_>) -> Result<i64, Rejected> {
    let (whole, cents) = amount.text.split_once('.').unwrap_or((amount.text, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(cents) || cents.bytes().any(|digit| digit != b'0') {
        return Err(malformed(amount.name, format_args!("must be whole rupiah, is {:?}", amount.text)));
    }
    whole.parse().map_err(|_| malformed(amount.name, format_args!("is too large: {}", amount.text)))
}

/// None, or rupiah.
fn check_currency(currency: Option<&str>) -> Result<(), Rejected> {
    match currency {
        None | Some("IDR") => Ok(()),
        Some(other) => Err(malformed("currency", format_args!("must be IDR, is {other:?}"))),
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Rejected> {
    serde_json::from_slice(body).map_err(|error| malformed("body", format_args!("is no notice: {error}")))
}

/// A JSON number or text, as it stands.
fn text_of_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Option::<serde_json::Value>::deserialize(deserializer)? {
        None => Ok(None),
        Some(serde_json::Value::Number(number)) => Ok(Some(number.to_string())),
        Some(serde_json::Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(D::Error::custom("a number expected")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str) -> Field<'_> {
        Field { name: "field", text }
    }

    fn foreign() -> ForeignOrders {
        ForeignOrders::of(&SerialKey::from_bytes([7; 32]))
    }

    #[test]
    fn an_order_id_may_carry_a_suffix_and_a_foreign_one_gets_an_id_of_its_own() {
        let uuid = "0192f8c0-0000-7000-8000-000000000001";
        let ours = OrderId::parse(uuid).unwrap();
        for text in [uuid.to_owned(), format!("{uuid}-2"), uuid.to_uppercase()] {
            assert_eq!(order_of(Source::Midtrans, &foreign(), field(&text)).unwrap(), ours, "{text}");
        }
        let order = |source, text: &str| order_of(source, &foreign(), field(text)).unwrap();
        let shop = order(Source::Midtrans, "shop-17");
        assert_eq!(shop, order(Source::Midtrans, "shop-17"), "the same each time");
        assert_ne!(shop, order(Source::Xendit, "shop-17"));
        let other_key = ForeignOrders::of(&SerialKey::from_bytes([8; 32]));
        assert_ne!(shop, order_of(Source::Midtrans, &other_key, field("shop-17")).unwrap(), "nobody else can make it");
        for text in [format!("{uuid}x"), format!("{uuid}-"), format!("{uuid}-x"), format!("{uuid}-2201"), format!("{uuid}201")]
        {
            assert_ne!(order(Source::Midtrans, &text), ours, "{text}");
        }
        assert_eq!(uuid::Uuid::from_bytes(*shop.as_bytes()).get_version_num(), 8);
        assert!(matches!(order_of(Source::Midtrans, &foreign(), field("")), Err(Rejected::Malformed(_))));
    }

    #[test]
    fn a_payment_id_that_the_ledger_cannot_hold_goes_by_its_digest() {
        assert_eq!(payment_of(field("a.b_c-1")).unwrap().as_str(), "a.b_c-1");
        let long = "x".repeat(65);
        for text in ["a~b", "pembayaran ke-2", long.as_str()] {
            let id = payment_of(field(text)).unwrap();
            assert!(id.as_str().starts_with("sha256-") && id.as_str().len() == 47, "{id}");
        }
        assert!(matches!(payment_of(field("")), Err(Rejected::Malformed(_))));
    }

    #[test]
    fn rupiah_are_whole_and_never_rounded() {
        for (text, rupiah) in [("10000", 10_000), ("10000.00", 10_000), ("10000.0", 10_000), ("0", 0)] {
            assert_eq!(whole_rupiah(field(text)).unwrap(), rupiah);
        }
        for text in ["", "10000.50", "10000.", ".00", "-1", "+1", "1e4", "10.000.00", "10,000", "99999999999999999999"] {
            assert!(matches!(whole_rupiah(field(text)), Err(Rejected::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        assert!(!format!("{:?}", Secrets { midtrans: vec![Secret::new("hush")], xendit: Vec::new() }).contains("hush"));
    }
}

//! The fields of a notice in the ledger's terms: ids, amounts, currency.
//!
//! A ledger keeps what it is told for ever, so nothing goes in that may be somebody's: an id that a merchant gives may be a phone
//! number where the merchant is another system of the same account. Those go by a keyed digest ([`ForeignIds`]).

use serde::Deserialize;
use serde::de::Error as _;
use sha2::{Digest, Sha256};

use super::{Rejected, Source, malformed};
use crate::domain::serial_code::SerialKey;
use crate::domain::{Command, Gateway, OrderId, PaymentId, PaymentName, Rupiah};

/// A text and what the gateway calls it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) name: &'static str,
    pub(super) text: &'a str,
}

impl<'a> Field<'a> {
    /// A field that is missing is empty.
    pub(super) fn new(name: &'static str, text: Option<&'a String>) -> Self {
        Self { name, text: text.map_or("", String::as_str) }
    }

    fn given(self) -> Result<Self, Rejected> {
        if self.text.is_empty() { Err(malformed(self.name, "is missing")) } else { Ok(self) }
    }
}

/// What money of foreign orders is recorded under. Keyed, so that nobody can place an order of such an id before the money comes
/// and be issued stamps for it, and nobody can guess an id from its digest; equal on all nodes and for the life of the ledger, so
/// that a notice is the same payment at each and at any time.
pub struct ForeignIds {
    orders: [u8; 32],
    payments: [u8; 32],
}

impl ForeignIds {
    #[must_use]
    pub fn of(key: &SerialKey) -> Self {
        Self {
            orders: key.derive("stampede 2026-11-26 orders of foreign payments v1"),
            payments: key.derive("stampede 2026-11-27 payments of foreign orders v1"),
        }
    }

    /// A UUIDv8.
    fn order(&self, source: Source, raw: &str) -> OrderId {
        let digest = keyed_digest(&self.orders, source, raw);
        let bytes = *digest.first_chunk().expect("a hash has 32 bytes");
        OrderId::from_bytes(uuid::Builder::from_custom_bytes(bytes).into_uuid().into_bytes())
    }

    fn payment(&self, source: Source, raw: &str) -> PaymentId {
        short_digest("foreign", &keyed_digest(&self.payments, source, raw))
    }
}

fn keyed_digest(key: &[u8; 32], source: Source, raw: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(source.name().as_bytes()).update(b"/").update(raw.as_bytes());
    *hasher.finalize().as_bytes()
}

fn short_digest(kind: &str, digest: &[u8]) -> PaymentId {
    /// Of 32: the digests of a hundred million ids have no collision to speak of.
    const BYTES: usize = 20;
    PaymentId::new(&format!("{kind}-{}", hex::encode(&digest[..BYTES]))).expect("digits and a dash, within the limit")
}

/// The order of ours that an id names: a UUID, alone or with a dash and one or two digits, which a portal gives to a second charge
/// for the same order. More digits could be what a signature that only joins its fields takes for the next field.
pub(super) fn our_order(id: &str) -> Option<OrderId> {
    const UUID_CHARS: usize = 36;
    const SUFFIX_DIGITS_MAX: usize = 2;
    let (uuid, suffix) = id.split_at_checked(UUID_CHARS)?;
    let is_charge =
        |digits: &str| (1..=SUFFIX_DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !suffix.is_empty() && !suffix.strip_prefix('-').is_some_and(is_charge) {
        return None;
    }
    OrderId::parse(uuid).ok()
}

/// The order that a merchant's id names; of one that is none of ours, an id of its own: its payment comes to be owed back.
///
/// # Errors
/// It is missing.
pub(super) fn order_of(source: Source, foreign: &ForeignIds, id: Field<'_>) -> Result<OrderId, Rejected> {
    let id = id.given()?;
    Ok(our_order(id.text).unwrap_or_else(|| foreign.order(source, id.text)))
}

/// The name of a payment that is known by the merchant's id of the charge, which is unique within `method`.
///
/// # Errors
/// It is missing.
pub(super) fn charge_of(source: Source, foreign: &ForeignIds, method: &str, id: Field<'_>) -> Result<PaymentName, Rejected> {
    let id = id.given()?;
    let charge = if method.is_empty() { id.text.to_owned() } else { format!("{method}-{}", id.text) };
    let payment_id = match our_order(id.text) {
        Some(_) => verbatim_or_digest(&charge),
        None => foreign.payment(source, &charge),
    };
    Ok(named(source, payment_id))
}

/// The name of a payment that has an id of the gateway's own. Some gateways make it from the merchant's id: what contains a foreign
/// one is as foreign.
///
/// # Errors
/// It is missing.
pub(super) fn payment_of(
    source: Source,
    foreign: &ForeignIds,
    id: Field<'_>,
    order_id: Field<'_>,
) -> Result<PaymentName, Rejected> {
    let id = id.given()?;
    let is_made_of_foreign = !order_id.text.is_empty() && our_order(order_id.text).is_none() && id.text.contains(order_id.text);
    let payment_id = if is_made_of_foreign { foreign.payment(source, id.text) } else { verbatim_or_digest(id.text) };
    Ok(named(source, payment_id))
}

fn named(source: Source, payment_id: PaymentId) -> PaymentName {
    PaymentName { gateway: Gateway::new(source.name()).expect("a gateway's name is one"), payment_id }
}

/// What the ledger cannot hold (other characters, too long) goes by its digest.
fn verbatim_or_digest(id: &str) -> PaymentId {
    PaymentId::new(id).unwrap_or_else(|_| short_digest("sha256", &Sha256::digest(id)))
}

/// # Errors
/// The amount is missing, or none that a payment can have.
pub(super) fn record_payment(payment: PaymentName, order: OrderId, amount: Field<'_>) -> Result<Command, Rejected> {
    let amount_idr = whole_rupiah(amount.given()?)?;
    let amount = Rupiah::payment(amount_idr).map_err(|limit| malformed(amount.name, limit))?;
    Ok(Command::RecordPayment { payment, order, amount })
}

/// `20000` or `20000.00`. Rupiah have no cents: anything else behind the point is not rounded but refused.
pub(super) fn whole_rupiah(amount: Field<'_>) -> Result<i64, Rejected> {
    let (whole, cents) = amount.text.split_once('.').unwrap_or((amount.text, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(cents) || cents.bytes().any(|digit| digit != b'0') {
        return Err(malformed(amount.name, format_args!("must be whole rupiah, is {:?}", amount.text)));
    }
    whole.parse().map_err(|_| malformed(amount.name, format_args!("is too large: {}", amount.text)))
}

/// None, or rupiah.
pub(super) fn check_currency(currency: Option<&str>) -> Result<(), Rejected> {
    match currency {
        None | Some("IDR") => Ok(()),
        Some(other) => Err(malformed("currency", format_args!("must be IDR, is {other:?}"))),
    }
}

pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Rejected> {
    serde_json::from_slice(body).map_err(|error| malformed("body", format_args!("is no notice: {error}")))
}

/// A JSON number or text, as it stands.
pub(super) fn text_of_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
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

    fn foreign() -> ForeignIds {
        ForeignIds::of(&SerialKey::from_bytes([7; 32]))
    }

    const UUID: &str = "0192f8c0-0000-7000-8000-000000000001";

    #[test]
    fn an_order_id_may_carry_a_suffix_and_a_foreign_one_gets_an_id_of_its_own() {
        let ours = OrderId::parse(UUID).unwrap();
        for text in [UUID.to_owned(), format!("{UUID}-2"), UUID.to_uppercase()] {
            assert_eq!(order_of(Source::Midtrans, &foreign(), field(&text)).unwrap(), ours, "{text}");
        }
        let order = |source, text: &str| order_of(source, &foreign(), field(text)).unwrap();
        let shop = order(Source::Midtrans, "shop-17");
        assert_eq!(shop, order(Source::Midtrans, "shop-17"), "the same each time");
        assert_ne!(shop, order(Source::Xendit, "shop-17"));
        let other_key = ForeignIds::of(&SerialKey::from_bytes([8; 32]));
        assert_ne!(shop, order_of(Source::Midtrans, &other_key, field("shop-17")).unwrap(), "nobody else can make it");
        for text in [format!("{UUID}x"), format!("{UUID}-"), format!("{UUID}-x"), format!("{UUID}-2201"), format!("{UUID}201")]
        {
            assert_ne!(order(Source::Midtrans, &text), ours, "{text}");
        }
        assert_eq!(uuid::Uuid::from_bytes(*shop.as_bytes()).get_version_num(), 8);
        assert!(matches!(order_of(Source::Midtrans, &foreign(), field("")), Err(Rejected::Malformed(_))));
    }

    #[test]
    fn a_charge_of_ours_is_known_by_its_id_and_a_foreign_one_by_what_nobody_can_guess() {
        let charge = |text: &str| charge_of(Source::Midtrans, &foreign(), "", field(text)).unwrap().payment_id;
        for ours in [UUID.to_owned(), format!("{UUID}-2")] {
            assert_eq!(charge(&ours).as_str(), ours);
        }
        let phone = "081234567890";
        let id = charge(phone);
        assert!(id.as_str().starts_with("foreign-") && id.as_str().len() == 48, "{id}");
        assert_eq!(id, charge(phone), "the same each time");
        assert_ne!(id, charge("081234567891"));
        assert!(!id.as_str().contains(&hex::encode(Sha256::digest(phone))[..40]), "all phone numbers could be tried");
        let other_key = ForeignIds::of(&SerialKey::from_bytes([8; 32]));
        assert_ne!(id, charge_of(Source::Midtrans, &other_key, "", field(phone)).unwrap().payment_id);
        assert!(matches!(charge_of(Source::Midtrans, &foreign(), "", field("")), Err(Rejected::Malformed(_))));
    }

    #[test]
    fn an_id_of_the_gateways_own_stays_unless_a_foreign_one_is_in_it() {
        let id = |id: &str, order: &str| payment_of(Source::Xendit, &foreign(), field(id), field(order)).unwrap().payment_id;
        assert_eq!(id("a.b_c-1", UUID).as_str(), "a.b_c-1");
        assert_eq!(id("py-17", "081234567890").as_str(), "py-17");
        let made_of_ours = format!("{UUID}_1476");
        assert_eq!(id(&made_of_ours, UUID).as_str(), made_of_ours);
        assert!(id("081234567890_1476", "081234567890").as_str().starts_with("foreign-"));
        let long = "x".repeat(65);
        for text in ["a~b", "pembayaran ke-2", long.as_str()] {
            let id = id(text, UUID);
            assert!(id.as_str().starts_with("sha256-") && id.as_str().len() == 47, "{id}");
        }
        assert!(matches!(payment_of(Source::Xendit, &foreign(), field(""), field(UUID)), Err(Rejected::Malformed(_))));
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
}

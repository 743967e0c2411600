//! Newtypes of ids, counts, money and time. A value of one of these has passed its checks; the domain does not repeat them.

use std::fmt;
use std::sync::Arc;

use crate::limits;

/// Why a value is not acceptable; the caller knows the field's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValue {
    #[error("must have {min} to {max} characters, has {got}")]
    Length { min: usize, max: usize, got: usize },
    #[error("may contain only {allowed}")]
    Characters { allowed: &'static str },
    #[error("must be {min} to {max}, is {got}")]
    Range { min: u64, max: u64, got: i128 },
    #[error("must be a UUID")]
    Uuid,
    #[error("must have 32 bytes, has {got}")]
    Sha256 { got: usize },
}

fn checked_text(
    text: &str,
    chars_max: usize,
    allowed: &'static str,
    is_allowed: fn(u8) -> bool,
) -> Result<Arc<str>, InvalidValue> {
    if !text.bytes().all(is_allowed) {
        return Err(InvalidValue::Characters { allowed });
    }
    // All characters are ASCII here, so bytes are characters.
    if text.is_empty() || text.len() > chars_max {
        return Err(InvalidValue::Length { min: 1, max: chars_max, got: text.len() });
    }
    Ok(text.into())
}

pub(super) fn checked_range(got: i128, min: u64, max: u64) -> Result<u64, InvalidValue> {
    match u64::try_from(got) {
        Ok(value) if (min..=max).contains(&value) => Ok(value),
        _ => Err(InvalidValue::Range { min, max, got }),
    }
}

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $max:expr, $allowed:literal, $is_allowed:expr) => {
        $(#[$doc])*
        ///
        /// Shared, because the rules hand records about by value.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// # Errors
            /// Names the limit that `text` breaks.
            pub fn new(text: &str) -> Result<Self, InvalidValue> {
                checked_text(text, $max, $allowed, $is_allowed).map(Self)
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_name!(
    /// Who buys: an opaque id of the portal's, never a person's name or number.
    AccountId, limits::ACCOUNT_ID_CHARS_MAX, "A-Z a-z 0-9 . _ -",
    |b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')
);
text_name!(
    /// A payment gateway, such as `midtrans`.
    Gateway, limits::GATEWAY_CHARS_MAX, "a-z 0-9 -",
    |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'
);
text_name!(
    /// A gateway's own id of a payment.
    PaymentId, limits::PAYMENT_ID_CHARS_MAX, "A-Z a-z 0-9 . _ -",
    |b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')
);

text_name!(
    /// What a settled refund is called in the books of whoever paid it out, such as a bank's transfer number; never a person's name
    /// or account number.
    SettlementReference, limits::SETTLEMENT_REFERENCE_CHARS_MAX, "A-Z a-z 0-9 . _ -",
    |b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')
);

/// What a payment is known by: unique for ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentName {
    pub gateway: Gateway,
    pub payment_id: PaymentId,
}

impl fmt::Display for PaymentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.gateway, self.payment_id)
    }
}

/// A UUID that the buyer's side made before the first send. Ordered by its bytes, so version 7 is ordered by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId([u8; 16]);

impl OrderId {
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// # Errors
    /// `text` is no UUID in its hyphenated form.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        // The hyphenated form alone; its digits may be of either case and name the same id.
        if text.len() != 36 {
            return Err(InvalidValue::Uuid);
        }
        uuid::Uuid::try_parse(text).map(|id| Self(id.into_bytes())).map_err(|_| InvalidValue::Uuid)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).fmt(f)
    }
}

/// SHA-256 of a document, as whoever draws the stamp has it: the ledger never sees the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentDigest([u8; 32]);

impl DocumentDigest {
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// # Errors
    /// `bytes` are not 32.
    pub fn new(bytes: &[u8]) -> Result<Self, InvalidValue> {
        bytes.try_into().map(Self).map_err(|_| InvalidValue::Sha256 { got: bytes.len() })
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// 64 lower-case hexadecimal digits.
impl fmt::Display for DocumentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Three characters of Crockford base 32 (no I, L, O, U).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesCode([u8; 3]);

impl SeriesCode {
    /// # Errors
    /// Names the limit that `text` breaks.
    pub fn new(text: &str) -> Result<Self, InvalidValue> {
        let is_crockford = |b: u8| b.is_ascii_digit() || (b.is_ascii_uppercase() && !matches!(b, b'I' | b'L' | b'O' | b'U'));
        if !text.bytes().all(is_crockford) {
            return Err(InvalidValue::Characters { allowed: "0-9 A-Z without I L O U" });
        }
        let bytes = text.as_bytes().try_into().map_err(|_| InvalidValue::Length { min: 3, max: 3, got: text.len() })?;
        Ok(Self(bytes))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("checked to be ASCII when made")
    }
}

impl fmt::Display for SeriesCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A serial number within its series' run: 0 to [`limits::STAMP_NUMBER_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StampNumber(u64);

impl StampNumber {
    /// # Errors
    /// `number` does not fit in the nine digits of the printed code.
    pub fn new(number: u64) -> Result<Self, InvalidValue> {
        checked_range(number.into(), 0, limits::STAMP_NUMBER_MAX).map(Self)
    }

    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Stamps in one order: 1 to [`limits::ORDER_QUANTITY_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(u32);

impl Quantity {
    /// # Errors
    /// `quantity` is 0 or above the limit.
    pub fn new(quantity: u32) -> Result<Self, InvalidValue> {
        checked_range(quantity.into(), 1, limits::ORDER_QUANTITY_MAX.into())?;
        Ok(Self(quantity))
    }

    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Of a whole: 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u32);

impl Percent {
    /// # Errors
    /// `percent` is 0 or above 100.
    pub fn new(percent: u32) -> Result<Self, InvalidValue> {
        checked_range(percent.into(), 1, 100)?;
        Ok(Self(percent))
    }

    /// Of a constant: anything else does not compile.
    pub(super) const fn of_a_constant(percent: u32) -> Self {
        assert!(percent >= 1 && percent <= 100);
        Self(percent)
    }

    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Whole rupiah; there are no sen. Never negative: debts have names of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rupiah(u64);

impl Rupiah {
    #[must_use]
    pub const fn from_idr(idr: u64) -> Self {
        Self(idr)
    }

    /// An amount that somebody paid: 1 to [`limits::PAYMENT_AMOUNT_IDR_MAX`].
    ///
    /// # Errors
    /// `idr` is negative, zero or above the limit.
    pub fn payment(idr: i64) -> Result<Self, InvalidValue> {
        checked_range(idr.into(), 1, limits::PAYMENT_AMOUNT_IDR_MAX).map(Self)
    }

    #[must_use]
    pub const fn as_idr(self) -> u64 {
        self.0
    }

    /// A sum. It stays at the highest value rather than overflow: 18 million payments of the highest amount are more money
    /// than there is, but if a client reports them, the nodes must go on.
    #[must_use]
    pub(super) const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left of a sum after a part of it was taken away, which is never more.
    #[must_use]
    pub const fn minus(self, part: Self) -> Self {
        Self(self.0.saturating_sub(part.0))
    }

    /// A share; a fraction of a rupiah is rounded up.
    #[must_use]
    pub(super) fn percent_rounded_up(self, percent: Percent) -> Self {
        // In 128 bits nothing overflows, and a share is no more than the whole.
        let share = (u128::from(self.0) * u128::from(percent.get())).div_ceil(100);
        Self(u64::try_from(share).expect("at most 100 percent"))
    }

    /// The price of so many stamps.
    #[must_use]
    pub(super) fn times(self, quantity: Quantity) -> Self {
        Self(self.0.saturating_mul(quantity.get().into()))
    }
}

impl fmt::Display for Rupiah {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rp{}", self.0)
    }
}

/// Unix milliseconds by the ledger's clock, which comes from the log and never goes back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LedgerTime(pub u64);

/// Where a command stands: log index, then offset within the entry. The total order of everything that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub log_index: u64,
    pub offset: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.log_index, self.offset)
    }
}

//! The printed code of a stamp: 22 characters that a clerk can type and only the holder of the key can make.
//!
//! ```text
//! characters  1-3   4-12    13-21  22
//!             series number tag    check
//! ```
//!
//! - **series**: the three ASCII characters of the series' code.
//! - **number**: the stamp's number, nine digits of base 32, most significant first, in Crockford's alphabet
//!   `0123456789ABCDEFGHJKMNPQRSTVWXYZ`.
//! - **tag**: `keyed_hash(key, series as 3 ASCII bytes || number as u64, big-endian)` of BLAKE3; its first 45 bits (the most
//!   significant bits of the first six bytes) as nine digits in the same alphabet, most significant first.
//! - **check**: ISO 7064 MOD 37,36 over the 21 characters before it, with `0-9A-Z` as 0 to 35. It catches a slip of the hand
//!   without the key.
//!
//! The ledger stores numbers alone; codes are made at the edge. A code has one spelling: upper case, no spaces. The vectors in
//! `tests/domain/serial_code.rs` are frozen: printed codes outlive any version of this file.

use std::fmt;

use super::names::{SeriesCode, StampNumber};
use super::series::KeyCheck;

const CODE_CHARS: usize = 22;
const SERIES_CHARS: usize = 3;
const NUMBER_CHARS: usize = 9;
const TAG_CHARS: usize = 9;
const CHECK_AT: usize = SERIES_CHARS + NUMBER_CHARS + TAG_CHARS;

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// BLAKE3 `derive_key` context of the key check: what it tells cannot be used to make tags.
const KEY_CHECK_CONTEXT: &str = "stampede 2026-11-23 serial key check v1";

/// The secret behind the tags. Whoever has it can make codes of any stamp.
#[derive(Clone)]
pub struct SerialKey([u8; 32]);

impl SerialKey {
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Names this key without telling it.
    #[must_use]
    pub fn key_check(&self) -> KeyCheck {
        let [a, b, c, d, e, f, g, h, ..] = blake3::derive_key(KEY_CHECK_CONTEXT, &self.0);
        [a, b, c, d, e, f, g, h]
    }

    /// A key for another purpose, which tells nothing of this one: `context` names the purpose, as BLAKE3's `derive_key` wants it.
    #[must_use]
    pub fn derive(&self, context: &str) -> [u8; 32] {
        blake3::derive_key(context, &self.0)
    }

    fn tag(&self, series: SeriesCode, number: StampNumber) -> [u8; TAG_CHARS] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(series.as_str().as_bytes()).update(&number.get().to_be_bytes());
        let [a, b, c, d, e, f, ..] = *hasher.finalize().as_bytes();
        // 48 bits without the last three are the first 45.
        base32(u64::from_be_bytes([0, 0, a, b, c, d, e, f]) >> 3)
    }
}

impl fmt::Debug for SerialKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SerialKey(redacted)")
    }
}

/// A code that was made with a key: 22 ASCII characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SerialCode([u8; CODE_CHARS]);

impl SerialCode {
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("made of ASCII characters")
    }
}

impl fmt::Display for SerialCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is no code of ours. To the public all three are one answer: forged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forged {
    #[error("not 22 characters of the code's alphabet")]
    Malformed,
    #[error("mistyped: the check character does not fit")]
    Mistyped,
    #[error("not made with this key")]
    NotOurs,
}

#[must_use]
pub fn encode(key: &SerialKey, series: SeriesCode, number: StampNumber) -> SerialCode {
    let mut code = [0; CODE_CHARS];
    code[..SERIES_CHARS].copy_from_slice(series.as_str().as_bytes());
    code[SERIES_CHARS..][..NUMBER_CHARS].copy_from_slice(&base32(number.get()));
    code[SERIES_CHARS + NUMBER_CHARS..][..TAG_CHARS].copy_from_slice(&key.tag(series, number));
    code[CHECK_AT] = check_character(&code[..CHECK_AT]).expect("the alphabet of codes is within 0-9 A-Z");
    SerialCode(code)
}

/// The stamp that a code names. Says nothing of whether it is issued.
///
/// # Errors
/// This system never gave out `text` with this key.
pub fn verify(key: &SerialKey, text: &str) -> Result<(SeriesCode, StampNumber), Forged> {
    let code: &[u8; CODE_CHARS] = text.as_bytes().try_into().map_err(|_| Forged::Malformed)?;
    let check = check_character(&code[..CHECK_AT]).ok_or(Forged::Malformed)?;
    if !code[CHECK_AT].is_ascii_digit() && !code[CHECK_AT].is_ascii_uppercase() {
        return Err(Forged::Malformed);
    }
    if check != code[CHECK_AT] {
        return Err(Forged::Mistyped);
    }
    // From here on the text is ASCII.
    let series = SeriesCode::new(&text[..SERIES_CHARS]).map_err(|_| Forged::Malformed)?;
    let number = from_base32(&code[SERIES_CHARS..][..NUMBER_CHARS]).ok_or(Forged::Malformed)?;
    let number = StampNumber::new(number).map_err(|_| Forged::Malformed)?;
    if !same_in_constant_time(&key.tag(series, number), &code[SERIES_CHARS + NUMBER_CHARS..CHECK_AT]) {
        return Err(Forged::NotOurs);
    }
    Ok((series, number))
}

/// Compares all bytes whatever they are, so that the time does not tell a forger how many of a tag were right.
fn same_in_constant_time(ours: &[u8; TAG_CHARS], theirs: &[u8]) -> bool {
    ours.iter().zip(theirs).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

/// Nine digits: the low 45 bits of `value`.
fn base32(value: u64) -> [u8; 9] {
    std::array::from_fn(|digit| {
        let shift = 5 * (8 - digit);
        CROCKFORD[usize::try_from((value >> shift) & 0x1F).expect("five bits")]
    })
}

fn from_base32(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| {
        let worth = CROCKFORD.iter().zip(0u64..).find_map(|(known, worth)| (known == digit).then_some(worth))?;
        Some(value << 5 | worth)
    })
}

/// ISO 7064 MOD 37,36, a hybrid system; none if a character is not 0-9 A-Z.
fn check_character(text: &[u8]) -> Option<u8> {
    let mut product = 36;
    for &byte in text {
        let worth = match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'Z' => byte - b'A' + 10,
            _ => return None,
        };
        let sum = (product + u32::from(worth)) % 36;
        product = (if sum == 0 { 36 } else { sum }) * 2 % 37;
    }
    // The character that brings the last sum to 1.
    let worth = (37 - product) % 36;
    char::from_digit(worth, 36).and_then(|check| u8::try_from(check.to_ascii_uppercase()).ok())
}

//! The printed code of a stamp, made from its specification alone.
//!
//! 22 characters: `series (3) · number (9, Crockford base 32) · tag (9, base 32: the first 45 bits of BLAKE3 keyed with the
//! cluster's key, over the three series characters and the number as 64 bits, big-endian) · check (1, ISO 7064 MOD 37,36 over
//! the 21 before it)`.

use crate::history::{CodesSeen, SeriesCode};

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CODE_CHARS: usize = 22;
/// Of the number and of the tag.
const FIELD_DIGITS: usize = 9;

/// Makes and verifies codes under one key.
#[derive(Clone)]
pub struct SerialCodes {
    key: [u8; 32],
}

impl SerialCodes {
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// `None` if `text` is not 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let key = blake3::Hash::from_hex(text).ok()?;
        Some(Self::new(*key.as_bytes()))
    }

    #[must_use]
    pub fn code(&self, series: SeriesCode, number: u64) -> String {
        let mut text = String::with_capacity(CODE_CHARS);
        text.extend(series.iter().map(|&byte| char::from(byte)));
        push_digits(number, &mut text);
        push_digits(self.tag(series, number), &mut text);
        text.push(check_character(text.as_bytes()));
        text
    }

    /// A code of that stamp that nobody with the key made: another tag under a right check character. Who checks the character
    /// alone takes it for genuine.
    #[must_use]
    pub fn forged(&self, series: SeriesCode, number: u64) -> String {
        let mut text = self.code(series, number);
        text.truncate(CODE_CHARS - 1);
        let last = if text.pop() == Some('0') { '1' } else { '0' };
        text.push(last);
        text.push(check_character(text.as_bytes()));
        text
    }

    /// What an answer with exactly these codes folds to.
    #[must_use]
    pub fn fold(&self, series: SeriesCode, first_number: u64, quantity: u32) -> CodesSeen {
        let codes: Vec<_> = (0..u64::from(quantity)).map(|at| self.code(series, first_number.saturating_add(at))).collect();
        CodesSeen::of(codes.iter().map(String::as_str))
    }

    /// The stamp that a genuine code names.
    #[must_use]
    pub fn read(&self, code: &str) -> Option<(SeriesCode, u64)> {
        let bytes = code.as_bytes();
        if bytes.len() != CODE_CHARS || !bytes.is_ascii() {
            return None;
        }
        let series = [bytes[0], bytes[1], bytes[2]];
        let mut number = 0;
        for byte in &bytes[3..3 + FIELD_DIGITS] {
            number = number * 32 + DIGITS.iter().position(|digit| digit == byte)? as u64;
        }
        (self.code(series, number) == code).then_some((series, number))
    }

    fn tag(&self, series: SeriesCode, number: u64) -> u64 {
        let mut input = [0; 11];
        input[..3].copy_from_slice(&series);
        input[3..].copy_from_slice(&number.to_be_bytes());
        let hash = blake3::keyed_hash(&self.key, &input);
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        u64::from_be_bytes(first) >> (64 - 5 * FIELD_DIGITS)
    }
}

/// The lowest nine digits of `value`.
fn push_digits(value: u64, text: &mut String) {
    for place in (0..FIELD_DIGITS).rev() {
        let digit = (value >> (5 * place)) & 31;
        text.push(char::from(DIGITS[usize::try_from(digit).expect("five bits")]));
    }
}

/// ISO 7064 MOD 37,36: a hybrid system over 0-9 A-Z that catches every single slip and every swap of neighbours.
fn check_character(text: &[u8]) -> char {
    let mut product = 36;
    for &byte in text {
        let value = char::from(byte).to_digit(36).unwrap_or(0);
        let sum = (product + value) % 36;
        product = (if sum == 0 { 36 } else { sum }) * 2 % 37;
    }
    char::from_digit((37 - product) % 36, 36).expect("below 36").to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_character_is_that_of_the_standard() {
        // The example of ISO 7064 for MOD 37,36.
        assert_eq!(check_character(b"A12425GABC1234002"), 'M');
    }

    /// Vectors that the system publishes; codes are printed on documents, so these never change.
    #[test]
    fn the_published_vectors_come_out() {
        let counting = SerialCodes::new(std::array::from_fn(|at| u8::try_from(at).unwrap()));
        assert_eq!(counting.code(*b"A24", 123_456_789), "A240003NQK8NEQPGMF990V");
        assert_eq!(counting.code(*b"ZZZ", 32_u64.pow(9) - 1), "ZZZZZZZZZZZZRJ5V2JDNFI");
        assert_eq!(SerialCodes::new([0; 32]).code(*b"AAA", 0), "AAA0000000001EXMG97PWS");
    }

    #[test]
    fn a_forged_code_is_well_formed_and_names_no_stamp() {
        let codes = SerialCodes::new([7; 32]);
        for number in 0..100 {
            let forged = codes.forged(*b"A24", number);
            let (body, check) = forged.split_at(CODE_CHARS - 1);
            assert_eq!(check, check_character(body.as_bytes()).to_string(), "{forged}");
            assert_eq!(forged[..12], codes.code(*b"A24", number)[..12], "series and number stay");
            assert_eq!(codes.read(&forged), None, "{forged}");
        }
    }

    #[test]
    fn a_code_names_its_stamp_and_no_slip_does() {
        let codes = SerialCodes::new([7; 32]);
        let code = codes.code(*b"A24", 123_456_789);
        assert_eq!(code.len(), CODE_CHARS);
        assert_eq!(codes.read(&code), Some((*b"A24", 123_456_789)));
        for at in 0..CODE_CHARS {
            let mut slip = code.clone().into_bytes();
            slip[at] = if slip[at] == b'7' { b'8' } else { b'7' };
            assert_eq!(codes.read(std::str::from_utf8(&slip).unwrap()), None, "slip at {at}");
        }
        assert_eq!(SerialCodes::new([8; 32]).read(&code), None, "another key");
    }
}

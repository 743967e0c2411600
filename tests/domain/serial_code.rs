//! Serial codes: frozen vectors, and what a slip of the hand or a forger meets.

use stampede::domain::serial_code::{Forged, SerialKey, encode, verify};
use stampede::domain::{SeriesCode, StampNumber};
use stampede::limits::STAMP_NUMBER_MAX;

/// Key bytes 0, 1, 2, … 31.
fn counting_key() -> SerialKey {
    SerialKey::from_bytes(std::array::from_fn(|at| u8::try_from(at).expect("below 32")))
}

fn zero_key() -> SerialKey {
    SerialKey::from_bytes([0; 32])
}

fn stamp(series: &str, number: u64) -> (SeriesCode, StampNumber) {
    (SeriesCode::new(series).expect("valid"), StampNumber::new(number).expect("valid"))
}

/// Computed by another implementation (Python, from the layout in `serial_code.rs` alone). Never change these: such codes
/// are printed on documents.
#[test]
fn the_vectors_are_frozen() {
    let vectors = [
        (zero_key(), "AAA", 0, "AAA0000000001EXMG97PWS"),
        (zero_key(), "A24", 1, "A24000000001ZGCK93E2M2"),
        (zero_key(), "A24", 123_456_789, "A240003NQK8NTSZPAVAJVN"),
        (zero_key(), "ZZZ", STAMP_NUMBER_MAX, "ZZZZZZZZZZZZ97JEY2ZQWH"),
        (zero_key(), "000", 31, "00000000000Z5SE33GGQ8X"),
        (counting_key(), "AAA", 0, "AAA000000000NZZYR98WMS"),
        (counting_key(), "A24", 1, "A240000000013PY0YXMJ33"),
        (counting_key(), "A24", 123_456_789, "A240003NQK8NEQPGMF990V"),
        (counting_key(), "ZZZ", STAMP_NUMBER_MAX, "ZZZZZZZZZZZZRJ5V2JDNFI"),
        (counting_key(), "000", 31, "00000000000ZR51CSN9XE2"),
    ];
    for (key, series, number, code) in vectors {
        let (series, number) = stamp(series, number);
        assert_eq!(encode(&key, series, number).as_str(), code);
        assert_eq!(verify(&key, code), Ok((series, number)));
    }
    assert_eq!(zero_key().key_check(), 0x0bd0_ed24_8212_bdb2_u64.to_be_bytes());
    assert_eq!(counting_key().key_check(), 0x0ea6_a991_1af4_6576_u64.to_be_bytes());
}

#[test]
fn every_single_substitution_is_caught_without_the_key() {
    let code = encode(&counting_key(), stamp("A24", 77).0, stamp("A24", 77).1);
    for at in 0..22 {
        for other in (b'0'..=b'9').chain(b'A'..=b'Z') {
            let mut typed = code.as_str().as_bytes().to_vec();
            if typed[at] == other {
                continue;
            }
            typed[at] = other;
            let typed = String::from_utf8(typed).expect("ASCII");
            assert_eq!(verify(&counting_key(), &typed), Err(Forged::Mistyped), "{typed}");
        }
    }
}

#[test]
fn every_adjacent_transposition_is_caught_by_the_check_character_or_the_tag() {
    for number in 0..2_000 {
        let (series, number) = stamp("K7Q", number * 17_592_186_044 % STAMP_NUMBER_MAX);
        let code = encode(&counting_key(), series, number);
        for at in 0..21 {
            let mut typed = code.as_str().as_bytes().to_vec();
            if typed[at] == typed[at + 1] {
                continue;
            }
            typed.swap(at, at + 1);
            let typed = String::from_utf8(typed).expect("ASCII");
            assert!(verify(&counting_key(), &typed).is_err(), "{typed} for {code}");
        }
    }
}

#[test]
fn a_code_of_another_key_is_not_ours() {
    let (series, number) = stamp("A24", 5);
    let theirs = encode(&zero_key(), series, number);
    assert_eq!(verify(&counting_key(), theirs.as_str()), Err(Forged::NotOurs));
}

#[test]
fn a_code_has_one_spelling() {
    let code = encode(&counting_key(), stamp("A24", 5).0, stamp("A24", 5).1);
    let code = code.as_str();
    let spellings = [
        String::new(),
        code.to_lowercase(),
        format!(" {code}"),
        format!("{code} "),
        code[..21].to_owned(),
        format!("{}-{}", &code[..10], &code[11..]),
        format!("{}\u{e9}", &code[..20]),
        format!("\u{e9}{}", &code[2..]),
        "\0".repeat(22),
    ];
    for spelling in spellings {
        assert_eq!(verify(&counting_key(), &spelling), Err(Forged::Malformed), "{spelling:?}");
    }
}

/// A forger, or a clerk who reads 1 as I: the check character alone would let them through.
#[test]
fn letters_outside_of_the_alphabet_are_malformed_under_a_right_check_character() {
    let code = encode(&counting_key(), stamp("A24", 5).0, stamp("A24", 5).1);
    // A place in the series, in the number and in the tag.
    for at in [0, 2, 3, 11, 12, 20] {
        for letter in ['I', 'L', 'O', 'U'] {
            let body = format!("{}{letter}{}", &code.as_str()[..at], &code.as_str()[at + 1..21]);
            let typed = format!("{body}{}", check_character(&body));
            let forged = verify(&counting_key(), &typed);
            // A tag is compared with ours, not read: a letter that no tag of ours has is not ours.
            let expect = if at < 12 { Forged::Malformed } else { Forged::NotOurs };
            assert_eq!(forged, Err(expect), "{typed}");
        }
    }
}

/// ISO 7064 MOD 37,36 from its definition: the one character with which the whole string checks.
fn check_character(body: &str) -> char {
    let worth = |c: char| c.to_digit(36).expect("0-9 A-Z");
    let checks = |check: &char| {
        let last = body.chars().fold(36, |product, c| {
            let sum = (product + worth(c)) % 36;
            (if sum == 0 { 36 } else { sum }) * 2 % 37
        });
        (last + worth(*check)) % 36 == 1
    };
    ('0'..='9').chain('A'..='Z').find(checks).expect("every string has one")
}

#[test]
fn the_key_is_not_printed() {
    assert_eq!(format!("{:?}", counting_key()), "SerialKey(redacted)");
}

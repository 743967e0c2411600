//! Values with units, as scenario files write them: `"400ms"`, `"2400/s"`, `"2.5%"`, `"4GiB"`.
//!
//! A bare number is an error, so that nobody has to guess whether 5 means seconds or milliseconds.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A length of time: `"400ms"`, `"5s"`, `"2min"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(Duration);

impl Span {
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Whole milliseconds.
    #[must_use]
    pub fn ms(self) -> u64 {
        u64::try_from(self.0.as_millis()).expect("a parsed span is far below 2^64 milliseconds")
    }
}

impl From<Duration> for Span {
    fn from(length: Duration) -> Self {
        Self(length)
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        humantime::parse_duration(&text)
            .map(Self)
            .map_err(|cause| format!("\"{text}\" is no length of time like \"400ms\" or \"5s\": {cause}"))
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// Events a second: `"2400/s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate(u32);

impl Rate {
    #[must_use]
    pub const fn per_second(self) -> u32 {
        self.0
    }
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = text.strip_suffix("/s").map(str::trim).and_then(|number| number.parse().ok());
        number.map(Self).ok_or_else(|| format!("\"{text}\" is no rate like \"2400/s\""))
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

/// A part of a whole: `"2.5%"`. Kept in parts per million, so that draws from a seed are integer arithmetic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Share(u32);

impl Share {
    pub const WHOLE: u32 = 1_000_000;

    #[must_use]
    pub const fn from_percent(percent: u32) -> Self {
        Self(percent * (Self::WHOLE / 100))
    }

    /// Parts per million.
    #[must_use]
    pub const fn ppm(self) -> u32 {
        self.0
    }
}

impl TryFrom<String> for Share {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parse = || {
            let (whole, fraction) = match text.strip_suffix('%')?.trim().split_once('.') {
                Some((whole, fraction)) => (whole, fraction.to_owned()),
                None => (text.strip_suffix('%')?.trim(), String::new()),
            };
            // Four digits after the point of a percentage are parts per million.
            let fraction: u32 = if fraction.len() <= 4 { format!("{fraction:0<4}").parse().ok()? } else { return None };
            whole.parse::<u32>().ok()?.checked_mul(10_000)?.checked_add(fraction)
        };
        parse()
            .filter(|ppm| *ppm <= Self::WHOLE)
            .map(Self)
            .ok_or_else(|| format!("\"{text}\" is no share like \"2.5%\", 0% to 100%"))
    }
}

impl From<Share> for String {
    fn from(share: Share) -> Self {
        share.to_string()
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / 10_000, self.0 % 10_000);
        match format!("{fraction:04}").trim_end_matches('0') {
            "" => write!(f, "{whole}%"),
            digits => write!(f, "{whole}.{digits}%"),
        }
    }
}

/// An amount of storage: `"4GiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(u64);

impl Size {
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const UNITS: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
        let parse = || {
            let (number, unit) = UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
            number.trim().parse::<u64>().ok()?.checked_mul(*unit)
        };
        parse().map(Self).ok_or_else(|| format!("\"{text}\" is no size like \"512MiB\" or \"4GiB\""))
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.to_string()
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1 << 30) { write!(f, "{}GiB", self.0 >> 30) } else { write!(f, "{}KiB", self.0 >> 10) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_reads_back_what_it_writes() {
        for text in ["400ms", "5s", "1m 30s"] {
            assert_eq!(Span::try_from(text.to_owned()).expect("a span").to_string(), text);
        }
        for text in ["0%", "2.5%", "100%", "0.0001%"] {
            assert_eq!(Share::try_from(text.to_owned()).expect("a share").to_string(), text);
        }
        assert_eq!(Rate::try_from("2400/s".to_owned()).expect("a rate").to_string(), "2400/s");
        assert_eq!(Size::try_from("4GiB".to_owned()).expect("a size").to_string(), "4GiB");
    }

    #[test]
    fn a_number_without_its_unit_is_an_error() {
        assert!(Span::try_from("5".to_owned()).is_err());
        assert!(Rate::try_from("2400".to_owned()).is_err());
        assert!(Share::try_from("2.5".to_owned()).is_err());
        assert!(Share::try_from("100.1%".to_owned()).is_err());
        assert!(Share::try_from("1.00001%".to_owned()).is_err());
        assert!(Size::try_from("4".to_owned()).is_err());
    }
}

//! Amounts of storage as a configuration gives them: `"64MiB"`. A number without its unit is none, and so is a power of ten: who
//! writes `1GB` would have to be asked which of the two they mean.

use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

/// The largest first; a name that ends as another does stands before it.
const UNITS: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Size {
    #[must_use]
    pub const fn of(bytes: u64) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (number, unit) = UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit))).ok_or(())?;
        let number: u64 = number.trim_end().parse().map_err(|_| ())?;
        number.checked_mul(*unit).map(Self).ok_or(())
    }
}

impl fmt::Display for Size {
    /// Exactly, in the largest unit that does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, unit): &&(&str, u64)| self.0 >= *unit && self.0.is_multiple_of(*unit);
        let (name, unit) = UNITS.iter().find(fits).unwrap_or(&("B", 1));
        write!(f, "{}{name}", self.0 / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_reads_back_as_what_is_written() {
        for text in ["0B", "1B", "1000B", "64KiB", "1536MiB", "1GiB", "2TiB"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        assert_eq!("1024 MiB".parse::<Size>().unwrap().to_string(), "1GiB");
        assert_eq!("1GiB".parse::<Size>().unwrap().bytes(), 1 << 30);
    }

    #[test]
    fn what_has_no_unit_or_another_or_is_no_number_is_no_size() {
        for text in ["", "1", "GiB", "1GB", "1gib", "1.5GiB", "-1GiB", "99999999999TiB"] {
            assert_eq!(text.parse::<Size>(), Err(()), "{text}");
        }
    }
}

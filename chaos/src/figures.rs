//! Figures that people read: what is counted in nanoseconds and calls, rounded, and how it is spread.

use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::checks::timeline::MS;

/// Exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
#[must_use]
pub const fn float(value: u64) -> f64 {
    value as f64
}

#[must_use]
pub fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Milliseconds, in tenths.
#[must_use]
pub fn ms(ns: u64) -> f64 {
    tenths(float(ns) / float(MS))
}

/// Hundredths of a percent: what is not quite all never reads as 100.
#[must_use]
pub fn percent(part: u64, whole: u64) -> Option<f64> {
    const HUNDREDTHS: f64 = 10_000.0;
    (whole > 0).then(|| (float(part) / float(whole) * HUNDREDTHS).floor() / 100.0)
}

/// The smallest value that at least `percent` of them do not exceed (nearest rank). `None` of nothing.
#[must_use]
pub fn percentile<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied()
}

/// With a comma between thousands.
#[must_use]
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A stretch of time, in the unit that it is read in: `4.2 ms`, `850 ms`, `2.35 s`, `74 s`.
#[must_use]
pub fn duration(ms: f64) -> String {
    match ms {
        ..100.0 => format!("{} ms", tenths(ms)),
        100.0..1_000.0 => format!("{ms:.0} ms"),
        1_000.0..10_000.0 => format!("{:.2} s", ms / 1_000.0),
        _ => format!("{:.0} s", ms / 1_000.0),
    }
}

/// A moment of the run, for people: `12.345 s`.
#[must_use]
pub fn moment(ms: f64) -> String {
    format!("{:.3} s", ms / 1_000.0)
}

/// A moment by the wall clock; `-`: not known.
#[must_use]
pub fn wall_time(since_1970_ms: u64) -> String {
    /// With five digits a year has no such form.
    const YEAR_10000_MS: u64 = 253_402_300_800_000;
    match since_1970_ms {
        0 => "-".into(),
        1..YEAR_10000_MS => humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(since_1970_ms)).to_string(),
        _ => format!("{since_1970_ms} ms after 1970"),
    }
}

/// How some measurements are spread; in their unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub count: u64,
    pub p50: f64,
    pub p95: f64,
    pub max: f64,
}

impl Spread {
    /// `None` of nothing.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |percent| percentile(&sorted, percent);
        Some(Self { count: sorted.len() as u64, p50: at(50)?, p95: at(95)?, max: at(100)? })
    }

    /// Of milliseconds, as p50 / p95 / max; one measurement alone has no spread.
    #[must_use]
    pub fn durations(self) -> String {
        match self.count {
            1 => duration(self.max),
            _ => [self.p50, self.p95, self.max].map(duration).join(" / "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!([50, 95, 99, 100].map(|percent| percentile(&hundred, percent)), [50, 95, 99, 100].map(Some));
        assert_eq!(percentile(&[7, 9], 50), Some(7));
        assert_eq!(percentile::<u64>(&[], 50), None);
    }

    #[test]
    fn a_spread_does_not_ask_for_an_order() {
        let spread = Spread::of((1..=20).rev().map(f64::from));
        assert_eq!(spread, Some(Spread { count: 20, p50: 10.0, p95: 19.0, max: 20.0 }));
        assert_eq!(spread.unwrap().durations(), "10 ms / 19 ms / 20 ms");
        assert_eq!(Spread::of([7.5]).unwrap().durations(), "7.5 ms");
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn figures_are_written_as_people_read_them() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.04, 4.24, 850.4, 2_345.0, 74_000.0].map(duration), ["0 ms", "4.2 ms", "850 ms", "2.35 s", "74 s"]);
        assert_eq!(moment(12_345.0), "12.345 s");
        assert_eq!([0, 1_700_000_000_123].map(wall_time), ["-", "2023-11-14T22:13:20.123Z"]);
        assert_eq!(wall_time(u64::MAX), "18446744073709551615 ms after 1970");
    }

    #[test]
    fn a_call_that_was_lost_is_seen_in_the_percentage() {
        assert_eq!(percent(999_999, 1_000_000), Some(99.99));
        assert_eq!(percent(10, 10), Some(100.0));
        assert_eq!(percent(0, 0), None);
    }
}

//! When buyers arrive: the share of all arrivals that have come by a given share of the time.
//!
//! The curve `casn2024` goes through the running totals of applicants that BKN, the civil-service agency, published for the
//! registration of 2024 (domain.md names them): 2,922,336 by 5 September 08:00 WIB, 3,279,427 by 6 September 20:00,
//! 3,963,832 at the end, 10 September 23:59. Registration opened on 20 August; the hour is not published, 00:00 is taken.
//!
//! Between two published totals nothing is known. There the arrivals follow the time of day, quiet at night and highest in
//! the evening (`DAY_SWING`, `DAY_PEAK_HOURS`): an assumption of ours, scaled so that every published total is met.

use serde::{Deserialize, Serialize};

use super::units::Share;

/// Hours since 20 August 00:00 WIB, and the running total of applicants by then.
pub const CASN2024_TOTALS: [(f64, f64); 4] = [
    (0.0, 0.0),
    (16.0 * 24.0 + 8.0, 2_922_336.0),
    (17.0 * 24.0 + 20.0, 3_279_427.0),
    (21.0 * 24.0 + 23.0 + 59.0 / 60.0, 3_963_832.0),
];

/// The busiest hour has 1 + this times the day's mean, the quietest 1 − this.
const DAY_SWING: f64 = 0.7;
/// Hour of the day that is busiest.
const DAY_PEAK_HOURS: f64 = 20.0;

/// From when to when, as shares of the time, the rate climbs to the surge's, and how many times the rate before it that is. The climb
/// is slow enough to show on its way what the cluster can serve, wherever that is between the two.
const SURGE_CLIMBS_FROM: f64 = 0.15;
const SURGE_FROM: f64 = 0.4;
const SURGE: f64 = 3.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// The published totals of the 2024 registration.
    Casn2024,
    /// The same rate throughout.
    Steady,
    /// One rate, then more and more, and for the last three fifths of the time three times the first.
    Surge,
}

impl Arrivals {
    /// The share of all arrivals that have come when `elapsed` (0 to 1) of the time has passed.
    #[must_use]
    pub fn share_by(self, elapsed: f64) -> f64 {
        let elapsed = elapsed.clamp(0.0, 1.0);
        match self {
            Self::Steady => elapsed,
            Self::Surge => {
                let (before, during) = (elapsed.min(SURGE_CLIMBS_FROM), (elapsed - SURGE_FROM).max(0.0));
                let length = SURGE_FROM - SURGE_CLIMBS_FROM;
                let climbed = (elapsed - SURGE_CLIMBS_FROM).clamp(0.0, length);
                let climbing = climbed + (SURGE - 1.0) * climbed * climbed / (2.0 * length);
                let whole = SURGE_CLIMBS_FROM + length * f64::midpoint(1.0, SURGE) + SURGE * (1.0 - SURGE_FROM);
                (before + climbing + SURGE * during) / whole
            }
            Self::Casn2024 => {
                let (length_hours, total) = CASN2024_TOTALS[CASN2024_TOTALS.len() - 1];
                applicants_by(elapsed * length_hours) / total
            }
        }
    }
}

/// Applicants by `hour` after 20 August 00:00 WIB.
#[must_use]
pub fn applicants_by(hour: f64) -> f64 {
    let segment = CASN2024_TOTALS.windows(2).find(|pair| hour <= pair[1].0);
    match segment {
        Some(pair) => {
            let ((from, from_total), (to, to_total)) = (pair[0], pair[1]);
            let passed = (activity_by(hour) - activity_by(from)) / (activity_by(to) - activity_by(from));
            from_total + passed * (to_total - from_total)
        }
        None => CASN2024_TOTALS[CASN2024_TOTALS.len() - 1].1,
    }
}

/// Integral of `1 + swing · cos(2π (hour − peak) / 24)` from 0.
fn activity_by(hour: f64) -> f64 {
    let per_hour = std::f64::consts::TAU / 24.0;
    let wave = |hour: f64| (per_hour * (hour - DAY_PEAK_HOURS)).sin() / per_hour;
    hour + DAY_SWING * (wave(hour) - wave(0.0))
}

/// How many of `total` buyers have arrived when `elapsed_ms` of `length_ms` have passed.
#[must_use]
pub fn arrived_by(arrivals: Arrivals, total: u32, elapsed_ms: u64, length_ms: u64) -> u32 {
    if elapsed_ms >= length_ms {
        return total;
    }
    let share = arrivals.share_by(
        f64::from(u32::try_from(elapsed_ms).unwrap_or(u32::MAX)) / f64::from(u32::try_from(length_ms).unwrap_or(u32::MAX)),
    );
    floor(f64::from(total) * share).min(total)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a u32, checked to be within it")]
fn floor(value: f64) -> u32 {
    debug_assert!((0.0..=f64::from(u32::MAX)).contains(&value));
    value as u32
}

/// Draws yes with the probability of `share`.
pub fn draw(rng: &mut impl rand::RngExt, share: Share) -> bool {
    rng.random_range(0..Share::WHOLE) < share.ppm()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_meets_every_published_total() {
        for (hour, total) in CASN2024_TOTALS {
            assert!((applicants_by(hour) - total).abs() < 1.0, "at hour {hour}: {} instead of {total}", applicants_by(hour));
        }
    }

    #[test]
    fn arrivals_never_run_backwards_and_end_complete() {
        for arrivals in [Arrivals::Casn2024, Arrivals::Steady, Arrivals::Surge] {
            let counts: Vec<u32> = (0..=60_000).step_by(7).map(|ms| arrived_by(arrivals, 144_000, ms, 60_000)).collect();
            assert!(counts.is_sorted());
            assert_eq!(arrived_by(arrivals, 144_000, 60_000, 60_000), 144_000);
            assert_eq!(counts[0], 0);
        }
    }

    #[test]
    fn a_surge_brings_three_times_as_many_in_the_same_time_and_climbs_to_that() {
        let in_a_tenth_from = |share| Arrivals::Surge.share_by(share + 0.1) - Arrivals::Surge.share_by(share);
        let ratio = |share| in_a_tenth_from(share) / in_a_tenth_from(0.0);
        for (share, times) in [(0.05, 1.0), (0.225, 2.0), (0.4, 3.0), (0.9, 3.0)] {
            assert!((ratio(share) - times).abs() < 1e-9, "{share}: {}", ratio(share));
        }
    }

    #[test]
    fn evenings_are_busier_than_nights() {
        let evening = applicants_by(5.0 * 24.0 + 21.0) - applicants_by(5.0 * 24.0 + 19.0);
        let night = applicants_by(5.0 * 24.0 + 9.0) - applicants_by(5.0 * 24.0 + 7.0);
        assert!(evening > 4.0 * night, "{evening} and {night}");
    }
}

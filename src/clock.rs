//! The one reader of the wall clock. A node tells its peers what it reads here, and the leader agrees with them on the time that it
//! stamps on entries; a process asks it when it began. The ledger takes its time from the log.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix time in milliseconds; 0 if the machine's clock stands before 1970.
#[must_use]
pub fn unix_ms() -> u64 {
    #[cfg(feature = "drill-controls")]
    return wrong::shown_ms(machine_ms());
    #[cfg(not(feature = "drill-controls"))]
    return machine_ms();
}

#[expect(clippy::disallowed_methods, reason = "this is the one reader")]
fn machine_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(feature = "drill-controls")]
pub use wrong::set_wrong;

/// A clock that a drill made wrong.
#[cfg(feature = "drill-controls")]
mod wrong {
    use std::sync::{Mutex, PoisonError};

    #[derive(Default)]
    struct Wrong {
        /// When it was set, by the machine's clock.
        set_at_ms: u64,
        ahead_ms: i64,
        gain_ppm: i64,
    }

    static WRONG: Mutex<Wrong> = Mutex::new(Wrong { set_at_ms: 0, ahead_ms: 0, gain_ppm: 0 });

    /// From now on this process' clock is `ahead_ms` ahead of the machine's, and gains `gain_ppm` millionths of what passes.
    pub fn set_wrong(ahead_ms: i64, gain_ppm: i64) {
        let wrong = Wrong { set_at_ms: super::machine_ms(), ahead_ms, gain_ppm };
        *WRONG.lock().unwrap_or_else(PoisonError::into_inner) = wrong;
    }

    pub(super) fn shown_ms(machine_ms: u64) -> u64 {
        WRONG.lock().unwrap_or_else(PoisonError::into_inner).shown_ms(machine_ms)
    }

    impl Wrong {
        fn shown_ms(&self, machine_ms: u64) -> u64 {
            let passed_ms = i128::from(machine_ms) - i128::from(self.set_at_ms);
            let gained_ms = passed_ms * i128::from(self.gain_ppm) / 1_000_000;
            let shown = i128::from(machine_ms) + i128::from(self.ahead_ms) + gained_ms;
            u64::try_from(shown.max(0)).unwrap_or(u64::MAX)
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_clock_that_nobody_set_shows_what_the_machine_shows() {
            assert_eq!(Wrong::default().shown_ms(1_700_000_000_123), 1_700_000_000_123);
        }

        #[test]
        fn a_wrong_clock_is_ahead_or_behind_and_gains_or_loses_from_then_on() {
            let shown =
                |ahead_ms, gain_ppm, passed_ms: u64| Wrong { set_at_ms: 5_000, ahead_ms, gain_ppm }.shown_ms(5_000 + passed_ms);
            assert_eq!(shown(3_600_000, 0, 10), 3_605_010);
            assert_eq!(shown(-2_000, 0, 10), 3_010);
            assert_eq!(shown(-9_000, 0, 10), 0, "before 1970");
            assert_eq!(shown(0, 1_000_000, 700), 6_400, "twice as fast");
            assert_eq!(shown(0, -500_000, 700), 5_350, "half as fast");
        }
    }
}

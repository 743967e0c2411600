//! The one reader of the wall clock. The leader asks it what time to stamp on an entry, and whether to look for expired orders,
//! and a process when it began; the ledger takes its time from the log.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix time in milliseconds; 0 if the machine's clock stands before 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one reader")]
pub fn unix_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

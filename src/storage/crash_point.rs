//! Named points at which a test may stop the process as if its power failed: `tests/storage/crash.rs` stops at each and opens what is
//! left. They are there where debug assertions are, so that one build serves all tests; a release has none.

/// Names the point at which the process shall abort.
pub const VARIABLE: &str = "STAMPEDE_CRASH_POINT";

/// Every point; the test goes through them, so none is without its expectation.
pub const POINTS: [&str; 12] = [
    "log.append.before_write",
    "log.append.before_done",
    "log.purge.before_write",
    "log.purge.before_done",
    "ledger.apply.before_write",
    "ledger.apply.before_answer",
    "snapshot.build.before_manifest",
    "snapshot.build.before_rename",
    "snapshot.build.after_rename",
    "snapshot.install.after_verify",
    "snapshot.install.before_switch",
    "snapshot.install.after_switch",
];

/// Aborts if the test asked for `point`: no destructor runs, no buffer is flushed.
#[cfg(debug_assertions)]
pub fn reach(point: &'static str) {
    static ARMED: std::sync::LazyLock<Option<String>> = std::sync::LazyLock::new(|| std::env::var(VARIABLE).ok());
    debug_assert!(POINTS.contains(&point), "crash point {point} is not listed");
    if ARMED.as_deref() == Some(point) {
        std::process::abort();
    }
}

#[cfg(not(debug_assertions))]
pub const fn reach(_point: &'static str) {}

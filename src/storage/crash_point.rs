//! Named points at which a test may kill the process: `tests/storage/crash.rs` stops at each and opens what is left. The
//! kernel lives on and keeps what was written, so this shows the order of steps and not their syncs: a power cut may lose what
//! was not synced, which the simulation's disks do, and the tests that cut files short.
//!
//! They are there where debug assertions are, so that one build serves all tests; a release has none. A drill arms one while the
//! process runs.

/// Names the point at which the process shall abort.
pub const VARIABLE: &str = "STAMPEDE_CRASH_POINT";

/// Every point; the test goes through them, so none is without its expectation.
pub const POINTS: [&str; 24] = [
    "data_dir.create.after_log",
    "ledger.create.before_current",
    "data_dir.create.before_identity",
    "data_dir.create.after_identity",
    "data_dir.set_cluster.before_rename",
    "data_dir.set_cluster.after_rename",
    "log.append.before_write",
    "log.append.before_done",
    "log.truncate.before_write",
    "log.truncate.before_done",
    "log.purge.before_write",
    "log.purge.before_done",
    "ledger.apply.before_write",
    "ledger.apply.before_answer",
    "ledger.apply.joint",
    "snapshot.build.before_manifest",
    "snapshot.build.before_rename",
    "snapshot.build.after_rename",
    "snapshot.remove.after_rename",
    "snapshot.receive.before_finish",
    "snapshot.install.after_verify",
    "snapshot.install.before_switch",
    "snapshot.install.after_switch",
    "snapshot.install.after_adopt",
];

/// The point at which the process aborts; as the environment has it until it is armed anew.
#[cfg(debug_assertions)]
static ARMED: std::sync::LazyLock<arc_swap::ArcSwapOption<String>> = std::sync::LazyLock::new(|| {
    let named = std::env::var(VARIABLE).ok();
    arc_swap::ArcSwapOption::from_pointee(named)
});

/// From now on the process aborts at `point`, and at no other.
#[cfg(feature = "drill-controls")]
pub fn arm(point: Option<&'static str>) {
    ARMED.store(point.map(|point| std::sync::Arc::new(point.to_owned())));
}

/// Aborts if `point` is the armed one: no destructor runs, no buffer of the process is flushed.
#[cfg(debug_assertions)]
pub fn reach(point: &'static str) {
    debug_assert!(POINTS.contains(&point), "crash point {point} is not listed");
    if ARMED.load().as_deref().is_some_and(|armed| armed == point) {
        // For the drill, which must tell this abort from others.
        eprintln!("crash point {point}");
        std::process::abort();
    }
}

#[cfg(not(debug_assertions))]
pub const fn reach(_point: &'static str) {}

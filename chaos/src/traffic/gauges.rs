//! Counts for the progress line. The verdict does not rest on them: it comes from the history.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use hdrhistogram::Histogram;

/// Highest latency that is told apart, microseconds.
const LATENCY_US_MAX: u64 = 120_000_000;

pub struct Gauges {
    pub placed: AtomicU64,
    /// Orders whose payment was answered as applied.
    pub issued: AtomicU64,
    /// Calls that ended unknown.
    pub unknown: AtomicU64,
    /// Requests with an unknown outcome now.
    pub unknown_now: AtomicU64,
    /// Arrivals that the tool could not start.
    pub shed: AtomicU64,
    /// From the intended time of an order to its answer, since the last look.
    latency_us: Mutex<Histogram<u64>>,
}

impl Default for Gauges {
    fn default() -> Self {
        Self {
            placed: AtomicU64::default(),
            issued: AtomicU64::default(),
            unknown: AtomicU64::default(),
            unknown_now: AtomicU64::default(),
            shed: AtomicU64::default(),
            latency_us: Mutex::new(Histogram::new_with_max(LATENCY_US_MAX, 2).expect("two digits up to a fixed maximum")),
        }
    }
}

impl Gauges {
    pub fn order_placed(&self, latency_ns: u64) {
        self.placed.fetch_add(1, Ordering::Relaxed);
        self.latency_us.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(latency_ns / 1_000);
    }

    /// 99th percentile in milliseconds since the last call; `None` if nothing was answered.
    pub fn take_p99_ms(&self) -> Option<u64> {
        let mut latency = self.latency_us.lock().unwrap_or_else(PoisonError::into_inner);
        let p99 = (!latency.is_empty()).then(|| latency.value_at_quantile(0.99) / 1_000);
        latency.reset();
        p99
    }
}

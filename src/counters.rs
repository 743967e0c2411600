//! Counters, gauges and histograms that any layer may keep and operations reads. Plain atomics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::limits;

#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Relaxed);
    }

    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    pub(crate) fn set(&self, value: usize) {
        self.0.store(value as u64, Relaxed);
    }

    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Buckets of powers of two: bucket `i` counts values of at most 2^i, the last one everything above.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; limits::HISTOGRAM_BUCKETS],
    sum: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| AtomicU64::new(0)), sum: AtomicU64::new(0) }
    }
}

impl Histogram {
    pub(crate) fn record(&self, value: u64) {
        let bits = u64::BITS - value.saturating_sub(1).leading_zeros();
        let bucket = (bits as usize).min(limits::HISTOGRAM_BUCKETS - 1);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    pub(crate) fn record_us(&self, duration: Duration) {
        self.record(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Upper bound (of the last: `u64::MAX`) and count of each bucket, not cumulative.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.buckets.iter().enumerate().map(|(i, count)| {
            let bound = if i + 1 == limits::HISTOGRAM_BUCKETS { u64::MAX } else { 1 << i };
            (bound, count.load(Relaxed))
        })
    }

    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum.load(Relaxed)
    }
}

/// Durations of calls, in buckets of which two are the service levels': 250 ms for writes, 5 s for stamps.
#[derive(Debug)]
pub struct Latencies {
    buckets: [AtomicU64; limits::LATENCY_BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| AtomicU64::new(0)), sum_us: AtomicU64::new(0) }
    }
}

impl Latencies {
    pub(crate) fn record(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = limits::LATENCY_BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(us, Relaxed);
    }

    /// Upper bound in microseconds (of the last: `u64::MAX`) and count of each bucket, not cumulative.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let bounds = limits::LATENCY_BOUNDS_US.into_iter().chain([u64::MAX]);
        bounds.zip(self.buckets.iter().map(|count| count.load(Relaxed)))
    }

    /// Microseconds.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_us.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for value in [0, 1, 2, 3, 4, 5, u64::MAX] {
            histogram.record(value);
        }
        let counts: Vec<_> = histogram.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counts, [(1, 2), (2, 1), (4, 2), (8, 1), (u64::MAX, 1)]);
    }

    #[test]
    fn what_takes_as_long_as_a_service_level_allows_is_within_it() {
        let latencies = Latencies::default();
        for us in [250_000, 250_001, 5_000_000, 5_000_001] {
            latencies.record(Duration::from_micros(us));
        }
        let counts: Vec<_> = latencies.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counts, [(250_000, 1), (500_000, 1), (5_000_000, 1), (u64::MAX, 1)]);
        assert_eq!(latencies.sum_us(), 10_500_002);
    }
}

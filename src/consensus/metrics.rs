//! Counters that operations reads. Plain atomics, each by itself: a reader may see one of a pair before the other.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::limits;

/// Counts since the node started.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Calls of `submit` by how they ended.
    pub submits_answered: Counter,
    pub submits_retry: Counter,
    pub submits_overloaded: Counter,
    pub submits_unknown: Counter,
    /// Commands that came back with replies.
    pub commands_answered: Counter,
    /// Waiting in this node's queue now.
    pub queued_commands: Gauge,
    /// Entries proposed by this node and not yet answered.
    pub entries_in_flight: Gauge,
    /// Entries that this node proposed as leader, and batches it sent to another leader.
    pub entries_proposed: Counter,
    pub batches_forwarded: Counter,
    /// Entries and batches whose fate was unknown and that were proposed again.
    pub batches_repeated: Counter,
    /// Commands in an entry or a forwarded batch.
    pub batch_commands: Histogram,
    /// Microseconds from `submit` until the entry was proposed.
    pub queue_us: Histogram,
    /// Microseconds from the proposal until the replies: replication, sync and apply.
    pub commit_us: Histogram,
    /// Microseconds in the ledger store's `apply`, and the entries it was given at once.
    pub apply_us: Histogram,
    pub apply_entries: Histogram,
    /// Reads by how they ended, and rounds that confirmed leadership for them.
    pub reads_answered: Counter,
    pub reads_retry: Counter,
    pub read_rounds: Counter,
}

#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: usize) {
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
    pub(super) fn set(&self, value: usize) {
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
    pub(super) fn record(&self, value: u64) {
        let bits = u64::BITS - value.saturating_sub(1).leading_zeros();
        let bucket = (bits as usize).min(limits::HISTOGRAM_BUCKETS - 1);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    pub(super) fn record_us(&self, duration: Duration) {
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
}

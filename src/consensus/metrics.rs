//! Counters that operations reads. Each by itself: a reader may see one of a pair before the other.

use std::time::Duration;

use super::admission::ByClass;
pub use crate::counters::{Counter, Gauge, Histogram, Latencies};
use crate::domain::{Outcome, PaymentOutcome, Reply};

/// Counts since the node started.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Calls of `submit` by how they ended.
    pub submits_answered: Counter,
    pub submits_retry: Counter,
    pub submits_overloaded: Counter,
    pub submits_unknown: Counter,
    /// Those of them that found too much waiting when they came, here or at the leader.
    pub shed: ByClass,
    /// Those that were let in, and not proposed before their deadline.
    pub not_in_time: ByClass,
    /// New orders, one call each, that were turned away because the disks are low.
    pub refused_disk_low: Counter,
    /// Commands that came back with replies.
    pub commands_answered: Counter,
    /// Commands of this node's own callers that were answered with what the same command did before, by what it did.
    pub replayed_series: Counter,
    pub replayed_orders: Counter,
    pub replayed_payments: Counter,
    pub replayed_cancellations: Counter,
    pub replayed_voids: Counter,
    pub replayed_stampings: Counter,
    pub replayed_settlements: Counter,
    pub replayed_policies: Counter,
    /// From a payment's arrival here until its stamps were issued.
    pub issued_after: Latencies,
    /// Waiting in this node's queue now.
    pub queued_commands: Gauge,
    /// Entries proposed by this node and not yet answered.
    pub entries_in_flight: Gauge,
    /// Entries that this node proposed as leader, and batches it sent to another leader.
    pub entries_proposed: Counter,
    pub batches_forwarded: Counter,
    /// Entries and batches whose fate was unknown and that were proposed again.
    pub batches_repeated: Counter,
    /// Times that this node, as leader, stepped down because its disk stalled.
    pub disk_stall_step_downs: Counter,
    /// Times that this node, as leader, handed over because its disk was low.
    pub disk_low_step_downs: Counter,
    /// Commands in an entry or a forwarded batch.
    pub batch_commands: Histogram,
    /// Microseconds from `submit` until the entry was proposed.
    pub queue_us: Histogram,
    /// Microseconds from the proposal until the replies: replication, sync and apply.
    pub commit_us: Histogram,
    /// Microseconds in the ledger store's `apply`, and the entries it was given at once.
    pub apply_us: Histogram,
    pub apply_entries: Histogram,
    /// Microseconds that building and installing a snapshot took; those that failed are not in it.
    pub snapshot_build_us: Histogram,
    pub snapshot_install_us: Histogram,
    /// Reads by how they ended, and rounds that confirmed leadership for them.
    pub reads_answered: Counter,
    pub reads_retry: Counter,
    pub read_rounds: Counter,
}

impl Metrics {
    /// Counts the answers to a call of this node's own.
    pub(super) fn answered(&self, replies: &[Reply], took: Duration) {
        for reply in replies {
            let replayed = match &reply.outcome {
                Outcome::SeriesOpened => &self.replayed_series,
                Outcome::OrderPlaced { .. } => &self.replayed_orders,
                Outcome::PaymentRecorded(_) => &self.replayed_payments,
                Outcome::OrderCancelled => &self.replayed_cancellations,
                Outcome::OrderVoided { .. } => &self.replayed_voids,
                Outcome::DocumentStamped { .. } => &self.replayed_stampings,
                Outcome::RefundSettled => &self.replayed_settlements,
                Outcome::PolicySet => &self.replayed_policies,
                // A refusal is decided anew each time; nobody repeats the leader's own commands.
                Outcome::Refused(_) | Outcome::OrdersExpired { .. } => continue,
            };
            if reply.replayed {
                replayed.add(1);
            } else if matches!(reply.outcome, Outcome::PaymentRecorded(PaymentOutcome::Applied(_))) {
                self.issued_after.record(took);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Place, Quantity, SerialRange, SeriesCode, StampNumber};

    #[test]
    fn a_replay_is_counted_by_what_it_repeats_and_issues_nothing_again() {
        let range = SerialRange {
            series: SeriesCode::new("A24").expect("three of base 32"),
            first: StampNumber::new(7).expect("in range"),
            quantity: Quantity::new(3).expect("in range"),
        };
        let applied = || Outcome::PaymentRecorded(PaymentOutcome::Applied(range));
        let reply = |replayed, outcome| Reply { place: Place { log_index: 9, offset: 0 }, replayed, outcome };
        let metrics = Metrics::default();
        let owed_back = Outcome::PaymentRecorded(PaymentOutcome::AlreadyPaid);
        let replies = [
            reply(false, applied()),
            reply(true, applied()),
            reply(true, Outcome::OrderCancelled),
            reply(false, Outcome::SeriesOpened),
            reply(false, owed_back),
        ];
        metrics.answered(&replies, Duration::from_millis(3));
        let counted =
            [&metrics.replayed_series, &metrics.replayed_orders, &metrics.replayed_payments, &metrics.replayed_cancellations];
        assert_eq!(counted.map(Counter::get), [0, 0, 1, 1]);
        assert_eq!(
            (metrics.issued_after.buckets().map(|(_, count)| count).sum::<u64>(), metrics.issued_after.sum_us()),
            (1, 3_000)
        );
    }
}

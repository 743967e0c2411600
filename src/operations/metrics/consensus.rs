//! Of this node: where it stands in Raft, and the work of its proposer.

use std::fmt;

use super::US_PER_SECOND;
use super::page::Page;
use crate::consensus::admission::Class;
use crate::consensus::metrics::Metrics;
use crate::consensus::{NodeStatus, Role};
use crate::operations::health::apply_lag;
use crate::operations::watch::Seen;
use crate::storage::LogPosition;
use crate::storage::log::LogTimes;

const ROLES: [(Role, &str); 6] = [
    (Role::Uninitialized, "uninitialized"),
    (Role::Learner, "learner"),
    (Role::Follower, "follower"),
    (Role::Candidate, "candidate"),
    (Role::Leader, "leader"),
    (Role::Shutdown, "shutdown"),
];

/// `unheard`: other voters that do not answer this node, as leader.
pub(super) fn encode_state(page: &mut Page<'_>, status: &NodeStatus, unheard: usize, seen: &Seen) -> fmt::Result {
    page.gauges(
        "stampede_raft_state",
        "The node's role: 1 for the one it has",
        ROLES.map(|(role, name)| ([("state", name)], u64::from(status.role == role))),
    )?;
    page.gauge("stampede_raft_is_leader", "1 if this node leads", u64::from(status.leads()))?;
    page.gauge(
        "stampede_raft_has_leader",
        "1 if this node hears a leader, or leads and hears a majority",
        u64::from(status.hears_leader),
    )?;
    page.gauge(
        "stampede_raft_leader_node_id",
        "Whom this node takes for the leader; 0 for nobody",
        status.leader.unwrap_or(0),
    )?;
    page.gauge(
        "stampede_admission_new_orders_refused",
        "1 while new orders are turned away at this node because too few disks have room",
        u64::from(status.refuses_new_orders),
    )?;
    page.gauge("stampede_raft_running", "0 after a fatal error", u64::from(status.fatal.is_none()))?;
    page.gauge("stampede_raft_term", "Raft term", status.term)?;
    page.counter("stampede_raft_leader_changes_seen", "Times that the known leader became another", seen.leader_changes())?;
    let index = |position: Option<LogPosition>| position.map_or(0, |position| position.index);
    page.gauge("stampede_raft_last_log_index", "Last entry in the log", status.last_log_index.unwrap_or(0))?;
    page.gauge("stampede_raft_committed_index", "Last entry known to be on a majority", index(status.committed))?;
    page.gauge("stampede_raft_applied_index", "Last entry applied to the ledger", index(status.applied))?;
    page.gauge("stampede_raft_snapshot_index", "Last entry that the newest snapshot holds", index(status.snapshot))?;
    page.gauge("stampede_raft_purged_index", "Last entry that was removed from the log", index(status.purged))?;
    page.gauge("stampede_raft_apply_lag_entries", "Committed entries that are not applied", apply_lag(status))?;
    let voters = status.members.iter().filter(|member| member.voter).count();
    page.gauge("stampede_raft_voters", "Members with a vote", voters)?;
    page.gauge(
        "stampede_raft_failure_tolerance",
        "Voters that may fail before the cluster stops: less those that the leader does not hear, elsewhere as configured",
        // A majority is more than half of the voters.
        (voters.saturating_sub(1) / 2).saturating_sub(unheard),
    )?;
    page.gauge(
        "stampede_raft_learners",
        "Members without a vote",
        status.members.iter().filter(|member| !member.voter).count(),
    )?;
    let peers = seen.peers(status);
    let last = status.last_log_index.unwrap_or(0);
    // Only the leader knows; elsewhere the series stay, at 0.
    let lag = |matched: Option<u64>| if status.leads() { last.saturating_sub(matched.unwrap_or(0)) } else { 0 };
    page.gauges(
        "stampede_raft_replication_lag_entries",
        "Leader only: entries that are not known to be on a peer's disk",
        peers.iter().map(|(id, name)| {
            let matched = status.members.iter().find(|member| member.node_id == *id).and_then(|member| member.matched);
            ([("peer", name.as_str())], lag(matched))
        }),
    )?;
    let own = (status.node_id, status.node_id.to_string());
    page.gauges(
        "stampede_clock_offset_seconds",
        "How far the clock of a node is ahead of the time that the cluster goes by; NaN where this node does not know it",
        peers.iter().chain([&own]).map(|(id, name)| ([("node", name.as_str())], clock_ahead_seconds(status, *id))),
    )
}

/// Whole milliseconds: what is exact in a float is far beyond any clock.
#[expect(clippy::cast_precision_loss, reason = "a metric is read by its leading digits")]
fn clock_ahead_seconds(status: &NodeStatus, node_id: u64) -> f64 {
    let member = status.members.iter().find(|member| member.node_id == node_id);
    member.and_then(|member| member.clock_ahead_ms).map_or(f64::NAN, |ahead_ms| ahead_ms as f64 / 1e3)
}

/// Of the work for this node's own callers.
pub(super) fn encode_answers(page: &mut Page<'_>, metrics: &Metrics) -> fmt::Result {
    page.counters(
        "stampede_duplicates_suppressed",
        "Commands that were answered with what the same command did before",
        [
            ([("kind", "open_series")], metrics.replayed_series.get()),
            ([("kind", "place_order")], metrics.replayed_orders.get()),
            ([("kind", "record_payment")], metrics.replayed_payments.get()),
            ([("kind", "cancel_order")], metrics.replayed_cancellations.get()),
            ([("kind", "void_order")], metrics.replayed_voids.get()),
            ([("kind", "stamp_document")], metrics.replayed_stampings.get()),
            ([("kind", "settle_refund")], metrics.replayed_settlements.get()),
            ([("kind", "set_policy")], metrics.replayed_policies.get()),
        ],
    )?;
    page.latencies(
        "stampede_issue_latency_seconds",
        "From a payment's arrival until its stamps were issued",
        &metrics.issued_after,
    )
}

pub(super) fn encode_work(page: &mut Page<'_>, metrics: &Metrics) -> fmt::Result {
    page.counters(
        "stampede_raft_proposals",
        "Calls to write, by how they ended: committed; retry (not done); overloaded (not done); unknown",
        [
            ([("outcome", "committed")], metrics.submits_answered.get()),
            ([("outcome", "retry")], metrics.submits_retry.get()),
            ([("outcome", "overloaded")], metrics.submits_overloaded.get()),
            ([("outcome", "unknown")], metrics.submits_unknown.get()),
        ],
    )?;
    page.counters(
        "stampede_admission_shed",
        "Calls that were turned away early because too much waited for their class",
        Class::ALL.map(|class| ([("class", class.name())], metrics.shed.of(class).get())),
    )?;
    page.counters(
        "stampede_admission_not_in_time",
        "Calls that were let in and not proposed before their deadline",
        Class::ALL.map(|class| ([("class", class.name())], metrics.not_in_time.of(class).get())),
    )?;
    page.counter(
        "stampede_admission_disk_low",
        "Calls with new orders that were turned away because too few disks have room",
        metrics.refused_disk_low.get(),
    )?;
    page.gauges(
        "stampede_admission_queue_commands_max",
        "Waiting commands, of all classes, up to which a class is let in",
        Class::ALL.map(|class| ([("class", class.name())], class.queue_commands_max() as u64)),
    )?;
    page.counter("stampede_raft_commands_answered", "Commands that came back with a reply", metrics.commands_answered.get())?;
    page.gauge("stampede_raft_proposals_queued_commands", "Commands that wait to be proposed", metrics.queued_commands.get())?;
    page.gauge("stampede_raft_proposals_pending", "Entries and batches under way", metrics.entries_in_flight.get())?;
    page.counter(
        "stampede_raft_entries_proposed",
        "Entries that this node proposed as leader",
        metrics.entries_proposed.get(),
    )?;
    page.counter("stampede_raft_forwarded_batches", "Batches sent to another leader", metrics.batches_forwarded.get())?;
    page.counter(
        "stampede_raft_repeated_batches",
        "Batches of unknown fate that were proposed again",
        metrics.batches_repeated.get(),
    )?;
    page.counter(
        "stampede_raft_disk_stall_step_downs",
        "Times that this node, as leader, stepped down because its disk stalled",
        metrics.disk_stall_step_downs.get(),
    )?;
    page.counter(
        "stampede_raft_disk_low_step_downs",
        "Times that this node, as leader, handed over because its disk was low",
        metrics.disk_low_step_downs.get(),
    )?;
    page.counters(
        "stampede_raft_reads",
        "Reads, by how they ended",
        [([("outcome", "answered")], metrics.reads_answered.get()), ([("outcome", "retry")], metrics.reads_retry.get())],
    )?;
    page.counter("stampede_raft_read_rounds", "Rounds that confirmed leadership for reads", metrics.read_rounds.get())
}

/// Where a write spends its time, and snapshots.
pub(super) fn encode_times(page: &mut Page<'_>, metrics: &Metrics, log: &LogTimes) -> fmt::Result {
    page.histogram("stampede_raft_batch_commands", "Commands in one entry or forwarded batch", &metrics.batch_commands, 1.0)?;
    page.histogram(
        "stampede_raft_proposal_queue_duration_seconds",
        "From a call's arrival until its entry was proposed",
        &metrics.queue_us,
        US_PER_SECOND,
    )?;
    page.histogram(
        "stampede_raft_proposal_commit_duration_seconds",
        "From the proposal until the replies: replication, sync, apply",
        &metrics.commit_us,
        US_PER_SECOND,
    )?;
    page.histogram(
        "stampede_raft_log_sync_duration_seconds",
        "Of one write to the log with its sync",
        &log.sync_us,
        US_PER_SECOND,
    )?;
    page.histogram(
        "stampede_raft_log_persist_duration_seconds",
        "Of one append, from when it was queued until it was synced",
        &log.persist_us,
        US_PER_SECOND,
    )?;
    page.histogram("stampede_raft_apply_duration_seconds", "Of one write to the ledger", &metrics.apply_us, US_PER_SECOND)?;
    page.histogram("stampede_raft_apply_batch_entries", "Entries in one write to the ledger", &metrics.apply_entries, 1.0)?;
    page.histogram(
        "stampede_raft_snapshot_build_duration_seconds",
        "Of one snapshot that this node built",
        &metrics.snapshot_build_us,
        US_PER_SECOND,
    )?;
    page.histogram(
        "stampede_raft_snapshot_install_duration_seconds",
        "Of one snapshot of a peer, from when it had come until it was in place",
        &metrics.snapshot_install_us,
        US_PER_SECOND,
    )
}

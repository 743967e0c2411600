//! openraft's configuration from the node's settings. What is fixed here is fixed for safety, or nobody's business to set.

use std::time::Duration;

use openraft::{Config, SnapshotPolicy};

use super::api::{NodeSettings, StartError};
use crate::limits;

fn millis(name: &str, duration: Duration) -> Result<u64, StartError> {
    match u64::try_from(duration.as_millis()) {
        Ok(millis) if millis > 0 => Ok(millis),
        _ => Err(StartError::Settings(format!("{name} must be at least a millisecond, is {duration:?}"))),
    }
}

pub(super) fn raft_config(settings: &NodeSettings) -> Result<Config, StartError> {
    if settings.node_id == 0 {
        return Err(StartError::Settings("node_id must not be 0: that stands for nobody".into()));
    }
    if settings.entries_in_flight_max == 0 {
        return Err(StartError::Settings("entries_in_flight_max must be at least 1".into()));
    }
    let election_timeout_max = millis("election_timeout_max", settings.election_timeout_max)?;
    let config = Config {
        cluster_name: settings.cluster_name.clone(),
        heartbeat_interval: millis("heartbeat", settings.heartbeat)?,
        election_timeout_min: millis("election_timeout_min", settings.election_timeout_min)?,
        election_timeout_max,
        // With it on, a leader that is restarted before its last append was synced writes other commands under log ids that
        // its followers hold already: the simulation test `with_leader_restore_on_replicas_diverge`.
        enable_leader_restore: Some(false),
        enable_pre_vote: Some(true),
        // A leader that reaches nobody's answers falls silent, so that a majority which hears it may elect another. The
        // least that openraft accepts: its lease and an election.
        quorum_loss_probe_interval: Some(2 * election_timeout_max),
        // A log that went back is a lost disk: that node needs a new id, not a second chance.
        allow_log_reversion: Some(false),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(settings.snapshot_after_entries),
        max_in_snapshot_log_to_keep: settings.entries_kept_after_snapshot,
        replication_lag_threshold: settings.entries_kept_after_snapshot.saturating_add(settings.snapshot_after_entries),
        max_payload_entries: settings.append_entries_max,
        max_append_entries: Some(limits::APPEND_ENTRIES_MERGED_MAX),
        install_snapshot_timeout: millis("snapshot time-out", limits::SNAPSHOT_INSTALL_WITHIN)?,
        ..Config::default()
    };
    config.validate().map_err(|error| StartError::Settings(error.to_string()))
}

/// As it must never run: see [`Safeguard`](super::api::Safeguard).
#[cfg(debug_assertions)]
pub(super) fn without(safeguard: super::api::Safeguard, config: Config) -> Config {
    use super::api::Safeguard;
    match safeguard {
        Safeguard::NoLeaderRestore => Config { enable_leader_restore: Some(true), ..config },
        Safeguard::PreVote => Config { enable_pre_vote: Some(false), ..config },
        Safeguard::QuorumLossProbe => Config { quorum_loss_probe_interval: None, ..config },
    }
}

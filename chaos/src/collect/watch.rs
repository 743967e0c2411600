//! What each node says of itself while the run lasts: its status and its digests.

use std::sync::Arc;

use tokio::sync::watch;

use super::{interval, stopped};
use crate::cluster::{Cluster, Node};
use crate::history::{HistoryClosed, MemberId, Record, Recorder, StatusSample, wire};
use crate::limits;
use crate::proto::admin::{GetStatusResponse, ListDigestsRequest};

/// Samples one node's status and digests until `stop`.
///
/// # Errors
/// The history can no longer be written.
pub async fn watch_node(
    cluster: Arc<Cluster>,
    node: u16,
    recorder: Recorder,
    mut stop: watch::Receiver<bool>,
) -> Result<(), HistoryClosed> {
    let node = cluster.node(node);
    let mut statuses = interval(limits::STATUS_INTERVAL);
    let mut digests = interval(limits::DIGEST_INTERVAL);
    let mut next_digest = 0;
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return Ok(()),
            _ = statuses.tick() => sample_status(node, &recorder).await?,
            _ = digests.tick() => next_digest = sample_digests(node, &recorder, next_digest).await?,
        }
    }
}

/// # Errors
/// The history can no longer be written.
pub async fn sample_status(node: &Node, recorder: &Recorder) -> Result<(), HistoryClosed> {
    match node.status().await {
        Some(status) => note_status(node.id(), &status, recorder),
        None => Ok(()),
    }
}

/// What it has just said of itself.
///
/// # Errors
/// The history can no longer be written.
pub fn note_status(node: u16, status: &GetStatusResponse, recorder: &Recorder) -> Result<(), HistoryClosed> {
    recorder.record(Record::Status(Box::new(sample(node, status, recorder.now_ns()))))
}

fn sample(node: u16, status: &GetStatusResponse, at_ns: u64) -> StatusSample {
    StatusSample {
        at_ns,
        node,
        role: wire::node_role(status.role),
        term: status.term,
        voted_for: status.voted_for,
        leader: status.leader_id,
        last_log_index: status.last_log_index,
        committed_index: status.committed_index,
        applied_index: status.applied_index,
        snapshot_index: status.snapshot_index,
        purged_index: status.purged_index,
        digest: status.digest.as_str().into(),
        totals: status.totals.as_ref().map(wire::totals),
        member: MemberId(status.node_id),
    }
}

/// Keeps the digests of the same indexes of every node: multiples of the stride, and the newest. Returns where to go on.
///
/// # Errors
/// The history can no longer be written.
async fn sample_digests(node: &Node, recorder: &Recorder, from_index: u64) -> Result<u64, HistoryClosed> {
    let mut admin = node.admin();
    let request = admin.list_digests(ListDigestsRequest { from_index });
    let Ok(Ok(response)) = tokio::time::timeout(limits::STATUS_DEADLINE, request).await else { return Ok(from_index) };
    let digests = response.into_inner().digests;
    let newest = digests.last().map(|digest| digest.log_index);
    for one in digests {
        if one.log_index.is_multiple_of(limits::DIGEST_STRIDE) || Some(one.log_index) == newest {
            let digest = one.digest.as_str().into();
            recorder.record(Record::Digest { at_ns: recorder.now_ns(), node: node.id(), log_index: one.log_index, digest })?;
        }
    }
    // A node that was restarted may have gone back: it is asked again from where it was.
    Ok(newest.map_or(from_index, |newest| newest + 1))
}

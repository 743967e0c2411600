//! openraft's messages as those of `stampede.raft.v1` and `stampede.storage.v1`, and back.
//!
//! Strict: what is missing or makes no sense is an error, never a default. A log position with index 0 is a real one (the
//! first entry sets the membership), so absence is an unset field, never a zero.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use openraft::{AsyncRuntime, EntryPayload};
use prost::Message;

use super::codec::WireError;
use super::types::{Batch, Entry, LogId, Member, Membership, SnapshotMeta, StoredMembership, TypeConfig, Vote, log_id, vote};
use crate::proto::raft;
use crate::proto::storage::{self as wire, log_entry};
use crate::storage::{AppliedMembership, LedgerMeta, LogPosition};

pub(super) fn position(id: &LogId) -> LogPosition {
    LogPosition { term: id.leader_id.term, index: id.index }
}

pub(super) fn log_id_of(position: &LogPosition) -> LogId {
    log_id(position.term, position.index)
}

pub(super) fn vote_to_wire(vote: &Vote) -> wire::Vote {
    wire::Vote { term: vote.leader_id.term, node_id: vote.leader_id.voted_for, committed: vote.committed }
}

pub(super) fn vote_from_wire(wire: Option<wire::Vote>) -> Result<Vote, WireError> {
    let wire = wire.ok_or(WireError::missing("vote"))?;
    Ok(vote(wire.term, wire.node_id, wire.committed))
}

pub(super) fn entry_to_wire(entry: &Entry) -> wire::LogEntry {
    let payload = match &entry.payload {
        EntryPayload::Blank => log_entry::Payload::Blank(wire::Blank {}),
        EntryPayload::Normal(batch) => log_entry::Payload::Commands(batch.encoded().clone()),
        EntryPayload::Membership(membership) => log_entry::Payload::Membership(membership_to_wire(membership)),
    };
    wire::LogEntry { position: Some(position(&entry.log_id)), payload: Some(payload) }
}

pub(super) fn entry_to_record(entry: &Entry) -> Bytes {
    entry_to_wire(entry).encode_to_vec().into()
}

/// From a peer: its commands are decoded here, once.
pub(super) fn entry_from_peer(wire: wire::LogEntry) -> Result<Entry, WireError> {
    entry_from_wire(wire, |bytes| Batch::received(&bytes))
}

/// From our own log.
pub(super) fn entry_from_record(record: &Bytes) -> Result<Entry, WireError> {
    let wire = wire::LogEntry::decode(record.clone()).map_err(|cause| WireError::new("log entry", cause))?;
    entry_from_wire(wire, |bytes| Ok(Batch::stored(bytes)))
}

fn entry_from_wire(wire: wire::LogEntry, batch: impl FnOnce(Bytes) -> Result<Batch, WireError>) -> Result<Entry, WireError> {
    let position = wire.position.ok_or(WireError::missing("position of a log entry"))?;
    let payload = match wire.payload.ok_or(WireError::missing("payload of a log entry"))? {
        log_entry::Payload::Blank(_) => EntryPayload::Blank,
        log_entry::Payload::Commands(bytes) => EntryPayload::Normal(batch(bytes)?),
        log_entry::Payload::Membership(membership) => EntryPayload::Membership(membership_from_wire(membership)?),
    };
    Ok(Entry { log_id: log_id_of(&position), payload })
}

pub(super) fn membership_to_wire(membership: &Membership) -> wire::Membership {
    let voter_sets = membership.get_joint_config().iter();
    let nodes = membership.nodes().map(|(node_id, member)| wire::MemberNode {
        node_id: *node_id,
        peer_address: member.peer_address.clone(),
        client_address: member.client_address.clone(),
    });
    wire::Membership {
        voter_sets: voter_sets.map(|voters| wire::VoterSet { node_ids: voters.iter().copied().collect() }).collect(),
        nodes: nodes.collect(),
    }
}

pub(super) fn membership_from_wire(wire: wire::Membership) -> Result<Membership, WireError> {
    let voter_sets: Vec<BTreeSet<u64>> = wire.voter_sets.into_iter().map(|set| set.node_ids.into_iter().collect()).collect();
    let mut nodes = BTreeMap::new();
    for node in wire.nodes {
        let member = Member { peer_address: node.peer_address, client_address: node.client_address };
        if nodes.insert(node.node_id, member).is_some() {
            return Err(WireError::new("membership", format!("node {} is named twice", node.node_id)));
        }
    }
    Membership::new(voter_sets, nodes).map_err(|cause| WireError::new("membership", cause))
}

pub(super) fn stored_membership_from_wire(wire: Option<AppliedMembership>) -> Result<StoredMembership, WireError> {
    let Some(wire) = wire else { return Ok(StoredMembership::default()) };
    let position = wire.position.ok_or(WireError::missing("position of a membership"))?;
    let membership = membership_from_wire(wire.membership.ok_or(WireError::missing("membership"))?)?;
    Ok(StoredMembership::new(Some(log_id_of(&position)), membership))
}

pub(super) fn snapshot_meta(meta: &LedgerMeta) -> Result<SnapshotMeta, WireError> {
    Ok(SnapshotMeta {
        last_log_id: meta.applied.as_ref().map(log_id_of),
        last_membership: stored_membership_from_wire(meta.membership.clone())?,
    })
}

pub(super) fn append_to_wire<RT: AsyncRuntime>(
    request: &AppendEntriesRequest<TypeConfig<RT>>,
    refuses_new_orders: bool,
) -> raft::AppendRequest {
    raft::AppendRequest {
        vote: Some(vote_to_wire(&request.vote)),
        previous: request.prev_log_id.as_ref().map(position),
        entries: request.entries.iter().map(entry_to_wire).collect(),
        leader_commit: request.leader_commit.as_ref().map(position),
        refuses_new_orders,
    }
}

pub(super) fn append_from_wire<RT: AsyncRuntime>(
    request: raft::AppendRequest,
) -> Result<AppendEntriesRequest<TypeConfig<RT>>, WireError> {
    let entries: Vec<Entry> = request.entries.into_iter().map(entry_from_peer).collect::<Result<_, _>>()?;
    // openraft looks only at the ends; a hole inside would go into the log.
    let first = request.previous.as_ref().map_or(0, |previous| previous.index + 1);
    if let Some((entry, expected)) = entries.iter().zip(first..).find(|(entry, expected)| entry.log_id.index != *expected) {
        return Err(WireError::new("append request", format!("entry {} where {expected} is due", entry.log_id.index)));
    }
    Ok(AppendEntriesRequest {
        vote: vote_from_wire(request.vote)?,
        prev_log_id: request.previous.as_ref().map(log_id_of),
        entries,
        leader_commit: request.leader_commit.as_ref().map(log_id_of),
    })
}

pub(super) fn append_result_to_wire<RT: AsyncRuntime>(
    result: &StreamAppendResult<TypeConfig<RT>>,
    clock_ms: u64,
    disk_low: bool,
) -> raft::AppendResponse {
    use raft::append_response::Result as Wire;
    let result = match result {
        Ok(matched) => Wire::Matched(raft::Matched { position: matched.as_ref().map(position) }),
        Err(StreamAppendError::Conflict(expected)) => Wire::Conflict(raft::Conflict { expected: Some(position(expected)) }),
        Err(StreamAppendError::HigherVote(vote)) => Wire::HigherVote(vote_to_wire(vote)),
    };
    raft::AppendResponse { result: Some(result), clock_ms, disk_low }
}

pub(super) fn append_result_from_wire<RT: AsyncRuntime>(
    response: raft::AppendResponse,
) -> Result<StreamAppendResult<TypeConfig<RT>>, WireError> {
    use raft::append_response::Result as Wire;
    Ok(match response.result.ok_or(WireError::missing("append result"))? {
        Wire::Matched(matched) => Ok(matched.position.as_ref().map(log_id_of)),
        Wire::Conflict(conflict) => {
            let expected = conflict.expected.ok_or(WireError::missing("position of a conflict"))?;
            Err(StreamAppendError::Conflict(log_id_of(&expected)))
        }
        Wire::HigherVote(vote) => Err(StreamAppendError::HigherVote(vote_from_wire(Some(vote))?)),
    })
}

pub(super) fn vote_request_to_wire<RT: AsyncRuntime>(request: &VoteRequest<TypeConfig<RT>>) -> raft::VoteRequest {
    raft::VoteRequest {
        vote: Some(vote_to_wire(&request.vote)),
        last_log: request.last_log_id.as_ref().map(position),
        leadership_transfer: request.leadership_transfer,
    }
}

pub(super) fn vote_request_from_wire<RT: AsyncRuntime>(
    request: raft::VoteRequest,
) -> Result<VoteRequest<TypeConfig<RT>>, WireError> {
    let mut vote = VoteRequest::new(vote_from_wire(request.vote)?, request.last_log.as_ref().map(log_id_of));
    vote.leadership_transfer = request.leadership_transfer;
    Ok(vote)
}

pub(super) fn vote_response_to_wire<RT: AsyncRuntime>(
    response: &VoteResponse<TypeConfig<RT>>,
    clock_ms: u64,
    disk_low: bool,
) -> raft::VoteResponse {
    raft::VoteResponse {
        vote: Some(vote_to_wire(&response.vote)),
        granted: response.vote_granted,
        last_log: response.last_log_id.as_ref().map(position),
        clock_ms,
        disk_low,
    }
}

pub(super) fn vote_response_from_wire<RT: AsyncRuntime>(
    response: raft::VoteResponse,
) -> Result<VoteResponse<TypeConfig<RT>>, WireError> {
    Ok(VoteResponse::new(vote_from_wire(response.vote)?, response.last_log.as_ref().map(log_id_of), response.granted))
}

pub(super) fn transfer_to_wire<RT: AsyncRuntime>(
    request: &TransferLeaderRequest<TypeConfig<RT>>,
) -> raft::TransferLeaderRequest {
    raft::TransferLeaderRequest {
        from_vote: Some(vote_to_wire(request.from_leader())),
        to_node_id: *request.to_node_id(),
        last_log: request.last_log_id().map(position),
    }
}

pub(super) fn transfer_from_wire<RT: AsyncRuntime>(
    request: raft::TransferLeaderRequest,
) -> Result<TransferLeaderRequest<TypeConfig<RT>>, WireError> {
    let last_log = request.last_log.as_ref().map(log_id_of);
    Ok(TransferLeaderRequest::new(vote_from_wire(request.from_vote)?, request.to_node_id, last_log))
}

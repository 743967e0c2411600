//! openraft's types, chosen for this system. Only the async runtime is left open, so that simulation runs the same code.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use openraft::impls::{InlineBatch, OneshotResponder, leader_id_std};
use openraft::vote::{RaftLeaderId, leader_id_std::CommittedLeaderId};
use openraft::{AnyError, AsyncRuntime, OptionalSend, RaftTypeConfig};

use super::codec::{self, WireError};
use crate::domain::Reply;
use crate::storage::CommandBatch;

/// Standard Raft: one leader a term.
pub(super) type LeaderId = leader_id_std::LeaderId<u64, u64>;
pub(super) type LogId = openraft::LogId<CommittedLeaderId<u64>>;
pub(super) type Vote = openraft::Vote<LeaderId>;
pub(super) type Payload = openraft::EntryPayload<Batch, u64, Member>;
pub(super) type Entry = openraft::Entry<CommittedLeaderId<u64>, Payload>;
pub(super) type Membership = openraft::Membership<u64, Member>;
pub(super) type StoredMembership = openraft::StoredMembership<CommittedLeaderId<u64>, u64, Member>;
pub(super) type SnapshotMeta = openraft::SnapshotMeta<CommittedLeaderId<u64>, u64, Member>;
pub(super) type Snapshot<S> = openraft::Snapshot<CommittedLeaderId<u64>, u64, Member, S>;

pub(super) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term), index)
}

pub(super) fn vote(term: u64, node_id: u64, committed: bool) -> Vote {
    Vote { leader_id: LeaderId::new(term, node_id), committed }
}

/// Where a member is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Member {
    pub peer_address: String,
    pub client_address: String,
}

/// The commands of one log entry. Cheap to clone.
///
/// They are encoded once, on the leader; log and peers get the same bytes. The decoded form is kept beside them until it is
/// applied, which moves it out: a node neither decodes what it made itself, nor copies what it decoded.
#[derive(Clone)]
pub(super) struct Batch(Arc<BatchForms>);

struct BatchForms {
    encoded: Bytes,
    decoded: Mutex<Option<CommandBatch>>,
}

impl Batch {
    pub(super) fn of(batch: CommandBatch) -> Self {
        let encoded = batch.encoded().clone();
        Self(Arc::new(BatchForms { encoded, decoded: Mutex::new(Some(batch)) }))
    }

    /// From a peer: decoded at once, so that what cannot be applied is not stored.
    pub(super) fn received(encoded: &Bytes) -> Result<Self, WireError> {
        // Copied: the slice would keep the whole receive buffer alive for as long as the entry is cached.
        let encoded = Bytes::copy_from_slice(encoded);
        let decoded = codec::decode_batch(&encoded)?;
        Ok(Self(Arc::new(BatchForms { encoded, decoded: Mutex::new(Some(decoded)) })))
    }

    /// From our own log: decoded when it is applied, if it ever is.
    pub(super) fn stored(encoded: Bytes) -> Self {
        Self(Arc::new(BatchForms { encoded, decoded: Mutex::new(None) }))
    }

    pub(super) fn encoded(&self) -> &Bytes {
        &self.0.encoded
    }

    /// The decoded form. The first caller gets the one that is there, later ones decode anew.
    pub(super) fn take_decoded(&self) -> Result<CommandBatch, WireError> {
        let decoded = self.0.decoded.lock().unwrap_or_else(PoisonError::into_inner).take();
        decoded.map_or_else(|| codec::decode_batch(&self.0.encoded), Ok)
    }
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.0.encoded == other.0.encoded
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of commands", self.0.encoded.len())
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// See the module's comment.
pub(super) struct TypeConfig<RT>(PhantomData<fn() -> RT>);

impl<RT: AsyncRuntime> RaftTypeConfig for TypeConfig<RT> {
    type D = Batch;
    type R = Vec<Reply>;
    type NodeId = u64;
    type Node = Member;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Vote;
    type Payload = Payload;
    type Entry = Entry;
    type AsyncRuntime = RT;
    type Responder<T>
        = OneshotResponder<Self, T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = AnyError;
}

// openraft wants these of a type that is only a name; derived, they would ask the same of the runtime.
impl<RT> fmt::Debug for TypeConfig<RT> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypeConfig")
    }
}

impl<RT> Clone for TypeConfig<RT> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<RT> Copy for TypeConfig<RT> {}

impl<RT> Default for TypeConfig<RT> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<RT> PartialEq for TypeConfig<RT> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<RT> Eq for TypeConfig<RT> {}

impl<RT> PartialOrd for TypeConfig<RT> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<RT> Ord for TypeConfig<RT> {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}

//! What operators ask of a node: to make a cluster, to move leadership, to build a snapshot, to hand out the log.

use std::collections::BTreeMap;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::{InitializeError, RaftError};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use openraft::{AsyncRuntime, ServerState};

use super::api::{ExportError, InitError, MemberStatus, SnapshotError, TransferError};
use super::leadership::Leadership;
use super::node::Node;
use super::peer_link::{PeerLink, Peers};
use super::state_machine::committed_entry;
use super::types::{Member, TypeConfig};
use crate::limits;
use crate::proto::storage::MemberNode;
use crate::storage::{CommittedEntry, LedgerStore, LogStore};

impl<RT, L, S, P> Node<RT, L, S, P>
where
    RT: AsyncRuntime,
    L: LogStore,
    S: LedgerStore,
    P: Peers,
    P::Link: PeerLink<Snapshot = S::Snapshot>,
{
    /// Makes a cluster of `members`, this node among them. Once, on one node.
    ///
    /// # Errors
    /// See [`InitError`].
    pub async fn initialize(&self, members: Vec<MemberNode>) -> Result<(), InitError> {
        let mut voters = BTreeMap::new();
        for member in members {
            let node_id = member.node_id;
            let member = Member { peer_address: member.peer_address, client_address: member.client_address };
            if node_id == 0 || voters.insert(node_id, member).is_some() {
                return Err(InitError::Members(format!("node id {node_id} is not acceptable, or named twice")));
            }
        }
        self.inner.raft.initialize(voters).await.map_err(|error| match error {
            RaftError::APIError(InitializeError::NotAllowed(_)) => InitError::AlreadyInitialized,
            RaftError::APIError(error @ InitializeError::NotInMembers(_)) => InitError::Members(error.to_string()),
            RaftError::Fatal(fatal) => InitError::Stopped(fatal.to_string()),
        })
    }

    pub(super) fn leadership(&self) -> Leadership<RT> {
        Leadership::new(self.inner.raft.server_metrics())
    }

    /// Hands leadership to `to`, or to the voter that is furthest; answers with the new leader when it has really moved.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn transfer_leader(&self, to: Option<u64>, within: Duration) -> Result<u64, TransferError> {
        let me = self.inner.settings.node_id;
        let deadline = TypeConfig::<RT>::now() + within;
        let leadership = self.leadership();
        let Some(term) = leadership.my_term() else { return Err(TransferError::NotLeader { leader: leadership.leader() }) };
        let target = self.caught_up_voter(to, deadline).await?;
        let stopped = |fatal: openraft::errors::Fatal<TypeConfig<RT>>| TransferError::Stopped(fatal.to_string());
        self.inner.raft.trigger().transfer_leader(target).await.map_err(stopped)?;
        // From here on this node refuses writes and sends no heartbeats, and openraft takes neither back. The target's election
        // ends it; if that does not come, the silence does: the others' leases run out, and one of them, or this node again,
        // is elected. How long that takes: the simulation's `a_lost_transfer_stalls_no_longer_than_a_dead_leader`.
        loop {
            let leadership = self.leadership();
            match leadership.current() {
                Some((leader, _)) if leader != me => return Ok(leader),
                Some((_, new_term)) if new_term > term => return Err(TransferError::Deadline),
                current => {
                    let changed = leadership.other_than(current.map(|(leader, _)| leader));
                    let until = deadline.min(TypeConfig::<RT>::now() + limits::WATCH_INTERVAL);
                    if let Ok(false) = TypeConfig::<RT>::timeout_at(until, changed).await {
                        return Err(TransferError::Stopped("consensus has stopped".into()));
                    }
                }
            }
            if TypeConfig::<RT>::now() >= deadline {
                return Err(TransferError::Deadline);
            }
        }
    }

    /// Waits until `to`, or some other voter, lacks next to nothing: a transfer to a node that is behind stalls all writes.
    async fn caught_up_voter(&self, to: Option<u64>, deadline: InstantOf<TypeConfig<RT>>) -> Result<u64, TransferError> {
        let me = self.inner.settings.node_id;
        loop {
            let status = self.status();
            if !status.leads() {
                return Err(TransferError::NotLeader { leader: status.leader });
            }
            if let Some(to) = to
                && (to == me || !status.members.iter().any(|member| member.node_id == to && member.voter))
            {
                return Err(TransferError::NotEligible(to));
            }
            let last = status.last_log_index.unwrap_or(0);
            let others = status.members.iter().filter(|member| member.voter && member.node_id != me);
            let wanted = others.filter(|member| to.is_none_or(|to| member.node_id == to));
            let is_near = |member: &&MemberStatus| {
                member.matched.is_some_and(|matched| last.saturating_sub(matched) <= limits::TRANSFER_LAG_ENTRIES_MAX)
            };
            // One whose disk is low would hand over at once.
            let has_room = |member: &MemberStatus| member.disk_low != Some(true);
            if let Some(to) = wanted.filter(is_near).max_by_key(|member| (has_room(member), member.matched, member.node_id)) {
                return Ok(to.node_id);
            }
            if TypeConfig::<RT>::now() >= deadline {
                return Err(TransferError::Deadline);
            }
            TypeConfig::<RT>::sleep(limits::WATCH_INTERVAL).await;
        }
    }

    /// Builds a snapshot of what is applied now, and answers with its log index.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub async fn trigger_snapshot(&self, within: Duration) -> Result<u64, SnapshotError> {
        let deadline = TypeConfig::<RT>::now() + within;
        let Some(applied) = self.inner.ledger.meta().applied else { return Err(SnapshotError::NothingApplied) };
        loop {
            if let Some(snapshot) = self.status().snapshot
                && snapshot.index >= applied.index
            {
                return Ok(snapshot.index);
            }
            // Again and again: openraft ignores it while another one is being built.
            self.inner.raft.trigger().snapshot().await.map_err(|fatal| SnapshotError::Stopped(fatal.to_string()))?;
            let mut changes = self.status_changes();
            let until = deadline.min(TypeConfig::<RT>::now() + limits::SNAPSHOT_TRIGGER_INTERVAL);
            while let Ok(true) = TypeConfig::<RT>::timeout_at(until, changes.changed()).await {
                if self.status().snapshot.is_some_and(|snapshot| snapshot.index >= applied.index) {
                    break;
                }
            }
            if TypeConfig::<RT>::now() >= deadline {
                return Err(SnapshotError::Deadline);
            }
            if self.inner.raft.metrics().borrow_watched().state == ServerState::Shutdown {
                return Err(SnapshotError::Stopped("consensus has stopped".into()));
            }
        }
    }

    /// Up to `max` applied entries from `from_index` on; empty if none are applied there yet.
    ///
    /// # Errors
    /// The log was purged past `from_index`, or cannot be read.
    pub async fn export_log(&self, from_index: u64, max: usize) -> Result<Vec<CommittedEntry>, ExportError> {
        let applied_end = self.inner.ledger.meta().applied.map_or(0, |applied| applied.index + 1);
        let end = applied_end.min(from_index.saturating_add(max as u64));
        let mut exported = Vec::new();
        let mut next = from_index;
        while next < end {
            let first_index = self.inner.log.first_index();
            if next < first_index {
                return Err(ExportError::Purged { first_index });
            }
            let entries = match self.inner.log.read_some(next..end, limits::APPEND_BYTES_MAX).await {
                Ok(entries) => entries,
                // Purged while we read.
                Err(_) if next < self.inner.log.first_index() => continue,
                Err(error) => return Err(error.into()),
            };
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                next = entry.log_id.index + 1;
                exported.push(committed_entry(entry)?);
            }
        }
        Ok(exported)
    }
}

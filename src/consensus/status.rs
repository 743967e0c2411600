//! What a node knows of itself and of the others, at once.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::Fatal;
use openraft::metrics::RaftMetrics;
use openraft::{AsyncRuntime, ServerState};

use super::api::{MemberStatus, NodeStatus, Role};
use super::leadership::{has_answered, hears_a_majority};
use super::node::Node;
use super::peer_link::{PeerLink, Peers};
use super::types::TypeConfig;
use super::wire;
use crate::storage::{LedgerStore, LogStore};

impl<RT, L, S, P> Node<RT, L, S, P>
where
    RT: AsyncRuntime,
    L: LogStore,
    S: LedgerStore,
    P: Peers,
    P::Link: PeerLink<Snapshot = S::Snapshot>,
{
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        // Each is read after what cannot be ahead of it: the metrics, what is applied, what is committed.
        let ledger = self.inner.ledger.meta();
        let (committed, last) = self.inner.log.committed_and_last();
        let membership = metrics.membership_config.membership();
        let initialized = metrics.membership_config.log_id().is_some() || metrics.current_leader.is_some();
        let matched = |node_id| {
            let replication = metrics.replication.as_ref()?;
            Some(replication.get(&node_id)?.as_ref()?.index)
        };
        let voters: Vec<u64> = membership.voter_ids().collect();
        let heard_within = self.inner.settings.member_heard_within();
        let leads = metrics.state == ServerState::Leader;
        let clocks = if leads { self.inner.time.offsets_ms() } else { BTreeMap::default() };
        let members = membership.nodes().map(|(node_id, member)| MemberStatus {
            node_id: *node_id,
            peer_address: member.peer_address.clone(),
            client_address: member.client_address.clone(),
            voter: voters.contains(node_id),
            matched: matched(*node_id),
            heard: leads.then(|| *node_id == metrics.id || has_answered(&metrics, *node_id, heard_within)),
            clock_ahead_ms: clocks.get(node_id).copied(),
            disk_low: leads.then(|| match *node_id == metrics.id {
                true => self.inner.low_disks.own(),
                false => self.inner.low_disks.peer(*node_id),
            }),
        });
        let term = metrics.vote.leader_id.term;
        NodeStatus {
            node_id: self.inner.settings.node_id,
            role: role(&metrics, initialized),
            term,
            // Term 0 is openraft's vote before the first.
            voted_for: (term > 0).then_some(metrics.vote.leader_id.voted_for),
            leader: metrics.current_leader,
            hears_leader: self.hears_leader_of(&metrics),
            last_log_index: metrics.last_log_index.max(last.map(|last| last.index)),
            // After a start openraft knows more than the log: what the ledger has applied is committed.
            committed: metrics.local_committed.max(committed).as_ref().map(wire::position),
            applied: ledger.applied,
            snapshot: metrics.snapshot.as_ref().map(wire::position),
            purged: metrics.purged.as_ref().map(wire::position),
            digest: ledger.digest,
            members: members.collect(),
            joint: membership.get_joint_config().len() > 1,
            removed: ledger.cluster.was_removed(self.inner.settings.node_id, ledger.membership.as_ref()),
            initialized,
            draining: self.inner.draining.load(Ordering::Acquire),
            disk_low: self.inner.low_disks.own(),
            refuses_new_orders: self.refuses_new_orders(),
            fatal: fatal(&metrics),
        }
    }

    /// As leader: a majority has answered within the longest time that an election waits. Without one nobody can take over.
    #[must_use]
    pub fn hears_a_majority(&self) -> bool {
        hears_a_majority(&self.inner.raft.metrics().borrow_watched(), self.inner.settings.election_timeout_max)
    }

    /// There is a leader, as far as this node can tell. As leader: it hears a majority. Otherwise: it has heard the leader within
    /// the time after which it stands for election itself; whether that leader hears a majority, only the leader can tell.
    #[must_use]
    pub fn hears_leader(&self) -> bool {
        self.hears_leader_of(&self.inner.raft.metrics().borrow_watched())
    }

    fn hears_leader_of(&self, metrics: &RaftMetrics<TypeConfig<RT>>) -> bool {
        let election_timeout_max = self.inner.settings.election_timeout_max;
        match metrics.current_leader {
            None => false,
            Some(leader) if leader == metrics.id => hears_a_majority(metrics, election_timeout_max),
            // The leader's lease, then the longest wait of an election.
            Some(_) => self.inner.leader_heard.within(2 * election_timeout_max),
        }
    }

    /// As leader: the other voters that have not answered for the longest time that an election waits.
    #[must_use]
    pub fn unheard_voters(&self) -> usize {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        if metrics.heartbeat.is_none() {
            return 0;
        }
        let within = self.inner.settings.election_timeout_max;
        let is_heard = |voter: &u64| *voter == self.inner.settings.node_id || has_answered(&metrics, *voter, within);
        metrics.membership_config.membership().voter_ids().filter(|voter| !is_heard(voter)).count()
    }
}

fn role<RT: AsyncRuntime>(metrics: &RaftMetrics<TypeConfig<RT>>, initialized: bool) -> Role {
    match metrics.state {
        _ if metrics.running_state.is_err() => Role::Shutdown,
        ServerState::Shutdown => Role::Shutdown,
        _ if !initialized => Role::Uninitialized,
        ServerState::Learner => Role::Learner,
        ServerState::Follower => Role::Follower,
        ServerState::Candidate => Role::Candidate,
        ServerState::Leader => Role::Leader,
    }
}

fn fatal<RT: AsyncRuntime>(metrics: &RaftMetrics<TypeConfig<RT>>) -> Option<String> {
    match &metrics.running_state {
        // Stopped is what `shutdown` asked for.
        Ok(()) | Err(Fatal::Stopped) => None,
        Err(fatal) => Some(fatal.to_string()),
    }
}

//! Where the proposer's batches go: into this node's openraft, or over a link to the leader.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::async_runtime::Select2;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::ClientWriteError;
use openraft::impls::OneshotResponder;
use openraft::type_config::TypeConfigExt;
use openraft::{AsyncRuntime, Raft};
use tokio::sync::oneshot;

use super::agreed_time::AgreedTime;
use super::api::RetryReason;
use super::codec;
use super::leadership::{Leadership, hears_a_majority};
use super::network::Links;
use super::peer_link::{LinkError, PeerLink, Peers};
#[cfg(feature = "planted-bugs")]
use super::planted_replies;
use super::state_machine::StateMachine;
use super::target::{Attempt, Returned, Target};
use super::types::{Batch, TypeConfig};
use crate::domain::{Command, LedgerTime};
#[cfg(feature = "planted-bugs")]
use crate::planted;
use crate::proto::raft::{ProposeRequest, ProposeResponse, propose_response};
use crate::storage::codec::command_to_proto;
use crate::storage::{CommandBatch, LedgerStore};

pub(super) struct RaftTarget<RT: AsyncRuntime, S: LedgerStore, P: Peers> {
    pub(super) raft: Raft<TypeConfig<RT>, StateMachine<RT, S>>,
    pub(super) links: Arc<Links<P>>,
    pub(super) time: Arc<AgreedTime<RT>>,
    pub(super) last_stamp: AtomicU64,
    /// How long a leader that no majority answers still counts as one.
    pub(super) lease: Duration,
    #[cfg(feature = "planted-bugs")]
    pub(super) ledger: S,
    #[cfg(feature = "planted-bugs")]
    pub(super) blocks: super::planted_blocks::Blocks,
}

impl<RT: AsyncRuntime, S: LedgerStore, P: Peers> RaftTarget<RT, S, P> {
    /// Never goes back on one node; the ledger clamps what another leader stamped before.
    fn stamp(&self) -> LedgerTime {
        let LedgerTime(now) = self.time.now();
        LedgerTime(self.last_stamp.fetch_max(now, Ordering::Relaxed).max(now))
    }
}

impl<RT: AsyncRuntime, S: LedgerStore, P: Peers> Target<RT> for RaftTarget<RT, S, P> {
    fn leadership(&self) -> Leadership<RT> {
        Leadership::new(self.raft.server_metrics())
    }

    fn hears_a_majority(&self) -> bool {
        hears_a_majority(&self.raft.metrics().borrow_watched(), self.lease)
    }

    async fn propose(&self, term: u64, commands: Vec<Command>, sent: oneshot::Sender<()>) -> (Attempt, Returned) {
        #[cfg(feature = "planted-bugs")]
        let early = planted::is(1).then(|| planted_replies::before_commit(&self.ledger, self.stamp(), &commands));
        let batch = Batch::of(CommandBatch::new(self.stamp(), commands));
        let (responder, outcome) = OneshotResponder::new_pair();
        if let Err(fatal) = self.raft.client_write_ff(batch.clone(), Some(responder)).await {
            return (Attempt::Stopped(fatal.to_string()), None);
        }
        drop(sent);
        #[cfg(feature = "planted-bugs")]
        if let Some(replies) = early.flatten() {
            return (Attempt::Done { term, replies }, None);
        }
        // A write in flight has no time-out of its own: on a leader without a quorum it may wait for ever.
        let lost = self.leadership().lost(*self.raft.node_id(), term);
        let attempt = match TypeConfig::<RT>::select2(outcome, lost).await {
            Select2::First(Ok(Ok(written))) => {
                let (term, replies) = (written.log_id.leader_id.term, written.data);
                #[cfg(feature = "planted-bugs")]
                let replies = if planted::is(8) { self.blocks.hand_out(term, replies) } else { replies };
                return (Attempt::Done { term, replies }, None);
            }
            Select2::First(Ok(Err(ClientWriteError::ForwardToLeader(_)))) => Attempt::NotDone(RetryReason::NoLeader),
            // Discarded here; it may be on the new leader, and be committed there.
            Select2::First(Ok(Err(_))) | Select2::Second(()) => Attempt::Unknown,
            Select2::First(Err(_)) => return (Attempt::Stopped("consensus has stopped".into()), None),
        };
        match batch.take_decoded() {
            Ok(batch) => (attempt, Some(batch.commands)),
            Err(error) => (Attempt::Stopped(error.to_string()), None),
        }
    }

    async fn forward(&self, leader: u64, term: u64, commands: &[Command], within: Duration) -> Attempt {
        let leadership = self.leadership();
        let Some(member) = leadership.member(leader) else { return Attempt::NotDone(RetryReason::NoLeader) };
        let request = ProposeRequest { commands: commands.iter().map(command_to_proto).collect() };
        let link = self.links.to(leader, &member);
        // A leader that is paused sends no reset; the election that replaces it ends the wait.
        match TypeConfig::<RT>::select2(link.propose(request, within), leadership.lost(leader, term)).await {
            Select2::First(Ok(response)) => forwarded(response),
            Select2::First(Err(LinkError::Unreachable(_) | LinkError::Refused(_))) => {
                Attempt::NotDone(RetryReason::LeaderUnreachable)
            }
            Select2::First(Err(LinkError::NoAnswer(_))) | Select2::Second(()) => Attempt::Unknown,
        }
    }
}

fn forwarded(response: ProposeResponse) -> Attempt {
    match response.result {
        Some(propose_response::Result::Proposed(proposed)) => match codec::replies_from_wire(&proposed.replies) {
            Ok(replies) => Attempt::Done { term: proposed.term, replies },
            Err(error) => {
                tracing::error!(event = "peer_nonsense", %error, "the leader's answer makes no sense");
                Attempt::Unknown
            }
        },
        Some(propose_response::Result::Overloaded(_)) => Attempt::NotDone(RetryReason::Overloaded),
        Some(propose_response::Result::NotInTime(_)) => Attempt::NotDone(RetryReason::NotInTime),
        Some(propose_response::Result::NotLeader(_)) => Attempt::NotDone(RetryReason::NoLeader),
        None => Attempt::Unknown,
    }
}

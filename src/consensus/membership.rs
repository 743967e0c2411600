//! Who is a member, changed by the leader: one change at a time, each to its end.
//!
//! Two things keep changes apart. On the leader, one is under way at a time, and runs to its end whatever becomes of its caller,
//! because its second half must follow its first. Across leaders, openraft is told the membership that the decision rests on, and
//! refuses when it is another one by then. A leader that dies half-way leaves a joint configuration: see [`super::members`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openraft::async_runtime::Select2;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::impls::OneshotResponder;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use openraft::{AsyncRuntime, ChangeMembers, Instant, Precondition, ServerState};
use tokio::sync::oneshot;

use super::api::{ReadError, RetryReason};
use super::members::{MemberChange, MemberError, MemberFacts, MemberPlan};
use super::node::Node;
use super::peer_link::{PeerLink, Peers};
use super::types::{Batch, LogId, Member, TypeConfig};
use crate::limits;
use crate::proto::storage::MemberNode;
use crate::storage::cluster::{ClusterCommand, ClusterRefusal, Joiner, Token, TokenId};
use crate::storage::{CommandBatch, LedgerStore, LogStore};

type Changes = ChangeMembers<u64, Member>;

/// While it lives, no other change begins on this node.
struct Changing(Arc<AtomicBool>);

impl Changing {
    fn begin(flag: &Arc<AtomicBool>) -> Result<Self, MemberError> {
        match flag.swap(true, Ordering::AcqRel) {
            true => Err(MemberError::InProgress("another call's: it ends by itself, try again then".to_owned())),
            false => Ok(Self(flag.clone())),
        }
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl<RT, L, S, P> Node<RT, L, S, P>
where
    RT: AsyncRuntime,
    L: LogStore,
    S: LedgerStore,
    P: Peers,
    P::Link: PeerLink<Snapshot = S::Snapshot>,
{
    /// On the leader: makes the change, or finds it made, or with `dry_run` says what it would do. One that was begun is finished,
    /// also when the caller waits no more.
    ///
    /// # Errors
    /// See [`MemberError`]. A leader that would be removed hands over first, and answers [`MemberError::NotLeader`]: the new one
    /// is to be asked.
    pub async fn change_members(
        &self,
        change: MemberChange,
        dry_run: bool,
        within: Duration,
    ) -> Result<MemberPlan, MemberError> {
        let deadline = TypeConfig::<RT>::now() + within;
        // Who has just taken office has heard nobody yet, and knows of nobody's log.
        let news_by = deadline.min(TypeConfig::<RT>::now() + self.heard_within());
        let (plan, facts, at) = loop {
            let (facts, at) = self.settled_members(deadline).await?;
            match facts.plan(change) {
                Ok(plan) => break (plan, facts, at),
                Err(error) if error.may_be_for_want_of_news() && TypeConfig::<RT>::now() < news_by => {
                    TypeConfig::<RT>::sleep(limits::WATCH_INTERVAL).await;
                }
                Err(error) => return Err(error),
            }
        };
        if plan.is_done || dry_run {
            return Ok(plan);
        }
        if !plan.after.voters.contains(&self.inner.settings.node_id) {
            return Err(self.hand_over_to_one_that_stays(&plan, deadline).await);
        }
        self.propose_members(steps(change, &plan, &facts), at, deadline).await?;
        Ok(plan)
    }

    /// On the leader: lets whoever knows the token's secret make one node a member. The same again is no change.
    ///
    /// # Errors
    /// See [`MemberError`].
    pub async fn issue_token(
        &self,
        token: TokenId,
        secret: [u8; 32],
        valid_for_ms: u64,
        within: Duration,
    ) -> Result<Token, MemberError> {
        let deadline = TypeConfig::<RT>::now() + within;
        self.propose_to_cluster(ClusterCommand::IssueToken { token, secret, valid_for_ms }, deadline).await?;
        match self.inner.ledger.meta().cluster.tokens.get(&token) {
            Some(issued) if issued.secret == secret => Ok(*issued),
            Some(_) => Err(ClusterRefusal::TokenUsed.into()),
            None => Err(ClusterRefusal::TokensFull.into()),
        }
    }

    /// On the leader: makes the node that presents the token a learner, and tells its id, minted in the log. The same node again
    /// is told the same id.
    ///
    /// # Errors
    /// See [`MemberError`].
    pub async fn admit(
        &self,
        token: TokenId,
        secret: &[u8],
        joiner: Joiner,
        addresses: MemberNode,
        within: Duration,
    ) -> Result<u64, MemberError> {
        let deadline = TypeConfig::<RT>::now() + within;
        // What an earlier leader has answered is applied here from now on.
        self.inner.reads.catch_up(deadline).await.map_err(|error| self.unread(&error))?;
        let known = self.inner.ledger.meta().cluster.tokens.get(&token).copied();
        // blake3 compares in constant time. Whether the token or its secret is wrong is nobody's business who has neither.
        let is_genuine = |token: &Token| blake3::Hash::from_bytes(token.secret) == blake3::hash(secret);
        known.filter(is_genuine).ok_or(ClusterRefusal::TokenUnknown)?;
        let (facts, _) = self.settled_members(deadline).await?;
        let learners = facts.members.len() - facts.voter_sets.iter().flatten().collect::<std::collections::BTreeSet<_>>().len();
        if learners >= limits::LEARNERS_MAX && known.is_some_and(|token| token.admitted.is_none()) {
            let message = format!("{learners} learners wait to be promoted or removed, at most {} may", limits::LEARNERS_MAX);
            return Err(MemberError::Full(message));
        }
        if known.is_some_and(|token| token.admitted.is_none()) {
            self.propose_to_cluster(ClusterCommand::AdmitNode { token, joiner }, deadline).await?;
        }
        let (facts, at) = self.settled_members(deadline).await?;
        // A token ends with its node: what it says is good for the membership that the ledger has come to.
        self.until_applied(at, deadline).await?;
        let node_id = match self.inner.ledger.meta().cluster.tokens.get(&token).map(|token| token.admitted) {
            Some(Some(admitted)) if admitted.joiner == joiner => admitted.node_id,
            Some(Some(_)) => return Err(ClusterRefusal::TokenUsed.into()),
            Some(None) => return Err(ClusterRefusal::TokenExpired.into()),
            None => return Err(ClusterRefusal::TokenUnknown.into()),
        };
        if facts.members.contains(&node_id) {
            let is_at = |member: &super::api::MemberStatus| {
                member.peer_address == addresses.peer_address && member.client_address == addresses.client_address
            };
            // A copy of the directory that asked first would be told the same id at another place.
            let is_the_same = self.status().members.iter().any(|member| member.node_id == node_id && is_at(member));
            return if is_the_same { Ok(node_id) } else { Err(ClusterRefusal::TokenUsed.into()) };
        }
        if facts.is_joint() {
            // Adding a node would end it, with nobody having asked for that.
            return Err(MemberError::InProgress("one was left half done: `stampede member list` shows it".to_owned()));
        }
        let MemberNode { peer_address, client_address, .. } = addresses;
        let member = Member { peer_address, client_address };
        self.propose_members(ChangeMembers::AddNodes([(node_id, member)].into()), at, deadline).await?;
        Ok(node_id)
    }

    /// Whether this id was a member's and is none's any more, as far as this node has applied the log.
    #[must_use]
    pub fn was_removed(&self, node_id: u64) -> bool {
        let meta = self.inner.ledger.meta();
        meta.cluster.was_removed(node_id, meta.membership.as_ref())
    }

    async fn until_applied(&self, at: Option<LogId>, deadline: InstantOf<TypeConfig<RT>>) -> Result<(), MemberError> {
        let is_applied = || self.inner.ledger.meta().applied.map(|applied| applied.index) >= at.map(|at| at.index);
        while !is_applied() {
            if TypeConfig::<RT>::now() >= deadline {
                return Err(MemberError::Deadline);
            }
            TypeConfig::<RT>::sleep(limits::WATCH_INTERVAL).await;
        }
        Ok(())
    }

    /// Who was heard so long ago at most answers.
    fn heard_within(&self) -> Duration {
        limits::MEMBER_HEARD_WITHIN.max(2 * self.inner.settings.election_timeout_max)
    }

    /// What a decision may rest on: a membership that is committed, and the entry that it stands in.
    async fn settled_members(&self, deadline: InstantOf<TypeConfig<RT>>) -> Result<(MemberFacts, Option<LogId>), MemberError> {
        loop {
            if let Some(settled) = self.members_if_settled()? {
                return Ok(settled);
            }
            if TypeConfig::<RT>::now() >= deadline {
                return Err(MemberError::InProgress("the last one is on no majority yet".to_owned()));
            }
            TypeConfig::<RT>::sleep(limits::WATCH_INTERVAL).await;
        }
    }

    fn members_if_settled(&self) -> Result<Option<(MemberFacts, Option<LogId>)>, MemberError> {
        let me = self.inner.settings.node_id;
        let heard_within = self.heard_within();
        let next_node_id = {
            let meta = self.inner.ledger.meta();
            meta.cluster.next_node_id(meta.membership.as_ref())
        };
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        if let Err(fatal) = &metrics.running_state {
            return Err(MemberError::Stopped(fatal.to_string()));
        }
        if metrics.state != ServerState::Leader {
            let leader = metrics.current_leader.filter(|leader| *leader != me);
            return Err(MemberError::NotLeader { leader });
        }
        let at = *metrics.membership_config.log_id();
        if metrics.committed_membership_config.log_id() != &at {
            return Ok(None);
        }
        let membership = metrics.membership_config.membership();
        let members = membership.nodes().map(|(node_id, _)| *node_id).collect();
        let answered = metrics.heartbeat.iter().flatten();
        let heard = answered.filter(|(_, last)| last.is_some_and(|last| last.elapsed() <= heard_within));
        let next = metrics.last_log_index.map_or(0, |last| last + 1);
        let matched = metrics.replication.iter().flatten();
        let lag = matched
            .map(|(node_id, matched)| (*node_id, next.saturating_sub(matched.as_ref().map_or(0, |matched| matched.index + 1))));
        let facts = MemberFacts {
            voter_sets: membership.get_joint_config().clone(),
            members,
            heard: heard.map(|(node_id, _)| *node_id).chain([me]).collect(),
            lag: lag.collect(),
            next_node_id,
        };
        Ok(Some((facts, at)))
    }

    async fn hand_over_to_one_that_stays(&self, plan: &MemberPlan, deadline: InstantOf<TypeConfig<RT>>) -> MemberError {
        let me = self.inner.settings.node_id;
        let status = self.status();
        let stays = |node_id: u64| plan.after.heard.contains(&node_id) && plan.before.voters.contains(&node_id);
        let candidates = status.members.iter().filter(|member| member.node_id != me && stays(member.node_id));
        let Some(to) = candidates.max_by_key(|member| member.matched).map(|member| member.node_id) else {
            return MemberError::QuorumAtRisk(format!("{} leaves no present voter to lead, {}", plan.change, plan.after));
        };
        let within = deadline.saturating_duration_since(TypeConfig::<RT>::now());
        match self.transfer_leader(Some(to), within.min(limits::HAND_OVER_TRY_WITHIN)).await {
            Ok(leader) => MemberError::NotLeader { leader: Some(leader) },
            Err(super::api::TransferError::Stopped(reason)) => MemberError::Stopped(reason),
            // Nothing was changed but, perhaps, who leads.
            Err(_) => MemberError::NotLeader { leader: None },
        }
    }

    /// Runs to its end whether the caller waits or not: the second half must follow the first.
    async fn propose_members(
        &self,
        changes: Changes,
        at: Option<LogId>,
        deadline: InstantOf<TypeConfig<RT>>,
    ) -> Result<(), MemberError> {
        let changing = Changing::begin(&self.inner.changing_members)?;
        let raft = self.inner.raft.clone();
        let (done, is_done) = oneshot::channel();
        tracing::info!(event = "membership_changes", changes = %changes, "a change of the membership begins");
        drop(TypeConfig::<RT>::spawn(async move {
            let only_if = Precondition::LastMembershipLogId { last_membership_log_id: at };
            // Nobody who leaves stays as a learner.
            let changed = raft.change_membership_if(changes, false, [only_if]).await;
            drop(changing);
            let _ = done.send(changed.map(drop).map_err(|error| unchanged::<RT>(&error)));
        }));
        match TypeConfig::<RT>::timeout_at(deadline, is_done).await {
            Ok(Ok(changed)) => changed,
            Ok(Err(_)) => Err(MemberError::Stopped("consensus has stopped".to_owned())),
            Err(_) => Err(MemberError::Deadline),
        }
    }

    /// Returns when it is applied here.
    async fn propose_to_cluster(
        &self,
        command: ClusterCommand,
        deadline: InstantOf<TypeConfig<RT>>,
    ) -> Result<(), MemberError> {
        let leadership = self.leadership();
        let Some(term) = leadership.my_term() else { return Err(MemberError::NotLeader { leader: leadership.leader() }) };
        let batch = Batch::of(CommandBatch::of_cluster(self.inner.time.now(), command));
        let (responder, outcome) = OneshotResponder::new_pair();
        let proposed = self.inner.raft.client_write_ff(batch, Some(responder)).await;
        proposed.map_err(|fatal| MemberError::Stopped(fatal.to_string()))?;
        let lost = leadership.lost(self.inner.settings.node_id, term);
        match TypeConfig::<RT>::timeout_at(deadline, TypeConfig::<RT>::select2(outcome, lost)).await {
            Ok(Select2::First(Ok(Ok(_)))) => Ok(()),
            Ok(Select2::First(Ok(Err(ClientWriteError::ForwardToLeader(_))))) => Err(MemberError::NotLeader { leader: None }),
            Ok(Select2::First(Ok(Err(_))) | Select2::Second(())) => Err(MemberError::LeaderChanged),
            Ok(Select2::First(Err(_))) => Err(MemberError::Stopped("consensus has stopped".to_owned())),
            Err(_) => Err(MemberError::Deadline),
        }
    }

    fn unread(&self, error: &ReadError) -> MemberError {
        match error {
            ReadError::Stopped(reason) => MemberError::Stopped(reason.clone()),
            ReadError::Retry { reason: RetryReason::NotInTime, .. } => MemberError::Deadline,
            ReadError::Retry { leader, .. } => MemberError::NotLeader { leader: *leader },
        }
    }
}

/// What openraft is asked for. Of a change that was begun, its end.
fn steps(change: MemberChange, plan: &MemberPlan, facts: &MemberFacts) -> Changes {
    if plan.is_begun {
        return ChangeMembers::AddVoterIds([].into());
    }
    let promoted = change.promotes().filter(|node_id| !plan.before.voters.contains(node_id));
    let promote = promoted.map(|node_id| ChangeMembers::AddVoterIds([node_id].into()));
    let removed = change.removes().filter(|node_id| facts.members.contains(node_id));
    let remove = removed.map(|node_id| match plan.before.voters.contains(&node_id) {
        true => ChangeMembers::RemoveVoters([node_id].into()),
        false => ChangeMembers::RemoveNodes([node_id].into()),
    });
    ChangeMembers::Batch(promote.into_iter().chain(remove).collect())
}

fn unchanged<RT: AsyncRuntime>(error: &RaftError<TypeConfig<RT>, ClientWriteError<TypeConfig<RT>>>) -> MemberError {
    match error {
        RaftError::Fatal(fatal) => MemberError::Stopped(fatal.to_string()),
        RaftError::APIError(ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(progress))) => {
            MemberError::InProgress(progress.to_string())
        }
        // Another was faster; or the second half found that this node no longer leads.
        RaftError::APIError(_) => MemberError::LeaderChanged,
    }
}

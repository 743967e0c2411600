//! Linearizable reads on any node: the leader confirms with a quorum that it leads (ReadIndex, no lease) and names a log index;
//! the reader waits until it has applied that far.
//!
//! Reads that wait at the same time share one round: a round answers exactly those that were there before it began.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::async_runtime::Select2;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::{InstantOf, WatchReceiverOf};
use openraft::{AsyncRuntime, Raft, ReadPolicy};
use tokio::sync::{Notify, Semaphore, oneshot};

use super::api::{ReadError, RetryReason};
use super::leadership::Leadership;
use super::metrics::Metrics;
use super::network::Links;
use super::peer_link::{LinkError, PeerLink, Peers};
use super::state_machine::StateMachine;
use super::types::TypeConfig;
use crate::limits;
use crate::planted;
use crate::proto::raft::{ReadIndexRequest, read_index_response};
use crate::storage::LedgerStore;

/// What a round found: the index to wait for, or why there is none.
type Round = Result<u64, RoundError>;

#[derive(Debug, Clone)]
pub(super) enum RoundError {
    /// Another node leads, or none does.
    NotLeader,
    /// No quorum, or the leader cannot be reached.
    Failed(RetryReason),
    Stopped(String),
}

/// Those who wait for the next round.
#[derive(Default)]
struct Rounds {
    waiting: Vec<oneshot::Sender<Round>>,
    is_running: bool,
}

pub(super) struct Reads<RT: AsyncRuntime, S: LedgerStore, P: Peers> {
    raft: Raft<TypeConfig<RT>, StateMachine<RT, S>>,
    links: Arc<Links<P>>,
    metrics: Arc<Metrics>,
    applied_end: WatchReceiverOf<TypeConfig<RT>, u64>,
    /// Of this node as leader.
    here: Mutex<Rounds>,
    /// Asked of the leader.
    there: Mutex<Rounds>,
    /// For those who wait to have caught up.
    room: Arc<Semaphore>,
    /// This node is cut off.
    turned_away: Notify,
}

impl<RT: AsyncRuntime, S: LedgerStore, P: Peers> Reads<RT, S, P> {
    /// `room`: of `limits::READS_WAITING_MAX` places.
    pub(super) fn new(
        raft: Raft<TypeConfig<RT>, StateMachine<RT, S>>,
        links: Arc<Links<P>>,
        metrics: Arc<Metrics>,
        applied_end: WatchReceiverOf<TypeConfig<RT>, u64>,
        room: Arc<Semaphore>,
    ) -> Arc<Self> {
        Arc::new(Self {
            raft,
            links,
            metrics,
            applied_end,
            here: Mutex::default(),
            there: Mutex::default(),
            room,
            turned_away: Notify::new(),
        })
    }

    fn leadership(&self) -> Leadership<RT> {
        Leadership::new(self.raft.server_metrics())
    }

    /// Returns when everything that was answered before the call is applied here.
    pub(super) async fn catch_up(self: &Arc<Self>, deadline: InstantOf<TypeConfig<RT>>) -> Result<(), ReadError> {
        // Without a leader all of them wait for their deadlines.
        let _place = self.room.try_acquire().map_err(|_| self.retry(RetryReason::Overloaded))?;
        let turned_away = self.turned_away.notified();
        let index = match TypeConfig::<RT>::select2(self.index_somewhere(deadline), turned_away).await {
            Select2::First(index) => index?,
            Select2::Second(()) => return Err(self.retry(RetryReason::NoLeader)),
        };
        let mut applied_end = self.applied_end.clone();
        match TypeConfig::<RT>::timeout_at(deadline, applied_end.wait_until_ge(&(index + 1))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ReadError::Stopped("consensus has stopped".into())),
            Err(_) => Err(self.retry(RetryReason::NotInTime)),
        }
    }

    pub(super) fn is_waited_for(&self) -> bool {
        self.room.available_permits() < limits::READS_WAITING_MAX
    }

    /// Whoever waits for a leader's word is told that there is none.
    pub(super) fn turn_away(&self) {
        self.turned_away.notify_waiters();
    }

    /// Returns when the entry at `index` is applied. False: consensus has stopped.
    pub(super) async fn applied(&self, index: u64) -> bool {
        self.applied_end.clone().wait_until_ge(&(index + 1)).await.is_ok()
    }

    fn retry(&self, reason: RetryReason) -> ReadError {
        ReadError::Retry { leader: self.leadership().worth_asking(reason), reason }
    }

    async fn index_somewhere(self: &Arc<Self>, deadline: InstantOf<TypeConfig<RT>>) -> Result<u64, ReadError> {
        let mut failure = RetryReason::NoLeader;
        while TypeConfig::<RT>::now() < deadline {
            let leader = self.leadership().leader();
            let round = match leader {
                Some(leader) if leader == *self.raft.node_id() => self.join(&self.here, Self::run_here, deadline).await,
                Some(_) => self.join(&self.there, Self::run_there, deadline).await,
                None => Err(RoundError::NotLeader),
            };
            match round {
                Ok(index) => return Ok(index),
                Err(RoundError::Stopped(reason)) => return Err(ReadError::Stopped(reason)),
                Err(RoundError::NotLeader) => failure = RetryReason::NoLeader,
                Err(RoundError::Failed(reason)) => failure = reason,
            }
            let until = deadline.min(TypeConfig::<RT>::now() + limits::PROPOSE_AGAIN_AFTER);
            // Whether there is another leader or it is just time: it is looked up again.
            if let Ok(false) = TypeConfig::<RT>::timeout_at(until, self.leadership().other_than(leader)).await {
                return Err(ReadError::Stopped("consensus has stopped".into()));
            }
        }
        Err(self.retry(failure))
    }

    /// For a peer: only if this node leads.
    pub(super) async fn index_here(self: &Arc<Self>, deadline: InstantOf<TypeConfig<RT>>) -> Round {
        if self.leadership().my_term().is_none() {
            return Err(RoundError::NotLeader);
        }
        self.join(&self.here, Self::run_here, deadline).await
    }

    async fn join<F>(
        self: &Arc<Self>,
        rounds: &Mutex<Rounds>,
        run: fn(Arc<Self>) -> F,
        deadline: InstantOf<TypeConfig<RT>>,
    ) -> Round
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut rounds = lock(rounds);
            rounds.waiting.push(answer);
            !std::mem::replace(&mut rounds.is_running, true)
        };
        if is_first {
            drop(TypeConfig::<RT>::spawn(run(self.clone())));
        }
        match TypeConfig::<RT>::timeout_at(deadline, answered).await {
            Ok(Ok(round)) => round,
            Ok(Err(_)) => Err(RoundError::Stopped("consensus has stopped".into())),
            Err(_) => Err(RoundError::Failed(RetryReason::LeaderUnreachable)),
        }
    }

    async fn run_here(self: Arc<Self>) {
        while let Some(waiting) = next_round(&self.here) {
            self.metrics.read_rounds.add(1);
            if planted::is(7) && self.leadership().my_term().is_some() {
                let applied = self.applied_end.borrow_watched().saturating_sub(1);
                answer(waiting, &Ok(applied));
                continue;
            }
            let round = match self.raft.get_read_log_id(ReadPolicy::ReadIndex).await {
                Ok((read, _)) => Ok(read.index()),
                Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_))) => Err(RoundError::NotLeader),
                Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {
                    Err(RoundError::Failed(RetryReason::NoLeader))
                }
                Err(RaftError::Fatal(fatal)) => Err(RoundError::Stopped(fatal.to_string())),
            };
            answer(waiting, &round);
        }
    }

    async fn run_there(self: Arc<Self>) {
        while let Some(waiting) = next_round(&self.there) {
            self.metrics.read_rounds.add(1);
            let round = self.ask_leader().await;
            answer(waiting, &round);
        }
    }

    async fn ask_leader(&self) -> Round {
        let leadership = self.leadership();
        let (leader, term) = leadership.current().ok_or(RoundError::NotLeader)?;
        let member = leadership.member(leader).ok_or(RoundError::NotLeader)?;
        let link = self.links.to(leader, &member);
        let asked = link.read_index(ReadIndexRequest {}, limits::READ_INDEX_WITHIN);
        // A leader that is paused does not answer; the election that replaces it ends the wait.
        let response = match TypeConfig::<RT>::select2(asked, leadership.lost(leader, term)).await {
            Select2::First(response) => response,
            Select2::Second(()) => return Err(RoundError::NotLeader),
        };
        match response {
            Ok(response) => match response.result {
                Some(read_index_response::Result::LogIndex(index)) => Ok(index),
                Some(read_index_response::Result::NotLeader(_)) | None => Err(RoundError::NotLeader),
            },
            Err(LinkError::Refused(_)) => Err(RoundError::NotLeader),
            Err(LinkError::Unreachable(_) | LinkError::NoAnswer(_)) => Err(RoundError::Failed(RetryReason::LeaderUnreachable)),
        }
    }
}

fn lock(rounds: &Mutex<Rounds>) -> MutexGuard<'_, Rounds> {
    rounds.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whoever waits now; none left: the next one starts the rounds anew.
fn next_round(rounds: &Mutex<Rounds>) -> Option<Vec<oneshot::Sender<Round>>> {
    let mut rounds = lock(rounds);
    rounds.waiting.retain(|waiting| !waiting.is_closed());
    rounds.is_running = !rounds.waiting.is_empty();
    rounds.is_running.then(|| std::mem::take(&mut rounds.waiting))
}

fn answer(waiting: Vec<oneshot::Sender<Round>>, round: &Round) {
    for waiting in waiting {
        // It may have run into its deadline.
        let _ = waiting.send(round.clone());
    }
}

//! What the proposer's tests stand on: the proposer over a target that does what the test says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openraft::ServerState;
use openraft::metrics::RaftServerMetrics;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::{WatchReceiverOf, WatchSenderOf};
use openraft_rt_tokio::TokioRuntime;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::api::RetryReason;
use super::calls::Sender;
use super::leadership::Leadership;
use super::lines::StreamOrder;
use super::metrics::Metrics;
use super::proposer::Proposer;
use super::target::{Attempt, Returned, Target};
use super::types::{TypeConfig, vote};
use crate::domain::{AccountId, Command, OrderId, Outcome, Place, Quantity, Reply, SeriesCode};

pub(super) type Config = TypeConfig<TokioRuntime>;
pub(super) type Seen = RaftServerMetrics<Config>;

/// Nothing takes so long, except what waits for ever.
pub(super) const LONG: Duration = Duration::from_secs(60);
pub(super) const SHORT: Duration = Duration::from_millis(50);

/// Of the class that is shed last.
pub(super) const CONFIRMATION: Command = Command::ExpireOrders { limit: 1 };

pub(super) const ME: u64 = 1;
pub(super) const OTHER: u64 = 2;

pub(super) fn seen(leader: Option<u64>) -> Seen {
    RaftServerMetrics {
        id: ME,
        vote: vote(1, leader.unwrap_or(ME), leader.is_some()),
        state: if leader == Some(ME) { ServerState::Leader } else { ServerState::Follower },
        current_leader: leader,
        membership_config: Arc::default(),
        committed_membership_config: Arc::default(),
    }
}

/// How the next attempt ends.
pub(super) enum End {
    Done(Outcome),
    NotDone,
    Overloaded,
    Unknown,
}

pub(super) struct Told {
    pub(super) commands: Vec<Command>,
    pub(super) forwarded_within: Option<Duration>,
}

/// Tells of every batch, and holds it until it is let go.
pub(super) struct Scripted {
    leadership: WatchReceiverOf<Config, Seen>,
    ends: Mutex<VecDeque<End>>,
    batches: mpsc::UnboundedSender<Told>,
    let_go: Arc<Semaphore>,
    hears_a_majority: bool,
}

impl Scripted {
    async fn attempt(&self, commands: &[Command], forwarded_within: Option<Duration>) -> Attempt {
        self.batches.send(Told { commands: commands.to_vec(), forwarded_within }).expect("the test listens");
        self.let_go.acquire().await.expect("never closed").forget();
        match self.ends.lock().expect("no test panics here").pop_front() {
            Some(End::Done(outcome)) => {
                let reply = Reply { place: Place { log_index: 1, offset: 0 }, replayed: false, outcome };
                Attempt::Done { term: 1, replies: vec![reply; commands.len()] }
            }
            Some(End::NotDone) => Attempt::NotDone(RetryReason::NoLeader),
            Some(End::Overloaded) => Attempt::NotDone(RetryReason::Overloaded),
            Some(End::Unknown) => Attempt::Unknown,
            None => panic!("an attempt too many"),
        }
    }
}

impl Target<TokioRuntime> for Scripted {
    fn leadership(&self) -> Leadership<TokioRuntime> {
        Leadership::new(self.leadership.clone())
    }

    fn hears_a_majority(&self) -> bool {
        self.hears_a_majority
    }

    async fn propose(&self, _term: u64, commands: Vec<Command>, sent: oneshot::Sender<()>) -> (Attempt, Returned) {
        drop(sent);
        (self.attempt(&commands, None).await, Some(commands))
    }

    async fn forward(&self, _leader: u64, _term: u64, commands: &[Command], within: Duration) -> Attempt {
        self.attempt(commands, Some(within)).await
    }
}

pub(super) struct Bench {
    pub(super) proposer: Arc<Proposer<TokioRuntime, Scripted>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) batches: mpsc::UnboundedReceiver<Told>,
    pub(super) reads: Arc<Semaphore>,
    pub(super) let_go: Arc<Semaphore>,
    pub(super) leadership: WatchSenderOf<Config, Seen>,
}

pub(super) type Submitting = tokio::task::JoinHandle<super::calls::Answer>;

impl Bench {
    pub(super) fn new(leader: Option<u64>, ends: impl IntoIterator<Item = End>) -> Self {
        Self::with(1, true, leader, ends)
    }

    pub(super) fn where_leader_hears(hears_a_majority: bool, leader: Option<u64>, ends: impl IntoIterator<Item = End>) -> Self {
        Self::with(1, hears_a_majority, leader, ends)
    }

    pub(super) fn with(
        entries_in_flight_max: usize,
        hears_a_majority: bool,
        leader: Option<u64>,
        ends: impl IntoIterator<Item = End>,
    ) -> Self {
        let (seen_by_others, leadership) = Config::watch_channel(seen(leader));
        let (told, batches) = mpsc::unbounded_channel();
        let let_go = Arc::new(Semaphore::new(0));
        let ends = Mutex::new(ends.into_iter().collect());
        let target = Scripted { leadership, ends, batches: told, let_go: let_go.clone(), hears_a_majority };
        let metrics = Arc::<Metrics>::default();
        let reads = Arc::new(Semaphore::new(1));
        let proposer = Proposer::start(target, metrics.clone(), reads.clone(), entries_in_flight_max);
        Self { proposer, metrics, batches, reads, let_go, leadership: seen_by_others }
    }

    pub(super) fn submit(&self, within: Duration) -> Submitting {
        self.submit_all(vec![CONFIRMATION], within, false)
    }

    pub(super) fn submit_all(&self, commands: Vec<Command>, within: Duration, from_peer: bool) -> Submitting {
        let proposer = self.proposer.clone();
        let sender = move || if from_peer { Sender::Peer } else { Sender::Caller };
        Config::spawn(async move { proposer.submit(commands, within, sender()).await })
    }

    /// Returns when it stands in line.
    pub(super) async fn submit_on(&self, stream: &StreamOrder, command: Command) -> Submitting {
        let (proposer, stream) = (self.proposer.clone(), stream.clone());
        let (polled, was_polled) = oneshot::channel();
        let submitting = Config::spawn(async move {
            let mut submitting = std::pin::pin!(proposer.submit(vec![command], LONG, Sender::Stream(&stream)));
            let answer = futures_util::poll!(&mut submitting);
            polled.send(()).expect("the test waits");
            assert!(answer.is_pending(), "{answer:?}");
            submitting.await
        });
        was_polled.await.expect("it runs");
        submitting
    }

    pub(super) async fn told(&mut self) -> Vec<Command> {
        self.batches.recv().await.expect("the proposer runs").commands
    }

    pub(super) async fn batch(&mut self) -> usize {
        self.told().await.len()
    }

    pub(super) async fn queued(&self, commands: u64) {
        while self.metrics.queued_commands.get() != commands {
            tokio::task::yield_now().await;
        }
    }
}

pub(super) fn place_order() -> Command {
    let (account, series) = (AccountId::new("portal").expect("valid"), SeriesCode::new("A24").expect("valid"));
    let quantity = Quantity::new(1).expect("valid");
    Command::PlaceOrder { order: OrderId::from_bytes([7; 16]), account, series, quantity }
}

pub(super) fn cancel_order() -> Command {
    Command::CancelOrder { order: OrderId::from_bytes([7; 16]) }
}

pub(super) fn done() -> End {
    End::Done(Outcome::OrderCancelled)
}

pub(super) async fn answer(submitting: Submitting) -> super::calls::Answer {
    Config::timeout(LONG / 2, submitting).await.expect("it is answered").expect("nothing panics")
}

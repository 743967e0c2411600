//! The proposer over a target that does what the test says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::watch::WatchSender as _;
use openraft::metrics::RaftServerMetrics;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::{WatchReceiverOf, WatchSenderOf};
use openraft_rt_tokio::TokioRuntime;
use tokio::sync::{Semaphore, mpsc};

use super::admission::Class;
use super::api::{RetryReason, SubmitError, UnknownReason};
use super::leadership::Leadership;
use super::metrics::Metrics;
use super::proposer::Proposer;
use super::target::{Attempt, Returned, Target};
use super::types::{TypeConfig, vote};
use crate::domain::{AccountId, Command, OrderId, Outcome, Place, Quantity, Refusal, Reply, SeriesCode};
use crate::limits;

type Config = TypeConfig<TokioRuntime>;
type Seen = RaftServerMetrics<Config>;

/// Nothing takes so long, except what waits for ever.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);

/// Of the class that is shed last.
const CONFIRMATION: Command = Command::ExpireOrders { limit: 1 };

const ME: u64 = 1;
const OTHER: u64 = 2;

fn seen(leader: Option<u64>) -> Seen {
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
enum End {
    Done(Outcome),
    NotDone,
    Unknown,
}

/// Tells of every batch, and holds it until it is let go.
struct Scripted {
    leadership: WatchReceiverOf<Config, Seen>,
    ends: Mutex<VecDeque<End>>,
    batches: mpsc::UnboundedSender<(usize, Option<Duration>)>,
    let_go: Arc<Semaphore>,
    hears_a_majority: bool,
}

impl Scripted {
    async fn attempt(&self, commands: usize, forwarded_within: Option<Duration>) -> Attempt {
        self.batches.send((commands, forwarded_within)).expect("the test listens");
        self.let_go.acquire().await.expect("never closed").forget();
        match self.ends.lock().expect("no test panics here").pop_front() {
            Some(End::Done(outcome)) => {
                let reply = Reply { place: Place { log_index: 1, offset: 0 }, replayed: false, outcome };
                Attempt::Done { term: 1, replies: vec![reply; commands] }
            }
            Some(End::NotDone) => Attempt::NotDone(RetryReason::NoLeader),
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

    async fn propose(&self, _term: u64, commands: Vec<Command>) -> (Attempt, Returned) {
        (self.attempt(commands.len(), None).await, Some(commands))
    }

    async fn forward(&self, _leader: u64, _term: u64, commands: &[Command], within: Duration) -> Attempt {
        self.attempt(commands.len(), Some(within)).await
    }
}

struct Bench {
    proposer: Arc<Proposer<TokioRuntime, Scripted>>,
    metrics: Arc<Metrics>,
    batches: mpsc::UnboundedReceiver<(usize, Option<Duration>)>,
    let_go: Arc<Semaphore>,
    leadership: WatchSenderOf<Config, Seen>,
}

type Submitting = tokio::task::JoinHandle<super::calls::Answer>;

impl Bench {
    fn new(leader: Option<u64>, ends: impl IntoIterator<Item = End>) -> Self {
        Self::where_leader_hears(true, leader, ends)
    }

    fn where_leader_hears(hears_a_majority: bool, leader: Option<u64>, ends: impl IntoIterator<Item = End>) -> Self {
        let (seen_by_others, leadership) = Config::watch_channel(seen(leader));
        let (told, batches) = mpsc::unbounded_channel();
        let let_go = Arc::new(Semaphore::new(0));
        let ends = Mutex::new(ends.into_iter().collect());
        let target = Scripted { leadership, ends, batches: told, let_go: let_go.clone(), hears_a_majority };
        let metrics = Arc::<Metrics>::default();
        let proposer = Proposer::start(target, metrics.clone(), 1);
        Self { proposer, metrics, batches, let_go, leadership: seen_by_others }
    }

    fn submit(&self, within: Duration) -> Submitting {
        self.submit_all(vec![CONFIRMATION], within, false)
    }

    fn submit_all(&self, commands: Vec<Command>, within: Duration, from_peer: bool) -> Submitting {
        let proposer = self.proposer.clone();
        Config::spawn(async move { proposer.submit(commands, within, from_peer).await })
    }

    async fn batch(&mut self) -> usize {
        self.batches.recv().await.expect("the proposer runs").0
    }

    async fn queued(&self, commands: u64) {
        while self.metrics.queued_commands.get() != commands {
            tokio::task::yield_now().await;
        }
    }
}

fn place_order() -> Command {
    let (account, series) = (AccountId::new("portal").expect("valid"), SeriesCode::new("A24").expect("valid"));
    let quantity = Quantity::new(1).expect("valid");
    Command::PlaceOrder { order: OrderId::from_bytes([7; 16]), account, series, quantity }
}

async fn answer(submitting: Submitting) -> super::calls::Answer {
    Config::timeout(LONG / 2, submitting).await.expect("it is answered").expect("nothing panics")
}

#[tokio::test]
async fn calls_that_wait_at_the_same_time_share_one_entry() {
    let mut bench = Bench::new(Some(ME), [End::Done(Outcome::OrderCancelled), End::Done(Outcome::OrderCancelled)]);
    let first = bench.submit(LONG);
    assert_eq!(bench.batch().await, 1, "nobody waits for company");
    let others: Vec<_> = (0..5).map(|_| bench.submit(LONG)).collect();
    bench.queued(5).await;
    bench.let_go.add_permits(2);
    assert_eq!(bench.batch().await, 5);
    for submitting in others.into_iter().chain([first]) {
        assert_eq!(answer(submitting).await.expect("done").replies.len(), 1);
    }
    assert_eq!(bench.metrics.entries_proposed.get(), 2);
}

#[tokio::test]
async fn what_comes_back_to_a_stopped_node_is_answered() {
    let mut bench = Bench::new(Some(ME), [End::NotDone]);
    let submitting = bench.submit(LONG);
    bench.batch().await;
    bench.proposer.stop("the end");
    bench.let_go.add_permits(1);
    assert_eq!(answer(submitting).await, Err(SubmitError::Stopped("the end".into())));
}

#[tokio::test]
async fn a_refusal_that_an_earlier_attempt_may_yet_undo_is_unknown() {
    let reused = Refusal::OrderIdReused { field: "quantity" };
    for (refusal, may_change) in [
        (Refusal::SeriesUnknown, true),
        (Refusal::StockExhausted, true),
        (Refusal::OrderUnknown, true),
        (Refusal::RefundUnknown, true),
        (Refusal::OrderNotIssued, true),
        (Refusal::VoidWindowClosed, true),
        (Refusal::PolicyVersionSkipped, true),
        (reused, false),
        (Refusal::OrderIssued, false),
        (Refusal::OrderExpired, false),
        (Refusal::OrderVoided, false),
        (Refusal::OrderStamped, false),
        (Refusal::OrderExhausted, false),
        (Refusal::RefundAmountWrong, false),
    ] {
        let refused = || End::Done(Outcome::Refused(refusal));
        let once = Bench::new(Some(ME), [refused()]);
        once.let_go.add_permits(1);
        assert!(answer(once.submit(LONG)).await.is_ok(), "{refusal} at the only attempt stands");
        let twice = Bench::new(Some(ME), [End::Unknown, refused()]);
        twice.let_go.add_permits(2);
        let answered = answer(twice.submit(LONG)).await;
        let unknown = SubmitError::Unknown { leader: Some(ME), reason: UnknownReason::LeaderChanged };
        assert_eq!(answered.as_ref().err(), may_change.then_some(&unknown), "{refusal}");
        assert_eq!(twice.metrics.batches_repeated.get(), 1);
    }
    let not_done = Bench::new(Some(ME), [End::NotDone, End::Done(Outcome::Refused(Refusal::OrderUnknown))]);
    not_done.let_go.add_permits(2);
    assert!(answer(not_done.submit(LONG)).await.is_ok(), "the first attempt surely did nothing");
    assert_eq!(not_done.metrics.batches_repeated.get(), 0, "its fate was known");
}

#[tokio::test]
async fn a_call_whose_time_is_over_leaves_the_queue_also_behind_one_that_goes_on_waiting() {
    let bench = Bench::new(None, []);
    let patient = bench.submit(LONG);
    bench.queued(1).await;
    let retry = Err(SubmitError::Retry { leader: None, reason: RetryReason::NoLeader });
    assert_eq!(answer(bench.submit(SHORT)).await, retry);
    assert_eq!(bench.metrics.queued_commands.get(), 1);
    patient.abort();
}

#[tokio::test]
async fn who_waits_behind_a_leader_that_stalls_is_told_so_and_not_that_there_is_none() {
    let bench = Bench::new(Some(ME), []);
    let unknown = SubmitError::Unknown { leader: Some(ME), reason: UnknownReason::Deadline };
    assert_eq!(answer(bench.submit(SHORT)).await, Err(unknown), "it is on its way");
    let waits = SubmitError::Retry { leader: Some(ME), reason: RetryReason::NotInTime };
    assert_eq!(answer(bench.submit(SHORT)).await, Err(waits), "there is room for one entry alone");
    bench.leadership.send(seen(None)).expect("the proposer looks");
    let nobody = SubmitError::Retry { leader: None, reason: RetryReason::NoLeader };
    assert_eq!(answer(bench.submit(SHORT)).await, Err(nobody));
}

#[tokio::test]
async fn a_leader_without_a_majority_says_that_there_is_no_leader_and_sends_nobody_to_itself() {
    let nobody = SubmitError::Retry { leader: None, reason: RetryReason::NoLeader };
    let stuck = Bench::where_leader_hears(false, Some(ME), []);
    let on_its_way = stuck.submit(LONG);
    while stuck.metrics.entries_in_flight.get() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(answer(stuck.submit(SHORT)).await, Err(nobody.clone()), "it waits behind what a majority would have to hold");
    on_its_way.abort();

    // openraft refuses what a leader proposes after its lease: here as the leader sees it, and as a follower does.
    for (leader, room) in [(ME, 1), (OTHER, limits::FORWARDS_IN_FLIGHT_MAX)] {
        let mut refuses = Bench::new(Some(leader), [End::NotDone]);
        refuses.let_go.add_permits(1);
        let mut waiting = vec![refuses.submit(LONG)];
        assert_eq!(refuses.batch().await, 1, "this is the one that is not done");
        while waiting.len() <= room {
            assert_eq!(refuses.batch().await, 1);
            waiting.push(refuses.submit(LONG));
        }
        refuses.queued(1).await;
        assert_eq!(answer(refuses.submit(SHORT)).await, Err(nobody.clone()), "leader {leader}");
        waiting.iter().for_each(Submitting::abort);
    }
}

#[tokio::test]
async fn what_an_earlier_leader_did_not_do_is_no_reason_under_the_next() {
    let mut bench = Bench::new(Some(OTHER), [End::NotDone]);
    let waiting = bench.submit(LONG);
    bench.batch().await;
    bench.leadership.send(seen(Some(ME))).expect("the proposer looks");
    bench.let_go.add_permits(1);
    assert_eq!(bench.batch().await, 1, "it is proposed again, and stalls");
    let waits = SubmitError::Retry { leader: Some(ME), reason: RetryReason::NotInTime };
    assert_eq!(answer(bench.submit(SHORT)).await, Err(waits));
    waiting.abort();
}

#[tokio::test]
async fn a_leader_that_does_not_answer_does_not_hold_a_batch_until_its_callers_give_up() {
    let mut bench = Bench::new(Some(OTHER), []);
    let submitting = bench.submit(LONG);
    let (_, within) = bench.batches.recv().await.expect("it is sent");
    assert!(within.is_some_and(|within| within <= limits::FORWARD_ANSWER_WITHIN), "{within:?}");
    submitting.abort();
}

#[tokio::test]
async fn money_is_shed_last_and_a_new_order_before_it() {
    let mut bench = Bench::new(Some(ME), []);
    let mut waiting = vec![bench.submit(LONG)];
    assert_eq!(bench.batch().await, 1, "there is room for one entry alone, and it stalls");
    let cancel = Command::CancelOrder { order: OrderId::from_bytes([7; 16]) };
    let one_of = |class| match class {
        Class::Confirmation => vec![CONFIRMATION],
        Class::Stamping => vec![cancel.clone()],
        Class::NewOrder => vec![place_order()],
        Class::Batch => vec![place_order(), cancel.clone()],
    };
    let overloaded = SubmitError::Retry { leader: Some(ME), reason: RetryReason::Overloaded };
    let mut queued = 0;
    for full in Class::ALL.into_iter().rev() {
        let fill = full.queue_commands_max() - queued;
        waiting.push(bench.submit_all(vec![CONFIRMATION; fill], LONG, false));
        queued += fill;
        bench.queued(queued as u64).await;
        for class in Class::ALL.into_iter().filter(|class| *class >= full) {
            assert_eq!(answer(bench.submit_all(one_of(class), LONG, false)).await, Err(overloaded.clone()), "{class:?}");
            assert!(bench.metrics.shed.of(class).get() > 0);
        }
        for class in Class::ALL.into_iter().filter(|class| *class < full) {
            assert_eq!(bench.metrics.shed.of(class).get(), 0, "{class:?} has room while {full:?} has none");
        }
    }
    let forwarded = bench.submit_all(vec![place_order(); 2], LONG, true);
    assert_eq!(answer(forwarded).await, Err(overloaded), "a peer's batch is bounded by the whole queue");
    waiting.iter().for_each(Submitting::abort);
}

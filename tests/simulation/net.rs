//! The network between the nodes: a matrix of directed links that delay, drop, and can be cut one way.
//!
//! Every message goes through its protobuf bytes, as on the wire. A message to a dead node finds no connection; one that was
//! on its way when the node died, or whose link was cut, gets no answer. Calls of one link overtake each other; messages of one
//! append stream do not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::stream::{self, BoxStream, StreamExt};
use openraft::AsyncRuntime;
use openraft::Instant as _;
use openraft_rt_sim::{SimInstant, SimRuntime};
use prost::Message;
use stampede::consensus::{LinkError, PeerError, PeerLink, Peers, SnapshotSendError};
use stampede::proto::raft::{
    AppendRequest, AppendResponse, ProposeRequest, ProposeResponse, ReadIndexRequest, ReadIndexResponse, SnapshotResponse,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use stampede::storage::Vote;
use tokio::sync::{mpsc, oneshot};

use crate::cluster::SimNode;
use crate::ledger::SimSnapshot;
use crate::swarm::NetworkFaults;
use crate::world::{Dice, World, sleep, sleep_until, trace};

/// Messages on their way in one direction of one append stream.
const STREAM_IN_FLIGHT_MAX: usize = 64;

/// A connection that carries nothing for so long is given up, whatever its calls' deadlines are.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// How often a held-up message looks whether its link is healed.
const JAM_CHECK: Duration = Duration::from_millis(5);

/// From one node to another.
pub type Direction = (u64, u64);

/// What becomes of messages on a link that is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The sender learns at once that there is no way.
    Refused,
    /// The sender waits until its deadline.
    BlackHole,
}

struct State {
    cuts: BTreeMap<Direction, Cut>,
    nodes: BTreeMap<u64, Arc<SimNode>>,
    /// Counts a node's deaths: what was sent to an earlier life is lost.
    lives: BTreeMap<u64, u64>,
    faults: NetworkFaults,
}

/// Cheap to clone: clones share the network.
#[derive(Clone)]
pub struct Network {
    world: World,
    state: Arc<Mutex<State>>,
}

impl Network {
    pub fn new(world: World, faults: NetworkFaults) -> Self {
        let state = State { cuts: BTreeMap::new(), nodes: BTreeMap::new(), lives: BTreeMap::new(), faults };
        Self { world, state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("one thread: nobody panicked while holding it")
    }

    pub fn set_faults(&self, faults: NetworkFaults) {
        self.lock().faults = faults;
    }

    pub fn attach(&self, node_id: u64, node: Arc<SimNode>) {
        self.lock().nodes.insert(node_id, node);
    }

    /// The node is dead to all others from now on.
    pub fn detach(&self, node_id: u64) -> Option<Arc<SimNode>> {
        let mut state = self.lock();
        *state.lives.entry(node_id).or_default() += 1;
        state.nodes.remove(&node_id)
    }

    pub fn cut(&self, directions: impl IntoIterator<Item = Direction>, how: Cut) {
        self.lock().cuts.extend(directions.into_iter().map(|direction| (direction, how)));
    }

    pub fn heal(&self, directions: &BTreeSet<Direction>) {
        self.lock().cuts.retain(|direction, _| !directions.contains(direction));
    }

    pub fn heal_all(&self) {
        self.lock().cuts.clear();
    }

    /// How often the node has died.
    pub fn life(&self, node_id: u64) -> u64 {
        self.lock().lives.get(&node_id).copied().unwrap_or_default()
    }

    fn cut_of(&self, direction: Direction) -> Option<Cut> {
        self.lock().cuts.get(&direction).copied()
    }

    fn node(&self, node_id: u64) -> Option<Arc<SimNode>> {
        self.lock().nodes.get(&node_id).cloned()
    }

    /// How long the next message takes, or that it is lost.
    fn fate(&self) -> Option<Duration> {
        let faults = self.lock().faults.clone();
        if self.world.chance(Dice::Network, faults.drop_chance) {
            self.world.count("messages dropped");
            return None;
        }
        let is_slow = self.world.chance(Dice::Network, faults.slow_chance);
        if is_slow {
            self.world.count("messages delayed");
        }
        Some(self.world.micros(Dice::Network, if is_slow { faults.slow } else { faults.delay }))
    }
}

/// The network as one life of one node sees it.
#[derive(Clone)]
pub struct SimPeers {
    network: Network,
    from: u64,
    life: u64,
}

impl SimPeers {
    pub fn new(network: Network, from: u64) -> Self {
        let life = network.life(from);
        Self { network, from, life }
    }
}

impl Peers for SimPeers {
    type Link = SimLink;

    fn link(&self, node_id: u64, _peer_address: &str) -> SimLink {
        SimLink { network: self.network.clone(), from: self.from, from_life: self.life, to: node_id }
    }
}

#[derive(Clone)]
pub struct SimLink {
    network: Network,
    from: u64,
    from_life: u64,
    to: u64,
}

fn no_answer(why: &str) -> LinkError {
    LinkError::NoAnswer(why.into())
}

fn as_the_caller_sees(error: PeerError) -> LinkError {
    match error {
        PeerError::Refused(why) => LinkError::Refused(why),
        PeerError::Unknown(why) | PeerError::Stopped(why) => LinkError::NoAnswer(why),
    }
}

/// As it comes out at the other end of the wire.
fn over_the_wire<M: Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).expect("what was just encoded decodes")
}

impl SimLink {
    /// The peer and its present life; an error where no connection can be had.
    fn connect(&self) -> Result<(Arc<SimNode>, u64), LinkError> {
        if self.network.life(self.from) != self.from_life {
            return Err(LinkError::Unreachable("the sender is dead".into()));
        }
        if self.network.cut_of((self.from, self.to)) == Some(Cut::Refused) {
            return Err(LinkError::Unreachable("the link is cut".into()));
        }
        let node = self.network.node(self.to).ok_or_else(|| LinkError::Unreachable("the node is down".into()))?;
        Ok((node, self.network.life(self.to)))
    }

    /// Neither end has died since.
    fn lives(&self, to_life: u64) -> bool {
        self.network.life(self.from) == self.from_life && self.network.life(self.to) == to_life
    }

    /// A message in `direction` arrives, between these lives and over a link that stands now.
    fn arrives(&self, direction: Direction, to_life: u64) -> bool {
        self.lives(to_life) && self.network.cut_of(direction).is_none()
    }

    /// One request, one answer.
    async fn call<Q, A, F>(
        &self,
        name: &'static str,
        request: Q,
        within: Duration,
        handle: impl FnOnce(Arc<SimNode>, Q) -> F + Send + 'static,
    ) -> Result<A, LinkError>
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
        F: Future<Output = Result<A, PeerError>> + Send + 'static,
    {
        let (node, to_life) = self.connect()?;
        let (answer, answered) = oneshot::channel();
        let link = self.clone();
        let is_lost = self.network.lock().faults.loses == Some(name);
        let delivered = async move {
            if is_lost {
                return None;
            }
            link.carry((link.from, link.to), to_life).await?;
            trace!(link.network.world, "net {}>{} {name}", link.from, link.to);
            let handled = handle(node, over_the_wire(&request)).await;
            link.carry((link.to, link.from), to_life).await?;
            Some(handled.map(|message| over_the_wire(&message)).map_err(as_the_caller_sees))
        };
        // In a task of its own: what has arrived is handled, also when the caller has given up.
        SimRuntime::spawn(async move {
            match delivered.await {
                Some(result) => drop(answer.send(result)),
                // The sender of a lost message knows nothing until its own deadline, or until the connection is given up.
                None => sleep(within.min(KEEP_ALIVE)).await,
            }
        });
        match SimRuntime::timeout(within, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(no_answer("the deadline passed")),
        }
    }

    /// Waits while a message is on its way; none if it is lost.
    async fn carry(&self, direction: Direction, to_life: u64) -> Option<()> {
        sleep(self.network.fate()?).await;
        self.arrives(direction, to_life).then_some(())
    }

    /// Sends a stream's requests on their way, and notes when each was sent.
    async fn send_requests(
        self,
        mut requests: BoxStream<'static, AppendRequest>,
        to_peer: mpsc::Sender<OnTheWay<AppendRequest>>,
        unanswered: Unanswered,
    ) {
        let mut arrival = SimInstant::now();
        loop {
            let next = match select(requests.next(), std::pin::pin!(to_peer.closed())).await {
                Either::Left((next, _)) => next,
                Either::Right(((), _)) => return,
            };
            // A lost packet of a connection: it breaks.
            let (Some(request), Some(delay)) = (next, self.network.fate()) else { return };
            unanswered.lock().expect("one thread").push_back(SimInstant::now());
            arrival = arrival.max(SimInstant::now() + delay);
            if to_peer.send((arrival, over_the_wire(&request))).await.is_err() {
                return;
            }
        }
    }

    /// Sends the answers of a stream back, until either side is gone.
    async fn send_answers(
        self,
        mut answers: BoxStream<'static, Result<AppendResponse, PeerError>>,
        to_caller: mpsc::Sender<OnTheWay<Result<AppendResponse, LinkError>>>,
    ) {
        let mut arrival = SimInstant::now();
        loop {
            let next = match select(answers.next(), std::pin::pin!(to_caller.closed())).await {
                Either::Left((next, _)) => next,
                Either::Right(((), _)) => return,
            };
            let (Some(answer), Some(delay)) = (next, self.network.fate()) else { return };
            arrival = arrival.max(SimInstant::now() + delay);
            let answer = answer.map(|message| over_the_wire(&message)).map_err(as_the_caller_sees);
            if to_caller.send((arrival, answer)).await.is_err() {
                return;
            }
        }
    }

    /// The messages of a stream's one direction as they arrive. A refusing link or a death ends it; a black hole holds it up
    /// until the link is healed.
    fn arrivals<M: Send + 'static>(
        self,
        direction: Direction,
        to_life: u64,
        sent: mpsc::Receiver<OnTheWay<M>>,
    ) -> BoxStream<'static, M> {
        stream::unfold((self, sent), move |(link, mut sent)| async move {
            let (arrival, message) = sent.recv().await?;
            sleep_until(arrival).await;
            while link.network.cut_of(direction) == Some(Cut::BlackHole) && link.lives(to_life) {
                sleep(JAM_CHECK).await;
            }
            link.arrives(direction, to_life).then_some((message, (link, sent)))
        })
        .boxed()
    }
}

/// When a message arrives, and the message.
type OnTheWay<M> = (SimInstant, M);
/// When each request that has no answer yet was sent.
type Unanswered = Arc<Mutex<VecDeque<SimInstant>>>;

/// The answers as the caller gets them: an error ends them when an answer is late or the connection breaks while one is due.
fn answers_in_time(
    arriving: BoxStream<'static, Result<AppendResponse, LinkError>>,
    unanswered: Unanswered,
    answer_within: Duration,
) -> BoxStream<'static, Result<AppendResponse, LinkError>> {
    stream::unfold(Some((arriving, unanswered)), move |state| async move {
        let (mut arriving, unanswered) = state?;
        loop {
            let oldest = unanswered.lock().expect("one thread").front().copied();
            let deadline = oldest.unwrap_or_else(SimInstant::now) + answer_within;
            match SimRuntime::timeout_at(deadline, arriving.next()).await {
                Ok(Some(Ok(answer))) => {
                    unanswered.lock().expect("one thread").pop_front();
                    return Some((Ok(answer), Some((arriving, unanswered))));
                }
                Ok(Some(Err(error))) => return Some((Err(error), None)),
                Ok(None) if unanswered.lock().expect("one thread").is_empty() => return None,
                Ok(None) => return Some((Err(no_answer("the stream broke")), None)),
                Err(_) if oldest.is_some() => return Some((Err(no_answer("an answer is late")), None)),
                // Nothing was due when the wait began.
                Err(_) => {}
            }
        }
    })
    .boxed()
}

impl PeerLink for SimLink {
    type Snapshot = SimSnapshot;

    async fn append(
        &self,
        requests: BoxStream<'static, AppendRequest>,
        answer_within: Duration,
    ) -> Result<BoxStream<'static, Result<AppendResponse, LinkError>>, LinkError> {
        let (node, to_life) = self.connect()?;
        let (there, back) = ((self.from, self.to), (self.to, self.from));
        let unanswered = Unanswered::default();
        let (to_peer, at_peer) = mpsc::channel(STREAM_IN_FLIGHT_MAX);
        let (to_caller, at_caller) = mpsc::channel(STREAM_IN_FLIGHT_MAX);
        SimRuntime::spawn(self.clone().send_requests(requests, to_peer, unanswered.clone()));
        let world = self.network.world.clone();
        let arriving = self.clone().arrivals(there, to_life, at_peer).inspect(move |request: &AppendRequest| {
            trace!(world, "net {}>{} append {} after {:?}", there.0, there.1, request.entries.len(), request.previous);
        });
        SimRuntime::spawn(self.clone().send_answers(node.on_append(arriving.boxed()), to_caller));
        Ok(answers_in_time(self.clone().arrivals(back, to_life, at_caller), unanswered, answer_within))
    }

    async fn vote(&self, request: VoteRequest, within: Duration) -> Result<VoteResponse, LinkError> {
        self.call("vote", request, within, |node, request| async move { node.on_vote(request).await }).await
    }

    async fn pre_vote(&self, request: VoteRequest, within: Duration) -> Result<VoteResponse, LinkError> {
        self.call("pre-vote", request, within, |node, request| async move { node.on_pre_vote(request).await }).await
    }

    async fn install_snapshot(
        &self,
        vote: Vote,
        snapshot: SimSnapshot,
        within: Duration,
    ) -> Result<SnapshotResponse, SnapshotSendError> {
        self.network.world.count("snapshots sent");
        let install = |node: Arc<SimNode>, vote| async move {
            node.on_install_snapshot(Some(vote), snapshot.meta(), snapshot.clone()).await
        };
        Ok(self.call("snapshot", vote, within, install).await?)
    }

    async fn transfer_leader(
        &self,
        request: TransferLeaderRequest,
        within: Duration,
    ) -> Result<TransferLeaderResponse, LinkError> {
        self.call("transfer", request, within, |node, request| async move { node.on_transfer_leader(request).await }).await
    }

    async fn propose(&self, request: ProposeRequest, within: Duration) -> Result<ProposeResponse, LinkError> {
        self.call("propose", request, within, move |node, request| async move { node.on_propose(request, within).await }).await
    }

    async fn read_index(&self, request: ReadIndexRequest, within: Duration) -> Result<ReadIndexResponse, LinkError> {
        self.call("read index", request, within, move |node, request| async move { node.on_read_index(request, within).await })
            .await
    }
}

//! Closed-loop buyers: unary, batch and stream. Every order is placed, then paid, each acknowledged.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stampede::proto::v1;
use stampede::proto::v1::issuance_service_client::IssuanceServiceClient;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt;
use uuid::Uuid;

use super::failed::Failed;

/// HTTP/2 flow-control windows, bytes: a batch of a thousand answers fits.
const HTTP2_WINDOW_BYTES: u32 = 4 << 20;

pub fn lazy_channel(address: &str) -> Channel {
    Endpoint::from_shared(format!("http://{address}"))
        .expect("address")
        .tcp_nodelay(true)
        .initial_stream_window_size(HTTP2_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_WINDOW_BYTES)
        .connect_lazy()
}

pub async fn channels(address: &str, count: usize) -> Vec<Channel> {
    (0..count).map(|_| lazy_channel(address)).collect()
}

/// Whether no connection could be made for the call, or the one it waited for was closed before it went out.
pub fn was_never_sent(status: &tonic::Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() || error.downcast_ref().is_some_and(hyper::Error::is_canceled) {
            return true;
        }
        source = error.source();
    }
    false
}

pub struct Buyer;

impl Buyer {
    pub fn order() -> v1::PlaceOrderRequest {
        v1::PlaceOrderRequest {
            order_id: Uuid::now_v7().to_string(),
            account_id: "bench".into(),
            series_code: "BEN".into(),
            quantity: 2,
        }
    }

    pub fn payment(order_id: &str) -> v1::RecordPaymentRequest {
        v1::RecordPaymentRequest {
            gateway: "bench".into(),
            payment_id: order_id.into(),
            order_id: order_id.into(),
            amount_idr: 20_000,
        }
    }
}

/// What a window saw.
pub struct Window {
    orders: u64,
    length: Duration,
    latencies_us: Vec<u64>,
}

impl Window {
    pub fn orders_per_second(&self) -> f64 {
        self.orders as f64 / self.length.as_secs_f64()
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |share: usize| self.latencies_us.get(self.latencies_us.len() * share / 100).map_or(0.0, |us| *us as f64 / 1e3);
        write!(f, "{:>10.0} {:>9.2} {:>9.2}", self.orders_per_second(), at(50), at(99))
    }
}

/// Runs `callers` copies of `call` for `length`; a call returns how many orders it finished. The first that fails ends all.
async fn window<F, Fut>(callers: usize, length: Duration, make: impl Fn(usize) -> F) -> Result<Window, Failed>
where
    F: FnMut() -> Fut + Send + 'static,
    Fut: Future<Output = Result<u64, Failed>> + Send + 'static,
{
    let start = Instant::now();
    let (orders, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut tasks = Vec::new();
    for caller in 0..callers {
        let (orders, is_over, mut call) = (orders.clone(), is_over.clone(), make(caller));
        tasks.push(tokio::spawn(async move {
            let mut latencies_us = Vec::new();
            while start.elapsed() < length && !is_over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let finished = call().await.inspect_err(|_| is_over.store(true, Ordering::Relaxed))?;
                orders.fetch_add(finished, Ordering::Relaxed);
                latencies_us.push(u64::try_from(begun.elapsed().as_micros()).expect("a window of seconds"));
            }
            Ok::<_, Failed>(latencies_us)
        }));
    }
    let mut latencies_us = Vec::new();
    for task in tasks {
        latencies_us.extend(task.await.expect("caller ends")?);
    }
    latencies_us.sort_unstable();
    Ok(Window { orders: orders.load(Ordering::Relaxed), length: start.elapsed(), latencies_us })
}

/// One order a call; the latency is that of placing and paying together.
pub async fn unary(channels: &[Channel], in_flight: usize, length: Duration) -> Result<Window, Failed> {
    window(in_flight, length, |caller| {
        let client = IssuanceServiceClient::new(channels[caller % channels.len()].clone());
        move || {
            let mut client = client.clone();
            async move {
                let order = Buyer::order();
                let payment = Buyer::payment(&order.order_id);
                client.place_order(order).await.map_err(|status| Failed::call("an order", &status))?;
                let paid = client.record_payment(payment).await.map_err(|status| Failed::call("a payment", &status))?;
                assert_eq!(paid.get_ref().outcome(), v1::PaymentOutcome::Applied);
                Ok(1)
            }
        }
    })
    .await
}

/// What became of buyers who came faster than they could be served.
#[derive(Default)]
pub struct Rush {
    pub issued: AtomicU64,
    /// Who found their portal waiting, as it had been told to, and left.
    pub held_back: AtomicU64,
    /// New orders, and confirmations of money, that were turned away as too much.
    pub orders_shed: AtomicU64,
    pub payments_shed: AtomicU64,
    /// Anything else, such as a deadline.
    pub failed: AtomicU64,
    /// Orders issued a second between the first quarter of the arrivals and their end: while the queue fills up, and while it runs
    /// empty, there is less to issue.
    pub goodput: Mutex<f64>,
}

/// What portals make of `RetryInfo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    /// A portal that was turned away sends no new order before the time that it was told.
    HoldsBack,
    /// Whatever it is told, every order is sent.
    Deaf,
}

/// Whether a portal sends new orders (a circuit breaker, as in Nygard, *Release It!*).
enum Door {
    Open,
    ClosedUntil(Instant),
    /// One order was sent to see whether it is taken.
    Trying,
}

#[derive(Clone)]
struct Portal {
    client: IssuanceServiceClient<Channel>,
    door: Arc<Mutex<Door>>,
    manners: Manners,
}

impl Portal {
    fn sends(&self) -> bool {
        let mut door = self.door.lock().expect("no panic");
        match *door {
            Door::Open => true,
            Door::ClosedUntil(until) if Instant::now() >= until => {
                *door = Door::Trying;
                true
            }
            Door::ClosedUntil(_) | Door::Trying => false,
        }
    }

    /// `retry_delay`: of an order that was turned away.
    fn answered(&self, retry_delay: Option<Duration>) {
        let mut door = self.door.lock().expect("no panic");
        match retry_delay {
            Some(delay) if self.manners == Manners::HoldsBack => *door = Door::ClosedUntil(Instant::now() + delay),
            None if matches!(*door, Door::Trying) => *door = Door::Open,
            _ => {}
        }
    }
}

/// Buyers who come at `per_second`, whether or not those before them were served. One who is turned away leaves; one whose order
/// is placed pays until the payment is taken: over the connections of the payment gateway, which are not the portals'. Ends when
/// the last has left.
pub async fn rush(portals: &[Channel], gateway: &[Channel], per_second: f64, length: Duration, manners: Manners) -> Arc<Rush> {
    const TICK: Duration = Duration::from_millis(5);
    let portal = |channel: &Channel| Portal {
        client: IssuanceServiceClient::new(channel.clone()),
        door: Arc::new(Mutex::new(Door::Open)),
        manners,
    };
    let portals: Vec<Portal> = portals.iter().map(portal).collect();
    let (seen, start) = (Arc::new(Rush::default()), Instant::now());
    let mut buyers = tokio::task::JoinSet::new();
    let (mut came, mut at_quarter) = (0_u64, None);
    let mut ticks = tokio::time::interval(TICK);
    while start.elapsed() < length {
        ticks.tick().await;
        while came < (start.elapsed().as_secs_f64() * per_second) as u64 {
            let (portal, gateway) = (&portals[came as usize % portals.len()], &gateway[came as usize % gateway.len()]);
            came += 1;
            if !portal.sends() {
                seen.held_back.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            buyers.spawn(buy_once(portal.clone(), IssuanceServiceClient::new(gateway.clone()), seen.clone()));
        }
        while buyers.try_join_next().is_some() {}
        if start.elapsed() >= length / 4 {
            at_quarter.get_or_insert((start.elapsed(), seen.issued.load(Ordering::Relaxed)));
        }
    }
    if let Some((since, before)) = at_quarter {
        let issued = seen.issued.load(Ordering::Relaxed) - before;
        *seen.goodput.lock().expect("no panic") = issued as f64 / (start.elapsed() - since).as_secs_f64();
    }
    while buyers.join_next().await.is_some() {}
    seen
}

async fn buy_once(mut portal: Portal, mut gateway: IssuanceServiceClient<Channel>, seen: Arc<Rush>) {
    const PAYMENT_TRIES_MAX: usize = 20;
    let order = Buyer::order();
    let payment = Buyer::payment(&order.order_id);
    let placed = portal.client.place_order(order).await;
    let retry_info = placed.as_ref().err().and_then(tonic::Status::get_details_retry_info);
    portal.answered(retry_info.and_then(|info| info.retry_delay));
    match placed {
        Ok(_) => {}
        Err(status) if status.code() == Code::ResourceExhausted => {
            seen.orders_shed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        Err(_) => {
            seen.failed.fetch_add(1, Ordering::Relaxed);
            return;
        }
    }
    for _ in 0..PAYMENT_TRIES_MAX {
        match gateway.record_payment(payment.clone()).await {
            Ok(_) => {
                seen.issued.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Err(status) if status.code() == Code::ResourceExhausted => {
                seen.payments_shed.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            Err(_) => {}
        }
    }
    seen.failed.fetch_add(1, Ordering::Relaxed);
}

fn commands(count: usize) -> (Vec<v1::Command>, Vec<v1::Command>) {
    use v1::command::Command::{PlaceOrder, RecordPayment};
    let orders: Vec<_> = (0..count).map(|_| Buyer::order()).collect();
    let payments =
        orders.iter().map(|order| v1::Command { command: Some(RecordPayment(Buyer::payment(&order.order_id))) }).collect();
    (orders.into_iter().map(|order| v1::Command { command: Some(PlaceOrder(order)) }).collect(), payments)
}

fn all_done(answer: &v1::SubmitBatchResponse) -> Result<(), Failed> {
    for result in &answer.results {
        if let Some(v1::command_result::Result::Error(error)) = &result.result {
            let code = Code::from_i32(error.code);
            return Err(Failed::of("a command of a batch", code, format!("{code:?} {} {}", error.reason, error.message)));
        }
    }
    Ok(())
}

/// `size` orders are placed in one call, then paid in one call.
pub async fn batches(channels: &[Channel], callers: usize, size: usize, length: Duration) -> Result<Window, Failed> {
    window(callers, length, |caller| {
        let client = IssuanceServiceClient::new(channels[caller % channels.len()].clone());
        move || {
            let mut client = client.clone();
            async move {
                let (orders, payments) = commands(size);
                for commands in [orders, payments] {
                    let request = v1::SubmitBatchRequest { batch_id: 0, commands };
                    let answer = client.submit_batch(request).await.map_err(|status| Failed::call("a batch", &status))?;
                    all_done(answer.get_ref())?;
                }
                Ok(size as u64)
            }
        }
    })
    .await
}

/// The same over `streams` streams, with `in_flight` requests of `size` commands under way on each.
pub async fn streams(
    channels: &[Channel],
    streams: usize,
    in_flight: usize,
    size: usize,
    length: Duration,
) -> Result<Window, Failed> {
    let mut lanes = Vec::new();
    for stream in 0..streams {
        lanes.push(Lane::open(IssuanceServiceClient::new(channels[stream % channels.len()].clone())).await?);
    }
    window(streams * in_flight, length, |caller| {
        let lane = lanes[caller % lanes.len()].clone();
        move || {
            let lane = lane.clone();
            async move {
                let (orders, payments) = commands(size);
                for commands in [orders, payments] {
                    all_done(&lane.ask(commands).await?)?;
                }
                Ok(size as u64)
            }
        }
    })
    .await
}

/// One stream and those who wait for its answers.
#[derive(Clone)]
struct Lane {
    requests: mpsc::Sender<v1::SubmitBatchRequest>,
    waiting: Arc<Mutex<HashMap<u64, oneshot::Sender<v1::SubmitBatchResponse>>>>,
    next_id: Arc<AtomicU64>,
}

impl Lane {
    async fn open(mut client: IssuanceServiceClient<Channel>) -> Result<Self, Failed> {
        let (requests, outgoing) = mpsc::channel(1);
        let opened = client.submit_stream(ReceiverStream::new(outgoing)).await;
        let mut answers = opened.map_err(|status| Failed::call("a stream", &status))?.into_inner();
        let lane = Self { requests, waiting: Arc::default(), next_id: Arc::default() };
        let waiting = lane.waiting.clone();
        tokio::spawn(async move {
            while let Ok(Some(answer)) = answers.message().await {
                let asked = waiting.lock().expect("no panic").remove(&answer.batch_id).expect("a request of this id");
                // Nobody waits at the end of a window.
                let _ = asked.send(answer);
            }
            // Whoever still waits is told that the stream has ended.
            waiting.lock().expect("no panic").clear();
        });
        Ok(lane)
    }

    async fn ask(&self, commands: Vec<v1::Command>) -> Result<v1::SubmitBatchResponse, Failed> {
        let ended = || Failed::of("a stream", Code::Unavailable, "it has ended".into());
        let batch_id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (asked, answer) = oneshot::channel();
        self.waiting.lock().expect("no panic").insert(batch_id, asked);
        self.requests.send(v1::SubmitBatchRequest { batch_id, commands }).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())
    }
}

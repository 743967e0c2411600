//! The rush: buyers who arrive when the schedule says, whatever the cluster does.
//!
//! Open loop: an arrival waits for nobody, and latency counts from the intended time. The one bound is on buyers at once
//! (`clients.buyers_in_flight_max`); who arrives beyond it is shed by the tool and counted, never dropped in silence.

pub mod buyer;
pub mod charge;
pub mod gauges;
pub mod persist;
pub mod plan;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::crowd::Crowd;
use crate::history::{HistoryClosed, Request};
use crate::limits;
use crate::provider::Provider;
use crate::scenario::arrivals::arrived_by;
use crate::scenario::{Clients, Scenario};
use crate::serial_code::SerialCodes;

pub use gauges::Gauges;

/// Where buyers, the provider and the cluster meet.
pub struct Market {
    pub(crate) client: Client,
    pub(crate) provider: Provider,
    pub(crate) codes: SerialCodes,
    pub(crate) gauges: Arc<Gauges>,
    pub(crate) clients: Clients,
    /// Requests that were given up while their effect was unknown.
    pub(crate) left_unknown: std::sync::Mutex<Vec<Request>>,
    buyers: Crowd,
    history_closed: AtomicBool,
}

impl Market {
    #[must_use]
    pub fn new(client: Client, scenario: &Scenario, gauges: Arc<Gauges>, codes: SerialCodes) -> Arc<Self> {
        Arc::new(Self {
            client,
            provider: Provider::default(),
            codes,
            gauges,
            clients: scenario.clients,
            left_unknown: std::sync::Mutex::default(),
            buyers: Crowd::new(scenario.clients.buyers_in_flight_max),
            history_closed: AtomicBool::new(false),
        })
    }

    /// The history can no longer be written: the run must end.
    #[must_use]
    pub fn history_is_closed(&self) -> bool {
        self.history_closed.load(Ordering::Relaxed)
    }

    pub(crate) fn note_closed(&self, result: Result<(), HistoryClosed>) {
        if result.is_err() {
            self.history_closed.store(true, Ordering::Relaxed);
        }
    }

    /// Waits until all buyers have left and the provider has delivered every notice; false if they did not within `wait`.
    pub async fn wait_finished(&self, wait: Duration) -> bool {
        let finished = async {
            self.buyers.wait_empty().await;
            self.provider.wait_delivered().await;
        };
        tokio::time::timeout(wait, finished).await.is_ok()
    }

    /// Sends everybody away who is still there, so that nothing is written any more: what they had sent is unknown.
    pub async fn close(&self) {
        self.buyers.send_away().await;
        self.provider.give_up().await;
    }
}

/// Lets the buyers of the scenario arrive from now on. `epoch_ms` is the Unix time of the start.
pub async fn arrive(market: &Arc<Market>, scenario: &Scenario, seed: u64, epoch_ms: u64) {
    let (buyers, length) = (scenario.buyers(), scenario.traffic_length());
    let length_ms = u64::try_from(length.as_millis()).expect("bounded by the scenario's check");
    let start = Instant::now();
    let scenario = Arc::new(scenario.clone());
    let mut ticks = tokio::time::interval(limits::ARRIVAL_TICK);
    let (mut arrived, mut looked) = (0, Duration::ZERO);
    while arrived < buyers && !market.history_is_closed() {
        ticks.tick().await;
        let now = start.elapsed();
        let due = arrived_by(scenario.traffic.arrivals, buyers, u64::try_from(now.as_millis()).unwrap_or(u64::MAX), length_ms);
        let count = due - arrived;
        for nth in 1..=count {
            // Evenly between this look and the last.
            let intended = start + looked + (now - looked) * nth / count;
            let intended_ms = epoch_ms + u64::try_from((intended - start).as_millis()).unwrap_or_default();
            enter(market, &scenario, seed, arrived + nth, intended, intended_ms);
        }
        if count > 0 {
            (arrived, looked) = (due, now);
        }
    }
}

fn enter(market: &Arc<Market>, scenario: &Arc<Scenario>, seed: u64, number: u32, intended: Instant, intended_ms: u64) {
    let (its_market, scenario) = (Arc::clone(market), Arc::clone(scenario));
    let is_admitted = market.buyers.admit(async move {
        let plan = plan::buyer(&scenario, seed, number, intended_ms);
        let intended_ns = its_market.client.recorder().clock().ns_of(intended);
        let bought = buyer::buy(&its_market, plan, intended_ns).await;
        its_market.note_closed(bought);
    });
    if !is_admitted {
        market.gauges.shed.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::client::{GatewaySecrets, NodeAddress};
    use crate::history::{HistoryReader, HistoryWriter, Invoke, Outcome, ProviderEvent, Record, RunClock};
    use crate::network::Door;

    /// The history of a market, to be read when the market is gone.
    pub(crate) struct OnFile {
        folder: tempfile::TempDir,
        writer: HistoryWriter,
    }

    #[derive(Default)]
    pub(crate) struct Recorded {
        pub(crate) invokes: Vec<Invoke>,
        pub(crate) outcomes: Vec<Outcome>,
        pub(crate) provider: Vec<ProviderEvent>,
    }

    /// The smoke scenario's market, whose nodes are at these ports of this machine.
    pub(crate) fn a_market(ports: &[u16], change: impl FnOnce(&mut Clients)) -> (Arc<Market>, OnFile) {
        let folder = tempfile::tempdir().unwrap();
        let (writer, recorder) = HistoryWriter::create(&folder.path().join("history.bin"), RunClock::start()).unwrap();
        let (mut scenario, _) = Scenario::load("smoke").unwrap();
        change(&mut scenario.clients);
        let address = |(port, node): (&u16, u16)| {
            let address = || format!("127.0.0.1:{port}");
            NodeAddress { node, client: address(), admin: address(), webhook: address(), door: Door::default() }
        };
        let addresses: Vec<_> = ports.iter().zip(1..).map(address).collect();
        let client = Client::new(&addresses, &GatewaySecrets::default(), &recorder, scenario.clients.attempt_deadline.get());
        let market = Market::new(client, &scenario, Arc::default(), SerialCodes::new([0; 32]));
        (market, OnFile { folder, writer })
    }

    impl OnFile {
        /// Takes the market's last reference: what it wrote is on file when all who write are gone.
        pub(crate) async fn read(self, market: Arc<Market>) -> Recorded {
            drop(Arc::into_inner(market).expect("nobody else has it"));
            let Self { folder, writer } = self;
            tokio::task::spawn_blocking(|| writer.finish()).await.unwrap().unwrap();
            let mut recorded = Recorded::default();
            for record in HistoryReader::open(&folder.path().join("history.bin")).unwrap() {
                match record.unwrap() {
                    Record::Invoke(invoke) => recorded.invokes.push(invoke),
                    Record::Return(answer) => recorded.outcomes.push(answer.outcome),
                    Record::Provider(event) => recorded.provider.push(event),
                    _ => {}
                }
            }
            recorded
        }
    }

    #[tokio::test]
    async fn who_still_waits_for_an_answer_is_sent_away_and_left_to_be_asked_about() {
        // Accepts connections and never answers.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (market, recorded) = a_market(&[silent.local_addr().unwrap().port()], |_| {});
        let (scenario, _) = Scenario::load("smoke").unwrap();
        let scenario = Arc::new(scenario);
        let is_unary = |number: &u32| !plan::buyer(&scenario, 1, *number, 0).through_stream;
        for number in (1..).filter(is_unary).take(3) {
            enter(&market, &scenario, 1, number, Instant::now(), 0);
        }
        while market.client.recorder().ops_so_far() < 3 {
            tokio::task::yield_now().await;
        }
        assert!(!market.wait_finished(Duration::ZERO).await);
        market.close().await;
        assert!(market.wait_finished(Duration::ZERO).await, "all have left");
        assert_eq!(market.left_unknown.lock().unwrap().len(), 3);
        drop(silent);
        let Recorded { invokes, outcomes, .. } = recorded.read(market).await;
        assert_eq!(invokes.len(), outcomes.len(), "each call has an outcome");
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Unknown { .. })));
    }
}

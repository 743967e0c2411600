//! The rush: buyers who arrive when the schedule says, whatever the cluster does.
//!
//! Open loop: an arrival waits for nobody, and latency counts from the intended time. The one bound is on buyers at once
//! (`clients.buyers_in_flight_max`); who arrives beyond it is shed by the tool and counted, never dropped in silence.

pub mod buyer;
pub mod gauges;
pub mod persist;
pub mod plan;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::client::Client;
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
    buyers: Arc<Semaphore>,
    history_closed: AtomicBool,
}

impl Market {
    #[must_use]
    pub fn new(client: Client, scenario: &Scenario, gauges: Arc<Gauges>, codes: SerialCodes) -> Arc<Self> {
        let buyers_max = usize::try_from(scenario.clients.buyers_in_flight_max).expect("bounded by the scenario's check");
        Arc::new(Self {
            client,
            provider: Provider::default(),
            codes,
            gauges,
            clients: scenario.clients,
            left_unknown: std::sync::Mutex::default(),
            buyers: Arc::new(Semaphore::new(buyers_max)),
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

    /// Waits until all buyers have left and the provider has delivered every notice; false if they did not in time.
    pub async fn wait_finished(&self) -> bool {
        let all = self.clients.buyers_in_flight_max;
        let finished = async {
            let _everyone_left = self.buyers.acquire_many(all).await;
            self.provider.wait_delivered().await;
        };
        tokio::time::timeout(limits::FINISH_DEADLINE, finished).await.is_ok()
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
    let Ok(place) = Arc::clone(&market.buyers).try_acquire_owned() else {
        market.gauges.shed.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let (market, scenario) = (Arc::clone(market), Arc::clone(scenario));
    tokio::spawn(async move {
        let plan = plan::buyer(&scenario, seed, number, intended_ms);
        let intended_ns = market.client.recorder().clock().ns_of(intended);
        let bought = buyer::buy(&market, plan, intended_ns).await;
        market.note_closed(bought);
        drop(place);
    });
}

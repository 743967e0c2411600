//! The simulated payment provider: takes the buyers' money, keeps books of its own, and notifies until it is heard.
//!
//! As real ones do (domain.md), it sends each notice at least once: late, in any order, sometimes twice at once, sometimes again
//! after it was answered, and again and again until it gets a 2xx, which here is any answer that is no error. Its books are the
//! `Provider` records of the history; the judge joins them with the ledger.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use crate::client::{Answer, Beside, Call, Way};
use crate::history::{HistoryClosed, Outcome, ProviderEvent, ProviderStep, Purpose, Record};
use crate::traffic::Market;
use crate::traffic::persist::Pause;
use crate::traffic::plan::Charge;

/// Deliveries at once: far above what any scenario makes.
const DELIVERIES_MAX: u32 = 1 << 20;
/// Sessions of deliveries start here, those of buyers at 1.
const FIRST_SESSION: u32 = 1 << 31;

pub struct Provider {
    deliveries: Arc<Semaphore>,
    next_session: AtomicU32,
}

impl Default for Provider {
    fn default() -> Self {
        let permits = usize::try_from(DELIVERIES_MAX).expect("2^20 fits");
        Self { deliveries: Arc::new(Semaphore::new(permits)), next_session: AtomicU32::new(FIRST_SESSION) }
    }
}

impl Provider {
    /// Takes the money now; the notice follows. Resolves when the first delivery was answered for good.
    pub fn charge(&self, market: &Arc<Market>, charge: Charge) -> oneshot::Receiver<Outcome> {
        let (answered, first_answer) = oneshot::channel();
        let accepted = event(market.client.recorder().now_ns(), &charge, ProviderStep::ChargeAccepted);
        let recorded = market.client.recorder().record(accepted);
        let may_notify = recorded.is_ok();
        market.note_closed(recorded);
        if may_notify {
            let delivery = Delivery { charge: Arc::new(charge), sent: Arc::default(), market: Arc::clone(market) };
            let deliveries = Arc::clone(&self.deliveries);
            tokio::spawn(async move {
                // Closed never, and wide enough for all: it only counts.
                let _counted = deliveries.acquire_owned().await;
                let delivered = delivery.clone().notify(answered).await;
                delivery.market.note_closed(delivered);
            });
        }
        first_answer
    }

    /// Waits until no notice is outstanding.
    pub async fn wait_delivered(&self) {
        let _none_left = self.deliveries.acquire_many(DELIVERIES_MAX).await;
    }

    fn session(&self) -> u32 {
        self.next_session.fetch_add(1, Ordering::Relaxed)
    }
}

fn event(at_ns: u64, charge: &Charge, step: ProviderStep) -> Record {
    let (payment, order, amount_idr) = (charge.payment.clone(), charge.order, charge.amount_idr);
    Record::Provider(ProviderEvent { at_ns, payment, order, amount_idr, step })
}

/// The notices of one charge.
#[derive(Clone)]
struct Delivery {
    charge: Arc<Charge>,
    /// Notices sent so far, over all repetitions.
    sent: Arc<AtomicU32>,
    market: Arc<Market>,
}

impl Delivery {
    async fn notify(self, answered: oneshot::Sender<Outcome>) -> Result<(), HistoryClosed> {
        sleep_ms(self.charge.notice_delay_ms).await;
        let first = self.deliver(Purpose::Traffic, 0);
        let outcome = if self.charge.concurrent {
            let (first, second) = tokio::join!(first, self.deliver(Purpose::Duplicate, 1));
            second?;
            first?
        } else {
            first.await?
        };
        // The buyer may have left.
        drop(answered.send(outcome));
        if let Some(after_ms) = self.charge.repeat_after_ms {
            sleep_ms(after_ms).await;
            self.deliver(Purpose::Duplicate, 2).await?;
        }
        Ok(())
    }

    /// Sends one notice until it is answered for good: accepted, or refused.
    async fn deliver(&self, purpose: Purpose, repetition: usize) -> Result<Outcome, HistoryClosed> {
        let nodes: Vec<u16> = self.market.client.node_ids().collect();
        let session = self.market.provider.session();
        let recorder = self.market.client.recorder();
        let settings = self.market.clients;
        let mut pause = Pause::new(settings.retry_pause.get(), settings.retry_pause_max.get(), session);
        let mut purpose = purpose;
        for attempt in self.charge.first_node + repetition.. {
            let nth = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
            let call = Call {
                session,
                intended_ns: recorder.now_ns(),
                node: nodes[attempt % nodes.len()],
                purpose,
                request: self.charge.notice(),
                way: if self.charge.through_stream { Way::Stream } else { Way::Unary { deadline_on_wire: false } },
            };
            let charge = Arc::clone(&self.charge);
            let note: Beside = Box::new(move |op, at_ns| event(at_ns, &charge, ProviderStep::NoticeSent { nth, op }));
            if let Answer::Sent(op, outcome) = self.market.client.send(call, Some(note)).await? {
                let accepted = matches!(outcome, Outcome::Written(_));
                recorder.record(event(recorder.now_ns(), &self.charge, ProviderStep::NoticeAnswered { nth, op, accepted }))?;
                if accepted || matches!(outcome, Outcome::Refused { .. }) {
                    return Ok(outcome);
                }
                if matches!(outcome, Outcome::Unknown { .. }) {
                    self.market.gauges.unknown.fetch_add(1, Ordering::Relaxed);
                }
                purpose = if purpose == Purpose::Traffic { Purpose::Retry } else { purpose };
            }
            tokio::time::sleep(pause.next()).await;
        }
        unreachable!("attempts are not bounded: a provider repeats its notice until it is heard")
    }
}

async fn sleep_ms(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

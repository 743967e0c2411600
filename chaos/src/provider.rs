//! The simulated payment provider: takes the buyers' money, keeps books of its own, and notifies until it is heard.
//!
//! As real ones do (domain.md), it sends each notice at least once: late, in any order, sometimes twice at once, sometimes again
//! after it was answered, and again and again until it gets a 2xx, which here is any answer that is no error. Its books are the
//! `Provider` records of the history; the judge joins them with the ledger.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::client::{Answer, Beside, Call};
use crate::crowd::Crowd;
use crate::history::{HistoryClosed, Outcome, ProviderEvent, ProviderStep, Purpose, Record, Request};
use crate::traffic::Market;
use crate::traffic::charge::Charge;
use crate::traffic::persist::{Open, Pause, retry_of};

/// Deliveries at once: far above what any scenario makes.
const DELIVERIES_MAX: u32 = 1 << 20;
/// Sessions of deliveries start here, those of buyers at 1.
const FIRST_SESSION: u32 = 1 << 31;

pub struct Provider {
    deliveries: Crowd,
    next_session: AtomicU32,
}

impl Default for Provider {
    fn default() -> Self {
        Self { deliveries: Crowd::new(DELIVERIES_MAX), next_session: AtomicU32::new(FIRST_SESSION) }
    }
}

impl Provider {
    /// Takes the money now; the notice follows. Resolves when the first delivery was answered for good.
    pub fn charge(&self, market: &Arc<Market>, charge: Charge) -> oneshot::Receiver<Outcome> {
        let (answered, first_answer) = oneshot::channel();
        let charged_ns = market.client.recorder().now_ns();
        let recorded = market.client.recorder().record(event(charged_ns, &charge, ProviderStep::ChargeAccepted));
        let may_notify = recorded.is_ok();
        market.note_closed(recorded);
        if may_notify {
            let delivery = Delivery { charge: Arc::new(charge), sent: Arc::default(), market: Arc::clone(market) };
            if let Some(forged) = delivery.charge.forged_notice() {
                let delivery = delivery.clone();
                let _is_admitted = self.deliveries.admit(async move {
                    let refused = delivery.deliver(&forged, Purpose::Forged, 0, charged_ns).await.map(drop);
                    delivery.market.note_closed(refused);
                });
            }
            let is_admitted = self.deliveries.admit(async move {
                let delivered = delivery.clone().notify(charged_ns, answered).await;
                delivery.market.note_closed(delivered);
            });
            assert!(is_admitted, "{DELIVERIES_MAX} deliveries are far above what any scenario makes");
        }
        first_answer
    }

    /// Waits until no notice is outstanding.
    pub async fn wait_delivered(&self) {
        self.deliveries.wait_empty().await;
    }

    /// Drops the notices that are outstanding: their outcome is unknown.
    pub async fn give_up(&self) {
        self.deliveries.send_away().await;
    }

    /// Of a delivery, or of a call of the clerk.
    pub(crate) fn session(&self) -> u32 {
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
    async fn notify(self, charged_ns: u64, answered: oneshot::Sender<Outcome>) -> Result<(), HistoryClosed> {
        let due_ns = self.wait_until_due(charged_ns, self.charge.notice_delay_ms).await;
        let notice = self.charge.notice();
        let first = self.deliver(&notice, Purpose::Traffic, 0, due_ns);
        let outcome = if self.charge.concurrent {
            let (first, second) = tokio::join!(first, self.deliver(&notice, Purpose::Duplicate, 1, due_ns));
            second?;
            first?
        } else {
            first.await?
        };
        // The buyer may have left.
        drop(answered.send(outcome));
        if let Some(after_ms) = self.charge.repeat_after_ms {
            let answered_ns = self.market.client.recorder().now_ns();
            let due_ns = self.wait_until_due(answered_ns, after_ms).await;
            self.deliver(&notice, Purpose::Duplicate, 2, due_ns).await?;
        }
        Ok(())
    }

    /// Returns the moment that was drawn, which latency counts from: waking up later is no excuse.
    async fn wait_until_due(&self, from_ns: u64, delay_ms: u64) -> u64 {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        from_ns + delay_ms * 1_000_000
    }

    /// Sends one notice until it is answered for good: accepted, or refused.
    /// (A forger is as stubborn; his notices are in nobody's books.)
    async fn deliver(
        &self,
        notice: &Request,
        purpose: Purpose,
        repetition: usize,
        due_ns: u64,
    ) -> Result<Outcome, HistoryClosed> {
        let nodes: Vec<u16> = self.market.client.node_ids().collect();
        let session = self.market.provider.session();
        let recorder = self.market.client.recorder();
        let settings = self.market.clients;
        let mut pause = Pause::new(settings.retry_pause.get(), settings.retry_pause_max.get(), session);
        let mut open = Open::new(&self.market, notice.clone());
        let mut purpose = purpose;
        for attempt in self.charge.first_node + repetition.. {
            let is_ours = purpose != Purpose::Forged;
            let nth = self.sent.fetch_add(u32::from(is_ours), Ordering::Relaxed) + 1;
            let call = Call {
                session,
                intended_ns: due_ns,
                node: nodes[attempt % nodes.len()],
                purpose,
                request: notice.clone(),
                way: self.charge.way,
            };
            let charge = Arc::clone(&self.charge);
            let note: Beside = Box::new(move |op, at_ns| event(at_ns, &charge, ProviderStep::NoticeSent { nth, op }));
            if let Answer::Sent(op, outcome) = open.while_sent(self.market.client.send(call, is_ours.then_some(note))).await? {
                let accepted = matches!(outcome, Outcome::Written(_));
                if is_ours {
                    let answered = ProviderStep::NoticeAnswered { nth, op, accepted };
                    recorder.record(event(recorder.now_ns(), &self.charge, answered))?;
                }
                if accepted || matches!(outcome, Outcome::Refused { .. }) {
                    open.is_known();
                    return Ok(outcome);
                }
                purpose = retry_of(purpose);
            }
            tokio::time::sleep(pause.next()).await;
        }
        unreachable!("attempts are not bounded: a provider repeats its notice until it is heard")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::PaymentName;
    use crate::traffic::tests::{Recorded, a_market};

    #[tokio::test]
    async fn a_notice_counts_from_its_drawn_delay_over_all_attempts() {
        // Accepts connections and never answers: every attempt times out.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let attempt = crate::scenario::Span::from_millis(5);
        let (market, recorded) = a_market(&[silent.local_addr().unwrap().port()], |clients| clients.attempt_deadline = attempt);
        let payment = PaymentName { gateway: "gateway-a".into(), payment_id: "p-1".into() };
        let charge = Charge {
            payment,
            order: [1; 16],
            amount_idr: 10_000,
            notice_delay_ms: 7,
            concurrent: false,
            repeat_after_ms: None,
            first_node: 0,
            way: crate::client::Way::Unary { deadline_on_wire: false },
            forgery: None,
        };
        drop(market.provider.charge(&market, charge));
        while market.gauges.unknown.load(Ordering::Relaxed) < 3 {
            tokio::task::yield_now().await;
        }
        market.provider.give_up().await;
        assert_eq!(market.left_unknown.lock().unwrap().len(), 1, "it is asked about after the heal");
        drop(silent);
        let Recorded { invokes, provider, .. } = recorded.read(market).await;
        let due_ns = provider[0].at_ns + 7_000_000;
        assert!(invokes.len() >= 3 && invokes.iter().all(|call| call.intended_ns == due_ns), "{invokes:?}");
    }
}

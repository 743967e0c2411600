//! The same request again, at another node, until its outcome is known.

use std::future::Future;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Market;
use crate::client::{Answer, Call, Way};
use crate::history::{HistoryClosed, Outcome, Purpose, Request};

/// A request, and how to send it.
#[derive(Debug, Clone)]
pub struct Wish {
    pub session: u32,
    /// Latency counts from here, over all attempts.
    pub intended_ns: u64,
    pub purpose: Purpose,
    pub request: Request,
    /// Index among the nodes; a retry goes to the next.
    pub first_node: usize,
    pub way: Way,
}

impl Market {
    /// Sends until the outcome is known: `None` if the buyer gave up before.
    ///
    /// # Errors
    /// The history can no longer be written.
    pub async fn until_known(&self, wish: Wish) -> Result<Option<Outcome>, HistoryClosed> {
        let nodes: Vec<u16> = self.client.node_ids().collect();
        let mut pause = Pause::new(self.clients.retry_pause.get(), self.clients.retry_pause_max.get(), wish.session);
        let mut open = Open::new(self, wish.request.clone());
        let mut purpose = wish.purpose;
        for attempt in 0..self.clients.attempts_max as usize {
            let call = Call {
                session: wish.session,
                // Of every attempt: whoever waited through an outage counts the whole of it.
                intended_ns: wish.intended_ns,
                node: nodes[(wish.first_node + attempt) % nodes.len()],
                purpose,
                request: wish.request.clone(),
                way: wish.way,
            };
            match open.while_sent(self.client.send(call, None)).await? {
                Answer::Sent(_, Outcome::Unknown { .. } | Outcome::NotDone { .. }) => purpose = retry_of(purpose),
                Answer::NotSent => {}
                Answer::Sent(_, outcome) => {
                    open.is_known();
                    return Ok(Some(outcome));
                }
            }
            tokio::time::sleep(pause.next()).await;
        }
        Ok(None)
    }
}

/// Of an ordinary request; what was sent on purpose stays what it was.
pub(crate) fn retry_of(purpose: Purpose) -> Purpose {
    if purpose == Purpose::Traffic { Purpose::Retry } else { purpose }
}

/// A request between its first send and its outcome. Whoever drops it while its effect may be unknown, by giving up or by being
/// sent away, leaves it to be asked about after the heal.
pub(crate) struct Open<'a> {
    market: &'a Market,
    request: Option<Request>,
    in_flight: bool,
    is_unknown: bool,
}

impl<'a> Open<'a> {
    pub(crate) fn new(market: &'a Market, request: Request) -> Self {
        Self { market, request: Some(request), in_flight: false, is_unknown: false }
    }

    /// Sends once, and notes if nobody knows what came of it.
    pub(crate) async fn while_sent(
        &mut self,
        sending: impl Future<Output = Result<Answer, HistoryClosed>>,
    ) -> Result<Answer, HistoryClosed> {
        self.in_flight = true;
        let answer = sending.await;
        self.in_flight = false;
        if matches!(answer, Ok(Answer::Sent(_, Outcome::Unknown { .. }))) {
            self.market.gauges.unknown.fetch_add(1, Ordering::Relaxed);
            if !self.is_unknown {
                self.is_unknown = true;
                self.market.gauges.unknown_now.fetch_add(1, Ordering::Relaxed);
            }
        }
        answer
    }

    /// An answer told what became of the request, and of those of its sends that were not answered.
    pub(crate) fn is_known(&mut self) {
        self.request = None;
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if self.is_unknown {
            self.market.gauges.unknown_now.fetch_sub(1, Ordering::Relaxed);
        }
        let may_have_happened = self.is_unknown || self.in_flight;
        if let Some(request) = self.request.take().filter(|_| may_have_happened) {
            self.market.left_unknown.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        }
    }
}

/// Doubles up to a maximum; each session's pauses differ a little, so that those who met one outage do not return as one.
pub(crate) struct Pause {
    next: Duration,
    max: Duration,
    /// Percent of the pause.
    jitter: u32,
}

impl Pause {
    pub(crate) fn new(first: Duration, max: Duration, session: u32) -> Self {
        // Fibonacci hashing spreads neighbouring sessions over 75 to 125 percent.
        Self { next: first, max, jitter: 75 + session.wrapping_mul(2_654_435_769) % 51 }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next * self.jitter / 100;
        self.next = (self.next * 2).min(self.max);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Recorded, a_market};
    use super::*;

    #[test]
    fn pauses_double_up_to_their_maximum() {
        let mut pause = Pause::new(Duration::from_millis(20), Duration::from_millis(100), 0);
        let pauses: Vec<u128> = (0..5).map(|_| pause.next().as_millis()).collect();
        assert_eq!(pauses, [15, 30, 60, 75, 75]);
    }

    #[tokio::test]
    async fn every_attempt_counts_from_the_moment_that_was_intended() {
        // Nobody listens there: each attempt is known not to have been sent.
        let (market, recorded) = a_market(&[unused_port()], |clients| clients.attempts_max = 4);
        let wish = a_wish(123);
        assert_eq!(market.until_known(wish).await, Ok(None));
        let Recorded { invokes: calls, .. } = recorded.read(market).await;
        assert_eq!(calls.iter().map(|call| call.intended_ns).collect::<Vec<_>>(), [123; 4]);
        assert!(calls.is_sorted_by(|a, b| a.at_ns < b.at_ns), "they were sent one after the other");
    }

    #[tokio::test]
    async fn a_request_that_is_cut_off_is_unknown_and_left_to_be_asked_about() {
        // Accepts connections and never answers.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (market, recorded) = a_market(&[silent.local_addr().unwrap().port()], |_| {});
        let mut sending = Box::pin(market.until_known(a_wish(1)));
        while market.client.recorder().ops_so_far() == 0 {
            assert!(futures_util::poll!(&mut sending).is_pending());
            tokio::task::yield_now().await;
        }
        drop(sending);
        let left = market.left_unknown.lock().unwrap().clone();
        assert_eq!(left, [Request::CancelOrder { order: [1; 16] }]);
        drop(silent);
        let Recorded { outcomes, .. } = recorded.read(market).await;
        assert!(matches!(outcomes[..], [Outcome::Unknown { .. }]), "{outcomes:?}");
    }

    fn a_wish(intended_ns: u64) -> Wish {
        let request = Request::CancelOrder { order: [1; 16] };
        let way = Way::Unary { deadline_on_wire: false };
        Wish { session: 1, intended_ns, purpose: Purpose::Traffic, request, first_node: 0, way }
    }

    /// Bound and closed again.
    fn unused_port() -> u16 {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }
}

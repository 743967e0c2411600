//! The same request again, at another node, until its outcome is known.

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
        let mut unknown = Unknown { market: self, is_open: false };
        let mut purpose = wish.purpose;
        for attempt in 0..self.clients.attempts_max as usize {
            let call = Call {
                session: wish.session,
                // A retry is a call of its own: the latency of the first counts the wait.
                intended_ns: if attempt == 0 { wish.intended_ns } else { self.client.recorder().now_ns() },
                node: nodes[(wish.first_node + attempt) % nodes.len()],
                purpose,
                request: wish.request.clone(),
                way: wish.way,
            };
            match self.client.send(call, None).await? {
                Answer::Sent(_, Outcome::Unknown { .. }) => {
                    unknown.open();
                    purpose = retry_of(purpose);
                }
                Answer::Sent(_, Outcome::NotDone { .. }) => purpose = retry_of(purpose),
                Answer::NotSent => {}
                Answer::Sent(_, outcome) => return Ok(Some(outcome)),
            }
            tokio::time::sleep(pause.next()).await;
        }
        if unknown.is_open {
            self.left_unknown.lock().unwrap_or_else(PoisonError::into_inner).push(wish.request);
        }
        Ok(None)
    }
}

/// Of an ordinary request; what was sent on purpose stays what it was.
fn retry_of(purpose: Purpose) -> Purpose {
    if purpose == Purpose::Traffic { Purpose::Retry } else { purpose }
}

/// Counts a request as unknown while it is.
struct Unknown<'a> {
    market: &'a Market,
    is_open: bool,
}

impl Unknown<'_> {
    fn open(&mut self) {
        self.market.gauges.unknown.fetch_add(1, Ordering::Relaxed);
        if !self.is_open {
            self.is_open = true;
            self.market.gauges.unknown_now.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Unknown<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.market.gauges.unknown_now.fetch_sub(1, Ordering::Relaxed);
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
    use super::*;

    #[test]
    fn pauses_double_up_to_their_maximum() {
        let mut pause = Pause::new(Duration::from_millis(20), Duration::from_millis(100), 0);
        let pauses: Vec<u128> = (0..5).map(|_| pause.next().as_millis()).collect();
        assert_eq!(pauses, [15, 30, 60, 75, 75]);
    }
}

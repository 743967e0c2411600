//! The auditor: reads lists of orders and payments all through the run, a few pages of each.
//!
//! What is listed is drawn from the seed. A page that gets no answer ends its list: nobody asks for the same page again, because the
//! state that the pages are of may have gone with its node.

use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::watch;

use crate::client::{Answer, Call, Gateway, Way};
use crate::history::{
    HistoryClosed, OrderList, OrderState, Outcome, PaymentList, PaymentState, Period, Purpose, Read, ReadAnswer, Request,
};
use crate::limits;
use crate::scenario::{Scenario, Span};
use crate::traffic::Market;

pub struct Auditor {
    market: Arc<Market>,
    random: ChaCha8Rng,
    interval: Span,
    accounts: u32,
    /// Unix time of the run's start.
    epoch_ms: u64,
}

impl Auditor {
    /// `None` if the scenario has none.
    #[must_use]
    pub fn new(market: &Arc<Market>, scenario: &Scenario, seed: u64, epoch_ms: u64) -> Option<Self> {
        let interval = scenario.traffic.audit_interval?;
        let random = ChaCha8Rng::seed_from_u64(seed);
        Some(Self { market: Arc::clone(market), random, interval, accounts: scenario.traffic.accounts, epoch_ms })
    }

    /// Works until `stop`, and ends between two pages.
    ///
    /// # Errors
    /// The history can no longer be written.
    pub async fn work(mut self, stop: watch::Receiver<bool>) -> Result<(), HistoryClosed> {
        let nodes: Vec<u16> = self.market.client.node_ids().collect();
        let mut ticks = tokio::time::interval(self.interval.get());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !*stop.borrow() {
            ticks.tick().await;
            let (list, node) = (self.draw(), nodes[self.random.random_range(0..nodes.len())]);
            self.look_through(list, node, &stop).await?;
        }
        Ok(())
    }

    fn draw(&mut self) -> Request {
        let page_size = self.random.random_range(1..=limits::AUDIT_PAGE_MAX);
        let period = self.draw_period();
        match self.random.random_range(0..4) {
            0 => {
                let account = Some(format!("account-{}", self.random.random_range(0..self.accounts)).into());
                Request::ListOrders(Box::new(OrderList { account, page_size, ..OrderList::default() }))
            }
            1 => {
                let states = STATES_OF_ORDERS[self.random.random_range(0..STATES_OF_ORDERS.len())];
                Request::ListOrders(Box::new(OrderList {
                    states: states.to_vec(),
                    placed: period,
                    page_size,
                    ..OrderList::default()
                }))
            }
            2 => {
                let states = vec![PaymentState::RefundDue, PaymentState::Refunded];
                Request::ListPayments(Box::new(PaymentList { states, page_size, ..PaymentList::default() }))
            }
            _ => {
                let gateway = Some(Gateway::Xendit.name().into());
                Request::ListPayments(Box::new(PaymentList { gateway, recorded: period, page_size, ..PaymentList::default() }))
            }
        }
    }

    /// A second or so in the past minute.
    fn draw_period(&mut self) -> Period {
        let now_ms = self.epoch_ms + self.market.client.recorder().now_ns() / 1_000_000;
        let from_ms = now_ms.saturating_sub(self.random.random_range(0..60_000));
        let until_ms = from_ms + self.random.random_range(1..2_000);
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        Period { from_ms: signed(from_ms), until_ms: signed(until_ms) }
    }

    /// Pages of one list, all at the node that answered the first.
    async fn look_through(&self, mut list: Request, node: u16, stop: &watch::Receiver<bool>) -> Result<(), HistoryClosed> {
        for _ in 0..limits::AUDIT_PAGES_MAX {
            if *stop.borrow() {
                break;
            }
            let call = Call {
                session: self.market.provider.session(),
                intended_ns: self.market.client.recorder().now_ns(),
                node,
                purpose: Purpose::Traffic,
                request: list.clone(),
                way: Way::Unary { deadline_on_wire: false },
            };
            let Answer::Sent(_, Outcome::Read(page)) = self.market.client.send(call, None).await? else { break };
            if !go_on(&mut list, page) {
                break;
            }
        }
        Ok(())
    }
}

/// All, those that wait, those that ever had serials, those that never had.
const STATES_OF_ORDERS: [&[OrderState]; 4] = [
    &[],
    &[OrderState::AwaitingPayment],
    &[OrderState::Issued, OrderState::Voided],
    &[OrderState::Cancelled, OrderState::Expired],
];

/// Makes the next page's request of the last one's; false if there is none.
fn go_on(list: &mut Request, page: Read) -> bool {
    match (list, page.answer) {
        (Request::ListOrders(list), ReadAnswer::Orders { orders, next_page_token }) => {
            list.after = orders.last().map(|order| order.order).or(list.after);
            (list.page_token, list.as_of) = (next_page_token, page.read_index);
            !list.page_token.is_empty()
        }
        (Request::ListPayments(list), ReadAnswer::Payments { payments, next_page_token }) => {
            list.after = payments.into_iter().next_back().map(|payment| payment.payment).or(list.after.take());
            (list.page_token, list.as_of) = (next_page_token, page.read_index);
            !list.page_token.is_empty()
        }
        _ => false,
    }
}

//! The provider's refund clerk: reads what is owed back, pays it out, and tells the ledger.
//!
//! A pay-out is in the provider's own books, with a name of its own, before the ledger hears of it, and a payment that is in the
//! books is never paid out again: what the ledger still shows as due is told once more, under the same name. Which refunds the
//! clerk takes on is drawn from the seed and the payment's id, so that some stay due.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use tokio::sync::watch;

use crate::client::Way;
use crate::hash::Set;
use crate::history::{
    HistoryClosed, Outcome, PaymentName, Place, ProviderEvent, ProviderStep, Purpose, Read, ReadAnswer, Record, RefundSeen,
    Request, Text,
};
use crate::limits;
use crate::scenario::Share;
use crate::traffic::Market;
use crate::traffic::persist::Wish;

/// One refund in so many is first told with a wrong amount, and one told again, and otherwise, after it was settled.
const ON_PURPOSE_ONE_IN: u32 = 50;

pub struct Clerk {
    market: Arc<Market>,
    seed: u64,
    share: Share,
    /// Payments that were paid back.
    books: Mutex<Set<PaymentName>>,
}

impl Clerk {
    #[must_use]
    pub fn new(market: &Arc<Market>, seed: u64, share: Share) -> Self {
        Self { market: Arc::clone(market), seed, share, books: Mutex::default() }
    }

    /// Works until `stop`, and ends between two refunds.
    ///
    /// # Errors
    /// The history can no longer be written.
    pub async fn work(self, stop: watch::Receiver<bool>) -> Result<(), HistoryClosed> {
        let mut ticks = tokio::time::interval(limits::REFUND_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !*stop.borrow() {
            ticks.tick().await;
            self.look_through(&stop).await?;
        }
        Ok(())
    }

    /// All pages, once.
    async fn look_through(&self, stop: &watch::Receiver<bool>) -> Result<(), HistoryClosed> {
        let (mut page_token, mut after): (Text, Option<Place>) = ("".into(), None);
        while !*stop.borrow() {
            let list = Request::ListRefundsDue { page_size: limits::REFUND_PAGE, page_token, after };
            let Some(Outcome::Read(Read { answer: ReadAnswer::RefundsDue { refunds, next_page_token }, .. })) =
                self.ask(Purpose::Traffic, list).await?
            else {
                return Ok(());
            };
            after = refunds.last().map(|refund| refund.due);
            futures_util::stream::iter(refunds)
                .map(|refund| self.pay_back(refund))
                .buffer_unordered(limits::SETTLEMENTS_IN_FLIGHT_MAX)
                .fold(Ok(()), |all, one| async move { all.and(one) })
                .await?;
            if next_page_token.is_empty() {
                return Ok(());
            }
            page_token = next_page_token;
        }
        Ok(())
    }

    async fn pay_back(&self, refund: RefundSeen) -> Result<(), HistoryClosed> {
        let drawn = self.draw(&refund.payment);
        if drawn % Share::WHOLE >= self.share.ppm() {
            return Ok(());
        }
        let reference: Text = format!("back-{}", refund.payment.payment_id).into();
        let first = self.books.lock().unwrap_or_else(PoisonError::into_inner).insert(refund.payment.clone());
        let settle = |amount_idr, reference: &Text| Request::SettleRefund {
            payment: refund.payment.clone(),
            amount_idr,
            reference: reference.clone(),
        };
        let is_on_purpose = drawn.is_multiple_of(ON_PURPOSE_ONE_IN);
        if first {
            if is_on_purpose {
                self.ask(Purpose::Conflict, settle(refund.amount_idr + 1, &reference)).await?;
            }
            self.pay_out(&refund, &reference)?;
        }
        let purpose = if first { Purpose::Traffic } else { Purpose::Retry };
        self.ask(purpose, settle(refund.amount_idr, &reference)).await?;
        if first && is_on_purpose {
            self.ask(Purpose::Duplicate, settle(refund.amount_idr, &reference)).await?;
            self.ask(Purpose::Conflict, settle(refund.amount_idr, &format!("{reference}-b").into())).await?;
        }
        Ok(())
    }

    fn pay_out(&self, refund: &RefundSeen, reference: &Text) -> Result<(), HistoryClosed> {
        let recorder = self.market.client.recorder();
        recorder.record(Record::Provider(ProviderEvent {
            at_ns: recorder.now_ns(),
            payment: refund.payment.clone(),
            order: refund.order,
            amount_idr: refund.amount_idr,
            step: ProviderStep::PaidOut { reference: reference.clone() },
        }))
    }

    fn draw(&self, payment: &PaymentName) -> u32 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes()).update(payment.gateway.as_bytes()).update(payment.payment_id.as_bytes());
        let mut first = [0; 4];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..4]);
        u32::from_le_bytes(first)
    }

    async fn ask(&self, purpose: Purpose, request: Request) -> Result<Option<Outcome>, HistoryClosed> {
        let session = self.market.provider.session();
        let intended_ns = self.market.client.recorder().now_ns();
        let way = Way::Unary { deadline_on_wire: false };
        let first_node = usize::try_from(session).unwrap_or_default();
        self.market.until_known(Wish { session, intended_ns, purpose, request, first_node, way }).await
    }
}

//! One buyer, from placing the order to leaving: a session of calls, one after the other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Market;
use super::persist::Wish;
use super::plan::{Buyer, Charge, Ending};
use crate::client::{Way, consistency};
use crate::history::{HistoryClosed, Outcome, PaymentOutcome, Purpose, Request, SerialsSeen, WriteAnswer, Written};

/// # Errors
/// The history can no longer be written.
pub(super) async fn buy(market: &Arc<Market>, plan: Buyer, intended_ns: u64) -> Result<(), HistoryClosed> {
    let mut visit = Visit { market, calls: 0, plan: &plan };
    let placed = visit.write(Purpose::Traffic, plan.place(), Some(intended_ns)).await?;
    let Some(Outcome::Written(_)) = placed else {
        // Refused for want of stock, or given up: nothing to pay. (A stray payment may follow: that is the next buyer's.)
        return Ok(());
    };
    market.gauges.order_placed(market.client.recorder().now_ns().saturating_sub(intended_ns));
    if plan.repeats_order {
        visit.write(Purpose::Duplicate, plan.place(), None).await?;
    }
    if plan.order_again_with_other_body {
        visit.write(Purpose::Conflict, plan.place_with_other_body(), None).await?;
    }
    visit.ask_order().await?;
    sleep_ms(plan.think_ms).await;
    match plan.ending {
        Ending::Leaves => return Ok(()),
        Ending::Cancels { pays_all_the_same } => {
            visit.write(Purpose::Traffic, Request::CancelOrder { order: plan.order }, None).await?;
            visit.ask_order().await?;
            if !pays_all_the_same {
                return Ok(());
            }
        }
        Ending::PaysLate { after_ms } => sleep_ms(after_ms).await,
        Ending::Pays => {}
    }
    visit.pay().await
}

async fn sleep_ms(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

struct Visit<'a> {
    market: &'a Arc<Market>,
    plan: &'a Buyer,
    /// Sent so far; each goes to the next node.
    calls: usize,
}

impl Visit<'_> {
    /// All charges at once; then what the buyer looks at.
    async fn pay(&mut self) -> Result<(), HistoryClosed> {
        let charges: Vec<_> = self
            .plan
            .payments
            .iter()
            .map(|charge| (charge, self.market.provider.charge(self.market, charge.clone())))
            .collect();
        for (charge, answered) in charges {
            // A provider that ends without an answer has met a closed history.
            let outcome = answered.await.map_err(|_| HistoryClosed)?;
            if charge.order == self.plan.order {
                self.look_at(charge, &outcome).await?;
            }
        }
        Ok(())
    }

    async fn look_at(&mut self, charge: &Charge, answer: &Outcome) -> Result<(), HistoryClosed> {
        let Outcome::Written(Written { answer: WriteAnswer::Recorded { outcome, serials }, .. }) = answer else {
            return Ok(());
        };
        if *outcome == PaymentOutcome::Applied {
            self.market.gauges.issued.fetch_add(1, Ordering::Relaxed);
        }
        if self.plan.payment_again_with_other_body {
            self.write(Purpose::Conflict, charge.notice_with_other_body(), None).await?;
        }
        self.ask_order().await?;
        if self.plan.asks_payment {
            let consistency = consistency(self.plan.asks_stale);
            self.read(Request::GetPayment { payment: charge.payment.clone(), consistency }).await?;
        }
        match serials {
            Some(serials) if self.plan.verifies_serial => self.verify(serials).await,
            _ => Ok(()),
        }
    }

    /// The first stamp's code, and a forgery of it.
    async fn verify(&mut self, serials: &SerialsSeen) -> Result<(), HistoryClosed> {
        let consistency = consistency(self.plan.asks_stale);
        let codes = &self.market.codes;
        for code in [codes.code(serials.series, serials.first_number), codes.forged(serials.series, serials.first_number)] {
            self.read(Request::VerifySerial { code: code.into(), consistency }).await?;
        }
        Ok(())
    }

    async fn ask_order(&mut self) -> Result<(), HistoryClosed> {
        if !self.plan.asks_order {
            return Ok(());
        }
        let consistency = consistency(self.plan.asks_stale);
        self.read(Request::GetOrder { order: self.plan.order, consistency }).await
    }

    async fn read(&mut self, request: Request) -> Result<(), HistoryClosed> {
        self.send(Purpose::Traffic, request, None, self.unary()).await.map(drop)
    }

    async fn write(
        &mut self,
        purpose: Purpose,
        request: Request,
        intended_ns: Option<u64>,
    ) -> Result<Option<Outcome>, HistoryClosed> {
        let way = if self.plan.through_stream { Way::Stream } else { self.unary() };
        self.send(purpose, request, intended_ns, way).await
    }

    fn unary(&self) -> Way {
        Way::Unary { deadline_on_wire: self.plan.deadline_on_wire }
    }

    async fn send(
        &mut self,
        purpose: Purpose,
        request: Request,
        intended_ns: Option<u64>,
        way: Way,
    ) -> Result<Option<Outcome>, HistoryClosed> {
        let intended_ns = intended_ns.unwrap_or_else(|| self.market.client.recorder().now_ns());
        let first_node = self.plan.first_node + self.calls;
        self.calls += 1;
        self.market.until_known(Wish { session: self.plan.number, intended_ns, purpose, request, first_node, way }).await
    }
}

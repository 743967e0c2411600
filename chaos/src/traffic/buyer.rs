//! One buyer, from placing the order to leaving: a session of calls, one after the other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Market;
use super::charge::Charge;
use super::persist::Wish;
use super::plan::{AfterIssue, Buyer, Ending};
use crate::client::{Way, consistency};
use crate::history::{
    Consistency, Digest, HistoryClosed, Outcome, PaymentOutcome, Purpose, Read, ReadAnswer, Request, SerialsSeen, WriteAnswer,
    Written,
};

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
                return visit.after_issue(None).await;
            }
        }
        Ending::PaysLate { after_ms } => sleep_ms(after_ms).await,
        Ending::Pays => {}
    }
    let issued = visit.pay().await?;
    visit.after_issue(issued).await
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
    /// Returns the serials if any charge was answered as applied.
    async fn pay(&mut self) -> Result<Option<SerialsSeen>, HistoryClosed> {
        let charges: Vec<_> = self
            .plan
            .payments
            .iter()
            .map(|charge| (charge, self.market.provider.charge(self.market, charge.clone())))
            .collect();
        let mut issued = None;
        for (charge, answered) in charges {
            // A provider that ends without an answer has met a closed history.
            let outcome = answered.await.map_err(|_| HistoryClosed)?;
            if charge.order == self.plan.order {
                issued = self.look_at(charge, &outcome).await?.or(issued);
            }
        }
        Ok(issued)
    }

    /// What the buyer does with stamps, or tries to do without them.
    async fn after_issue(&mut self, issued: Option<SerialsSeen>) -> Result<(), HistoryClosed> {
        let plan = self.plan;
        let order = plan.order;
        match &plan.after_issue {
            AfterIssue::Keeps => Ok(()),
            AfterIssue::Voids { after_ms, beside } => {
                sleep_ms(*after_ms).await;
                self.void(*beside).await?;
                self.ask_order().await?;
                if let (Some(serials), true) = (&issued, plan.verifies_serial) {
                    self.verify(serials, None).await?;
                }
                if let Some(charge) = &plan.pays_after_void {
                    // The money is owed back: nobody waits for the answer.
                    drop(self.market.provider.charge(self.market, charge.clone()));
                }
                Ok(())
            }
            AfterIssue::Stamps { .. } if issued.is_none() => Ok(()),
            AfterIssue::Stamps { documents, again, then_voids } => {
                let twice = documents.first().filter(|_| *again);
                for (nth, document) in documents.iter().chain(twice).enumerate() {
                    let purpose = if nth < documents.len() { Purpose::Traffic } else { Purpose::Duplicate };
                    let document = *document;
                    self.write(purpose, Request::StampDocument { order, document }, None).await?;
                }
                self.ask_order().await?;
                if *then_voids {
                    self.write(Purpose::Traffic, Request::VoidOrder { order }, None).await?;
                }
                match issued {
                    Some(serials) if plan.verifies_serial => self.verify(&serials, documents.last().copied()).await,
                    _ => Ok(()),
                }
            }
        }
    }

    /// Voids the order, at the same moment as a stamp goes on a document `beside`. Who repeats the order repeats the void, and
    /// tries to cancel what is void.
    async fn void(&mut self, beside: Option<Digest>) -> Result<(), HistoryClosed> {
        let order = self.plan.order;
        let void = Request::VoidOrder { order };
        if let Some(document) = beside {
            let mut other = Visit { market: self.market, plan: self.plan, calls: self.calls + 1 };
            let stamp = Request::StampDocument { order, document };
            let (voided, stamped) =
                tokio::join!(self.write(Purpose::Traffic, void.clone(), None), other.write(Purpose::Traffic, stamp, None));
            voided?;
            stamped?;
        } else {
            self.write(Purpose::Traffic, void.clone(), None).await?;
        }
        if self.plan.repeats_order {
            self.write(Purpose::Duplicate, void, None).await?;
            self.write(Purpose::Duplicate, Request::CancelOrder { order }, None).await?;
        }
        Ok(())
    }

    /// Returns the serials if it was applied.
    async fn look_at(&mut self, charge: &Charge, answer: &Outcome) -> Result<Option<SerialsSeen>, HistoryClosed> {
        let Outcome::Written(Written { answer, .. }) = answer else { return Ok(None) };
        let is_applied = answer.payment_outcome() == Some(PaymentOutcome::Applied);
        if is_applied {
            self.market.gauges.issued.fetch_add(1, Ordering::Relaxed);
        }
        if self.plan.payment_again_with_other_body {
            let way = if let Way::Webhook(_) = charge.way { charge.way } else { self.way_of_writes() };
            self.send(Purpose::Conflict, charge.notice_with_other_body(), None, way).await?;
        }
        self.ask_order().await?;
        if self.plan.asks_payment {
            let consistency = consistency(self.plan.asks_stale);
            self.read(Request::GetPayment { payment: charge.payment.clone(), consistency }).await?;
        }
        let serials = match answer {
            WriteAnswer::Recorded { serials, .. } => serials.clone(),
            WriteAnswer::Noticed { .. } if is_applied && self.plan.wants_serials() => self.ask_serials().await?,
            _ => None,
        };
        if let (Some(serials), true) = (&serials, self.plan.verifies_serial) {
            self.verify(serials, None).await?;
        }
        Ok(serials)
    }

    /// Whose gateway was answered instead looks at the order.
    async fn ask_serials(&mut self) -> Result<Option<SerialsSeen>, HistoryClosed> {
        let order = Request::GetOrder { order: self.plan.order, consistency: Consistency::Linearizable };
        match self.read(order).await? {
            Some(Outcome::Read(Read { answer: ReadAnswer::Order(order), .. })) => Ok(order.serials),
            _ => Ok(None),
        }
    }

    /// The first stamp's code, asked about with a document, and a forgery of it.
    async fn verify(&mut self, serials: &SerialsSeen, document: Option<Digest>) -> Result<(), HistoryClosed> {
        let consistency = consistency(self.plan.asks_stale);
        let codes = &self.market.codes;
        for code in [codes.code(serials.series, serials.first_number), codes.forged(serials.series, serials.first_number)] {
            self.read(Request::VerifySerial { code: code.into(), consistency, document }).await?;
        }
        Ok(())
    }

    async fn ask_order(&mut self) -> Result<(), HistoryClosed> {
        if !self.plan.asks_order {
            return Ok(());
        }
        let consistency = consistency(self.plan.asks_stale);
        self.read(Request::GetOrder { order: self.plan.order, consistency }).await.map(drop)
    }

    async fn read(&mut self, request: Request) -> Result<Option<Outcome>, HistoryClosed> {
        self.send(Purpose::Traffic, request, None, self.unary()).await
    }

    async fn write(
        &mut self,
        purpose: Purpose,
        request: Request,
        intended_ns: Option<u64>,
    ) -> Result<Option<Outcome>, HistoryClosed> {
        self.send(purpose, request, intended_ns, self.way_of_writes()).await
    }

    fn way_of_writes(&self) -> Way {
        if self.plan.through_stream { Way::Stream } else { self.unary() }
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

//! A whole ledger in memory: for tests, the simulation and the invariants, which look at every record.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ops::Bound;

use super::LedgerView;
use crate::domain::decision::Change;
use crate::domain::names::{DocumentDigest, LedgerTime, OrderId, PaymentName, Place, SeriesCode, StampNumber};
use crate::domain::order::Order;
use crate::domain::payment::Payment;
use crate::domain::policy::Policy;
use crate::domain::refund::Refund;
use crate::domain::series::Series;
use crate::domain::stamping::Stamping;
use crate::domain::totals::Totals;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryLedger {
    series: BTreeMap<SeriesCode, Series>,
    orders: BTreeMap<OrderId, Order>,
    payments: BTreeMap<PaymentName, Payment>,
    refunds: BTreeMap<PaymentName, Refund>,
    stampings: BTreeMap<(OrderId, DocumentDigest), Stamping>,
    policies: BTreeMap<u32, Policy>,
    totals: Option<Totals>,
    /// Orders that wait for their payment.
    expiry: BTreeSet<(LedgerTime, OrderId)>,
    /// Issued orders by their first stamp. Ranges do not overlap, so the last one that starts at or before a number is the
    /// only one that can hold it.
    issued: BTreeMap<(SeriesCode, StampNumber), OrderId>,
    documents: BTreeMap<(SeriesCode, StampNumber), DocumentDigest>,
    /// Refunds that are not settled.
    due: BTreeMap<Place, PaymentName>,
}

impl MemoryLedger {
    pub fn absorb(&mut self, change: Change) {
        match change {
            Change::Series(series) => {
                self.series.insert(series.code, series);
            }
            Change::Order(order) => self.absorb_order(order),
            Change::Payment(payment) => {
                self.payments.insert(payment.name.clone(), payment);
            }
            Change::Refund(refund) => self.absorb_refund(refund),
            Change::Stamping(stamping) => {
                self.documents.insert((stamping.series, stamping.number), stamping.document);
                self.stampings.insert((stamping.order, stamping.document), stamping);
            }
            Change::Policy(policy) => {
                self.policies.insert(policy.terms.version(), policy);
            }
            Change::Totals(totals) => self.totals = Some(totals),
        }
    }

    fn absorb_order(&mut self, order: Order) {
        if let Some(issue) = order.issue() {
            self.issued.insert((order.series, issue.first), order.id);
        }
        let waits = order.is_awaiting_payment();
        if waits {
            self.expiry.insert((order.expires_at, order.id));
        }
        // The only index entry that an arrow takes away: nothing leads back to waiting, and issued is for ever.
        if let Some(before) = self.orders.insert(order.id, order)
            && before.is_awaiting_payment()
            && !waits
        {
            self.expiry.remove(&(before.expires_at, before.id));
        }
    }

    fn absorb_refund(&mut self, refund: Refund) {
        if refund.settled.is_none() {
            self.due.insert(refund.due, refund.payment.clone());
        } else {
            self.due.remove(&refund.due);
        }
        self.refunds.insert(refund.payment.clone(), refund);
    }

    /// By code.
    pub fn all_series(&self) -> impl Iterator<Item = &Series> {
        self.series.values()
    }

    /// By id.
    pub fn all_orders(&self) -> impl Iterator<Item = &Order> {
        self.orders.values()
    }

    /// By name.
    pub fn all_payments(&self) -> impl Iterator<Item = &Payment> {
        self.payments.values()
    }

    /// By the name of the payment.
    pub fn all_refunds(&self) -> impl Iterator<Item = &Refund> {
        self.refunds.values()
    }

    /// By order, then document.
    pub fn all_stampings(&self) -> impl Iterator<Item = &Stamping> {
        self.stampings.values()
    }

    /// By version.
    pub fn all_policies(&self) -> impl Iterator<Item = &Policy> {
        self.policies.values()
    }

    /// Without a copy; `None` if there is no such series.
    #[must_use]
    pub fn peek_series(&self, code: SeriesCode) -> Option<&Series> {
        self.series.get(&code)
    }

    #[must_use]
    pub fn peek_order(&self, id: OrderId) -> Option<&Order> {
        self.orders.get(&id)
    }

    #[must_use]
    pub fn peek_payment(&self, name: &PaymentName) -> Option<&Payment> {
        self.payments.get(name)
    }

    #[must_use]
    pub fn peek_refund(&self, payment: &PaymentName) -> Option<&Refund> {
        self.refunds.get(payment)
    }

    /// Every record, as the changes that would make this ledger out of an empty one.
    #[must_use]
    pub fn into_changes(self) -> Vec<Change> {
        let series = self.series.into_values().map(Change::Series);
        let orders = self.orders.into_values().map(Change::Order);
        let payments = self.payments.into_values().map(Change::Payment);
        let refunds = self.refunds.into_values().map(Change::Refund);
        let stampings = self.stampings.into_values().map(Change::Stamping);
        let policies = self.policies.into_values().map(Change::Policy);
        let totals = self.totals.map(Change::Totals);
        series.chain(orders).chain(payments).chain(refunds).chain(stampings).chain(policies).chain(totals).collect()
    }
}

impl FromIterator<Change> for MemoryLedger {
    fn from_iter<I: IntoIterator<Item = Change>>(changes: I) -> Self {
        let mut ledger = Self::default();
        changes.into_iter().for_each(|change| ledger.absorb(change));
        ledger
    }
}

impl LedgerView for MemoryLedger {
    type Error = Infallible;

    fn series(&self, code: SeriesCode) -> Result<Option<Series>, Infallible> {
        Ok(self.peek_series(code).cloned())
    }

    fn order(&self, id: OrderId) -> Result<Option<Order>, Infallible> {
        Ok(self.peek_order(id).cloned())
    }

    fn payment(&self, name: &PaymentName) -> Result<Option<Payment>, Infallible> {
        Ok(self.peek_payment(name).cloned())
    }

    fn refund(&self, payment: &PaymentName) -> Result<Option<Refund>, Infallible> {
        Ok(self.peek_refund(payment).cloned())
    }

    fn stamping(&self, order: OrderId, document: DocumentDigest) -> Result<Option<Stamping>, Infallible> {
        Ok(self.stampings.get(&(order, document)).copied())
    }

    fn policy(&self, version: u32) -> Result<Option<Policy>, Infallible> {
        Ok(self.policies.get(&version).copied())
    }

    fn totals(&self) -> Result<Totals, Infallible> {
        Ok(self.totals.clone().unwrap_or_default())
    }

    fn expiring(&self, until: LedgerTime, limit: usize) -> Result<Vec<Order>, Infallible> {
        // `take_while` with <=, as `expiring` is defined: at its expiry an order may expire.
        let due = self.expiry.iter().take_while(|(at, _)| *at <= until);
        Ok(due.take(limit).map(|(_, id)| self.orders[id].clone()).collect())
    }

    fn holder(&self, series: SeriesCode, number: StampNumber) -> Result<Option<OrderId>, Infallible> {
        let nearest = self.issued.range(..=(series, number)).next_back().map(|(_, id)| &self.orders[id]);
        let holds = |order: &&Order| order.serials().is_some_and(|serials| serials.contains(series, number));
        Ok(nearest.filter(holds).map(|order| order.id))
    }

    fn document(&self, series: SeriesCode, number: StampNumber) -> Result<Option<DocumentDigest>, Infallible> {
        Ok(self.documents.get(&(series, number)).copied())
    }

    fn refunds_due(&self, after: Option<Place>, limit: usize) -> Result<Vec<Refund>, Infallible> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let due = self.due.range((after, Bound::Unbounded));
        Ok(due.take(limit).map(|(_, payment)| self.refunds[payment].clone()).collect())
    }
}

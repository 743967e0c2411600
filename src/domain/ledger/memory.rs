//! A whole ledger in memory: for tests, the simulation and the invariants, which look at every record.

use std::convert::Infallible;

use super::LedgerView;
use super::records::Records;
use crate::domain::decision::Change;
use crate::domain::names::{LedgerTime, OrderId, PaymentName, SeriesCode, StampNumber};
use crate::domain::order::Order;
use crate::domain::payment::Payment;
use crate::domain::series::Series;
use crate::domain::totals::Totals;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryLedger {
    records: Records,
}

impl MemoryLedger {
    pub fn absorb(&mut self, change: Change) {
        self.records.absorb(change);
    }

    /// By code.
    pub fn all_series(&self) -> impl Iterator<Item = &Series> {
        self.records.series.values()
    }

    /// By id.
    pub fn all_orders(&self) -> impl Iterator<Item = &Order> {
        self.records.orders.values()
    }

    /// By name.
    pub fn all_payments(&self) -> impl Iterator<Item = &Payment> {
        self.records.payments.values()
    }

    /// Without a copy; `None` if there is no such series.
    #[must_use]
    pub fn peek_series(&self, code: SeriesCode) -> Option<&Series> {
        self.records.series.get(&code)
    }

    #[must_use]
    pub fn peek_order(&self, id: OrderId) -> Option<&Order> {
        self.records.orders.get(&id)
    }

    #[must_use]
    pub fn peek_payment(&self, name: &PaymentName) -> Option<&Payment> {
        self.records.payments.get(name)
    }

    /// Every record, as the changes that would make this ledger out of an empty one.
    #[must_use]
    pub fn into_changes(self) -> Vec<Change> {
        self.records.into_changes()
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

    fn totals(&self) -> Result<Totals, Infallible> {
        Ok(self.records.totals.clone().unwrap_or_default())
    }

    fn expiring(&self, until: LedgerTime, limit: usize) -> Result<Vec<Order>, Infallible> {
        Ok(self.records.expiring(until).take(limit).cloned().collect())
    }

    fn holder(&self, series: SeriesCode, number: StampNumber) -> Result<Option<OrderId>, Infallible> {
        Ok(self.records.holder(series, number))
    }
}

//! A whole ledger in memory: for tests, the simulation and the invariants, which look at every record.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use super::LedgerView;
use crate::domain::decision::Change;
use crate::domain::names::{LedgerTime, OrderId, PaymentName, SeriesCode, StampNumber};
use crate::domain::order::{Order, OrderState};
use crate::domain::payment::Payment;
use crate::domain::series::Series;
use crate::domain::totals::Totals;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryLedger {
    series: BTreeMap<SeriesCode, Series>,
    orders: BTreeMap<OrderId, Order>,
    payments: BTreeMap<PaymentName, Payment>,
    totals: Option<Totals>,
    /// Orders that wait for their payment.
    expiry: BTreeSet<(LedgerTime, OrderId)>,
    /// Issued orders by their first stamp. Ranges do not overlap, so the last one that starts at or before a number is the
    /// only one that can hold it.
    issued: BTreeMap<(SeriesCode, StampNumber), OrderId>,
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
            Change::Totals(totals) => self.totals = Some(totals),
        }
    }

    fn absorb_order(&mut self, order: Order) {
        match order.state {
            OrderState::AwaitingPayment => {
                self.expiry.insert((order.expires_at, order.id));
            }
            OrderState::Issued { first, .. } => {
                self.issued.insert((order.series, first), order.id);
            }
            OrderState::Cancelled { .. } | OrderState::Expired { .. } => {}
        }
        let waits = order.is_awaiting_payment();
        // The only index entry that an arrow takes away: nothing leads back to waiting, and issued is for ever.
        if let Some(before) = self.orders.insert(order.id, order)
            && before.is_awaiting_payment()
            && !waits
        {
            self.expiry.remove(&(before.expires_at, before.id));
        }
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

    /// Every record, as the changes that would make this ledger out of an empty one.
    #[must_use]
    pub fn into_changes(self) -> Vec<Change> {
        let series = self.series.into_values().map(Change::Series);
        let orders = self.orders.into_values().map(Change::Order);
        let payments = self.payments.into_values().map(Change::Payment);
        series.chain(orders).chain(payments).chain(self.totals.map(Change::Totals)).collect()
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
}

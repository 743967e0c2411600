//! The changes of a batch over another view. Commands of one batch see each other, and a batch leaves one change for each
//! record, however often it touched it: the series and the totals are changed by nearly every command.
//!
//! Only records that were changed are kept here; a look-up of any other goes to the base each time. Overlays nest.

use super::LedgerView;
use super::records::Records;
use crate::domain::decision::Change;
use crate::domain::names::{LedgerTime, OrderId, PaymentName, SeriesCode, StampNumber};
use crate::domain::order::Order;
use crate::domain::payment::Payment;
use crate::domain::series::Series;
use crate::domain::totals::Totals;

#[derive(Debug)]
pub struct Overlay<'a, V> {
    base: &'a V,
    changed: Records,
}

impl<'a, V: LedgerView> Overlay<'a, V> {
    #[must_use]
    pub fn new(base: &'a V) -> Self {
        Self { base, changed: Records::default() }
    }

    pub fn absorb(&mut self, change: Change) {
        self.changed.absorb(change);
    }

    /// The net changes: the last value of each changed record, in the order series, orders, payments, totals, each by key.
    #[must_use]
    pub fn into_changes(self) -> Vec<Change> {
        self.changed.into_changes()
    }
}

impl<V: LedgerView> LedgerView for Overlay<'_, V> {
    type Error = V::Error;

    fn series(&self, code: SeriesCode) -> Result<Option<Series>, V::Error> {
        match self.changed.series.get(&code) {
            Some(series) => Ok(Some(series.clone())),
            None => self.base.series(code),
        }
    }

    fn order(&self, id: OrderId) -> Result<Option<Order>, V::Error> {
        match self.changed.orders.get(&id) {
            Some(order) => Ok(Some(order.clone())),
            None => self.base.order(id),
        }
    }

    fn payment(&self, name: &PaymentName) -> Result<Option<Payment>, V::Error> {
        match self.changed.payments.get(name) {
            Some(payment) => Ok(Some(payment.clone())),
            None => self.base.payment(name),
        }
    }

    fn totals(&self) -> Result<Totals, V::Error> {
        match &self.changed.totals {
            Some(totals) => Ok(totals.clone()),
            None => self.base.totals(),
        }
    }

    fn expiring(&self, until: LedgerTime, limit: usize) -> Result<Vec<Order>, V::Error> {
        // The base still lists orders that were changed here, so it is asked for as many more. An order's expiry never
        // changes: only orders that expire by `until` can be listed.
        let shadowed = self.changed.orders.values().filter(|order| order.expires_at <= until).count();
        let mut orders = self.base.expiring(until, limit.saturating_add(shadowed))?;
        orders.retain(|order| !self.changed.orders.contains_key(&order.id));
        orders.extend(self.changed.expiring(until).take(limit).cloned());
        orders.sort_unstable_by_key(|order| (order.expires_at, order.id));
        orders.truncate(limit);
        Ok(orders)
    }

    fn holder(&self, series: SeriesCode, number: StampNumber) -> Result<Option<OrderId>, V::Error> {
        match self.changed.holder(series, number) {
            Some(order) => Ok(Some(order)),
            None => self.base.holder(series, number),
        }
    }
}

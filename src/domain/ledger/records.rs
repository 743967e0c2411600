//! Records in memory with the two indexes that are derived from orders. [`super::MemoryLedger`] holds a whole ledger in it,
//! [`super::Overlay`] what a batch changed.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::decision::Change;
use crate::domain::names::{LedgerTime, OrderId, PaymentName, SeriesCode, StampNumber};
use crate::domain::order::{Order, OrderState};
use crate::domain::payment::Payment;
use crate::domain::series::Series;
use crate::domain::totals::Totals;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) series: BTreeMap<SeriesCode, Series>,
    pub(super) orders: BTreeMap<OrderId, Order>,
    pub(super) payments: BTreeMap<PaymentName, Payment>,
    pub(super) totals: Option<Totals>,
    /// Orders that wait for their payment.
    expiry: BTreeSet<(LedgerTime, OrderId)>,
    /// Issued orders by their first stamp. Ranges do not overlap, so the last one that starts at or before a number is the
    /// only one that can hold it.
    issued: BTreeMap<(SeriesCode, StampNumber), OrderId>,
}

impl Records {
    pub(super) fn absorb(&mut self, change: Change) {
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

    /// Waiting orders that expire at or before `until`, oldest first.
    pub(super) fn expiring(&self, until: LedgerTime) -> impl Iterator<Item = &Order> {
        // `take_while` with <=, as `expiring` is defined: at its expiry an order may expire.
        self.expiry.iter().take_while(move |(at, _)| *at <= until).map(|(_, id)| &self.orders[id])
    }

    pub(super) fn holder(&self, series: SeriesCode, number: StampNumber) -> Option<OrderId> {
        let (_, id) = self.issued.range(..=(series, number)).next_back()?;
        let range = self.orders[id].serials()?;
        range.contains(series, number).then_some(*id)
    }

    /// One change for each record, in the order series, orders, payments, totals, each by its key.
    pub(super) fn into_changes(self) -> Vec<Change> {
        let series = self.series.into_values().map(Change::Series);
        let orders = self.orders.into_values().map(Change::Order);
        let payments = self.payments.into_values().map(Change::Payment);
        series.chain(orders).chain(payments).chain(self.totals.map(Change::Totals)).collect()
    }
}

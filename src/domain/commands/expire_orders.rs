//! `ExpireOrders`: frees the stamps of orders that were not paid in time, oldest expiry first. The leader proposes it; time
//! is the ledger's, so that every node expires the same orders.

use std::collections::BTreeMap;

use super::{Step, series_of_order};
use crate::domain::decision::{Change, Decision, Outcome};
use crate::domain::ledger::LedgerView;
use crate::domain::names::SeriesCode;
use crate::domain::order::OrderState;
use crate::domain::series::Series;

pub(super) fn decide<V: LedgerView>(view: &V, step: Step, limit: u32) -> Result<Decision, V::Error> {
    // `expiring` includes orders whose expiry is `now` itself: the buyer was told that the order does not expire *before* it.
    let due = view.expiring(step.now, usize::try_from(limit).expect("32 bits fit"))?;
    let count = u32::try_from(due.len()).expect("at most `limit` orders");
    if count == 0 {
        return Ok(Decision::done(step.place, Outcome::OrdersExpired { count }, Vec::new()));
    }

    let mut totals = view.totals()?;
    let mut touched: BTreeMap<SeriesCode, Series> = BTreeMap::new();
    let mut changes = Vec::with_capacity(due.len() + 2);
    for mut order in due {
        let mut series = match touched.remove(&order.series) {
            Some(series) => series,
            None => series_of_order(view, order.series)?,
        };
        series.release(order.quantity);
        touched.insert(series.code, series);
        let expired = OrderState::Expired { place: step.place, at: step.now };
        let before = std::mem::replace(&mut order.state, expired);
        totals.count_order(Some(&before), &order);
        changes.push(Change::Order(order));
    }
    changes.extend(touched.into_values().map(Change::Series));
    changes.push(Change::Totals(totals));
    Ok(Decision::done(step.place, Outcome::OrdersExpired { count }, changes))
}

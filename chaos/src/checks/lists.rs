//! A page of a list, beside what the model holds after the index that the page claims to be good for.

use std::collections::BinaryHeap;

use indexmap::map::Slice;

use super::differences::{order_difference, payment_difference, refund_difference};
use crate::hash::Table;
use crate::history::{OrderList, OrderSeen, PaymentList, PaymentName, PaymentSeen, PaymentState, Period};
use crate::model::{Ledger, Order, Payment, Refund, order_text};

pub(super) fn orders_fault(ledger: &Ledger, list: &OrderList, shown: &[OrderSeen], has_more: bool) -> Option<String> {
    let is_wanted = |order: &Order| {
        (list.states.is_empty() || list.states.contains(&order.state))
            && list.account.as_ref().is_none_or(|account| *account == order.account)
    };
    let placed = within(&ledger.orders, list.placed, |order| order.placed_at_ms);
    let behind = placed.iter().filter(|(id, _)| list.after.is_none_or(|after| **id > after));
    let wanted = behind.filter(|(_, order)| is_wanted(order)).map(|(id, _)| *id);
    let shown_ids = shown.iter().map(|seen| seen.order).collect();
    let page = Page::new(wanted, shown_ids, list.page_size, has_more);
    page.fault(|id| format!("order {}", order_text(*id))).or_else(|| {
        let difference = |seen: &OrderSeen| order_difference(seen.order, &ledger.orders[&seen.order], seen);
        let (seen, field) = shown.iter().find_map(|seen| Some((seen, difference(seen)?)))?;
        Some(format!("order {} was listed: {field} is not that of its index", order_text(seen.order)))
    })
}

pub(super) fn payments_fault(ledger: &Ledger, list: &PaymentList, shown: &[PaymentSeen], has_more: bool) -> Option<String> {
    let is_wanted = |name: &PaymentName, payment: &Payment, refund: Option<&Refund>| {
        list.after.as_ref().is_none_or(|after| name > after)
            && list.gateway.as_ref().is_none_or(|gateway| *gateway == name.gateway)
            && list.recorded.holds(payment.recorded_at_ms)
            && (list.states.is_empty() || list.states.contains(&state(refund)))
    };
    let shown_names = shown.iter().map(|seen| &seen.payment).collect();
    // Few payments are owed back: who asks for those alone need not wait for all.
    let page = if list.states.is_empty() || list.states.contains(&PaymentState::Applied) {
        let recorded = within(&ledger.payments, list.recorded, |payment| payment.recorded_at_ms);
        let wanted = recorded.iter().filter(|(name, payment)| is_wanted(name, payment, ledger.refunds.get(*name)));
        Page::new(wanted.map(|(name, _)| name), shown_names, list.page_size, has_more)
    } else {
        let wanted = ledger.refunds.iter().filter(|(name, refund)| is_wanted(name, &ledger.payments[*name], Some(refund)));
        Page::new(wanted.map(|(name, _)| name), shown_names, list.page_size, has_more)
    };
    page.fault(|name| format!("payment {}", name.payment_id)).or_else(|| {
        let (seen, field) = shown.iter().find_map(|seen| Some((seen, shown_payment_difference(ledger, seen)?)))?;
        Some(format!("payment {} was listed: {field} is not that of its index", seen.payment.payment_id))
    })
}

/// Of a payment that is there: it, or what is owed back for it.
pub(super) fn shown_payment_difference(ledger: &Ledger, seen: &PaymentSeen) -> Option<&'static str> {
    let name = &seen.payment;
    let owed = match (ledger.refunds.get(name), &seen.refund) {
        (None, None) => None,
        (Some(model), Some(seen)) => refund_difference(name, model, seen),
        _ => Some("whether there is a refund"),
    };
    payment_difference(name, &ledger.payments[name], seen).or(owed)
}

fn state(refund: Option<&Refund>) -> PaymentState {
    match refund {
        None => PaymentState::Applied,
        Some(refund) if refund.settled.is_none() => PaymentState::RefundDue,
        Some(_) => PaymentState::Refunded,
    }
}

/// Rows stand in the order of time: those of a period.
fn within<K, V>(rows: &Table<K, V>, period: Period, at_ms: impl Fn(&V) -> i64) -> &Slice<K, V> {
    let from = rows.partition_point(|_, row| at_ms(row) < period.from_ms);
    let until = if period.until_ms == 0 { rows.len() } else { rows.partition_point(|_, row| at_ms(row) < period.until_ms) };
    rows.get_range(from..until.max(from)).expect("within the rows")
}

struct Page<T> {
    /// What the model holds behind the pages before: the first ones, one more than is shown.
    wanted: Vec<T>,
    shown: Vec<T>,
    size: u32,
    has_more: bool,
}

impl<T: Ord> Page<T> {
    fn new(wanted: impl Iterator<Item = T>, shown: Vec<T>, size: u32, has_more: bool) -> Self {
        let mut first: BinaryHeap<T> = BinaryHeap::new();
        for one in wanted {
            if first.len() <= shown.len() {
                first.push(one);
            } else if let Some(mut last) = first.peek_mut()
                && one < *last
            {
                *last = one;
            }
        }
        Self { wanted: first.into_sorted_vec(), shown, size, has_more }
    }

    /// A page has the next records in their order. The server may end one early, but not the list.
    fn fault(self, text: impl Fn(&T) -> String) -> Option<String> {
        if self.shown.len() > self.size as usize {
            return Some(format!("a page of {} has {} records", self.size, self.shown.len()));
        }
        if let Some((next, listed)) = self.wanted.iter().zip(&self.shown).find(|(next, listed)| next != listed) {
            return Some(format!("{} was listed where {} is next", text(listed), text(next)));
        }
        if let Some(extra) = self.shown.get(self.wanted.len()) {
            return Some(format!("{} was listed and is none of the list's", text(extra)));
        }
        let left_out = self.wanted.get(self.shown.len()).filter(|_| !self.has_more)?;
        Some(format!("{} is of the list, and was not listed", text(left_out)))
    }
}

#[cfg(test)]
mod tests;

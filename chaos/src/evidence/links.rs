//! In which lot an order and its payments are.
//!
//! An order is anywhere, by its hash, and its payments are with it. Where calls name one payment with two orders, these orders are
//! judged together, in the first lot.

use std::hash::{BuildHasher, Hash};
use std::path::Path;

use rustc_hash::FxBuildHasher;

use crate::hash::{Map, Set};
use crate::history::{HistoryReader, OrderId, PaymentName, Request};

#[derive(Debug, Default)]
pub struct Links {
    lots: usize,
    /// By the hash of a payment's name, that of the order that it was sent for. (Two names of one hash are taken for one payment
    /// of two orders: nothing is lost but some balance.)
    orders: Map<u64, u64>,
    /// Orders that share a payment with another.
    entangled: Set<u64>,
}

impl Links {
    /// What calls say of payments. A history that ends in damage is read that far.
    #[must_use]
    pub fn read(history: &Path, lots: usize) -> Self {
        let mut links = Self { lots, ..Self::default() };
        let Ok(mut reader) = HistoryReader::open(history) else { return links };
        while let Ok(Some((payment, order))) = reader.next_recorded_payment() {
            let order = hash(&order);
            let first = *links.orders.entry(hash(&payment)).or_insert(order);
            if first != order {
                links.entangled.extend([first, order]);
            }
        }
        links
    }

    #[must_use]
    pub fn of_order(&self, order: OrderId) -> usize {
        self.of_hash(hash(&order))
    }

    /// `order`: where the payment goes if no call named it.
    #[must_use]
    pub fn of_payment(&self, payment: &PaymentName, order: Option<OrderId>) -> usize {
        match (self.orders.get(&hash(payment)), order) {
            (Some(linked), _) => self.of_hash(*linked),
            (None, Some(order)) => self.of_order(order),
            (None, None) => self.of_hash(hash(payment)),
        }
    }

    /// `None`: it is about no order that it names.
    #[must_use]
    pub fn of_request(&self, request: &Request) -> Option<usize> {
        match request {
            Request::RecordPayment { payment, order, .. } => Some(self.of_payment(payment, Some(*order))),
            Request::PlaceOrder { order, .. }
            | Request::CancelOrder { order }
            | Request::VoidOrder { order }
            | Request::StampDocument { order, .. }
            | Request::GetOrder { order, .. } => Some(self.of_order(*order)),
            Request::SettleRefund { payment, .. } | Request::GetPayment { payment, .. } => Some(self.of_payment(payment, None)),
            Request::OpenSeries { .. }
            | Request::SetPolicy { .. }
            | Request::GetPolicy
            | Request::VerifySerial { .. }
            | Request::ListRefundsDue { .. }
            | Request::ListOrders(_)
            | Request::ListPayments(_) => None,
        }
    }

    fn of_hash(&self, order: u64) -> usize {
        if self.entangled.contains(&order) {
            return 0;
        }
        // The high half: hash tables use the low one.
        usize::try_from(order >> 32).expect("32 bits") % self.lots
    }
}

fn hash(value: &impl Hash) -> u64 {
    FxBuildHasher.hash_one(value)
}

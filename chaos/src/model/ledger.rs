//! State and rules. Refusals stand in the order of the protocol file; the first that applies is the answer.

use std::collections::{BTreeMap, BTreeSet};

use super::log::LoggedCommand;
use super::reply::{Answer, Reply, differing, executed, refused, replay};
use crate::hash::{Map, Table};
use crate::history::coded::{Coded, Decoded, coded_struct};
use crate::history::{
    Digest, LedgerTotals, OrderId, OrderState, PaymentName, PaymentOutcome, Place, RefundReason, Request, SeriesCode, Text,
};

#[derive(Debug, Clone)]
pub struct Series {
    pub first_number: u64,
    pub capacity: u64,
    pub face_value_idr: i64,
    pub payment_window_ms: i64,
    /// Of orders that are issued now.
    pub issued: u64,
    /// Issued once: void for ever.
    pub voided: u64,
    pub reserved: u64,
    pub opened: Place,
}

impl Series {
    /// Numbers that were ever issued: the first ones of the series.
    #[must_use]
    pub fn given_out(&self) -> u64 {
        self.issued + self.voided
    }

    fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.given_out()).saturating_sub(self.reserved)
    }
}

/// A step, and when it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    pub place: Place,
    pub at_ms: i64,
}

#[derive(Debug, Clone)]
pub struct Order {
    pub account: Text,
    pub series: SeriesCode,
    pub quantity: u32,
    pub amount_idr: i64,
    pub placed: Place,
    pub placed_at_ms: i64,
    pub expires_at_ms: i64,
    pub state: OrderState,
    pub settled: Option<Settled>,
    /// Once issued, and still when voided.
    pub issued: Option<Box<Issued>>,
}

#[derive(Debug, Clone)]
pub struct Issued {
    pub first_number: u64,
    pub paid_by: PaymentName,
    pub at_ms: i64,
    /// The n-th is on the n-th stamp.
    pub documents: Vec<(Digest, Settled)>,
}

#[derive(Debug, Clone)]
pub struct Payment {
    pub order: OrderId,
    pub amount_idr: i64,
    pub outcome: PaymentOutcome,
    pub recorded: Place,
    pub recorded_at_ms: i64,
}

/// Money owed back for one payment.
#[derive(Debug, Clone)]
pub struct Refund {
    pub order: OrderId,
    pub amount_idr: i64,
    pub reason: RefundReason,
    pub due: Settled,
    /// With the transfer's name.
    pub settled: Option<(Text, Settled)>,
}

/// What a void gives back, and until when.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    pub void_refund_percent: u32,
    pub void_window_ms: i64,
    /// `None` of version 0.
    pub set: Option<Settled>,
}

/// In force until a policy is set.
pub(super) const FIRST_POLICY: Policy = Policy { void_refund_percent: 75, void_window_ms: 3 * 24 * 60 * 60 * 1_000, set: None };

#[derive(Debug, Default)]
pub struct Ledger {
    pub series: Map<SeriesCode, Series>,
    /// In the order of time, as payments are.
    pub orders: Table<OrderId, Order>,
    pub payments: Table<PaymentName, Payment>,
    /// Of every payment that issued nothing, or whose stamps were voided.
    pub refunds: Map<PaymentName, Refund>,
    /// Not settled, oldest first. (A command makes one refund due at most.)
    pub refunds_due: BTreeMap<Place, PaymentName>,
    /// Version n stands at n - 1.
    pub policies: Vec<Policy>,
    pub totals: LedgerTotals,
    /// The highest time that any entry carried.
    pub now_ms: i64,
    /// Orders that wait for their payment, by expiry, then id.
    waiting: BTreeSet<(i64, OrderId)>,
}

impl Ledger {
    /// With room for so many orders and payments. (Room that is not used takes no memory; growing would take it twice.)
    #[must_use]
    pub fn with_room(orders: usize, payments: usize) -> Self {
        let room = Default::default;
        Self {
            orders: Table::with_capacity_and_hasher(orders, room()),
            payments: Table::with_capacity_and_hasher(payments, room()),
            ..Self::default()
        }
    }

    /// With each entry, also with one that has no command of the ledger: of a join token, or of a new member's id.
    pub fn take_time(&mut self, proposed_at_ms: i64) {
        self.now_ms = self.now_ms.max(proposed_at_ms);
    }

    /// Executes one command of an entry that carries `proposed_at_ms`.
    pub fn apply(&mut self, place: Place, proposed_at_ms: i64, command: &LoggedCommand) -> Reply {
        self.take_time(proposed_at_ms);
        match command {
            LoggedCommand::Client(request) => self.execute(place, request),
            LoggedCommand::ExpireOrders { limit } => executed(place, Answer::Expired { orders: self.expire(place, *limit) }),
        }
    }

    fn execute(&mut self, place: Place, request: &Request) -> Reply {
        match request {
            Request::OpenSeries { series, first_number, capacity, face_value_idr, payment_window_ms } => {
                let terms = (*first_number, *capacity, *face_value_idr, *payment_window_ms);
                self.open_series(place, *series, terms)
            }
            Request::PlaceOrder { order, account, series, quantity } => {
                self.place_order(place, *order, account, *series, *quantity)
            }
            Request::RecordPayment { payment, order, amount_idr } => self.record_payment(place, payment, *order, *amount_idr),
            Request::CancelOrder { order } => self.cancel_order(place, *order),
            Request::VoidOrder { order } => self.void_order(place, *order),
            Request::StampDocument { order, document } => self.stamp_document(place, *order, *document),
            Request::SettleRefund { payment, amount_idr, reference } => {
                self.settle_refund(place, payment, *amount_idr, reference)
            }
            Request::SetPolicy { version, void_refund_percent, void_window_ms } => {
                self.set_policy(place, *version, *void_refund_percent, *void_window_ms)
            }
            Request::GetOrder { .. }
            | Request::GetPayment { .. }
            | Request::VerifySerial { .. }
            | Request::GetPolicy
            | Request::ListRefundsDue { .. }
            | Request::ListOrders(_)
            | Request::ListPayments(_) => unreachable!("the log's reader makes writes alone"),
        }
    }

    fn open_series(&mut self, place: Place, code: SeriesCode, terms: (u64, u64, i64, i64)) -> Reply {
        let (first_number, capacity, face_value_idr, payment_window_ms) = terms;
        if let Some(there) = self.series.get(&code) {
            let differs = differing(&[
                ("first_number", there.first_number != first_number),
                ("capacity", there.capacity != capacity),
                ("face_value_idr", there.face_value_idr != face_value_idr),
                ("payment_window_ms", there.payment_window_ms != payment_window_ms),
            ]);
            return if differs.is_empty() {
                replay(there.opened, Answer::SeriesOpened)
            } else {
                refused(place, "SERIES_REUSED", differs)
            };
        }
        let opened = place;
        let (issued, voided, reserved) = (0, 0, 0);
        let series = Series { first_number, capacity, face_value_idr, payment_window_ms, issued, voided, reserved, opened };
        self.series.insert(code, series);
        executed(place, Answer::SeriesOpened)
    }

    fn place_order(&mut self, place: Place, id: OrderId, account: &Text, code: SeriesCode, quantity: u32) -> Reply {
        if let Some(there) = self.orders.get(&id) {
            let differs = differing(&[
                ("account_id", there.account != *account),
                ("series_code", there.series != code),
                ("quantity", there.quantity != quantity),
            ]);
            let answer = Answer::Placed { amount_idr: there.amount_idr, expires_at_ms: there.expires_at_ms };
            return if differs.is_empty() { replay(there.placed, answer) } else { refused(place, "ORDER_ID_REUSED", differs) };
        }
        let Some(series) = self.series.get_mut(&code) else { return refused(place, "SERIES_UNKNOWN", vec![]) };
        if series.free() < u64::from(quantity) {
            return refused(place, "STOCK_EXHAUSTED", vec![]);
        }
        series.reserved += u64::from(quantity);
        let amount_idr = series.face_value_idr * i64::from(quantity);
        let expires_at_ms = self.now_ms.saturating_add(series.payment_window_ms);
        let order = Order {
            account: account.clone(),
            series: code,
            quantity,
            amount_idr,
            placed: place,
            placed_at_ms: self.now_ms,
            expires_at_ms,
            state: OrderState::AwaitingPayment,
            settled: None,
            issued: None,
        };
        self.orders.insert(id, order);
        self.waiting.insert((expires_at_ms, id));
        self.totals.orders_awaiting_payment += 1;
        executed(place, Answer::Placed { amount_idr, expires_at_ms })
    }

    fn record_payment(&mut self, place: Place, name: &PaymentName, id: OrderId, amount_idr: i64) -> Reply {
        if let Some(there) = self.payments.get(name) {
            let differs = differing(&[("order_id", there.order != id), ("amount_idr", there.amount_idr != amount_idr)]);
            let serials = (there.outcome == PaymentOutcome::Applied).then(|| self.serials(there.order));
            let answer = Answer::Recorded { outcome: there.outcome, serials };
            return if differs.is_empty() {
                replay(there.recorded, answer)
            } else {
                refused(place, "PAYMENT_ID_REUSED", differs)
            };
        }
        let outcome = self.payment_outcome(id, amount_idr);
        let serials = (outcome == PaymentOutcome::Applied).then(|| {
            self.issue(place, id, name.clone());
            self.serials(id)
        });
        self.totals.received_idr += amount_idr;
        if serials.is_some() {
            self.totals.payments_applied += 1;
            self.totals.issued_value_idr += amount_idr;
        }
        if let Some(reason) = RefundReason::of(outcome) {
            self.totals.payments_refund_due += 1;
            self.owe(place, name, id, amount_idr, reason);
        }
        let payment = Payment { order: id, amount_idr, outcome, recorded: place, recorded_at_ms: self.now_ms };
        self.payments.insert(name.clone(), payment);
        executed(place, Answer::Recorded { outcome, serials })
    }

    fn payment_outcome(&self, id: OrderId, amount_idr: i64) -> PaymentOutcome {
        let Some(order) = self.orders.get(&id) else { return PaymentOutcome::OrderUnknown };
        let too_few = || self.series.get(&order.series).is_none_or(|series| series.free() < u64::from(order.quantity));
        match order.state {
            OrderState::Cancelled => PaymentOutcome::OrderCancelled,
            OrderState::Voided => PaymentOutcome::OrderVoided,
            OrderState::Issued => PaymentOutcome::AlreadyPaid,
            _ if order.amount_idr != amount_idr => PaymentOutcome::WrongAmount,
            OrderState::Expired if too_few() => PaymentOutcome::NoStock,
            OrderState::Expired | OrderState::AwaitingPayment => PaymentOutcome::Applied,
        }
    }

    fn issue(&mut self, place: Place, id: OrderId, paid_by: PaymentName) {
        let (code, quantity) = self.leave_state(id, OrderState::Issued, place);
        self.totals.orders_issued += 1;
        self.totals.serials_issued += u64::from(quantity);
        let series = self.series.get_mut(&code).expect("an order's series was there when it was placed");
        let first_number = series.first_number + series.given_out();
        series.issued += u64::from(quantity);
        let issued = Issued { first_number, paid_by, at_ms: self.now_ms, documents: Vec::new() };
        self.orders.get_mut(&id).expect("looked up by the caller").issued = Some(Box::new(issued));
    }

    /// Of an order that was issued.
    fn serials(&self, id: OrderId) -> (SeriesCode, u64, u32) {
        let order = &self.orders[&id];
        let issued = order.issued.as_ref().expect("a payment was applied to it");
        (order.series, issued.first_number, order.quantity)
    }

    /// Takes an order out of its state, with its reservation if it had one.
    pub(super) fn leave_state(&mut self, id: OrderId, to: OrderState, place: Place) -> (SeriesCode, u32) {
        let order = self.orders.get_mut(&id).expect("looked up by the caller");
        match order.state {
            OrderState::AwaitingPayment => {
                self.totals.orders_awaiting_payment -= 1;
                self.waiting.remove(&(order.expires_at_ms, id));
                let series = self.series.get_mut(&order.series).expect("an order's series was there when it was placed");
                series.reserved -= u64::from(order.quantity);
            }
            OrderState::Expired => self.totals.orders_expired -= 1,
            OrderState::Issued => self.totals.orders_issued -= 1,
            OrderState::Cancelled | OrderState::Voided => unreachable!("no arrow leaves these"),
        }
        order.state = to;
        order.settled = Some(Settled { place, at_ms: self.now_ms });
        (order.series, order.quantity)
    }

    fn cancel_order(&mut self, place: Place, id: OrderId) -> Reply {
        let Some(order) = self.orders.get(&id) else { return refused(place, "ORDER_UNKNOWN", vec![]) };
        match (order.state, order.settled) {
            (OrderState::Cancelled, Some(settled)) => replay(settled.place, Answer::Cancelled),
            (OrderState::Issued, _) => refused(place, "ORDER_ISSUED", vec![]),
            (OrderState::Expired, _) => refused(place, "ORDER_EXPIRED", vec![]),
            (OrderState::Voided, _) => refused(place, "ORDER_VOIDED", vec![]),
            _ => {
                self.leave_state(id, OrderState::Cancelled, place);
                self.totals.orders_cancelled += 1;
                executed(place, Answer::Cancelled)
            }
        }
    }

    fn expire(&mut self, place: Place, limit: u32) -> Vec<OrderId> {
        let due = self.waiting.iter().take_while(|(expires_at_ms, _)| *expires_at_ms <= self.now_ms);
        let due: Vec<OrderId> = due.take(limit as usize).map(|&(_, id)| id).collect();
        for id in &due {
            self.leave_state(*id, OrderState::Expired, place);
            self.totals.orders_expired += 1;
        }
        due
    }
}

coded_struct! {
    Settled { place, at_ms }
    Order { account, series, quantity, amount_idr, placed, placed_at_ms, expires_at_ms, state, settled, issued }
    Issued { first_number, paid_by, at_ms, documents }
    Payment { order, amount_idr, outcome, recorded, recorded_at_ms }
    Refund { order, amount_idr, reason, due, settled }
}

#[cfg(test)]
pub(super) mod tests;

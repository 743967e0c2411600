//! Lists that an auditor reads, in two pages.

use rand::RngExt;
use stampede_chaos::history::*;

use super::Maker;
use super::after_issue::refund_seen;

const PAGE_SIZE: u32 = 50;

impl Maker {
    /// Orders of one state, the first pages.
    pub(super) fn list_orders(&mut self) {
        let states = vec![[OrderState::Issued, OrderState::Cancelled][self.random.random_range(0..2)]];
        let wanted = |list: &OrderList, (id, state): (&OrderId, OrderState)| {
            list.states.contains(&state) && list.after.is_none_or(|after| *id > after)
        };
        let mut list = OrderList { states, page_size: PAGE_SIZE, ..OrderList::default() };
        for _ in 0..2 {
            let all = self.ledger.orders.iter();
            let mut ids: Vec<OrderId> = all.filter(|(id, order)| wanted(&list, (id, order.state))).map(|(id, _)| *id).collect();
            ids.sort_unstable();
            let has_more = ids.len() > PAGE_SIZE as usize;
            ids.truncate(PAGE_SIZE as usize);
            let orders = ids.iter().map(|id| self.seen_order(*id)).collect();
            let next_page_token: Text = if has_more { "more".into() } else { "".into() };
            let answer = ReadAnswer::Orders { orders, next_page_token: next_page_token.clone() };
            self.read(0, Request::ListOrders(Box::new(list.clone())), answer);
            if !has_more {
                break;
            }
            (list.after, list.as_of, list.page_token) = (ids.last().copied(), Some(self.index()), next_page_token);
        }
    }

    fn seen_order(&self, id: OrderId) -> OrderSeen {
        wire::order(&self.wire_order(id, &self.ledger.orders[&id], false)).unwrap()
    }

    fn seen_payment(&self, name: &PaymentName) -> PaymentSeen {
        let payment = &self.ledger.payments[name];
        PaymentSeen {
            payment: name.clone(),
            order: payment.order,
            amount_idr: payment.amount_idr,
            outcome: payment.outcome,
            recorded: payment.recorded,
            recorded_at_ms: payment.recorded_at_ms,
            refund: self.ledger.refunds.get(name).map(|refund| refund_seen(name, refund)),
        }
    }

    /// Payments whose money is or was owed back, but for those of this moment; the first page.
    pub(super) fn list_payments(&mut self) {
        let recorded = Period { from_ms: 0, until_ms: self.ledger.now_ms };
        let states = vec![PaymentState::RefundDue, PaymentState::Refunded];
        let list = PaymentList { states, recorded, page_size: PAGE_SIZE, ..PaymentList::default() };
        let owed = self
            .ledger
            .payments
            .iter()
            .filter(|(name, payment)| self.ledger.refunds.contains_key(*name) && recorded.holds(payment.recorded_at_ms));
        let mut payments: Vec<PaymentSeen> = owed.map(|(name, _)| self.seen_payment(name)).collect();
        payments.sort_unstable_by(|one, two| one.payment.cmp(&two.payment));
        let next_page_token = if payments.len() > PAGE_SIZE as usize { "more" } else { "" }.into();
        payments.truncate(PAGE_SIZE as usize);
        let answer = ReadAnswer::Payments { payments, next_page_token };
        self.read(0, Request::ListPayments(Box::new(list)), answer);
    }
}

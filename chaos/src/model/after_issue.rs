//! The rules of what follows an issue: stamps go on documents, orders are voided, money goes back.

use super::ledger::{FIRST_POLICY, Issued, Ledger, Policy, Refund, Settled};
use super::reply::{Answer, Reply, differing, executed, refused, replay};
use crate::history::{Digest, OrderId, OrderState, PaymentName, Place, RefundReason, Text};

impl Ledger {
    /// The policy in force, and its version.
    #[must_use]
    pub fn policy(&self) -> (u32, Policy) {
        let version = u32::try_from(self.policies.len()).expect("each version is a command");
        (version, self.policies.last().copied().unwrap_or(FIRST_POLICY))
    }

    fn now(&self, place: Place) -> Settled {
        Settled { place, at_ms: self.now_ms }
    }

    pub(super) fn void_order(&mut self, place: Place, id: OrderId) -> Reply {
        let Some(order) = self.orders.get(&id) else { return refused(place, "ORDER_UNKNOWN", vec![]) };
        let Some(Issued { paid_by, at_ms, documents, .. }) = order.issued.as_deref() else {
            return refused(place, "ORDER_NOT_ISSUED", vec![]);
        };
        if let (OrderState::Voided, Some(voided)) = (order.state, order.settled) {
            let refund_idr = self.refunds[paid_by].amount_idr;
            return replay(voided.place, Answer::Voided { refund_idr });
        }
        if !documents.is_empty() {
            return refused(place, "ORDER_STAMPED", vec![]);
        }
        let policy = self.policy().1;
        // The last moment of the window is within.
        if self.now_ms > at_ms.saturating_add(policy.void_window_ms) {
            return refused(place, "VOID_WINDOW_CLOSED", vec![]);
        }
        let (paid_by, amount_idr) = (paid_by.clone(), order.amount_idr);
        let (series, quantity) = self.leave_state(id, OrderState::Voided, place);
        let (series, quantity) = (self.series.get_mut(&series).expect("of an order"), u64::from(quantity));
        series.issued -= quantity;
        series.voided += quantity;
        let refund_idr = given_back(amount_idr, policy.void_refund_percent);
        let totals = &mut self.totals;
        totals.orders_voided += 1;
        totals.serials_issued -= quantity;
        totals.serials_voided += quantity;
        totals.issued_value_idr -= amount_idr;
        totals.held_idr += amount_idr - refund_idr;
        self.owe(place, &paid_by, id, refund_idr, RefundReason::Void);
        executed(place, Answer::Voided { refund_idr })
    }

    pub(super) fn owe(&mut self, place: Place, payment: &PaymentName, order: OrderId, amount_idr: i64, reason: RefundReason) {
        let refund = Refund { order, amount_idr, reason, due: self.now(place), settled: None };
        self.refunds.insert(payment.clone(), refund);
        self.refunds_due.insert(place, payment.clone());
        self.totals.refunds_due += 1;
        self.totals.refund_due_idr += amount_idr;
    }

    pub(super) fn stamp_document(&mut self, place: Place, id: OrderId, document: Digest) -> Reply {
        let now = self.now(place);
        let Some(order) = self.orders.get_mut(&id) else { return refused(place, "ORDER_UNKNOWN", vec![]) };
        let Some(issued) = &mut order.issued else { return refused(place, "ORDER_NOT_ISSUED", vec![]) };
        let series = order.series;
        let stamp = |at: usize| Answer::Stamped { series, number: issued.first_number + at as u64 };
        if let Some(at) = issued.documents.iter().position(|(there, _)| *there == document) {
            return replay(issued.documents[at].1.place, stamp(at));
        }
        if order.state == OrderState::Voided {
            return refused(place, "ORDER_VOIDED", vec![]);
        }
        let next = issued.documents.len();
        if next >= order.quantity as usize {
            return refused(place, "ORDER_EXHAUSTED", vec![]);
        }
        let answer = stamp(next);
        issued.documents.push((document, now));
        self.totals.stampings += 1;
        executed(place, answer)
    }

    pub(super) fn settle_refund(&mut self, place: Place, payment: &PaymentName, amount_idr: i64, reference: &Text) -> Reply {
        let now = self.now(place);
        let Some(refund) = self.refunds.get_mut(payment) else { return refused(place, "REFUND_UNKNOWN", vec![]) };
        if let Some((there, settled)) = &refund.settled {
            let differs = differing(&[("amount_idr", refund.amount_idr != amount_idr), ("reference", there != reference)]);
            return if differs.is_empty() {
                replay(settled.place, Answer::RefundSettled)
            } else {
                refused(place, "REFUND_REUSED", differs)
            };
        }
        if refund.amount_idr != amount_idr {
            return refused(place, "REFUND_AMOUNT_WRONG", vec![]);
        }
        refund.settled = Some((reference.clone(), now));
        self.refunds_due.remove(&refund.due.place);
        self.totals.refunds_due -= 1;
        self.totals.refunds_settled += 1;
        self.totals.refund_due_idr -= amount_idr;
        self.totals.refunded_idr += amount_idr;
        executed(place, Answer::RefundSettled)
    }

    pub(super) fn set_policy(&mut self, place: Place, version: u32, percent: u32, window_ms: i64) -> Reply {
        let known = version.checked_sub(1).and_then(|at| self.policies.get(at as usize));
        if let Some(Policy { void_refund_percent, void_window_ms, set: Some(set) }) = known {
            let differs = differing(&[
                ("void_refund_percent", *void_refund_percent != percent),
                ("void_window_ms", *void_window_ms != window_ms),
            ]);
            return if differs.is_empty() {
                replay(set.place, Answer::PolicySet)
            } else {
                refused(place, "POLICY_VERSION_REUSED", differs)
            };
        }
        if version != self.policy().0 + 1 {
            return refused(place, "POLICY_VERSION_SKIPPED", vec![]);
        }
        let set = Some(self.now(place));
        self.policies.push(Policy { void_refund_percent: percent, void_window_ms: window_ms, set });
        self.totals.policy_version = version;
        executed(place, Answer::PolicySet)
    }
}

/// A fraction of a rupiah is rounded up.
fn given_back(amount_idr: i64, percent: u32) -> i64 {
    (amount_idr * i64::from(percent) + 99) / 100
}

#[cfg(test)]
mod tests {
    use super::super::ledger::tests::{SERIES, cancel, expire, outcomes, pay, place, replayed};
    use super::super::log::LoggedCommand;
    use super::*;
    use crate::history::{LedgerTotals, Request};

    fn void(order: u8) -> LoggedCommand {
        LoggedCommand::Client(Request::VoidOrder { order: [order; 16] })
    }

    fn stamp(order: u8, document: u8) -> LoggedCommand {
        LoggedCommand::Client(Request::StampDocument { order: [order; 16], document: [document; 32] })
    }

    fn settle(name: &str, amount_idr: i64, reference: &str) -> LoggedCommand {
        let payment = PaymentName { gateway: "g".into(), payment_id: name.into() };
        LoggedCommand::Client(Request::SettleRefund { payment, amount_idr, reference: reference.into() })
    }

    fn policy(version: u32, void_refund_percent: u32, void_window_ms: i64) -> LoggedCommand {
        LoggedCommand::Client(Request::SetPolicy { version, void_refund_percent, void_window_ms })
    }

    #[test]
    fn a_void_gives_back_three_quarters_and_its_serials_never_come_again() {
        let (ledger, replies) = replayed(&[
            (0, void(1)),
            (0, place(1, 2)),
            (0, void(1)),
            (0, pay("a", 1, 20_000)),
            (0, void(1)),
            (0, void(1)),
            (0, pay("b", 1, 20_000)),
            (0, cancel(1)),
            (0, stamp(1, 7)),
            (0, place(2, 3)),
            (0, pay("c", 2, 30_000)),
            (0, place(3, 1)),
        ]);
        let expected = [
            "ORDER_UNKNOWN",
            "Placed",
            "ORDER_NOT_ISSUED",
            "Applied",
            "Voided { refund_idr: 15000 }",
            "Voided { refund_idr: 15000 } again",
            "OrderVoided",
            "ORDER_VOIDED",
            "ORDER_VOIDED",
            "Placed",
            "Applied",
            "STOCK_EXHAUSTED",
        ];
        assert_eq!(outcomes(&replies), expected);
        assert_eq!(ledger.orders[&[2; 16]].issued.as_ref().map(|issued| issued.first_number), Some(102));
        let LedgerTotals { received_idr, issued_value_idr, refund_due_idr, held_idr, .. } = ledger.totals;
        assert_eq!((received_idr, issued_value_idr, refund_due_idr, held_idr), (70_000, 30_000, 35_000, 5_000));
    }

    #[test]
    fn the_same_document_gets_the_same_stamp_and_a_used_order_is_not_voided() {
        let (ledger, replies) = replayed(&[
            (0, stamp(1, 7)),
            (0, place(1, 2)),
            (0, stamp(1, 7)),
            (0, pay("a", 1, 20_000)),
            (0, stamp(1, 7)),
            (0, stamp(1, 8)),
            (0, stamp(1, 7)),
            (0, stamp(1, 9)),
            (0, void(1)),
        ]);
        let stamped = |number: u64| format!("{:?}", Answer::Stamped { series: SERIES, number });
        let expected = [
            "ORDER_UNKNOWN".to_owned(),
            "Placed".into(),
            "ORDER_NOT_ISSUED".into(),
            "Applied".into(),
            stamped(100),
            stamped(101),
            stamped(100) + " again",
            "ORDER_EXHAUSTED".into(),
            "ORDER_STAMPED".into(),
        ];
        assert_eq!(outcomes(&replies), expected);
        assert_eq!(ledger.totals.stampings, 2);
    }

    #[test]
    fn the_window_of_the_policy_in_force_closes_after_its_last_moment() {
        let (ledger, replies) = replayed(&[
            (0, place(1, 1)),
            (0, place(2, 1)),
            (5, pay("a", 1, 10_000)),
            (5, pay("b", 2, 10_000)),
            (6, policy(2, 33, 1_000)),
            (6, policy(1, 33, 1_000)),
            (7, policy(1, 33, 1_000)),
            (7, policy(1, 34, 1_000)),
            (1_005, void(1)),
            (1_006, void(2)),
        ]);
        let expected = [
            "Placed",
            "Placed",
            "Applied",
            "Applied",
            "POLICY_VERSION_SKIPPED",
            "PolicySet",
            "PolicySet again",
            "POLICY_VERSION_REUSED",
            "Voided { refund_idr: 3300 }",
            "VOID_WINDOW_CLOSED",
        ];
        assert_eq!(outcomes(&replies), expected);
        assert_eq!(ledger.totals.policy_version, 1);
    }

    #[test]
    fn what_is_owed_back_is_paid_once_and_whole() {
        let (ledger, replies) = replayed(&[
            (0, place(1, 1)),
            (0, pay("a", 1, 10_001)),
            (0, pay("b", 1, 10_000)),
            (1, settle("a", 10_000, "t-1")),
            (1, settle("a", 10_001, "t-1")),
            (1, settle("a", 10_001, "t-1")),
            (1, settle("a", 10_001, "t-2")),
            (1, settle("b", 10_000, "t-3")),
            (1, settle("c", 10_000, "t-3")),
            (2_000, expire(1)),
        ]);
        let expected = [
            "Placed",
            "WrongAmount",
            "Applied",
            "REFUND_AMOUNT_WRONG",
            "RefundSettled",
            "RefundSettled again",
            "REFUND_REUSED",
            "REFUND_UNKNOWN",
            "REFUND_UNKNOWN",
            "Expired",
        ];
        assert_eq!(outcomes(&replies), expected);
        assert!(ledger.refunds_due.is_empty());
        let LedgerTotals { refunds_due, refunds_settled, refund_due_idr, refunded_idr, .. } = ledger.totals;
        assert_eq!((refunds_due, refunds_settled, refund_due_idr, refunded_idr), (0, 1, 0, 10_001));
    }

    #[test]
    fn a_fraction_of_a_rupiah_is_rounded_up() {
        assert_eq!([given_back(10_001, 33), given_back(10_000, 33), given_back(1, 1)], [3_301, 3_300, 1]);
    }
}

//! Predicates over a whole ledger, one file for each group. They count from the records alone and share no code with the
//! commands that they judge. [`contradictions`] alone asks the kept sums instead. Five of them compare two states ([`order_moved_along_arrows`], [`payment_never_changed`],
//! [`refund_only_settled`], [`stamping_never_changed`], [`policy_never_changed`]); the others judge one, all of them in [`violations`]. A ledger on disk is judged by absorbing its scan into a [`MemoryLedger`].
//!
//! Not here: what only the outside can see (lost acknowledgements, answers that differ); the drill judges that.

mod arrows;
mod money;
mod payments;
mod refunds;
mod serials;
mod stampings;
mod stock;
mod sums;
mod totals;

pub use arrows::order_moved_along_arrows;
pub use money::{each_order_is_priced_and_paid_exactly, each_payment_counts_once, money_adds_up};
pub use payments::payment_never_changed;
pub use refunds::{issued_or_refunded_never_both, policies_follow_each_other, policy_never_changed, refund_only_settled};
pub use serials::{no_serial_twice, serials_within_their_series};
pub use stampings::{a_document_has_one_stamp, stamping_never_changed};
pub use stock::stock_adds_up;
pub use sums::{Contradiction, contradictions};
pub use totals::totals_are_the_sums;

use super::ledger::MemoryLedger;
use super::names::{DocumentDigest, OrderId, PaymentName, SeriesCode};

/// What is broken, and where to look.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("stamp {number} of series {series} is issued to order {first} and to order {second}")]
    DuplicateSerial { series: SeriesCode, number: u64, first: OrderId, second: OrderId },
    #[error("order {order} has stamps outside of its series' issued run")]
    SerialOutsideRange { order: OrderId },
    #[error("series {series}: {what} is {kept}, its orders say {counted}")]
    StockUnaccounted { series: SeriesCode, what: &'static str, kept: u64, counted: u64 },
    #[error(
        "Rp{received} received, but Rp{issued_value} issued, Rp{held} held, Rp{refund_due} refund due and Rp{refunded} refunded"
    )]
    MoneyUnaccounted { received: u128, issued_value: u128, held: u128, refund_due: u128, refunded: u128 },
    #[error("order {order} is issued without a payment that was applied to it")]
    IssuedWithoutPayment { order: OrderId },
    #[error("payment {payment} is applied, but order {order} is not issued for it")]
    AppliedWithoutIssue { payment: PaymentName, order: OrderId },
    #[error("payments {first} and {second} are both applied to order {order}")]
    PaymentCountedTwice { order: OrderId, first: PaymentName, second: PaymentName },
    #[error("payment {payment} {conflict}")]
    RefundMisplaced { payment: PaymentName, conflict: &'static str },
    #[error("policy {version} does not follow the one before, or has changed")]
    PolicyMisplaced { version: u32 },
    #[error("the stamp of order {order} on document {document} {conflict}")]
    StampMisplaced { order: OrderId, document: DocumentDigest, conflict: &'static str },
    #[error("the amount of order {order} is not its quantity times the face value, or was not what was paid")]
    AmountWrong { order: OrderId },
    #[error("the totals keep {field} as {kept}, the records say {counted}")]
    TotalsWrong { field: &'static str, kept: u128, counted: u128 },
    #[error("order {order} {strayed}")]
    OrderStrayed { order: OrderId, strayed: &'static str },
    #[error("payment {payment} {changed}")]
    PaymentChanged { payment: PaymentName, changed: &'static str },
    #[error("the refund of payment {payment} {changed}")]
    RefundChanged { payment: PaymentName, changed: &'static str },
    #[error("the stamp of order {order} on document {document} {changed}")]
    StampingChanged { order: OrderId, document: DocumentDigest, changed: &'static str },
}

/// Every predicate over one state; empty if all hold.
#[must_use]
pub fn violations(ledger: &MemoryLedger) -> Vec<Violation> {
    [
        no_serial_twice(ledger),
        serials_within_their_series(ledger),
        stock_adds_up(ledger),
        money_adds_up(ledger),
        each_order_is_priced_and_paid_exactly(ledger),
        each_payment_counts_once(ledger),
        issued_or_refunded_never_both(ledger),
        policies_follow_each_other(ledger),
        a_document_has_one_stamp(ledger),
        totals_are_the_sums(ledger),
    ]
    .concat()
}

/// A small ledger with an order in every state, made by the commands, for the predicates' own tests.
#[cfg(test)]
mod fixture {
    use crate::domain::series::SeriesTerms;
    use crate::domain::{
        AccountId, Change, Command, DocumentDigest, Gateway, LedgerTime, MemoryLedger, Order, OrderId, PaymentId, PaymentName,
        Place, Quantity, Rupiah, SeriesCode, SettlementReference, StampNumber, apply, clamp_time,
    };

    pub(super) const AWAITING: OrderId = OrderId::from_bytes([1; 16]);
    pub(super) const ISSUED: OrderId = OrderId::from_bytes([2; 16]);
    pub(super) const ALSO_ISSUED: OrderId = OrderId::from_bytes([3; 16]);
    const CANCELLED: OrderId = OrderId::from_bytes([4; 16]);
    const EXPIRED: OrderId = OrderId::from_bytes([5; 16]);
    pub(super) const VOIDED: OrderId = OrderId::from_bytes([6; 16]);
    pub(super) const DOCUMENT: DocumentDigest = DocumentDigest::from_bytes([8; 32]);

    pub(super) fn series() -> SeriesCode {
        SeriesCode::new("A24").expect("valid")
    }

    pub(super) fn payment(id: &str) -> PaymentName {
        PaymentName { gateway: Gateway::new("midtrans").expect("valid"), payment_id: PaymentId::new(id).expect("valid") }
    }

    pub(super) fn clean() -> MemoryLedger {
        let first_number = StampNumber::new(100).expect("valid");
        let terms = SeriesTerms::new(series(), first_number, 20, 10_000, 1_000, [7; 8]).expect("valid");
        let account = AccountId::new("a").expect("valid");
        let quantity = Quantity::new(3).expect("valid");
        let place = |order| Command::PlaceOrder { order, account: account.clone(), series: series(), quantity };
        let pay = |id, order, idr| Command::RecordPayment { payment: payment(id), order, amount: Rupiah::from_idr(idr) };
        let reference = SettlementReference::new("t1").expect("valid");
        let script = [
            (0, Command::OpenSeries(terms)),
            (1_000, place(EXPIRED)),
            (1_000, place(ISSUED)),
            (1_000, place(ALSO_ISSUED)),
            (1_000, place(CANCELLED)),
            (1_500, pay("p1", ISSUED, 30_000)),
            (1_500, pay("p2", ALSO_ISSUED, 30_000)),
            (1_600, pay("p3", ISSUED, 30_000)),
            (1_700, Command::CancelOrder { order: CANCELLED }),
            (2_000, Command::ExpireOrders { limit: 10 }),
            (2_000, place(AWAITING)),
            (2_100, pay("p4", AWAITING, 29_999)),
            // Behind the others, so that their numbers stay.
            (2_200, place(VOIDED)),
            (2_300, pay("p5", VOIDED, 30_000)),
            (2_400, Command::VoidOrder { order: VOIDED }),
            (2_500, Command::StampDocument { order: ALSO_ISSUED, document: DOCUMENT }),
            (2_600, Command::SettleRefund { payment: payment("p3"), amount: Rupiah::from_idr(30_000), reference }),
        ];
        let mut ledger = MemoryLedger::default();
        for (log_index, (at, command)) in (1..).zip(script) {
            let Ok((now, clock)) = clamp_time(&ledger, LedgerTime(at));
            ledger.absorb_all(clock);
            let Ok(decision) = apply(&ledger, Place { log_index, offset: 0 }, now, &command);
            ledger.absorb_all(decision.changes);
        }
        ledger
    }

    impl MemoryLedger {
        pub(super) fn absorb_all(&mut self, changes: impl IntoIterator<Item = Change>) {
            changes.into_iter().for_each(|change| self.absorb(change));
        }

        pub(super) fn damage_order(&mut self, id: OrderId, damage: impl FnOnce(&mut Order)) {
            let mut order = self.peek_order(id).expect("in the fixture").clone();
            damage(&mut order);
            self.absorb(Change::Order(order));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_made_by_the_commands_breaks_nothing() {
        assert_eq!(violations(&fixture::clean()), []);
    }

    #[test]
    fn an_empty_ledger_breaks_nothing() {
        assert_eq!(violations(&MemoryLedger::default()), []);
    }
}

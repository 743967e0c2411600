//! What the check of `money` catches, and what it lets pass.

use super::*;
use crate::checks::made::{AMOUNT_IDR, at, name, order, payment, records, refund};
use crate::history::{OrderSeen, PaymentSeen, RefundReason, RefundSeen, SettlementSeen, StampingSeen, StatusSample};

/// Each field another multiple of `n`.
fn totals(n: u32) -> LedgerTotals {
    let (count, idr) = (|times: u32| u64::from(n * times), |times: u32| i64::from(n * times));
    LedgerTotals {
        orders_awaiting_payment: count(1),
        orders_issued: count(2),
        orders_cancelled: count(3),
        orders_expired: count(4),
        orders_voided: count(5),
        serials_issued: count(6),
        serials_voided: count(7),
        stampings: count(8),
        payments_applied: count(9),
        payments_refund_due: count(10),
        refunds_due: count(11),
        refunds_settled: count(12),
        received_idr: idr(13),
        issued_value_idr: idr(14),
        held_idr: idr(15),
        refund_due_idr: idr(16),
        refunded_idr: idr(17),
        // (One for all lots.)
        policy_version: 0,
    }
}

#[test]
fn sums_of_lots_add_up_field_by_field() {
    let mut sums = totals(2);
    add_all(&mut sums, &totals(3));
    assert_eq!(sums, totals(5));
}

#[test]
fn what_was_received_is_issued_held_due_or_refunded() {
    let sums = |[received_idr, issued_value_idr, held_idr, refund_due_idr, refunded_idr]: [i64; 5]| LedgerTotals {
        received_idr,
        issued_value_idr,
        held_idr,
        refund_due_idr,
        refunded_idr,
        ..LedgerTotals::default()
    };
    assert!(balances(&sums([1_111, 1_000, 100, 10, 1])));
    assert!(!balances(&sums([1_111, 1_000, 100, 10, 2])) && !balances(&sums([1_110, 1_000, 100, 10, 1])));
    assert!(!balances(&sums([i64::MIN, i64::MAX, 1, 0, 0])), "a sum that wraps is none");
}

#[test]
fn a_lot_sums_to_what_its_records_say() {
    use OrderState::{AwaitingPayment, Cancelled, Expired, Issued, Voided};
    use PaymentOutcome::{AlreadyPaid, Applied};
    let named = |id: u8, state| OrderSeen { order: [id; 16], paid_by: Some(name(&id.to_string())), ..order(state) };
    let orders = [AwaitingPayment, Cancelled, Expired, Issued, Voided].map(|state| named(state as u8, state));
    let paid = |id: u8, outcome| PaymentSeen { payment: name(&id.to_string()), ..payment(outcome) };
    let payments = [paid(Issued as u8, Applied), paid(Voided as u8, Applied), paid(7, AlreadyPaid)];
    let settled = SettlementSeen { reference: "back".into(), place: at(7), settled_at_ms: 70 };
    let void = RefundSeen {
        payment: name(&(Voided as u8).to_string()),
        amount_idr: 22_500,
        settled: Some(settled),
        ..refund(RefundReason::Void)
    };
    let whole = RefundSeen { payment: name("7"), ..refund(RefundReason::AlreadyPaid) };
    let mut records = records(&orders, &payments, &[void, whole]);
    let stamping = StampingSeen { series: *b"A24", number: 1_000, place: at(6), stamped_at_ms: 60 };
    records.stampings.insert(([Issued as u8; 16], [1; 32]), stamping);
    let expected = LedgerTotals {
        orders_awaiting_payment: 1,
        orders_issued: 1,
        orders_cancelled: 1,
        orders_expired: 1,
        orders_voided: 1,
        serials_issued: 3,
        serials_voided: 3,
        stampings: 1,
        payments_applied: 2,
        payments_refund_due: 1,
        refunds_due: 1,
        refunds_settled: 1,
        received_idr: 3 * AMOUNT_IDR,
        issued_value_idr: AMOUNT_IDR,
        held_idr: AMOUNT_IDR - 22_500,
        refund_due_idr: AMOUNT_IDR,
        refunded_idr: 22_500,
        policy_version: 0,
    };
    assert_eq!(count(&records), expected);
}

#[test]
fn sums_are_judged_where_the_log_is_known_and_before_its_first_entry() {
    let off_balance = LedgerTotals { received_idr: 1, ..LedgerTotals::default() };
    for (applied_index, hole, checked) in [(0, false, 1), (0, true, 0), (5, false, 0), (5, true, 0)] {
        let sample = StatusSample { applied_index, totals: Some(off_balance), ..StatusSample::default() };
        let mut evidence = Evidence { statuses: vec![sample], ..Evidence::default() };
        evidence.log.hole = hole.then(|| "a hole".into());
        let finding = money_adds_up(&evidence, &Replay::default(), &Sums::default());
        assert_eq!((finding.checked, finding.violations), (checked, checked), "{applied_index} {hole}");
    }
}

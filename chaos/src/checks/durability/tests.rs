//! What the check of `durability` catches, and what it lets pass.

use super::*;
use crate::checks::made::{
    AMOUNT_IDR, ORDER, SERIES, at, call, judged, lot, name, order, pay, payment, place, records, refund, scan, serials, written,
};
use crate::history::{OrderSeen, PaymentSeen, PolicySeen, RefundReason, RefundSeen, SerialsSeen, SettlementSeen, StampingSeen};
use crate::proto::admin::Series;

const PLACED: WriteAnswer = WriteAnswer::Placed { amount_idr: AMOUNT_IDR, expires_at_ms: 60_020 };

/// Whether a call that was acknowledged at an index is lost.
fn is_lost_of(scan: &Scan, records: &ScanRecords, request: Request, log_index: u64, answer: WriteAnswer) -> bool {
    let op = call(1, [1, 2], request, written(log_index, answer));
    let Outcome::Written(written) = &op.answers[0].outcome else { unreachable!() };
    what_is_lost(scan, records, &op, written).is_some()
}

fn is_lost(records: &ScanRecords, request: Request, log_index: u64, answer: WriteAnswer) -> bool {
    is_lost_of(&scan(1, 9), records, request, log_index, answer)
}

#[test]
fn an_order_is_there_as_it_was_placed() {
    let there = || order(OrderState::AwaitingPayment);
    for (orders, expected) in [
        (vec![there()], false),
        (vec![], true),
        (vec![OrderSeen { placed: at(3), ..there() }], true),
        (vec![OrderSeen { quantity: 2, ..there() }], true),
        (vec![OrderSeen { account: "other".into(), ..there() }], true),
    ] {
        assert_eq!(is_lost(&records(&orders, &[], &[]), place(3), 2, PLACED), expected, "{orders:?}");
    }
}

#[test]
fn a_payment_is_there_as_it_was_recorded() {
    let answer = || WriteAnswer::Recorded { outcome: PaymentOutcome::AlreadyPaid, serials: None };
    let there = || payment(PaymentOutcome::AlreadyPaid);
    for (payments, expected) in [
        (vec![there()], false),
        (vec![], true),
        (vec![PaymentSeen { recorded: at(6), ..there() }], true),
        (vec![PaymentSeen { order: [2; 16], ..there() }], true),
        (vec![PaymentSeen { amount_idr: 1, ..there() }], true),
        (vec![PaymentSeen { outcome: PaymentOutcome::NoStock, ..there() }], true),
    ] {
        assert_eq!(is_lost(&records(&[], &payments, &[]), pay("one"), 5, answer()), expected, "{payments:?}");
    }
}

#[test]
fn an_issued_order_keeps_its_serials_also_when_it_is_voided() {
    let told = |serials| WriteAnswer::Recorded { outcome: PaymentOutcome::Applied, serials };
    let noticed = || WriteAnswer::Noticed { outcome: PaymentOutcome::Applied };
    let issued = || order(OrderState::Issued);
    let others = || SerialsSeen { first_number: 7, ..serials() };
    let expired = OrderSeen { serials: Some(serials()), ..order(OrderState::Expired) };
    for (there, answer, expected) in [
        (Some(issued()), told(Some(serials())), false),
        (Some(issued()), noticed(), false),
        (Some(OrderSeen { settled: Some(at(8)), ..order(OrderState::Voided) }), told(Some(serials())), false),
        (None, told(Some(serials())), true),
        (Some(issued()), told(None), true),
        (Some(issued()), told(Some(others())), true),
        (Some(OrderSeen { serials: None, ..issued() }), told(None), true),
        (Some(OrderSeen { serials: None, ..issued() }), noticed(), true),
        (Some(OrderSeen { settled: Some(at(8)), ..issued() }), told(Some(serials())), true),
        (Some(expired), told(Some(serials())), true),
    ] {
        let orders: Vec<OrderSeen> = there.into_iter().collect();
        let records = records(&orders, &[payment(PaymentOutcome::Applied)], &[]);
        assert_eq!(is_lost(&records, pay("one"), 5, answer.clone()), expected, "{orders:?} {answer:?}");
    }
}

#[test]
fn a_cancelled_or_voided_order_is_there_as_such_since_that_place() {
    use OrderState::{Cancelled, Expired, Issued, Voided};
    let void = WriteAnswer::Voided { refund_idr: 1 };
    for (request, answer, state, other) in [
        (Request::CancelOrder { order: ORDER }, WriteAnswer::Cancelled, Cancelled, Expired),
        (Request::VoidOrder { order: ORDER }, void, Voided, Issued),
    ] {
        let lost = |orders: &[OrderSeen]| is_lost(&records(orders, &[], &[]), request.clone(), 5, answer.clone());
        assert!(!lost(&[order(state)]), "{state:?}");
        assert!(lost(&[]) && lost(&[order(other)]), "{state:?}");
        assert!(lost(&[OrderSeen { settled: Some(at(6)), ..order(state) }]), "{state:?}");
    }
}

#[test]
fn a_stamp_is_on_its_document() {
    let document = [7; 32];
    let stamped = WriteAnswer::Stamped { series: SERIES, number: 1_000, code: "".into() };
    for (there, expected) in [(Some((6, 1_000)), false), (Some((6, 1_001)), true), (Some((7, 1_000)), true), (None, true)] {
        let stamping = |(index, number)| StampingSeen { series: SERIES, number, place: at(index), stamped_at_ms: 60 };
        let mut records = records(&[], &[], &[]);
        records.stampings.extend(there.map(|there| ((ORDER, document), stamping(there))));
        let request = Request::StampDocument { order: ORDER, document };
        assert_eq!(is_lost(&records, request, 6, stamped.clone()), expected, "{there:?}");
    }
}

#[test]
fn a_refund_is_settled_as_it_was_told() {
    let settled = |index, reference: &str, amount_idr| {
        let settled = SettlementSeen { reference: reference.into(), place: at(index), settled_at_ms: 70 };
        RefundSeen { amount_idr, settled: Some(settled), ..refund(RefundReason::AlreadyPaid) }
    };
    for (refunds, expected) in [
        (vec![settled(7, "back", AMOUNT_IDR)], false),
        (vec![settled(8, "back", AMOUNT_IDR)], true),
        (vec![settled(7, "other", AMOUNT_IDR)], true),
        (vec![settled(7, "back", 1)], true),
        (vec![refund(RefundReason::AlreadyPaid)], true),
        (vec![], true),
    ] {
        let request = Request::SettleRefund { payment: name("one"), amount_idr: AMOUNT_IDR, reference: "back".into() };
        let lost = is_lost(&records(&[], &[], &refunds), request, 7, WriteAnswer::RefundSettled);
        assert_eq!(lost, expected, "{refunds:?}");
    }
}

#[test]
fn series_and_policies_are_there() {
    let series = |series_code: &str| Scan {
        series: vec![Series { series_code: series_code.into(), ..Series::default() }],
        ..scan(1, 9)
    };
    let (first_number, capacity, face_value_idr, payment_window_ms) = (1, 10, 10_000, 60_000);
    let open = Request::OpenSeries { series: SERIES, first_number, capacity, face_value_idr, payment_window_ms };
    let none = ScanRecords::default();
    let opened = |scan: &Scan| !is_lost_of(scan, &none, open.clone(), 1, WriteAnswer::SeriesOpened);
    assert!(opened(&series("A24")) && !opened(&series("B24")) && !opened(&scan(1, 9)));
    let policy = |version, index| {
        let seen = PolicySeen { version, void_refund_percent: 60, void_window_ms: 1, set: Some(at(index)), set_at_ms: 60 };
        Scan { policies: vec![seen], ..scan(1, 9) }
    };
    let set = Request::SetPolicy { version: 1, void_refund_percent: 60, void_window_ms: 1 };
    let is_set = |scan: &Scan| !is_lost_of(scan, &none, set.clone(), 6, WriteAnswer::PolicySet);
    assert!(is_set(&policy(1, 6)) && !is_set(&policy(2, 6)) && !is_set(&policy(1, 7)) && !is_set(&scan(1, 9)));
}

/// A placing that was acknowledged at an index, and two replicas that lack it: one has applied all, the other four entries.
fn lacking(log_index: u64) -> Finding {
    let scans = [(1, scan(1, 9)), (2, scan(2, 4))].into_iter().collect();
    let evidence = Evidence { scans, ..Evidence::default() };
    let there = records(&[OrderSeen { placed: at(log_index), ..order(OrderState::AwaitingPayment) }], &[], &[]);
    let mut lot = lot(vec![call(1, [1, 2], place(3), written(log_index, PLACED))]);
    lot.scans = [(1, there)].into_iter().collect();
    judged(&evidence, &lot, no_acknowledged_op_is_lost)
}

#[test]
fn a_replica_that_is_behind_has_lost_only_what_it_had_applied() {
    let of_what_it_had = lacking(4);
    assert_eq!((of_what_it_had.violations, of_what_it_had.inconclusive.len()), (1, 0), "{of_what_it_had:?}");
    let of_what_came_later = lacking(5);
    assert_eq!((of_what_came_later.violations, of_what_came_later.inconclusive.len()), (0, 1), "{of_what_came_later:?}");
    // No replica has applied so much: it is nobody's delay.
    let of_what_nobody_has = lacking(10);
    assert_eq!((of_what_nobody_has.violations, of_what_nobody_has.inconclusive.len()), (1, 0), "{of_what_nobody_has:?}");
}

#[test]
fn of_a_replica_that_is_behind_what_it_had_applied_is_looked_for() {
    let scans = [(1, scan(1, 9)), (2, scan(2, 4))].into_iter().collect();
    let evidence = Evidence { scans, ..Evidence::default() };
    let there = records(&[OrderSeen { placed: at(4), ..order(OrderState::Cancelled) }], &[], &[]);
    let cancel = call(1, [1, 2], Request::CancelOrder { order: ORDER }, written(5, WriteAnswer::Cancelled));
    let mut lot = lot(vec![cancel, call(2, [1, 2], place(3), written(4, PLACED))]);
    lot.scans = [(1, there)].into_iter().collect();
    let finding = judged(&evidence, &lot, no_acknowledged_op_is_lost);
    assert_eq!((finding.violations, finding.inconclusive.len()), (1, 1), "{finding:?}");
    assert_eq!(finding.shown[0].ops, [2]);
}

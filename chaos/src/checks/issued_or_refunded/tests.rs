//! What the check of `issued_or_refunded` catches, and what it lets pass.

use super::*;
use crate::checks::made::{AMOUNT_IDR, ORDER, at, call, name, order, pay, payment, read, records, refund, written};
use crate::history::{Consistency, SettlementSeen};

const LOOK: Request = Request::GetOrder { order: ORDER, consistency: Consistency::Linearizable };

fn ops(called: &[(Request, Outcome)]) -> Vec<Op> {
    (1..).zip(called).map(|(op, (request, outcome))| call(op, [op, op], request.clone(), outcome.clone())).collect()
}

/// The ops that each violation names.
fn broken_by(called: &[(Request, Outcome)]) -> Vec<Vec<u64>> {
    let (ops, mut finding) = (ops(called), Finding::default());
    let mut seen = Seen::default();
    ops.iter().for_each(|op| seen.see_call(&mut finding, op));
    seen.conclude(&mut finding);
    finding.shown.into_iter().map(|shown| shown.ops).collect()
}

fn paid(payment_id: &str, outcome: PaymentOutcome) -> (Request, Outcome) {
    (pay(payment_id), written(5, WriteAnswer::Recorded { outcome, serials: None }))
}

fn noticed(payment_id: &str, outcome: PaymentOutcome) -> (Request, Outcome) {
    (pay(payment_id), written(5, WriteAnswer::Noticed { outcome }))
}

fn shown_payment(outcome: PaymentOutcome, refund: Option<RefundSeen>) -> (Request, Outcome) {
    let request = Request::GetPayment { payment: name("one"), consistency: Consistency::Linearizable };
    (request, read(ReadAnswer::Payment(Box::new(PaymentSeen { refund, ..payment(outcome) }))))
}

fn shown_order(state: OrderState, stamped: u32) -> (Request, Outcome) {
    (LOOK, read(ReadAnswer::Order(Box::new(OrderSeen { stamped, ..order(state) }))))
}

fn verified(answer: ReadAnswer) -> (Request, Outcome) {
    (Request::VerifySerial { code: "".into(), consistency: Consistency::Linearizable, document: None }, read(answer))
}

#[test]
fn a_payment_has_one_outcome_and_an_order_one_payment_that_was_applied() {
    use PaymentOutcome::{AlreadyPaid, Applied};
    let first_and_second: &[&[u64]] = &[&[1, 2]];
    type Row = ([(Request, Outcome); 2], &'static [&'static [u64]]);
    let rows: [Row; 8] = [
        ([paid("one", Applied), noticed("one", Applied)], &[]),
        ([paid("one", Applied), noticed("one", AlreadyPaid)], first_and_second),
        ([noticed("one", AlreadyPaid), paid("one", Applied)], first_and_second),
        ([paid("one", Applied), shown_payment(AlreadyPaid, None)], first_and_second),
        ([paid("one", Applied), paid("two", Applied)], first_and_second),
        ([shown_order(OrderState::Issued, 0), paid("two", Applied)], first_and_second),
        ([paid("one", Applied), paid("two", AlreadyPaid)], &[]),
        ([paid("one", AlreadyPaid), paid("two", AlreadyPaid)], &[]),
    ];
    for (called, expected) in rows {
        assert_eq!(broken_by(&called), expected, "{called:?}");
    }
}

#[test]
fn a_refund_stays_what_it_became_due_as_and_is_settled_once() {
    let due = || refund(RefundReason::AlreadyPaid);
    let settled = |reference: &str| {
        let settled = SettlementSeen { reference: reference.into(), place: at(7), settled_at_ms: 70 };
        RefundSeen { settled: Some(settled), ..due() }
    };
    for (shown, expected) in [
        (vec![due(), due()], vec![]),
        (vec![due(), RefundSeen { amount_idr: 1, ..due() }], vec![vec![1, 2]]),
        (vec![due(), RefundSeen { due: at(6), ..due() }], vec![vec![1, 2]]),
        // (Also not what the payment came to.)
        (vec![RefundSeen { reason: RefundReason::NoStock, ..due() }, due()], vec![vec![1, 2], vec![1]]),
        (vec![due(), settled("a"), due(), settled("a")], vec![]),
        (vec![settled("a"), settled("b")], vec![vec![1, 2]]),
        (vec![due(), settled("a"), settled("b")], vec![vec![2, 3]]),
        (vec![settled("a"), due(), settled("b")], vec![vec![1, 3]]),
    ] {
        let called: Vec<_> = shown.into_iter().map(|refund| shown_payment(PaymentOutcome::AlreadyPaid, Some(refund))).collect();
        let mut broken = broken_by(&called);
        broken.iter_mut().for_each(|ops| ops.dedup());
        assert_eq!(broken, expected, "{called:?}");
    }
}

#[test]
fn a_refund_is_owed_for_what_its_payment_came_to() {
    use PaymentOutcome::{AlreadyPaid, Applied};
    for (outcome, reason, is_broken) in [
        (Applied, RefundReason::Void, false),
        (AlreadyPaid, RefundReason::AlreadyPaid, false),
        (AlreadyPaid, RefundReason::WrongAmount, true),
        (AlreadyPaid, RefundReason::Void, true),
        (Applied, RefundReason::AlreadyPaid, true),
    ] {
        let broken = broken_by(&[shown_payment(outcome, Some(refund(reason)))]);
        assert_eq!(!broken.is_empty(), is_broken, "{outcome:?} {reason:?}");
    }
}

#[test]
fn whoever_shows_a_void_and_whoever_shows_a_stamp_contradict_each_other() {
    let document = [7; 32];
    let voids = [
        shown_order(OrderState::Voided, 0),
        (Request::VoidOrder { order: ORDER }, written(6, WriteAnswer::Voided { refund_idr: 1 })),
        verified(ReadAnswer::SerialVoided { order: ORDER, issued_at_ms: 50, voided_at_ms: 60 }),
        shown_payment(PaymentOutcome::Applied, Some(refund(RefundReason::Void))),
    ];
    let stamps = [
        shown_order(OrderState::Issued, 1),
        (
            Request::StampDocument { order: ORDER, document },
            written(6, WriteAnswer::Stamped { series: *b"A24", number: 1_000, code: "".into() }),
        ),
        verified(ReadAnswer::SerialStamped { order: ORDER, issued_at_ms: 50, stamped_at_ms: 60, document_matches: true }),
    ];
    for void in &voids {
        for stamp in &stamps {
            assert_eq!(broken_by(&[void.clone(), stamp.clone()]), [[1, 2]], "{void:?} {stamp:?}");
        }
        let shows_no_stamp = [shown_order(OrderState::Issued, 0), void.clone()];
        assert!(broken_by(&shows_no_stamp).is_empty(), "{void:?}");
    }
    let paid_back = shown_payment(PaymentOutcome::AlreadyPaid, Some(refund(RefundReason::AlreadyPaid)));
    assert!(broken_by(&[paid_back, stamps[1].clone()]).is_empty(), "money back for another payment voids nothing");
}

fn second(outcome: PaymentOutcome) -> PaymentSeen {
    PaymentSeen { payment: name("two"), ..payment(outcome) }
}

#[test]
fn in_a_scan_an_order_is_issued_exactly_if_a_payment_was_applied_to_it() {
    use OrderState::{AwaitingPayment, Expired, Issued, Voided};
    use PaymentOutcome::{AlreadyPaid, Applied};
    let of_another = PaymentSeen { order: [2; 16], ..payment(Applied) };
    let not_issued = OrderSeen { paid_by: Some(name("one")), ..order(AwaitingPayment) };
    for (records, expected) in [
        (records(&[order(AwaitingPayment)], &[], &[]), 0),
        (records(&[order(Expired)], &[payment(PaymentOutcome::NoStock)], &[]), 0),
        (records(&[order(Issued)], &[payment(Applied), second(AlreadyPaid)], &[]), 0),
        (records(&[order(Voided)], &[payment(Applied)], &[]), 0),
        (records(&[order(Issued)], &[], &[]), 1),
        (records(&[order(Issued)], &[payment(AlreadyPaid)], &[]), 1),
        (records(&[not_issued], &[payment(Applied)], &[]), 1),
        (records(&[order(Issued)], &[payment(Applied), second(Applied)], &[]), 1),
        (records(&[], &[payment(Applied)], &[]), 1),
        // It has none, and its payment has no order.
        (records(&[order(Issued)], &[of_another], &[]), 2),
        (ScanRecords { doubled: vec!["order".into()], ..ScanRecords::default() }, 1),
    ] {
        let mut finding = Finding::default();
        issued_without_payment(&mut finding, 1, &records);
        assert_eq!(finding.violations, expected, "{records:?}");
    }
}

#[test]
fn in_a_scan_a_payment_is_owed_back_exactly_if_it_stands_for_no_stamps() {
    use OrderState::{Issued, Voided};
    use PaymentOutcome::{AlreadyPaid, Applied};
    let void = |amount_idr| RefundSeen { amount_idr, ..refund(RefundReason::Void) };
    let whole = || refund(RefundReason::AlreadyPaid);
    for (state, outcome, refund, expected) in [
        (Issued, Applied, None, 0),
        (Voided, Applied, None, 1),
        (Voided, Applied, Some(void(1)), 0),
        (Voided, Applied, Some(void(AMOUNT_IDR)), 0),
        (Voided, Applied, Some(void(0)), 1),
        (Voided, Applied, Some(void(AMOUNT_IDR + 1)), 1),
        (Issued, Applied, Some(void(1)), 1),
        (Voided, Applied, Some(whole()), 1),
        (Issued, AlreadyPaid, Some(whole()), 0),
        (Issued, AlreadyPaid, None, 1),
        (Issued, AlreadyPaid, Some(RefundSeen { amount_idr: AMOUNT_IDR - 1, ..whole() }), 1),
        (Issued, AlreadyPaid, Some(RefundSeen { reason: RefundReason::WrongAmount, ..whole() }), 1),
    ] {
        let refunds: Vec<RefundSeen> = refund.into_iter().collect();
        let mut finding = Finding::default();
        owed_back(&mut finding, 1, &records(&[order(state)], &[payment(outcome)], &refunds));
        assert_eq!((finding.checked, finding.violations), (1, expected), "{state:?} {outcome:?} {refunds:?}");
    }
    let mut finding = Finding::default();
    owed_back(&mut finding, 1, &records(&[], &[], &[whole()]));
    assert_eq!(finding.violations, 1, "money is owed back that nobody paid");
}

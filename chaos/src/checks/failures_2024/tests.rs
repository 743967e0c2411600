//! What the check of `failures_2024` catches, and what it lets pass.

use super::*;
use crate::checks::made::{
    AMOUNT_IDR, ORDER, at, call, lot, name, of_case, order, pay, payment, records, refund, scan, unknown, written,
};
use crate::checks::timeline::MS;
use crate::evidence::Moment;
use crate::history::{
    OrderSeen, OrderState, PaymentSeen, ProcessEvent, ProcessStep, Receipt, RefundReason, RefundSeen, Request, RunFacts,
    StampingSeen, Written,
};

/// How often each was tried and how often it happened.
type Tally = (u64, u64);

fn tallies(of_orders: &OfOrders) -> [Tally; 3] {
    of_orders.0.each_ref().map(|finding| (finding.checked, finding.violations))
}

fn with_tallies(tallies: [Tally; 3]) -> OfOrders {
    let mut of_orders = OfOrders::default();
    for (finding, tally) in of_orders.0.iter_mut().zip(tallies) {
        (finding.checked, finding.violations) = tally;
    }
    of_orders
}

/// Of one replica, which has applied nine entries: paid but no quota, paid twice, burned stamp.
fn counted(ops: Vec<Op>, records: ScanRecords) -> [Tally; 3] {
    let scans = [(1, scan(1, 9))].into_iter().collect();
    let mut lot = lot(ops);
    lot.scans = [(1, records)].into_iter().collect();
    of_case(&Evidence { scans, ..Evidence::default() }, &lot, |case| tallies(&OfOrders::of(case)))
}

fn paid(log_index: u64) -> Op {
    call(1, [1, 2], pay("one"), written(log_index, WriteAnswer::Recorded { outcome: PaymentOutcome::Applied, serials: None }))
}

#[test]
fn a_payment_that_was_taken_has_its_serials_or_is_owed_back() {
    use PaymentOutcome::{AlreadyPaid, Applied};
    let issued = || order(OrderState::Issued);
    let unserved = OrderSeen { serials: None, ..issued() };
    let of_another = OrderSeen { paid_by: Some(name("two")), ..issued() };
    let owed = refund(RefundReason::AlreadyPaid);
    for (op, records, expected) in [
        (paid(5), records(&[issued()], &[payment(Applied)], &[]), (1, 0)),
        (paid(5), records(&[], &[payment(AlreadyPaid)], &[owed]), (1, 0)),
        (paid(5), records(&[], &[], &[]), (1, 1)),
        (paid(5), records(&[], &[payment(Applied)], &[]), (1, 1)),
        (paid(5), records(&[unserved], &[payment(Applied)], &[]), (1, 1)),
        (paid(5), records(&[of_another], &[payment(Applied)], &[]), (1, 1)),
        (paid(5), records(&[issued()], &[payment(AlreadyPaid)], &[]), (1, 1)),
        (paid(9), records(&[], &[], &[]), (1, 1)),
        // The replica had not got there.
        (paid(10), records(&[], &[], &[]), (1, 0)),
        (call(1, [1, 2], pay("one"), unknown()), records(&[], &[], &[]), (0, 0)),
    ] {
        assert_eq!(counted(vec![op.clone()], records)[0], expected, "{op:?}");
    }
    let refunds_alone = records(&[], &[], &[refund(RefundReason::AlreadyPaid)]);
    assert_eq!(counted(vec![paid(5)], refunds_alone)[0], (1, 1), "owed back, and not there");
}

#[test]
fn a_second_payment_is_owed_back_whole() {
    use PaymentOutcome::{AlreadyPaid, Applied};
    let named = |id, outcome| PaymentSeen { payment: name(id), ..payment(outcome) };
    let owed = |amount_idr| RefundSeen { payment: name("two"), amount_idr, ..refund(RefundReason::AlreadyPaid) };
    let of_another_order = PaymentSeen { order: [2; 16], ..named("two", Applied) };
    for (payments, refunds, expected) in [
        (vec![named("one", Applied)], vec![], (0, 0)),
        (vec![named("one", Applied), named("two", AlreadyPaid)], vec![owed(AMOUNT_IDR)], (1, 0)),
        (vec![named("one", Applied), named("two", AlreadyPaid)], vec![owed(AMOUNT_IDR - 1)], (1, 1)),
        (vec![named("one", Applied), named("two", AlreadyPaid)], vec![], (1, 1)),
        (vec![named("one", Applied), named("two", Applied)], vec![], (1, 1)),
        (vec![named("one", Applied), of_another_order], vec![], (0, 0)),
    ] {
        assert_eq!(counted(vec![], records(&[], &payments, &refunds))[1], expected, "{payments:?}");
    }
}

#[test]
fn a_document_whose_first_stamp_was_lost_gets_the_same_again() {
    let document = [7; 32];
    let stamp = |op, outcome| call(op, [1, 2], Request::StampDocument { order: ORDER, document }, outcome);
    let stamped = |number| written(6, WriteAnswer::Stamped { series: *b"A24", number, code: "".into() });
    let on = |number: Option<u64>| {
        let mut records = records(&[], &[], &[]);
        let seen = |number| StampingSeen { series: *b"A24", number, place: at(6), stamped_at_ms: 60 };
        records.stampings.extend(number.map(|number| ((ORDER, document), seen(number))));
        records
    };
    let mut never_answered = stamp(1, unknown());
    never_answered.answers.clear();
    for (ops, number, expected) in [
        (vec![stamp(1, unknown()), stamp(2, stamped(5))], Some(5), (1, 0)),
        (vec![stamp(1, unknown()), stamp(2, stamped(5))], None, (1, 0)),
        (vec![stamp(1, unknown()), stamp(2, stamped(5))], Some(6), (1, 1)),
        (vec![stamp(1, unknown()), stamp(2, stamped(5)), stamp(3, stamped(6))], Some(5), (1, 1)),
        (vec![never_answered, stamp(2, stamped(5))], Some(5), (1, 0)),
        // Nothing was lost, or nothing was shown after it.
        (vec![stamp(1, stamped(5)), stamp(2, stamped(5))], Some(6), (0, 0)),
        (vec![stamp(1, unknown()), stamp(2, unknown())], Some(5), (0, 0)),
        (vec![stamp(1, unknown()), stamp(2, written(6, WriteAnswer::Cancelled))], Some(5), (0, 0)),
    ] {
        assert_eq!(counted(ops.clone(), on(number))[2], expected, "{ops:?} {number:?}");
    }
}

#[test]
fn what_lots_show_adds_up() {
    let of = |n| [(n, 2 * n), (3 * n, 4 * n), (5 * n, 6 * n)];
    let mut all = with_tallies(of(2));
    all.merge(with_tallies(of(3)));
    assert_eq!(tallies(&all), of(5));
}

/// Node 3 is down from 100 to 200 ms.
fn an_outage() -> Evidence {
    let step = |at_ms: u64, node, step| ProcessEvent { at_ns: at_ms * MS, node, step };
    let exited = ProcessStep::Exited { code: None, signal: Some(9) };
    let ready = ProcessStep::Ready;
    let processes = vec![step(0, 1, ready), step(0, 2, ready), step(0, 3, ready), step(100, 3, exited), step(200, 3, ready)];
    let facts = RunFacts { nodes: vec![1, 2, 3], ..RunFacts::default() };
    Evidence { processes, facts, last_ns: 300 * MS, ..Evidence::default() }
}

#[test]
fn while_a_node_is_down_writes_are_counted_that_were_sent_and_accepted_then() {
    let accepted = |sent_ms: u64, answered_ms: u64| {
        let write = Acknowledged { intended_ns: sent_ms * MS, invoked_ns: sent_ms * MS, returned_ns: answered_ms * MS };
        accepted_in_outages(&an_outage(), &[write])
    };
    assert_eq!([accepted(100, 100), accepted(100, 199), accepted(150, 160)], [1; 3]);
    assert_eq!([accepted(99, 100), accepted(90, 99), accepted(100, 200), accepted(201, 202)], [0; 4]);
}

#[test]
fn the_five_are_told_with_what_the_checks_found() {
    let due = Request::ListRefundsDue { page_size: 1, page_token: "".into(), after: None };
    let read = crate::checks::made::read(crate::history::ReadAnswer::Absent);
    let other = |op| Moment::of(&call(op, [1, 2], pay("one"), read.clone()));
    let moments = vec![Moment::of(&call(1, [1, 2], due, read.clone())), other(2), other(3)];
    let evidence = Evidence { moments, ..an_outage() };
    let found = |id: &str, checked, violations| {
        let mut finding = Finding::new(id, "");
        (finding.checked, finding.violations) = (checked, violations);
        finding
    };
    let findings = [found("V1", 70, 7), found("V12", 20, 2), found("V14", 30, 3)];
    let mut replay = Replay::default();
    replay.wrong_refund_lists = 10;
    let write = Acknowledged { intended_ns: 110 * MS, invoked_ns: 110 * MS, returned_ns: 120 * MS };
    let told = |findings: &[Finding]| -> Vec<(String, u64, u64)> {
        let failures = failures_2024(&evidence, &replay, &[write], with_tallies([(1, 2), (3, 4), (5, 6)]), findings);
        failures.into_iter().map(|failure| (failure.name, failure.checked, failure.violations)).collect()
    };
    let expected = |unreachable, unknown: (u64, u64)| {
        [
            ("paid-but-no-quota".to_owned(), 1, 2),
            ("paid-twice".to_owned(), 3, 4),
            ("burned-stamp".to_owned(), 5, 6),
            ("unreachable".to_owned(), 1, unreachable),
            ("unknown".to_owned(), unknown.0, unknown.1),
        ]
    };
    assert_eq!(told(&findings), expected(3, (21, 12)));
    assert_eq!(told(&[]), expected(0, (1, 10)));
}

#[test]
fn an_answer_from_the_log_is_one_that_was_accepted() {
    let replayed = Written {
        receipt: Receipt { place: at(5), replayed: true, term: 1 },
        answer: WriteAnswer::Noticed { outcome: PaymentOutcome::Applied },
    };
    assert_eq!(accepted_at(&call(1, [1, 2], pay("one"), Outcome::Written(replayed))), Some(5));
    assert_eq!(accepted_at(&call(1, [1, 2], pay("one"), crate::checks::made::refused("PAYMENT_ID_REUSED"))), None);
}

#[test]
fn a_failure_that_was_never_tried_is_told_as_that_and_unsure_where_it_should_have_been() {
    let of = |provoked: &[String]| Failure2024::of(new(FailureOf2024::BurnedStamp), &[], provoked);
    assert_eq!(of(&[]).state(), "not tried");
    assert_eq!(of(&["unknown".to_owned()]).state(), "not tried");
    let provoked = of(&["burned-stamp".to_owned()]);
    assert!(provoked.state() == "unsure" && provoked.inconclusive[0].contains("never in its way"), "{provoked:?}");
    let mut finding = new(FailureOf2024::BurnedStamp);
    finding.checked = 3;
    assert_eq!(Failure2024::of(finding, &[], &["burned-stamp".to_owned()]).state(), "never");
}

#[test]
fn a_verdict_of_an_older_tool_is_read() {
    let old = r#"{"name":"paid-twice","what":"whole","shown_by":["V5"],"checked":7,"violations":0}"#;
    let old: Failure2024 = serde_json::from_str(old).unwrap();
    assert_eq!((old.state().as_str(), old.finding().checked), ("never", 7));
}

//! What the check of `idempotence` catches, and what it lets pass.

use super::*;
use crate::checks::made::{AMOUNT_IDR, ORDER, call, judged, lot, name, pay, place, refused, serials, unknown, written};
use crate::evidence::Answered;
use crate::history::{CodesSeen, PaymentOutcome, SerialsSeen};

fn placed(log_index: u64) -> Outcome {
    written(log_index, WriteAnswer::Placed { amount_idr: AMOUNT_IDR, expires_at_ms: 60_020 })
}

fn replayed(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Written(mut written) => {
            written.receipt.replayed = true;
            Outcome::Written(written)
        }
        other => other,
    }
}

fn calls(called: &[(Request, Outcome)]) -> Vec<Op> {
    (1..).zip(called).map(|(op, (request, outcome))| call(op, [op, op], request.clone(), outcome.clone())).collect()
}

/// How much was looked at, and the ops that each violation names.
fn same_id(called: &[(Request, Outcome)]) -> (u64, Vec<Vec<u64>>) {
    let finding = judged(&Evidence::default(), &lot(calls(called)), same_id_same_answer);
    (finding.checked, finding.shown.into_iter().map(|shown| shown.ops).collect())
}

#[test]
fn one_id_has_one_body_and_one_answer_and_one_first_execution() {
    let other_answer = || written(5, WriteAnswer::Placed { amount_idr: 1, expires_at_ms: 60_020 });
    type Row = ([(Request, Outcome); 2], u64, &'static [&'static [u64]]);
    let rows: [Row; 8] = [
        ([(place(3), placed(5)), (place(3), replayed(placed(5)))], 1, &[]),
        ([(place(3), placed(5)), (place(3), replayed(placed(6)))], 1, &[&[1, 2]]),
        ([(place(3), placed(5)), (place(3), replayed(other_answer()))], 1, &[&[1, 2]]),
        ([(place(3), placed(5)), (place(2), replayed(placed(5)))], 1, &[&[1, 2]]),
        ([(place(3), placed(5)), (place(3), placed(5))], 1, &[&[1, 2]]),
        // Another body is refused; how the same one was, others judge.
        ([(place(3), placed(5)), (place(2), refused("ORDER_ID_REUSED"))], 1, &[]),
        ([(place(3), placed(5)), (place(3), refused("STOCK_EXHAUSTED"))], 0, &[]),
        ([(place(3), placed(5)), (place(2), unknown())], 0, &[]),
    ];
    for (called, checked, broken) in rows {
        let (looked_at, named) = same_id(&called);
        assert_eq!(looked_at, checked, "{called:?}");
        assert_eq!(named, broken, "{called:?}");
    }
}

#[test]
fn a_late_answer_is_of_the_same_call() {
    let mut ops = calls(&[(place(3), placed(5))]);
    let late = Answered { is_late: true, ..ops[0].answers[0].clone() };
    ops[0].answers.push(late);
    let finding = judged(&Evidence::default(), &lot(ops), same_id_same_answer);
    assert_eq!((finding.checked, finding.violations), (1, 0));
}

#[test]
fn answers_are_the_same_but_for_codes_that_one_of_them_lacks() {
    let with = |count, fold| {
        let serials = Some(SerialsSeen { codes: CodesSeen { count, fold }, ..serials() });
        WriteAnswer::Recorded { outcome: PaymentOutcome::Applied, serials }
    };
    let noticed = |outcome| WriteAnswer::Noticed { outcome };
    for (one, two, expected) in [
        (with(3, 7), with(3, 7), true),
        (with(3, 7), with(0, 0), true),
        (with(0, 0), with(3, 7), true),
        (with(3, 7), with(3, 8), false),
        (with(3, 7), noticed(PaymentOutcome::Applied), true),
        (noticed(PaymentOutcome::Applied), with(3, 7), true),
        (noticed(PaymentOutcome::AlreadyPaid), with(3, 7), false),
        (with(3, 7), noticed(PaymentOutcome::AlreadyPaid), false),
    ] {
        let both = [written(5, one.clone()), written(5, two.clone()), written(6, two.clone())];
        let both = both.map(|outcome| if let Outcome::Written(written) = outcome { written } else { unreachable!() });
        assert_eq!(same_answer(&both[0], &both[1]), expected, "{one:?} {two:?}");
        assert!(!same_answer(&both[0], &both[2]), "at another place: {one:?} {two:?}");
    }
}

#[test]
fn each_kind_of_write_has_an_id_of_its_own() {
    let document = [7; 32];
    let settle = |amount_idr| Request::SettleRefund { payment: name("one"), amount_idr, reference: "back".into() };
    let policy = |void_window_ms| Request::SetPolicy { version: 1, void_refund_percent: 60, void_window_ms };
    let open = |capacity| Request::OpenSeries {
        series: *b"A24",
        first_number: 1,
        capacity,
        face_value_idr: 10_000,
        payment_window_ms: 60_000,
    };
    let requests = [
        open(1),
        open(2),
        place(1),
        place(2),
        pay("one"),
        Request::CancelOrder { order: ORDER },
        Request::VoidOrder { order: ORDER },
        Request::StampDocument { order: ORDER, document },
        settle(1),
        settle(2),
        policy(1),
        policy(2),
    ];
    let called: Vec<_> = requests.into_iter().map(|request| (request, unknown())).collect();
    let ops = calls(&called);
    let mut sizes: Vec<usize> = groups(&ops).values().map(SmallVec::len).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 1, 1, 1, 2, 2, 2, 2]);
}

#[test]
fn notices_that_the_gateway_did_not_sign_are_accepted_by_nobody() {
    let accepted = || written(5, WriteAnswer::Noticed { outcome: PaymentOutcome::Applied });
    for (outcome, violations) in [(accepted(), 1), (refused("FORGED"), 0), (unknown(), 0)] {
        let mut ops = calls(&[(pay("one"), outcome.clone())]);
        ops[0].invoke.purpose = Purpose::Forged;
        // Without a log, nothing is compared with it.
        let mut evidence = Evidence::default();
        evidence.log.hole = Some("there is none".into());
        let finding = judged(&evidence, &lot(ops), one_effect_a_notice);
        assert_eq!((finding.checked, finding.violations), (1, violations), "{outcome:?}");
    }
}

//! What the check of `effects` catches, and what it lets pass.

use super::*;
use crate::checks::made::{AMOUNT_IDR, at, call, judged, lot, name, pay, place, read, refused, unknown, written};
use crate::evidence::Evidence;
use crate::history::{Consistency, OrderList, PaymentList, PaymentOutcome, ReadAnswer, WriteAnswer};
use crate::model::{Answer, Reply};

fn placed() -> Outcome {
    written(5, WriteAnswer::Placed { amount_idr: AMOUNT_IDR, expires_at_ms: 60_020 })
}

fn replayed_at(log_index: u64) -> Outcome {
    let Outcome::Written(mut answer) = placed() else { unreachable!() };
    (answer.receipt.place, answer.receipt.replayed) = (at(log_index), true);
    Outcome::Written(answer)
}

/// A placing at index 5 of the log, as it was executed.
fn command(is_replay: bool) -> Command {
    let answer = Answer::Placed { amount_idr: AMOUNT_IDR, expires_at_ms: 60_020 };
    Command { place: at(5), request: place(3), reply: Reply { place: at(5), replayed: is_replay, answer } }
}

/// Violations, and what makes it unsure. Index 5 was shown at `shown_ns`, if ever.
fn caused(op: Option<Op>, command: Command, shown_ns: Option<u64>, alter: impl FnOnce(&mut Evidence)) -> (u64, usize) {
    let mut evidence = Evidence { shown: shown_ns.map(|at_ns| (5, at_ns)).into_iter().collect(), ..Evidence::default() };
    alter(&mut evidence);
    let mut lot = lot(op.into_iter().collect());
    lot.commands = vec![command];
    let finding = judged(&evidence, &lot, refused_had_no_effect);
    (finding.violations, finding.inconclusive.len())
}

#[test]
fn an_effect_comes_from_a_call_that_owns_up_to_it_or_may_have_caused_it() {
    let sent = |outcome| Some(call(1, [10, 20], place(3), outcome));
    for (op, shown_ns, expected) in [
        (sent(placed()), Some(20), 0),
        (sent(unknown()), Some(30), 0),
        (sent(unknown()), None, 0),
        // At the same time, the two overlap.
        (sent(unknown()), Some(10), 0),
        (sent(unknown()), Some(9), 1),
        (sent(Outcome::NotDone { reason: "NO_LEADER".into() }), None, 1),
        (sent(refused("STOCK_EXHAUSTED")), None, 1),
        (sent(written(6, WriteAnswer::Placed { amount_idr: AMOUNT_IDR, expires_at_ms: 1 })), None, 1),
        // A node repeated it at the next leader.
        (sent(replayed_at(5)), Some(20), 0),
        (sent(replayed_at(5)), Some(9), 1),
        (Some(call(1, [10, 20], place(2), unknown())), None, 1),
        (None, None, 1),
    ] {
        assert_eq!(caused(op.clone(), command(false), shown_ns, |_| {}), (expected, 0), "{op:?} {shown_ns:?}");
    }
    let mut forged = call(1, [10, 20], place(3), unknown());
    forged.invoke.purpose = Purpose::Forged;
    assert_eq!(caused(Some(forged), command(false), None, |_| {}), (1, 0));
}

#[test]
fn a_command_without_an_effect_was_sent_by_somebody_in_time() {
    let not_done = || Some(call(1, [10, 20], place(3), Outcome::NotDone { reason: "NO_LEADER".into() }));
    assert_eq!(caused(not_done(), command(true), None, |_| {}), (0, 0));
    assert_eq!(caused(not_done(), command(true), Some(9), |_| {}), (1, 0));
    assert_eq!(caused(None, command(true), None, |_| {}), (1, 0));
    let refused = Answer::Refused { reason: "STOCK_EXHAUSTED".into(), differs: vec![] };
    let command = Command { reply: Reply { place: at(5), replayed: false, answer: refused }, ..command(false) };
    assert_eq!(caused(not_done(), command, None, |_| {}), (0, 0));
}

#[test]
fn a_history_that_lacks_calls_leaves_causes_unknown() {
    let without = |shown_ns, alter: fn(&mut Evidence)| caused(None, command(false), shown_ns, alter);
    assert_eq!(without(None, |evidence| evidence.lacks_calls = true), (0, 1));
    assert_eq!(without(Some(1), |evidence| evidence.lacks_calls = true), (0, 1));
    assert_eq!(without(None, |evidence| evidence.history_is_cut = true), (0, 1));
    // What was answered from there was called before that.
    assert_eq!(without(Some(1), |evidence| evidence.history_is_cut = true), (1, 0));
}

#[test]
fn a_cause_that_was_denied_is_told_by_its_answer() {
    let texts = |op: Option<Op>, is_replay, shown_ns: Option<u64>| {
        let shown = shown_ns.map(|at_ns| (5, at_ns)).into_iter().collect();
        let mut lot = lot(op.into_iter().collect());
        lot.commands = vec![command(is_replay)];
        let finding = judged(&Evidence { shown, ..Evidence::default() }, &lot, refused_had_no_effect);
        finding.shown.into_iter().map(|shown| shown.text).collect::<Vec<_>>().join("\n")
    };
    let sent = |outcome| Some(call(1, [10, 20], place(3), outcome));
    let not_done = || Outcome::NotDone { reason: "NO_LEADER".into() };
    let mut forged = call(1, [10, 20], place(3), unknown());
    forged.invoke.purpose = Purpose::Forged;
    for (told, expected) in [
        (texts(sent(not_done()), false, None), "was answered: not done, NO_LEADER"),
        (texts(Some(forged), false, None), "a forged notice is the command"),
        (texts(None, false, None), "nobody sent the command at 5.0"),
        (texts(sent(unknown()), false, Some(9)), "no call says that it caused"),
        (texts(sent(not_done()), true, Some(9)), "before something above it was answered"),
    ] {
        assert!(told.contains(expected), "{told}: {expected}");
    }
}

fn refusals_of(op: Op) -> u64 {
    judged(&Evidence::default(), &lot(vec![op]), refused_had_no_effect).violations
}

#[test]
fn nobody_but_the_ledger_refuses_and_it_says_where_and_why() {
    let nowhere = |reason: &str| Outcome::Refused { reason: reason.into(), field: "".into(), place: None, term: 1 };
    let list = |as_of| Request::ListOrders(Box::new(OrderList { as_of, ..OrderList::default() }));
    let payments = |as_of| Request::ListPayments(Box::new(PaymentList { as_of, ..PaymentList::default() }));
    let look = || Request::GetPayment { payment: name("one"), consistency: Consistency::Linearizable };
    for (request, outcome, expected) in [
        (place(3), refused("STOCK_EXHAUSTED"), 0),
        (place(3), nowhere("STOCK_EXHAUSTED"), 1),
        (place(3), refused("ORDER_ISSUED"), 1),
        (pay("one"), refused("PAYMENT_ID_REUSED"), 0),
        (pay("one"), nowhere("FORGED"), 1),
        (list(Some(5)), nowhere("LIST_EXPIRED"), 0),
        (list(None), nowhere("LIST_EXPIRED"), 1),
        (payments(Some(5)), nowhere("LIST_EXPIRED"), 0),
        (payments(None), nowhere("LIST_EXPIRED"), 1),
        (look(), nowhere("ORDER_UNKNOWN"), 1),
        (look(), read(ReadAnswer::Absent), 0),
    ] {
        assert_eq!(refusals_of(call(1, [10, 20], request.clone(), outcome.clone())), expected, "{request:?} {outcome:?}");
    }
}

#[test]
fn a_forged_notice_is_refused_unread() {
    let nowhere = |reason: &str| Outcome::Refused { reason: reason.into(), field: "".into(), place: None, term: 0 };
    let accepted = written(5, WriteAnswer::Noticed { outcome: PaymentOutcome::Applied });
    // (That it was accepted, V17 says.)
    for (outcome, expected) in [(nowhere("FORGED"), 0), (refused("PAYMENT_ID_REUSED"), 1), (unknown(), 0), (accepted, 0)] {
        let mut op = call(1, [10, 20], pay("one"), outcome.clone());
        op.invoke.purpose = Purpose::Forged;
        assert_eq!(refusals_of(op), expected, "{outcome:?}");
    }
}

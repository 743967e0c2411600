//! What the check of `unknowns` catches, and what it lets pass.

use super::*;
use crate::checks::made::{
    ORDER, OTHER_ORDER, at, call, judged, lot, name, order, pay, payment, place, refund, unknown, written,
};
use crate::evidence::{Answered, Evidence};
use crate::history::{
    Bounds, Consistency, OrderSeen, PaymentOutcome, PaymentSeen, PolicySeen, Read, RefundReason, RefundSeen, RunFacts,
    SettlementSeen, WriteAnswer,
};
use crate::model::{Answer, Reply};

const HEAL_MS: u64 = 100;
const FRESH_MS: u64 = 150;
const CANCEL: Request = Request::CancelOrder { order: ORDER };

fn ms([sent_ms, ended_ms]: [u64; 2]) -> [u64; 2] {
    [sent_ms * MS, ended_ms * MS]
}

/// Healed at 100 ms, a fresh write at 150; unknowns must be known within 500.
fn evidence() -> Evidence {
    let bounds = Bounds { known_within_ms: 500, ..Bounds::default() };
    Evidence {
        phases: vec![(HEAL_MS * MS, Phase::Heal)],
        fresh_write_ns: Some(FRESH_MS * MS),
        facts: RunFacts { bounds, ..RunFacts::default() },
        ..Evidence::default()
    }
}

fn look(answer: ReadAnswer) -> (Request, Outcome) {
    let read = Read { read_index: Some(5), ledger_time_ms: 1, answer };
    (Request::GetOrder { order: ORDER, consistency: Consistency::Linearizable }, Outcome::Read(read))
}

fn asked(purpose: Purpose, times: [u64; 2], (request, outcome): (Request, Outcome)) -> Op {
    let mut op = call(2, ms(times), request, outcome);
    op.invoke.purpose = purpose;
    op
}

/// Looked at, broken, unsure: of a placing that was given up at 20 ms, and another call.
fn known(others: Vec<Op>) -> (u64, u64, usize) {
    let given_up = call(1, ms([10, 20]), place(3), unknown());
    let finding = judged(&evidence(), &lot([vec![given_up], others].concat()), unknowns_become_known);
    (finding.checked, finding.violations, finding.inconclusive.len())
}

#[test]
fn it_is_known_when_a_later_call_tells_what_became_of_it() {
    let absent = || look(ReadAnswer::Absent);
    let placed = || (place(3), written(5, WriteAnswer::Placed { amount_idr: 1, expires_at_ms: 1 }));
    let stale = (Request::GetOrder { order: ORDER, consistency: Consistency::Stale }, absent().1);
    let of_another = (Request::GetOrder { order: OTHER_ORDER, consistency: Consistency::Linearizable }, absent().1);
    let not_done = || Outcome::NotDone { reason: "NO_LEADER".into() };
    let retry = |times, called| vec![asked(Purpose::Retry, times, called)];
    for (others, expected) in [
        (retry([30, 40], placed()), (1, 0, 0)),
        (retry([30, 600], absent()), (1, 0, 0)),
        (retry([30, 601], absent()), (1, 1, 0)),
        // At the moment at which it was given up, or sooner.
        (retry([20, 40], absent()), (1, 0, 0)),
        (retry([19, 40], absent()), (1, 0, 1)),
        (retry([30, 40], stale), (1, 0, 1)),
        (retry([30, 40], of_another), (1, 0, 1)),
        (retry([30, 40], (place(2), placed().1)), (1, 0, 1)),
        (retry([30, 40], (CANCEL, written(6, WriteAnswer::Cancelled))), (1, 0, 1)),
        (retry([30, 40], (place(3), not_done())), (1, 0, 1)),
        (vec![], (1, 0, 1)),
    ] {
        assert_eq!(known(others.clone()), expected, "{others:?}");
    }
}

#[test]
fn what_stays_unknown_or_was_late_is_told_as_such() {
    let told = |others: Vec<Op>| {
        let given_up = call(1, ms([10, 20]), place(3), unknown());
        let finding = judged(&evidence(), &lot([vec![given_up], others].concat()), unknowns_become_known);
        finding.shown.into_iter().map(|shown| shown.text).chain(finding.inconclusive).collect::<Vec<_>>().join("; ")
    };
    let question = |outcome| asked(Purpose::Ask, [200, 210], (look(ReadAnswer::Absent).0, outcome));
    for (text, expected) in [
        (told(vec![]), "nobody asked"),
        (told(vec![question(unknown())]), "it was asked about and nothing answered"),
        (told(vec![asked(Purpose::Retry, [30, 1_000], look(ReadAnswer::Absent))]), "became known 900 ms after"),
        (told(vec![asked(Purpose::Retry, [30, 1_000], look(ReadAnswer::Absent))]), "the bound is 500 ms"),
    ] {
        assert!(text.contains(expected), "{text}: {expected}");
    }
}

#[test]
fn the_time_counts_from_the_heal_the_end_of_the_call_or_the_tools_question() {
    let absent = || look(ReadAnswer::Absent);
    assert_eq!(known(vec![asked(Purpose::Ask, [5_000, 5_500], absent())]), (1, 0, 0));
    assert_eq!(known(vec![asked(Purpose::Ask, [5_000, 5_501], absent())]), (1, 1, 0));
    let late = |times| vec![asked(Purpose::Ask, [5_000, 5_100], (absent().0, unknown())), asked(Purpose::Ask, times, absent())];
    assert_eq!((known(late([5_200, 5_500])), known(late([5_200, 5_501]))), ((1, 0, 0), (1, 1, 0)));
    // It was given up long after the heal.
    let given_up_at = |ended_ms: u64, known_ms: u64| {
        let given_up = call(1, ms([10, ended_ms]), place(3), unknown());
        let told = asked(Purpose::Retry, [ended_ms, known_ms], absent());
        judged(&evidence(), &lot(vec![given_up, told]), unknowns_become_known).violations
    };
    assert_eq!((given_up_at(1_000, 1_500), given_up_at(1_000, 1_501)), (0, 1));
}

#[test]
fn a_late_answer_of_its_own_tells_and_a_stamp_is_told_by_no_read() {
    let mut late = call(1, ms([10, 20]), place(3), unknown());
    let outcome = written(5, WriteAnswer::Placed { amount_idr: 1, expires_at_ms: 1 });
    late.answers.push(Answered { at_ns: 90 * MS, outcome, is_late: true });
    assert_eq!(judged(&evidence(), &lot(vec![late.clone()]), unknowns_become_known).inconclusive.len(), 0);
    let stamp = call(1, ms([10, 20]), Request::StampDocument { order: ORDER, document: [7; 32] }, unknown());
    let read = asked(Purpose::Retry, [30, 40], look(ReadAnswer::Absent));
    assert_eq!(judged(&evidence(), &lot(vec![stamp, read]), unknowns_become_known).inconclusive.len(), 1);
    // What was answered at once was never unknown, and reads are nobody's loss.
    let done = call(1, ms([10, 20]), CANCEL, written(5, WriteAnswer::Cancelled));
    let lost_read = call(1, ms([10, 20]), look(ReadAnswer::Absent).0, unknown());
    assert_eq!(judged(&evidence(), &lot(vec![done, lost_read]), unknowns_become_known).checked, 0);
}

#[test]
fn each_kind_of_call_is_asked_about_by_what_it_is_of() {
    let policy = PolicySeen { version: 1, void_refund_percent: 60, void_window_ms: 1, set: None, set_at_ms: 0 };
    let read = |answer| Outcome::Read(Read { read_index: Some(5), ledger_time_ms: 1, answer });
    let get_payment = || Request::GetPayment { payment: name("one"), consistency: Consistency::Linearizable };
    let settle = || Request::SettleRefund { payment: name("one"), amount_idr: 1, reference: "back".into() };
    let set = || Request::SetPolicy { version: 1, void_refund_percent: 60, void_window_ms: 1 };
    let (first_number, capacity, face_value_idr, payment_window_ms) = (1, 10, 10_000, 60_000);
    let open = || Request::OpenSeries { series: *b"A24", first_number, capacity, face_value_idr, payment_window_ms };
    for (request, question, outcome) in [
        (pay("one"), get_payment(), read(ReadAnswer::Absent)),
        (settle(), get_payment(), read(ReadAnswer::Absent)),
        (set(), Request::GetPolicy, read(ReadAnswer::Policy(policy))),
        (CANCEL, look(ReadAnswer::Absent).0, read(ReadAnswer::Absent)),
        (Request::VoidOrder { order: ORDER }, look(ReadAnswer::Absent).0, read(ReadAnswer::Absent)),
        (open(), open(), written(5, WriteAnswer::SeriesOpened)),
    ] {
        let given_up = call(1, ms([10, 20]), request.clone(), unknown());
        let told = asked(Purpose::Ask, [200, 210], (question, outcome));
        let finding = judged(&evidence(), &lot(vec![given_up, told]), unknowns_become_known);
        assert_eq!((finding.checked, finding.inconclusive.len()), (1, 0), "{request:?}");
    }
}

/// Violations: a call was given up, the tool asked at `asked_ms` and was shown this at index 5, and it stands at another.
fn came_after(request: Request, asked_ms: u64, (question, answer): (Request, ReadAnswer), log_index: u64) -> u64 {
    came_as(
        request.clone(),
        asked_ms,
        (question, answer),
        Command {
            place: at(log_index),
            request,
            reply: Reply { place: at(log_index), replayed: false, answer: Answer::Cancelled },
        },
    )
}

fn came_as(request: Request, asked_ms: u64, (question, answer): (Request, ReadAnswer), command: Command) -> u64 {
    let given_up = call(1, ms([10, 20]), request, unknown());
    let read = Outcome::Read(Read { read_index: Some(5), ledger_time_ms: 1, answer });
    let mut lot = lot(vec![given_up, asked(Purpose::Ask, [asked_ms, asked_ms + 10], (question, read))]);
    lot.commands = vec![command];
    judged(&evidence(), &lot, unknowns_become_known).violations
}

#[test]
fn what_is_denied_behind_a_fresh_write_does_not_come_later() {
    let question = || look(ReadAnswer::Absent).0;
    let absent = || (question(), ReadAnswer::Absent);
    assert_eq!(came_after(place(3), 200, absent(), 6), 1);
    assert_eq!(came_after(place(3), FRESH_MS, absent(), 6), 1);
    assert_eq!(came_after(place(3), FRESH_MS - 1, absent(), 6), 0, "a node may still have had it");
    assert_eq!(came_after(place(3), 200, absent(), 5), 0, "it stands where it was looked for");
    let command =
        |request, replayed, answer| Command { place: at(6), request, reply: Reply { place: at(6), replayed, answer } };
    assert_eq!(came_as(place(3), 200, absent(), command(place(3), true, Answer::Cancelled)), 0, "a replay has no effect");
    let refused = Answer::Refused { reason: "STOCK_EXHAUSTED".into(), differs: vec![] };
    assert_eq!(came_as(place(3), 200, absent(), command(place(3), false, refused)), 0);
    assert_eq!(came_as(place(3), 200, absent(), command(place(2), false, Answer::Cancelled)), 0, "it is another's");
    // What was answered needs no question, whatever an older state shows.
    let done = call(1, ms([10, 20]), CANCEL, written(6, WriteAnswer::Cancelled));
    let waits = look(ReadAnswer::Order(Box::new(order(OrderState::AwaitingPayment))));
    let given_up = call(3, ms([10, 20]), place(3), unknown());
    let mut lot = lot(vec![done, asked(Purpose::Ask, [200, 210], waits), given_up]);
    lot.commands = vec![command(CANCEL, false, Answer::Cancelled)];
    assert_eq!(judged(&evidence(), &lot, unknowns_become_known).violations, 0);
}

#[test]
fn a_call_is_denied_by_the_state_that_it_would_have_ended() {
    let order_is = |state| (look(ReadAnswer::Absent).0, ReadAnswer::Order(Box::new(order(state))));
    let stamped = OrderSeen { stamped: 1, ..order(OrderState::Issued) };
    let payment_is = |refund| {
        let seen = PaymentSeen { refund, ..payment(PaymentOutcome::AlreadyPaid) };
        let question = Request::GetPayment { payment: name("one"), consistency: Consistency::Linearizable };
        (question, ReadAnswer::Payment(Box::new(seen)))
    };
    let settled = SettlementSeen { reference: "back".into(), place: at(4), settled_at_ms: 40 };
    let due = || refund(RefundReason::AlreadyPaid);
    let policy_is = |version| {
        let seen = PolicySeen { version, void_refund_percent: 60, void_window_ms: 1, set: None, set_at_ms: 0 };
        (Request::GetPolicy, ReadAnswer::Policy(seen))
    };
    let settle = || Request::SettleRefund { payment: name("one"), amount_idr: 1, reference: "back".into() };
    let set = || Request::SetPolicy { version: 2, void_refund_percent: 60, void_window_ms: 1 };
    let void = || Request::VoidOrder { order: ORDER };
    for (request, shown, is_denied) in [
        (CANCEL, order_is(OrderState::AwaitingPayment), true),
        (CANCEL, order_is(OrderState::Cancelled), false),
        (void(), order_is(OrderState::Issued), true),
        (void(), order_is(OrderState::Voided), false),
        (settle(), payment_is(None), true),
        (settle(), payment_is(Some(due())), true),
        (settle(), payment_is(Some(RefundSeen { settled: Some(settled), ..due() })), false),
        (set(), policy_is(1), true),
        (set(), policy_is(2), false),
        (place(3), order_is(OrderState::AwaitingPayment), false),
        (pay("one"), payment_is(None), false),
        (place(3), (look(ReadAnswer::Absent).0, ReadAnswer::Order(Box::new(stamped))), false),
    ] {
        assert_eq!(came_after(request.clone(), 200, shown.clone(), 6), u64::from(is_denied), "{request:?} {shown:?}");
    }
}

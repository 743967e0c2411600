//! What the check of `search` catches, and what it lets pass.

use super::*;
use crate::checks::made::{FIRST_NUMBER, ORDER, call, order, pay, place, read, refused, serials, unknown, written};
use crate::history::{OrderSeen, SerialsSeen};

type Called = (Request, Outcome);

const CANCEL: Request = Request::CancelOrder { order: ORDER };
const VOID: Request = Request::VoidOrder { order: ORDER };
const LOOK: Request = Request::GetOrder { order: ORDER, consistency: Consistency::Linearizable };

fn stamp(document: u8) -> Request {
    Request::StampDocument { order: ORDER, document: [document; 32] }
}

fn placed() -> Called {
    (place(3), written(1, WriteAnswer::Placed { amount_idr: 30_000, expires_at_ms: 60_020 }))
}

fn paid(payment_id: &str, outcome: PaymentOutcome, first_number: Option<u64>) -> Called {
    let serials = first_number.map(|first_number| SerialsSeen { first_number, ..serials() });
    (pay(payment_id), written(1, WriteAnswer::Recorded { outcome, serials }))
}

fn noticed(payment_id: &str, outcome: PaymentOutcome) -> Called {
    (pay(payment_id), written(1, WriteAnswer::Noticed { outcome }))
}

fn issued() -> Called {
    paid("one", PaymentOutcome::Applied, Some(FIRST_NUMBER))
}

fn cancelled() -> Called {
    (CANCEL, written(1, WriteAnswer::Cancelled))
}

fn voided(refund_idr: i64) -> Called {
    (VOID, written(1, WriteAnswer::Voided { refund_idr }))
}

fn stamped(document: u8, number: u64) -> Called {
    (stamp(document), written(1, WriteAnswer::Stamped { series: *b"A24", number, code: "".into() }))
}

fn seen(state: OrderState, stamped: u32) -> Called {
    (LOOK, read(ReadAnswer::Order(Box::new(OrderSeen { stamped, ..order(state) }))))
}

fn seen_with(first_number: u64) -> Called {
    let serials = Some(SerialsSeen { first_number, ..serials() });
    (LOOK, read(ReadAnswer::Order(Box::new(OrderSeen { serials, ..order(OrderState::Issued) }))))
}

fn told(request: Request, reason: &str) -> Called {
    (request, refused(reason))
}

/// One after the other.
fn in_turn(called: &[Called]) -> Vec<Op> {
    let ops =
        (1..).zip(called).map(|(op, (request, outcome))| call(op, [op * 10, op * 10 + 5], request.clone(), outcome.clone()));
    ops.collect()
}

fn explained(ops: &[Op]) -> Option<bool> {
    explain(&calls(&ops.iter().collect::<Vec<_>>()))
}

/// The last call, after those that lead to each state: in which of them it can be explained.
fn explained_in(last: &Called) -> Vec<&'static str> {
    let paths = [
        ("nothing", vec![]),
        ("waiting", vec![placed()]),
        ("expired", vec![placed(), seen(OrderState::Expired, 0)]),
        ("cancelled", vec![placed(), cancelled()]),
        ("issued", vec![placed(), issued()]),
        ("stamped", vec![placed(), issued(), stamped(1, FIRST_NUMBER)]),
        ("voided", vec![placed(), issued(), voided(7_500)]),
    ];
    let states = paths.into_iter().filter_map(|(state, path)| {
        assert_eq!(explained(&in_turn(&path)), Some(true), "{state}");
        (explained(&in_turn(&[path, vec![last.clone()]].concat())) == Some(true)).then_some(state)
    });
    states.collect()
}

const ALL: [&str; 7] = ["nothing", "waiting", "expired", "cancelled", "issued", "stamped", "voided"];

#[test]
fn a_write_succeeds_in_these_states_alone() {
    use PaymentOutcome::{AlreadyPaid, Applied, NoStock, OrderCancelled, OrderUnknown, OrderVoided, WrongAmount};
    let rows: [(Called, &[&str]); 22] = [
        (placed(), &ALL),
        ((place(2), placed().1), &["nothing"]),
        (cancelled(), &["waiting", "cancelled"]),
        // (What waits may expire at any time.)
        (paid("two", Applied, Some(FIRST_NUMBER)), &["waiting", "expired"]),
        (issued(), &["waiting", "expired", "issued", "stamped", "voided"]),
        (paid("one", Applied, Some(FIRST_NUMBER + 1)), &["waiting", "expired"]),
        (noticed("one", Applied), &["waiting", "expired", "issued", "stamped", "voided"]),
        (noticed("two", AlreadyPaid), &["issued", "stamped"]),
        (paid("one", AlreadyPaid, None), &[]),
        (paid("two", OrderUnknown, None), &["nothing"]),
        (paid("two", OrderCancelled, None), &["cancelled"]),
        (paid("two", OrderVoided, None), &["voided"]),
        (paid("two", WrongAmount, None), &["waiting", "expired"]),
        (paid("two", NoStock, None), &["waiting", "expired"]),
        (voided(7_500), &["issued", "voided"]),
        (voided(7_501), &["issued"]),
        (stamped(1, FIRST_NUMBER), &["issued", "stamped"]),
        (stamped(2, FIRST_NUMBER), &["issued"]),
        (stamped(2, FIRST_NUMBER + 1), &["stamped"]),
        ((VOID, cancelled().1), &[]),
        ((stamp(1), cancelled().1), &[]),
        ((pay("two"), cancelled().1), &[]),
    ];
    for (last, states) in rows {
        assert_eq!(explained_in(&last), states, "{last:?}");
    }
}

#[test]
fn a_call_is_refused_in_these_states_alone() {
    let rows: [(Called, &[&str]); 14] = [
        (told(place(2), "ORDER_ID_REUSED"), &ALL[1..]),
        (told(place(3), "ORDER_ID_REUSED"), &[]),
        (told(place(3), "SERIES_UNKNOWN"), &["nothing"]),
        (told(place(3), "STOCK_EXHAUSTED"), &["nothing"]),
        (told(CANCEL, "ORDER_UNKNOWN"), &["nothing"]),
        (told(CANCEL, "ORDER_ISSUED"), &["issued", "stamped"]),
        (told(CANCEL, "ORDER_EXPIRED"), &["waiting", "expired"]),
        (told(CANCEL, "ORDER_VOIDED"), &["voided"]),
        (told(VOID, "ORDER_NOT_ISSUED"), &["waiting", "expired", "cancelled"]),
        (told(VOID, "ORDER_STAMPED"), &["stamped"]),
        (told(VOID, "VOID_WINDOW_CLOSED"), &["issued"]),
        (told(stamp(2), "ORDER_EXHAUSTED"), &["stamped"]),
        (told(stamp(1), "ORDER_EXHAUSTED"), &[]),
        // Of another order's payment, perhaps.
        (told(pay("one"), "PAYMENT_ID_REUSED"), &ALL),
    ];
    for (last, states) in rows {
        assert_eq!(explained_in(&last), states, "{last:?}");
    }
}

#[test]
fn a_read_shows_the_state_that_is() {
    let rows: [(Called, &[&str]); 12] = [
        ((LOOK, read(ReadAnswer::Absent)), &["nothing"]),
        (seen(OrderState::AwaitingPayment, 0), &["waiting"]),
        (seen(OrderState::Expired, 0), &["waiting", "expired"]),
        (seen(OrderState::Cancelled, 0), &["cancelled"]),
        (seen(OrderState::Issued, 0), &["issued"]),
        (seen(OrderState::Issued, 1), &["stamped"]),
        (seen(OrderState::Voided, 0), &["voided"]),
        (seen_with(FIRST_NUMBER + 1), &[]),
        ((LOOK, read(ReadAnswer::SerialForged)), &[]),
        ((LOOK, cancelled().1), &[]),
        ((LOOK, unknown()), &ALL),
        ((CANCEL, Outcome::NotDone { reason: "NO_LEADER".into() }), &ALL),
    ];
    for (last, states) in rows {
        assert_eq!(explained_in(&last), states, "{last:?}");
    }
}

#[test]
fn an_unknown_call_took_effect_once_it_was_sent_or_never() {
    let sent = (pay("one"), unknown());
    for (called, expected) in [
        (vec![placed(), sent.clone(), seen(OrderState::Issued, 0)], true),
        (vec![placed(), sent.clone(), seen(OrderState::AwaitingPayment, 0)], true),
        (vec![placed(), sent.clone(), seen(OrderState::AwaitingPayment, 0), seen(OrderState::Issued, 0)], true),
        (vec![placed(), sent.clone(), seen(OrderState::Issued, 0), seen(OrderState::AwaitingPayment, 0)], false),
        (vec![placed(), seen(OrderState::Issued, 0), sent.clone()], false),
        (vec![placed(), sent.clone(), seen_with(7), paid("one", PaymentOutcome::Applied, Some(8))], false),
        (vec![placed(), issued(), (VOID, unknown()), voided(5)], true),
        (vec![placed(), issued(), (stamp(1), unknown()), seen(OrderState::Issued, 1)], true),
    ] {
        assert_eq!(explained(&in_turn(&called)), Some(expected), "{called:?}");
    }
    let mut forged = in_turn(&[placed(), sent, seen(OrderState::Issued, 0)]);
    forged[1].invoke.purpose = Purpose::Forged;
    assert_eq!(explained(&forged), Some(false), "nobody's word but the gateway's issues anything");
}

#[test]
fn calls_that_overlap_may_have_come_in_either_order() {
    let ops = |(state, sent_ns): (OrderState, u64)| {
        let [(place, placed), (cancel, cancelled), (look, saw)] = [placed(), cancelled(), seen(state, 0)];
        [call(1, [0, 5], place, placed), call(2, [10, 20], cancel, cancelled), call(3, [sent_ns, 30], look, saw)]
    };
    for (look, expected) in [
        ((OrderState::AwaitingPayment, 12), true),
        ((OrderState::Cancelled, 12), true),
        ((OrderState::AwaitingPayment, 20), true),
        ((OrderState::AwaitingPayment, 21), false),
        ((OrderState::Cancelled, 21), true),
        ((OrderState::Expired, 12), false),
    ] {
        assert_eq!(explained(&ops(look)), Some(expected), "{look:?}");
    }
}

#[test]
fn searched_are_orders_with_an_unknown_call_and_one_in_a_hundred_of_the_rest() {
    let sampled = |last: u8| [[0; 14].as_slice(), &[0, last]].concat().try_into().expect("sixteen bytes");
    let ops = |order: OrderId, outcome: Outcome| [call(1, [0, 5], Request::CancelOrder { order }, outcome)];
    let done = || cancelled().1;
    for (order, outcome, expected) in [(sampled(100), done(), 1), (sampled(99), done(), 0), (sampled(99), unknown(), 1)] {
        let mut finding = Finding::default();
        orders_can_be_explained(&ops(order, outcome), &mut finding);
        assert_eq!(finding.checked, expected, "{order:?}");
    }
    let mut finding = Finding::default();
    let reads = [Consistency::Stale, Consistency::Linearizable].map(|consistency| {
        let order = sampled(if consistency == Consistency::Stale { 100 } else { 200 });
        call(1, [0, 5], Request::GetOrder { order, consistency }, read(ReadAnswer::Absent))
    });
    orders_can_be_explained(&reads, &mut finding);
    assert_eq!((finding.checked, finding.violations), (1, 0), "an old state explains nothing");
}

#[test]
fn an_order_with_more_calls_than_a_search_takes_on_leaves_it_unsure() {
    for (count, checked) in [(CALLS_MAX, 1), (CALLS_MAX + 1, 0)] {
        let mut called = vec![placed(); count - 1];
        called.push((pay("one"), unknown()));
        let mut finding = Finding::default();
        orders_can_be_explained(&in_turn(&called), &mut finding);
        let finding = finding.conclude();
        assert_eq!((finding.checked, finding.inconclusive.len()), (checked, usize::from(checked == 0)), "{count} calls");
    }
}

//! The rules as tables: one row for each command and its answer, in the order in which they happen. Row n is executed at log
//! index n. Every refusal and every reason for a refund has a row, and so has each precedence between neighbours.

use crate::support::*;
use stampede::domain::invariants::violations;
use stampede::domain::series::{SerialRange, SeriesTerms};
use stampede::domain::{Command, LedgerTime, LedgerView, MemoryLedger, Outcome, PaymentOutcome, Refusal, Rupiah};
use stampede::limits::{EXPIRE_ORDERS_MAX, SERIES_CAPACITY_MAX, STAMP_NUMBER_MAX, VOID_WINDOW_MS_DEFAULT};

enum Expect {
    Done(Outcome),
    /// The answer of the row with this number, again.
    AnswerOf(u64),
}
use Expect::{AnswerOf, Done};

/// Time of the entry, command, answer.
type Row = (u64, Command, Expect);

/// Plays the rows and checks every answer, and every invariant after each row.
fn play(rows: Vec<Row>) -> MemoryLedger {
    let mut ledger = MemoryLedger::default();
    let mut outcomes = Vec::new();
    for (number, (at, command, expect)) in (1..).zip(rows) {
        let before = ledger.clone();
        let reply = execute(&mut ledger, number, at, &command);
        let (place, replayed, outcome): (u64, bool, Outcome) = match expect {
            Done(outcome) => (number, false, outcome),
            AnswerOf(original) => (original, true, Outcome::clone(&outcomes[usize::try_from(original).expect("a row") - 1])),
        };
        assert_eq!(
            (reply.place.log_index, reply.replayed, &reply.outcome),
            (place, replayed, &outcome),
            "row {number}: {command:?}"
        );
        if replayed || matches!(outcome, Outcome::Refused(_)) {
            let Ok(totals) = before.totals();
            let mut unchanged = before;
            unchanged.absorb(stampede::domain::Change::Totals(stampede::domain::Totals {
                ledger_time: LedgerTime(ledger_time(&ledger)),
                ..totals
            }));
            assert!(unchanged == ledger, "row {number} changed more than the clock: {command:?}");
        }
        assert_eq!(violations(&ledger), [], "after row {number}: {command:?}");
        outcomes.push(outcome);
    }
    ledger
}

fn opened() -> Expect {
    Done(Outcome::SeriesOpened)
}

fn placed(amount_idr: u64, expires_at: u64) -> Expect {
    Done(Outcome::OrderPlaced { amount: Rupiah::from_idr(amount_idr), expires_at: LedgerTime(expires_at) })
}

fn applied(first: u64, stamps: u32) -> Expect {
    let serials = SerialRange { series: series_code("A24"), first: stamp(first), quantity: quantity(stamps) };
    Done(Outcome::PaymentRecorded(PaymentOutcome::Applied(serials)))
}

fn refund(reason: PaymentOutcome) -> Expect {
    Done(Outcome::PaymentRecorded(reason))
}

fn refused(refusal: Refusal) -> Expect {
    Done(Outcome::Refused(refusal))
}

fn expired(count: u32) -> Expect {
    Done(Outcome::OrdersExpired { count })
}

fn voided(refund_idr: u64) -> Expect {
    Done(Outcome::OrderVoided { refund: Rupiah::from_idr(refund_idr) })
}

fn stamped(number: u64) -> Expect {
    Done(Outcome::DocumentStamped { series: series_code("A24"), number: stamp(number) })
}

fn settled() -> Expect {
    Done(Outcome::RefundSettled)
}

fn policy_set() -> Expect {
    Done(Outcome::PolicySet)
}

fn cancelled() -> Expect {
    Done(Outcome::OrderCancelled)
}

#[test]
fn open_series_names_the_first_term_that_differs() {
    let with = |first_number, capacity, face_value_idr: u64, window_ms: u64, key_check| {
        let (code, first_number) = (series_code("A24"), stamp(first_number));
        let terms = SeriesTerms::new(code, first_number, capacity, face_value_idr, window_ms, key_check);
        Command::OpenSeries(terms.expect("valid"))
    };
    let reused = |field| refused(Refusal::SeriesReused { field });
    play(vec![
        (1, open("A24", 100, 10), opened()),
        (2, open("A24", 100, 10), AnswerOf(1)),
        (3, with(0, 1, 1, 2_000, [0; 8]), reused("first_number")),
        (3, with(100, 11, 1, 2_000, [0; 8]), reused("capacity")),
        (3, with(100, 10, 1, 2_000, [0; 8]), reused("face_value_idr")),
        (3, with(100, 10, FACE_VALUE_IDR, 2_000, [0; 8]), reused("payment_window_ms")),
        (3, with(100, 10, FACE_VALUE_IDR, PAYMENT_WINDOW_MS, [0; 8]), reused("key_check")),
        (4, open("B24", 100, 10), opened()),
    ]);
}

#[test]
fn terms_of_a_series_keep_their_limits() {
    let terms = |first_number, capacity, face_value_idr: i64, window_ms: i64| {
        SeriesTerms::new(series_code("A24"), stamp(first_number), capacity, face_value_idr, window_ms, [7; 8])
            .map(drop)
            .map_err(|term| term.to_string())
    };
    let window_max = 31 * 24 * 60 * 60 * 1_000;
    let ok = || Ok(());
    let bad = |text: &str| Err(text.to_owned());
    let rows = [
        ((0, 1, 1, 1_000), ok()),
        ((0, SERIES_CAPACITY_MAX, 1_000_000, window_max), ok()),
        ((0, 0, 1, 1_000), bad("capacity must be 1 to 1000000000, is 0")),
        ((0, SERIES_CAPACITY_MAX + 1, 1, 1_000), bad("capacity must be 1 to 1000000000, is 1000000001")),
        ((0, 1, 0, 1_000), bad("face_value_idr must be 1 to 1000000, is 0")),
        ((0, 1, -1, 1_000), bad("face_value_idr must be 1 to 1000000, is -1")),
        ((0, 1, 1_000_001, 1_000), bad("face_value_idr must be 1 to 1000000, is 1000001")),
        ((0, 1, 1, 999), bad("payment_window_ms must be 1000 to 2678400000, is 999")),
        ((0, 1, 1, window_max + 1), bad("payment_window_ms must be 1000 to 2678400000, is 2678400001")),
        // Up to the last number of the printed code, and not one further.
        ((STAMP_NUMBER_MAX, 1, 1, 1_000), ok()),
        ((STAMP_NUMBER_MAX, 2, 1, 1_000), bad("capacity must be 1 to 1, is 2")),
        ((STAMP_NUMBER_MAX - 9, 10, 1, 1_000), ok()),
        ((STAMP_NUMBER_MAX - 9, 11, 1, 1_000), bad("capacity must be 1 to 10, is 11")),
        // The first term that is wrong is named.
        ((0, 0, 0, 0), bad("capacity must be 1 to 1000000000, is 0")),
        ((0, 1, 0, 0), bad("face_value_idr must be 1 to 1000000, is 0")),
    ];
    for ((first_number, capacity, face_value_idr, window_ms), expect) in rows {
        let row = (first_number, capacity, face_value_idr, window_ms);
        assert_eq!(terms(first_number, capacity, face_value_idr, window_ms), expect, "{row:?}");
    }
}

#[test]
fn the_very_last_number_is_issued() {
    let ledger = play(vec![
        (0, open("A24", STAMP_NUMBER_MAX - 2, 3), opened()),
        (0, place(1, "ani", "A24", 2), placed(20_000, 1_000)),
        (0, place(2, "budi", "A24", 1), placed(10_000, 1_000)),
        (0, pay("p1", 1, 20_000), applied(STAMP_NUMBER_MAX - 2, 2)),
        (0, pay("p2", 2, 10_000), applied(STAMP_NUMBER_MAX, 1)),
        (0, place(3, "ani", "A24", 1), refused(Refusal::StockExhausted)),
    ]);
    assert_eq!(ledger.holder(series_code("A24"), stamp(STAMP_NUMBER_MAX)), Ok(Some(order_id(2))));
}

#[test]
fn place_order_reserves_until_the_stock_is_gone() {
    let reused = |field| refused(Refusal::OrderIdReused { field });
    let ledger = play(vec![
        (10, open("A24", 100, 10), opened()),
        (10, place(1, "ani", "A24", 7), placed(70_000, 1_010)),
        // A retry: the original answer, although time went on and the stock is too small by now.
        (500, place(1, "ani", "A24", 7), AnswerOf(2)),
        // One id, another order: the first field that differs.
        (500, place(1, "budi", "B24", 8), reused("account_id")),
        (500, place(1, "ani", "B24", 8), reused("series_code")),
        (500, place(1, "ani", "A24", 8), reused("quantity")),
        // Reuse comes before what would be unknown, unknown before what would be exhausted.
        (500, place(1, "ani", "ZZZ", 7), reused("series_code")),
        (500, place(2, "ani", "ZZZ", 10_000), refused(Refusal::SeriesUnknown)),
        (500, place(2, "ani", "A24", 4), refused(Refusal::StockExhausted)),
        // The refusal was not remembered: the same id may be placed for less, up to the last stamp.
        (500, place(2, "ani", "A24", 3), placed(30_000, 1_500)),
        (500, place(3, "ani", "A24", 1), refused(Refusal::StockExhausted)),
    ]);
    assert_eq!(ledger.peek_series(series_code("A24")).map(|series| (series.reserved, series.free())), Some((10, 0)));
}

#[test]
fn record_payment_issues_consecutive_stamps_or_says_why_the_money_goes_back() {
    let reused = |field| refused(Refusal::PaymentIdReused { field });
    let ledger = play(vec![
        (10, open("A24", 100, 10), opened()),
        (10, place(1, "ani", "A24", 3), placed(30_000, 1_010)),
        (10, place(2, "budi", "A24", 2), placed(20_000, 1_010)),
        (10, place(3, "citra", "A24", 1), placed(10_000, 1_010)),
        // Stamps go out in the order of the payments.
        (20, pay("p2", 2, 20_000), applied(100, 2)),
        (20, pay("p1", 1, 30_000), applied(102, 3)),
        (30, pay("p1", 1, 30_000), AnswerOf(6)),
        (30, pay("p1", 2, 1), reused("order_id")),
        (30, pay("p1", 1, 1), reused("amount_idr")),
        // Each reason, and each before the one that comes after it.
        (40, pay("p3", 9, 10_000), refund(PaymentOutcome::OrderUnknown)),
        (40, cancel(3), cancelled()),
        (40, pay("p4", 3, 10_000), refund(PaymentOutcome::OrderCancelled)),
        (40, pay("p5", 3, 1), refund(PaymentOutcome::OrderCancelled)),
        (40, pay("p6", 1, 30_000), refund(PaymentOutcome::AlreadyPaid)),
        (40, pay("p7", 1, 1), refund(PaymentOutcome::AlreadyPaid)),
        (40, place(4, "dewi", "A24", 1), placed(10_000, 1_040)),
        (40, pay("p8", 4, 9_999), refund(PaymentOutcome::WrongAmount)),
        (40, pay("p9", 4, 10_001), refund(PaymentOutcome::WrongAmount)),
        // A wrong payment does not spoil the order for the right one; its own retry stays a refund.
        (50, pay("p10", 4, 10_000), applied(105, 1)),
        (50, pay("p8", 4, 9_999), AnswerOf(17)),
        (50, pay("p3", 9, 10_000), AnswerOf(10)),
        // A payment id is its gateway's: the same one of another gateway is another payment.
        (50, pay_through("xendit", "p1", 1, 30_000), refund(PaymentOutcome::AlreadyPaid)),
        (50, pay_through("xendit", "p1", 1, 30_000), AnswerOf(22)),
        (50, pay("p1", 1, 30_000), AnswerOf(6)),
        // An order that comes after its payment does not turn the refund around.
        (60, place(9, "eka", "A24", 1), placed(10_000, 1_060)),
        (60, pay("p3", 9, 10_000), AnswerOf(10)),
    ]);
    let holder_of = |number| ledger.holder(series_code("A24"), stamp(number));
    assert_eq!(
        (99..=106).map(|number| holder_of(number).expect("infallible")).collect::<Vec<_>>(),
        [
            None,
            Some(order_id(2)),
            Some(order_id(2)),
            Some(order_id(1)),
            Some(order_id(1)),
            Some(order_id(1)),
            Some(order_id(4)),
            None,
        ]
    );
}

#[test]
fn a_late_payment_issues_while_stock_is_left() {
    play(vec![
        (0, open("A24", 100, 5), opened()),
        (0, place(1, "ani", "A24", 2), placed(20_000, 1_000)),
        (0, place(2, "budi", "A24", 2), placed(20_000, 1_000)),
        (0, place(3, "citra", "A24", 1), placed(10_000, 1_000)),
        // Time is up, but nobody has taken the reservation away: it stands.
        (5_000, pay("p1", 1, 20_000), applied(100, 2)),
        (5_000, expire(100), expired(2)),
        // Expired: three stamps are free, and one order takes two of them.
        (5_000, place(4, "dewi", "A24", 2), placed(20_000, 6_000)),
        (5_000, pay("p2", 2, 1), refund(PaymentOutcome::WrongAmount)),
        (5_000, pay("p3", 2, 20_000), refund(PaymentOutcome::NoStock)),
        (5_000, pay("p4", 3, 10_000), applied(102, 1)),
        (5_000, pay("p5", 3, 10_000), refund(PaymentOutcome::AlreadyPaid)),
        // The stamps are free again: the payment that was owed back stays so, a new one issues.
        (5_000, cancel(4), cancelled()),
        (5_000, pay("p3", 2, 20_000), AnswerOf(9)),
        (5_000, pay("p6", 2, 20_000), applied(103, 2)),
    ]);
}

#[test]
fn cancel_order_gives_up_only_what_waits() {
    let ledger = play(vec![
        (0, open("A24", 100, 10), opened()),
        (0, place(1, "ani", "A24", 1), placed(10_000, 1_000)),
        (0, place(2, "budi", "A24", 1), placed(10_000, 1_000)),
        (0, place(3, "citra", "A24", 1), placed(10_000, 1_000)),
        (0, pay("p1", 1, 10_000), applied(100, 1)),
        (0, cancel(9), refused(Refusal::OrderUnknown)),
        (0, cancel(1), refused(Refusal::OrderIssued)),
        (10, cancel(2), cancelled()),
        (20, cancel(2), AnswerOf(8)),
        (1_000, expire(100), expired(1)),
        (1_000, cancel(3), refused(Refusal::OrderExpired)),
        // A cancelled order cannot be placed again under its id; the retry of its placing is answered.
        (1_000, place(2, "budi", "A24", 1), AnswerOf(3)),
    ]);
    assert_eq!(ledger.peek_series(series_code("A24")).map(|series| (series.reserved, series.free())), Some((0, 9)));
}

#[test]
fn expire_orders_takes_the_oldest_first_and_none_before_its_time() {
    play(vec![
        (0, open("A24", 100, 10), opened()),
        (0, open("B24", 100, 10), opened()),
        (30, place(1, "ani", "A24", 1), placed(10_000, 1_030)),
        (31, place(2, "ani", "B24", 1), placed(10_000, 1_031)),
        (32, place(3, "ani", "A24", 1), placed(10_000, 1_032)),
        (1_029, expire(100), expired(0)),
        // At its expiry an order may expire.
        (1_030, expire(100), expired(1)),
        (1_032, expire(1), expired(1)),
        (1_032, cancel(2), refused(Refusal::OrderExpired)),
        (1_032, cancel(3), cancelled()),
        (9_999, expire(100), expired(0)),
    ]);
}

#[test]
fn one_command_expires_no_more_than_the_limit() {
    let mut ledger = MemoryLedger::default();
    execute(&mut ledger, 1, 0, &open("A24", 0, 10_000));
    let orders = EXPIRE_ORDERS_MAX + 1;
    for number in 0..orders {
        let Command::PlaceOrder { account, series, quantity, .. } = place(0, "ani", "A24", 1) else { unreachable!("placed") };
        let order = stampede::domain::OrderId::from_bytes(u128::from(number).to_be_bytes());
        execute(&mut ledger, 2, 0, &Command::PlaceOrder { order, account, series, quantity });
    }
    let expired = |count| Outcome::OrdersExpired { count };
    assert_eq!(execute(&mut ledger, 3, 5_000, &expire(EXPIRE_ORDERS_MAX)).outcome, expired(EXPIRE_ORDERS_MAX));
    assert_eq!(execute(&mut ledger, 4, 5_000, &expire(EXPIRE_ORDERS_MAX)).outcome, expired(1));
}

#[test]
fn the_ledgers_clock_never_goes_back() {
    let ledger = play(vec![
        (5_000, open("A24", 100, 10), opened()),
        // A new leader whose clock is behind.
        (3_000, place(1, "ani", "A24", 1), placed(10_000, 6_000)),
        (5_999, expire(100), expired(0)),
        (4_000, expire(100), expired(0)),
    ]);
    assert_eq!(ledger_time(&ledger), 5_999);
}

#[test]
fn more_money_than_there_is_does_not_stop_the_ledger() {
    let mut ledger = MemoryLedger::default();
    execute(&mut ledger, 1, 0, &pay("p1", 1, u64::MAX));
    let reply = execute(&mut ledger, 2, 0, &pay("p2", 1, u64::MAX));
    assert_eq!(reply.outcome, Outcome::PaymentRecorded(PaymentOutcome::OrderUnknown));
    let Ok(totals) = ledger.totals();
    assert_eq!((totals.received, totals.refund_due()), (Rupiah::from_idr(u64::MAX), Rupiah::from_idr(u64::MAX)));
    assert_eq!(violations(&ledger), []);
}

#[test]
fn void_order_gives_back_what_the_policy_says_and_no_serial_again() {
    let last_moment = 20 + VOID_WINDOW_MS_DEFAULT;
    let ledger = play(vec![
        (10, open("A24", 100, 6), opened()),
        (10, void(1), refused(Refusal::OrderUnknown)),
        (10, place(1, "ani", "A24", 2), placed(20_000, 1_010)),
        (10, place(2, "budi", "A24", 1), placed(10_000, 1_010)),
        (10, place(3, "citra", "A24", 1), placed(10_000, 1_010)),
        // Nothing is to be voided before the order is paid, after a cancel, after its time.
        (10, void(1), refused(Refusal::OrderNotIssued)),
        (10, cancel(3), cancelled()),
        (10, void(3), refused(Refusal::OrderNotIssued)),
        (20, pay("p1", 1, 20_000), applied(100, 2)),
        (20, pay("p2", 2, 10_000), applied(102, 1)),
        (1_010, place(4, "dewi", "A24", 1), placed(10_000, 2_010)),
        (2_010, expire(10), expired(1)),
        (2_010, void(4), refused(Refusal::OrderNotIssued)),
        // The last moment of the window is within it: 75 % goes back.
        (last_moment, void(1), voided(15_000)),
        (last_moment + 1, void(1), AnswerOf(14)),
        (last_moment + 1, void(2), refused(Refusal::VoidWindowClosed)),
        // The retry of its payment has its answer; another payment of it is owed back.
        (last_moment + 1, pay("p1", 1, 20_000), AnswerOf(9)),
        (last_moment + 1, pay("p3", 1, 20_000), refund(PaymentOutcome::OrderVoided)),
        (last_moment + 1, cancel(1), refused(Refusal::OrderVoided)),
        (last_moment + 1, place(1, "ani", "A24", 2), AnswerOf(3)),
        // The numbers 100 and 101 were seen: they are never sold again.
        (last_moment + 1, place(5, "eka", "A24", 3), placed(30_000, last_moment + 1_001)),
        (last_moment + 1, pay("p4", 5, 30_000), applied(103, 3)),
        (last_moment + 1, place(6, "fajar", "A24", 1), refused(Refusal::StockExhausted)),
    ]);
    let series = ledger.peek_series(series_code("A24")).expect("opened");
    assert_eq!((series.issued, series.voided, series.reserved, series.free()), (4, 2, 0, 0));
    assert_eq!(ledger.holder(series_code("A24"), stamp(101)), Ok(Some(order_id(1))), "a voided stamp stays its order's");
    let Ok(totals) = ledger.totals();
    let money = [totals.received, totals.issued_value(), totals.held, totals.refund_due(), totals.refunded].map(Rupiah::as_idr);
    assert_eq!(money, [80_000, 40_000, 5_000, 35_000, 0]);
}

#[test]
fn a_stamp_that_is_used_keeps_its_order_from_being_voided_and_is_never_used_twice() {
    let ledger = play(vec![
        (0, open("A24", 100, 5), opened()),
        (0, place(1, "ani", "A24", 2), placed(20_000, 1_000)),
        (0, stamp_document(2, 7), refused(Refusal::OrderUnknown)),
        (0, place(2, "budi", "A24", 1), placed(10_000, 1_000)),
        (0, place(3, "citra", "A24", 1), placed(10_000, 1_000)),
        (0, stamp_document(1, 7), refused(Refusal::OrderNotIssued)),
        (0, cancel(3), cancelled()),
        (0, stamp_document(3, 7), refused(Refusal::OrderNotIssued)),
        (10, pay("p1", 1, 20_000), applied(100, 2)),
        (10, pay("p2", 2, 10_000), applied(102, 1)),
        (20, stamp_document(1, 7), stamped(100)),
        // The connection broke: the same document again has the same stamp.
        (30, stamp_document(1, 7), AnswerOf(11)),
        (30, void(1), refused(Refusal::OrderStamped)),
        // Used before the window closed and after: the use comes first.
        (30 + VOID_WINDOW_MS_DEFAULT, void(1), refused(Refusal::OrderStamped)),
        (40, stamp_document(1, 8), stamped(101)),
        (40, stamp_document(1, 9), refused(Refusal::OrderExhausted)),
        (40, stamp_document(1, 8), AnswerOf(15)),
        // The same document may have a stamp of another order.
        (40, stamp_document(2, 7), stamped(102)),
    ]);
    assert_eq!(ledger.document(series_code("A24"), stamp(101)), Ok(Some(document(8))));
    assert_eq!(ledger.document(series_code("A24"), stamp(103)), Ok(None));
}

#[test]
fn a_voided_order_stamps_no_document() {
    play(vec![
        (0, open("A24", 100, 5), opened()),
        (0, place(1, "ani", "A24", 1), placed(10_000, 1_000)),
        (0, pay("p1", 1, 10_000), applied(100, 1)),
        (0, void(1), voided(7_500)),
        (0, stamp_document(1, 7), refused(Refusal::OrderVoided)),
    ]);
}

#[test]
fn a_refund_is_settled_once_for_what_is_owed() {
    let reused = |field| refused(Refusal::RefundReused { field });
    let ledger = play(vec![
        (0, open("A24", 100, 5), opened()),
        (0, place(1, "ani", "A24", 1), placed(10_000, 1_000)),
        (0, pay("p1", 1, 10_000), applied(100, 1)),
        (0, pay("p2", 1, 12_345), refund(PaymentOutcome::AlreadyPaid)),
        (0, settle("p9", 1, "t1"), refused(Refusal::RefundUnknown)),
        // It stands for issued stamps: nothing is owed back.
        (0, settle("p1", 10_000, "t1"), refused(Refusal::RefundUnknown)),
        (0, settle("p2", 10_000, "t1"), refused(Refusal::RefundAmountWrong)),
        (0, settle("p2", 12_345, "t1"), settled()),
        (9, settle("p2", 12_345, "t1"), AnswerOf(8)),
        (9, settle("p2", 1, "t2"), reused("amount_idr")),
        (9, settle("p2", 12_345, "t2"), reused("reference")),
        (9, void(1), voided(7_500)),
        (9, settle("p1", 7_500, "t1"), settled()),
        (9, void(1), AnswerOf(12)),
    ]);
    assert_eq!(ledger.refunds_due(None, 10), Ok(Vec::new()));
    let Ok(totals) = ledger.totals();
    let refunded = (totals.refund_due().as_idr(), totals.refunded.as_idr(), totals.held.as_idr());
    assert_eq!(refunded, (0, 19_845, 2_500));
}

#[test]
fn refunds_due_are_listed_from_the_oldest_on() {
    let ledger = play(vec![
        (0, pay("p3", 1, 30_000), refund(PaymentOutcome::OrderUnknown)),
        (0, pay("p1", 1, 10_000), refund(PaymentOutcome::OrderUnknown)),
        (0, pay("p2", 1, 20_000), refund(PaymentOutcome::OrderUnknown)),
        (0, settle("p1", 10_000, "t1"), settled()),
    ]);
    let page = |after, limit| {
        let Ok(due) = ledger.refunds_due(after, limit);
        due.into_iter().map(|refund| (refund.payment.payment_id.to_string(), refund.due)).collect::<Vec<_>>()
    };
    let all = page(None, 9);
    assert_eq!(all.iter().map(|(payment, _)| payment.as_str()).collect::<Vec<_>>(), ["p3", "p2"]);
    assert_eq!(
        (page(None, 1), page(Some(all[0].1), 9), page(Some(all[1].1), 9)),
        (all[..1].to_vec(), all[1..].to_vec(), vec![])
    );
}

#[test]
fn a_policy_follows_the_one_before_and_holds_from_then_on() {
    let reused = |field| refused(Refusal::PolicyVersionReused { field });
    play(vec![
        (0, open("A24", 100, 5), opened()),
        (0, place(1, "ani", "A24", 1), placed(10_000, 1_000)),
        (0, place(2, "budi", "A24", 1), placed(10_000, 1_000)),
        (0, place(3, "citra", "A24", 1), placed(10_000, 1_000)),
        (0, pay("p1", 1, 10_000), applied(100, 1)),
        (0, pay("p2", 2, 10_000), applied(101, 1)),
        (0, pay("p3", 3, 10_000), applied(102, 1)),
        (1, void(1), voided(7_500)),
        (1, set_policy(2, 50, 1_000), refused(Refusal::PolicyVersionSkipped)),
        (1, set_policy(1, 33, 1_000), policy_set()),
        (1, set_policy(1, 33, 1_000), AnswerOf(10)),
        (1, set_policy(1, 34, 2_000), reused("void_refund_percent")),
        (1, set_policy(1, 33, 2_000), reused("void_window_ms")),
        // What is due stays as it was.
        (1, void(1), AnswerOf(8)),
        (1_000, void(2), voided(3_300)),
        (1_001, void(3), refused(Refusal::VoidWindowClosed)),
        // A longer window opens what was closed.
        (1_001, set_policy(2, 100, 5_000), policy_set()),
        (1_001, void(3), voided(10_000)),
        (1_001, set_policy(1, 33, 1_000), AnswerOf(10)),
        (1_001, set_policy(4, 33, 1_000), refused(Refusal::PolicyVersionSkipped)),
    ]);
}

#[test]
fn terms_of_a_policy_keep_their_limits() {
    let terms = |version, percent, window_ms: i64| {
        stampede::domain::PolicyTerms::new(version, percent, window_ms).map(drop).map_err(|term| term.to_string())
    };
    let year = 366 * 24 * 60 * 60 * 1_000;
    let bad = |text: &str| Err(text.to_owned());
    let rows = [
        ((1, 1, 1_000), Ok(())),
        ((u32::MAX, 100, year), Ok(())),
        ((0, 0, 0), bad("version must be 1 to 4294967295, is 0")),
        ((1, 0, 0), bad("void_refund_percent must be 1 to 100, is 0")),
        ((1, 101, 0), bad("void_refund_percent must be 1 to 100, is 101")),
        ((1, 1, 999), bad("void_window_ms must be 1000 to 31622400000, is 999")),
        ((1, 1, year + 1), bad("void_window_ms must be 1000 to 31622400000, is 31622400001")),
        ((1, 1, -1), bad("void_window_ms must be 1000 to 31622400000, is -1")),
    ];
    for (row, expect) in rows {
        assert_eq!(terms(row.0, row.1, row.2), expect, "{row:?}");
    }
}

#[test]
fn a_share_of_a_rupiah_goes_to_the_buyer() {
    let policy = stampede::domain::PolicyTerms::new(1, 75, 1_000).expect("valid");
    for (paid, refund) in
        [(1, 1), (2, 2), (3, 3), (4, 3), (10_000, 7_500), (10_001, 7_501), (u64::MAX, 13_835_058_055_282_163_712)]
    {
        assert_eq!(policy.refund_of(Rupiah::from_idr(paid)), Rupiah::from_idr(refund), "{paid}");
    }
}

#[test]
fn the_highest_clock_and_the_highest_sums_stop_no_void_and_no_settlement() {
    let late = u64::MAX;
    let ledger = play(vec![
        (0, pay("p8", 8, u64::MAX), refund(PaymentOutcome::OrderUnknown)),
        (0, pay("p9", 9, u64::MAX), refund(PaymentOutcome::OrderUnknown)),
        (late, open("A24", 100, 3), opened()),
        (late, place(1, "ani", "A24", 1), placed(10_000, late)),
        (late, expire(10), expired(1)),
        // After its time, and there is stock: it is issued, and may still be given back.
        (late, pay("p1", 1, 10_000), applied(100, 1)),
        (late, void(1), voided(7_500)),
        // The void comes before the amount.
        (late, pay("p2", 1, 1), refund(PaymentOutcome::OrderVoided)),
        (late, settle("p8", u64::MAX, "t8"), settled()),
        (late, settle("p9", u64::MAX, "t9"), settled()),
        (late, settle("p1", 7_500, "t1"), settled()),
    ]);
    let Ok(totals) = ledger.totals();
    assert_eq!((totals.received.as_idr(), totals.refunded.as_idr(), totals.refunds_due()), (u64::MAX, u64::MAX, 1));
}

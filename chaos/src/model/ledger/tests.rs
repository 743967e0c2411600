//! The model's ledger by rows: what each request is answered, and what it leaves behind.

use super::*;

pub(in super::super) const SERIES: SeriesCode = *b"A24";

/// One series of five stamps at 10,000, whose orders wait for a second; each row is at its own log index and time.
pub(in super::super) fn replayed(rows: &[(i64, LoggedCommand)]) -> (Ledger, Vec<Reply>) {
    let open = Request::OpenSeries {
        series: SERIES,
        first_number: 100,
        capacity: 5,
        face_value_idr: 10_000,
        payment_window_ms: 1_000,
    };
    let mut ledger = Ledger::default();
    ledger.apply(Place { log_index: 1, offset: 0 }, 0, &LoggedCommand::Client(open));
    let places = (2..).map(|log_index| Place { log_index, offset: 0 });
    let replies = places.zip(rows).map(|(place, (at_ms, command))| ledger.apply(place, *at_ms, command)).collect();
    (ledger, replies)
}

pub(in super::super) fn place(order: u8, quantity: u32) -> LoggedCommand {
    LoggedCommand::Client(Request::PlaceOrder { order: [order; 16], account: "buyer".into(), series: SERIES, quantity })
}

pub(in super::super) fn pay(name: &str, order: u8, amount_idr: i64) -> LoggedCommand {
    let payment = PaymentName { gateway: "g".into(), payment_id: name.into() };
    LoggedCommand::Client(Request::RecordPayment { payment, order: [order; 16], amount_idr })
}

pub(in super::super) fn cancel(order: u8) -> LoggedCommand {
    LoggedCommand::Client(Request::CancelOrder { order: [order; 16] })
}

pub(in super::super) fn expire(limit: u32) -> LoggedCommand {
    LoggedCommand::ExpireOrders { limit }
}

pub(in super::super) fn outcomes(replies: &[Reply]) -> Vec<String> {
    let text = |reply: &Reply| match &reply.answer {
        Answer::Recorded { outcome, .. } => format!("{outcome:?}"),
        Answer::Refused { reason, .. } => reason.to_string(),
        Answer::Placed { .. } => "Placed".to_owned(),
        Answer::Expired { .. } => "Expired".to_owned(),
        other => format!("{other:?}"),
    };
    replies.iter().map(|reply| text(reply) + if reply.replayed { " again" } else { "" }).collect()
}

#[test]
fn payments_issue_or_are_owed_back_in_the_order_of_the_protocol() {
    let (ledger, replies) = replayed(&[
        (0, place(1, 2)),
        (0, pay("a", 9, 20_000)),
        (0, pay("b", 1, 10_000)),
        (0, pay("c", 1, 20_000)),
        (0, pay("c", 1, 20_000)),
        (0, pay("c", 1, 30_000)),
        (0, pay("d", 1, 20_000)),
        (0, place(2, 1)),
        (0, cancel(2)),
        (0, cancel(2)),
        (0, pay("e", 2, 10_000)),
        (0, cancel(1)),
        (0, cancel(9)),
    ]);
    let expected = [
        "Placed",
        "OrderUnknown",
        "WrongAmount",
        "Applied",
        "Applied again",
        "PAYMENT_ID_REUSED",
        "AlreadyPaid",
        "Placed",
        "Cancelled",
        "Cancelled again",
        "OrderCancelled",
        "ORDER_ISSUED",
        "ORDER_UNKNOWN",
    ];
    assert_eq!(outcomes(&replies), expected);
    let LedgerTotals { received_idr, issued_value_idr, refund_due_idr, .. } = ledger.totals;
    assert_eq!((received_idr, issued_value_idr, refund_due_idr), (80_000, 20_000, 60_000));
}

#[test]
fn orders_expire_oldest_first_and_a_late_payment_issues_while_stock_is_left() {
    let (ledger, replies) = replayed(&[
        (0, place(1, 3)),
        (1, place(2, 2)),
        (2, place(3, 1)),
        (1_000, expire(10)),
        (1_001, place(4, 3)),
        (1_002, expire(10)),
        (1_002, pay("late", 1, 30_000)),
        (1_003, pay("fits", 2, 20_000)),
        (1_003, cancel(1)),
    ]);
    let expected =
        ["Placed", "Placed", "STOCK_EXHAUSTED", "Expired", "Placed", "Expired", "NoStock", "Applied", "ORDER_EXPIRED"];
    assert_eq!(outcomes(&replies), expected);
    assert_eq!(ledger.orders[&[2; 16]].issued.as_ref().map(|issued| issued.first_number), Some(100));
}

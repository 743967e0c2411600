//! What the check of `reads` catches, and what it lets pass.

use super::*;
use crate::checks::made::{
    FIRST_NUMBER, KEY, ORDER, OTHER_ORDER, SERIES, at, ledger, name, order, owed_order, paid_back, payment, second_payment,
    voided_order,
};
use crate::history::{Consistency, OrderList, OrderSeen, PaymentList, PaymentOutcome, PaymentSeen, PolicySeen};
use crate::model::LoggedCommand;

const CONSISTENCY: Consistency = Consistency::Linearizable;

/// At the ledger's index and time.
fn told_of(ledger: &Ledger, request: &Request, answer: ReadAnswer) -> Option<String> {
    let read = Read { read_index: Some(9), ledger_time_ms: ledger.now_ms, answer };
    fault(ledger, request, &read, &SerialCodes::new(KEY))
}

fn is_wrong(request: &Request, answer: ReadAnswer) -> bool {
    told_of(&ledger(), request, answer).is_some()
}

#[test]
fn an_order_is_shown_as_it_is_or_as_absent() {
    let of = |order| Request::GetOrder { order, consistency: CONSISTENCY };
    let shown = |seen: OrderSeen| ReadAnswer::Order(Box::new(seen));
    let there = || order(OrderState::Issued);
    assert!(!is_wrong(&of(ORDER), shown(there())) && !is_wrong(&of(OTHER_ORDER), shown(voided_order())));
    assert!(is_wrong(&of(ORDER), shown(OrderSeen { amount_idr: 1, ..there() })));
    assert!(is_wrong(&of(ORDER), shown(voided_order())) && is_wrong(&of(ORDER), ReadAnswer::Absent));
    assert!(!is_wrong(&of([3; 16]), ReadAnswer::Absent) && is_wrong(&of([3; 16]), shown(there())));
    assert!(is_wrong(&of(ORDER), ReadAnswer::SerialForged) && is_wrong(&of([3; 16]), ReadAnswer::SerialForged));
}

#[test]
fn a_payment_is_shown_as_it_is_or_as_absent() {
    let of = |id| Request::GetPayment { payment: name(id), consistency: CONSISTENCY };
    let shown = |seen: PaymentSeen| ReadAnswer::Payment(Box::new(seen));
    let there = || payment(PaymentOutcome::Applied);
    let owed = || PaymentSeen { refund: Some(owed_order()), ..second_payment() };
    assert!(!is_wrong(&of("one"), shown(there())) && !is_wrong(&of("two"), shown(owed())));
    assert!(!is_wrong(&of("three"), shown(paid_back())));
    assert!(is_wrong(&of("one"), shown(PaymentSeen { amount_idr: 1, ..there() })));
    assert!(is_wrong(&of("one"), shown(owed())) && is_wrong(&of("two"), shown(second_payment())));
    assert!(is_wrong(&of("one"), ReadAnswer::Absent));
    assert!(!is_wrong(&of("none"), ReadAnswer::Absent) && is_wrong(&of("none"), shown(there())));
    assert!(is_wrong(&of("one"), ReadAnswer::SerialForged) && is_wrong(&of("none"), ReadAnswer::SerialForged));
}

#[test]
fn what_is_absent_or_was_not_there_is_told_as_such() {
    let look = |order| Request::GetOrder { order, consistency: CONSISTENCY };
    let of = |id| Request::GetPayment { payment: name(id), consistency: CONSISTENCY };
    let shown = || ReadAnswer::Order(Box::new(order(OrderState::Issued)));
    let paid = || ReadAnswer::Payment(Box::new(payment(PaymentOutcome::Applied)));
    for (request, answer, expected) in [
        (look(ORDER), ReadAnswer::Absent, "an order was not found that was there"),
        (look([3; 16]), shown(), "was shown and was not there"),
        (look(ORDER), paid(), "an order was asked for and something else answered"),
        (of("one"), ReadAnswer::Absent, "a payment was not found that was there"),
        (of("none"), paid(), "was shown and was not there"),
        (of("one"), shown(), "a payment was asked for and something else answered"),
    ] {
        let told = told_of(&ledger(), &request, answer).unwrap();
        assert!(told.contains(expected), "{told}: {expected}");
    }
}

#[test]
fn a_serial_is_shown_as_what_became_of_it() {
    let document = [7; 32];
    let mut ledger = ledger();
    let stamp = Request::StampDocument { order: ORDER, document };
    ledger.apply(at(10), 100, &LoggedCommand::Client(stamp));
    let issued = |order| ReadAnswer::SerialIssued { order, issued_at_ms: 50 };
    let stamped =
        |document_matches| ReadAnswer::SerialStamped { order: ORDER, issued_at_ms: 50, stamped_at_ms: 100, document_matches };
    let voided = |voided_at_ms| ReadAnswer::SerialVoided { order: OTHER_ORDER, issued_at_ms: 70, voided_at_ms };
    let asked = |at: u64, asked: Option<Digest>, answer: ReadAnswer| {
        let code = SerialCodes::new(KEY).code(SERIES, FIRST_NUMBER + at).into();
        told_of(&ledger, &Request::VerifySerial { code, consistency: CONSISTENCY, document: asked }, answer).is_some()
    };
    for (at, document, answer, expected) in [
        (0, None, stamped(false), false),
        (0, Some(document), stamped(true), false),
        (0, Some([8; 32]), stamped(false), false),
        (0, Some([8; 32]), stamped(true), true),
        (0, None, issued(ORDER), true),
        (1, None, issued(ORDER), false),
        (2, None, issued(ORDER), false),
        (1, None, issued(OTHER_ORDER), true),
        (1, None, issued([3; 16]), true),
        (1, None, ReadAnswer::SerialIssued { order: ORDER, issued_at_ms: 51 }, true),
        (1, None, ReadAnswer::SerialUnknown, true),
        (1, None, ReadAnswer::SerialForged, false),
        (1, None, ReadAnswer::Absent, true),
        (3, None, voided(80), false),
        (5, None, voided(80), false),
        (5, None, voided(81), true),
        (3, None, issued(OTHER_ORDER), true),
        (3, None, issued(ORDER), true),
        (6, None, ReadAnswer::SerialUnknown, false),
        (6, None, issued(ORDER), true),
    ] {
        assert_eq!(asked(at, document, answer.clone()), expected, "{at} {answer:?}");
    }
    let forged = Request::VerifySerial { code: "forged".into(), consistency: CONSISTENCY, document: None };
    assert_eq!(told_of(&ledger, &forged, issued(ORDER)), None, "that it is none of ours, V3 says");
    let code: crate::history::Text = SerialCodes::new(KEY).code(SERIES, FIRST_NUMBER - 1).into();
    let before = Request::VerifySerial { code, consistency: CONSISTENCY, document: None };
    assert_eq!(told_of(&ledger, &before, ReadAnswer::SerialUnknown), None);
}

#[test]
fn a_page_of_what_is_due_has_the_oldest_and_says_if_there_are_more() {
    let mut ledger = ledger();
    let again = crate::checks::made::pay("four");
    ledger.apply(at(10), 100, &LoggedCommand::Client(again));
    let second = || RefundSeen { payment: name("four"), due: at(10), due_at_ms: 100, ..owed_order() };
    let page = |page_size, after, refunds: Vec<RefundSeen>, has_more| {
        let request = Request::ListRefundsDue { page_size, page_token: "".into(), after };
        let next_page_token = if has_more { "more" } else { "" }.into();
        told_of(&ledger, &request, ReadAnswer::RefundsDue { refunds, next_page_token }).is_some()
    };
    for (page_size, after, refunds, has_more, expected) in [
        (2, None, vec![owed_order(), second()], false, false),
        (1, None, vec![owed_order()], true, false),
        (1, Some(at(6)), vec![second()], false, false),
        (2, Some(at(10)), vec![], false, false),
        (1, None, vec![owed_order(), second()], false, true),
        (2, None, vec![owed_order()], false, true),
        (2, None, vec![], true, true),
        (2, None, vec![second(), owed_order()], false, true),
        (2, None, vec![RefundSeen { amount_idr: 1, ..owed_order() }, second()], false, true),
        (2, Some(at(10)), vec![second()], false, true),
    ] {
        assert_eq!(page(page_size, after, refunds.clone(), has_more), expected, "{page_size} {after:?} {refunds:?}");
    }
}

#[test]
fn all_pages_of_a_list_are_of_one_index() {
    let orders = ReadAnswer::Orders { orders: vec![order(OrderState::Issued), voided_order()], next_page_token: "".into() };
    let of_two = PaymentSeen { refund: Some(owed_order()), ..second_payment() };
    let payments = vec![payment(PaymentOutcome::Applied), paid_back(), of_two];
    let payments = ReadAnswer::Payments { payments, next_page_token: "".into() };
    for (as_of, expected) in [(None, false), (Some(9), false), (Some(8), true)] {
        let list = OrderList { page_size: 9, as_of, ..OrderList::default() };
        assert_eq!(is_wrong(&Request::ListOrders(Box::new(list)), orders.clone()), expected, "{as_of:?}");
        let list = PaymentList { page_size: 9, as_of, ..PaymentList::default() };
        assert_eq!(is_wrong(&Request::ListPayments(Box::new(list)), payments.clone()), expected, "{as_of:?}");
    }
}

#[test]
fn a_page_of_a_list_ends_early_only_if_more_follow() {
    let next = |has_more| if has_more { "more" } else { "" }.into();
    for (has_more, expected) in [(true, false), (false, true)] {
        let list = Request::ListOrders(Box::new(OrderList { page_size: 9, ..OrderList::default() }));
        let orders = vec![order(OrderState::Issued)];
        assert_eq!(is_wrong(&list, ReadAnswer::Orders { orders, next_page_token: next(has_more) }), expected);
        let list = Request::ListPayments(Box::new(PaymentList { page_size: 9, ..PaymentList::default() }));
        let payments = vec![payment(PaymentOutcome::Applied)];
        assert_eq!(is_wrong(&list, ReadAnswer::Payments { payments, next_page_token: next(has_more) }), expected);
    }
}

#[test]
fn a_read_shows_the_policy_and_the_time() {
    let first = || PolicySeen { version: 0, void_refund_percent: 75, void_window_ms: 259_200_000, set: None, set_at_ms: 0 };
    assert!(!is_wrong(&Request::GetPolicy, ReadAnswer::Policy(first())));
    assert!(is_wrong(&Request::GetPolicy, ReadAnswer::Policy(PolicySeen { version: 1, ..first() })));
    assert!(is_wrong(&Request::GetPolicy, ReadAnswer::Absent));
    let look = Request::GetOrder { order: [3; 16], consistency: CONSISTENCY };
    for (ledger_time_ms, answer, expected) in [
        (90, ReadAnswer::Absent, false),
        // An error carries no time.
        (0, ReadAnswer::Absent, false),
        (89, ReadAnswer::Absent, true),
    ] {
        let read = Read { read_index: Some(9), ledger_time_ms, answer };
        assert_eq!(fault(&ledger(), &look, &read, &SerialCodes::new(KEY)).is_some(), expected, "{ledger_time_ms}");
    }
    let read = Read { read_index: Some(9), ledger_time_ms: 0, answer: ReadAnswer::Policy(first()) };
    assert!(fault(&ledger(), &Request::GetPolicy, &read, &SerialCodes::new(KEY)).is_some(), "only an error carries none");
}

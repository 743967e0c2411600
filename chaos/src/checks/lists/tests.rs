//! What the check of `lists` catches, and what it lets pass.

use super::*;
use crate::checks::made::{
    ORDER, OTHER_ORDER, ledger, name, order, owed_order, paid_back, payment, second_payment, voided_order,
};
use crate::history::{OrderState, PaymentOutcome, RefundSeen};

fn fault(shown: &[u8], size: u32, has_more: bool) -> Option<String> {
    Page::new([3, 1, 2].into_iter(), shown.to_vec(), size, has_more).fault(|id| format!("#{id}"))
}

#[test]
fn a_page_has_the_next_records_and_says_if_there_are_more() {
    for (shown, size, has_more) in [(&[1, 2, 3][..], 3, false), (&[1, 2], 2, true), (&[1], 2, true), (&[], 2, true)] {
        assert_eq!(fault(shown, size, has_more), None);
    }
    for (shown, size, has_more, told) in [
        (&[1, 2, 3][..], 2, false, "a page of 2 has 3"),
        (&[1, 3], 3, true, "#3 was listed where #2 is next"),
        (&[2, 1], 3, true, "#2 was listed where #1 is next"),
        (&[1, 2, 3, 4], 4, false, "#4 was listed and is none"),
        (&[1, 2], 3, false, "#3 is of the list, and was not"),
        (&[], 3, false, "#1 is of the list"),
    ] {
        let fault = fault(shown, size, has_more).unwrap();
        assert!(fault.starts_with(told), "{fault}");
    }
}

fn listed(list: &OrderList, shown: &[OrderSeen], has_more: bool) -> Option<String> {
    orders_fault(&ledger(), &OrderList { page_size: 10, ..list.clone() }, shown, has_more)
}

#[test]
fn a_list_of_orders_has_those_that_were_asked_for() {
    let (first, second) = (order(OrderState::Issued), voided_order());
    let all = OrderList::default();
    let placed = |from_ms, until_ms| OrderList { placed: Period { from_ms, until_ms }, ..OrderList::default() };
    for (list, first_is_wanted, second_is_wanted) in [
        (all.clone(), true, true),
        (OrderList { states: vec![OrderState::Issued], ..all.clone() }, true, false),
        (OrderList { states: vec![OrderState::Voided, OrderState::Cancelled], ..all.clone() }, false, true),
        (OrderList { account: Some("buyer".into()), ..all.clone() }, true, false),
        (OrderList { account: Some("other".into()), ..all.clone() }, false, true),
        (OrderList { after: Some(ORDER), ..all.clone() }, false, true),
        (OrderList { after: Some(OTHER_ORDER), ..all }, false, false),
        (placed(20, 30), true, false),
        (placed(21, 0), false, true),
        (placed(0, 20), false, false),
        (placed(30, 31), false, true),
        (placed(31, 0), false, false),
        // Nothing is of a period that ends before it begins.
        (placed(40, 10), false, false),
    ] {
        let wanted = [(&first, first_is_wanted), (&second, second_is_wanted)];
        let page: Vec<OrderSeen> = wanted.iter().filter(|(_, is_wanted)| *is_wanted).map(|(seen, _)| (*seen).clone()).collect();
        assert_eq!(listed(&list, &page, false), None, "{list:?}");
        for (seen, is_wanted) in wanted {
            let others: Vec<OrderSeen> = page.iter().filter(|there| there.order != seen.order).cloned().collect();
            let told = listed(&list, &if is_wanted { others } else { [page.clone(), vec![seen.clone()]].concat() }, false);
            assert!(told.is_some(), "{list:?} {:?}", seen.order);
        }
    }
}

#[test]
fn a_list_shows_each_order_as_it_is() {
    let changed = OrderSeen { stamped: 1, ..order(OrderState::Issued) };
    let told = listed(&OrderList::default(), &[changed, voided_order()], false).unwrap();
    assert!(told.contains("stamped"), "{told}");
}

#[test]
fn a_list_of_payments_has_those_that_were_asked_for() {
    let of_second = PaymentSeen { refund: Some(owed_order()), ..second_payment() };
    let shown = [("one", payment(PaymentOutcome::Applied)), ("three", paid_back()), ("two", of_second)];
    let all = PaymentList { page_size: 10, ..PaymentList::default() };
    let of = |states: &[PaymentState]| PaymentList { states: states.to_vec(), ..all.clone() };
    let recorded = |from_ms, until_ms| PaymentList { recorded: Period { from_ms, until_ms }, ..all.clone() };
    let rows: [(PaymentList, &[&str]); 14] = [
        (all.clone(), &["one", "three", "two"]),
        (of(&[PaymentState::Applied]), &["one"]),
        (of(&[PaymentState::RefundDue]), &["two"]),
        (of(&[PaymentState::Refunded]), &["three"]),
        (of(&[PaymentState::RefundDue, PaymentState::Refunded]), &["three", "two"]),
        (of(&[PaymentState::Applied, PaymentState::RefundDue]), &["one", "two"]),
        (PaymentList { gateway: Some("midtrans".into()), ..all.clone() }, &["one", "three", "two"]),
        (PaymentList { gateway: Some("other".into()), ..all.clone() }, &[]),
        (PaymentList { after: Some(name("one")), ..all.clone() }, &["three", "two"]),
        (PaymentList { after: Some(name("two")), ..all.clone() }, &[]),
        (recorded(50, 60), &["one"]),
        (recorded(51, 0), &["three", "two"]),
        (recorded(71, 0), &[]),
        (PaymentList { states: vec![PaymentState::RefundDue], ..recorded(61, 0) }, &[]),
    ];
    for (list, wanted) in rows {
        let page = |is_there: &dyn Fn(&str) -> bool| -> Vec<PaymentSeen> {
            shown.iter().filter(|(id, _)| is_there(id)).map(|(_, seen)| seen.clone()).collect()
        };
        let told = |page: &[PaymentSeen]| payments_fault(&ledger(), &list, page, false);
        assert_eq!(told(&page(&|id| wanted.contains(&id))), None, "{list:?}");
        for (other, _) in &shown {
            let page = page(&|id| wanted.contains(&id) != (id == *other));
            assert!(told(&page).is_some(), "{list:?} {other}");
        }
    }
}

#[test]
fn a_list_shows_each_payment_with_what_is_owed_back_for_it() {
    let of_second = PaymentSeen { refund: Some(owed_order()), ..second_payment() };
    let list = PaymentList { page_size: 10, ..PaymentList::default() };
    let told = |one: PaymentSeen, two: PaymentSeen| payments_fault(&ledger(), &list, &[one, paid_back(), two], false);
    let one = || payment(PaymentOutcome::Applied);
    assert_eq!(told(one(), of_second.clone()), None);
    assert!(told(PaymentSeen { recorded_at_ms: 51, ..one() }, of_second.clone()).unwrap().contains("recorded_at_ms"));
    assert!(told(one(), second_payment()).unwrap().contains("refund"), "a refund is left out");
    assert!(told(PaymentSeen { refund: Some(owed_order()), ..one() }, of_second).unwrap().contains("refund"));
    let other = PaymentSeen { refund: Some(RefundSeen { due_at_ms: 61, ..owed_order() }), ..second_payment() };
    assert!(told(one(), other).unwrap().contains("due_at_ms"));
}

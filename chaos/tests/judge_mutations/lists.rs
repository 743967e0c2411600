//! Pages of an auditor's lists: V11.

use super::*;

#[test]
fn v11_a_list_that_leaves_out_an_order() {
    flags(&["V11"], |run| {
        let answer = answer(run, 3, is_list_of_orders);
        listed_orders(answer).remove(1);
        Some(answer.op)
    });
}

#[test]
fn v11_a_list_that_shows_an_order_as_it_was_before() {
    flags(&["V11"], |run| {
        let answer = answer(run, 3, is_list_of_orders);
        listed_orders(answer)[1].settled_at_ms -= 1;
        Some(answer.op)
    });
}

#[test]
fn v11_pages_of_one_list_that_are_of_two_indexes() {
    flags(&["V11"], |run| {
        let is_second =
            |request: &Request| matches!(request, Request::ListOrders(list) if list.as_of.is_some_and(|index| index > 10));
        let second = run.records.iter().find_map(|record| match record {
            Record::Invoke(invoke) if is_second(&invoke.request) => Some(invoke.op),
            _ => None,
        });
        let answer = answer_of(run, second.unwrap());
        let Outcome::Read(read) = &mut answer.outcome else { unreachable!() };
        read.read_index = read.read_index.map(|index| index - 1);
        Some(answer.op)
    });
}

#[test]
fn v11_a_list_of_payments_that_leaves_one_out() {
    flags(&["V11"], |run| {
        let answer = answer(run, 3, is_list_of_payments);
        let Outcome::Read(Read { answer: ReadAnswer::Payments { payments, .. }, .. }) = &mut answer.outcome else {
            unreachable!()
        };
        payments.remove(0);
        Some(answer.op)
    });
}

fn is_list_of_orders(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Read(Read { answer: ReadAnswer::Orders { orders, .. }, .. }) if orders.len() > 2)
}

fn is_list_of_payments(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Read(Read { answer: ReadAnswer::Payments { payments, .. }, .. }) if payments.len() > 2)
}

fn listed_orders(answer: &mut Return) -> &mut Vec<OrderSeen> {
    match &mut answer.outcome {
        Outcome::Read(Read { answer: ReadAnswer::Orders { orders, .. }, .. }) => orders,
        other => panic!("{other:?}"),
    }
}

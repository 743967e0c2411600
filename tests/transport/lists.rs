//! Lists of orders and payments, page by page.

use std::collections::BTreeSet;

use stampede::limits;
use stampede::proto::admin::{
    ListOrdersRequest, ListOrdersResponse, ListPaymentsRequest, ListPaymentsResponse, PaymentState, SettleRefundRequest,
};
use stampede::proto::v1::{CancelOrderRequest, OrderState, PlaceOrderRequest, RecordPaymentRequest};
use tonic::{Code, Status};

use crate::support::{TestNode, info, start_with_series};

fn order_id(number: u32) -> String {
    format!("0192f8c0-0000-7000-8000-{number:012}")
}

async fn place(node: &mut TestNode, number: u32, account: &str) {
    let order = PlaceOrderRequest {
        order_id: order_id(number),
        account_id: account.to_owned(),
        series_code: "AAA".to_owned(),
        quantity: 1,
    };
    node.client.place_order(order).await.unwrap();
}

async fn pay(node: &mut TestNode, number: u32, gateway: &str, amount_idr: i64) {
    let payment = RecordPaymentRequest {
        gateway: gateway.to_owned(),
        payment_id: format!("p{number}"),
        order_id: order_id(number),
        amount_idr,
    };
    node.client.record_payment(payment).await.unwrap();
}

/// Ten orders of two portals: 0 to 3 issued, 4 paid wrongly, 5 cancelled, the others wait.
async fn ten_orders() -> TestNode {
    let mut node = start_with_series().await;
    for number in 0..10 {
        place(&mut node, number, if number % 2 == 0 { "even" } else { "odd" }).await;
    }
    for number in 0..4 {
        pay(&mut node, number, "midtrans", 10_000).await;
    }
    pay(&mut node, 4, "xendit", 9_000).await;
    node.client.cancel_order(CancelOrderRequest { order_id: order_id(5) }).await.unwrap();
    node
}

async fn orders(node: &mut TestNode, request: ListOrdersRequest) -> Result<ListOrdersResponse, Status> {
    node.admin.list_orders(request).await.map(tonic::Response::into_inner)
}

async fn payments(node: &mut TestNode, request: ListPaymentsRequest) -> Result<ListPaymentsResponse, Status> {
    node.admin.list_payments(request).await.map(tonic::Response::into_inner)
}

fn numbers(page: &ListOrdersResponse) -> Vec<u32> {
    page.orders.iter().map(|order| order.order_id[24..].parse().unwrap()).collect()
}

fn pages_of(page_size: u32) -> ListOrdersRequest {
    ListOrdersRequest { page_size, ..ListOrdersRequest::default() }
}

#[tokio::test]
async fn all_pages_are_of_the_state_of_the_first() {
    let mut node = ten_orders().await;
    let mut request = pages_of(3);
    let (mut seen, mut indexes) = (Vec::new(), BTreeSet::new());
    for round in 0.. {
        let page = orders(&mut node, request.clone()).await.unwrap();
        seen.extend(page.orders.iter().map(|order| (order.order_id.clone(), order.state())));
        indexes.insert(page.mark.unwrap().read_index);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
        // Behind the first page, and before the next one is read.
        place(&mut node, 100 + round, "late").await;
        if round == 0 {
            node.client.cancel_order(CancelOrderRequest { order_id: order_id(9) }).await.unwrap();
        }
    }
    let ids: Vec<_> = seen.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(ids, (0..10).map(order_id).collect::<Vec<_>>(), "neither a gap nor a repetition, and nothing late");
    assert_eq!(seen[9].1, OrderState::AwaitingPayment, "as it was at the first page");
    assert_eq!(indexes.len(), 1, "{indexes:?}");
    node.stop().await;
}

#[tokio::test]
async fn a_filter_names_states_account_and_time() {
    let mut node = ten_orders().await;
    let all = ListOrdersRequest::default();
    let placed_at: Vec<i64> =
        orders(&mut node, all.clone()).await.unwrap().orders.iter().map(|order| order.placed_at_ms).collect();
    let issued = vec![OrderState::Issued.into()];
    let stays = vec![OrderState::Issued.into(), OrderState::AwaitingPayment.into()];
    for (request, wanted) in [
        (ListOrdersRequest { states: issued.clone(), ..all.clone() }, vec![0, 1, 2, 3]),
        (ListOrdersRequest { states: stays, ..all.clone() }, vec![0, 1, 2, 3, 4, 6, 7, 8, 9]),
        (ListOrdersRequest { account_id: "odd".to_owned(), ..all.clone() }, vec![1, 3, 5, 7, 9]),
        (ListOrdersRequest { states: issued, account_id: "even".to_owned(), ..all.clone() }, vec![0, 2]),
        (ListOrdersRequest { account_id: "nobody".to_owned(), ..all.clone() }, vec![]),
        (ListOrdersRequest { placed_until_ms: placed_at[0], ..all.clone() }, vec![]),
        (ListOrdersRequest { placed_from_ms: placed_at[9] + 1, ..all.clone() }, vec![]),
        (ListOrdersRequest { placed_from_ms: placed_at[0], placed_until_ms: placed_at[9] + 1, ..all }, (0..10).collect()),
    ] {
        assert_eq!(numbers(&orders(&mut node, request.clone()).await.unwrap()), wanted, "{request:?}");
    }
    node.stop().await;
}

#[tokio::test]
async fn payments_are_listed_by_what_became_of_them() {
    let mut node = ten_orders().await;
    let all = ListPaymentsRequest::default();
    let of = |state: PaymentState| ListPaymentsRequest { states: vec![state.into()], ..ListPaymentsRequest::default() };
    let count = |page: ListPaymentsResponse| page.payments.len();
    assert_eq!(count(payments(&mut node, all.clone()).await.unwrap()), 5);
    assert_eq!(count(payments(&mut node, of(PaymentState::Applied)).await.unwrap()), 4);
    assert_eq!(count(payments(&mut node, of(PaymentState::RefundDue)).await.unwrap()), 1);
    assert_eq!(count(payments(&mut node, ListPaymentsRequest { gateway: "xendit".to_owned(), ..all }).await.unwrap()), 1);
    let (gateway, payment_id, reference) = ("xendit".to_owned(), "p4".to_owned(), "transfer-1".to_owned());
    node.admin.settle_refund(SettleRefundRequest { gateway, payment_id, amount_idr: 9_000, reference }).await.unwrap();
    assert_eq!(count(payments(&mut node, of(PaymentState::RefundDue)).await.unwrap()), 0);
    let refunded = payments(&mut node, of(PaymentState::Refunded)).await.unwrap();
    assert!(refunded.payments[0].refund.as_ref().unwrap().settled.is_some());
    node.stop().await;
}

#[tokio::test]
async fn a_payment_is_of_the_account_whose_order_it_is_for() {
    let mut node = ten_orders().await;
    // Of an order that nobody placed, and so of no account.
    pay(&mut node, 77, "midtrans", 10_000).await;
    let of = |account: &str| ListPaymentsRequest { account_id: account.to_owned(), ..ListPaymentsRequest::default() };
    let with = |states: Vec<i32>, gateway: &str| ListPaymentsRequest { states, gateway: gateway.to_owned(), ..of("even") };
    let refund_due = vec![PaymentState::RefundDue.into()];
    for (request, wanted) in [
        (of("even"), vec!["p0", "p2", "p4"]),
        (of("odd"), vec!["p1", "p3"]),
        (of("nobody"), vec![]),
        (of(""), vec!["p0", "p1", "p2", "p3", "p77", "p4"]),
        (with(refund_due, ""), vec!["p4"]),
        (with(Vec::new(), "midtrans"), vec!["p0", "p2"]),
    ] {
        let listed = payments(&mut node, request.clone()).await.unwrap().payments;
        let ids: Vec<_> = listed.into_iter().map(|payment| payment.name.unwrap().payment_id).collect();
        assert_eq!(ids, wanted, "{request:?}");
    }
    // Two of a page: the account belongs to the list that the token goes on with.
    let first = payments(&mut node, ListPaymentsRequest { page_size: 2, ..of("even") }).await.unwrap();
    let go_on = |account: &str| ListPaymentsRequest { page_token: first.next_page_token.clone(), page_size: 2, ..of(account) };
    assert_eq!(payments(&mut node, go_on("even")).await.unwrap().payments.len(), 1);
    assert_eq!(info(&payments(&mut node, go_on("odd")).await.unwrap_err()).metadata["field"], "page_token");
    node.stop().await;
}

#[tokio::test]
async fn a_token_is_good_for_its_own_list_at_its_own_node_alone() {
    let mut node = ten_orders().await;
    let first = orders(&mut node, pages_of(3)).await.unwrap();
    let with = |page_token: &str| ListOrdersRequest { page_token: page_token.to_owned(), ..pages_of(3) };
    let other_filter = ListOrdersRequest { account_id: "odd".to_owned(), ..with(&first.next_page_token) };
    for request in [with("no token"), with("1.2.3"), other_filter] {
        let refused = orders(&mut node, request.clone()).await.unwrap_err();
        assert_eq!(
            (refused.code(), info(&refused).metadata["field"].as_str()),
            (Code::InvalidArgument, "page_token"),
            "{request:?}"
        );
    }
    let elsewhere = orders(&mut node, with(&first.next_page_token.replacen('1', "2", 1))).await.unwrap_err();
    assert_eq!((info(&elsewhere).reason.as_str(), info(&elsewhere).metadata["node_id"].as_str()), ("LIST_EXPIRED", "2"));
    let mut request = with(&first.next_page_token);
    loop {
        let page = orders(&mut node, request.clone()).await.unwrap();
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let again = orders(&mut node, request).await.unwrap();
    assert_eq!(numbers(&again), [9], "for a caller that did not get it");
    node.stop().await;
}

#[tokio::test]
async fn only_so_many_states_are_kept_and_a_short_list_keeps_none() {
    let mut node = ten_orders().await;
    let mut token = String::new();
    for _ in 0..limits::LISTS_KEPT_MAX {
        token = orders(&mut node, pages_of(3)).await.unwrap().next_page_token;
        assert!(!token.is_empty());
    }
    let one_more = orders(&mut node, pages_of(3)).await.unwrap_err();
    assert_eq!((one_more.code(), info(&one_more).reason.as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    assert_eq!(orders(&mut node, pages_of(10)).await.unwrap().orders.len(), 10, "one page needs nothing kept");
    // One that was read to its end makes room, and is gone then.
    let read = ListOrdersRequest { page_token: token.clone(), ..pages_of(9) };
    let read = async |node: &mut TestNode| orders(node, read.clone()).await;
    assert!(read(&mut node).await.unwrap().next_page_token.is_empty());
    assert!(!orders(&mut node, pages_of(3)).await.unwrap().next_page_token.is_empty());
    assert_eq!(info(&read(&mut node).await.unwrap_err()).reason, "LIST_EXPIRED");
    node.stop().await;
}

#[tokio::test]
async fn what_is_no_filter_is_refused_by_its_field() {
    let mut node = start_with_series().await;
    let all = ListOrdersRequest::default();
    for (request, field) in [
        (ListOrdersRequest { page_size: limits::PAGE_SIZE_MAX + 1, ..all.clone() }, "page_size"),
        (ListOrdersRequest { states: vec![0], ..all.clone() }, "states"),
        (ListOrdersRequest { states: vec![99], ..all.clone() }, "states"),
        (ListOrdersRequest { states: vec![1, 2, 1], ..all.clone() }, "states"),
        (ListOrdersRequest { account_id: "a name".to_owned(), ..all.clone() }, "account_id"),
        (ListOrdersRequest { placed_from_ms: -1, ..all.clone() }, "placed_from_ms"),
        (ListOrdersRequest { placed_from_ms: 5, placed_until_ms: 5, ..all }, "placed_until_ms"),
    ] {
        let refused = orders(&mut node, request).await.unwrap_err();
        assert_eq!((refused.code(), info(&refused).metadata["field"].as_str()), (Code::InvalidArgument, field));
    }
    let gateway = ListPaymentsRequest { gateway: "No Gateway".to_owned(), ..ListPaymentsRequest::default() };
    assert_eq!(info(&payments(&mut node, gateway).await.unwrap_err()).metadata["field"], "gateway");
    let account = ListPaymentsRequest { account_id: "a name".to_owned(), ..ListPaymentsRequest::default() };
    assert_eq!(info(&payments(&mut node, account).await.unwrap_err()).metadata["field"], "account_id");
    node.stop().await;
}

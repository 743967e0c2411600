//! Notices of Midtrans where its GET Status is asked before money is recorded.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use stampede::transport::gateways::{Gateways, Outcome, Source};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::Code;

use crate::gateways::{ORDER, PROMISED, midtrans, midtrans_notice, paid, payment, place, recorded};
use crate::support::{NEW_KEY, OLD_KEY, TestNode, secrets, start_with_series_taking};

#[derive(Clone)]
enum Says {
    /// Of every charge, to who has the new key.
    Status(Value),
    /// In the head.
    Failure(StatusCode),
    Nothing,
}

/// Midtrans' API, as a node sees it behind its proxy.
struct Midtrans {
    says: Arc<Mutex<Says>>,
    /// Paths and credentials.
    asked: Arc<Mutex<Vec<(String, String)>>>,
    served: JoinHandle<()>,
}

impl Drop for Midtrans {
    fn drop(&mut self) {
        self.served.abort();
    }
}

type Shared = (Arc<Mutex<Says>>, Arc<Mutex<Vec<(String, String)>>>);

async fn answer(State((says, asked)): State<Shared>, uri: Uri, headers: HeaderMap) -> (StatusCode, Json<Value>) {
    let given = headers["authorization"].to_str().unwrap().to_owned();
    let is_known = given == basic(NEW_KEY);
    asked.lock().unwrap().push((uri.path().to_owned(), given));
    let says = says.lock().unwrap().clone();
    match says {
        Says::Status(_) if !is_known => (StatusCode::UNAUTHORIZED, Json(json!({ "status_code": "401" }))),
        Says::Status(status) => (StatusCode::OK, Json(status)),
        Says::Failure(status) => (status, Json(json!({}))),
        Says::Nothing => pending().await,
    }
}

fn basic(key: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{key}:")))
}

fn status(transaction_status: &str, status_code: &str) -> Says {
    Says::Status(json!({
        "order_id": ORDER, "gross_amount": "20000.00", "status_code": status_code, "transaction_status": transaction_status,
        "fraud_status": "accept", "currency": "IDR", "payment_type": "credit_card",
    }))
}

/// A node with an order that waits for its payment, and whom it asks.
async fn start(says: Says) -> (TestNode, Midtrans) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (says, asked) = (Arc::new(Mutex::new(says)), Arc::default());
    let router = Router::new().fallback(answer).with_state((Arc::clone(&says), Arc::clone(&asked)));
    let served = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let mut node = start_with_series_taking(Gateways { secrets: secrets(), midtrans_status: Some(address) }).await;
    place(&mut node, ORDER).await;
    (node, Midtrans { says, asked, served })
}

async fn is_recorded(node: &mut TestNode) -> bool {
    match payment(node, "midtrans", ORDER).await {
        Ok(_) => true,
        Err(status) => {
            assert_eq!(status.code(), Code::NotFound);
            false
        }
    }
}

fn reversed() -> (u16, String) {
    (200, "reversed".to_owned())
}

#[tokio::test]
async fn what_midtrans_says_is_paid_is_recorded_once_and_asked_with_the_key_that_it_knows() {
    let (node, asked) = start(status("settlement", "200")).await;
    assert_eq!(midtrans(&node, paid(ORDER, "20000.00")).await, recorded());
    assert_eq!(midtrans(&node, paid(ORDER, "20000.00")).await, (200, "replayed".to_owned()));
    let path = format!("/v2/{ORDER}/status");
    let both = [(path.clone(), basic(OLD_KEY)), (path, basic(NEW_KEY))];
    assert_eq!(asked.asked.lock().unwrap()[..2], both, "the old key is not taken any more");
    node.stop().await;
}

#[tokio::test]
async fn a_capture_that_was_overtaken_by_its_cancel_issues_nothing() {
    let (mut node, _asked) = start(status("cancel", "200")).await;
    let told = |status| midtrans_notice(NEW_KEY, ORDER, "200", "20000.00", status);
    assert_eq!(midtrans(&node, told("cancel")).await, reversed());
    assert_eq!(midtrans(&node, told("capture")).await, reversed());
    // Its signature fits this word, too.
    assert_eq!(midtrans(&node, told("settlement")).await, reversed());
    assert!(!is_recorded(&mut node).await);
    node.stop().await;
}

#[tokio::test]
async fn a_signed_notice_that_says_more_than_midtrans_does_pays_nothing() {
    let (mut node, asked) = start(status("authorize", "200")).await;
    let told = || paid(ORDER, "20000.00");
    let mut other_amount = status("settlement", "200");
    if let Says::Status(status) = &mut other_amount {
        status["gross_amount"] = json!("10000.00");
    }
    let not_there = Says::Status(json!({ "status_code": "404", "status_message": "Transaction doesn't exist." }));
    for says in [status("authorize", "200"), status("pending", "201"), other_amount, not_there] {
        *asked.says.lock().unwrap() = says;
        assert_eq!(midtrans(&node, told()).await, (422, "unknown".to_owned()), "it is told again, and somebody looks");
    }
    assert!(!is_recorded(&mut node).await);
    *asked.says.lock().unwrap() = status("settlement", "200");
    assert_eq!(midtrans(&node, told()).await, recorded(), "it is paid by now");
    node.stop().await;
}

#[tokio::test]
async fn while_midtrans_cannot_be_asked_it_is_told_in_time_to_send_the_notice_again() {
    let (mut node, asked) = start(Says::Nothing).await;
    for says in [
        Says::Nothing,
        Says::Failure(StatusCode::BAD_GATEWAY),
        Says::Failure(StatusCode::UNAUTHORIZED),
        Says::Failure(StatusCode::FOUND),
        Says::Status(json!({ "order_id": "another", "gross_amount": "20000.00", "status_code": "200",
                             "transaction_status": "settlement" })),
    ] {
        *asked.says.lock().unwrap() = says;
        let begun = Instant::now();
        assert_eq!(midtrans(&node, paid(ORDER, "20000.00")).await, (503, "unavailable".to_owned()));
        assert!(begun.elapsed() < PROMISED, "{:?}", begun.elapsed());
    }
    assert!(!is_recorded(&mut node).await);
    *asked.says.lock().unwrap() = status("settlement", "200");
    assert_eq!(midtrans(&node, paid(ORDER, "20000.00")).await, recorded());
    drop(asked);
    assert_eq!(node.notices.of(Source::Midtrans, Outcome::Unavailable).get(), 5);
    node.stop().await;
}

#[tokio::test]
async fn a_strangers_id_stays_one_part_of_the_path() {
    let (node, asked) = start(status("settlement", "200")).await;
    assert_eq!(midtrans(&node, paid("../v2/x?y#z", "20000.00")).await.0, 503, "it is the status of another charge");
    assert_eq!(asked.asked.lock().unwrap()[0].0, "/v2/..%2Fv2%2Fx%3Fy%23z/status");
    node.stop().await;
}

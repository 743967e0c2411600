//! The proto files tell callers in which order refusals and reasons for a refund apply. They are read here as text, and must tell
//! the order of the enums.

use stampede::domain::series::SerialRange;
use stampede::domain::{PaymentOutcome, Refusal};

use crate::support::{quantity, series_code, stamp};

const PUBLIC: &str = include_str!("../../proto/stampede/v1/issuance.proto");
const OPERATORS: &str = include_str!("../../proto/stampede/admin/v1/admin.proto");
const STORED: &str = include_str!("../../proto/stampede/storage/v1/storage.proto");

/// All of them, in the order of the enum.
fn refusals() -> Vec<Refusal> {
    let field = "";
    let all = vec![
        Refusal::SeriesReused { field },
        Refusal::OrderIdReused { field },
        Refusal::PaymentIdReused { field },
        Refusal::RefundReused { field },
        Refusal::PolicyVersionReused { field },
        Refusal::SeriesUnknown,
        Refusal::StockExhausted,
        Refusal::OrderUnknown,
        Refusal::RefundUnknown,
        Refusal::OrderNotIssued,
        Refusal::OrderIssued,
        Refusal::OrderExpired,
        Refusal::OrderVoided,
        Refusal::OrderStamped,
        Refusal::OrderExhausted,
        Refusal::VoidWindowClosed,
        Refusal::RefundAmountWrong,
        Refusal::PolicyVersionSkipped,
    ];
    assert!(all.is_sorted(), "not the order of the enum");
    // A new refusal does not compile here until it stands above too.
    for refusal in &all {
        match refusal {
            Refusal::SeriesReused { .. } | Refusal::OrderIdReused { .. } | Refusal::PaymentIdReused { .. } => {}
            Refusal::RefundReused { .. } | Refusal::PolicyVersionReused { .. } => {}
            Refusal::SeriesUnknown | Refusal::StockExhausted | Refusal::OrderUnknown | Refusal::RefundUnknown => {}
            Refusal::OrderNotIssued | Refusal::OrderIssued | Refusal::OrderExpired | Refusal::OrderVoided => {}
            Refusal::OrderStamped | Refusal::OrderExhausted | Refusal::VoidWindowClosed => {}
            Refusal::RefundAmountWrong | Refusal::PolicyVersionSkipped => {}
        }
    }
    all
}

fn is_constant(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
}

/// Each method with the refusals of its comment: lines that begin with a gRPC code and a reason.
fn methods(proto: &str) -> Vec<(&str, Vec<&str>)> {
    let (mut methods, mut reasons) = (Vec::new(), Vec::new());
    for line in proto.lines().map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["//", code, reason, ..] if is_constant(code) && is_constant(reason) => reasons.push(reason),
            ["//", ..] => {}
            ["rpc", method, ..] => {
                methods.push((method.split('(').next().unwrap_or(method), std::mem::take(&mut reasons)));
            }
            // What stood above was no method's comment.
            _ => reasons.clear(),
        }
    }
    methods
}

/// The refusals that are told out of their order, or are none.
fn misplaced<'a>(methods: &[(&str, Vec<&'a str>)]) -> Vec<&'a str> {
    let all = refusals();
    let mut found = Vec::new();
    for (_, reasons) in methods {
        let mut from = 0;
        for reason in reasons {
            match all.iter().skip(from).position(|refusal| refusal.reason() == *reason) {
                Some(skipped) => from += skipped + 1,
                None => found.push(*reason),
            }
        }
    }
    found
}

#[test]
fn the_proto_files_tell_the_refusals_in_their_order() {
    // The other methods of the operators are no commands: the ledger refuses none of them.
    let commands = ["OpenSeries", "SetPolicy", "SettleRefund"];
    let of_operators = methods(OPERATORS).into_iter().filter(|(method, _)| commands.contains(method));
    let methods: Vec<_> = methods(PUBLIC).into_iter().chain(of_operators).collect();
    assert_eq!(misplaced(&methods), Vec::<&str>::new());
    for refusal in refusals() {
        let told = methods.iter().any(|(_, reasons)| reasons.contains(&refusal.reason()));
        assert!(told, "no method tells {}", refusal.reason());
    }
    // The comments were found at all.
    let of = |name| methods.iter().find(|(method, _)| *method == name).map(|(_, reasons)| reasons.as_slice());
    assert_eq!(of("PlaceOrder"), Some(["ORDER_ID_REUSED", "SERIES_UNKNOWN", "STOCK_EXHAUSTED"].as_slice()));
    assert_eq!(of("OpenSeries"), Some(["SERIES_REUSED"].as_slice()));
    assert_eq!(of("GetPayment"), Some([].as_slice()));
}

#[test]
fn every_refusal_is_found_by_its_reason() {
    for refusal in refusals() {
        assert_eq!(Refusal::of_reason(refusal.reason(), ""), Some(refusal));
    }
    assert_eq!(Refusal::of_reason("NO_SUCH_REASON", ""), None);
}

#[test]
fn refusals_told_in_another_order_are_found() {
    let swapped = "// NOT_FOUND SERIES_UNKNOWN no series\n// ALREADY_EXISTS ORDER_ID_REUSED another order\nrpc PlaceOrder(";
    assert_eq!(misplaced(&methods(swapped)), ["ORDER_ID_REUSED"]);
    assert_eq!(misplaced(&methods("// ABORTED NO_SUCH_REASON words\nrpc PlaceOrder(")), ["NO_SUCH_REASON"]);
}

/// All of them, in the order of the enum.
fn outcomes() -> Vec<PaymentOutcome> {
    let serials = SerialRange { series: series_code("A24"), first: stamp(0), quantity: quantity(1) };
    let all = vec![
        PaymentOutcome::Applied(serials),
        PaymentOutcome::OrderUnknown,
        PaymentOutcome::OrderCancelled,
        PaymentOutcome::OrderVoided,
        PaymentOutcome::AlreadyPaid,
        PaymentOutcome::WrongAmount,
        PaymentOutcome::NoStock,
    ];
    assert!(all.is_sorted(), "not the order of the enum");
    for outcome in &all {
        match outcome {
            PaymentOutcome::Applied(_) | PaymentOutcome::OrderUnknown | PaymentOutcome::OrderCancelled => {}
            PaymentOutcome::OrderVoided => {}
            PaymentOutcome::AlreadyPaid | PaymentOutcome::WrongAmount | PaymentOutcome::NoStock => {}
        }
    }
    all
}

/// `OrderUnknown` as `ORDER_UNKNOWN`.
fn screaming(outcome: &PaymentOutcome) -> String {
    let mut name = String::new();
    for letter in format!("{outcome:?}").chars().take_while(char::is_ascii_alphabetic) {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[test]
fn the_proto_files_tell_the_outcomes_of_payments_in_their_order() {
    for (proto, refund) in [(PUBLIC, "REFUND_DUE_"), (STORED, "")] {
        let of_enum = proto.split("enum PaymentOutcome {").nth(1).and_then(|rest| rest.split('}').next());
        let told: Vec<&str> =
            of_enum.unwrap().lines().map(str::trim).filter(|line| line.starts_with("PAYMENT_OUTCOME_")).collect();
        let mut expect = vec!["PAYMENT_OUTCOME_UNSPECIFIED = 0;".to_owned()];
        for (number, outcome) in (1..).zip(outcomes()) {
            let refund = if matches!(outcome, PaymentOutcome::Applied(_)) { "" } else { refund };
            expect.push(format!("PAYMENT_OUTCOME_{refund}{} = {number};", screaming(&outcome)));
        }
        assert_eq!(told, expect);
    }
}

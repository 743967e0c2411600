//! What an error says about its effect: the contract at the head of `issuance.proto`, read strictly.
//!
//! Refused and not done are claims of the system, which the judge holds it to. Everything that makes no such claim is
//! unknown: a time-out, a broken connection, an error without `effect`. One thing is known without the system's word: if the
//! connection was refused, the request was never sent.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::str::FromStr;

use tonic::Status;
use tonic_types::StatusExt;

use crate::history::{Outcome, Place, Read, ReadAnswer, wire};
use crate::proto::v1::{CommandError, Effect};

/// Of an unary call. `is_read`: an unknown id is then an answer, not a refusal.
#[must_use]
pub fn outcome_of_status(status: &Status, is_read: bool) -> Outcome {
    let Some(info) = status.get_details_error_info() else {
        return outcome_without_info(status);
    };
    if is_read && matches!(info.reason.as_str(), "ORDER_UNKNOWN" | "PAYMENT_UNKNOWN") {
        let read_index = number(&info.metadata, "read_index");
        let ledger_time_ms = number(&info.metadata, "ledger_time_ms").unwrap_or_default();
        return Outcome::Read(Read { read_index, ledger_time_ms, answer: ReadAnswer::Absent });
    }
    outcome_of_info(&info.reason, &info.metadata)
}

type Metadata = HashMap<String, String>;

fn number<T: FromStr>(metadata: &Metadata, key: &str) -> Option<T> {
    metadata.get(key).and_then(|text| text.parse().ok())
}

/// Of the reason and the metadata of an `ErrorInfo`, however it came.
pub(super) fn outcome_of_info(reason: &str, metadata: &Metadata) -> Outcome {
    let place = number(metadata, "log_index")
        .map(|log_index| Place { log_index, offset: number(metadata, "offset").unwrap_or_default() });
    let field = metadata.get("field").map_or("", String::as_str);
    match metadata.get("effect").map(String::as_str) {
        Some("none") => Outcome::Refused {
            reason: reason.into(),
            field: field.into(),
            place,
            term: number(metadata, "term").unwrap_or_default(),
        },
        Some("retry") => Outcome::NotDone { reason: reason.into() },
        _ => Outcome::Unknown { why: reason.into() },
    }
}

fn outcome_without_info(status: &Status) -> Outcome {
    if was_never_sent(status) {
        return Outcome::NotDone { reason: "CONNECTION_REFUSED".into() };
    }
    Outcome::Unknown { why: format!("{:?}: {}", status.code(), status.message()).into() }
}

/// The operating system refuses only while connecting: not a byte of the request has left.
pub(super) fn was_never_sent(error: &dyn Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Of one command of a batch.
pub(super) fn outcome_of_command(error: &CommandError) -> Outcome {
    let receipt = error.receipt.unwrap_or_default();
    let place = receipt.position.map(wire::place);
    match error.effect() {
        Effect::None => Outcome::Refused {
            reason: error.reason.as_str().into(),
            field: error.field.as_str().into(),
            place,
            term: receipt.term,
        },
        Effect::Retry => Outcome::NotDone { reason: error.reason.as_str().into() },
        Effect::Unknown | Effect::Unspecified => Outcome::Unknown { why: error.reason.as_str().into() },
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_types::ErrorDetails;

    use super::*;
    use crate::network::Door;

    fn status(code: Code, reason: &str, metadata: &[(&str, &str)]) -> Status {
        let metadata: HashMap<String, String> =
            metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Status::with_error_details(code, "message", ErrorDetails::with_error_info(reason, "stampede", metadata))
    }

    #[test]
    fn an_error_is_known_only_if_it_says_so() {
        let known = |outcome: Outcome| match outcome {
            Outcome::Refused { .. } => "refused",
            Outcome::NotDone { .. } => "not done",
            Outcome::Unknown { .. } => "unknown",
            Outcome::Read(_) => "read",
            Outcome::Written(_) => "written",
        };
        let rows: [(Status, bool, &str); 12] = [
            (status(Code::AlreadyExists, "ORDER_ID_REUSED", &[("effect", "none")]), false, "refused"),
            (status(Code::Unavailable, "NO_LEADER", &[("effect", "retry")]), false, "not done"),
            (status(Code::ResourceExhausted, "DISK_LOW", &[("effect", "retry")]), false, "not done"),
            (status(Code::DeadlineExceeded, "TIMED_OUT", &[("effect", "unknown")]), false, "unknown"),
            (status(Code::Unavailable, "NO_LEADER", &[]), false, "unknown"),
            (status(Code::Unavailable, "NO_LEADER", &[("effect", "maybe")]), false, "unknown"),
            (status(Code::NotFound, "ORDER_UNKNOWN", &[("effect", "none")]), true, "read"),
            (status(Code::NotFound, "ORDER_UNKNOWN", &[("effect", "none")]), false, "refused"),
            (Status::unavailable("connection reset"), false, "unknown"),
            (Status::deadline_exceeded("time-out"), false, "unknown"),
            (Status::invalid_argument("no field named"), false, "unknown"),
            (Status::internal("h2 protocol error"), false, "unknown"),
        ];
        for (status, is_read, expected) in rows {
            assert_eq!(known(outcome_of_status(&status, is_read)), expected, "{status:?}");
        }
    }

    #[test]
    fn bad_input_is_refused_only_if_the_ledger_says_so() {
        let mut details = ErrorDetails::with_bad_request_violation("quantity", "must be 1 to 10000");
        let status = |details: &ErrorDetails| Status::with_error_details(Code::InvalidArgument, "quantity", details.clone());
        assert!(matches!(outcome_of_status(&status(&details), false), Outcome::Unknown { .. }), "a library may say it too");
        details.set_error_info("INVALID_FIELD", "stampede", HashMap::from([("effect".to_owned(), "none".to_owned())]));
        assert!(matches!(outcome_of_status(&status(&details), false), Outcome::Refused { .. }));
    }

    #[test]
    fn a_refusal_keeps_its_place_in_the_log() {
        let status = status(
            Code::ResourceExhausted,
            "STOCK_EXHAUSTED",
            &[("effect", "none"), ("log_index", "7"), ("offset", "3"), ("term", "2")],
        );
        let Outcome::Refused { place, term, .. } = outcome_of_status(&status, false) else { panic!("must be refused") };
        assert_eq!((place, term), (Some(Place { log_index: 7, offset: 3 }), 2));
    }

    #[tokio::test]
    async fn a_refused_connection_was_never_sent() {
        // Bound and closed again: nobody listens there.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let channel = crate::client::channel(&format!("127.0.0.1:{port}"), &Door::default());
        let mut client = crate::proto::v1::issuance_service_client::IssuanceServiceClient::new(channel);
        let status = client.cancel_order(crate::proto::v1::CancelOrderRequest::default()).await.unwrap_err();
        assert!(matches!(outcome_of_status(&status, false), Outcome::NotDone { .. }), "{status:?}");
    }

    #[tokio::test]
    async fn a_connection_that_breaks_leaves_the_call_unknown() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                drop(connection);
            }
        });
        let mut client = crate::proto::v1::issuance_service_client::IssuanceServiceClient::new(crate::client::channel(
            &address.to_string(),
            &Door::default(),
        ));
        let status = client.cancel_order(crate::proto::v1::CancelOrderRequest::default()).await.unwrap_err();
        assert!(matches!(outcome_of_status(&status, false), Outcome::Unknown { .. }), "{status:?}");
    }
}

//! Calls of the commands to the cluster: one server after another, until one answers or the time is up.
//!
//! Every write of the API is idempotent by an id that the caller chose before the first send. So a call whose outcome is
//! unknown is sent again, to the next server, with the same id; only when the time is up is it reported as unknown.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code as GrpcCode, Request, Response, Status};
use tonic_types::StatusExt;

use super::exit::{Code, Failure};
use crate::limits::{CLI_ATTEMPT_TIMEOUT, CLI_CONNECT_TIMEOUT, CLI_RETRY_PAUSE};

/// The servers of one kind, and how long a command may take.
#[derive(Debug, Clone)]
pub(super) struct Servers {
    pub(super) addresses: Vec<String>,
    /// `--server` or `--admin`, for what to try next.
    pub(super) flag: &'static str,
    pub(super) within: Duration,
}

/// What a call is to its caller.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// "placing the order"
    pub(super) doing: &'static str,
    /// The command that shows whether it happened; `None` of a read.
    pub(super) ask: Option<String>,
}

/// What an error of a server says about the call.
enum Effect {
    None,
    Retry,
    Unknown,
}

impl Servers {
    /// # Errors
    /// The server's refusal, or that none answered; the code says whether it can have happened.
    pub(super) async fn call<T>(
        &self,
        call: &Call,
        send: impl AsyncFn(Channel) -> Result<Response<T>, Status>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + self.within;
        let mut may_have_happened = false;
        let mut last_answer = None;
        loop {
            let mut connected = false;
            for address in &self.addresses {
                let Ok(channel) = connect(address, deadline).await else { continue };
                connected = true;
                let until = deadline.min(Instant::now() + CLI_ATTEMPT_TIMEOUT);
                let status = match timeout_at(until, send(channel)).await {
                    Ok(Ok(response)) => return Ok(response.into_inner()),
                    Ok(Err(status)) => status,
                    Err(_) => Status::deadline_exceeded("no answer in time"),
                };
                match effect_of(&status) {
                    Effect::None => return Err(refusal(call, &status)),
                    Effect::Retry => {}
                    Effect::Unknown => may_have_happened |= call.ask.is_some(),
                }
                last_answer = Some(format!("{address}: {}", status.message()));
            }
            let is_hopeless = !connected && last_answer.is_none();
            if is_hopeless || Instant::now() + CLI_RETRY_PAUSE >= deadline {
                return Err(self.give_up(call, may_have_happened, last_answer));
            }
            sleep(CLI_RETRY_PAUSE).await;
        }
    }

    fn give_up(&self, call: &Call, may_have_happened: bool, last_answer: Option<String>) -> Failure {
        let within = humantime::format_duration(self.within);
        let asked = self.addresses.join(", ");
        match (may_have_happened, last_answer) {
            (true, last) => Failure::new(
                Code::OutcomeUnknown,
                format!("{}: outcome unknown after {within} ({})", call.doing, last.unwrap_or(asked)),
                format!("the same command with the same id is safe; or ask: {}", call.ask.as_deref().unwrap_or_default()),
            ),
            (false, Some(last)) => Failure::new(
                Code::TimedOut,
                format!("{}: not done within {within}; last answer from {last}", call.doing),
                "see who leads with `stampede status`, then send the same command again, or give it more --timeout",
            ),
            (false, None) => Failure::new(
                Code::Unreachable,
                format!("{}: cannot connect to {asked}", call.doing),
                format!("check that a node runs there, or name others with {} host:port,host:port", self.flag),
            ),
        }
    }
}

async fn connect(address: &str, deadline: Instant) -> Result<Channel, ()> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(drop)?.connect_timeout(CLI_CONNECT_TIMEOUT);
    timeout_at(deadline, endpoint.connect()).await.map_err(drop)?.map_err(drop)
}

/// The remaining time travels with the call, so that the server does not work for nobody.
pub(super) fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CLI_ATTEMPT_TIMEOUT);
    request
}

fn effect_of(status: &Status) -> Effect {
    match status.get_details_error_info().and_then(|info| info.metadata.get("effect").cloned()).as_deref() {
        Some("none") => Effect::None,
        Some("retry") => Effect::Retry,
        Some(_) => Effect::Unknown,
        // Without details it does not come from our error table: gRPC itself refused it, or the connection broke.
        None => match status.code() {
            GrpcCode::InvalidArgument
            | GrpcCode::NotFound
            | GrpcCode::AlreadyExists
            | GrpcCode::FailedPrecondition
            | GrpcCode::OutOfRange
            | GrpcCode::PermissionDenied
            | GrpcCode::Unauthenticated
            | GrpcCode::Unimplemented => Effect::None,
            _ => Effect::Unknown,
        },
    }
}

fn refusal(call: &Call, status: &Status) -> Failure {
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    let fields: Vec<String> = status
        .get_details_bad_request()
        .map(|bad| bad.field_violations.into_iter().map(|violation| format!("{} {}", violation.field, violation.description)))
        .into_iter()
        .flatten()
        .collect();
    let told = if fields.is_empty() { status.message().to_owned() } else { fields.join("; ") };
    let message =
        if reason.is_empty() { format!("{}: {told}", call.doing) } else { format!("{}: {told} ({reason})", call.doing) };
    let (code, next) = match (reason.as_str(), status.code()) {
        ("ALREADY_INITIALIZED", _) => (Code::RefusedForSafety, "it is there already: see `stampede status`"),
        ("STOCK_EXHAUSTED", _) => (Code::Failed, "open another series with `stampede series open`, or order fewer"),
        ("SERIES_UNKNOWN", _) => (Code::NotFound, "see which there are with `stampede series list`"),
        ("ORDER_ID_REUSED" | "PAYMENT_ID_REUSED" | "SERIES_REUSED", _) => {
            (Code::Failed, "the id stands for another request: look it up, or choose a new id")
        }
        (_, GrpcCode::NotFound) => (Code::NotFound, "check the id"),
        (_, GrpcCode::InvalidArgument) => (Code::Usage, "correct the named value; --help says what is accepted"),
        (_, GrpcCode::Unimplemented) => {
            (Code::Failed, "this server does not know the call: is it the right port, and the same version?")
        }
        _ => (Code::Failed, "nothing was changed; see `stampede status`"),
    };
    Failure::new(code, message, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(addresses: &[&str]) -> Servers {
        let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
        Servers { addresses, flag: "--server", within: Duration::from_millis(300) }
    }

    fn write() -> Call {
        Call { doing: "placing the order", ask: Some("stampede order get 1".to_owned()) }
    }

    fn with_effect(effect: &str) -> Status {
        let details = tonic_types::ErrorDetails::with_error_info("ANY", "stampede", [("effect".to_owned(), effect.to_owned())]);
        Status::with_error_details(GrpcCode::Unavailable, "told", details)
    }

    /// Takes connections and never says a word.
    async fn silent_listener() -> (tokio::net::TcpListener, String) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    }

    #[tokio::test]
    async fn each_way_to_end_has_its_code() {
        let (_listener, address) = silent_listener().await;
        let read = Call { doing: "reading", ask: None };
        let table = [
            (write(), with_effect("none"), Code::Failed),
            (write(), with_effect("retry"), Code::TimedOut),
            (write(), with_effect("unknown"), Code::OutcomeUnknown),
            (write(), Status::unavailable("broken pipe"), Code::OutcomeUnknown),
            (read.clone(), Status::unavailable("broken pipe"), Code::TimedOut),
            (read.clone(), Status::not_found("no such order"), Code::NotFound),
            (write(), Status::invalid_argument("quantity"), Code::Usage),
        ];
        for (call, status, expected) in table {
            let result = servers(&[&address]).call::<()>(&call, async |_| Err(status.clone())).await;
            assert_eq!(result.unwrap_err().code, expected, "{status:?}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_told_at_once_and_nothing_was_sent() {
        let (listener, address) = silent_listener().await;
        drop(listener);
        let started = Instant::now();
        let failure = servers(&[&address]).call::<()>(&write(), async |_| unreachable!("no connection")).await.unwrap_err();
        assert_eq!(failure.code, Code::Unreachable, "{failure}");
        assert!(started.elapsed() < Duration::from_millis(300), "it does not wait for the time to be up");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_passed_over() {
        let (listener, gone) = silent_listener().await;
        drop(listener);
        let (_listener, address) = silent_listener().await;
        let answer = servers(&[&gone, &address]).call(&write(), async |_| Ok(Response::new(7))).await;
        assert_eq!(answer, Ok(7));
    }
}

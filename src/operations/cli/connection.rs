//! Calls of the commands to the cluster: one server after another, until one answers or the time is up.
//!
//! Every write of the API is idempotent by an id that the caller chose before the first send. So a call whose outcome is
//! unknown is sent again, to the next server, with the same id; only when the time is up is it reported as unknown.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code as GrpcCode, Request, Response, Status};
use tonic_types::StatusExt;

use super::exit::{Code, Failure};
use crate::domain::Refusal;
use crate::limits::{
    CLI_ATTEMPT_TIMEOUT, CLI_CONNECT_TIMEOUT, CLI_RETRY_PAUSE, HTTP2_KEEP_ALIVE_INTERVAL, HTTP2_KEEP_ALIVE_TIMEOUT,
};

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
    /// The command that does the same again, with every id spelled out.
    pub(super) again: Option<String>,
}

impl Call {
    pub(super) const fn read(doing: &'static str) -> Self {
        Self { doing, ask: None, again: None }
    }

    pub(super) fn write(doing: &'static str, ask: impl Into<String>, again: impl Into<String>) -> Self {
        Self { doing, ask: Some(ask.into()), again: Some(again.into()) }
    }
}

/// One attempt at a call: a connection, and what is left of the time.
pub(super) struct Attempt {
    address: String,
    channel: Channel,
    within: Duration,
}

impl Attempt {
    /// Of the server that is asked.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The remaining time travels with the call: the server answers in its own words before it is over.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.within);
        request
    }
}

/// What an error of a server says about the call.
enum Effect {
    None,
    Retry,
    Unknown,
}

/// The answers to the attempts so far.
#[derive(Default)]
struct Told {
    may_have_happened: bool,
    last: Option<String>,
    /// Each server of the last round says that it does not have the method.
    is_not_known: bool,
}

impl Servers {
    /// # Errors
    /// The server's refusal, or that none answered; the code says whether it can have happened.
    pub(super) async fn call<T>(
        &self,
        call: &Call,
        send: impl AsyncFn(Attempt) -> Result<Response<T>, Status>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + self.within;
        let mut told = Told::default();
        loop {
            let mut connected = false;
            told.is_not_known = true;
            for address in &self.addresses {
                let Ok(channel) = connect(address, deadline).await else { continue };
                connected = true;
                let within = CLI_ATTEMPT_TIMEOUT.min(deadline.saturating_duration_since(Instant::now()));
                let status = match timeout(within, send(Attempt { address: address.clone(), channel, within })).await {
                    Ok(Ok(response)) => return Ok(response.into_inner()),
                    Ok(Err(status)) => status,
                    Err(_) => Status::deadline_exceeded("no answer in time"),
                };
                told.last = Some(format!("{address}: {}", said(&status)));
                told.is_not_known &= status.code() == GrpcCode::Unimplemented;
                match effect_of(&status) {
                    // An earlier attempt may still be on its way to a leader, and find what this one did not.
                    Effect::None if told.may_have_happened && may_yet_be_done(&status) => {}
                    // It is made, but by whom? Or it was begun, and a member has gone since.
                    Effect::None if told.may_have_happened && is_of_an_init(&status) => {
                        return Err(self.give_up(call, told));
                    }
                    Effect::None => return Err(refusal(call, &status)),
                    Effect::Retry => {}
                    Effect::Unknown => told.may_have_happened |= call.ask.is_some(),
                }
            }
            told.is_not_known &= connected;
            let is_hopeless = told.is_not_known || !connected && told.last.is_none();
            if is_hopeless || Instant::now() + CLI_RETRY_PAUSE >= deadline {
                return Err(self.give_up(call, told));
            }
            sleep(CLI_RETRY_PAUSE).await;
        }
    }

    fn give_up(&self, call: &Call, told: Told) -> Failure {
        let within = humantime::format_duration(self.within);
        let asked = self.addresses.join(", ");
        let code = match (told.may_have_happened, &told.last) {
            (true, _) => Code::OutcomeUnknown,
            (false, Some(_)) if told.is_not_known => Code::Failed,
            (false, Some(_)) => Code::TimedOut,
            (false, None) => Code::Unreachable,
        };
        let last = told.last.unwrap_or(asked.clone());
        match code {
            _ if told.is_not_known => Failure::new(
                code,
                format!("{}: the server does not know the call; {last}", call.doing),
                format!("is {} the right port, and the same version?", self.flag),
            ),
            Code::OutcomeUnknown => Failure::new(
                code,
                format!("{}: outcome unknown after {within} ({last})", call.doing),
                format!(
                    "the same again is safe: {}; or ask: {}",
                    call.again.as_deref().unwrap_or("repeat the command"),
                    call.ask.as_deref().unwrap_or_default()
                ),
            ),
            Code::TimedOut => Failure::new(
                code,
                format!("{}: not done within {within}; last answer from {last}", call.doing),
                "see who leads with `stampede status`, then send the same command again, or give it more --timeout",
            ),
            _ => Failure::new(
                code,
                format!("{}: cannot connect to {asked}", call.doing),
                format!("check that a node runs there, or name others with {} host:port,host:port", self.flag),
            ),
        }
    }
}

async fn connect(address: &str, deadline: Instant) -> Result<Channel, ()> {
    // A server that vanishes without a word is noticed, also while a long answer is silent.
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(drop)?
        .connect_timeout(CLI_CONNECT_TIMEOUT)
        .http2_keep_alive_interval(HTTP2_KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(HTTP2_KEEP_ALIVE_TIMEOUT);
    timeout_at(deadline, endpoint.connect()).await.map_err(drop)?.map_err(drop)
}

const ALREADY_INITIALIZED: &str = "ALREADY_INITIALIZED";
const MEMBERS_INVALID: &str = "MEMBERS_INVALID";

/// A refusal that says nothing of what an earlier attempt did.
fn is_of_an_init(status: &Status) -> bool {
    [ALREADY_INITIALIZED, MEMBERS_INVALID].contains(&reason_of(status).as_str())
}

/// Refusals of a change of members that an earlier attempt may be the cause of, or that may pass.
const OF_MEMBERS: [&str; 5] = ["CHANGE_IN_PROGRESS", "MEMBER_UNKNOWN", "MEMBERS_FULL", "MEMBER_BEHIND", "QUORUM_AT_RISK"];

/// An earlier attempt that is still on its way will be done when its refusal has passed.
fn may_yet_be_done(status: &Status) -> bool {
    let reason = reason_of(status);
    OF_MEMBERS.contains(&reason.as_str()) || Refusal::of_reason(&reason, "").is_some_and(Refusal::may_pass)
}

fn reason_of(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

fn said(status: &Status) -> &str {
    if status.message().is_empty() { status.code().description() } else { status.message() }
}

/// Without details a status does not come from our error table, but from a gRPC library, a proxy or a broken connection: whatever
/// its code, it says nothing of what the ledger did.
fn effect_of(status: &Status) -> Effect {
    match status.get_details_error_info().and_then(|info| info.metadata.get("effect").cloned()).as_deref() {
        Some("none") => Effect::None,
        Some("retry") => Effect::Retry,
        _ => Effect::Unknown,
    }
}

fn refusal(call: &Call, status: &Status) -> Failure {
    let reason = reason_of(status);
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
        (ALREADY_INITIALIZED, _) => (Code::RefusedForSafety, "it is there already: see `stampede status`"),
        (MEMBERS_INVALID, _) => (Code::Failed, "nothing was changed: when every member runs and fits, the same again"),
        ("CHANGE_IN_PROGRESS", _) => (
            Code::RefusedForSafety,
            "one change at a time: see `stampede member list`, and give the command again that began it",
        ),
        ("MEMBER_UNKNOWN", _) => (Code::NotFound, "see who is a member with `stampede member list`"),
        ("MEMBERS_FULL", _) => {
            (Code::RefusedForSafety, "promote or remove a learner, or let a token expire: `stampede member list`")
        }
        ("MEMBER_BEHIND", _) => (Code::RefusedForSafety, "see it catch up with `stampede member list`, then the same again"),
        ("QUORUM_AT_RISK", _) => (Code::RefusedForSafety, "bring members back first: `stampede member list` says which answer"),
        ("STOCK_EXHAUSTED", _) => (Code::Failed, "open another series with `stampede series open`, or order fewer"),
        ("SERIES_UNKNOWN", _) => (Code::NotFound, "see which there are with `stampede series list`"),
        ("ORDER_ID_REUSED" | "PAYMENT_ID_REUSED" | "SERIES_REUSED", _) => {
            (Code::Failed, "the id stands for another request: look it up, or choose a new id")
        }
        ("REFUND_REUSED", _) => {
            (Code::Failed, "it was settled otherwise before: if you paid it out too, it went back twice; compare your books")
        }
        ("REFUND_UNKNOWN", _) => (Code::NotFound, "see what is owed back with `stampede refund list`"),
        ("REFUND_AMOUNT_WRONG", _) => (Code::Failed, "nothing was settled; see the amount with `stampede refund list`"),
        ("ORDER_NOT_ISSUED" | "ORDER_VOIDED" | "ORDER_ISSUED" | "ORDER_EXPIRED", _) => {
            (Code::Failed, "see what became of it with `stampede order get`")
        }
        ("ORDER_STAMPED" | "VOID_WINDOW_CLOSED", _) => (Code::Failed, "it can no longer be voided; its stamps stay good"),
        ("ORDER_EXHAUSTED", _) => (Code::Failed, "order more stamps with `stampede order place`"),
        ("POLICY_VERSION_REUSED" | "POLICY_VERSION_SKIPPED", _) => {
            (Code::Failed, "somebody else may have set it; see `stampede settings get`")
        }
        (_, GrpcCode::NotFound) => (Code::NotFound, "check the id"),
        (_, GrpcCode::InvalidArgument) => (Code::Usage, "correct the named value; --help says what is accepted"),
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
        Call::write("placing the order", "stampede order get 1", "stampede order place --order-id 1")
    }

    fn refused(code: GrpcCode, reason: &str, effect: &str) -> Status {
        let details =
            tonic_types::ErrorDetails::with_error_info(reason, "stampede", [("effect".to_owned(), effect.to_owned())]);
        Status::with_error_details(code, "told", details)
    }

    fn with_effect(effect: &str) -> Status {
        refused(GrpcCode::Unavailable, "ANY", effect)
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
        let read = Call::read("reading");
        let table = [
            (write(), with_effect("none"), Code::Failed),
            (write(), refused(GrpcCode::InvalidArgument, "INVALID_FIELD", "none"), Code::Usage),
            (read.clone(), refused(GrpcCode::NotFound, "ORDER_UNKNOWN", "none"), Code::NotFound),
            (write(), with_effect("retry"), Code::TimedOut),
            (write(), with_effect("unknown"), Code::OutcomeUnknown),
            // Not from the ledger: a proxy says such things after the execution, too.
            (write(), Status::unavailable("broken pipe"), Code::OutcomeUnknown),
            (write(), Status::not_found("no such route"), Code::OutcomeUnknown),
            (write(), Status::failed_precondition("proxy"), Code::OutcomeUnknown),
            (write(), Status::out_of_range("decoded message length too large"), Code::OutcomeUnknown),
            (write(), Status::unimplemented(""), Code::OutcomeUnknown),
            (read.clone(), Status::unavailable("broken pipe"), Code::TimedOut),
            (read.clone(), Status::unimplemented(""), Code::Failed),
        ];
        for (call, status, expected) in table {
            let result = servers(&[&address]).call::<()>(&call, async |_| Err(status.clone())).await;
            assert_eq!(result.unwrap_err().code, expected, "{status:?}");
        }
    }

    #[tokio::test]
    async fn a_refusal_that_may_not_stand_stays_unknown_after_an_attempt_that_may_have_happened() {
        let (_listener, address) = silent_listener().await;
        let table = [
            ("SERIES_UNKNOWN", Code::OutcomeUnknown),
            ("STOCK_EXHAUSTED", Code::OutcomeUnknown),
            // What the change itself that is under way is refused for, the second time.
            ("CHANGE_IN_PROGRESS", Code::OutcomeUnknown),
            ("QUORUM_AT_RISK", Code::OutcomeUnknown),
            ("MEMBER_BEHIND", Code::OutcomeUnknown),
            ("MEMBERS_FULL", Code::OutcomeUnknown),
            ("MEMBER_UNKNOWN", Code::OutcomeUnknown),
            ("ORDER_UNKNOWN", Code::OutcomeUnknown),
            ("REFUND_UNKNOWN", Code::OutcomeUnknown),
            ("ORDER_NOT_ISSUED", Code::OutcomeUnknown),
            ("VOID_WINDOW_CLOSED", Code::OutcomeUnknown),
            ("POLICY_VERSION_SKIPPED", Code::OutcomeUnknown),
            ("ORDER_STAMPED", Code::Failed),
            ("REFUND_REUSED", Code::Failed),
            (ALREADY_INITIALIZED, Code::OutcomeUnknown),
            (MEMBERS_INVALID, Code::OutcomeUnknown),
            ("ORDER_ID_REUSED", Code::Failed),
        ];
        for (reason, expected) in table {
            let attempts = std::cell::Cell::new(0);
            let (servers, write) = (servers(&[&address]), write());
            let result = servers.call::<()>(&write, async |_| {
                attempts.set(attempts.get() + 1);
                Err(if attempts.get() == 1 { Status::unavailable("gone") } else { refused(GrpcCode::NotFound, reason, "none") })
            });
            let failure = result.await.unwrap_err();
            assert_eq!(failure.code, expected, "{reason}: {failure}");
            if expected == Code::OutcomeUnknown {
                assert!(failure.next.contains("stampede order place --order-id 1"), "{failure}");
            }
        }
    }

    #[tokio::test]
    async fn the_server_is_given_what_is_left_of_the_time_and_no_more() {
        let (_listener, address) = silent_listener().await;
        let short = servers(&[&address]);
        let read = Call::read("reading");
        let result = short.call::<()>(&read, async |attempt| {
            let told = attempt.request(()).metadata().get("grpc-timeout").unwrap().to_str().unwrap().to_owned();
            assert!(attempt.within <= short.within, "{told}");
            Err(with_effect("retry"))
        });
        assert_eq!(result.await.unwrap_err().code, Code::TimedOut);
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

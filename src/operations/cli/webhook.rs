//! `webhook replay`: sends notices of payment gateways that were kept while nobody could take them.
//!
//! Safe to run again, and to stop half-way: a notice that was recorded is answered as `replayed` and changes nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use bytes::Bytes;
use clap::Subcommand;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Global;
use super::exit::{Code, Failure};
use super::output::{self, Record};
use crate::limits::{CLI_ATTEMPT_TIMEOUT, CLI_CONNECT_TIMEOUT, CLI_RETRY_PAUSE, WEBHOOK_BODY_BYTES_MAX};

#[derive(Debug, Subcommand)]
pub(super) enum WebhookCommand {
    /// Send the notices of a file, one after another, as the gateways would: one JSON object a line, such as
    /// {"gateway":"midtrans","headers":{},"body":"<the body as it came>"}. Exit code 12 if one was not taken
    Replay {
        file: PathBuf,
        /// Webhook addresses of nodes, host:port separated by commas; one after another is asked
        #[arg(long, env = "STAMPEDE_WEBHOOK", default_value = "127.0.0.1:7702", value_delimiter = ',')]
        webhook: Vec<String>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    gateway: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: String,
}

/// Of the connection that a notice came on, not of the notice.
const HEADERS_OF_THE_CONNECTION: [HeaderName; 5] =
    [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::EXPECT];

/// A notice that can be sent, wherever to.
struct Sendable {
    gateway: String,
    path: PathAndQuery,
    headers: HeaderMap,
    body: Bytes,
}

impl Sendable {
    /// # Errors
    /// Says what can be in no request.
    fn new(kept: Kept) -> Result<Self, String> {
        let path = format!("/v1/webhooks/{}", kept.gateway).parse();
        let path = path.map_err(|_| format!("gateway {:?} can be in no path", kept.gateway))?;
        let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        for (name, value) in &kept.headers {
            let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} can be no header's name"))?;
            // Not shown: it may be a secret.
            let value =
                HeaderValue::from_str(value).map_err(|_| format!("the value of header {name:?} can be in no header"))?;
            if !HEADERS_OF_THE_CONNECTION.contains(&known) {
                headers.insert(known, value);
            }
        }
        Ok(Self { gateway: kept.gateway, path, headers, body: Bytes::from(kept.body) })
    }
}

pub(super) async fn run(global: &Global, command: WebhookCommand) -> Result<(), Failure> {
    let WebhookCommand::Replay { file, webhook } = command;
    let unreadable = |error: std::io::Error| {
        Failure::new(Code::Failed, format!("cannot read {}: {error}", file.display()), "name a file that can be read")
    };
    let mut records = Vec::new();
    let ended = replay(global, &webhook, BufReader::new(File::open(&file).map_err(unreadable)?), &mut records).await;
    // Also what was sent before something went wrong.
    let (sent, not_taken) = (records.len(), records.iter().filter(|(is_taken, _)| !is_taken).count());
    let records = records.into_iter().map(|(_, record)| record).collect();
    output::print_records(global.output, &["line", "gateway", "status", "outcome", "message"], records);
    eprintln!("{sent} notices sent, {not_taken} not taken");
    ended?;
    if not_taken > 0 {
        let message = format!("{not_taken} of {sent} notices were not taken");
        return Err(Failure::new(
            Code::VerificationFailed,
            message,
            "look at their messages; run it again when they are mended",
        ));
    }
    Ok(())
}

/// Adds each notice that was answered: whether it was taken, and what to show.
async fn replay(
    global: &Global,
    webhook: &[String],
    file: impl BufRead,
    records: &mut Vec<(bool, Record)>,
) -> Result<(), Failure> {
    for (line, text) in (1..).zip(file.lines()) {
        let text = text.map_err(|error| {
            Failure::new(Code::Failed, format!("cannot read on behind line {line}: {error}"), "name a file that can be read")
        })?;
        if text.trim().is_empty() {
            continue;
        }
        let kept = serde_json::from_str(&text).map_err(|error| error.to_string());
        let notice = kept.and_then(Sendable::new).map_err(|why| {
            let message = format!("line {line} is no notice: {why}");
            Failure::new(Code::Usage, message, "mend the line and run it again: what was sent before has no second effect")
        })?;
        let (status, answer) = send(global, webhook, &notice).await?;
        let record = vec![
            ("line", json!(line)),
            ("gateway", json!(notice.gateway)),
            ("status", json!(status.as_u16())),
            ("outcome", answer.get("outcome").cloned().unwrap_or_default()),
            ("message", answer.get("message").cloned().unwrap_or_default()),
        ];
        records.push((status.is_success(), record));
    }
    Ok(())
}

/// Until a node has an answer other than "later", or the time is up.
async fn send(global: &Global, addresses: &[String], notice: &Sendable) -> Result<(StatusCode, Value), Failure> {
    let deadline = Instant::now() + global.timeout;
    let mut last = String::new();
    loop {
        for address in addresses {
            match timeout_at(deadline, timeout(CLI_ATTEMPT_TIMEOUT, post(address, notice))).await {
                Ok(Ok(Ok((StatusCode::SERVICE_UNAVAILABLE, answer)))) => last = format!("{address}: {answer}"),
                Ok(Ok(Ok(answered))) => return Ok(answered),
                Ok(Ok(Err(error))) => last = format!("{address}: {error}"),
                Ok(Err(_)) => last = format!("{address}: no answer within {CLI_ATTEMPT_TIMEOUT:?}"),
                Err(_) => break,
            }
        }
        if Instant::now() + CLI_RETRY_PAUSE >= deadline {
            let message = format!("no node took the notice within {:?}: {last}", global.timeout);
            return Err(Failure::new(Code::Unreachable, message, "name nodes with --webhook, and run it again: it is safe"));
        }
        sleep(CLI_RETRY_PAUSE).await;
    }
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

async fn post(address: &str, notice: &Sendable) -> Result<(StatusCode, Value), AnyError> {
    let stream = timeout(CLI_CONNECT_TIMEOUT, TcpStream::connect(address)).await??;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::builder().method(Method::POST).uri(notice.path.as_str()).body(Full::new(notice.body.clone()))?;
    *request.headers_mut() = notice.headers.clone();
    request.headers_mut().insert(header::HOST, HeaderValue::from_str(address)?);
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), WEBHOOK_BODY_BYTES_MAX).collect().await?.to_bytes();
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}

//! `log-level show|set|reset`: what the logs of running nodes let through. A change ends by itself.

use std::time::Duration;

use clap::{Args, Subcommand};
use futures_util::future::join_all;
use serde_json::json;

use super::Global;
use super::connection::{Call, Servers};
use super::exit::{Code, Failure};
use super::output::{self, Record};
use crate::limits::LOG_FILTER_FOR_MAX;
use crate::operations::telemetry::LogFilter;
use crate::proto::admin::support_service_client::SupportServiceClient as Client;
use crate::proto::admin::{GetLogLevelRequest, LogLevel, SetLogLevelRequest};

#[derive(Debug, Subcommand)]
pub(super) enum LogLevelCommand {
    /// What each node's log lets through now, and when it goes back to what is configured
    Show,
    /// Let other lines through for a time, on each node that --admin names
    Set(SetArgs),
    /// As configured again, at once
    Reset,
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// off, error, warn, info, debug or trace for stampede's own lines; `debug,openraft=info` also hears a library
    filter: LogFilter,
    /// How long; then the log is as configured again
    #[arg(long = "for", value_name = "DURATION", default_value = "10m", value_parser = parse_for)]
    within: Duration,
}

pub(super) async fn run(global: &Global, command: &LogLevelCommand) -> Result<(), Failure> {
    let set = match command {
        LogLevelCommand::Show => None,
        LogLevelCommand::Set(args) => {
            let for_ms = i64::try_from(args.within.as_millis()).unwrap_or(i64::MAX);
            Some(SetLogLevelRequest { filter: args.filter.to_string(), for_ms })
        }
        LogLevelCommand::Reset => Some(SetLogLevelRequest::default()),
    };
    let told = join_all(global.admin.iter().map(|address| ask(global, address, set.as_ref()))).await;
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for (address, level) in global.admin.iter().zip(told) {
        match level {
            Ok(level) => rows.push(describe(address, &level)),
            Err(failure) => {
                eprintln!("{address}: {}", failure.message);
                failures.push(failure);
            }
        }
    }
    output::print_records(global.output, &["admin", "filter", "configured", "back_in"], rows);
    if let Some(first) = failures.pop() {
        let message = format!("{} of {} nodes: {}", failures.len() + 1, global.admin.len(), first.message);
        return Err(Failure { message, ..first });
    }
    Ok(())
}

/// Asks one node, or tells it. Both may be done again.
async fn ask(global: &Global, address: &str, set: Option<&SetLogLevelRequest>) -> Result<LogLevel, Failure> {
    let servers = Servers { addresses: vec![address.to_owned()], ..global.admins() };
    let level = match set {
        None => {
            let call = Call::read("asking for the log's level");
            let got = servers
                .call(&call, async |to| Client::new(to.channel()).get_log_level(to.request(GetLogLevelRequest {})).await);
            got.await?.level
        }
        Some(message) => {
            let call = Call::write("setting the log's level", "stampede log-level show", "the same command");
            let set =
                servers.call(&call, async |to| Client::new(to.channel()).set_log_level(to.request(message.clone())).await);
            set.await?.level
        }
    };
    level.ok_or_else(|| Failure::new(Code::Failed, format!("{address} told no level"), "has it the same version?"))
}

fn describe(address: &str, level: &LogLevel) -> Record {
    let left = Duration::from_secs(u64::try_from(level.left_ms).unwrap_or(0).div_ceil(1_000));
    vec![
        ("admin", json!(address)),
        ("filter", json!(level.filter)),
        ("configured", json!(level.configured_filter)),
        ("back_in", json!((level.left_ms > 0).then(|| humantime::format_duration(left).to_string()))),
    ]
}

fn parse_for(text: &str) -> Result<Duration, String> {
    let given = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (Duration::from_secs(1)..=LOG_FILTER_FOR_MAX).contains(&given) {
        return Ok(given);
    }
    Err(format!("must be 1s to {}", humantime::format_duration(LOG_FILTER_FOR_MAX)))
}

//! The log: one line for each thing that happened, on standard error.
//!
//! Lines carry `event`, a name that stays: alerts and searches may depend on it. No id of an order, an account or a payment
//! is logged; what happened to those is in the ledger. The libraries below are heard from warnings on: at `debug`, openraft
//! alone would write hundreds of lines for each entry. The time of a line is what the node's clock shows, as all else that it says of time.

use std::time::{Duration, UNIX_EPOCH};
use std::{fmt, io};

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::config::{Log, LogFormat, LogLevel};
use crate::clock;

/// Once, before the first line.
pub fn start(config: &Log) {
    let level = level(config.level);
    let libraries = if level == Level::ERROR { Level::ERROR } else { Level::WARN };
    let filter = Targets::new().with_default(libraries).with_target("stampede", level);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false).with_timer(Clock);
    let registry = tracing_subscriber::registry().with(filter);
    // A second start in one process (tests) keeps the first: nothing is lost by that.
    let _ = match config.format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
        LogFormat::Text => registry.with(lines).try_init(),
    };
}

/// RFC 3339, in UTC.
struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        let now = UNIX_EPOCH + Duration::from_millis(clock::unix_ms());
        write!(line, "{}", humantime::format_rfc3339_millis(now))
    }
}

const fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    }
}

//! The log: one line for each thing that happened, on standard error.
//!
//! Lines carry `event`, a name that stays: alerts and searches may depend on it. No id of an order, an account or a payment
//! is logged; what happened to those is in the ledger. The libraries below are heard from warnings on: at `debug`, openraft
//! alone would write hundreds of lines for each entry.

use std::io;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::config::{Log, LogFormat, LogLevel};

/// Once, before the first line.
pub fn start(config: &Log) {
    let level = level(config.level);
    let libraries = if level == Level::ERROR { Level::ERROR } else { Level::WARN };
    let filter = Targets::new().with_default(libraries).with_target("stampede", level);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
    let registry = tracing_subscriber::registry().with(filter);
    // A second start in one process (tests) keeps the first: nothing is lost by that.
    let _ = match config.format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
        LogFormat::Text => registry.with(lines).try_init(),
    };
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

//! The log: one line for each thing that happened, on standard error.
//!
//! Lines carry `event`, a name that stays: alerts and searches may depend on it (`cluster-config/monitoring/log.md` lists them). No
//! id of an order, an account or a payment is logged; what happened to those is in the ledger. The libraries below are heard from
//! warnings on, openraft from errors on ([`LogFilter`] says why): at `debug` it alone would write hundreds of lines for each entry.
//! The time of a line is what the node's clock shows, as all else that it says of time. What is let through can be changed while the
//! node runs ([`LogControl`]), and the newest lines are kept in memory for a debug bundle ([`RecentLines`]): where standard error
//! goes, the node does not know.

mod control;
mod filter;
mod recent;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use std::{fmt, io};

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use self::control::{LogControl, LogState};
pub use self::filter::LogFilter;
pub use self::recent::RecentLines;
use super::config::{Log, LogFormat};
use crate::clock;

/// Once, before the first line.
#[must_use]
pub fn start(config: &Log) -> LogControl {
    let configured = LogFilter::of_level(config.level);
    let (filter, handle) = reload::Layer::new(configured.targets());
    let recent = Arc::new(RecentLines::default());
    let lines = tracing_subscriber::fmt::layer().with_writer(Lines(recent.clone())).with_ansi(false).with_timer(Clock);
    let registry = tracing_subscriber::registry().with(filter);
    // A second start in one process keeps the first: nothing is lost by that.
    let _ = match config.format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
        LogFormat::Text => registry.with(lines).try_init(),
    };
    LogControl::new(configured, recent, move |filter| handle.reload(filter.targets()).map_err(|error| error.to_string()))
}

/// Where lines go: to standard error, and into memory.
struct Lines(Arc<RecentLines>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter(&self.0)
    }
}

struct LineWriter<'a>(&'a RecentLines);

impl io::Write for LineWriter<'_> {
    /// The subscriber gives each line whole.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.keep(line);
        io::stderr().write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// RFC 3339, in UTC.
struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        let now = UNIX_EPOCH + Duration::from_millis(clock::unix_ms());
        write!(line, "{}", humantime::format_rfc3339_millis(now))
    }
}

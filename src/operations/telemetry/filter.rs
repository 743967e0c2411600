//! What the log lets through: a level for this program, and one for each library that somebody wants to hear more or less of.
//!
//! `debug` is this program at debug, `info,openraft=debug` also the consensus library. What is not named stays as it is
//! without a word: this program at `info`, libraries at `warn`, and the consensus library at `error`: it warns at each heartbeat to
//! a peer that is away, thirty times a second.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use crate::limits;
use crate::operations::config::LogLevel;

/// The target of this program's own lines.
const OURS: &str = "stampede";
/// Libraries that warn of what is told in a line of ours.
const WARN_TOO_OFTEN: [&str; 1] = ["openraft"];
/// From most to least severe, as they are written.
const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter {
    ours: LevelFilter,
    /// By target, without ours.
    others: BTreeMap<String, LevelFilter>,
}

impl LogFilter {
    #[must_use]
    pub fn of_level(level: LogLevel) -> Self {
        let ours = match level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        };
        Self { ours, others: BTreeMap::new() }
    }

    pub(super) fn targets(&self) -> Targets {
        // Libraries are never heard from more than this program is, unless they are named.
        let libraries = self.ours.min(LevelFilter::WARN);
        let quiet = WARN_TOO_OFTEN.map(|target| (target.to_owned(), self.ours.min(LevelFilter::ERROR)));
        let others = self.others.iter().map(|(target, level)| (target.clone(), *level));
        // The later of one target counts.
        Targets::new().with_default(libraries).with_target(OURS, self.ours).with_targets(quiet).with_targets(others)
    }
}

impl FromStr for LogFilter {
    type Err = String;

    /// # Errors
    /// Names the part that is at fault, and what is accepted.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > limits::LOG_FILTER_CHARS_MAX {
            return Err(format!("has {} characters, at most {} are taken", text.len(), limits::LOG_FILTER_CHARS_MAX));
        }
        let mut filter = Self::of_level(LogLevel::Info);
        for part in text.split(',').map(str::trim) {
            match part.split_once('=') {
                None => filter.ours = level(part)?,
                Some((OURS, name)) => filter.ours = level(name)?,
                Some((target, name)) => drop(filter.others.insert(checked_target(target)?, level(name)?)),
            }
        }
        Ok(filter)
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name(self.ours))?;
        self.others.iter().try_for_each(|(target, level)| write!(f, ",{target}={}", name(*level)))
    }
}

fn level(text: &str) -> Result<LevelFilter, String> {
    let known = LEVELS.into_iter().find(|(name, _)| *name == text).map(|(_, level)| level);
    known.ok_or_else(|| format!("{text:?} is no level: {} are", LEVELS.map(|(name, _)| name).join(", ")))
}

fn name(level: LevelFilter) -> &'static str {
    LEVELS.into_iter().find(|(_, of)| *of == level).map_or("off", |(name, _)| name)
}

/// A Rust path: `openraft`, `hyper::proto`.
fn checked_target(text: &str) -> Result<String, String> {
    let is_path = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte));
    is_path.then(|| text.to_owned()).ok_or_else(|| format!("{text:?} is no name of a library: a-z 0-9 _ and : are taken"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lets_through(filter: &str, target: &str, level: tracing::Level) -> bool {
        filter.parse::<LogFilter>().unwrap().targets().would_enable(target, &level)
    }

    #[test]
    fn a_level_is_of_this_program_and_libraries_keep_quiet_unless_they_are_named() {
        use tracing::Level;
        let table = [
            ("debug", "stampede::consensus", Level::DEBUG, true),
            ("debug", "stampede::consensus", Level::TRACE, false),
            ("debug", "hyper::proto", Level::INFO, false),
            ("debug", "hyper::proto", Level::WARN, true),
            ("error", "hyper::proto", Level::WARN, false),
            ("debug", "openraft::core", Level::WARN, false),
            ("debug", "openraft::core", Level::ERROR, true),
            ("off", "openraft::core", Level::ERROR, false),
            ("openraft=warn", "openraft::core", Level::WARN, true),
            ("openraft=debug", "openraft::core", Level::DEBUG, true),
            ("openraft=debug", "stampede", Level::INFO, true),
            ("stampede=off,openraft=info", "stampede", Level::ERROR, false),
            ("stampede=off,openraft=info", "openraft", Level::INFO, true),
        ];
        for (filter, target, level, expected) in table {
            assert_eq!(lets_through(filter, target, level), expected, "{filter}: {target} at {level}");
        }
    }

    #[test]
    fn a_filter_reads_back_as_it_is_shown() {
        for text in ["info", "off", "warn,h2=trace,openraft=debug"] {
            assert_eq!(text.parse::<LogFilter>().unwrap().to_string(), text);
        }
        assert_eq!("openraft=debug, stampede=error".parse::<LogFilter>().unwrap().to_string(), "error,openraft=debug");
    }

    #[test]
    fn what_is_no_filter_is_refused_by_its_part() {
        let table = [
            ("loud", "\"loud\" is no level: off, error, warn, info, debug, trace are"),
            ("", "\"\" is no level: off, error, warn, info, debug, trace are"),
            ("info,open raft=debug", "\"open raft\" is no name of a library: a-z 0-9 _ and : are taken"),
            ("info,openraft=", "\"\" is no level: off, error, warn, info, debug, trace are"),
        ];
        for (text, told) in table {
            assert_eq!(text.parse::<LogFilter>().unwrap_err(), told);
        }
        let long = "x".repeat(limits::LOG_FILTER_CHARS_MAX + 1);
        assert_eq!(long.parse::<LogFilter>().unwrap_err(), "has 257 characters, at most 256 are taken");
    }
}

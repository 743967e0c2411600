//! The kinds of values a key may have: how each is read from TOML or from text, and how it is printed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::size::Size;

/// What a key accepts. Bounds are inclusive; a kind without a default must be given.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Integer {
        default: Option<u64>,
        min: u64,
        max: u64,
    },
    Duration {
        default: Duration,
        min: Duration,
        max: Duration,
    },
    Size {
        default: Size,
        max: Size,
    },
    /// 1 to `chars_max` of a-z 0-9 -; the default alone may be empty.
    Name {
        default: &'static str,
        chars_max: usize,
    },
    Flag {
        default: bool,
    },
    Listen {
        default: SocketAddr,
    },
    Path,
    /// Empty stands for none.
    OptionalPath,
    /// `host:port`; empty stands for none.
    OptionalAddress,
    Choice {
        default: &'static str,
        among: &'static [&'static str],
    },
    Members,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Integer(u64),
    Duration(Duration),
    Size(Size),
    Text(String),
    Flag(bool),
    Listen(SocketAddr),
    Path(PathBuf),
    OptionalPath(Option<PathBuf>),
    Members(Vec<MemberAddresses>),
}

/// A member of the cluster as `init` will make it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberAddresses {
    /// Node id, 1 or higher; never used again for another node.
    pub id: u64,
    /// `host:port` of its client listener, as clients and peers reach it.
    pub client: String,
    /// `host:port` of its peer listener, as the other nodes reach it.
    pub peer: String,
    /// `host:port` of its operator listener, for `status`; optional.
    pub admin: Option<String>,
    /// `host:port` at which this node calls the member's peer listener, if not at `peer`, such as the near end of a tunnel;
    /// optional. It may differ from node to node, and is asked as long as the node runs.
    pub dial: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

pub(super) const LOG_FORMATS: &[&str] = &["json", "text"];
pub(super) const LOG_LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace"];

impl Kind {
    /// From a file; `directory` is where that file is: a relative path starts there, wherever the node is started.
    pub(super) fn read_toml(&self, value: &toml::Value, directory: &Path) -> Result<Value, String> {
        match (self, value) {
            (Self::Integer { .. }, toml::Value::Integer(number)) => {
                self.bounded(Value::Integer(u64::try_from(*number).map_err(|_| format!("{} is negative", *number))?))
            }
            (Self::Flag { .. }, toml::Value::Boolean(flag)) => Ok(Value::Flag(*flag)),
            (Self::Path, toml::Value::String(text)) => Ok(Value::Path(directory.join(checked_path(text)?))),
            (Self::OptionalPath, toml::Value::String(text)) => {
                Ok(Value::OptionalPath((!text.is_empty()).then(|| directory.join(text))))
            }
            (Self::Members, toml::Value::Array(_)) => read_members(value),
            (Self::Integer { .. } | Self::Flag { .. } | Self::Members, other) => {
                Err(format!("{} expected, found {}", self.describe(), describe_toml(other)))
            }
            (_, toml::Value::String(text)) => self.read_text(text),
            (_, other) => Err(format!("{} in quotes expected, found {}", self.describe(), describe_toml(other))),
        }
    }

    /// From a variable or a flag.
    pub(super) fn read_text(&self, text: &str) -> Result<Value, String> {
        let unreadable = || format!("{} expected, found {text:?}", self.describe());
        let value = match self {
            Self::Integer { .. } => Value::Integer(text.parse().map_err(|_| unreadable())?),
            Self::Duration { .. } => Value::Duration(humantime::parse_duration(text).map_err(|_| unreadable())?),
            Self::Size { .. } => Value::Size(text.parse().map_err(|()| unreadable())?),
            Self::Flag { .. } => Value::Flag(text.parse().map_err(|_| unreadable())?),
            Self::Listen { .. } => Value::Listen(text.parse().map_err(|_| unreadable())?),
            Self::Path => Value::Path(PathBuf::from(checked_path(text)?)),
            Self::OptionalPath => Value::OptionalPath((!text.is_empty()).then(|| PathBuf::from(text))),
            Self::Name { .. } | Self::Choice { .. } => Value::Text(text.to_owned()),
            Self::OptionalAddress => match text {
                "" => Value::Text(String::new()),
                text => check_host_port(text).map(|()| Value::Text(text.to_owned()))?,
            },
            Self::Members => {
                let table = format!("members = {text}").parse::<toml::Table>().map_err(|_| unreadable())?;
                read_members(table.get("members").ok_or_else(unreadable)?)?
            }
        };
        self.bounded(value)
    }

    fn bounded(&self, value: Value) -> Result<Value, String> {
        let is_within = match (self, &value) {
            (Self::Integer { min, max, .. }, Value::Integer(got)) => (min..=max).contains(&got),
            (Self::Duration { min, max, .. }, Value::Duration(got)) => (min..=max).contains(&got),
            (Self::Size { max, .. }, Value::Size(got)) => got <= max,
            (Self::Choice { among, .. }, Value::Text(got)) => among.contains(&got.as_str()),
            (Self::Name { default, chars_max }, Value::Text(got)) => {
                (!got.is_empty() || default.is_empty())
                    && got.len() <= *chars_max
                    && got.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            }
            _ => true,
        };
        if is_within { Ok(value) } else { Err(format!("must be {}, is {}", self.describe(), value.print())) }
    }

    pub(super) fn default_value(&self) -> Option<Value> {
        match self {
            Self::Integer { default, .. } => default.map(Value::Integer),
            Self::Duration { default, .. } => Some(Value::Duration(*default)),
            Self::Size { default, .. } => Some(Value::Size(*default)),
            Self::Name { default, .. } | Self::Choice { default, .. } => Some(Value::Text((*default).to_owned())),
            Self::Flag { default } => Some(Value::Flag(*default)),
            Self::Listen { default } => Some(Value::Listen(*default)),
            Self::OptionalPath => Some(Value::OptionalPath(None)),
            Self::OptionalAddress => Some(Value::Text(String::new())),
            Self::Members => Some(Value::Members(Vec::new())),
            Self::Path => None,
        }
    }

    /// What may be given, for messages and for `config print`.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Integer { min, max, .. } => format!("a number, {min} to {max}"),
            Self::Duration { min, max, .. } => {
                format!("a duration, {} to {}", humantime::format_duration(*min), humantime::format_duration(*max))
            }
            Self::Size { max, .. } => format!("a size, 0B to {max}"),
            Self::Name { chars_max, .. } => format!("1 to {chars_max} of a-z 0-9 -"),
            Self::Flag { .. } => "true or false".to_owned(),
            Self::Listen { .. } => "an address, ip:port".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::OptionalPath => "a path, or nothing".to_owned(),
            Self::OptionalAddress => "host:port, or nothing".to_owned(),
            Self::Choice { among, .. } => format!("one of {}", among.join(", ")),
            Self::Members => "a list of { id, client, peer, admin, dial }".to_owned(),
        }
    }
}

impl Value {
    /// As it would stand in a file.
    pub(super) fn print(&self) -> String {
        match self {
            Self::Integer(number) => number.to_string(),
            Self::Duration(duration) => format!("\"{}\"", humantime::format_duration(*duration)),
            Self::Size(size) => format!("\"{size}\""),
            Self::Text(text) => toml::Value::String(text.clone()).to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Listen(address) => format!("\"{address}\""),
            Self::Path(path) => toml::Value::String(path.display().to_string()).to_string(),
            Self::OptionalPath(path) => {
                let shown = path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
                toml::Value::String(shown).to_string()
            }
            Self::Members(members) => {
                let lines: Vec<String> = members.iter().map(print_member).collect();
                if lines.is_empty() { "[]".to_owned() } else { format!("[\n{}]", lines.concat()) }
            }
        }
    }
}

fn print_member(member: &MemberAddresses) -> String {
    let admin = member.admin.as_ref().map(|address| format!(", admin = \"{address}\"")).unwrap_or_default();
    let dial = member.dial.as_ref().map(|address| format!(", dial = \"{address}\"")).unwrap_or_default();
    format!("    {{ id = {}, client = \"{}\", peer = \"{}\"{admin}{dial} }},\n", member.id, member.client, member.peer)
}

fn checked_path(text: &str) -> Result<&str, String> {
    if text.is_empty() { Err("a path expected, found nothing".to_owned()) } else { Ok(text) }
}

fn read_members(value: &toml::Value) -> Result<Value, String> {
    let members = Vec::<MemberAddresses>::deserialize(value.clone()).map_err(|error| error.message().to_owned())?;
    for member in &members {
        let optional = [&member.admin, &member.dial].into_iter().flatten();
        for address in [&member.client, &member.peer].into_iter().chain(optional) {
            check_host_port(address).map_err(|problem| format!("member {}: {problem}", member.id))?;
        }
    }
    Ok(Value::Members(members))
}

/// `host:port`; the host may be a name, which is looked up at each connection.
fn check_host_port(address: &str) -> Result<(), String> {
    let is_good =
        address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p != 0));
    if is_good { Ok(()) } else { Err(format!("host:port expected, found {address:?}")) }
}

fn describe_toml(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => format!("the text {text:?}"),
        toml::Value::Integer(number) => format!("the number {number}"),
        toml::Value::Boolean(flag) => format!("{flag}"),
        other => format!("a {}", other.type_str()),
    }
}

//! Where values come from, and which of them wins.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ConfigError;
use super::schema::{KEYS, Key, SECTIONS};
use super::size::Size;
use super::value::{LogFormat, LogLevel, MemberAddresses, Value};

/// Before a section's name in a variable: `STAMPEDE_RAFT__HEARTBEAT` is `raft.heartbeat`.
const ENVIRONMENT_PREFIX: &str = "STAMPEDE_";
/// Between section and field.
const ENVIRONMENT_SEPARATOR: &str = "__";
/// Variables with our prefix that are no keys of a node: of the commands, the build, the tests.
const OTHER_VARIABLES: [&str; 9] =
    ["SERVER", "ADMIN", "WEBHOOK", "JOIN", "REVISION", "SIM_SEED", "SIM_TRACE", "CRASH_POINT", "CRASH_TEST_DIR"];
/// In the names of variables that Kubernetes sets for each service beside it, one named `stampede` among them.
const KUBERNETES_MARKS: [&str; 3] = ["SERVICE_HOST", "SERVICE_PORT", "PORT_"];

/// What to read, in this order; the later wins, key by key.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    pub files: Vec<PathBuf>,
    /// Names and values; other programs' variables are passed over.
    pub environment: Vec<(String, String)>,
    /// `section.field=value`
    pub flags: Vec<String>,
}

impl Sources {
    /// Files and flags of a command line, and this process's environment.
    #[must_use]
    pub fn of_process(files: Vec<PathBuf>, flags: Vec<String>) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { files, environment, flags }
    }
}

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File(PathBuf),
    Environment(String),
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => path.display().fmt(f),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag => f.write_str("flag --set"),
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Values {
    by_key: BTreeMap<&'static str, (Value, Origin)>,
}

impl Values {
    /// Of a key of the schema, once [`Self::fill_defaults`] went well.
    pub(super) fn get(&self, name: &str) -> &Value {
        &self.by_key.get(name).expect("every key of the schema has a value after fill_defaults").0
    }

    pub(super) fn with_origin(&self, name: &str) -> Option<&(Value, Origin)> {
        self.by_key.get(name)
    }

    pub(super) fn files(&self) -> BTreeSet<PathBuf> {
        let of = |(_, origin): &(Value, Origin)| if let Origin::File(path) = origin { Some(path.clone()) } else { None };
        self.by_key.values().filter_map(of).collect()
    }

    pub(super) fn fill_defaults(&mut self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        for key in KEYS {
            if self.by_key.contains_key(key.name) {
                continue;
            }
            match key.kind.default_value() {
                Some(value) => drop(self.by_key.insert(key.name, (value, Origin::Default))),
                None => {
                    problems.push(format!("{} is missing: {} expected, and it has no default", key.name, key.kind.describe()))
                }
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }
}

pub(super) fn merge(sources: &Sources) -> Result<Values, ConfigError> {
    let mut values = Values::default();
    let mut problems = Vec::new();
    for path in &sources.files {
        read_file(path, &mut values, &mut problems);
    }
    for (name, text) in &sources.environment {
        read_variable(name, text, &mut values, &mut problems);
    }
    for flag in &sources.flags {
        read_flag(flag, &mut values, &mut problems);
    }
    if problems.is_empty() { Ok(values) } else { Err(ConfigError { problems }) }
}

fn read_file(path: &Path, values: &mut Values, problems: &mut Vec<String>) {
    let shown = path.display();
    let table = match std::fs::read_to_string(path) {
        Ok(text) => match text.parse::<toml::Table>() {
            Ok(table) => table,
            Err(error) => return problems.push(format!("{shown} is no TOML: {error}")),
        },
        Err(error) => return problems.push(format!("cannot read {shown}: {error}")),
    };
    let directory = path.parent().unwrap_or(Path::new(""));
    for (section, fields) in &table {
        if !SECTIONS.iter().any(|(name, _)| name == section) {
            let known: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
            problems.push(format!("unknown key {section} in {shown}; the sections are {}", known.join(", ")));
            continue;
        }
        let Some(fields) = fields.as_table() else {
            problems.push(format!("{section} in {shown} must be a section: [{section}]"));
            continue;
        };
        for (field, value) in fields {
            let name = format!("{section}.{field}");
            let origin = Origin::File(path.to_owned());
            match find(&name) {
                None => problems.push(unknown(&name, &origin)),
                Some(key) => match key.kind.read_toml(value, directory) {
                    Ok(value) => drop(values.by_key.insert(key.name, (value, origin))),
                    Err(problem) => problems.push(format!("{name} in {origin}: {problem}")),
                },
            }
        }
    }
}

fn read_variable(variable: &str, text: &str, values: &mut Values, problems: &mut Vec<String>) {
    let Some(rest) = variable.strip_prefix(ENVIRONMENT_PREFIX) else { return };
    let Some((section, field)) = rest.split_once(ENVIRONMENT_SEPARATOR) else {
        let is_of_kubernetes = rest.ends_with("PORT") || KUBERNETES_MARKS.iter().any(|mark| rest.contains(mark));
        if !OTHER_VARIABLES.contains(&rest) && !is_of_kubernetes {
            problems.push(format!("unknown variable {variable}; the nearest is {}", nearest_variable(rest)));
        }
        return;
    };
    let name = format!("{}.{}", section.to_ascii_lowercase(), field.to_ascii_lowercase());
    read_one(&name, text, Origin::Environment(variable.to_owned()), values, problems);
}

fn read_flag(flag: &str, values: &mut Values, problems: &mut Vec<String>) {
    match flag.split_once('=') {
        Some((name, text)) => read_one(name.trim(), text.trim(), Origin::Flag, values, problems),
        None => problems.push(format!("--set {flag}: section.field=value expected")),
    }
}

fn read_one(name: &str, text: &str, origin: Origin, values: &mut Values, problems: &mut Vec<String>) {
    match find(name) {
        None => problems.push(unknown(name, &origin)),
        Some(key) => match key.kind.read_text(text) {
            Ok(value) => drop(values.by_key.insert(key.name, (value, origin))),
            Err(problem) => problems.push(format!("{name} in {origin}: {problem}")),
        },
    }
}

fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// What was probably meant: the name of a key's variable that takes the fewest changes.
fn nearest_variable(rest: &str) -> String {
    let variables = KEYS.iter().map(|key| key.name.replace('.', ENVIRONMENT_SEPARATOR).to_ascii_uppercase());
    let nearest = variables.min_by_key(|variable| changes_between(variable, rest)).unwrap_or_default();
    format!("{ENVIRONMENT_PREFIX}{nearest}")
}

/// Bytes put in, left out or replaced to make one text of the other (Levenshtein).
fn changes_between(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, a) in (1..).zip(one.bytes()) {
        let mut diagonal = std::mem::replace(&mut row[0], above);
        for (at, b) in (1..).zip(other.bytes()) {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[at];
            row[at] = replaced.min(diagonal + 1).min(row[at - 1] + 1);
        }
    }
    row[other.len()]
}

/// Names the keys of that section: a slip of the pen is seen at once.
fn unknown(name: &str, origin: &Origin) -> String {
    let section = name.split_once('.').map_or(name, |(section, _)| section);
    let fields: Vec<&str> = KEYS
        .iter()
        .filter_map(|key| key.name.split_once('.'))
        .filter(|(of, _)| *of == section)
        .map(|(_, field)| field)
        .collect();
    if fields.is_empty() {
        return format!("unknown key {name} in {origin}");
    }
    format!("unknown key {name} in {origin}; [{section}] has {}", fields.join(", "))
}

/// A field's type from its value; the schema pairs each field with a kind that makes this value.
pub(super) trait FromValue: Sized {
    fn from_value(value: &Value) -> Self;
}

macro_rules! from_value {
    ($( $type:ty: $pattern:pat => $result:expr; )*) => {
        $( impl FromValue for $type {
            fn from_value(value: &Value) -> Self {
                match value {
                    $pattern => $result,
                    other => unreachable!("the schema gives this field another kind: {other:?}"),
                }
            }
        } )*
    };
}

from_value! {
    u64: Value::Integer(number) => *number;
    Duration: Value::Duration(duration) => *duration;
    Size: Value::Size(size) => *size;
    String: Value::Text(text) => text.clone();
    bool: Value::Flag(flag) => *flag;
    SocketAddr: Value::Listen(address) => *address;
    PathBuf: Value::Path(path) => path.clone();
    Option<PathBuf>: Value::OptionalPath(path) => path.clone();
    Vec<MemberAddresses>: Value::Members(members) => members.clone();
    LogFormat: Value::Text(text) => if text == "text" { Self::Text } else { Self::Json };
    LogLevel: Value::Text(text) => match text.as_str() {
        "error" => Self::Error,
        "warn" => Self::Warn,
        "debug" => Self::Debug,
        "trace" => Self::Trace,
        _ => Self::Info,
    };
}

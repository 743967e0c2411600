//! What a node is told before it starts: files, then `STAMPEDE_*` variables, then flags; the later wins, key by key.
//!
//! Each key stands once, in `schema`, with its type, default, bounds and the text that `config print` shows. A key that is
//! not there is an error that names it and where it was found; so is a value out of its bounds. All problems are reported,
//! not only the first.
//!
//! Not here: what must be equal on all nodes for ever. That is replicated, not configured.

mod check;
mod layers;
mod print;
mod schema;
mod size;
mod value;

use std::collections::BTreeSet;
use std::path::PathBuf;

pub use layers::{Origin, Sources};
pub use print::{effective, reference};
pub use schema::{Advertise, Cluster, Config, Gateways, Listen, Log, Node, Raft, Security, Serials};
pub use size::Size;
pub use value::{LogFormat, LogLevel, MemberAddresses};

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct ConfigError {
    pub problems: Vec<String>,
}

impl From<String> for ConfigError {
    fn from(problem: String) -> Self {
        Self { problems: vec![problem] }
    }
}

/// A checked configuration, and where each value came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    values: layers::Values,
    /// Allowed, but worth a line in the log.
    pub warnings: Vec<String>,
}

impl Loaded {
    /// Those in which at least one value stands that is in force.
    #[must_use]
    pub fn files(&self) -> BTreeSet<PathBuf> {
        self.values.files()
    }
}

/// Reads, merges and checks.
///
/// # Errors
/// Each problem names the key, the limit, and the file, variable or flag at fault.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let mut values = layers::merge(sources)?;
    values.fill_defaults()?;
    let config = Config::from_values(&values);
    let warnings = check::check(&config)?;
    Ok(Loaded { config, values, warnings })
}

#[cfg(test)]
mod tests;

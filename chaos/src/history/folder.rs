//! The folder of one run: which file holds what. Everything that the judge needs is in it.
//!
//! ```text
//! target/drills/<time>-<scenario>-<seed>/
//!   scenario.toml  run.json  history.bin  log.bin  events.bin  scans/node-<id>.bin  nodes/…
//!   verdict.json   junit.xml  report.html
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where runs go unless they are told otherwise, from where the tool was started.
pub const DRILLS: &str = "target/drills";
/// Of `run.json`.
pub const RUN_SCHEMA: u32 = 1;

#[derive(Debug, Clone)]
pub struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    /// Makes a new folder with its sub-folders.
    ///
    /// # Errors
    /// It exists already, or cannot be made.
    pub fn create(root: &Path) -> io::Result<Self> {
        if let Some(parent) = root.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::create_dir(root)?;
        let folder = Self { root: root.to_owned() };
        std::fs::create_dir(folder.scans())?;
        std::fs::create_dir(folder.nodes())?;
        Ok(folder)
    }

    /// # Errors
    /// It is no folder of a run.
    pub fn open(root: &Path) -> io::Result<Self> {
        let folder = Self { root: root.to_owned() };
        if !folder.facts().is_file() {
            let message = format!("{} is no run's folder: it has no run.json", root.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        Ok(folder)
    }

    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A copy of the scenario as it was run.
    #[must_use]
    pub fn scenario(&self) -> PathBuf {
        self.root.join("scenario.toml")
    }

    /// [`RunFacts`].
    #[must_use]
    pub fn facts(&self) -> PathBuf {
        self.root.join("run.json")
    }

    #[must_use]
    pub fn history(&self) -> PathBuf {
        self.root.join("history.bin")
    }

    /// Length-delimited `ExportLogResponse`: the whole log from its beginning. Overlaps are fine, holes are not.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.root.join("log.bin")
    }

    /// Length-delimited `WatchLedgerResponse`, those with events: as they were told.
    #[must_use]
    pub fn events(&self) -> PathBuf {
        self.root.join("events.bin")
    }

    #[must_use]
    pub fn scans(&self) -> PathBuf {
        self.root.join("scans")
    }

    /// Length-delimited `ScanLedgerResponse` of one replica after the drain.
    #[must_use]
    pub fn scan(&self, node: u16) -> PathBuf {
        self.scans().join(format!("node-{node}.bin"))
    }

    /// Data directories and logs of the nodes.
    #[must_use]
    pub fn nodes(&self) -> PathBuf {
        self.root.join("nodes")
    }

    #[must_use]
    pub fn verdict(&self) -> PathBuf {
        self.root.join("verdict.json")
    }

    /// For the judge, while it judges.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.root.join("judging")
    }

    #[must_use]
    pub fn junit(&self) -> PathBuf {
        self.root.join("junit.xml")
    }

    #[must_use]
    pub fn report(&self) -> PathBuf {
        self.root.join("report.html")
    }
}

/// `run.json`: what the judge must know beside what happened.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunFacts {
    pub schema: u32,
    pub scenario: String,
    pub seed: u64,
    /// Every member of the cluster: each must be scanned.
    pub nodes: Vec<u16>,
    /// 64 hexadecimal digits: the key that the nodes make serial codes with.
    pub serial_key: String,
    #[serde(default)]
    pub bounds: Bounds,
    /// Faults that must have landed for the run to mean anything.
    #[serde(default)]
    pub required_faults: Vec<RequiredFault>,
    /// Names of the failures of 2024 whose situation the run must have been in. Empty: an older tool did not say.
    #[serde(default)]
    pub provoked: Vec<String>,
    /// By node: calls that carried payments and were turned away, by the metric of its last process. Empty: nobody looked.
    #[serde(default)]
    pub payments_shed: BTreeMap<u16, u64>,
    /// What went wrong beside the plan, such as a node that ended by itself: such a run cannot be held.
    #[serde(default)]
    pub problems: Vec<String>,
    /// By the wall clock, milliseconds since 1970; 0: an older tool did not say.
    #[serde(default)]
    pub started_at_ms: u64,
    /// What the tool exited with, in the end. Absent while it runs, and for ever if it was killed or failed.
    #[serde(default)]
    pub exit: Option<u8>,
    /// Prints this run again.
    #[serde(default)]
    pub command: String,
    /// Of the tool and of the nodes' program, by name: version, revision, and what else a build says of itself.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
    /// The plan as resolved from the seed; kept for people and for shrinking, not judged.
    #[serde(default)]
    pub plan: serde_json::Value,
}

impl RunFacts {
    /// Replaces the file as a whole: a tool that dies leaves the old one or the new one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, folder: &RunFolder) -> io::Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(io::Error::other)?;
        let unfinished = folder.facts().with_extension("unfinished");
        let mut file = File::create(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(unfinished, folder.facts())
    }

    /// # Errors
    /// The file cannot be read, is damaged, or was written by a newer tool.
    pub fn read(folder: &RunFolder) -> io::Result<Self> {
        let facts: Self = serde_json::from_str(&std::fs::read_to_string(folder.facts())?).map_err(io::Error::other)?;
        if facts.schema > RUN_SCHEMA {
            let message = format!("run.json has schema {}, this tool reads up to {RUN_SCHEMA}", facts.schema);
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        Ok(facts)
    }

    /// Adds what the tool exits with.
    ///
    /// # Errors
    /// As [`Self::read`] and [`Self::write`].
    pub fn note_exit(folder: &RunFolder, exit: u8) -> io::Result<()> {
        Self { exit: Some(exit), ..Self::read(folder)? }.write(folder)
    }

    /// How many nodes make a majority.
    #[must_use]
    pub fn majority(&self) -> usize {
        self.nodes.len() / 2 + 1
    }
}

/// Time bounds of V12, V14 and V15, from the scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// From a healthy majority to the first acknowledged write.
    pub first_success_ms: u64,
    /// From a healthy majority until the 99th percentile of a second is back at the baseline.
    pub p99_recovery_ms: u64,
    /// Back at the baseline: at most so many times the warm-up's 99th percentile...
    pub p99_factor: f64,
    /// ...or below this, whatever the warm-up showed.
    pub p99_floor_ms: u64,
    /// From the heal until every unknown is known.
    pub known_within_ms: u64,
    /// After the last fault, until buyers are served as before the first. `None`: not asked for.
    #[serde(default)]
    pub whole_again_ms: Option<u64>,
    /// Of what the run issued a second at its best, during its surge. `None`: there is no surge.
    #[serde(default)]
    pub goodput_share: Option<f64>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            first_success_ms: 5_000,
            p99_recovery_ms: 10_000,
            p99_factor: 3.0,
            p99_floor_ms: 250,
            known_within_ms: 30_000,
            whole_again_ms: None,
            goodput_share: None,
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequiredFault {
    /// As in [`super::FaultEvent::kind`]; or the condition, if there are `rounds`.
    pub kind: String,
    pub at_least: u32,
    /// The role that the target must have had when the fault fired ([`super::NodeRole::name`]); empty: any.
    #[serde(default)]
    pub role: String,
    /// Each time that the condition may become true: the numbers of its faults, which must all have landed for it to count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<Vec<u32>>,
}

//! The program that the nodes run: where it is, and what it says of its build.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};
use tokio::process::Command;

use crate::limits;

/// Of a node's environment: which deliberate defect it is to have, if its build has them (feature `planted-bugs`).
pub const PLANTED_BUG_VARIABLE: &str = "STAMPEDE_PLANTED_BUG";

/// How a node's process is made.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// `stampede`
    pub node: PathBuf,
    /// None: as the tool's own environment has it.
    pub planted_bug: Option<u8>,
    /// This tool, for its `watchdog` command.
    pub tool: PathBuf,
}

impl Binaries {
    #[must_use]
    pub fn sound(node: PathBuf, tool: PathBuf) -> Self {
        Self { node, planted_bug: None, tool }
    }

    /// A call of the node's program.
    pub(super) fn node_command(&self) -> Command {
        let mut command = Command::new(&self.node);
        command.envs(self.planted_bug.map(|number| (PLANTED_BUG_VARIABLE, number.to_string())));
        command
    }
}

/// In what a program says of its build, if a drill can control it from within.
pub const DRILL_CONTROLS: &str = "DRILL-CONTROLS";

/// What the node's program says of its build, on one line.
pub async fn node_version(binaries: &Binaries) -> String {
    let asked = binaries.node_command().arg("version").stdin(Stdio::null()).kill_on_drop(true).output();
    match tokio::time::timeout(limits::ADMIN_DEADLINE, asked).await {
        Ok(Ok(output)) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ")
        }
        Ok(Ok(output)) => format!("unknown: {}", output.status),
        Ok(Err(error)) => format!("unknown: {error}"),
        Err(_) => "unknown: no answer".to_owned(),
    }
}

/// The node's program: as told, else beside this tool, else where a build puts it.
///
/// # Errors
/// There is none.
pub fn find_node_binary(told: Option<&Path>, tool: &Path) -> anyhow::Result<PathBuf> {
    let candidates = match told {
        Some(path) => vec![path.to_owned()],
        None => vec![tool.with_file_name("stampede"), PathBuf::from("target/debug/stampede")],
    };
    match candidates.iter().find(|path| path.is_file()) {
        Some(path) => path.canonicalize().with_context(|| format!("resolving {}", path.display())),
        None => bail!(
            "no node program: looked for {}; build it, or name it with --node-binary",
            candidates.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
        ),
    }
}

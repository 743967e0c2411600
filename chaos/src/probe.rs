//! Where something is tried that a drill would do to the machine: in a folder that is like a run's, with an undo journal and a watchdog,
//! so that nothing of it stays, whatever becomes of who tries it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::cluster::watchdog::Watchdog;
use crate::undo::{self, Confirmed, Journal};

/// Below `runs`; the folder goes with it. `tool`: this program, for the watchdog.
///
/// # Errors
/// What was tried does not work, or something of it was left behind.
pub fn within(
    runs: &Path,
    tool: &Path,
    tried: impl FnOnce(&Path, &Journal, &Watchdog) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(runs).with_context(|| format!("making {}", runs.display()))?;
    let folder = tempfile::Builder::new().prefix("probe-").tempdir_in(runs.canonicalize()?)?;
    let journal = Journal::create(folder.path()).context("making the undo journal")?;
    let watchdog = Watchdog::start(tool, folder.path(), None).context("starting the watchdog")?;
    let outcome = tried(folder.path(), &journal, &watchdog);
    let healed = undo::heal(folder.path(), Duration::ZERO, &Confirmed::default())?;
    if !healed.left.is_empty() {
        // For `heal` to find.
        bail!("left behind in {}: {}", folder.keep().display(), healed.left.join("; "));
    }
    outcome
}

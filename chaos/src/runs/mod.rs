//! Earlier runs, read from their folders alone: `show`, `list` and `diff`. Nothing is judged here: that is for
//! [`crate::recheck`], and a run that was not judged is said to be none.

pub mod diff;
pub mod list;
pub mod show;
mod table;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use crate::history::folder::DRILLS;
use crate::history::{RunFacts, RunFolder};
use crate::verdict::{Exit, VERDICT_SCHEMA, Verdict};

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Table,
    Json,
}

/// What a folder says of its run.
#[derive(Debug)]
pub struct PastRun {
    pub folder: RunFolder,
    pub facts: RunFacts,
    /// `None`: it was never judged.
    pub verdict: Option<Verdict>,
}

/// The run's folder: as a path, or by its name under `target/drills`.
///
/// # Errors
/// There is none of that name, or it is not a run's.
pub fn find(run: &Path) -> anyhow::Result<RunFolder> {
    let by_name = Path::new(DRILLS).join(run);
    let root = [run.to_owned(), by_name.clone()].into_iter().find(|path| path.exists());
    let Some(root) = root else { bail!("there is no folder {}, nor {}", run.display(), by_name.display()) };
    Ok(RunFolder::open(&root)?)
}

/// The run of `target/drills` that began last.
///
/// # Errors
/// There is none.
pub fn newest() -> anyhow::Result<RunFolder> {
    let (runs, _) = list::read(Path::new(DRILLS))?;
    let newest = runs.into_iter().next().with_context(|| format!("there is no run in {DRILLS}: name a run's folder"))?;
    Ok(newest.folder)
}

impl PastRun {
    /// # Errors
    /// A file of it is damaged, or was written by a newer tool.
    pub fn read(folder: RunFolder) -> anyhow::Result<Self> {
        let facts = RunFacts::read(&folder).with_context(|| format!("reading {}", folder.facts().display()))?;
        let verdict = read_verdict(&folder.verdict()).with_context(|| {
            let (verdict, root) = (folder.verdict(), folder.root().display());
            format!("reading {} (`stampede-chaos recheck {root}` judges the run again)", verdict.display())
        })?;
        Ok(Self { folder, facts, verdict })
    }

    /// The last part of its path.
    #[must_use]
    pub fn name(&self) -> String {
        let root = self.folder.root();
        root.file_name().map_or_else(|| root.display().to_string(), |name| name.to_string_lossy().into_owned())
    }

    #[must_use]
    pub fn ruling(&self) -> &'static str {
        self.verdict.as_ref().map_or("not judged", |verdict| verdict.verdict.word())
    }

    /// With what the code means; `-`: the tool did not come to exit with one.
    #[must_use]
    pub fn exit(&self) -> String {
        match self.facts.exit {
            None => "-".into(),
            Some(code) => match Exit::of(code) {
                Some(exit) => format!("{code} ({})", exit.meaning()),
                None => code.to_string(),
            },
        }
    }
}

fn read_verdict(path: &PathBuf) -> anyhow::Result<Option<Verdict>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let verdict: Verdict = serde_json::from_str(&text)?;
    ensure!(
        verdict.schema <= VERDICT_SCHEMA,
        "verdict.json has schema {}, this tool reads up to {VERDICT_SCHEMA}",
        verdict.schema
    );
    Ok(Some(verdict))
}

//! The undo journal of a run: `undo.jsonl` in its folder.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::Undo;
use super::process::{Identity, lives};

const FILE: &str = "undo.jsonl";

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    /// First: the tool that this run is of.
    Tool(Identity),
    Will(Undo),
    Done(Undo),
}

/// Cheap to clone; every clone is the same file.
#[derive(Clone)]
pub struct Journal(Arc<Mutex<File>>);

impl Journal {
    /// # Errors
    /// It cannot be made, or is there already.
    pub fn create(folder: &Path) -> io::Result<Self> {
        let journal = Self(Arc::new(Mutex::new(File::create_new(folder.join(FILE))?)));
        journal.write(&Line::Tool(Identity::of(std::process::id())?))?;
        Ok(journal)
    }

    /// Before it is done. On disk when it returns.
    ///
    /// # Errors
    /// It is not on disk: then it must not be done.
    pub fn will(&self, undo: &Undo) -> io::Result<()> {
        self.write(&Line::Will(undo.clone()))
    }

    /// After it was taken back.
    ///
    /// # Errors
    /// It could not be written: it would be taken back once more, which does nothing.
    pub fn done(&self, undo: &Undo) -> io::Result<()> {
        self.write(&Line::Done(undo.clone()))
    }

    fn write(&self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(text.as_bytes())?;
        file.sync_data()
    }
}

fn lines(folder: &Path) -> anyhow::Result<Vec<Line>> {
    let path = folder.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    // What the tool had not finished to write it had not begun to do.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse = |line| serde_json::from_str(line).with_context(|| format!("{}: {line}", path.display()));
    whole.lines().map(parse).collect()
}

/// The folder is of a run that began to do something to the machine.
#[must_use]
pub fn has_journal(folder: &Path) -> bool {
    folder.join(FILE).is_file()
}

/// What is to be taken back, in the order in which it must be. Empty without a journal.
///
/// # Errors
/// The journal cannot be read.
pub fn left(folder: &Path) -> anyhow::Result<BTreeSet<Undo>> {
    let mut left = BTreeSet::new();
    for line in lines(folder)? {
        match line {
            Line::Tool(_) => {}
            Line::Will(undo) => drop(left.insert(undo)),
            Line::Done(undo) => drop(left.remove(&undo)),
        }
    }
    Ok(left)
}

/// The tool of this run still works on it.
///
/// # Errors
/// The journal cannot be read.
pub fn is_at_work(folder: &Path) -> anyhow::Result<bool> {
    Ok(lines(folder)?.iter().any(|line| matches!(line, Line::Tool(tool) if lives(tool))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_not_finished_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::create(folder.path()).unwrap();
        let undo = Undo::Unmount { at: "/mnt/one".into() };
        journal.will(&undo).unwrap();
        File::options().append(true).open(folder.path().join(FILE)).unwrap().write_all(b"{\"will\":{\"thaw\":").unwrap();
        assert_eq!(left(folder.path()).unwrap(), BTreeSet::from([undo]));
        assert!(is_at_work(folder.path()).unwrap(), "this process made it");
    }

    #[test]
    fn a_folder_without_a_journal_has_nothing_to_take_back() {
        let folder = tempfile::tempdir().unwrap();
        assert!(left(folder.path()).unwrap().is_empty() && !is_at_work(folder.path()).unwrap());
    }
}

//! The undo journal of a run: `undo.jsonl` in its folder.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::Undo;
use super::process::{Identity, is_at_work as works};

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
pub struct Journal(Arc<Mutex<Written>>);

struct Written {
    file: File,
    /// Bytes of the lines that are on disk as a whole.
    whole: u64,
}

impl Journal {
    /// # Errors
    /// It cannot be made, or is there already.
    pub fn create(folder: &Path) -> io::Result<Self> {
        let file = File::options().append(true).create_new(true).open(folder.join(FILE))?;
        let journal = Self(Arc::new(Mutex::new(Written { file, whole: 0 })));
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

    /// One that is there: what follows goes behind its last whole line.
    fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE);
        let whole = whole(&std::fs::read(&path)?).len() as u64;
        let file = File::options().append(true).open(path)?;
        Ok(Self(Arc::new(Mutex::new(Written { file, whole }))))
    }

    fn write(&self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Written { file, whole } = &mut *guard;
        // Half a line that could not be finished (a full disk) would spoil this one.
        file.set_len(*whole)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        *whole += text.len() as u64;
        Ok(())
    }
}

/// What a journal has; empty without one.
#[derive(Default)]
struct Lines {
    read: Vec<Line>,
    /// What no line of a journal looks like. It takes nothing from the others.
    unreadable: Vec<String>,
}

fn lines(folder: &Path) -> anyhow::Result<Lines> {
    let path = folder.join(FILE);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lines::default()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let mut lines = Lines::default();
    for line in whole(&bytes).split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(line) => lines.read.push(line),
            Err(error) => {
                lines.unreadable.push(format!("{}: {error}: {}", path.display(), String::from_utf8_lossy(line)));
            }
        }
    }
    Ok(lines)
}

/// What the tool had not finished to write it had not begun to do.
fn whole(bytes: &[u8]) -> &[u8] {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(&[], |end| &bytes[..=end])
}

/// By another than the tool, which is gone.
pub(super) fn note_done(folder: &Path, undo: &Undo) -> anyhow::Result<()> {
    Journal::open(folder).and_then(|journal| journal.done(undo)).context("writing the undo journal")
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
    for line in lines(folder)?.read {
        match line {
            Line::Tool(_) => {}
            Line::Will(undo) => drop(left.insert(undo)),
            Line::Done(undo) => drop(left.remove(&undo)),
        }
    }
    Ok(left)
}

/// Lines that say nothing any more: what they had said to take back, nobody knows.
///
/// # Errors
/// The journal cannot be read.
pub fn unreadable(folder: &Path) -> anyhow::Result<Vec<String>> {
    Ok(lines(folder)?.unreadable)
}

/// The tool of this run still works on it.
///
/// # Errors
/// The journal cannot be read, or what of it can be does not say whose it is.
pub fn is_at_work(folder: &Path) -> anyhow::Result<bool> {
    let lines = lines(folder)?;
    let mut tools = lines.read.iter().filter_map(|line| if let Line::Tool(tool) = line { Some(tool) } else { None }).peekable();
    if tools.peek().is_none() && !lines.unreadable.is_empty() {
        bail!("whose run it is cannot be read: {}", lines.unreadable.join("; "));
    }
    Ok(tools.any(works))
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
    fn a_damaged_line_is_told_and_takes_nothing_from_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::create(folder.path()).unwrap();
        let undo = |at: &str| Undo::Unmount { at: at.into() };
        journal.will(&undo("/mnt/one")).unwrap();
        let path = folder.path().join(FILE);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend(b"{\"will\":{\"unm\xff\0\n");
        std::fs::write(&path, bytes).unwrap();
        let more = serde_json::to_string(&Line::Will(undo("/mnt/two"))).unwrap();
        File::options().append(true).open(&path).unwrap().write_all(format!("{more}\n").as_bytes()).unwrap();
        assert_eq!(left(folder.path()).unwrap(), BTreeSet::from([undo("/mnt/one"), undo("/mnt/two")]));
        assert_eq!(unreadable(folder.path()).unwrap().len(), 1);
        assert!(is_at_work(folder.path()).unwrap());
        std::fs::write(&path, format!("damaged\n{more}\n")).unwrap();
        assert!(is_at_work(folder.path()).is_err(), "nobody knows whose it is");
    }

    /// Half a line, as a full disk leaves it.
    #[test]
    fn what_a_failed_write_left_does_not_spoil_the_next_line() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::create(folder.path()).unwrap();
        File::options().append(true).open(folder.path().join(FILE)).unwrap().write_all(b"{\"will\":{\"thaw\":").unwrap();
        let undo = Undo::Unmount { at: "/mnt/one".into() };
        journal.will(&undo).unwrap();
        assert_eq!(left(folder.path()).unwrap(), BTreeSet::from([undo]));
        assert_eq!(unreadable(folder.path()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_folder_without_a_journal_has_nothing_to_take_back() {
        let folder = tempfile::tempdir().unwrap();
        assert!(left(folder.path()).unwrap().is_empty() && !is_at_work(folder.path()).unwrap());
    }
}

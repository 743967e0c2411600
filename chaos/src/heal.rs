//! `stampede-chaos heal`: takes back what runs left on the machine whose tool and watchdog are both gone, and to nodes elsewhere by
//! commands that the caller names.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::history::folder::DRILLS;
use crate::limits;
use crate::undo::{self, Confirmed, Healed};
use crate::verdict::Exit;

/// Of one run's folder, or of every run in a folder of runs. One whose tool is at work is left alone; one that cannot be healed does
/// not keep the others from it. Commands are run that are `confirmed`.
///
/// # Errors
/// The folder is not there, or cannot be read.
pub fn heal_and_print(folder: &Path, confirmed: &Confirmed) -> anyhow::Result<Exit> {
    let (mut is_clean, mut at_work) = (true, 0);
    for run in runs(folder)? {
        let name = run.display();
        let healed = match healed(&run, confirmed) {
            Ok(Some(healed)) => healed,
            Ok(None) => {
                println!("at work  {name}");
                at_work += 1;
                continue;
            }
            Err(error) => Healed { left: vec![format!("{error:#}")], ..Healed::default() },
        };
        healed.undone.iter().for_each(|undone| println!("healed   {name}: {undone}"));
        healed.left.iter().for_each(|left| println!("LEFT     {name}: {left}"));
        is_clean &= healed.left.is_empty();
    }
    let (exit, said) = match (is_clean, at_work) {
        (false, _) => (Exit::Residue, "something is left behind: see above"),
        (true, 0) => (Exit::Held, "nothing is left behind"),
        (true, _) => (Exit::Inconclusive, "what is at work was left alone, and nobody knows yet what it will leave behind"),
    };
    println!("{said}");
    Ok(exit)
}

/// `None`: its tool is at work.
fn healed(run: &Path, confirmed: &Confirmed) -> anyhow::Result<Option<Healed>> {
    if undo::is_at_work(run)? { Ok(None) } else { undo::heal(run, limits::ORPHANS_SHOWN, confirmed).map(Some) }
}

/// The folder itself, or those in it, and in those of a `shrink` in it. None, where runs are kept and nothing was ever run.
fn runs(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if undo::has_journal(folder) {
        return Ok(vec![folder.to_owned()]);
    }
    if folder == Path::new(DRILLS) && !folder.exists() {
        return Ok(Vec::new());
    }
    let mut runs = Vec::new();
    for path in entries(folder)? {
        let may_hold_runs = !undo::has_journal(&path) && path.is_dir();
        runs.extend(if may_hold_runs { entries(&path)? } else { vec![path] });
    }
    runs.retain(|run| undo::has_journal(run));
    runs.sort();
    Ok(runs)
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let reading = || format!("reading {}", folder.display());
    let entries = std::fs::read_dir(folder).with_context(reading)?;
    entries.map(|entry| Ok(entry.with_context(reading)?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::undo::{Journal, Undo};

    #[test]
    fn of_a_folder_of_runs_each_is_healed_that_nobody_works_on() {
        let folder = tempfile::tempdir().unwrap();
        for run in ["one", "two"] {
            std::fs::create_dir(folder.path().join(run)).unwrap();
            let journal = Journal::create(&folder.path().join(run)).unwrap();
            journal.will(&Undo::Unmount { at: folder.path().join(run).join("disk") }).unwrap();
        }
        let of_a_shrink = folder.path().join("shrink/001-1");
        std::fs::create_dir_all(&of_a_shrink).unwrap();
        let _journal = Journal::create(&of_a_shrink).unwrap();
        assert_eq!(runs(folder.path()).unwrap().len(), 3);
        assert_eq!(runs(&folder.path().join("one")).unwrap(), [folder.path().join("one")]);
        assert!(runs(&folder.path().join("none")).is_err(), "a mistyped name is not a clean machine");
        assert_eq!(
            heal_and_print(folder.path(), &Confirmed::default()).unwrap(),
            Exit::Inconclusive,
            "this process is at work on them"
        );
        std::fs::write(folder.path().join("one/undo.jsonl"), "no line of a journal\n").unwrap();
        assert_eq!(
            heal_and_print(folder.path(), &Confirmed::default()).unwrap(),
            Exit::Residue,
            "nobody knows what is left of it"
        );
    }
}

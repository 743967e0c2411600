//! `stampede-chaos heal`: takes back what runs left on the machine whose tool and watchdog are both gone.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::undo;
use crate::verdict::Exit;

/// Of one run's folder, or of every run in a folder of runs. One whose tool is at work is left alone.
///
/// # Errors
/// A folder or a journal cannot be read.
pub fn heal_and_print(folder: &Path) -> anyhow::Result<Exit> {
    let mut is_clean = true;
    for run in runs(folder)? {
        let name = run.display();
        if undo::is_at_work(&run)? {
            println!("at work  {name}");
            continue;
        }
        let healed = undo::heal(&run).with_context(|| format!("healing {name}"))?;
        healed.undone.iter().for_each(|undone| println!("healed   {name}: {undone}"));
        healed.left.iter().for_each(|left| println!("LEFT     {name}: {left}"));
        is_clean &= healed.left.is_empty();
    }
    println!("{}", if is_clean { "nothing is left behind" } else { "something is left behind: see above" });
    Ok(if is_clean { Exit::Held } else { Exit::Residue })
}

/// The folder itself, or those in it. None, if it is not there: nothing was ever run.
fn runs(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if undo::has_journal(folder) || !folder.exists() {
        return Ok([folder.to_owned()].into_iter().filter(|folder| folder.exists()).collect());
    }
    let entries = std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut runs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|run| undo::has_journal(run)).collect();
    runs.sort();
    Ok(runs)
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
        assert_eq!(runs(folder.path()).unwrap().len(), 2);
        assert_eq!(runs(&folder.path().join("one")).unwrap(), [folder.path().join("one")]);
        assert_eq!(runs(&folder.path().join("none")).unwrap(), Vec::<PathBuf>::new());
        assert_eq!(heal_and_print(folder.path()).unwrap(), Exit::Held, "this process is at work on them");
    }
}

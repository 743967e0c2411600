//! Links between nodes in the hands of commands: one for each directed link that is cut, one for each that is joined.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use futures_util::future::try_join_all;

use super::commands::Runner;
use super::file::Taken;
use crate::network::Direction;

pub struct Links {
    runner: Runner,
    /// `cut`, and `heal` to take it back.
    commands: BTreeMap<Direction, Taken>,
    cut: Mutex<BTreeSet<Direction>>,
}

impl Links {
    pub(super) fn new(runner: Runner, commands: BTreeMap<Direction, Taken>) -> Self {
        Self { runner, commands, cut: Mutex::default() }
    }

    /// Those that are not cut yet, all at once.
    ///
    /// # Errors
    /// A command failed.
    pub async fn cut(&self, directions: &[Direction]) -> anyhow::Result<()> {
        let commands = directions.iter().map(|direction| anyhow::Ok((*direction, self.of(*direction)?)));
        let mut commands = commands.collect::<anyhow::Result<Vec<_>>>()?;
        commands.retain(|(direction, _)| self.now_cut().insert(*direction));
        try_join_all(commands.into_iter().map(|(_, (cut, heal))| self.runner.run_to_be_recalled(cut, heal))).await.map(drop)
    }

    /// All that are cut.
    ///
    /// # Errors
    /// A command failed.
    pub async fn join(&self) -> anyhow::Result<()> {
        let cut = std::mem::take(&mut *self.now_cut());
        try_join_all(cut.into_iter().map(|direction| async move {
            let (_, heal) = self.of(direction)?;
            self.runner.recall(heal).await
        }))
        .await
        .map(drop)
    }

    fn of(&self, direction: Direction) -> anyhow::Result<&Taken> {
        self.commands.get(&direction).context("the cluster file has no commands for cut and heal")
    }

    fn now_cut(&self) -> MutexGuard<'_, BTreeSet<Direction>> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::undo::{Journal, Recall, left};

    #[tokio::test]
    async fn a_link_is_cut_once_and_all_that_are_cut_are_joined() {
        let folder = tempfile::tempdir().unwrap();
        let said = folder.path().join("said");
        let says = |word: String| vec!["sh".to_owned(), "-c".to_owned(), format!("echo {word} >> {}", said.display())];
        let command = |(from, to)| {
            let recall = Recall { what: format!("the cut from {from} to {to}"), command: says(format!("join {from} {to}")) };
            ((from, to), (says(format!("cut {from} {to}")), recall))
        };
        let journal = Journal::create(folder.path()).unwrap();
        let runner = Runner { printed: folder.path().join("commands.log"), journal };
        let links = Links::new(runner, [(1, 2), (2, 1)].map(command).into());
        links.cut(&[(1, 2)]).await.unwrap();
        links.cut(&[(1, 2), (2, 1)]).await.unwrap();
        assert_eq!(left(folder.path()).unwrap().len(), 2);
        assert!(links.cut(&[(1, 3)]).await.is_err(), "the file has no command for it");
        let links_said = || {
            let mut lines: Vec<String> = std::fs::read_to_string(&said).unwrap().lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(links_said(), ["cut 1 2", "cut 2 1"]);
        links.join().await.unwrap();
        assert_eq!(links_said(), ["cut 1 2", "cut 2 1", "join 1 2", "join 2 1"]);
        assert!(left(folder.path()).unwrap().is_empty());
    }
}

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
        let new = directions.iter().filter(|direction| self.now_cut().insert(**direction)).collect::<Vec<_>>();
        try_join_all(new.into_iter().map(|direction| async move {
            let (cut, heal) = self.of(*direction)?;
            self.runner.run_to_be_recalled(cut, heal).await
        }))
        .await
        .map(drop)
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

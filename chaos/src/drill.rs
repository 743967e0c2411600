//! One drill from its first process to its verdict: runs, then judges, and either can be interrupted.

use std::io;

use anyhow::Context;

use crate::history::{RunFacts, RunFolder};
use crate::interrupt::Interrupt;
use crate::judge::{self, Judgement};
use crate::run::{self, Ended, Options};

/// # Errors
/// The tool or its surroundings failed: it says nothing of the system.
pub fn drill(options: &Options, interrupt: &Interrupt) -> anyhow::Result<(RunFolder, Judgement)> {
    let (folder, ended) = run::run(options, interrupt)?;
    let of_run = folder.clone();
    let left = ended.left_behind().to_vec();
    let judged = interrupt.unless(move || judge::judge(&of_run, &ended)).context("judging the run")?;
    let judgement = match judged {
        Some(judgement) => judgement?,
        None if left.is_empty() => judge::judge(&folder, &Ended::Interrupted)?,
        None => judge::judge(&folder, &Ended::LeftBehind(left))?,
    };
    match RunFacts::note_exit(&folder, judgement.exit as u8) {
        // It was stopped before it began.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        noted => noted.context("noting the exit in run.json")?,
    }
    Ok((folder, judgement))
}

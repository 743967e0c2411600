//! Tries candidates with real drills, each in a folder of its own, within a budget of runs and of time.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;

use super::as_file;
use super::search::{Trial, repeated};
use crate::cluster::{Binaries, Nodes, remove_data};
use crate::drill::drill;
use crate::interrupt::Interrupt;
use crate::judge::Judgement;
use crate::progress::Live;
use crate::run;
use crate::scenario::Scenario;
use crate::verdict::Exit;

pub(super) struct Trials<'a> {
    pub(super) binaries: &'a Binaries,
    pub(super) interrupt: &'a Interrupt,
    pub(super) seed: u64,
    /// One of these invariants must be broken for a run to count as the same failure.
    pub(super) named: BTreeSet<String>,
    /// Holds a folder for each run.
    pub(super) folder: PathBuf,
    pub(super) repeats: u32,
    pub(super) runs_max: u32,
    pub(super) until: Instant,
    pub(super) tally: Tally,
}

/// What came of the runs so far.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) candidates: u32,
    pub(super) runs: u32,
    /// Of the runs, those that could be judged; why the last other one could not.
    pub(super) judged: u32,
    pub(super) failure: Option<anyhow::Error>,
    /// The candidate that was last seen to fail: the smallest so far, as the search only goes down.
    pub(super) smallest: Option<Smallest>,
    /// Nothing more is tried, because of this.
    pub(super) stopped: Option<Stopped>,
}

pub(super) struct Smallest {
    pub(super) scenario: Scenario,
    /// Runs of it, of which the last failed.
    pub(super) runs: u32,
    /// What was broken in that one.
    pub(super) violated: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// All runs, or all the time, are used up.
    Budget,
    Interrupted,
    /// A run left something on the machine: nothing that comes after it would mean anything.
    Residue,
}

impl Trials<'_> {
    /// Runs a candidate until it fails, as often as it is to be repeated. `what`: for people.
    pub(super) fn of(&mut self, scenario: &Scenario, what: &str) -> Trial {
        self.tally.candidates += 1;
        println!("candidate {:<3} {what}", self.tally.candidates);
        let mut runs = 0;
        repeated(self.repeats, || {
            runs += 1;
            self.run(scenario, runs)
        })
    }

    fn run(&mut self, scenario: &Scenario, nth: u32) -> Trial {
        if self.tally.stopped.is_none() && (self.tally.runs >= self.runs_max || Instant::now() >= self.until) {
            self.tally.stopped = Some(Stopped::Budget);
        }
        if self.tally.stopped.is_some() {
            return Trial::Untried;
        }
        self.tally.runs += 1;
        let start = Instant::now();
        let judgement = self.drill(scenario, nth).unwrap_or_else(|error| {
            let judgement = Judgement::of_failure(&error);
            self.tally.failure = Some(error);
            judgement
        });
        let (trial, told) = self.ruled(scenario, nth, &judgement);
        println!("  run {nth} of {}: {told} ({} s)", self.repeats, start.elapsed().as_secs());
        trial
    }

    fn ruled(&mut self, scenario: &Scenario, runs: u32, judgement: &Judgement) -> (Trial, String) {
        let violated = || judgement.violated.join(" ");
        self.tally.judged += u32::from(judgement.verdict.is_some());
        match judgement.exit {
            Exit::Violated if judgement.violated.iter().any(|id| self.named.contains(id)) => {
                let violated = judgement.violated.clone();
                self.tally.smallest = Some(Smallest { scenario: scenario.clone(), runs, violated });
                (Trial::Fails, format!("fails: {}", judgement.violated.join(" ")))
            }
            Exit::Violated => (Trial::Holds, format!("another failure: {}", violated())),
            Exit::Interrupted => {
                self.tally.stopped = Some(Stopped::Interrupted);
                (Trial::Untried, "interrupted".to_owned())
            }
            Exit::Residue => {
                self.tally.stopped = Some(Stopped::Residue);
                (Trial::Untried, judgement.summary())
            }
            Exit::Held => (Trial::Holds, "held".to_owned()),
            _ => (Trial::Holds, format!("no failure: {}", judgement.summary())),
        }
    }

    fn drill(&self, scenario: &Scenario, nth: u32) -> anyhow::Result<Judgement> {
        let text = as_file(scenario)?;
        let scenario = Scenario::parse(&text).context("the candidate")?;
        let out = self.folder.join(format!("{:03}-{nth}", self.tally.candidates));
        let file = out.join("scenario.toml");
        let (seed, node) = (self.seed, self.binaries.node.display());
        let command = format!("stampede-chaos run {} --seed {seed} --node-binary {node}", file.display());
        let nodes = Nodes::Started(self.binaries.clone());
        let options = run::Options { scenario, text, seed, out: Some(out), nodes, live: Live::Nothing, metrics: None, command };
        let (folder, judgement) = drill(&options, self.interrupt)?;
        // Dozens of runs: what the nodes stored would fill the disk.
        remove_data(&folder)?;
        Ok(judgement)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn trials<'a>(binaries: &'a Binaries, interrupt: &'a Interrupt, runs_max: u32) -> Trials<'a> {
        Trials {
            binaries,
            interrupt,
            seed: 1,
            named: ["V1".to_owned(), "V11".to_owned()].into(),
            folder: PathBuf::new(),
            repeats: 3,
            runs_max,
            until: Instant::now() + Duration::from_secs(3_600),
            tally: Tally::default(),
        }
    }

    #[test]
    fn only_a_run_that_breaks_what_was_broken_before_fails() {
        let (binaries, interrupt) = (Binaries::sound("no-node".into(), "no-tool".into()), Interrupt::never());
        let (scenario, _) = Scenario::load("smoke").unwrap();
        for (exit, violated, expected, stopped) in [
            (Exit::Violated, "V11", Trial::Fails, None),
            (Exit::Violated, "V14", Trial::Holds, None),
            (Exit::Held, "", Trial::Holds, None),
            (Exit::Inconclusive, "", Trial::Holds, None),
            (Exit::ToolFailed, "", Trial::Holds, None),
            (Exit::Guarded, "", Trial::Holds, None),
            (Exit::Residue, "", Trial::Untried, Some(Stopped::Residue)),
            (Exit::Interrupted, "", Trial::Untried, Some(Stopped::Interrupted)),
        ] {
            let mut trials = trials(&binaries, &interrupt, 100);
            let violated = violated.split_whitespace().map(str::to_owned).collect();
            let judgement = Judgement { exit, violated, reasons: Vec::new(), folder: None, verdict: None };
            let (trial, told) = trials.ruled(&scenario, 2, &judgement);
            assert_eq!((trial, trials.tally.stopped), (expected, stopped), "{exit:?}: {told}");
            assert_eq!(trials.tally.smallest.is_some(), expected == Trial::Fails);
        }
    }

    #[test]
    fn nothing_is_tried_beyond_the_budget() {
        let (binaries, interrupt) = (Binaries::sound("no-node".into(), "no-tool".into()), Interrupt::never());
        let (scenario, _) = Scenario::load("smoke").unwrap();
        let mut without_runs = trials(&binaries, &interrupt, 0);
        let mut without_time = Trials { until: Instant::now(), ..trials(&binaries, &interrupt, 100) };
        for trials in [&mut without_runs, &mut without_time] {
            assert_eq!(trials.of(&scenario, "all of it"), Trial::Untried);
            assert_eq!((trials.tally.stopped, trials.tally.runs), (Some(Stopped::Budget), 0));
        }
    }
}

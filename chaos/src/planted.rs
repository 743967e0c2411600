//! Who judges the judge: builds with a deliberate defect must be found out, and the sound build must be found sound.
//!
//! For each planted bug the scenario that provokes it is run, seed after seed, until the judge says *violated* and names an
//! invariant that the defect breaks. A bug that no seed shows, or that is found for another reason, is a failure of the drill.

mod table;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::ensure;

use crate::cluster::{Binaries, Nodes, PLANTED_BUG_VARIABLE, remove_data};
use crate::drill::drill;
use crate::interrupt::Interrupt;
use crate::judge::Judgement;
use crate::progress::Live;
use crate::run;
use crate::scenario::Scenario;
use crate::verdict::Exit;
use table::Row;

/// Seeds tried for each bug before it counts as missed.
pub const SEEDS_MAX: u64 = 6;
/// Runs of the sound build.
pub const CLEAN_RUNS: u64 = 10;

/// A deliberate defect of the system, in a build with its feature `planted-bugs`.
pub struct PlantedBug {
    pub number: u8,
    pub what: &'static str,
    /// Provokes it.
    pub scenario: &'static str,
    /// One of these must be named.
    pub breaks: &'static [&'static str],
}

pub const PLANTED_BUGS: [PlantedBug; 16] = [
    PlantedBug { number: 1, what: "answers before the commit", scenario: "leader-kill", breaks: &["V1", "V11"] },
    PlantedBug {
        number: 2,
        what: "leaves the serial counter out of snapshots",
        scenario: "snapshot-churn",
        breaks: &["V2", "V4", "V13"],
    },
    PlantedBug {
        number: 3,
        what: "forgets payments on restart",
        scenario: "restart-all",
        breaks: &["V1", "V7", "V8", "V11", "V13", "V17"],
    },
    PlantedBug { number: 4, what: "decides refunds beside the log", scenario: "isolate-leader", breaks: &["V5", "V11", "V17"] },
    PlantedBug { number: 5, what: "does not sync the log", scenario: "power-cut", breaks: &["V1", "V8", "V11", "V13", "V16"] },
    PlantedBug { number: 6, what: "does not sync the vote", scenario: "restart-all", breaks: &["V2", "V16"] },
    PlantedBug { number: 7, what: "reads as a deposed leader", scenario: "isolate-leader", breaks: &["V10", "V11"] },
    PlantedBug {
        number: 8,
        what: "hands serials out of a block that no term fences",
        scenario: "isolate-leader",
        breaks: &["V2", "V11"],
    },
    PlantedBug { number: 9, what: "lets each node's own clock into apply", scenario: "leader-kill", breaks: &["V13"] },
    PlantedBug {
        number: 10,
        what: "writes changes and last-applied apart",
        scenario: "restart-all",
        breaks: &["V2", "V4", "V6", "V11", "V13"],
    },
    PlantedBug { number: 11, what: "tells a time-out as a refusal", scenario: "slow-client-deadlines", breaks: &["V9"] },
    PlantedBug { number: 12, what: "answers a notice 2xx before the commit", scenario: "leader-kill", breaks: &["V17"] },
    PlantedBug { number: 13, what: "goes by the leader's own clock", scenario: "clock-jump", breaks: &["V18"] },
    PlantedBug { number: 14, what: "purges before the snapshot is durable", scenario: "power-cut", breaks: &["V19"] },
    PlantedBug { number: 15, what: "reads without checksums", scenario: "bit-flips", breaks: &["V13", "V19"] },
    PlantedBug { number: 16, what: "leads with a disk that stands still", scenario: "stall-disk-leader", breaks: &["V14"] },
];

/// Of the sound build, in turn: each that a bug is found with, for what it names in a sound build too is no find; then the rest.
const CLEAN_SCENARIOS: [&str; 10] = [
    "leader-kill",
    "restart-all",
    "slow-client-deadlines",
    "snapshot-churn",
    "power-cut",
    "isolate-leader",
    "stall-disk-leader",
    "clock-jump",
    "bit-flips",
    "casn2024-leader-kill",
];

pub struct Options {
    /// The node of a build that has them all.
    pub planted: PathBuf,
    pub sound: Binaries,
    /// Empty: all.
    pub only: Vec<u8>,
    pub seeds: u64,
    pub clean_runs: u64,
    /// Times that each bug is looked for, each time with other seeds.
    pub finds: u64,
    /// Has the place for the table of what was found (`table`).
    pub table: Option<PathBuf>,
}

/// Prints a line for each; `Held` only if every bug was found and every clean run held, `Interrupted` on Ctrl-C.
///
/// # Errors
/// A build is missing, or the tool itself failed.
pub fn run(options: &Options, interrupt: &Interrupt) -> anyhow::Result<Exit> {
    ensure!(
        options.only.iter().all(|number| PLANTED_BUGS.iter().any(|bug| bug.number == *number)),
        "--only names a bug that is not planted"
    );
    let mut all_well = true;
    let mut rows = Vec::new();
    for bug in PLANTED_BUGS.iter().filter(|bug| options.only.is_empty() || options.only.contains(&bug.number)) {
        let mut row = Row::of(bug);
        for find in 0..options.finds {
            match hunt(options, bug, find * options.seeds + 1, interrupt)? {
                Hunt::Found { by, seconds } => row.add(&by, seconds),
                Hunt::Missed => all_well = false,
                Hunt::Interrupted => return Ok(Exit::Interrupted),
            }
        }
        rows.push(row);
    }
    if let Some(file) = &options.table {
        table::write(file, &rows)?;
    }
    for seed in 1..=options.clean_runs {
        let index = usize::try_from(seed - 1).unwrap_or_default();
        let scenario = CLEAN_SCENARIOS[index % CLEAN_SCENARIOS.len()];
        let judgement = one_run(scenario, seed, &options.sound, interrupt)?;
        if judgement.exit == Exit::Interrupted {
            return Ok(Exit::Interrupted);
        }
        let held = judgement.exit == Exit::Held;
        println!("sound build  {scenario:<22} seed {seed:<3} {}", if held { "held" } else { "NOT HELD" });
        if !held {
            println!("             {}", judgement.summary());
        }
        all_well &= held;
    }
    Ok(if all_well { Exit::Held } else { Exit::Violated })
}

enum Hunt {
    /// For the right reason: by these checks.
    Found {
        by: Vec<String>,
        seconds: u64,
    },
    Missed,
    Interrupted,
}

fn hunt(options: &Options, bug: &PlantedBug, first_seed: u64, interrupt: &Interrupt) -> anyhow::Result<Hunt> {
    let node = options.planted.clone();
    let binaries = Binaries { node, planted_bug: Some(bug.number), tool: options.sound.tool.clone() };
    let start = Instant::now();
    let mut last = None;
    for seed in (first_seed..).take(usize::try_from(options.seeds).unwrap_or(usize::MAX)) {
        let judgement = one_run(bug.scenario, seed, &binaries, interrupt)?;
        if judgement.exit == Exit::Interrupted {
            return Ok(Hunt::Interrupted);
        }
        let named: Vec<&str> = judgement.violated.iter().map(String::as_str).filter(|id| bug.breaks.contains(id)).collect();
        if judgement.exit == Exit::Violated && !named.is_empty() {
            let (names, seconds) = (named.join(" "), start.elapsed().as_secs());
            println!("planted bug {:<2} found by {names} with seed {seed} after {seconds} s: {}", bug.number, bug.what);
            return Ok(Hunt::Found { by: named.iter().map(|id| (*id).to_owned()).collect(), seconds });
        }
        last = Some(judgement);
    }
    println!("planted bug {:<2} NOT FOUND in {} seeds of {}: {}", bug.number, options.seeds, bug.scenario, bug.what);
    if let Some(judgement) = last {
        println!("             last: {}", judgement.summary());
    }
    Ok(Hunt::Missed)
}

/// One quiet run. A run that the tool could not finish is judged as that, not as the system's.
fn one_run(scenario: &str, seed: u64, binaries: &Binaries, interrupt: &Interrupt) -> anyhow::Result<Judgement> {
    let (loaded, text) = Scenario::load(scenario)?;
    let bug = binaries.planted_bug.map(|number| format!("{PLANTED_BUG_VARIABLE}={number} ")).unwrap_or_default();
    let command = format!("{bug}stampede-chaos run {scenario} --seed {seed} --node-binary {}", binaries.node.display());
    let nodes = Nodes::Started(binaries.clone());
    let options = run::Options { scenario: loaded, text, seed, out: None, nodes, live: Live::Nothing, metrics: None, command };
    match drill(&options, interrupt) {
        Ok((folder, judgement)) => {
            // Dozens of runs: what the nodes stored would fill the disk.
            remove_data(&folder)?;
            Ok(judgement)
        }
        // A defect may keep the cluster from forming at all: told, and the next seed tried.
        Err(error) => Ok(Judgement::of_failure(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_that_finds_a_bug_must_also_find_the_sound_build_sound() {
        let runs = usize::try_from(CLEAN_RUNS).unwrap();
        for bug in &PLANTED_BUGS {
            assert!(CLEAN_SCENARIOS.iter().take(runs).any(|name| *name == bug.scenario), "{}", bug.scenario);
        }
        assert!(CLEAN_SCENARIOS.len() <= runs, "each has its turn");
    }
}

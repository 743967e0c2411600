//! Scenario after scenario, seed after seed: what a release is held to.

use std::time::Instant;

use anyhow::ensure;

use crate::cluster::{Binaries, Nodes, remove_data};
use crate::doctor;
use crate::drill::drill;
use crate::interrupt::Interrupt;
use crate::progress::Live;
use crate::run;
use crate::scenario::{BUILT_IN, Scenario};
use crate::verdict::Exit;

pub struct Options {
    pub binaries: Binaries,
    /// From 1 to this.
    pub seeds: u64,
    /// Empty: all that are built in.
    pub scenarios: Vec<String>,
}

/// Prints a line for each run; `Held` only if every one held. What this machine cannot run is *inconclusive*, and said.
///
/// # Errors
/// A scenario is not built in.
pub fn run(options: &Options, interrupt: &Interrupt) -> anyhow::Result<Exit> {
    for name in &options.scenarios {
        ensure!(BUILT_IN.iter().any(|(built_in, _)| built_in == name), "no scenario {name} is built in");
    }
    let is_wanted = |name: &str| options.scenarios.is_empty() || options.scenarios.iter().any(|wanted| wanted == name);
    let start = Instant::now();
    let (mut runs, mut not_held) = (0, Vec::new());
    for (name, text) in BUILT_IN.into_iter().filter(|(name, _)| is_wanted(name)) {
        let scenario = Scenario::parse(text)?;
        if let Some(missing) = doctor::missing(&scenario, &options.binaries.node) {
            println!("{name:<26} cannot run here: no {missing}");
            not_held.push((format!("{name} cannot run here"), Exit::Inconclusive));
            continue;
        }
        for seed in 1..=options.seeds {
            let begun = Instant::now();
            let (exit, told) = one_run(&scenario, text, seed, options, interrupt);
            if exit == Exit::Interrupted {
                return Ok(exit);
            }
            runs += 1;
            println!("{name:<26} seed {seed:<3} {:>4} s  {told}", begun.elapsed().as_secs());
            if exit != Exit::Held {
                not_held.push((format!("{name} seed {seed}"), exit));
            }
        }
    }
    println!("{runs} runs in {} s, {} not held", start.elapsed().as_secs(), not_held.len());
    for (what, exit) in &not_held {
        println!("  {what}: {}", exit.meaning());
    }
    // A broken invariant outranks whatever else there was.
    let worst = not_held.iter().map(|(_, exit)| *exit).min_by_key(|exit| *exit as u8);
    Ok(worst.unwrap_or(Exit::Held))
}

fn one_run(scenario: &Scenario, text: &str, seed: u64, options: &Options, interrupt: &Interrupt) -> (Exit, String) {
    let command = format!("stampede-chaos run {} --seed {seed}", scenario.name);
    let (scenario, text) = (scenario.clone(), text.to_owned());
    let nodes = Nodes::Started(options.binaries.clone());
    let options = run::Options { scenario, text, seed, out: None, nodes, live: Live::Nothing, command };
    match drill(&options, interrupt) {
        Ok((folder, judgement)) if judgement.exit == Exit::Held => {
            // Dozens of runs: what the nodes stored would fill the disk.
            let kept = remove_data(&folder).err().map_or_else(String::new, |error| format!(" ({error})"));
            (judgement.exit, format!("held{kept}"))
        }
        Ok((folder, judgement)) => (judgement.exit, format!("{}: {}", judgement.summary(), folder.root().display())),
        Err(error) => (Exit::ToolFailed, format!("{error:#}")),
    }
}

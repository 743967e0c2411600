//! `stampede-chaos shrink`: from a run that broke an invariant to the smallest scenario that still breaks it.
//!
//! The run's schedule, as it was resolved, is taken apart (`pieces`); faults are left out as long as the failure stays (`search`),
//! each candidate being a drill of its own with the run's seed (`trials`); what is left is made shorter and lighter (`lighter`).
//! The seed gives the same buyers; the interleaving is the machine's own, so a candidate is tried several times before it counts as
//! sound, and one that fails once counts as failing.

mod lighter;
mod pieces;
pub mod search;
mod trials;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::cluster::Binaries;
use crate::doctor;
use crate::faults::plan::Plan;
use crate::interrupt::Interrupt;
use crate::run;
use crate::runs::PastRun;
use crate::scenario::Scenario;
use crate::verdict::Exit;
use pieces::Pieces;
use search::{Found, Trial};
use trials::{Smallest, Stopped, Tally, Trials};

/// Runs of a candidate before it counts as sound.
pub const REPEATS: u32 = 3;
pub const REPEATS_MAX: u32 = 20;
/// Drills of one search.
pub const RUNS: u32 = 100;
pub const RUNS_MAX: u32 = 10_000;
/// Name of the smallest scenario's file.
const FILE: &str = "smallest.toml";

pub struct Options {
    pub binaries: Binaries,
    pub repeats: u32,
    pub runs_max: u32,
    pub time_max: Duration,
    /// Of the search; `None`: a new one under `target/drills`.
    pub out: Option<PathBuf>,
}

/// What of a run is shrunk.
pub struct Failed {
    run: String,
    seed: u64,
    scenario: Scenario,
    plan: Plan,
    /// Broken in it.
    violated: Vec<String>,
}

impl Failed {
    /// # Errors
    /// The run broke no invariant, or its scenario or plan is not of this tool.
    pub fn read(run: &PastRun) -> anyhow::Result<Self> {
        let is_violated = run.facts.exit == Some(Exit::Violated as u8);
        let name = run.name();
        ensure!(is_violated, "{name} ended with {}: only a run that broke an invariant (1) can be shrunk", run.exit());
        let Some(verdict) = &run.verdict else { bail!("{name} has no verdict.json: recheck it first") };
        let broken = verdict.findings().into_iter().filter(|finding| finding.violations > 0);
        let violated: Vec<String> = broken.map(|finding| finding.id).collect();
        let text = std::fs::read_to_string(run.folder.scenario()).context("reading the run's scenario.toml")?;
        let scenario = Scenario::parse(&text).context("the run's scenario.toml")?;
        let plan = serde_json::from_value(run.facts.plan.clone()).context("the plan in run.json")?;
        Ok(Self { run: name, seed: run.facts.seed, scenario, plan, violated })
    }
}

/// Prints each candidate, and the smallest scenario, which is in a file then. `Held`: there is one. `Inconclusive`: the failure did
/// not show again, or this machine cannot run the scenario.
///
/// # Errors
/// The tool or its surroundings failed.
pub fn shrink(failed: &Failed, options: &Options, interrupt: &Interrupt) -> anyhow::Result<Exit> {
    if let Some(missing) = doctor::missing(&failed.scenario, &options.binaries.node) {
        println!("this machine cannot run it: no {missing}");
        return Ok(Exit::Inconclusive);
    }
    let folder = options.out.clone().unwrap_or_else(|| default_folder(failed));
    std::fs::create_dir_all(folder.parent().unwrap_or(Path::new("."))).context("making the folder of drills")?;
    std::fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
    let pieces = Pieces::of(&failed.scenario, &failed.plan);
    let (count, violated) = (pieces.len(), failed.violated.join(" "));
    println!("shrinking {}, seed {}: {count} faults, broken: {violated}", failed.run, failed.seed);
    println!("nodes     {}", options.binaries.node.display());
    let mut trials = Trials {
        binaries: &options.binaries,
        interrupt,
        seed: failed.seed,
        named: subject(&failed.violated),
        folder: folder.clone(),
        repeats: options.repeats,
        runs_max: options.runs_max,
        until: Instant::now() + options.time_max,
        tally: Tally::default(),
    };
    let found = search::smallest(count, |kept| {
        let what = format!("{} of {count} faults: {}", kept.len(), pieces.names(kept));
        trials.of(&pieces.keep(kept), &what)
    });
    lighten(&mut trials);
    told(failed, &found, trials.tally, &options.binaries.node, &folder.join(FILE))
}

/// Of what was broken, what a smaller run must break too: times are broken by noise alone, and say something only by themselves.
fn subject(violated: &[String]) -> BTreeSet<String> {
    const OF_TIMES: [&str; 4] = ["V14", "V15", "V22", "unreachable"];
    let (times, others): (Vec<_>, Vec<_>) = violated.iter().cloned().partition(|id| OF_TIMES.contains(&id.as_str()));
    (if others.is_empty() { times } else { others }).into_iter().collect()
}

/// As long as it still fails.
fn lighten(trials: &mut Trials<'_>) {
    for (what, step) in [("a shorter phase", lighter::shorter as fn(&Scenario) -> _), ("fewer buyers", lighter::fewer_buyers)] {
        while trials.tally.stopped.is_none()
            && let Some(candidate) = trials.tally.smallest.as_ref().and_then(|smallest| step(&smallest.scenario))
        {
            let (phase, orders) = (candidate.phases.faults, candidate.traffic.orders);
            if trials.of(&candidate, &format!("{what}: {phase} of faults, {orders}")) != Trial::Fails {
                break;
            }
        }
    }
}

fn told(failed: &Failed, found: &Found, tally: Tally, node: &Path, file: &Path) -> anyhow::Result<Exit> {
    let exit = match tally.stopped {
        Some(Stopped::Interrupted) => Exit::Interrupted,
        Some(Stopped::Residue) => Exit::Residue,
        Some(Stopped::Budget) | None => Exit::Held,
    };
    let Some(smallest) = tally.smallest else {
        // Of a tool that could run nothing, nothing is known of the system.
        if let (0, Some(failure)) = (tally.judged, tally.failure) {
            return Err(failure);
        }
        println!("nothing to shrink: {} runs, and none broke {} again", tally.runs, failed.violated.join(" or "));
        return Ok(if exit == Exit::Held { Exit::Inconclusive } else { exit });
    };
    let is_minimal = matches!(found, Found::Smallest { is_minimal: true, .. });
    let again = format!("stampede-chaos run {} --seed {} --node-binary {}", file.display(), failed.seed, node.display());
    let text = smallest_file(failed, &smallest, is_minimal, &again)?;
    std::fs::write(file, &text).with_context(|| format!("writing {}", file.display()))?;
    println!("\n{text}");
    println!("runs    {}, of {} candidates", tally.runs, tally.candidates);
    println!("kept    {}", file.display());
    Ok(exit)
}

fn smallest_file(failed: &Failed, smallest: &Smallest, is_minimal: bool, again: &str) -> anyhow::Result<String> {
    let (run, seed, broken) = (&failed.run, failed.seed, failed.violated.join(" "));
    let (runs, violated) = (smallest.runs, smallest.violated.join(" "));
    let mut text = String::new();
    writeln!(text, "# Shrunk from {run} (seed {seed}), which broke {broken}.")?;
    writeln!(text, "# Failed in 1 of {runs} runs: {violated}.")?;
    if !is_minimal {
        writeln!(text, "# The search was cut short: faults may be left that it does not need.")?;
    }
    writeln!(text, "# Again: {again}")?;
    Ok(text + &as_file(&smallest.scenario)?)
}

/// The text of a scenario's file.
///
/// # Errors
/// A value cannot be written as TOML.
fn as_file(scenario: &Scenario) -> anyhow::Result<String> {
    toml::to_string(scenario).context("writing the scenario as TOML")
}

/// `target/drills/<time>-shrink-<scenario>-<seed>`
fn default_folder(failed: &Failed) -> PathBuf {
    let name = format!("shrink-{}", failed.scenario.name);
    run::default_folder(&name, failed.seed, run::wall_clock())
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;
    use crate::faults::plan;

    fn failed() -> Failed {
        let (scenario, _) = Scenario::load("smoke").unwrap();
        let plan = plan::plan(&scenario, 7);
        Failed { run: "a-run".into(), seed: 7, scenario, plan, violated: vec!["V1".into(), "V11".into()] }
    }

    fn seen_to_fail(stopped: Option<Stopped>) -> Tally {
        let failed = failed();
        let scenario = Pieces::of(&failed.scenario, &failed.plan).keep(&[1]);
        let smallest = Smallest { scenario, runs: 2, violated: vec!["V11".into()] };
        Tally { candidates: 4, runs: 9, judged: 9, smallest: Some(smallest), stopped, ..Tally::default() }
    }

    #[test]
    fn the_smallest_scenario_is_a_file_that_says_where_it_comes_from() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        let found = Found::Smallest { kept: vec![1], is_minimal: true };
        assert_eq!(told(&failed(), &found, seen_to_fail(None), Path::new("node"), &file).unwrap(), Exit::Held);
        let (scenario, text) = Scenario::load(file.to_str().unwrap()).unwrap();
        assert_eq!((scenario.name.as_str(), scenario.faults.at.len()), ("smoke-smallest", 1));
        assert!(text.contains("# Shrunk from a-run (seed 7), which broke V1 V11."), "{text}");
        assert!(text.contains("# Failed in 1 of 2 runs: V11.") && !text.contains("cut short"), "{text}");
        assert!(text.contains("--seed 7 --node-binary node"), "{text}");
    }

    #[test]
    fn what_was_found_before_the_search_was_cut_short_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let found = Found::Smallest { kept: vec![1], is_minimal: false };
        for (stopped, exit) in
            [(Stopped::Budget, Exit::Held), (Stopped::Interrupted, Exit::Interrupted), (Stopped::Residue, Exit::Residue)]
        {
            let file = folder.path().join(format!("{stopped:?}.toml"));
            assert_eq!(told(&failed(), &found, seen_to_fail(Some(stopped)), Path::new("node"), &file).unwrap(), exit);
            assert!(std::fs::read_to_string(file).unwrap().contains("cut short"));
        }
    }

    #[test]
    fn what_does_not_fail_again_is_inconclusive_and_a_tool_that_runs_nothing_has_failed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        let of = |tally| told(&failed(), &Found::Nothing, tally, Path::new("node"), &file);
        let failure = || Some(anyhow!("no node program"));
        let tally = |judged, failure, stopped| Tally { runs: 3, judged, failure, stopped, ..Tally::default() };
        assert_eq!(of(tally(3, None, None)).unwrap(), Exit::Inconclusive);
        assert_eq!(of(tally(1, failure(), None)).unwrap(), Exit::Inconclusive);
        assert_eq!(of(tally(1, None, Some(Stopped::Interrupted))).unwrap(), Exit::Interrupted);
        assert!(of(tally(0, failure(), None)).is_err());
        assert!(!file.exists());
    }
}

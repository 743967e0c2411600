//! One run: plan → start → warm-up → faults under load → heal → ask → drain → scan.
//!
//! It ends with the run's folder complete; what it means is for [`crate::recheck`] to say. The folder is made before anything
//! is started, and the plan is in it, so that a run that was cut short can be told apart and repeated.
//!
//! `conduct` has the order of the phases, `settle` what comes after the heal.

mod conduct;
mod guard;
mod settle;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;

use crate::cluster::Binaries;
use crate::history::folder::RUN_SCHEMA;
use crate::history::{HistoryWriter, RunClock, RunFacts, RunFolder};
use crate::progress::Progress;
use crate::scenario::Scenario;

/// For tasks that listen for late answers when a run ends.
const TASKS_END: Duration = Duration::from_secs(1);

pub struct Options {
    pub scenario: Scenario,
    /// The scenario's text, kept in the folder.
    pub text: String,
    pub seed: u64,
    /// The run's folder; `None`: a new one under `target/drills`.
    pub out: Option<PathBuf>,
    pub binaries: Binaries,
    /// No progress lines.
    pub quiet: bool,
    /// Repeats this run.
    pub command: String,
}

/// How the tool's part ended. Only [`Ended::Complete`] is worth judging.
#[derive(Debug)]
pub enum Ended {
    /// Every phase was gone through.
    Complete(Aftermath),
    /// A guard stopped it; the nodes are gone.
    Guard(String),
    /// Ctrl-C; the nodes are gone.
    Interrupted,
}

/// What people should know beside the verdict.
#[derive(Debug, Default)]
pub struct Aftermath {
    /// The surroundings or a node did not do as they should: such a run cannot be held.
    pub problems: Vec<String>,
    /// Processes that are left although they were told to end.
    pub left_behind: Vec<String>,
    /// Arrivals that the tool could not start.
    pub shed: u64,
}

/// # Errors
/// The tool or its surroundings failed: the folder says nothing of the system.
pub fn run(options: &Options) -> anyhow::Result<(RunFolder, Ended)> {
    let wall = wall_clock();
    let root = options.out.clone().unwrap_or_else(|| default_folder(&options.scenario.name, options.seed, wall));
    let folder = RunFolder::create(&root).with_context(|| format!("making the run's folder {}", root.display()))?;
    std::fs::write(folder.scenario(), &options.text).context("keeping the scenario")?;
    let progress = Progress::new(options.quiet);
    progress.say(&format!("run {}: {}", folder.root().display(), options.scenario.hypothesis));

    let epoch_ms = wall.duration_since(UNIX_EPOCH).ok().and_then(|since| u64::try_from(since.as_millis()).ok());
    let (writer, recorder) = HistoryWriter::create(&folder.history(), RunClock::start()).context("making the history")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the tool's runtime")?;
    let ended = runtime.block_on(async {
        tokio::select! {
            biased;
            interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| Ended::Interrupted).context("waiting for Ctrl-C"),
            reason = guard::trip(&options.scenario.guards, folder.root()) => Ok(Ended::Guard(reason)),
            conducted = conduct::conduct(options, &folder, recorder, epoch_ms.unwrap_or_default(), &progress) => {
                conducted.map(Ended::Complete)
            }
        }
    });
    // Every task goes, and with the tasks the processes that they own and the hands on the history.
    runtime.shutdown_timeout(TASKS_END);
    if matches!(ended, Ok(Ended::Complete(_))) {
        writer.finish().context("closing the history")?;
    }
    Ok((folder, ended?))
}

/// For names and ids alone; everything that is judged is on the run's own clock.
#[expect(clippy::disallowed_methods, reason = "the tool's one reader of the wall clock")]
#[must_use]
pub fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// `target/drills/<time>-<scenario>-<seed>`
fn default_folder(scenario: &str, seed: u64, wall: SystemTime) -> PathBuf {
    let time: String = humantime::format_rfc3339_millis(wall).to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    PathBuf::from(format!("target/drills/{time}-{scenario}-{seed}"))
}

/// `run.json`, as the run begins and again as it ends.
fn facts(options: &Options, serial_key: &str, problems: &[String], plan: serde_json::Value) -> RunFacts {
    let scenario = &options.scenario;
    RunFacts {
        schema: RUN_SCHEMA,
        scenario: scenario.name.clone(),
        seed: options.seed,
        nodes: (1..=scenario.cluster.nodes).collect(),
        serial_key: serial_key.to_owned(),
        bounds: scenario.judge_bounds(),
        required_faults: scenario.required_faults(),
        problems: problems.to_vec(),
        command: options.command.clone(),
        versions: [("stampede-chaos".to_owned(), env!("CARGO_PKG_VERSION").to_owned())].into(),
        plan,
    }
}

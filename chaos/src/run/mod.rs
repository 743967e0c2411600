//! One run: plan → start → warm-up → faults under load → heal → ask → drain → scan.
//!
//! It ends with the run's folder complete; what it means is for [`crate::recheck`] to say. The folder is made before anything
//! is started, and the plan is in it, so that a run that was cut short can be told apart and repeated.
//!
//! `conduct` has the order of the phases, `settle` what comes after the heal.

mod conduct;
mod guard;
mod machine;
mod settle;

pub(crate) use guard::at_risk_idr;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;

use crate::cluster::{Cluster, Nodes};
use crate::history::folder::DRILLS;
use crate::history::{HistoryWriter, RunClock, RunFolder};
use crate::interrupt::Interrupt;
use crate::limits;
use crate::metrics;
use crate::progress::{Live, Progress};
use crate::scenario::Scenario;
use crate::traffic::Gauges;
use crate::undo;
use crate::view::{self, Watched};

/// For tasks that listen for late answers when a run ends.
const TASKS_END: Duration = Duration::from_secs(1);

pub struct Options {
    pub scenario: Scenario,
    /// The scenario's text, kept in the folder.
    pub text: String,
    pub seed: u64,
    /// The run's folder; `None`: a new one under `target/drills`.
    pub out: Option<PathBuf>,
    pub nodes: Nodes,
    pub live: Live,
    /// Where the tool serves metrics of its own while the run lasts.
    pub metrics: Option<SocketAddr>,
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
    /// It was stopped or failed, and left something on the machine: what, and how it failed.
    LeftBehind(Vec<String>),
}

impl Ended {
    /// `left`: what could not be taken back. That outranks why the run was stopped, or failed.
    fn healed(ended: anyhow::Result<Self>, left: Vec<String>) -> anyhow::Result<Self> {
        if left.is_empty() {
            return ended;
        }
        match ended {
            Ok(Self::Complete(mut aftermath)) => {
                aftermath.left_behind = left;
                Ok(Self::Complete(aftermath))
            }
            Ok(_) => Ok(Self::LeftBehind(left)),
            Err(error) => Ok(Self::LeftBehind([format!("{error:#}")].into_iter().chain(left).collect())),
        }
    }

    /// What is still there.
    #[must_use]
    pub fn left_behind(&self) -> &[String] {
        match self {
            Self::Complete(aftermath) => &aftermath.left_behind,
            Self::LeftBehind(left) => left,
            Self::Guard(_) | Self::Interrupted => &[],
        }
    }
}

/// What people should know beside the verdict.
#[derive(Debug, Default)]
pub struct Aftermath {
    /// The surroundings or a node did not do as they should: such a run cannot be held.
    pub problems: Vec<String>,
    /// Processes, mounts, loop devices and namespaces of the run that are still there.
    pub left_behind: Vec<String>,
}

/// # Errors
/// The tool or its surroundings failed: the folder says nothing of the system.
pub fn run(options: &Options, interrupt: &Interrupt) -> anyhow::Result<(RunFolder, Ended)> {
    let wall = wall_clock();
    let root = options.out.clone().unwrap_or_else(|| default_folder(&options.scenario.name, options.seed, wall));
    let folder = RunFolder::create(&root).with_context(|| format!("making the run's folder {}", root.display()))?;
    std::fs::write(folder.scenario(), &options.text).context("keeping the scenario")?;
    let progress = Progress::new(options.live);
    progress.say(&format!("run {}: {}", folder.root().display(), options.scenario.hypothesis));

    let epoch_ms = wall.duration_since(UNIX_EPOCH).ok().and_then(|since| u64::try_from(since.as_millis()).ok());
    let (writer, recorder) = HistoryWriter::create(&folder.history(), RunClock::start()).context("making the history")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the tool's runtime")?;
    let ended = runtime.block_on(async {
        let listener = metrics::listen(options.metrics).await?;
        let prepared = match &options.nodes {
            Nodes::Started(binaries) => Cluster::prepare(&options.scenario, options.seed, binaries, &folder, &recorder).await,
            Nodes::Found { file, tool } => Cluster::attach(file, tool, &folder, &recorder),
        };
        let (cluster, gauges) = (Arc::new(prepared?), Arc::new(Gauges::default()));
        let scenario = &options.scenario;
        let watched = Watched {
            scenario,
            seed: options.seed,
            cluster: &cluster,
            gauges: &gauges,
            recorder: recorder.clone(),
            progress: &progress,
        };
        let told = metrics::Told { scenario: scenario.name.clone(), seed: options.seed, faults: recorder.faults().clone() };
        let conducted =
            conduct::conduct(options, &folder, (&cluster, &gauges), recorder, epoch_ms.unwrap_or_default(), &progress);
        let ended = tokio::select! {
            biased;
            () = interrupt.wait() => Ok(Ended::Interrupted),
            reason = guard::trip(&scenario.guards, folder.root(), &cluster) => Ok(Ended::Guard(reason)),
            ended = conducted => ended,
            never = view::show(&watched) => match never {},
            // Nodes that run already have disks elsewhere.
            error = machine::watch(folder.root(), &watched.recorder), if matches!(options.nodes, Nodes::Started(_)) => {
                Err(error).context("trying the machine's own disk")
            }
            never = metrics::serve(listener, told) => match never {},
        };
        cluster.kill(limits::KILL_DEADLINE).await;
        cluster.release_disks();
        cluster.release_groups();
        cluster.release_network();
        ended
    });
    // Every task goes, and with the tasks the processes that they own and the hands on the history.
    runtime.shutdown_timeout(TASKS_END);
    let ended = ended.and_then(|ended| {
        if matches!(ended, Ended::Complete(_)) {
            writer.finish().context("closing the history")?;
        }
        Ok(ended)
    });
    // What the run itself could not take back; and what nobody wrote down.
    let healed = undo::heal(folder.root(), Duration::ZERO, &options.nodes.confirmed()).context("taking back what is left")?;
    let ended = Ended::healed(ended, healed.left)?;
    Ok((folder, ended))
}

/// For names and ids alone; everything that is judged is on the run's own clock.
#[expect(clippy::disallowed_methods, reason = "the tool's one reader of the wall clock")]
#[must_use]
pub fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// `target/drills/<time>-<scenario>-<seed>`
#[must_use]
pub fn default_folder(scenario: &str, seed: u64, wall: SystemTime) -> PathBuf {
    let time: String = humantime::format_rfc3339_millis(wall).to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    Path::new(DRILLS).join(format!("{time}-{scenario}-{seed}"))
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn what_is_left_behind_is_told_however_the_run_ended() {
        let healed = |ended, left: &[&str]| Ended::healed(ended, left.iter().map(|left| (*left).to_owned()).collect());
        assert!(matches!(healed(Ok(Ended::Interrupted), &[]), Ok(Ended::Interrupted)));
        assert!(healed(Err(anyhow!("no leader")), &[]).is_err());
        for (ended, told) in [
            (Ok(Ended::Interrupted), vec!["process 2"]),
            (Ok(Ended::Guard(String::new())), vec!["process 2"]),
            (Err(anyhow!("no leader")), vec!["no leader", "process 2"]),
        ] {
            assert!(matches!(healed(ended, &["process 2"]), Ok(Ended::LeftBehind(left)) if left == told));
        }
        let Ok(Ended::Complete(aftermath)) = healed(Ok(Ended::Complete(Aftermath::default())), &["the mount /a"]) else {
            panic!("it was complete")
        };
        assert_eq!(aftermath.left_behind, ["the mount /a"]);
    }
}

//! The phases of a run, in their order.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::settle::{ask_unknowns, buy_fresh, converge};
use super::{Aftermath, Options, facts};
use crate::client::{Client, operator};
use crate::cluster::{Cluster, UnexpectedExit};
use crate::collect::{self, LogTail};
use crate::faults;
use crate::faults::plan::PlannedFault;
use crate::history::{HistoryClosed, Phase, Record, Recorder, RunFolder};
use crate::limits;
use crate::progress::Progress;
use crate::serial_code::SerialCodes;
use crate::traffic::{self, Gauges, Market};

/// Between two looks for nodes that ended by themselves; such a node is started again as a supervisor would.
const SUPERVISE_INTERVAL: Duration = Duration::from_millis(500);
/// Times that a node is started again after it ended by itself.
const SUPERVISED_RESTARTS_MAX: usize = 3;

/// # Errors
/// The tool or its surroundings failed.
pub(super) async fn conduct(
    options: &Options,
    folder: &RunFolder,
    recorder: Recorder,
    epoch_ms: u64,
    progress: &Progress,
) -> anyhow::Result<Aftermath> {
    let scenario = &options.scenario;
    let planned = faults::plan::plan(scenario, options.seed);
    let cluster = Arc::new(Cluster::prepare(scenario, options.seed, &options.binaries, folder, &recorder)?);
    facts(options, cluster.serial_key(), &[], plan_of(options, &planned, 0)).write(folder).context("writing run.json")?;
    cluster.form().await.context("forming the cluster")?;

    let gauges = Arc::new(Gauges::default());
    let client = Client::new(&cluster.addresses(), &recorder, scenario.clients.attempt_deadline.get());
    let codes = SerialCodes::from_hex(cluster.serial_key()).context("the drill's own serial key")?;
    let market = Market::new(client, scenario, Arc::clone(&gauges), codes);
    for series in &scenario.traffic.series {
        operator::open_series(&cluster, &recorder, series, scenario.traffic.payment_window).await?;
    }

    let collectors = Collectors::start(&cluster, &recorder, folder)?;
    let mut aftermath = Aftermath::default();
    let phases = Phases { options, cluster: &cluster, recorder: &recorder, market: &market, progress, planned: &planned };
    tokio::select! {
        result = phases.go(epoch_ms, &mut aftermath) => result?,
        () = progress.print(&cluster, &gauges) => unreachable!("it prints until it is dropped"),
        result = supervise(&cluster) => result?,
    }

    phases.enter("scan", Phase::Scan)?;
    let applied = cluster.statuses().await.iter().map(|(_, status)| status.applied_index).max().unwrap_or_default();
    let log = collectors.stop().await?;
    for node in cluster.nodes() {
        collect::sample_status(node, &recorder).await?;
        aftermath.note(collect::scan(node, folder).await);
    }
    aftermath.note(log.finish(&cluster, applied).await);
    aftermath.problems.extend(cluster.unexpected_exits().iter().map(told));
    aftermath.shed = gauges.shed.load(Ordering::Relaxed);

    progress.enter("stop");
    let stuck = cluster.stop().await?;
    aftermath.problems.extend(stuck.iter().map(|node| format!("node {node} did not stop on SIGTERM and was killed")));
    let left = cluster.nodes().iter().filter(|node| node.is_running());
    aftermath.left_behind.extend(left.map(|node| format!("node {} still runs", node.id())));
    facts(options, cluster.serial_key(), &aftermath.problems, plan_of(options, &planned, aftermath.shed))
        .write(folder)
        .context("writing run.json")?;
    ensure!(!market.history_is_closed(), HistoryClosed);
    phases.enter("end", Phase::End)?;
    Ok(aftermath)
}

fn told(exit: &UnexpectedExit) -> String {
    let UnexpectedExit { node, code, signal } = exit;
    let how = match (code, signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown cause".to_owned(),
    };
    format!("node {node} ended by itself: {how}")
}

fn plan_of(options: &Options, planned: &[PlannedFault], shed: u64) -> serde_json::Value {
    json!({
        "buyers": options.scenario.buyers(),
        "traffic": options.scenario.traffic_length().as_millis().to_string() + " ms",
        "faults": planned,
        "arrivals_shed_by_the_tool": shed,
    })
}

impl Aftermath {
    fn note(&mut self, result: anyhow::Result<()>) {
        if let Err(error) = result {
            self.problems.push(format!("{error:#}"));
        }
    }
}

struct Phases<'a> {
    options: &'a Options,
    cluster: &'a Arc<Cluster>,
    recorder: &'a Recorder,
    market: &'a Arc<Market>,
    progress: &'a Progress,
    planned: &'a [PlannedFault],
}

impl Phases<'_> {
    fn enter(&self, name: &'static str, phase: Phase) -> Result<(), HistoryClosed> {
        self.progress.enter(name);
        self.recorder.record(Record::Phase { at_ns: self.recorder.now_ns(), phase })
    }

    /// From the warm-up to the drain. What the system fails to do is noted; the judge sees it in the history.
    async fn go(&self, epoch_ms: u64, aftermath: &mut Aftermath) -> anyhow::Result<()> {
        let scenario = &self.options.scenario;
        self.enter("warm-up", Phase::WarmUp)?;
        let start = Instant::now();
        let arrivals = {
            let (market, scenario, seed) = (Arc::clone(self.market), scenario.clone(), self.options.seed);
            tokio::spawn(async move { traffic::arrive(&market, &scenario, seed, epoch_ms).await })
        };
        let faults_from = start + scenario.phases.warm_up.get();
        tokio::time::sleep_until(faults_from).await;
        self.enter("faults", Phase::Faults)?;
        let landed = |_| {
            self.progress.faults_landed.fetch_add(1, Ordering::Relaxed);
        };
        aftermath.note(faults::inject(self.cluster, self.recorder, self.planned, faults_from, landed).await);
        tokio::time::sleep_until(faults_from + scenario.phases.faults.get()).await;

        aftermath.note(self.cluster.heal().await);
        self.enter("heal", Phase::Heal)?;
        arrivals.await.context("the arrivals panicked")?;
        if !self.market.wait_finished().await {
            aftermath.problems.push("buyers or notices were still waiting for an answer long after the heal".to_owned());
        }
        self.enter("ask", Phase::Ask)?;
        ask_unknowns(self.market, scenario.bounds.known.get()).await?;
        aftermath.note(buy_fresh(self.market, scenario, self.options.seed, epoch_ms).await);
        self.enter("drain", Phase::Drain)?;
        aftermath.note(converge(self.cluster, scenario.traffic.payment_window.get()).await);
        Ok(())
    }
}

/// Ends only with an error.
async fn supervise(cluster: &Cluster) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(SUPERVISE_INTERVAL).await;
        for node in cluster.nodes() {
            if node.ended_by_itself() && node.unexpected_exits().len() <= SUPERVISED_RESTARTS_MAX {
                node.start()?;
            }
        }
    }
}

/// What watches the nodes while the run lasts.
struct Collectors {
    stop: watch::Sender<bool>,
    samples: Vec<JoinHandle<Result<(), HistoryClosed>>>,
    log: JoinHandle<anyhow::Result<LogTail>>,
}

impl Collectors {
    fn start(cluster: &Arc<Cluster>, recorder: &Recorder, folder: &RunFolder) -> anyhow::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let watch = |node: u16| tokio::spawn(collect::watch_node(Arc::clone(cluster), node, recorder.clone(), stopped.clone()));
        let samples = cluster.nodes().iter().map(|node| watch(node.id())).collect();
        let tail = LogTail::create(folder).context("making log.bin")?;
        let log = tokio::spawn(tail.follow(Arc::clone(cluster), stopped.clone()));
        Ok(Self { stop, samples, log })
    }

    async fn stop(self) -> anyhow::Result<LogTail> {
        self.stop.send_replace(true);
        for sample in self.samples {
            sample.await.context("a status watcher panicked")??;
        }
        tokio::time::timeout(limits::ADMIN_DEADLINE, self.log)
            .await
            .context("the log's reader hangs")?
            .context("the log's reader panicked")?
    }
}

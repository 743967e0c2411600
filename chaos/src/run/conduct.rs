//! The phases of a run, in their order.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::settle::{ask_unknowns, buy_fresh, converge, outlast_what_was_given_up};
use super::{Aftermath, Ended, Options};
use crate::auditor::Auditor;
use crate::clerk::Clerk;
use crate::client::Client;
use crate::cluster::{Cluster, Node, Nodes, NotThere, UnexpectedExit};
use crate::collect::{self, EventTail, LogTail};
use crate::faults;
use crate::faults::plan::Plan;
use crate::history::folder::RUN_SCHEMA;
use crate::history::{HistoryClosed, Phase, Record, Recorder, RunFacts, RunFolder};
use crate::limits;
use crate::operator;
use crate::progress::Progress;
use crate::scenario::{Scenario, Share};
use crate::serial_code::SerialCodes;
use crate::traffic::{self, Gauges, Market};

/// Of the source that this tool was built from; set by who builds it.
const REVISION: &str = match option_env!("STAMPEDE_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};
/// Between two looks for nodes that ended by themselves; such a node is started again as a supervisor would.
const SUPERVISE_INTERVAL: Duration = Duration::from_millis(500);
/// Times that a node is started again after it ended by itself.
const SUPERVISED_RESTARTS_MAX: usize = 3;

/// Complete, or ended by a guard that did not let a fault fire.
///
/// # Errors
/// The tool or its surroundings failed.
pub(super) async fn conduct(
    options: &Options,
    folder: &RunFolder,
    (cluster, gauges): (&Arc<Cluster>, &Arc<Gauges>),
    recorder: Recorder,
    epoch_ms: u64,
    progress: &Progress,
) -> anyhow::Result<Ended> {
    let scenario = &options.scenario;
    let planned = faults::plan::plan(scenario, options.seed);
    let mut facts = facts(options, epoch_ms, cluster, options.nodes.version(cluster).await, &planned);
    facts.write(folder).context("writing run.json")?;
    cluster.form(scenario).await.context("forming the cluster")?;
    if let Nodes::Found { .. } = options.nodes {
        // They had not been asked anything before.
        facts.versions.insert("stampede".to_owned(), options.nodes.version(cluster).await);
        facts.write(folder).context("writing run.json")?;
    }

    let client = Client::new(&cluster.addresses(), cluster.gateways(), &recorder, scenario.clients.attempt_deadline.get());
    let codes = SerialCodes::from_hex(cluster.serial_key()).context("the drill's own serial key")?;
    let market = Market::new(client, scenario, Arc::clone(gauges), codes);
    for series in &scenario.traffic.series {
        operator::open_series(&market, series, scenario.traffic.payment_window).await?;
    }

    let collectors = Collectors::start(cluster, &recorder, folder)?;
    let mut aftermath = Aftermath::default();
    let phases = Phases { options, cluster, recorder: &recorder, market: &market, progress, planned: &planned };
    let refused = tokio::select! {
        result = phases.go(epoch_ms, &mut aftermath) => result?,
        () = progress.print(cluster, gauges) => unreachable!("it prints until it is dropped"),
        result = supervise(cluster) => match result? {},
    };
    if let Some(reason) = refused {
        return Ok(Ended::Guard(reason));
    }

    phases.enter("scan", Phase::Scan)?;
    let applied = cluster.statuses().await.iter().map(|(_, status)| status.applied_index).max().unwrap_or_default();
    let (log, events) = collectors.stop().await?;
    for node in cluster.nodes() {
        collect::sample_status(node, &recorder).await?;
        aftermath.note(collect::scan(node, folder).await);
        if scenario.bounds.goodput_share.is_some() {
            let shed = aftermath.note(collect::payments_shed(node).await).flatten();
            facts.payments_shed.extend(shed.map(|shed| (node.id(), shed)));
        }
    }
    aftermath.note(log.finish(cluster, applied).await);
    aftermath.note(events.finish(cluster, applied).await);

    aftermath.problems.extend(cluster.started_by_others().await);
    progress.enter("stop");
    aftermath.problems.extend(cluster.stop(limits::STOP_DEADLINE).await);
    aftermath.problems.extend(cluster.unexpected_exits().iter().map(told));
    aftermath.problems.extend(market.client.oddities());
    let shed = gauges.shed.load(Ordering::Relaxed);
    if shed > 0 {
        let max = scenario.clients.buyers_in_flight_max;
        aftermath.problems.push(format!("the tool shed {shed} arrivals: clients.buyers_in_flight_max is {max}"));
    }
    facts.problems.clone_from(&aftermath.problems);
    facts.write(folder).context("writing run.json")?;
    ensure!(!market.history_is_closed(), HistoryClosed);
    phases.enter("end", Phase::End)?;
    Ok(Ended::Complete(aftermath))
}

fn told(unexpected: &UnexpectedExit) -> String {
    format!("node {} ended by itself: {}", unexpected.node, unexpected.exit)
}

/// `run.json`, as the run begins.
fn facts(options: &Options, epoch_ms: u64, cluster: &Cluster, node_version: String, planned: &Plan) -> RunFacts {
    let scenario = &options.scenario;
    let tool_version = format!("version {} revision {REVISION}", env!("CARGO_PKG_VERSION"));
    RunFacts {
        schema: RUN_SCHEMA,
        scenario: scenario.name.clone(),
        seed: options.seed,
        nodes: cluster.nodes().iter().map(Node::id).collect(),
        serial_key: cluster.serial_key().to_owned(),
        bounds: scenario.judge_bounds(),
        required_faults: [scenario.required_faults(), planned.required_by_conditions()].concat(),
        provoked: scenario.provoked().into_iter().map(|failure| failure.name().to_owned()).collect(),
        payments_shed: BTreeMap::new(),
        problems: Vec::new(),
        started_at_ms: epoch_ms,
        exit: None,
        command: options.command.clone(),
        versions: [("stampede-chaos".to_owned(), tool_version), ("stampede".to_owned(), node_version)].into(),
        plan: json!({
            "buyers": scenario.buyers(),
            "traffic": scenario.traffic_length().as_millis().to_string() + " ms",
            "faults": planned.faults,
            "when": planned.when,
        }),
    }
}

impl Aftermath {
    /// `None` if it failed: it is among the problems then.
    fn note<T>(&mut self, result: anyhow::Result<T>) -> Option<T> {
        result.map_err(|error| self.problems.push(format!("{error:#}"))).ok()
    }

    /// As [`Self::note`], of a node that is not there.
    ///
    /// # Errors
    /// Any other: the tool left a fault half-way, and the judge would blame the system for it.
    fn note_of_nodes<T>(&mut self, result: anyhow::Result<T>) -> anyhow::Result<Option<T>> {
        match result {
            Err(error) if !error.is::<NotThere>() => Err(error),
            result => Ok(self.note(result)),
        }
    }
}

struct Phases<'a> {
    options: &'a Options,
    cluster: &'a Arc<Cluster>,
    recorder: &'a Recorder,
    market: &'a Arc<Market>,
    progress: &'a Progress,
    planned: &'a Plan,
}

impl Phases<'_> {
    fn enter(&self, name: &'static str, phase: Phase) -> Result<(), HistoryClosed> {
        self.progress.enter(name);
        self.recorder.record(Record::Phase { at_ns: self.recorder.now_ns(), phase })
    }

    /// From the warm-up to the drain. What the system fails to do is noted; the judge sees it in the history. Ends early, with the
    /// reason, if a guard did not let a fault fire.
    async fn go(&self, epoch_ms: u64, aftermath: &mut Aftermath) -> anyhow::Result<Option<String>> {
        let scenario = &self.options.scenario;
        self.enter("warm-up", Phase::WarmUp)?;
        let start = Instant::now();
        let arrivals = {
            let (market, scenario, seed) = (Arc::clone(self.market), scenario.clone(), self.options.seed);
            tokio::spawn(async move { traffic::arrive(&market, &scenario, seed, epoch_ms).await })
        };
        let offices = Offices::open(self.market, scenario, self.options.seed, epoch_ms);
        let faults_from = start + scenario.phases.warm_up.get();
        tokio::time::sleep_until(faults_from).await;
        self.enter("faults", Phase::Faults)?;
        let landed = |_| {
            self.progress.faults_landed.fetch_add(1, Ordering::Relaxed);
        };
        let injected = faults::inject(self.cluster, self.recorder, self.planned, &scenario.guards, faults_from, landed).await;
        let injected = aftermath.note_of_nodes(injected)?.unwrap_or_default();
        aftermath.problems.extend(injected.problems);
        if injected.refused.is_some() {
            return Ok(injected.refused);
        }
        tokio::time::sleep_until(faults_from + scenario.phases.faults.get()).await;

        aftermath.note_of_nodes(self.cluster.heal().await)?;
        self.enter("heal", Phase::Heal)?;
        arrivals.await.context("the arrivals panicked")?;
        let wait = scenario.stay_max() + limits::FINISH_DEADLINE;
        offices.close(wait).await?;
        if !self.market.wait_finished(wait).await {
            // Whatever they would still write could come after the scan.
            self.market.close().await;
            let waited_s = wait.as_secs();
            aftermath.problems.push(format!("buyers or notices still waited for an answer {waited_s} s after the heal"));
        }
        // In this order: an unknown that is not there behind a fresh write, when no node has it any more, never happened.
        outlast_what_was_given_up(self.market).await;
        aftermath.note(buy_fresh(self.market, scenario, self.options.seed, epoch_ms).await);
        self.enter("ask", Phase::Ask)?;
        ask_unknowns(self.market, scenario.bounds.known.get()).await?;
        self.enter("drain", Phase::Drain)?;
        self.market.client.wait_silent().await;
        aftermath.note(converge(self.cluster, scenario.traffic.payment_window.get()).await);
        Ok(None)
    }
}

/// Who works beside the buyers: the operator, the provider's clerk, and the auditor.
struct Offices {
    stop: watch::Sender<bool>,
    operator: JoinHandle<Result<(), HistoryClosed>>,
    clerk: JoinHandle<Result<(), HistoryClosed>>,
    auditor: JoinHandle<Result<(), HistoryClosed>>,
}

impl Offices {
    fn open(market: &Arc<Market>, scenario: &Scenario, seed: u64, epoch_ms: u64) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (policy, middle) = (scenario.traffic.policy, scenario.traffic_length() / 2);
        let operators_market = Arc::clone(market);
        let operator = tokio::spawn(async move {
            let Some(policy) = policy else { return Ok(()) };
            tokio::time::sleep(middle).await;
            operator::set_policy(&operators_market, &policy).await
        });
        let share = scenario.traffic.shares.settle_refund;
        let clerk = Clerk::new(market, seed, share);
        let hours = stopped.clone();
        let clerk = tokio::spawn(async move { if share == Share::default() { Ok(()) } else { clerk.work(hours).await } });
        let auditor = Auditor::new(market, scenario, seed, epoch_ms);
        let auditor = tokio::spawn(async move {
            match auditor {
                Some(auditor) => auditor.work(stopped).await,
                None => Ok(()),
            }
        });
        Self { stop, operator, clerk, auditor }
    }

    /// Who still waits for an answer after `wait` is sent away: what they had sent is unknown, and asked about.
    async fn close(self, wait: Duration) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        for mut office in [self.operator, self.clerk, self.auditor] {
            match tokio::time::timeout(wait, &mut office).await {
                Ok(worked) => worked.context("an office panicked")??,
                Err(_) => office.abort(),
            }
        }
        Ok(())
    }
}

/// Ends only with an error.
async fn supervise(cluster: &Cluster) -> anyhow::Result<Infallible> {
    loop {
        tokio::time::sleep(SUPERVISE_INTERVAL).await;
        for node in cluster.nodes() {
            if node.ended_by_itself() && node.unexpected_exits().len() <= SUPERVISED_RESTARTS_MAX {
                node.start().await?;
            }
        }
    }
}

/// What watches the nodes while the run lasts.
struct Collectors {
    stop: watch::Sender<bool>,
    samples: Vec<JoinHandle<Result<(), HistoryClosed>>>,
    log: JoinHandle<anyhow::Result<LogTail>>,
    events: JoinHandle<anyhow::Result<EventTail>>,
}

impl Collectors {
    fn start(cluster: &Arc<Cluster>, recorder: &Recorder, folder: &RunFolder) -> anyhow::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let watch = |node: u16| tokio::spawn(collect::watch_node(Arc::clone(cluster), node, recorder.clone(), stopped.clone()));
        let samples = cluster.nodes().iter().map(|node| watch(node.id())).collect();
        let tail = LogTail::create(folder).context("making log.bin")?;
        let log = tokio::spawn(tail.follow(Arc::clone(cluster), stopped.clone()));
        let tail = EventTail::create(folder).context("making events.bin")?;
        let events = tokio::spawn(tail.follow(Arc::clone(cluster), stopped));
        Ok(Self { stop, samples, log, events })
    }

    async fn stop(self) -> anyhow::Result<(LogTail, EventTail)> {
        self.stop.send_replace(true);
        for sample in self.samples {
            sample.await.context("a status watcher panicked")??;
        }
        let readers = async { Ok((ended(self.log, "log").await?, ended(self.events, "events").await?)) };
        tokio::time::timeout(limits::ADMIN_DEADLINE, readers).await.context("a reader hangs")?
    }
}

async fn ended<T>(reader: JoinHandle<anyhow::Result<T>>, what: &str) -> anyhow::Result<T> {
    reader.await.with_context(|| format!("the reader of the {what} panicked"))?
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_node_that_is_not_there_is_judged_and_a_fault_that_the_tool_left_half_way_is_not() {
        let mut aftermath = Aftermath::default();
        let not_there = Err(NotThere("node 2 ended".into())).context("after fault 7");
        assert!(matches!(aftermath.note_of_nodes::<()>(not_there), Ok(None)));
        assert_eq!(aftermath.problems, ["after fault 7: node 2 ended"]);
        let busy = Err(anyhow!("umount: target is busy")).context("after fault 7");
        assert!(aftermath.note_of_nodes::<()>(busy).is_err());
        assert!(matches!(aftermath.note_of_nodes(Ok(3)), Ok(Some(3))));
    }
}

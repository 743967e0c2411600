//! The life of a node process, from its data directory to its exit code.
//!
//! Up: data directory locked → identity → log and ledger → consensus → peers' port → clients' and operators' ports → ready.
//! Down ([`stop`]): not ready → leadership moved → what is in flight answered → ports closed → consensus → stores → exit.
//! A node of a cluster that is not made yet goes all the way up and waits for `init`, saying so.
//!
//! Anything that ends by itself (a port, consensus, a disk) ends the process with a code of its own ([`fatal`]): a supervisor
//! starts it again, and a half-dead node would be worse than a dead one.

pub mod fatal;
mod join;
mod ports;
pub mod stop;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use self::ports::Ports;
use self::stop::{Leads, StopRequests, hand_over};
use super::config::{Config, Loaded, MemberAddresses};
use super::exit::{Code, Failure};
use super::figures::Answer;
use super::gateway_secrets;
use super::health::Lifecycle;
use super::metrics::{LedgerFigures, Metrics, Names, Observed};
use super::serial_key::{self, KeyFile};
use super::telemetry::LogControl;
use super::watch::Seen;
use crate::clock;
use crate::consensus::{Node, NodeSettings, NodeStatus, TransferError};
use crate::counters::Histogram;
use crate::domain::LedgerView as _;
use crate::domain::invariants::contradictions;
use crate::limits::{MEMBER_HEARD_WITHIN, PEERS_LOOK_INTERVAL};
use crate::proto::storage::MemberNode;
use crate::storage::data_dir::NodeIdentity;
use crate::storage::{DataDir, LedgerStore as _, RocksLog, StorageError};
use crate::transport::gateways::{self, NoticeMetrics};
use crate::transport::peers::Dial;
use crate::transport::peers::contact::{self, Named};
use crate::transport::{CallMetrics, ClusterIdentity, ClusterNode, GrpcPeers, OnStorageError};

/// Everything that lives as long as the node.
struct Running {
    node: ClusterNode,
    log: RocksLog,
    data: Arc<DataDir>,
    lifecycle: Arc<Lifecycle>,
    /// The first thing that a call could not read or save; consensus keeps its own.
    storage_error: watch::Sender<Option<StorageError>>,
    /// Who it is to its peers; bound to a cluster by `init`, or by the token that it joined with.
    identity: ClusterIdentity,
    started: std::time::Instant,
    /// How long a member may take to be heard by a leader, before it counts as away.
    answer_within: Duration,
}

/// Until it is told to stop, or cannot go on.
///
/// # Errors
/// Why it could not start, or stopped by itself.
pub async fn run(
    loaded: &Loaded,
    log: &LogControl,
    join: Option<&str>,
    mut requests: StopRequests,
    clients: &Handle,
) -> Result<(), Failure> {
    let config = &loaded.config;
    let secrets = Secrets { serial_key: read_key(config)?, gateways: read_gateway_secrets(config)? };
    tracing::info!(event = "node_starting", node = config.node.id, version = env!("CARGO_PKG_VERSION"), "starting");
    let features = super::build::features().join(",");
    for warning in &loaded.warnings {
        tracing::warn!(event = "configuration", "{warning}");
    }
    if !features.is_empty() {
        tracing::warn!(event = "defects_built_in", features, "this build is for drills: it is broken on purpose");
    }
    let running = tokio::select! {
        started = start(config, join) => started?,
        // A node may wait long to be admitted.
        _reason = requests.next() => return Ok(()),
    };
    let ports = Ports::open(loaded, log, &running, secrets, features, clients).await?;
    running.lifecycle.started();
    if !running.node.status().initialized {
        tracing::info!(event = "waiting_for_init", "the cluster is not made yet: `stampede init` on one node makes it");
    }
    tracing::info!(event = "node_ready", node = running.identity.data().identity().node_id, client = %config.listen.client, "all ports are open");
    let ended = live_and_stop(&running, ports, &mut requests, config.node.shutdown_timeout).await;
    if ended.is_err() {
        // A store on a disk that hangs would keep the process when it is closed. What was acknowledged is on disk.
        std::mem::forget(running);
    }
    ended
}

async fn live_and_stop(running: &Running, ports: Ports, requests: &mut StopRequests, within: Duration) -> Result<(), Failure> {
    let (reason, mut ports) = live(running, ports, requests).await?;
    tracing::info!(event = "stopping", reason, "stopping in order");
    let stopped = tokio::select! {
        stopped = running.stop(&mut ports, within) => stopped,
        second = requests.insisted() => Err(Failure::new(
            Code::Failed,
            format!("{second} while stopping: ended at once"),
            "nothing that was acknowledged is lost; start the node again",
        )),
    };
    tracing::info!(event = "stopped", "stopped");
    stopped
}

/// # Errors
/// The file cannot be read, or holds no key.
pub fn read_key(config: &Config) -> Result<KeyFile, Failure> {
    let key = serial_key::read(&config.serials.key_file)
        .map_err(|problem| Failure::new(Code::Configuration, problem, "cluster-config/README.md shows how a key is made"))?;
    if key.is_for_development {
        tracing::warn!(
            event = "development_key",
            "the key of the printed codes says that it is for development: anyone can forge codes"
        );
    }
    Ok(key)
}

/// What files hold and nobody else may see.
struct Secrets {
    serial_key: KeyFile,
    gateways: gateways::Secrets,
}

/// # Errors
/// Names the file and the key.
pub fn read_gateway_secrets(config: &Config) -> Result<gateways::Secrets, Failure> {
    gateway_secrets::read(&config.gateways)
        .map_err(|problem| Failure::new(Code::Configuration, problem, "one secret a line, as the gateway's dashboard shows it"))
}

async fn start(config: &Config, join: Option<&str>) -> Result<Running, Failure> {
    let started = std::time::Instant::now();
    let (data, at) = join::whoami(config, join).await?;
    // Opening replays what a crash left: seconds of blocking work.
    let opened = data.clone();
    let stores = tokio::task::spawn_blocking(move || opened.open_stores()).await;
    let stores = stores.map_err(|panic| fatal::of_consensus(&panic.to_string(), None))?;
    let (log, ledger) = stores.map_err(|error| fatal::of_storage(&error))?;
    let NodeIdentity { node_id, cluster_id, .. } = data.identity();
    tracing::info!(
        event = "stores_open",
        cluster_id,
        applied = ledger.meta().applied.map(|at| at.index),
        "log and ledger are open"
    );
    let identity = ClusterIdentity::new(data.clone(), config.cluster.members.iter().map(|member| member.id));
    let identity = identity.reached_at(&at.peer);
    let members = config.cluster.members.iter().map(|member| (member.id, member.peer.clone())).collect();
    let named = Named { members, dial: dial(config) };
    contact::check_disk(&identity, &at.peer, &ledger.meta(), &named).await.map_err(join::not_its_disk)?;
    // Of a node that joined by a token the token was asked, and the members that are named do not know it.
    if config.node.id != 0 {
        tokio::spawn(named.watch_for_foreign_disk(identity.clone()));
    }
    let peers = GrpcPeers::new(identity.clone(), dial(config));
    let node = Node::start(settings(config, node_id), log.clone(), ledger, peers, Arc::new(clock::unix_ms)).await;
    let node = node.map_err(|error| fatal::of_start(&error))?;
    let (lifecycle, storage_error) = (Arc::default(), watch::Sender::new(None));
    let answer_within = config.raft.election_timeout_max.max(MEMBER_HEARD_WITHIN);
    Ok(Running { node, log, data, lifecycle, storage_error, identity, started, answer_within })
}

/// Where this node calls members that it does not call at their addresses. Who takes a member's place under another id is
/// called the same way.
fn dial(config: &Config) -> Dial {
    let dialled = || config.cluster.members.iter().filter_map(|member| Some((member, member.dial.clone()?)));
    Dial {
        by_id: dialled().map(|(member, dial)| (member.id, dial)).collect(),
        by_peer_address: dialled().map(|(member, dial)| (member.peer.clone(), dial)).collect(),
    }
}

fn settings(config: &Config, node_id: u64) -> NodeSettings {
    let raft = &config.raft;
    NodeSettings {
        node_id,
        cluster_name: config.cluster.name.clone(),
        heartbeat: raft.heartbeat,
        election_timeout_min: raft.election_timeout_min,
        election_timeout_max: raft.election_timeout_max,
        snapshot_after_entries: raft.snapshot_after_entries,
        entries_kept_after_snapshot: raft.entries_kept_after_snapshot,
        append_entries_max: raft.append_entries_max,
        // Bounded by the schema to far below what any machine counts with.
        entries_in_flight_max: usize::try_from(raft.entries_in_flight_max).unwrap_or(usize::MAX),
    }
}

/// Until told to stop. Also watches the node: what changes is logged, and what is fatal ends the process.
async fn live(running: &Running, mut ports: Ports, requests: &mut StopRequests) -> Result<(&'static str, Ports), Failure> {
    let seen = ports.seen();
    let mut changes = running.node.status_changes();
    let mut storage_errors = running.storage_error.subscribe();
    let mut before = running.node.status();
    // Time alone makes a peer one that does not answer.
    let mut ticks = interval(PEERS_LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    running.refuse_if_removed(&before)?;
    loop {
        let is_alive = tokio::select! {
            // What cannot be read or saved is fatal, whoever wanted it.
            Ok(()) = storage_errors.changed() => false,
            reason = requests.next() => return Ok((reason, ports)),
            ban = running.identity.banned() => return Err(join::end_of(ban)),
            failure = ports.ended_by_itself() => return Err(failure),
            is_alive = changes.changed() => is_alive,
            _ = ticks.tick() => true,
        };
        let now = running.node.status();
        seen.note(&before, &now, running.answer_within);
        if now.fatal.is_some() || !is_alive {
            return Err(running.fatal(&now));
        }
        running.refuse_if_removed(&now)?;
        before = now;
    }
}

impl Running {
    /// Half of the time is for the hand-over, a quarter for the calls in flight, the rest for consensus and stores.
    async fn stop(&self, ports: &mut Ports, within: Duration) -> Result<(), Failure> {
        let begun = Instant::now();
        self.lifecycle.stopping();
        self.node.begin_drain();
        if !hand_over(self, begun + within / 2).await {
            tracing::warn!(
                event = "leadership_kept",
                "nobody took leadership over: the others will choose a leader when this one is gone"
            );
        }
        let all_answered = ports.close(begun + within * 3 / 4).await;
        if !all_answered {
            tracing::warn!(
                event = "shutdown_timeout",
                "some calls were not answered in time: their outcome is unknown to their callers"
            );
        }
        // Before and after: a stop in order is no reason to fail, and must not hide the one that there was.
        let before = self.node.status();
        let is_down = timeout_at(begun + within, self.node.shutdown()).await.is_ok();
        let after = self.node.status();
        if let Some(status) = [&before, &after].into_iter().find(|status| status.fatal.is_some()) {
            return Err(self.fatal(status));
        }
        if self.seen_storage_error().is_some() {
            return Err(self.fatal(&after));
        }
        if !is_down {
            let told = format!("consensus did not end within node.shutdown_timeout ({})", humantime::format_duration(within));
            return Err(Failure::new(Code::Failed, told, "nothing that was acknowledged is lost; look at the disk"));
        }
        Ok(())
    }

    /// As far as this node has applied the log; if it missed its removal, the others tell it.
    fn refuse_if_removed(&self, status: &NodeStatus) -> Result<(), Failure> {
        if !status.removed {
            return Ok(());
        }
        let NodeIdentity { node_id, cluster_id, cluster_name, .. } = self.data.identity();
        let told =
            format!("node {node_id} was removed from cluster {cluster_id} ({cluster_name}), and its id is never used again");
        Err(join::removed(told))
    }

    fn on_storage_error(&self) -> OnStorageError {
        let seen = self.storage_error.clone();
        Arc::new(move |error: &StorageError| {
            seen.send_if_modified(|first| {
                let is_first = first.is_none();
                first.get_or_insert_with(|| error.clone());
                is_first
            });
        })
    }

    /// Asks the storage how it does, each time that it is called. Blocks.
    fn figures(&self) -> impl Fn() -> Result<Answer, StorageError> + Send + Sync + use<> {
        let (node, data, log) = (self.node.clone(), self.data.clone(), self.log.clone());
        let on_storage_error = self.on_storage_error();
        move || {
            let ledger = node.ledger();
            let view = ledger.view();
            let sums = view.totals().and_then(|totals| Ok((totals, view.all_series()?)));
            let (totals, series) = sums.inspect_err(|error| on_storage_error(error))?;
            Ok(Answer {
                disk: data.disk_figures()?,
                log: log.figures()?,
                ledger: ledger.figures()?,
                contradictions: contradictions(&totals, &series),
                ..Answer::default()
            })
        }
    }

    fn seen_storage_error(&self) -> Option<StorageError> {
        self.storage_error.borrow().clone().or_else(|| self.node.storage_failure())
    }

    fn fatal(&self, status: &NodeStatus) -> Failure {
        let reason = status.fatal.as_deref().unwrap_or("consensus ended without a reason");
        let failure = fatal::of_consensus(reason, self.seen_storage_error().as_ref());
        tracing::error!(event = "fatal", reason, exit_code = failure.code.number(), "this node cannot go on");
        failure
    }
}

impl Leads for Running {
    fn status(&self) -> NodeStatus {
        self.node.status()
    }

    fn hears_a_majority(&self) -> bool {
        self.node.hears_a_majority()
    }

    async fn transfer_leader(&self, within: Duration) -> Result<u64, TransferError> {
        self.node.transfer_leader(None, within).await
    }
}

impl Observed for ClusterNode {
    fn status(&self) -> NodeStatus {
        self.status()
    }

    fn counters(&self) -> &crate::consensus::Metrics {
        self.metrics()
    }

    fn unheard_voters(&self) -> usize {
        self.unheard_voters()
    }

    fn ledger(&self) -> Result<LedgerFigures, StorageError> {
        let view = self.ledger().view();
        let oldest = view.refunds_due(None, 1)?.first().map(|refund| refund.due_at);
        Ok(LedgerFigures {
            totals: view.totals()?,
            series: view.all_series()?,
            refunds_due: *view.refunds_due_by_reason(),
            oldest_refund_due_at: oldest,
        })
    }
}

/// Those that `init` makes a cluster of.
fn members(config: &Config) -> Vec<MemberNode> {
    let member = |member: &MemberAddresses| MemberNode {
        node_id: member.id,
        peer_address: member.peer.clone(),
        client_address: member.client.clone(),
    };
    config.cluster.members.iter().map(member).collect()
}

/// What `/metrics` needs of a running node.
fn metrics_of(
    config: &Config,
    running: &Running,
    calls: Arc<CallMetrics>,
    notices: Arc<NoticeMetrics>,
    features: String,
) -> Metrics<ClusterNode> {
    let node_id = running.data.identity().node_id;
    let others = config.cluster.members.iter().map(|member| member.id).filter(|id| *id != node_id);
    let data = running.data.clone();
    let node_name = if config.node.name.is_empty() { format!("node-{node_id}") } else { config.node.name.clone() };
    Metrics {
        observed: running.node.clone(),
        names: Box::new(move || {
            let identity = data.identity();
            Names {
                node_id: identity.node_id.to_string(),
                node_name: node_name.clone(),
                cluster_id: identity.cluster_id,
                cluster_name: identity.cluster_name,
            }
        }),
        calls,
        notices,
        log_times: running.log.times(),
        figures: Arc::default(),
        scrape_us: Histogram::default(),
        lifecycle: running.lifecycle.clone(),
        seen: Arc::new(Seen::new(others)),
        disk_floor_bytes: config.node.disk_floor.bytes(),
        started_at_ms: clock::unix_ms(),
        features,
        on_storage_error: running.on_storage_error(),
    }
}

//! The open ports of a node: a task for each, and the order in which they close.
//!
//! The peers' port opens first and closes last: until every call of a client has its answer, this node still hears from the
//! leader.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::{Running, Secrets};
use crate::limits::{FIGURES_INTERVAL, HEALTH_INTERVAL, SERIAL_KEY_INTERVAL};
use crate::operations::config::{Config, Loaded, Size};
use crate::operations::disk_floor::DiskFloor;
use crate::operations::exit::{Code, Failure};
use crate::operations::figures::{Answer, Figures};
use crate::operations::health::Lifecycle;
use crate::operations::http;
use crate::operations::metrics::Metrics;
use crate::operations::support::Inside;
use crate::operations::telemetry::LogControl;
use crate::operations::watch::Seen;
use crate::storage::StorageError;
use crate::transport::admin::Admin;
use crate::transport::gateways::http::serve_webhooks;
use crate::transport::gateways::{self, Gateways, NoticeMetrics};
use crate::transport::{CallMetrics, ClusterNode, Edge, Signals, serve_admin, serve_client, serve_peers};

/// Name of a port, and how its task ended.
type Ended = (&'static str, Result<(), String>);

pub(super) struct Ports {
    /// Clients, gateways, operators, metrics.
    outer: JoinSet<Ended>,
    peers: JoinSet<Ended>,
    close_outer: watch::Sender<bool>,
    close_peers: watch::Sender<bool>,
    seen: Arc<Seen>,
}

impl Ports {
    /// `clients`: the runtime of those ports that anybody may fill.
    pub(super) async fn open(
        loaded: &Loaded,
        log: &LogControl,
        running: &Running,
        secrets: Secrets,
        features: String,
        clients: &Handle,
    ) -> Result<Self, Failure> {
        let config = &loaded.config;
        let listen = &config.listen;
        let (calls, notices) = (CallMetrics::new(), Arc::<NoticeMetrics>::default());
        let metrics = Arc::new(super::metrics_of(config, running, calls.clone(), notices.clone(), features));
        let (close_outer, close_peers) = (watch::Sender::new(false), watch::Sender::new(false));
        let is_ready = watch_readiness(metrics.clone());
        let signals = |close: &watch::Sender<bool>| Signals { serving: is_ready.clone(), stop: close.subscribe() };

        let mut peers = JoinSet::new();
        let listener = bind("peer", listen.peer).await?;
        let served = serve_peers(
            listener,
            running.node.clone(),
            running.identity.clone(),
            calls.clone(),
            running.on_storage_error(),
            close_peers.subscribe(),
        );
        peers.spawn(async { ("peer", served.await.map_err(|error| error.to_string())) });

        let edge = Edge::start(running.node.clone(), secrets.serial_key.key, running.on_storage_error());
        let edge = edge.map_err(|error| {
            Failure::new(Code::Failed, format!("cannot start threads: {error}"), "look at the machine's limits")
        })?;

        // Before the first code is asked for. What cannot be read ends the node elsewhere, or is read the next time.
        let _ = edge.meet_all_series().await;
        tokio::spawn(watch_serial_key(edge.clone(), running.lifecycle.clone(), close_outer.subscribe()));

        tokio::spawn(watch_disk_room(config.node.disk_floor, running, close_outer.subscribe()));
        tokio::spawn(watch_figures(metrics.figures.clone(), running.figures(), close_outer.subscribe()));

        let mut outer = JoinSet::new();
        let (client, admin) = (bind("client", listen.client).await?, bind("admin", listen.admin).await?);
        let metrics_listener = bind("metrics", listen.metrics).await?;
        let served = serve_client(client, edge.clone(), calls.clone(), signals(&close_outer));
        outer.spawn_on(async { ("client", served.await.map_err(|error| error.to_string())) }, clients);
        if !secrets.gateways.is_empty() {
            let listener = bind("webhook", listen.webhook).await?;
            let served =
                serve_webhooks(listener, edge.clone(), gateways_of(config, secrets.gateways), notices, close_outer.subscribe());
            let told = async {
                served.await;
                ("webhook", Ok(()))
            };
            outer.spawn_on(told, clients);
        }
        let service =
            Admin::new(edge, running.identity.clone(), super::members(config), calls, running.started, close_outer.subscribe());
        let inside = inside(running, loaded, log, metrics.clone());
        let served = serve_admin(admin, service, inside, signals(&close_outer));
        outer.spawn(async { ("admin", served.await.map_err(|error| error.to_string())) });
        let seen = metrics.seen.clone();
        let closed = wait_for(close_outer.subscribe());
        outer.spawn(async {
            ("metrics", http::serve(metrics_listener, metrics, closed).await.map_err(|error| error.to_string()))
        });
        Ok(Self { outer, peers, close_outer, close_peers, seen })
    }

    pub(super) fn seen(&self) -> Arc<Seen> {
        self.seen.clone()
    }

    /// Completes only if something is wrong: no port closes by itself.
    pub(super) async fn ended_by_itself(&mut self) -> Failure {
        let ended = tokio::select! {
            Some(ended) = self.outer.join_next() => ended,
            Some(ended) = self.peers.join_next() => ended,
        };
        let told = match ended {
            Ok((name, Ok(()))) => format!("the {name} port closed by itself"),
            Ok((name, Err(error))) => format!("the {name} port: {error}"),
            Err(panic) => format!("a port's task ended: {panic}"),
        };
        Failure::new(Code::Failed, told, "start the node again, and report this")
    }

    /// Each port stops taking calls and answers those it has. False: some had no answer by `deadline`.
    pub(super) async fn close(&mut self, deadline: Instant) -> bool {
        self.close_outer.send_replace(true);
        let outer = drain(&mut self.outer, deadline).await;
        self.close_peers.send_replace(true);
        drain(&mut self.peers, deadline).await && outer
    }
}

/// What operators may look into.
fn inside(running: &Running, loaded: &Loaded, log: &LogControl, metrics: Arc<Metrics<ClusterNode>>) -> Arc<Inside> {
    let (node, log_store, data) = (running.node.clone(), running.log.clone(), running.data.clone());
    Arc::new(Inside { node, log_store, data, metrics, loaded: loaded.clone(), log: log.clone() })
}

fn gateways_of(config: &Config, secrets: gateways::Secrets) -> Gateways {
    let address = &config.gateways.midtrans_status_address;
    Gateways { secrets, midtrans_status: (!address.is_empty()).then(|| address.clone()) }
}

async fn drain(tasks: &mut JoinSet<Ended>, deadline: Instant) -> bool {
    loop {
        match timeout_at(deadline, tasks.join_next()).await {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => {
                tasks.abort_all();
                return false;
            }
        }
    }
}

async fn wait_for(mut signal: watch::Receiver<bool>) {
    // An error means that the sender has gone, and the node with it.
    let _ = signal.wait_for(|is_set| *is_set).await;
}

async fn bind(name: &'static str, address: std::net::SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::new(
            Code::Failed,
            format!("listen.{name}: cannot listen on {address}: {error}"),
            "see who has the port, or give the node another",
        )
    })
}

/// A node with another key than the cluster's prints nothing and verifies nothing: it should not be given calls.
async fn watch_serial_key(edge: Edge<ClusterNode>, lifecycle: Arc<Lifecycle>, closed: watch::Receiver<bool>) {
    let watching = async {
        let mut ticks = interval(SERIAL_KEY_INTERVAL);
        loop {
            ticks.tick().await;
            // What cannot be read ends the node elsewhere, or is read the next time.
            let _ = edge.meet_all_series().await;
            let others: Vec<String> = edge.series_of_other_keys().iter().map(ToString::to_string).collect();
            if lifecycle.set_series_of_other_keys(others.clone()) {
                tracing::error!(
                    event = "serial_key_mismatch",
                    series = others.join(","),
                    "series were opened with another key than serials.key_file has: their codes can be neither printed nor verified"
                );
            }
        }
    };
    tokio::select! {
        () = watching => {}
        () = wait_for(closed) => {}
    }
}

/// Tells consensus whether the disk is low.
fn watch_disk_room(floor: Size, running: &Running, closed: watch::Receiver<bool>) -> impl Future<Output = ()> + Send + use<> {
    let (node, data) = (running.node.clone(), running.data.clone());
    let watching = DiskFloor::new(floor.bytes()).watch(move || data.disk_figures(), move |is_low| node.set_disk_low(is_low));
    async {
        tokio::select! {
            () = watching => {}
            () = wait_for(closed) => {}
        }
    }
}

/// Keeps `figures` up to date. A disk that does not answer holds up this and nothing else.
async fn watch_figures(
    figures: Arc<Figures>,
    ask: impl Fn() -> Result<Answer, StorageError> + Send + Sync + 'static,
    closed: watch::Receiver<bool>,
) {
    let ask = Arc::new(ask);
    let watching = async {
        let mut ticks = interval(FIGURES_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let ask = ask.clone();
            // A panic was reported where it happened.
            if let Ok(answer) = tokio::task::spawn_blocking(move || ask()).await {
                figures.take(answer);
            }
        }
    };
    tokio::select! {
        () = watching => {}
        () = wait_for(closed) => {}
    }
}

/// The verdict of `/readyz`, kept up to date for gRPC health.
fn watch_readiness(metrics: Arc<Metrics<ClusterNode>>) -> watch::Receiver<bool> {
    let (ready, is_ready) = watch::channel(false);
    tokio::spawn(async move {
        let mut ticks = interval(HEALTH_INTERVAL);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = ready.closed() => return,
            }
            let now = metrics.readiness().iter().all(|check| check.is_ok);
            ready.send_if_modified(|before| std::mem::replace(before, now) != now);
        }
    });
    is_ready
}

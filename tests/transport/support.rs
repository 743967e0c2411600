//! A cluster of one node, in this process.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stampede::consensus::{Node, NodeSettings};
use stampede::domain::serial_code::SerialKey;
use stampede::proto::admin::admin_service_client::AdminServiceClient;
use stampede::proto::admin::{GetStatusRequest, GetStatusResponse, InitRequest, LogLevel, NodeRole, OpenSeriesRequest};
use stampede::proto::storage::MemberNode;
use stampede::proto::v1::issuance_service_client::IssuanceServiceClient;
use stampede::storage::{DataDir, StorageError};
use stampede::transport::admin::Admin;
use stampede::transport::gateways::http::serve_webhooks;
use stampede::transport::gateways::{Gateways, NoticeMetrics, Secret, Secrets};
use stampede::transport::peers::Dial;
use stampede::transport::support::LooksInside;
use stampede::transport::{
    CallMetrics, ClusterIdentity, ClusterNode, Edge, GrpcPeers, OnStorageError, Signals, serve_admin, serve_client, serve_peers,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::Status;
use tonic::transport::Channel;
use tonic_types::{ErrorInfo, StatusExt};

/// Everything must have happened by then; a test that reaches it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Of the gateways: two keys are active while one replaces the other.
pub(crate) const OLD_KEY: &str = "server-key-of-may";
pub(crate) const NEW_KEY: &str = "server-key-of-june";
pub(crate) const TOKEN: &str = "callback-token";

pub(crate) struct TestNode {
    pub(crate) client: IssuanceServiceClient<Channel>,
    pub(crate) admin: AdminServiceClient<Channel>,
    pub(crate) client_address: String,
    pub(crate) admin_address: String,
    pub(crate) peer_address: String,
    pub(crate) webhook_address: String,
    pub(crate) notices: Arc<NoticeMetrics>,
    pub(crate) identity: ClusterIdentity,
    pub(crate) calls: Arc<CallMetrics>,
    pub(crate) dir: TempDir,
    storage_errors: Arc<Mutex<Vec<StorageError>>>,
    node: ClusterNode,
    stop: watch::Sender<bool>,
    _serving: watch::Sender<bool>,
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

fn settings() -> NodeSettings {
    NodeSettings {
        node_id: 1,
        cluster_name: "test".to_owned(),
        heartbeat: Duration::from_millis(50),
        election_timeout_min: Duration::from_millis(150),
        election_timeout_max: Duration::from_millis(300),
        snapshot_after_entries: 100_000,
        entries_kept_after_snapshot: 100_000,
        append_entries_max: 64,
        entries_in_flight_max: 4,
    }
}

pub(crate) fn key() -> SerialKey {
    SerialKey::from_bytes([7; 32])
}

pub(crate) async fn channel(address: &str) -> Channel {
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// Not initialised yet.
pub(crate) async fn start() -> TestNode {
    start_taking(Gateways { secrets: secrets(), midtrans_status: None }).await
}

pub(crate) fn secrets() -> Secrets {
    Secrets { midtrans: [OLD_KEY, NEW_KEY].map(Secret::new).to_vec(), xendit: vec![Secret::new(TOKEN)] }
}

/// With these gateways' notices.
pub(crate) async fn start_taking(gateways: Gateways) -> TestNode {
    let dir = tempfile::tempdir().unwrap();
    let data = Arc::new(DataDir::open(dir.path(), 1).unwrap());
    let (log, ledger) = data.open_stores().unwrap();
    let identity = ClusterIdentity::new(data, [1, 2, 3]);
    let peers = GrpcPeers::new(identity.clone(), Dial::default());
    let node = Node::start(settings(), log, ledger, peers, Arc::new(stampede::clock::unix_ms)).await.unwrap();

    let client = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook_address = webhook.local_addr().unwrap().to_string();
    let address = |listener: &TcpListener| listener.local_addr().unwrap().to_string();
    let (client_address, admin_address, peer_address) = (address(&client), address(&admin), address(&peer));

    let calls = CallMetrics::new();
    let (serving, serving_told) = watch::channel(true);
    let (stop, stop_told) = watch::channel(false);
    let signals = Signals { serving: serving_told, stop: stop_told };
    let storage_errors = Arc::new(Mutex::new(Vec::new()));
    let seen = storage_errors.clone();
    let on_storage_error: OnStorageError = Arc::new(move |error| seen.lock().unwrap().push(error.clone()));
    let edge = Edge::start(node.clone(), key(), on_storage_error.clone()).unwrap();
    let member = MemberNode { node_id: 1, peer_address: peer_address.clone(), client_address: client_address.clone() };
    let service = Admin::new(edge.clone(), identity.clone(), vec![member], calls.clone(), Instant::now(), signals.stop.clone());
    let notices = Arc::<NoticeMetrics>::default();
    tokio::spawn(serve_webhooks(webhook, edge.clone(), gateways, notices.clone(), signals.stop.clone()));
    tokio::spawn(serve_client(client, edge, calls.clone(), signals.clone()));
    tokio::spawn(serve_admin(admin, service, Arc::new(Canned::default()), signals.clone()));
    tokio::spawn(serve_peers(peer, node.clone(), identity.clone(), calls.clone(), on_storage_error, signals.stop));
    TestNode {
        client: IssuanceServiceClient::new(channel(&client_address).await),
        admin: AdminServiceClient::new(channel(&admin_address).await),
        client_address,
        admin_address,
        peer_address,
        webhook_address,
        notices,
        identity,
        calls,
        dir,
        storage_errors,
        node,
        stop,
        _serving: serving,
    }
}

/// Who runs the node, of a test: notes what it is told, and has two files.
#[derive(Default)]
struct Canned {
    filter: Mutex<String>,
}

impl LooksInside for Canned {
    fn log_level(&self) -> LogLevel {
        LogLevel { filter: self.filter.lock().unwrap().clone(), ..LogLevel::default() }
    }

    fn set_log_level(&self, filter: &str, within: Duration) -> Result<(), String> {
        if filter == "loud" {
            return Err("is no level".to_owned());
        }
        *self.filter.lock().unwrap() = format!("{filter} for {}s", within.as_secs());
        Ok(())
    }

    fn metrics_page(&self) -> Result<String, String> {
        Ok("page".to_owned())
    }

    fn debug_files(&self, redacted: bool, metrics_apart: Duration) -> Vec<(String, Vec<u8>)> {
        let asked = format!("{redacted} {metrics_apart:?}").into_bytes();
        vec![
            ("asked.txt".to_owned(), asked),
            ("large.bin".to_owned(), vec![7; LARGE_FILE_BYTES]),
            ("empty".to_owned(), Vec::new()),
        ]
    }
}

/// More than one message takes.
pub(crate) const LARGE_FILE_BYTES: usize = 3 * stampede::limits::DEBUG_CHUNK_BYTES / 2;

/// Leads, and has the series `AAA` of a hundred stamps.
pub(crate) async fn start_with_series() -> TestNode {
    start_with_series_taking(Gateways { secrets: secrets(), midtrans_status: None }).await
}

pub(crate) async fn start_with_series_taking(gateways: Gateways) -> TestNode {
    let mut node = start_taking(gateways).await;
    node.admin.init(InitRequest { cluster_name: "test".to_owned() }).await.unwrap();
    node.status_when(|status| status.role() == NodeRole::Leader).await;
    node.admin.open_series(series("AAA")).await.unwrap();
    node
}

pub(crate) fn series(code: &str) -> OpenSeriesRequest {
    OpenSeriesRequest {
        series_code: code.to_owned(),
        first_number: 1,
        capacity: 100,
        face_value_idr: 10_000,
        payment_window_ms: 3_600_000,
    }
}

impl TestNode {
    pub(crate) async fn status_when(&mut self, reached: impl Fn(&GetStatusResponse) -> bool) -> GetStatusResponse {
        let until = Instant::now() + PATIENCE;
        loop {
            let status = self.admin.get_status(GetStatusRequest {}).await.unwrap().into_inner();
            if reached(&status) {
                return status;
            }
            assert!(Instant::now() < until, "still {status:?}");
            tokio::task::yield_now().await;
        }
    }

    /// What ends a node, since the last time.
    pub(crate) fn take_storage_errors(&self) -> Vec<StorageError> {
        std::mem::take(&mut self.storage_errors.lock().unwrap())
    }

    /// What is under way goes on; streams without an end are told to end.
    pub(crate) fn close_ports(&self) {
        self.stop.send_replace(true);
    }

    pub(crate) async fn stop(self) {
        assert_eq!(self.take_storage_errors(), []);
        self.stop.send_replace(true);
        self.node.shutdown().await;
    }
}

pub(crate) fn info(status: &Status) -> ErrorInfo {
    status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"))
}

pub(crate) fn effect(status: &Status) -> String {
    info(status).metadata.get("effect").cloned().unwrap_or_default()
}

//! Three `stampede node` processes with a data directory each. They are killed when this is dropped.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use stampede::proto::admin::admin_service_client::AdminServiceClient;
use stampede::proto::admin::{GetStatusRequest, GetStatusResponse, InitRequest, NodeRole, OpenSeriesRequest};
use tempfile::TempDir;
use tonic::transport::Channel;

use super::load::lazy_channel;

/// How long a condition may take to come true.
const WAIT_MAX: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);

#[derive(Clone, Copy)]
struct Ports {
    client: u16,
    peer: u16,
    admin: u16,
    metrics: u16,
}

pub struct Cluster {
    folder: TempDir,
    ports: Vec<Ports>,
    processes: Vec<Option<Child>>,
}

impl Cluster {
    pub async fn start() -> Self {
        let folder = TempDir::new().expect("temporary folder");
        fs::write(folder.path().join("serials.key"), "07".repeat(32)).expect("key file");
        let mut cluster = Self { folder, ports: (0..3).map(|_| free_ports()).collect(), processes: vec![None, None, None] };
        for node in cluster.nodes() {
            fs::write(cluster.config_file(node), cluster.config(node)).expect("configuration file");
            cluster.spawn(node);
        }
        for node in cluster.nodes() {
            cluster.until(&format!("node {node} answers"), async || cluster.status(node).await.is_some()).await;
        }
        cluster.admin(1).init(InitRequest { cluster_name: "bench".into() }).await.expect("init");
        let leader = cluster.leader().await;
        let series = OpenSeriesRequest {
            series_code: "BEN".into(),
            first_number: 0,
            capacity: 1_000_000_000,
            face_value_idr: 10_000,
            payment_window_ms: 86_400_000,
        };
        cluster.admin(leader).open_series(series).await.expect("open series");
        cluster
    }

    pub fn nodes(&self) -> std::ops::RangeInclusive<u64> {
        1..=3
    }

    fn ports(&self, node: u64) -> Ports {
        self.ports[index(node)]
    }

    pub fn client_address(&self, node: u64) -> String {
        format!("127.0.0.1:{}", self.ports(node).client)
    }

    fn config_file(&self, node: u64) -> std::path::PathBuf {
        self.folder.path().join(format!("node-{node}.toml"))
    }

    fn config(&self, node: u64) -> String {
        let members: Vec<String> = self
            .nodes()
            .map(|id| {
                let Ports { client, peer, admin, .. } = self.ports(id);
                format!("{{ id = {id}, client = \"127.0.0.1:{client}\", peer = \"127.0.0.1:{peer}\", admin = \"127.0.0.1:{admin}\" }}")
            })
            .collect();
        let Ports { client, peer, admin, metrics } = self.ports(node);
        let folder = self.folder.path().display();
        format!(
            "[node]\nid = {node}\ndata_dir = \"{folder}/data-{node}\"\n\n[cluster]\nname = \"bench\"\nmembers = [{}]\n\n\
             [listen]\nclient = \"127.0.0.1:{client}\"\npeer = \"127.0.0.1:{peer}\"\nadmin = \"127.0.0.1:{admin}\"\n\
             metrics = \"127.0.0.1:{metrics}\"\n\n[serials]\nkey_file = \"{folder}/serials.key\"\n",
            members.join(", ")
        )
    }

    fn spawn(&mut self, node: u64) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join(format!("node-{node}.log")));
        let child = Command::new(env!("CARGO_BIN_EXE_stampede"))
            .args(["node", "--config"])
            .arg(self.config_file(node))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("log file"))
            .spawn()
            .expect("start node");
        self.processes[index(node)] = Some(child);
    }

    fn admin(&self, node: u64) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(lazy_channel(&format!("127.0.0.1:{}", self.ports(node).admin)))
    }

    async fn status(&self, node: u64) -> Option<GetStatusResponse> {
        self.processes[index(node)].as_ref()?;
        self.admin(node).get_status(GetStatusRequest {}).await.ok().map(tonic::Response::into_inner)
    }

    async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let start = Instant::now();
        while !condition().await {
            assert!(start.elapsed() < WAIT_MAX, "waited {WAIT_MAX:?} until {what}");
            tokio::time::sleep(POLL).await;
        }
    }

    async fn leader_now(&self, not: u64) -> Option<u64> {
        for node in self.nodes().filter(|node| *node != not) {
            if self.status(node).await.is_some_and(|status| status.role() == NodeRole::Leader) {
                return Some(node);
            }
        }
        None
    }

    pub async fn leader(&self) -> u64 {
        self.leader_other_than(0).await
    }

    pub async fn leader_other_than(&self, not: u64) -> u64 {
        self.until("there is a leader", async || self.leader_now(not).await.is_some()).await;
        self.leader_now(not).await.expect("a leader in a quiet moment")
    }

    /// All three run and have applied what the leader had when asked.
    pub async fn caught_up(&self) {
        let leader = self.leader().await;
        let target = self.status(leader).await.map_or(0, |status| status.committed_index);
        for node in self.nodes() {
            let caught_up = async || self.status(node).await.is_some_and(|status| status.applied_index >= target);
            self.until(&format!("node {node} has caught up"), caught_up).await;
        }
    }

    pub fn kill(&mut self, node: u64) {
        if let Some(mut child) = self.processes[index(node)].take() {
            child.kill().expect("kill");
            child.wait().expect("wait");
        }
    }

    /// SIGTERM, and waits until the process has ended by itself.
    pub async fn terminate(&mut self, node: u64) {
        let Some(mut child) = self.processes[index(node)].take() else { return };
        let signalled = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill is there");
        assert!(signalled.success());
        let status = tokio::task::spawn_blocking(move || child.wait()).await.expect("join").expect("wait");
        assert!(status.success(), "node {node} ended with {status}");
    }

    pub async fn restart(&mut self, node: u64) {
        self.spawn(node);
        self.until(&format!("node {node} answers"), async || self.status(node).await.is_some()).await;
    }

    /// Resident memory of a node, MiB.
    /// # Panics
    /// It does not run.
    pub fn pid(&self, node: u64) -> u32 {
        self.processes[index(node)].as_ref().expect("it runs").id()
    }

    pub fn resident_mib(&self, node: u64) -> u64 {
        let Some(child) = &self.processes[index(node)] else { return 0 };
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).and_then(|rest| rest.split_whitespace().next());
        kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in self.nodes() {
            self.kill(node);
        }
    }
}

fn index(node: u64) -> usize {
    usize::try_from(node - 1).expect("three nodes")
}

fn free_ports() -> Ports {
    // All four are bound at once, so that they differ; they are free again when the listeners drop.
    let listeners: Vec<_> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    let port = |at: usize| listeners[at].local_addr().expect("bound").port();
    Ports { client: port(0), peer: port(1), admin: port(2), metrics: port(3) }
}

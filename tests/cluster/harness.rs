//! Starts `stampede node` processes in a temporary folder, and ends them however the test ends.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// How long a condition may take to come true, on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy)]
struct Ports {
    client: u16,
    peer: u16,
    admin: u16,
    metrics: u16,
    webhook: u16,
}

/// What the test's gateway proves itself with.
pub(crate) const XENDIT_TOKEN: &str = "token-of-the-test";

pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    ports: Vec<Ports>,
    /// By node id less one; `None` while it is not running.
    processes: Vec<Option<Child>>,
    /// `--set` of every node: `key=value`.
    settings: Vec<String>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.processes.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            for node in self.nodes() {
                eprintln!("--- log of node {node}\n{}", self.log(node));
            }
        }
    }
}

pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(POLL);
    }
}

/// Below the range that outgoing connections take theirs from, and beside that of drills: what is free stays so while a node is down.
const PORTS: Range<u16> = 10_000..20_000;

/// For something that is no node.
pub(crate) fn free_port() -> u16 {
    free_ports(1)[0].client
}

fn free_ports(nodes: usize) -> Vec<Ports> {
    /// Each is given once in this process, and processes begin at different ones.
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(97);
    let next = || {
        let nth = first.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % u32::try_from(PORTS.len()).unwrap();
        PORTS.start + u16::try_from(nth).unwrap()
    };
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let ports: Vec<u16> = std::iter::repeat_with(next).filter(is_free).take(nodes * 5).collect();
    let ports = ports.chunks(5);
    ports.map(|p| Ports { client: p[0], peer: p[1], admin: p[2], metrics: p[3], webhook: p[4] }).collect()
}

impl Cluster {
    /// Configured, not started.
    pub(crate) fn new(nodes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let processes = (0..nodes).map(|_| None).collect();
        let cluster = Self { folder, ports: free_ports(nodes), processes, settings: Vec::new() };
        cluster.write_key("07");
        fs::write(cluster.folder.path().join("xendit.tokens"), XENDIT_TOKEN).unwrap();
        fs::write(cluster.folder.path().join("shared.toml"), cluster.shared_config()).unwrap();
        for node in cluster.nodes() {
            fs::write(cluster.file(node), cluster.node_config(node)).unwrap();
        }
        cluster
    }

    /// The same, each node with these `--set key=value`.
    pub(crate) fn with_settings(nodes: usize, settings: &[&str]) -> Self {
        let mut cluster = Self::new(nodes);
        cluster.settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        cluster
    }

    /// What nodes that start from now on print codes with: this byte, in hexadecimal, as often as a key needs.
    pub(crate) fn write_key(&self, byte: &str) {
        fs::write(self.folder.path().join("serial.key"), byte.repeat(32)).unwrap();
    }

    /// Three nodes, initialised, with the series `CPN` of a million stamps.
    pub(crate) fn running() -> Self {
        Self::running_with(&[])
    }

    /// The same, each node with these `--set key=value`.
    pub(crate) fn running_with(settings: &[&str]) -> Self {
        let mut cluster = Self::with_settings(3, settings);
        for node in cluster.nodes() {
            cluster.start(node);
        }
        for node in cluster.nodes() {
            cluster.until_started(node);
        }
        cluster.form();
        cluster
    }

    /// Of nodes that were started: with a leader, and the series `CPN` of a million stamps.
    pub(crate) fn form(&self) {
        assert!(self.stampede(&["init", "--name", "test"]).status.success());
        until("a leader", || self.leader().is_some());
        let opened = self.stampede(&["series", "open", "CPN", "--capacity", "1000000"]);
        assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
    }

    pub(crate) fn nodes(&self) -> Vec<u64> {
        (1..).take(self.ports.len()).collect()
    }

    /// One more node, which no configuration knows: it joins by a token. Its number here is the next, whatever its id will be.
    pub(crate) fn add(&mut self) -> u64 {
        self.ports.extend(free_ports(1));
        self.processes.push(None);
        let node = self.ports.len() as u64;
        self.forget_id(node);
        node
    }

    /// From now on the node's configuration does not say who it is.
    pub(crate) fn forget_id(&self, node: u64) {
        fs::write(self.file(node), self.node_config(node).replace(&format!("id = {node}\n"), "")).unwrap();
    }

    /// The same, with a process that aborts when it reaches this point.
    pub(crate) fn start_joining_until(&mut self, node: u64, token: &str, point: &str) {
        let child = self.command(node).args(["--join", token]).env("STAMPEDE_CRASH_POINT", point).spawn().unwrap();
        self.processes[index(node)] = Some(child);
    }

    /// Starts a node that asks for its id by this token.
    pub(crate) fn start_joining(&mut self, node: u64, token: &str) {
        let child = self.command(node).args(["--join", token]).spawn().unwrap();
        self.processes[index(node)] = Some(child);
    }

    /// Starts a node with more `--set key=value` than the others.
    pub(crate) fn start_with(&mut self, node: u64, settings: &[&str]) {
        let child = self.command(node).args(settings.iter().flat_map(|setting| ["--set", setting])).spawn().unwrap();
        self.processes[index(node)] = Some(child);
    }

    /// A token of `member add`.
    pub(crate) fn token(&self) -> String {
        self.json(None, &["member", "add"])["token"].as_str().unwrap().to_owned()
    }

    /// What `member list` shows, if a leader answers: node and role.
    pub(crate) fn members(&self) -> Vec<(u64, String)> {
        let output = self.stampede(&["member", "list", "--timeout", "2s", "-o", "json"]);
        let all: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let member = |row: &Value| (row["node"].as_u64().unwrap(), row["role"].as_str().unwrap().replace("leader", "voter"));
        all.as_array().map(|rows| rows.iter().map(member).collect()).unwrap_or_default()
    }

    pub(crate) fn voters(&self) -> Vec<u64> {
        self.members().into_iter().filter(|(_, role)| role == "voter").map(|(node, _)| node).collect()
    }

    /// Waits until `node` is a learner that the leader hears and that lacks nothing.
    pub(crate) fn until_caught_up(&self, node: u64) {
        until(&format!("node {node} has caught up"), || {
            let output = self.stampede(&["member", "list", "--timeout", "2s", "-o", "json"]);
            let all: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let rows = all.as_array().cloned().unwrap_or_default();
            rows.iter().any(|row| row["node"] == node && row["reachable"] == true && row["lag"].as_u64() < Some(100))
        });
    }

    pub(crate) fn peer_address(&self, node: u64) -> String {
        format!("127.0.0.1:{}", self.ports(node).peer)
    }

    pub(crate) fn signal(&self, node: u64, signal: &str) {
        let child = self.processes[index(node)].as_ref().expect("is running");
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    }

    /// From now on the process aborts when it reaches this point.
    pub(crate) fn arm(&self, node: u64, point: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let address = format!("http://{}", self.admin_address(node));
        runtime.block_on(async {
            let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
            let request = stampede::proto::drill::ArmCrashPointRequest { point: point.to_owned() };
            stampede::proto::drill::drill_service_client::DrillServiceClient::new(channel)
                .arm_crash_point(request)
                .await
                .unwrap();
        });
    }

    /// A command of an operator, under way.
    pub(crate) fn begin(&self, args: &[&str]) -> Begun {
        let told = self.folder.path().join(format!("command-{}.log", uuid::Uuid::now_v7()));
        let child = Command::new(env!("CARGO_BIN_EXE_stampede"))
            .args(args)
            .env("STAMPEDE_SERVER", self.list(|ports| ports.client))
            .env("STAMPEDE_ADMIN", self.list(|ports| ports.admin))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&told).unwrap())
            .spawn()
            .unwrap();
        Begun { child, told }
    }

    fn ports(&self, node: u64) -> Ports {
        self.ports[index(node)]
    }

    fn file(&self, node: u64) -> PathBuf {
        self.folder.path().join(format!("node-{node}.toml"))
    }

    pub(crate) fn log(&self, node: u64) -> String {
        fs::read_to_string(self.folder.path().join(format!("node-{node}.log"))).unwrap_or_default()
    }

    fn shared_config(&self) -> String {
        let member = |node| {
            let Ports { client, peer, admin, .. } = self.ports(node);
            format!(
                "{{ id = {node}, client = \"127.0.0.1:{client}\", peer = \"127.0.0.1:{peer}\", admin = \"127.0.0.1:{admin}\" }}"
            )
        };
        let members: Vec<String> = self.nodes().into_iter().map(member).collect();
        format!(
            "[cluster]\nname = \"test\"\nmembers = [{}]\n[serials]\nkey_file = \"serial.key\"\n\
             [gateways]\nxendit_tokens_file = \"xendit.tokens\"\n",
            members.join(", ")
        )
    }

    fn node_config(&self, node: u64) -> String {
        let Ports { client, peer, admin, metrics, webhook } = self.ports(node);
        format!(
            "[node]\nid = {node}\ndata_dir = \"data-{node}\"\n[listen]\nclient = \"127.0.0.1:{client}\"\n\
             peer = \"127.0.0.1:{peer}\"\nadmin = \"127.0.0.1:{admin}\"\nmetrics = \"127.0.0.1:{metrics}\"\nwebhook = \"127.0.0.1:{webhook}\"\n"
        )
    }

    /// `stampede node` for this node, not started.
    pub(crate) fn command(&self, node: u64) -> Command {
        let log = self.folder.path().join(format!("node-{node}.log"));
        let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_stampede"));
        command.arg("node").arg("--config").arg(self.folder.path().join("shared.toml")).arg("--config").arg(self.file(node));
        command.args(self.settings.iter().flat_map(|setting| ["--set", setting]));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command
    }

    pub(crate) fn start(&mut self, node: u64) {
        self.start_in(node, &[]);
    }

    /// With these in its environment.
    pub(crate) fn start_in(&mut self, node: u64, environment: &[(&str, &OsStr)]) {
        let child = self.command(node).envs(environment.iter().copied()).spawn().unwrap();
        self.processes[index(node)] = Some(child);
    }

    /// As the rest of a command that runs what it is given; returns the id of the process, which must stay the same.
    pub(crate) fn start_within(&mut self, node: u64, mut outer: Command) -> u32 {
        let plain = self.command(node);
        outer.arg(plain.get_program()).args(plain.get_args());
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join(format!("node-{node}.log")));
        outer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.unwrap());
        let child = self.processes[index(node)].insert(outer.spawn().unwrap());
        child.id()
    }

    /// Files of the node may not grow beyond `kib`; a write that would fails.
    pub(crate) fn start_with_file_limit(&mut self, node: u64, kib: u32) {
        let mut limited = Command::new("bash");
        // Ignored, the signal leaves the error to the write.
        limited.args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\""]).arg(kib.to_string());
        self.start_within(node, limited);
    }

    pub(crate) fn until_started(&self, node: u64) {
        until(&format!("node {node} has started"), || self.http(node, "/startupz").is_some_and(|(code, _)| code == 200));
    }

    /// SIGKILL; it is gone when this returns.
    pub(crate) fn kill(&mut self, node: u64) {
        let mut child = self.processes[index(node)].take().expect("is running");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn data_dir(&self, node: u64) -> PathBuf {
        self.folder.path().join(format!("data-{node}"))
    }

    /// As after a disk was replaced by a new one.
    pub(crate) fn empty_disk(&self, node: u64) {
        fs::remove_dir_all(self.data_dir(node)).unwrap();
    }

    pub(crate) fn send_sigterm(&self, node: u64) {
        self.signal(node, "-TERM");
    }

    pub(crate) fn wait(&mut self, node: u64) -> ExitStatus {
        let mut child = self.processes[index(node)].take().expect("is running");
        let mut status = None;
        until(&format!("node {node} has ended"), || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub(crate) fn client_address(&self, node: u64) -> String {
        format!("127.0.0.1:{}", self.ports(node).client)
    }

    pub(crate) fn admin_address(&self, node: u64) -> String {
        format!("127.0.0.1:{}", self.ports(node).admin)
    }

    pub(crate) fn metrics_address(&self, node: u64) -> String {
        format!("127.0.0.1:{}", self.ports(node).metrics)
    }

    pub(crate) fn webhook_address(&self, node: u64) -> String {
        format!("127.0.0.1:{}", self.ports(node).webhook)
    }

    fn list(&self, port: impl Fn(Ports) -> u16) -> String {
        let all: Vec<String> = self.ports.iter().map(|ports| format!("127.0.0.1:{}", port(*ports))).collect();
        all.join(",")
    }

    /// Runs a command that may ask every node.
    pub(crate) fn stampede(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_stampede"))
            .args(args)
            .env("STAMPEDE_SERVER", self.list(|ports| ports.client))
            .env("STAMPEDE_ADMIN", self.list(|ports| ports.admin))
            .output()
            .unwrap()
    }

    /// Runs a command of an operator that asks this node alone.
    pub(crate) fn stampede_at(&self, node: u64, args: &[&str]) -> Output {
        let admin = self.admin_address(node);
        Command::new(env!("CARGO_BIN_EXE_stampede")).args(args).args(["--admin", &admin]).output().unwrap()
    }

    /// Runs a command that must go well, at one node if `at` names it, and reads what it prints.
    pub(crate) fn json(&self, at: Option<u64>, args: &[&str]) -> Value {
        let mut all = args.to_vec();
        let address = at.map(|node| self.client_address(node));
        if let Some(address) = &address {
            all.extend(["--server", address]);
        }
        all.extend(["-o", "json"]);
        let output = self.stampede(&all);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What each running node says of itself; a node that does not answer is left out.
    pub(crate) fn statuses(&self) -> Vec<Value> {
        let output = self.stampede(&["status", "--timeout", "1s", "-o", "json"]);
        let all: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        all.as_array().map(|rows| rows.iter().filter(|row| row["node"].is_u64()).cloned().collect()).unwrap_or_default()
    }

    pub(crate) fn leader(&self) -> Option<u64> {
        self.statuses().into_iter().find(|status| status["role"] == "leader").and_then(|status| status["node"].as_u64())
    }

    /// All nodes answer, and have applied the same entries to the same effect.
    pub(crate) fn same_digest(&self) -> bool {
        let statuses = self.statuses();
        let held = |status: &Value| (status["applied"].clone(), status["digest"].clone());
        statuses.len() == self.ports.len() && statuses.iter().all(|status| held(status) == held(&statuses[0]))
    }

    /// What the node's metrics page has under a name without labels.
    pub(crate) fn figure(&self, node: u64, name: &str) -> Option<u64> {
        self.measure(node, name)
    }

    /// The same, of any number, and with the labels that the name brings.
    pub(crate) fn measure<T: FromStr>(&self, node: u64, name: &str) -> Option<T> {
        let (_, page) = self.http(node, "/metrics")?;
        let line = page.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// What gRPC health says of the whole server on the clients' port.
    pub(crate) fn is_serving(&self, node: u64) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let address = format!("http://{}", self.client_address(node));
        let answer = runtime.block_on(async {
            let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
            HealthClient::new(channel).check(HealthCheckRequest { service: String::new() }).await.unwrap()
        });
        answer.into_inner().status() == ServingStatus::Serving
    }

    /// Code and body of a GET on the metrics port.
    pub(crate) fn http(&self, node: u64, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports(node).metrics)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let code = answer.split(' ').nth(1)?.parse().ok()?;
        Some((code, answer.split_once("\r\n\r\n")?.1.to_owned()))
    }
}

/// Killed when it is dropped.
pub(crate) struct Begun {
    child: Child,
    told: PathBuf,
}

impl Begun {
    /// What it has said on standard error.
    pub(crate) fn told(&self) -> String {
        fs::read_to_string(&self.told).unwrap_or_default()
    }

    pub(crate) fn until_told(&self, what: &str) -> String {
        until(&format!("{what:?} is said, after {}", self.told()), || self.told().contains(what));
        self.told()
    }

    /// The token that it prints for the node that it waits for.
    pub(crate) fn token(&self) -> String {
        let mut token = None;
        until("a token is printed", || {
            let told = self.told();
            let printed = told.rsplit_once("--join ").and_then(|(_, rest)| rest.split_once('\n'));
            token = printed.map(|(token, _)| token.to_owned());
            token.is_some()
        });
        token.unwrap()
    }

    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let mut code = None;
        until(&format!("the command ends, after {}", self.told()), || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        (code.and_then(|status| status.code()), self.told())
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn index(node: u64) -> usize {
    usize::try_from(node).unwrap() - 1
}

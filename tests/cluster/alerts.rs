//! The alerts of `cluster-config/monitoring` against nodes that are killed and a Prometheus that runs: they go pending, fire and
//! clear, the right ones and no other.
//!
//! Prometheus reads copies of the rules in which every `for:` is [`FOR`], and scrapes and evaluates several times a second. What the
//! alerts ask is as in the originals, so that those over many minutes (budgets, stock) cannot fire in a short test: promtool tests
//! them. Needs Debian's `prometheus` (`make prometheus`).

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::harness::{Cluster, free_port, until};

/// In place of the alerts' minutes: long enough to be seen pending.
const FOR: &str = "2s";

/// What a lost node has to do with. Others may tell of the machine that the test runs on.
const WATCHED: [&str; 8] = [
    "StampedeMembersDown",
    "StampedeInsufficientMembers",
    "StampedeNoLeader",
    "StampedeNodeWithoutLeader",
    "StampedeZeroFaultTolerance",
    "StampedeTwoLeadersInOneTerm",
    "StampedeRaftStopped",
    "StampedeNodeNotReady",
];

/// Without one a test says so and shows nothing; on a machine that is there to test (`CI=true`) that is a failure.
fn has_prometheus() -> bool {
    let Err(error) = Command::new("prometheus").arg("--version").output() else { return true };
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI=true, and no prometheus: {error}");
    eprintln!("nothing is shown of alerts here: prometheus: {error} (make prometheus installs it)");
    false
}

struct Prometheus {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            eprintln!("--- alerts {:?}\n--- log of Prometheus\n{log}", self.alerts());
        }
    }
}

impl Prometheus {
    /// Scrapes these addresses as the cluster `test`.
    fn start(targets: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster-config/monitoring");
        for file in ["rules.yml", "alerts.yml"] {
            fs::write(folder.path().join(file), impatient(&fs::read_to_string(ours.join(file)).unwrap())).unwrap();
        }
        let config = format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}\n\
             rule_files: [rules.yml, alerts.yml]\n\
             scrape_configs:\n  - job_name: stampede\n    static_configs:\n      - {{targets: {targets:?}, labels: {{cluster: test}}}}\n"
        );
        fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        let port = free_port();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new("prometheus");
        command.arg("--config.file=prometheus.yml").arg("--storage.tsdb.path=data");
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Self { process: command.spawn().unwrap(), port, folder }
    }

    /// `data` of an answer of its API; none while it does not answer.
    fn ask(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        // 1.0: the answer comes in one piece.
        write!(stream, "GET /api/v1/{path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let mut answer: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
        Some(answer["data"].take())
    }

    /// Name and state, `pending` or `firing`, of those that are watched and the watchdog.
    fn alerts(&self) -> BTreeSet<(String, String)> {
        let data = self.ask("alerts").unwrap_or_default();
        let of = |alert: &Value| {
            (alert["labels"]["alertname"].as_str().unwrap().to_owned(), alert["state"].as_str().unwrap().to_owned())
        };
        let all = data["alerts"].as_array().into_iter().flatten().map(of);
        all.filter(|(name, _)| name == "StampedeWatchdog" || WATCHED.contains(&name.as_str())).collect()
    }

    fn firing(&self) -> BTreeSet<String> {
        self.alerts().into_iter().filter(|(_, state)| state == "firing").map(|(name, _)| name).collect()
    }

    /// Until exactly these fire, beside the watchdog, which says that rules are evaluated.
    fn until_firing(&self, when: &str, expected: &[&str]) {
        let expected: BTreeSet<String> = expected.iter().chain(&["StampedeWatchdog"]).map(|&name| name.to_owned()).collect();
        until(&format!("{when}: {expected:?} fire and no other"), || self.firing() == expected);
    }

    fn until_pending(&self, name: &str) {
        until(&format!("{name} is pending"), || self.alerts().contains(&(name.to_owned(), "pending".to_owned())));
    }

    /// Values of a query that needs no escapes.
    fn values(&self, query: &str) -> Vec<String> {
        let data = self.ask(&format!("query?query={query}")).unwrap_or_default();
        let value = |series: &Value| series["value"][1].as_str().unwrap().to_owned();
        data["result"].as_array().into_iter().flatten().map(value).collect()
    }
}

/// The same rules, with every `for:` as short as the test.
fn impatient(rules: &str) -> String {
    let line = |line: &str| {
        let is_for = line.trim_start().starts_with("for: ");
        if is_for { format!("{}for: {FOR}\n", &line[..line.len() - line.trim_start().len()]) } else { format!("{line}\n") }
    };
    rules.lines().map(line).collect()
}

#[test]
fn killed_nodes_make_the_right_alerts_pending_then_firing_and_their_return_clears_them() {
    if !has_prometheus() {
        return;
    }
    let mut cluster = Cluster::running();
    let targets: Vec<String> = cluster.nodes().into_iter().map(|node| cluster.metrics_address(node)).collect();
    let prometheus = Prometheus::start(&targets);
    until("all three are scraped and their rules recorded", || prometheus.values("cluster:stampede_up:sum") == ["3"]);
    prometheus.until_firing("all is well", &[]);

    let leader = cluster.leader().unwrap();
    let follower = cluster.nodes().into_iter().find(|node| *node != leader).unwrap();
    cluster.kill(follower);
    prometheus.until_pending("StampedeMembersDown");
    prometheus.until_firing("one is down", &["StampedeMembersDown", "StampedeZeroFaultTolerance"]);
    assert!(cluster.stampede(&["order", "place", "--series", "CPN", "--quantity", "1"]).status.success(), "the others serve");

    cluster.kill(leader);
    prometheus.until_pending("StampedeInsufficientMembers");
    until("two are down: no majority, no leader", || {
        let firing = prometheus.firing();
        ["StampedeMembersDown", "StampedeInsufficientMembers", "StampedeNoLeader"].iter().all(|name| firing.contains(*name))
    });

    for node in [leader, follower] {
        cluster.start(node);
    }
    prometheus.until_firing("all are back", &[]);
    until("nothing is left pending", || prometheus.alerts().len() == 1);
}

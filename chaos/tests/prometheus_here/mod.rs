//! A Prometheus that scrapes the tool, where there is one.

#![allow(unreachable_pub, reason = "shared by test binaries")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::killed::Killed;

const PATIENCE: Duration = Duration::from_secs(30);

pub struct Prometheus {
    port: u16,
    _process: Killed,
    _folder: tempfile::TempDir,
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What the dashboards mark under this name: the query.
pub fn annotation(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster-config/monitoring/dashboards/stampede-drill.json");
    let board: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let all = board["annotations"]["list"].as_array().unwrap();
    all.iter().find(|one| one["name"] == name).unwrap()["expr"].as_str().unwrap().to_owned()
}

impl Prometheus {
    /// Scrapes this port, several times a second. Without the program a test says so and shows nothing; on a machine that is there to
    /// test (`CI=true`) that is a failure.
    pub fn start(scraped: u16) -> Option<Self> {
        if let Err(error) = Command::new("prometheus").arg("--version").output() {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI=true, and no prometheus: {error}");
            eprintln!("nothing is shown of metrics here: prometheus: {error} (make prometheus installs it)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
             scrape_configs: [{{job_name: stampede-drill, static_configs: [{{targets: [\"127.0.0.1:{scraped}\"]}}]}}]\n"
        );
        fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        let port = free_port();
        let mut command = Command::new("prometheus");
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Some(Self { port, _process: Killed::spawn(&mut command), _folder: folder })
    }

    /// Until the series of a query, as their labels, are as wanted.
    pub fn wait_for(&self, what: &str, query: &str, is_so: impl Fn(&[Value]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let series = self.series(query);
            if series.as_deref().is_some_and(&is_so) {
                return;
            }
            assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}: {query}: {series:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn series(&self, query: &str) -> Option<Vec<Value>> {
        let query: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        // 1.0: the answer comes in one piece.
        write!(stream, "GET /api/v1/query?query={query} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let answer: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
        Some(answer["data"]["result"].as_array()?.iter().map(|series| series["metric"].clone()).collect())
    }
}

//! `demo`: three nodes on this machine, in a folder that is thrown away, to try the commands on.
//!
//! The nodes are processes of this same binary, started as an operator would start them. They end with this process, however
//! it ends: each holds the reading end of a pipe from here and stops when it closes.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, ChildStdin, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::connection::{Call, Servers};
use super::exit::{Code, Failure};
use super::output::print_line;
use crate::proto::admin::admin_service_client::AdminServiceClient as Client;
use crate::proto::admin::{GetStatusRequest, InitRequest, OpenSeriesRequest};

const NODES: u16 = 3;
/// From one node's ports to the next one's.
const PORT_STEP: u16 = 10;
const SERIES: &str = "CPN";
/// How long three nodes may take to start and choose a leader.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
/// Lines of a node's log that are shown when it did not start.
const LOG_LINES_SHOWN: usize = 5;

#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// First of the ports: node N has clients at BASE + 10 (N - 1), peers one above, operators three above, metrics four above
    #[arg(long, default_value_t = 7700, value_parser = clap::value_parser!(u16).range(1024..=65_000))]
    port_base: u16,
}

pub(super) async fn run(args: &DemoArgs) -> Result<(), Failure> {
    let mut interrupted = signal(SignalKind::interrupt()).map_err(cannot("listen for Ctrl-C"))?;
    let mut terminated = signal(SignalKind::terminate()).map_err(cannot("listen for SIGTERM"))?;
    let mut demo = Demo::start(args.port_base)?;
    let result = tokio::select! {
        served = demo.serve() => served,
        _ = interrupted.recv() => Ok(()),
        _ = terminated.recv() => Ok(()),
    };
    eprintln!("stopping the demo and removing {}", demo.folder.display());
    demo.stop().await;
    result
}

fn cannot(what: &'static str) -> impl Fn(std::io::Error) -> Failure {
    move |error| Failure::new(Code::Failed, format!("cannot {what}: {error}"), "look at the machine's limits and free space")
}

struct Demo {
    folder: PathBuf,
    port_base: u16,
    nodes: Vec<DemoNode>,
}

struct DemoNode {
    process: Child,
    /// Closes when this process ends, however it ends.
    _lifeline: Option<ChildStdin>,
}

impl Drop for Demo {
    fn drop(&mut self) {
        // The processes are killed by their own drop; what remains is the folder.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Demo {
    fn start(port_base: u16) -> Result<Self, Failure> {
        check_ports(port_base)?;
        let folder = std::env::temp_dir().join(format!("stampede-demo-{}", std::process::id()));
        fs::create_dir(&folder).map_err(cannot("make a temporary folder"))?;
        let mut demo = Self { folder, port_base, nodes: Vec::new() };
        let key = blake3::hash(uuid::Uuid::now_v7().as_bytes()).to_hex();
        let key_text = format!("# DEVELOPMENT ONLY: made by `stampede demo`\n{key}\n");
        fs::write(demo.folder.join("serial.key"), key_text).map_err(cannot("write the key file"))?;
        for id in 1..=NODES {
            let node = demo.start_node(id)?;
            demo.nodes.push(node);
        }
        Ok(demo)
    }

    fn start_node(&self, id: u16) -> Result<DemoNode, Failure> {
        let config = self.folder.join(format!("node-{id}.toml"));
        fs::write(&config, config_text(id, self.port_base)).map_err(cannot("write a node's configuration"))?;
        let log = fs::File::create(self.log(id)).map_err(cannot("write a node's log"))?;
        let binary = std::env::current_exe().map_err(cannot("find this binary"))?;
        let mut process = Command::new(binary)
            .args(["node", "--exit-with-stdin", "--config"])
            .arg(config)
            // Ctrl-C is for the demo alone: it then ends the nodes.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(cannot("start a node"))?;
        let lifeline = process.stdin.take();
        Ok(DemoNode { process, _lifeline: lifeline })
    }

    fn log(&self, id: u16) -> PathBuf {
        self.folder.join(format!("node-{id}.log"))
    }

    fn admins(&self) -> Servers {
        let addresses = (1..=NODES).map(|id| format!("127.0.0.1:{}", Ports::of(id, self.port_base).admin)).collect();
        Servers { addresses, flag: "--admin", within: START_TIMEOUT }
    }

    /// Until a node ends by itself.
    async fn serve(&mut self) -> Result<(), Failure> {
        self.wait_for_nodes().await?;
        let call = Call::write("making the cluster", "stampede status", "stampede demo");
        let first = Servers { addresses: self.admins().addresses[..1].to_vec(), ..self.admins() };
        let init = InitRequest { cluster_name: "demo".to_owned() };
        first.call(&call, async |to| Client::new(to.channel()).init(to.request(init.clone())).await).await?;
        let call = Call::write("opening a series", "stampede series list", "stampede demo");
        let series = OpenSeriesRequest {
            series_code: SERIES.to_owned(),
            first_number: 0,
            capacity: 1_000_000,
            face_value_idr: 10_000,
            payment_window_ms: 24 * 60 * 60 * 1_000,
        };
        self.admins().call(&call, async |to| Client::new(to.channel()).open_series(to.request(series.clone())).await).await?;
        print_line(&what_to_try(&self.folder, self.port_base));
        self.watch().await
    }

    async fn wait_for_nodes(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + START_TIMEOUT;
        for id in 1..=NODES {
            let address = format!("http://127.0.0.1:{}", Ports::of(id, self.port_base).admin);
            loop {
                if let Ok(mut client) = Client::connect(address.clone()).await
                    && client.get_status(GetStatusRequest {}).await.is_ok()
                {
                    break;
                }
                self.check_running()?;
                if Instant::now() >= deadline {
                    return Err(self.failed(id, "did not answer"));
                }
                sleep(POLL).await;
            }
        }
        Ok(())
    }

    fn check_running(&mut self) -> Result<(), Failure> {
        for id in 1..=NODES {
            let Some(node) = self.nodes.get_mut(usize::from(id) - 1) else { continue };
            if let Ok(Some(status)) = node.process.try_wait() {
                return Err(self.failed(id, &format!("ended with {status}")));
            }
        }
        Ok(())
    }

    fn failed(&self, id: u16, what: &str) -> Failure {
        let log = fs::read_to_string(self.log(id)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
        Failure::new(
            Code::Failed,
            format!("node {id} {what}; its log ends with\n{tail}"),
            "try again, or with another --port-base",
        )
    }

    /// Nodes may be killed by whoever plays with the demo: it goes on until all are gone.
    async fn watch(&mut self) -> Result<(), Failure> {
        let mut ended = vec![false; self.nodes.len()];
        loop {
            for (has_ended, (id, node)) in ended.iter_mut().zip((1..).zip(&mut self.nodes)) {
                if let (false, Ok(Some(status))) = (*has_ended, node.process.try_wait()) {
                    eprintln!("node {id} ended with {status}");
                    *has_ended = true;
                }
            }
            if ended.iter().all(|has_ended| *has_ended) {
                return Ok(());
            }
            sleep(POLL).await;
        }
    }

    /// The data is thrown away: nothing needs to be handed over or flushed.
    async fn stop(&mut self) {
        for node in &mut self.nodes {
            if let Err(error) = node.process.kill().await {
                eprintln!("warning: a node did not end: {error}");
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    client: u16,
    peer: u16,
    admin: u16,
    metrics: u16,
}

impl Ports {
    const fn of(id: u16, base: u16) -> Self {
        let first = base + (id - 1) * PORT_STEP;
        Self { client: first, peer: first + 1, admin: first + 3, metrics: first + 4 }
    }
}

fn check_ports(base: u16) -> Result<(), Failure> {
    for id in 1..=NODES {
        let Ports { client, peer, admin, metrics } = Ports::of(id, base);
        for port in [client, peer, admin, metrics] {
            TcpListener::bind(("127.0.0.1", port)).map_err(|error| {
                Failure::new(Code::Failed, format!("port {port} cannot be used: {error}"), "choose others with --port-base")
            })?;
        }
    }
    Ok(())
}

fn config_text(id: u16, base: u16) -> String {
    let members: Vec<String> = (1..=NODES)
        .map(|id| {
            let Ports { client, peer, admin, .. } = Ports::of(id, base);
            format!("    {{ id = {id}, client = \"127.0.0.1:{client}\", peer = \"127.0.0.1:{peer}\", admin = \"127.0.0.1:{admin}\" }},\n")
        })
        .collect();
    let Ports { client, peer, admin, metrics } = Ports::of(id, base);
    format!(
        "[node]\nid = {id}\ndata_dir = \"node-{id}\"\n\n[cluster]\nname = \"demo\"\nmembers = [\n{}]\n\n\
         [listen]\nclient = \"127.0.0.1:{client}\"\npeer = \"127.0.0.1:{peer}\"\nadmin = \"127.0.0.1:{admin}\"\n\
         metrics = \"127.0.0.1:{metrics}\"\n\n[serials]\nkey_file = \"serial.key\"\n\n[log]\nformat = \"text\"\n",
        members.concat()
    )
}

fn what_to_try(folder: &Path, base: u16) -> String {
    let list = |port: fn(Ports) -> u16| {
        let all: Vec<String> = (1..=NODES).map(|id| format!("127.0.0.1:{}", port(Ports::of(id, base)))).collect();
        all.join(",")
    };
    let binary = std::env::current_exe().unwrap_or_default();
    let binaries = binary.parent().unwrap_or(Path::new("."));
    format!(
        "Three nodes are running; their data and logs are in {}, until this ends.\n\n\
         In another terminal:\n\n\
         \x20 export PATH={}:\"$PATH\"\n\
         \x20 export STAMPEDE_SERVER={}\n\
         \x20 export STAMPEDE_ADMIN={}\n\
         \x20 stampede status\n\
         \x20 stampede top\n\
         \x20 stampede order place --series {SERIES} --quantity 2\n\
         \x20 stampede order pay ORDER_ID\n\
         \x20 stampede order get ORDER_ID\n\
         \x20 stampede stamp verify CODE\n\
         \x20 stampede series list\n\
         \x20 curl http://127.0.0.1:{}/metrics\n\n\
         Kill the node that leads, and go on. Ctrl-C stops the demo and removes its data.",
        folder.display(),
        binaries.display(),
        list(|ports| ports.client),
        list(|ports| ports.admin),
        Ports::of(1, base).metrics,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::config::{Sources, load};

    #[test]
    fn the_configuration_of_each_node_is_good() {
        let directory = tempfile::tempdir().unwrap();
        for id in 1..=NODES {
            let path = directory.path().join("node.toml");
            fs::write(&path, config_text(id, 7700)).unwrap();
            let loaded = load(&Sources { files: vec![path], ..Sources::default() }).unwrap();
            assert_eq!(loaded.config.node.data_dir, directory.path().join(format!("node-{id}")));
        }
    }
}

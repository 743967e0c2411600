//! Drills against three real nodes that the tool did not start, by commands that act on processes of this machine.
//!
//! They need the `stampede` program beside the tool, as `make test` builds it.

// A failed unwrap is a failed test.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss, unreachable_pub)]

mod killed;

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use killed::Killed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stampede_chaos::history::{HistoryReader, ProcessStep, Record, RunFacts, RunFolder};
use stampede_chaos::undo::{Undo, left};

const TOOL: &str = env!("CARGO_BIN_EXE_stampede-chaos");

/// Ten seconds of light traffic, some of it by webhook; one leader killed, one paused.
const SHORT: &str = r#"
name = "found"
hypothesis = "a cluster that runs already holds"

[cluster]
nodes = 3

[phases]
warm_up = "1s"
faults = "FAULTS"
settle = "3s"

[traffic]
arrivals = "steady"
orders = "100/s"
stamps_per_order_min = 1
stamps_per_order_max = 3
accounts = 100
payment_window = "1s"
think_time_max = "50ms"
notice_delay_max = "50ms"
repeat_delay_max = "200ms"

[traffic.shares]
through_stream = "40%"
through_webhook = "20%"
forged_notice = "10%"
repeated_notice = "10%"
ask_order = "20%"
verify_serial = "10%"

[[traffic.series]]
code = "EM1"
first_number = 1
capacity = 100000
face_value_idr = 10000
share = "100%"

[[faults.at]]
kind = "kill-leader"
at = "100ms"
lasts = "200ms"

[[faults.at]]
kind = "pause-leader"
at = "3s"
lasts = "PAUSE"

[required]
kill-leader = 1
pause-leader = 1

[bounds]
first_success = "2s"
p99_back = "2s"
p99_floor = "500ms"
"#;

/// What an operator would write down: `sh control kill 2`.
const CONTROL: &str = r#"
cd "$(dirname "$0")"
case $1 in
    start)
        setsid PROGRAM node --config node-$2.toml >> node-$2.log 2>&1 &
        echo $! > node-$2.pid ;;
    kill) kill -KILL "$(cat node-$2.pid)" ;;
    pause) kill -STOP "$(cat node-$2.pid)" ;;
    resume) kill -CONT "$(cat node-$2.pid)" ;;
esac
"#;

/// Nine nodes at once would be too many for a small machine.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static DRILLS: Mutex<()> = Mutex::new(());
    DRILLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Three nodes that nobody but the test starts; killed at its end.
struct Found {
    root: PathBuf,
    _folder: tempfile::TempDir,
}

impl Found {
    fn start() -> Self {
        let node = Path::new(TOOL).with_file_name("stampede");
        assert!(node.is_file(), "{} is missing: `cargo build --workspace --bins` first, as `make test` does", node.display());
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let write = |name: &str, text: &str| std::fs::write(root.join(name), text).unwrap();
        write("serial.key", &format!("{}\n", "5a".repeat(32)));
        write("midtrans.keys", "a-server-key\n");
        write("xendit.tokens", "a-callback-token\n");
        write("control", &CONTROL.replace("PROGRAM", node.to_str().unwrap()));
        let ports = free_ports();
        let [client, peer, admin, metrics, webhook] = [0, 1, 2, 3, 4];
        let at = |node: usize, what: usize| format!("127.0.0.1:{}", ports[(node - 1) * 5 + what]);
        let member = |node: usize| {
            let [client, peer, admin] = [client, peer, admin].map(|what| at(node, what));
            format!("{{ id = {node}, client = \"{client}\", peer = \"{peer}\", admin = \"{admin}\" }}")
        };
        let members = [1, 2, 3].map(member).join(", ");
        let mut cluster = "serial_key_file = \"serial.key\"\nmidtrans_keys_file = \"midtrans.keys\"\n\
             xendit_tokens_file = \"xendit.tokens\"\n\n[commands]\n"
            .to_owned();
        for name in ["kill", "start", "pause", "resume"] {
            cluster += &format!("{name} = [\"sh\", \"{{control}}\", \"{name}\", \"{{id}}\"]\n");
        }
        for node in 1..=3 {
            let [client, peer, admin, metrics, webhook] = [client, peer, admin, metrics, webhook].map(|what| at(node, what));
            write(
                &format!("node-{node}.toml"),
                &format!(
                    "[node]\nid = {node}\ndata_dir = \"data-{node}\"\n\n[cluster]\nname = \"found\"\nmembers = [{members}]\n\n\
                     [listen]\nclient = \"{client}\"\npeer = \"{peer}\"\nadmin = \"{admin}\"\nmetrics = \"{metrics}\"\n\
                     webhook = \"{webhook}\"\n\n[serials]\nkey_file = \"serial.key\"\n\n[gateways]\n\
                     midtrans_keys_file = \"midtrans.keys\"\nxendit_tokens_file = \"xendit.tokens\"\n"
                ),
            );
            let control = root.join("control");
            cluster += &format!(
                "\n[[nodes]]\nid = {node}\nclient = \"{client}\"\nadmin = \"{admin}\"\nwebhook = \"{webhook}\"\n\
                 variables = {{ control = \"{}\" }}\n",
                control.display()
            );
        }
        write("cluster.toml", &cluster);
        let found = Self { root, _folder: folder };
        for node in 1..=3 {
            found.control("start", node);
        }
        found
    }

    fn control(&self, what: &str, node: u16) {
        let status = Command::new("sh").arg(self.root.join("control")).arg(what).arg(node.to_string()).status().unwrap();
        assert!(status.success(), "{what} {node}");
    }

    /// Of the process, as proc(5) has it; Z: it ended.
    fn state(&self, node: u16) -> char {
        let pid = std::fs::read_to_string(self.root.join(format!("node-{node}.pid"))).unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        stat.rsplit(") ").next().and_then(|behind| behind.chars().next()).unwrap_or('Z')
    }

    fn runs(&self) -> bool {
        (1..=3).all(|node| !matches!(self.state(node), 'Z' | 'T'))
    }

    fn paused(&self) -> usize {
        (1..=3).filter(|node| self.state(*node) == 'T').count()
    }

    fn run(&self, [faults, pause]: [&str; 2], name: &str) -> Command {
        let scenario = self.root.join("found.toml");
        std::fs::write(&scenario, SHORT.replace("FAULTS", faults).replace("PAUSE", pause)).unwrap();
        let mut command = Command::new(TOOL);
        command.args(["run", "--seed", "1"]).arg(&scenario).arg("--cluster").arg(self.root.join("cluster.toml"));
        command.arg("--out").arg(self.root.join(name));
        command
    }

    fn heal(&self, more: &[&Path]) -> Output {
        Command::new(TOOL).arg("heal").arg(self.root.join("run")).args(more).output().unwrap()
    }
}

impl Drop for Found {
    fn drop(&mut self) {
        for node in 1..=3 {
            if let Ok(pid) = std::fs::read_to_string(self.root.join(format!("node-{node}.pid")))
                && let Ok(pid) = pid.trim().parse()
            {
                let _ended = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

/// Below the range from which the system takes ports for outgoing connections: they stay free while a node is down.
fn free_ports() -> Vec<u16> {
    let first = 10_000 + (std::process::id() % 8_000) as u16;
    let mut held = Vec::new();
    for port in first..20_000 {
        held.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
        if held.len() == 15 {
            break;
        }
    }
    assert_eq!(held.len(), 15, "there are free ports");
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_cluster_that_runs_already_is_drilled_by_commands_and_runs_on() {
    let _alone = one_at_a_time();
    let found = Found::start();
    let output = found.run(["6s", "1s"], "run").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(found.runs(), "its nodes are nobody's to stop");

    let run = found.root.join("run");
    let verdict: serde_json::Value = serde_json::from_slice(&std::fs::read(run.join("verdict.json")).unwrap()).unwrap();
    assert_eq!(verdict["faults"], serde_json::json!({"kill-leader": 1, "pause-leader": 1}));
    assert!(verdict["orders_issued"].as_u64().unwrap() > 400, "{verdict:#}");
    assert!(left(&run).unwrap().is_empty(), "all was taken back");
    let facts = RunFacts::read(&RunFolder::open(&run).unwrap()).unwrap();
    assert!(facts.versions["stampede"].starts_with(char::is_numeric), "as the nodes say: {:?}", facts.versions);
    let steps =
        HistoryReader::open(&run.join("history.bin")).unwrap().map_while(Result::ok).filter_map(|record| match record {
            Record::Process(event) => Some(event.step),
            _ => None,
        });
    let (mut started, mut ready, mut exited) = (0, 0, 0);
    for step in steps {
        match step {
            ProcessStep::Started { .. } => started += 1,
            ProcessStep::Ready => ready += 1,
            ProcessStep::Exited { .. } => exited += 1,
        }
    }
    assert_eq!((started, ready, exited), (4, 4, 1), "three were found, and one was killed and started again");

    let again = found.run(["6s", "1s"], "again").output().unwrap();
    assert_eq!(again.status.code(), Some(3), "{}", text(&again));
    assert!(text(&again).contains("series EM1 of the scenario is there already: the judge needs the whole history"));
    assert!(found.runs());
}

/// With both hands dead, and with the tool's alone.
#[test]
fn a_node_that_a_killed_tool_left_paused_is_resumed_by_its_watchdog_or_by_heal() {
    let _alone = one_at_a_time();
    for has_watchdog in [false, true] {
        let found = Found::start();
        let run = found.root.join("run");
        let mut tool = Killed::spawn(found.run(["40s", "30s"], "run").stdout(Stdio::null()).stderr(Stdio::null()));
        let is_paused = || left(&run).is_ok_and(|left| left.iter().any(|undo| matches!(undo, Undo::Recall(_))));
        while !(found.paused() == 1 && is_paused()) {
            assert!(tool.try_wait().unwrap().is_none(), "it ended before its pause");
            std::thread::yield_now();
        }
        if !has_watchdog {
            kill(watchdog_of(&run).expect("the drill has a watchdog"), Signal::SIGKILL).unwrap();
        }
        tool.kill().unwrap();
        tool.wait().unwrap();
        if !has_watchdog {
            let refused = found.heal(&[]);
            assert_eq!(refused.status.code(), Some(5), "{}", text(&refused));
            assert!(text(&refused).contains("is run only if `heal --cluster FILE` names"), "{}", text(&refused));
            assert_eq!(found.paused(), 1, "no command is run because a journal says so");
            let healed = found.heal(&[Path::new("--cluster"), &found.root.join("cluster.toml")]);
            assert_eq!(healed.status.code(), Some(0), "{}", text(&healed));
            assert!(text(&healed).contains("the pause of node"), "{}", text(&healed));
        }
        while watchdog_of(&run).is_some() {
            std::thread::yield_now();
        }
        assert!(found.runs() && left(&run).unwrap().is_empty());
        let nothing = found.heal(&[]);
        assert_eq!(nothing.status.code(), Some(0), "it is not taken back twice: {}", text(&nothing));
    }
}

fn watchdog_of(run: &Path) -> Option<Pid> {
    let names_run = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut arguments = line.split(|byte| *byte == 0).skip(1);
        arguments.next() == Some(b"watchdog") && arguments.next() == Some(run.as_os_str().as_encoded_bytes())
    };
    let pids = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.into_iter().find(names_run).map(Pid::from_raw)
}

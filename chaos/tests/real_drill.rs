//! Real drills, with real nodes: what a run ends with, and that nothing of it is left however it ends.
//!
//! They need the `stampede` program beside the tool, as `make test` builds it.

// A failed unwrap is a failed test.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss, unreachable_pub)]

mod disks_here;
mod killed;
mod prometheus_here;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use disks_here::has_disks;
use killed::Killed;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use prometheus_here::Prometheus;
use stampede_chaos::history::{HistoryReader, NodeRole, ProcessStep, Record, RunFacts, RunFolder, StatusSample};
use stampede_chaos::undo::{is_mounted, scan};

const TOOL: &str = env!("CARGO_BIN_EXE_stampede-chaos");

/// Far above what the system needs to end killed processes.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Seven seconds of light traffic; one leader killed, one stopped in order.
const SHORT: &str = r#"
name = "short"
hypothesis = "a short drill holds"

[cluster]
nodes = 3

[phases]
warm_up = "1s"
faults = "5s"
settle = "1s"

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
cancel = "4%"
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
kind = "stop-leader"
at = "2500ms"
lasts = "200ms"

[required]
kill-leader = 1
stop-leader = 1

# Narrower than the gap between the faults, or the drill could not fail and would be inconclusive.
[bounds]
first_success = "2s"
p99_back = "2s"
p99_floor = "500ms"
whole_again = "1s"
"#;

/// As `SHORT`, with buyers and a leader that stands still for longer than they wait: in the way of each failure of September 2024.
fn provoking() -> String {
    let pause = "[[faults.at]]\nkind = \"pause-leader\"\nat = \"4500ms\"\nlasts = \"900ms\"\n\n[required]\npause-leader = 1";
    let shares = "[traffic.shares]\ndouble_payment = \"10%\"\nstamp = \"90%\"\nsettle_refund = \"80%\"";
    SHORT
        .replace("[cluster]", "provokes = [\"burned-stamp\", \"unreachable\"]\n\n[cluster]")
        .replace("faults = \"5s\"", "faults = \"8s\"")
        .replace("[traffic.shares]", shares)
        .replace("[required]", pause)
}

/// Nine nodes at once would be too many for a small machine.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static DRILLS: Mutex<()> = Mutex::new(());
    DRILLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the tool looks for it.
fn node_program() -> PathBuf {
    let node = Path::new(TOOL).with_file_name("stampede");
    assert!(node.is_file(), "{} is missing: `cargo build --workspace --bins` first, as `make test` does", node.display());
    node
}

/// A drill that is running. Without its tool every node ends by itself.
struct Drill {
    tool: Killed,
    stderr: BufReader<std::process::ChildStderr>,
    run: PathBuf,
    _folder: tempfile::TempDir,
}

impl Drill {
    fn start(scenario: &str) -> Self {
        Self::start_with(scenario, &[])
    }

    fn start_with(scenario: &str, arguments: &[&str]) -> Self {
        node_program();
        let folder = tempfile::tempdir().unwrap();
        let (file, run) = (folder.path().join("short.toml"), folder.path().join("run"));
        std::fs::write(&file, scenario).unwrap();
        let mut command = Command::new(TOOL);
        command
            .args(["run", "--seed", "1", "--out"])
            .args([&run, &file])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut tool = Killed::spawn(&mut command);
        let stderr = BufReader::new(tool.stderr.take().unwrap());
        Self { tool, stderr, run, _folder: folder }
    }

    /// Reads the progress until the run is in `phase`.
    fn wait_for_phase(&mut self, phase: &str) {
        let mut said = String::new();
        let mut line = String::new();
        while self.stderr.read_line(&mut line).unwrap() > 0 {
            if line.contains(&format!(" s  {phase}")) {
                return;
            }
            said.push_str(&std::mem::take(&mut line));
        }
        panic!("the run ended before its phase {phase}:\n{said}");
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.tool.id() as i32), signal).unwrap();
    }

    /// Every process that the history says was started.
    fn node_pids(&self) -> Vec<i32> {
        let records = HistoryReader::open(&self.run.join("history.bin")).unwrap();
        // The end may still be on its way.
        let pids: Vec<i32> = records
            .map_while(Result::ok)
            .filter_map(|record| match record {
                Record::Process(event) => Some(event.step),
                _ => None,
            })
            .filter_map(|step| match step {
                ProcessStep::Started { pid } => Some(pid as i32),
                _ => None,
            })
            .collect();
        assert!(pids.len() >= 3, "three nodes were started: {pids:?}");
        pids
    }
}

/// A process that waits to be reaped by whoever inherited it is gone too.
fn is_gone(pid: i32) -> bool {
    let is_dead = |stat: String| stat.rsplit(") ").next().is_some_and(|state| state.starts_with('Z'));
    kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)
        || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(is_dead)
}

fn wait_until_gone(pids: &[i32]) {
    let until = Instant::now() + GONE_WITHIN;
    while !pids.iter().all(|pid| is_gone(*pid)) {
        assert!(Instant::now() < until, "of {pids:?} some are left after {GONE_WITHIN:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_short_drill_holds_and_leaves_its_verdict_and_nothing_else() {
    let _alone = one_at_a_time();
    let mut drill = Drill::start(SHORT);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut drill.stderr, &mut said).unwrap();
    let pids = drill.node_pids();
    let run = drill.run.clone();
    let mut printed = String::new();
    std::io::Read::read_to_string(&mut drill.tool.stdout.take().unwrap(), &mut printed).unwrap();
    assert_eq!(drill.tool.wait().unwrap().code(), Some(0), "{said}\n{printed}");

    let verdict: serde_json::Value = serde_json::from_slice(&std::fs::read(run.join("verdict.json")).unwrap()).unwrap();
    assert_eq!(verdict["schema"], 1);
    assert_eq!(verdict["verdict"], "held");
    assert_eq!(verdict["scenario"], "short");
    assert_eq!(verdict["seed"], 1);
    assert!(verdict["orders_issued"].as_u64().unwrap() > 400, "{verdict:#}");
    assert!(verdict["orders_per_s"].as_f64().unwrap() > 0.0);
    assert_eq!(verdict["faults"], serde_json::json!({"kill-leader": 1, "stop-leader": 1}));
    assert_eq!(verdict["leader_kills"].as_u64().map(|kills| kills >= 1), Some(true));
    assert!(verdict["write_pause_ms"]["max"].as_f64().unwrap() >= verdict["write_pause_ms"]["median"].as_f64().unwrap());
    for invariant in verdict["invariants"].as_array().unwrap() {
        assert!(invariant["id"].is_string() && invariant["checked"].is_u64(), "{invariant}");
        assert_eq!(invariant["violations"], 0, "{invariant}");
    }
    assert!(run.join("junit.xml").is_file() && run.join("report.html").is_file());

    let facts = RunFacts::read(&RunFolder::open(&run).unwrap()).unwrap();
    assert!(facts.problems.is_empty());
    assert!(facts.versions["stampede"].starts_with("version "), "{:?}", facts.versions);
    assert!(printed.contains(&format!("build   stampede {}", facts.versions["stampede"])), "{printed}");
    let judged = format!("judged  {} calls in {} ms", verdict["calls"]["total"], verdict["judged_in_ms"]);
    assert!(printed.contains(&judged), "{printed}");
    assert_eq!(printed.lines().last(), Some("exit    0 (held)"));
    assert!(pids.len() >= 5, "two were started again: {pids:?}");
    assert!(pids.iter().all(|pid| is_gone(*pid)), "every node is gone when the tool is");
}

/// With an orderly stop of the leader after it, so that the new member's vote counts.
#[test]
fn a_follower_that_lost_its_disk_ends_the_drill_as_another_member_with_a_vote() {
    let _alone = one_at_a_time();
    let longer = SHORT.replace("faults = \"5s\"", "faults = \"10s\"").replace("at = \"2500ms\"", "at = \"7s\"");
    let mut drill = Drill::start(&longer.replace("kill-leader", "lose-disk-follower"));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut drill.stderr, &mut said).unwrap();
    let mut printed = String::new();
    std::io::Read::read_to_string(&mut drill.tool.stdout.take().unwrap(), &mut printed).unwrap();
    assert_eq!(drill.tool.wait().unwrap().code(), Some(0), "{said}\n{printed}");

    let records = HistoryReader::open(&drill.run.join("history.bin")).unwrap().map(Result::unwrap);
    let last: BTreeMap<u16, Box<StatusSample>> = records
        .filter_map(|record| if let Record::Status(sample) = record { Some((sample.node, sample)) } else { None })
        .collect();
    let new: Vec<&StatusSample> = last.values().map(|sample| &**sample).filter(|sample| sample.member() > 3).collect();
    assert!(new.len() == 1 && new[0].member() == 4 && new[0].role != NodeRole::Learner, "{last:?}");
    let verdict: serde_json::Value = serde_json::from_slice(&std::fs::read(drill.run.join("verdict.json")).unwrap()).unwrap();
    let v19 = verdict["invariants"].as_array().unwrap().iter().find(|invariant| invariant["id"] == "V19").unwrap();
    assert!(v19["checked"].as_u64().unwrap() > 10, "{v19}");
    let told = std::fs::read_to_string(drill.run.join(format!("nodes/node-{}/stderr.log", new[0].node))).unwrap();
    let way_back = format!("stampede member replace {} --with", new[0].node);
    assert!(told.contains(&way_back), "started as before, it says how it comes back: {told}");
}

#[test]
fn a_drill_is_in_the_way_of_each_failure_of_2024_and_none_happens() {
    let _alone = one_at_a_time();
    let mut drill = Drill::start(&provoking());
    let mut said = String::new();
    std::io::Read::read_to_string(&mut drill.stderr, &mut said).unwrap();
    let mut printed = String::new();
    std::io::Read::read_to_string(&mut drill.tool.stdout.take().unwrap(), &mut printed).unwrap();
    assert_eq!(drill.tool.wait().unwrap().code(), Some(0), "{said}\n{printed}");
    let verdict = std::fs::read(drill.run.join("verdict.json")).unwrap();
    let verdict: serde_json::Value = serde_json::from_slice(&verdict).unwrap();
    let failures = verdict["failures_2024"].as_array().unwrap();
    let names: Vec<&str> = failures.iter().map(|failure| failure["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["paid-but-no-quota", "paid-twice", "burned-stamp", "unreachable", "unknown"]);
    for failure in failures {
        assert!(failure["checked"].as_u64().unwrap() > 0 && failure["violations"] == 0, "{failure:#}");
    }
}

/// The faults of `SHORT` last 200 ms: hardly a scrape interval.
#[test]
fn a_prometheus_that_scrapes_the_tool_sees_the_faults_that_the_dashboards_mark() {
    let port = prometheus_here::free_port();
    let Some(prometheus) = Prometheus::start(port) else { return };
    let _alone = one_at_a_time();
    // Time for Prometheus to begin: what had fired when it first looked is no increase to it.
    let unhurried = SHORT.replace("warm_up = \"1s\"", "warm_up = \"8s\"");
    let mut drill = Drill::start_with(&unhurried, &["--metrics", &format!("127.0.0.1:{port}")]);
    let kinds = ["kill-leader", "stop-leader"];
    prometheus.wait_for("the run is scraped", "stampede_drill_info", |series| series.len() == 1);
    prometheus.wait_for("no fault has fired yet", "stampede_drill_faults_total==0", |series| {
        kinds.iter().all(|kind| series.iter().any(|labels| labels["fault"] == *kind))
    });
    drill.wait_for_phase("faults");
    prometheus.wait_for("both kinds have fired", "stampede_drill_faults_total>0", |series| series.len() == kinds.len());
    let marks = prometheus_here::annotation("Drill faults");
    prometheus.wait_for("the dashboards have a mark for each", &marks, |series| {
        kinds.iter().all(|kind| series.iter().any(|labels| labels["fault"] == *kind))
    });
    let mut said = String::new();
    std::io::Read::read_to_string(&mut drill.stderr, &mut said).unwrap();
    assert_eq!(drill.tool.wait().unwrap().code(), Some(0), "{said}");
    prometheus.wait_for("with the tool its series go", "stampede_drill_active", <[serde_json::Value]>::is_empty);
}

#[test]
fn an_interrupted_drill_ends_with_130_and_leaves_no_process() {
    let _alone = one_at_a_time();
    let mut drill = Drill::start(SHORT);
    drill.wait_for_phase("faults");
    let pids = drill.node_pids();
    drill.signal(Signal::SIGINT);
    assert_eq!(drill.tool.wait().unwrap().code(), Some(130));
    assert!(pids.iter().all(|pid| is_gone(*pid)), "every node is gone when the tool is");
}

#[test]
fn the_nodes_of_a_drill_that_was_killed_do_not_outlive_it() {
    let _alone = one_at_a_time();
    let mut drill = Drill::start(SHORT);
    drill.wait_for_phase("faults");
    let pids = drill.node_pids();
    drill.signal(Signal::SIGKILL);
    assert_eq!(drill.tool.wait().unwrap().signal(), Some(9));
    wait_until_gone(&pids);
}

#[test]
fn a_guard_that_trips_ends_the_drill_with_4_and_leaves_no_process() {
    let _alone = one_at_a_time();
    let mut drill = Drill::start(&format!("{SHORT}\n[guards]\ndisk = \"1KiB\"\n"));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut drill.stderr, &mut said).unwrap();
    assert_eq!(drill.tool.wait().unwrap().code(), Some(4), "{said}");
    assert!(drill.node_pids().iter().all(|pid| is_gone(*pid)), "every node is gone when the tool is");
}

#[test]
fn a_fault_that_would_leave_no_majority_is_not_fired_and_ends_the_drill_with_4() {
    let _alone = one_at_a_time();
    let mut drill = Drill::start(&format!("{}\n[guards]\nquorum_margin = 0\n", SHORT.replace("kill-leader", "kill-all")));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut drill.stderr, &mut said).unwrap();
    let mut printed = String::new();
    std::io::Read::read_to_string(&mut drill.tool.stdout.take().unwrap(), &mut printed).unwrap();
    assert_eq!(drill.tool.wait().unwrap().code(), Some(4), "{said}\n{printed}");
    assert!(printed.contains("guards.quorum_margin: kill-all would leave 0 of 3 nodes"), "{printed}");
    let pids = drill.node_pids();
    assert!(pids.len() == 3, "none was started again, for none was killed: {pids:?}");
    assert!(pids.iter().all(|pid| is_gone(*pid)), "every node is gone when the tool is");
}

#[test]
fn a_fault_that_the_tool_cannot_carry_out_ends_the_drill_with_3_and_blames_nobody() {
    if !has_disks(TOOL) {
        return;
    }
    let _alone = one_at_a_time();
    let mut drill = Drill::start(&SHORT.replace("kill-leader", "power-cut-all"));
    let nodes = drill.run.parent().unwrap().canonicalize().unwrap().join("run/nodes");
    let mut until_mounted = |nodes_disks: [u16; 2], wanted: bool| {
        let at = |node: &u16| nodes.join(format!("node-{node}/disk"));
        while nodes_disks.iter().any(|node| is_mounted(&at(node)).unwrap() != wanted) {
            assert!(drill.tool.try_wait().unwrap().is_none(), "it ended before {nodes_disks:?} were mounted: {wanted}");
            std::thread::yield_now();
        }
    };
    until_mounted([2, 3], true);
    // Somebody looks at a file of the first node: after the cut its disk cannot be unmounted.
    let looked_at = std::fs::File::create(nodes.join("node-1/disk/looked-at")).unwrap();
    until_mounted([2, 3], false);
    // The run is given up, and taking back what it left is tried again.
    drop(looked_at);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut drill.stderr, &mut said).unwrap();
    assert_eq!(drill.tool.wait().unwrap().code(), Some(3), "{said}");
    assert!(said.contains("busy"), "{said}");
    assert!(!drill.run.join("verdict.json").exists());
    assert_eq!(scan(&drill.run).unwrap(), Vec::<String>::new());
}

#[test]
fn an_interrupted_hunt_for_planted_bugs_ends_with_130() {
    let _alone = one_at_a_time();
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(TOOL);
    command.current_dir(folder.path()).args(["planted-bugs", "--only", "9", "--planted-binary"]);
    command.arg(node_program()).stdout(Stdio::null());
    let mut hunt = Killed::spawn(&mut command);
    let has_begun = || {
        let runs = std::fs::read_dir(folder.path().join("target/drills")).into_iter().flatten().flatten();
        runs.into_iter().any(|run| run.path().join("run.json").is_file())
    };
    while !has_begun() {
        assert!(hunt.try_wait().unwrap().is_none(), "it ended before its first run");
        std::thread::yield_now();
    }
    kill(Pid::from_raw(hunt.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(hunt.wait().unwrap().code(), Some(130));
}

//! The tool as a process: its exit codes, and that nothing it starts outlives it.

// A failed unwrap is a failed test.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss, unreachable_pub)]

mod deaf;
mod killed;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use killed::Killed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stampede_chaos::cluster::Cluster;
use stampede_chaos::history::HistoryWriter;
use stampede_chaos::scenario::Scenario;

const TOOL: &str = env!("CARGO_BIN_EXE_stampede-chaos");

fn tool(arguments: &[&str]) -> Output {
    Command::new(TOOL).args(arguments).output().expect("the tool starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_scenario_that_is_not_there_or_not_valid_is_a_usage_error() {
    let output = tool(&["plan", "no-such-scenario"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("casn2024-leader-kill"), "it names what is built in");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    std::fs::write(&file, "name = \"mine\"\nsurprise = 1\n").unwrap();
    let output = tool(&["plan", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("surprise"), "{}", text(&output.stderr));
    assert_eq!(tool(&["no-such-command"]).status.code(), Some(64));
}

#[test]
fn help_lists_the_exit_codes() {
    let output = tool(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("130  interrupted"));
}

#[test]
fn two_plans_of_one_seed_are_the_same() {
    let plan = |seed| text(&tool(&["plan", "casn2024-leader-kill", "--seed", seed]).stdout);
    assert_eq!(plan("7"), plan("7"));
    assert_ne!(plan("7"), plan("8"));
}

#[test]
fn a_node_that_does_not_start_is_the_surroundings_failure_and_not_the_systems() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    // A program that ends at once, whatever it is asked.
    let output = tool(&["run", "clean", "--seed", "1", "--out", out.to_str().unwrap(), "--node-binary", "/bin/false"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("forming the cluster"), "{}", text(&output.stderr));
    assert!(out.join("run.json").is_file(), "the plan is kept before anything is started");
    let said = text(&output.stdout);
    assert_eq!(said.lines().last(), Some("exit    3 (the tool or its surroundings failed)"), "whatever make makes of it");
}

#[test]
fn only_a_run_that_broke_an_invariant_can_be_shrunk() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let failed = tool(&["run", "clean", "--seed", "1", "--out", out.to_str().unwrap(), "--node-binary", "/bin/false"]);
    assert_eq!(failed.status.code(), Some(3));
    let output = tool(&["shrink", out.to_str().unwrap(), "--node-binary", "/bin/false"]);
    assert_eq!(output.status.code(), Some(64), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("only a run that broke an invariant (1)"), "{}", text(&output.stderr));
    assert_eq!(tool(&["shrink", folder.path().to_str().unwrap()]).status.code(), Some(64), "it is no run's");
    assert_eq!(tool(&["shrink", out.to_str().unwrap(), "--repeat", "0"]).status.code(), Some(64));
}

#[test]
fn a_fault_that_a_cluster_has_no_command_for_is_refused_before_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("cluster.toml"), folder.path().join("run"));
    for name in ["serial.key", "midtrans.keys", "xendit.tokens"] {
        std::fs::write(folder.path().join(name), "07".repeat(32)).unwrap();
    }
    let example = include_str!("../clusters/ssh.toml");
    let run = |text: &str, scenario: &str| {
        std::fs::write(&file, text).unwrap();
        tool(&["run", scenario, "--seed", "1", "--out", out.to_str().unwrap(), "--cluster", file.to_str().unwrap()])
    };
    let silent = example.replace("pause = [", "# pause = [").replace("resume = [", "# resume = [");
    for (file, scenario, code, told) in [
        (silent.as_str(), "pause-leader", 2, "this cluster file has no command for pause and resume"),
        (example, "power-cut", 2, "can be done only to nodes that the tool starts itself"),
        (&example.replace("pause = [", "paws = ["), "pause-leader", 64, "paws"),
    ] {
        let output = run(file, scenario);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(told) && !out.exists(), "{said}");
    }
}

/// A cluster of one program that is no node and ignores SIGTERM, started; it lives in the folder.
async fn a_deaf_cluster(folder: &Path) -> (Cluster, HistoryWriter) {
    let (_, text) = Scenario::load("clean").unwrap();
    let scenario = Scenario::parse(&text.replace("nodes = 3", "nodes = 1")).unwrap();
    let (cluster, writer) = deaf::cluster(&scenario, folder, TOOL).await;
    cluster.node(1).start().await.unwrap();
    let said = folder.join("run/nodes/node-1/stdout.log");
    while std::fs::read_to_string(&said).unwrap() != "deaf\n" {
        std::thread::yield_now();
    }
    (cluster, writer)
}

#[test]
fn a_cancelled_job_and_a_terminal_that_goes_interrupt_a_run_as_ctrl_c_does() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().canonicalize().unwrap().join("run");
        let mut command = Command::new(TOOL);
        command.args(["run", "clean", "--seed", "1", "--out"]).arg(&run).arg("--node-binary").arg(deaf::program(folder.path()));
        let mut tool = Killed::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()));
        // Then it has begun, and its nodes never answer.
        while !has_watchdog(&run) {
            assert!(tool.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::yield_now();
        }
        kill(Pid::from_raw(tool.id() as i32), signal).unwrap();
        assert_eq!(tool.wait().unwrap().code(), Some(130), "{signal}");
    }
}

#[tokio::test]
async fn a_node_that_does_not_stop_is_killed_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, _writer) = a_deaf_cluster(folder.path()).await;
    let problems = cluster.stop(Duration::ZERO).await;
    assert_eq!(problems, ["node 1 did not stop on SIGTERM and was killed"]);
    assert!(!cluster.node(1).is_running());
    assert_eq!(cluster.node(1).wait_down(Duration::ZERO).await.map(|exit| exit.signal), Some(Some(9)));
    assert_eq!(cluster.unexpected_exits(), [], "it was told to end");
}

#[tokio::test]
async fn a_cluster_has_a_watchdog_as_long_as_it_lives() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, _writer) = a_deaf_cluster(folder.path()).await;
    let run = folder.path().join("run").canonicalize().unwrap();
    // As long as the same program takes to start and end: one whose pipe is closed would be gone.
    tool(&["--help"]);
    assert!(has_watchdog(&run));
    assert!(cluster.node(1).is_running(), "and it leaves the nodes alone");
    cluster.kill(Duration::from_secs(5)).await;
    drop(cluster);
    while has_watchdog(&run) {
        std::thread::yield_now();
    }
}

fn has_watchdog(run: &Path) -> bool {
    let is_one = |pid: std::fs::DirEntry| {
        let line = std::fs::read(pid.path().join("cmdline")).unwrap_or_default();
        let mut arguments = line.split(|byte| *byte == 0).skip(1);
        arguments.next() == Some(b"watchdog") && arguments.next() == Some(run.as_os_str().as_encoded_bytes())
    };
    std::fs::read_dir("/proc").unwrap().flatten().any(is_one)
}

//! The tool as a process: its exit codes, and that nothing it starts outlives it.

// A failed unwrap is a failed test.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss, unreachable_pub)]

use std::io::Write;
use std::process::{Command, Output, Stdio};

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
}

#[test]
fn what_the_tool_left_running_is_killed_when_its_pipe_closes() {
    let mut orphan = Command::new("sleep").arg("600").spawn().unwrap();
    let mut seen_to_end = Command::new("sleep").arg("600").spawn().unwrap();
    let mut watchdog = Command::new(TOOL).arg("watchdog").stdin(Stdio::piped()).spawn().unwrap();
    let mut pipe = watchdog.stdin.take().unwrap();
    writeln!(pipe, "+{}\n+{}\n-{}", orphan.id(), seen_to_end.id(), seen_to_end.id()).unwrap();
    drop(pipe);
    assert!(watchdog.wait().unwrap().success());
    let killed = std::os::unix::process::ExitStatusExt::signal(&orphan.wait().unwrap());
    let spared = seen_to_end.try_wait().unwrap().is_none();
    seen_to_end.kill().unwrap();
    seen_to_end.wait().unwrap();
    assert_eq!(killed, Some(9));
    assert!(spared, "only what was not seen to end is killed");
}

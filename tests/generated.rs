//! What `stampede generate` makes is taken by those who read it, as far as they are on this machine.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::path::Path;
use std::process::{Command, Output};

fn stampede(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stampede")).args(args).output().unwrap()
}

fn generated(args: &[&str]) -> String {
    let output = stampede(&[&["generate"], args].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Where a program is missing, a test says so and shows nothing.
fn output_of(program: &str, args: &[&str]) -> Option<Output> {
    let output = Command::new(program).args(args).output();
    output.inspect_err(|error| eprintln!("nothing is shown here: {program}: {error}")).ok()
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

#[test]
fn completion_knows_the_commands_in_the_words_of_each_shell() {
    for (shell, mark) in [("bash", "complete -F"), ("zsh", "#compdef stampede"), ("fish", "complete -c stampede")] {
        let script = generated(&["completion", shell]);
        assert!(script.contains(mark) && script.contains("log-level") && script.contains("bundle"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("completion");
    std::fs::write(&script, generated(&["completion", "bash"])).unwrap();
    let ask =
        "source \"$0\"; COMP_WORDS=(stampede hea) COMP_CWORD=1; _stampede stampede hea stampede; echo \"${COMPREPLY[@]}\"";
    let completed = Command::new("bash").args(["-c", ask]).arg(&script).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&completed.stdout).trim(), "health", "{}", said(&completed));
}

#[test]
fn the_manual_has_a_page_for_each_command_and_the_exit_codes() {
    let page = generated(&["man"]);
    assert!(page.contains(".TH stampede 1") && page.contains("one more loss stops it"), "{page}");
    let folder = tempfile::tempdir().unwrap();
    generated(&["man", "--dir", folder.path().to_str().unwrap()]);
    for name in ["stampede.1", "stampede-health.1", "stampede-member-replace.1", "stampede-debug-bundle.1"] {
        let page = std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{name}: {page}");
        let path = folder.path().join(name);
        let Some(checked) = output_of("man", &["--warnings", "-l", path.to_str().unwrap()]) else { continue };
        assert!(checked.status.success() && checked.stderr.is_empty(), "{name}: {}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn prometheus_takes_the_generated_rules() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stampede.yml");
    std::fs::write(&path, generated(&["prometheus-rules", "--runbooks", "https://wiki.example/stampede"])).unwrap();
    let Some(checked) = output_of("promtool", &["check", "rules", path.to_str().unwrap()]) else { return };
    assert!(checked.status.success(), "{}", said(&checked));
}

#[test]
fn dashboards_are_named_and_given_one_by_one_or_all() {
    let names = generated(&["dashboards"]);
    assert_eq!(names.lines().count(), 6, "{names}");
    for name in names.lines() {
        let board: serde_json::Value = serde_json::from_str(&generated(&["dashboards", name])).unwrap();
        assert!(board["panels"].as_array().is_some_and(|panels| !panels.is_empty()), "{name}");
    }
    let unknown = stampede(&["generate", "dashboards", "raff"]);
    assert!(unknown.status.code() == Some(2) && said(&unknown).contains("overview, raft"), "{}", said(&unknown));
    let folder = tempfile::tempdir().unwrap();
    generated(&["dashboards", "--dir", folder.path().to_str().unwrap()]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 6);
    let nowhere = stampede(&["generate", "dashboards", "--dir", "/no/such/folder"]);
    assert!(nowhere.status.code() == Some(1) && said(&nowhere).contains("a folder that is there"), "{}", said(&nowhere));
}

/// Of 10, which is a service without any protection.
const EXPOSURE_MAX: f64 = 2.0;

fn exposure(unit: &Path) -> Option<f64> {
    let told = said(&output_of("systemd-analyze", &["security", "--offline=true", unit.to_str().unwrap()])?);
    let (_, overall) = told.split_once("Overall exposure level for stampede.service: ")?;
    overall.split_whitespace().next()?.parse().ok()
}

#[test]
fn the_unit_exposes_little_and_systemd_knows_every_word_of_it() {
    let folder = tempfile::tempdir().unwrap();
    generated(&["systemd", "--dir", folder.path().to_str().unwrap()]);
    let unit = folder.path().join("stampede.service");
    assert_eq!(std::fs::read_to_string(&unit).unwrap(), generated(&["systemd"]));
    let Some(checked) = output_of("systemd-analyze", &["verify", unit.to_str().unwrap()]) else { return };
    // It is not installed here, and so is its manual not.
    let of_elsewhere = ["is not executable", "Command 'man "];
    let told = said(&checked);
    let others: Vec<&str> = told.lines().filter(|line| !of_elsewhere.iter().any(|known| line.contains(known))).collect();
    assert_eq!(others, Vec::<&str>::new());
    let exposure = exposure(&unit).unwrap();
    assert!(exposure < EXPOSURE_MAX, "{exposure}");
    let users = folder.path().join("stampede.sysusers.conf");
    let Some(made) = output_of("systemd-sysusers", &["--dry-run", users.to_str().unwrap()]) else { return };
    assert!(made.status.success() && !said(&made).contains("ignoring"), "{}", said(&made));
}

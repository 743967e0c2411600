//! `show`, `list` and `diff`: what people ask of earlier runs, through the tool itself.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

#[path = "judge_support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use stampede_chaos::history::{Outcome, Record, RunFolder};
use stampede_chaos::recheck::recheck;
use support::{Run, clean};

fn tool(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stampede-chaos")).args(arguments).output().expect("the tool starts")
}

/// What it says, if it ends with 0.
fn said(arguments: &[&str]) -> String {
    let output = tool(arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn data(arguments: &[&str]) -> Value {
    serde_json::from_str(&said(&[arguments, &["--output", "json"]].concat())).unwrap()
}

fn write(run: &Run, root: &Path) -> RunFolder {
    let folder = run.write(root);
    recheck(&folder).unwrap();
    folder
}

fn path(folder: &RunFolder) -> &str {
    folder.root().to_str().unwrap()
}

#[test]
fn show_says_what_a_run_came_to() {
    let drills = tempfile::tempdir().unwrap();
    let mut run = clean(7, 600, 12);
    run.facts.exit = Some(0);
    run.facts.command = "stampede-chaos run synthetic --seed 7".into();
    let folder = write(&run, &drills.path().join("one"));
    let text = said(&["show", path(&folder)]);
    for line in [
        "scenario  synthetic, seed 7",
        "started   2023-11-14T22:13:20.000Z",
        "verdict   held",
        "exit      0 (held)",
        "held      22 of 22 invariants",
        "again     stampede-chaos run synthetic --seed 7",
    ] {
        assert!(text.lines().any(|said| said == line), "{line}\n{text}");
    }
    assert_eq!(text.lines().filter(|line| line.contains("kill-leader") && line.contains("  yes  ")).count(), 2, "{text}");
    let json = data(&["show", path(&folder)]);
    assert_eq!((&json["verdict"]["verdict"], &json["exit"]), (&"held".into(), &0.into()));
    assert_eq!(json["fault_kinds"][0]["landed"], 2);
    assert!(json["verdict"]["fault_times"][0]["writes_after_ms"].as_f64().unwrap() >= 300.0, "{json:#}");
}

#[test]
fn a_run_that_was_not_judged_is_shown_as_that() {
    let drills = tempfile::tempdir().unwrap();
    let mut run = clean(7, 600, 12);
    run.facts.exit = Some(4);
    let folder = run.write(&drills.path().join("guarded"));
    let text = said(&["show", path(&folder)]);
    assert!(text.contains("verdict   not judged\nexit      4 (stopped by a guard, healed)\n"), "{text}");
    assert!(text.contains(&format!("stampede-chaos recheck {}", path(&folder))), "{text}");
}

#[test]
fn list_has_the_newest_first_and_survives_a_damaged_folder() {
    let drills = tempfile::tempdir().unwrap();
    for (name, started_at_ms) in [("middle", 2_000), ("newest", 3_000), ("oldest", 1_000)] {
        let mut run = clean(7, 600, 12);
        run.facts.started_at_ms = started_at_ms;
        write(&run, &drills.path().join(name));
    }
    for damaged in ["no-facts", "no-verdict"] {
        clean(7, 600, 12).write(&drills.path().join(damaged));
    }
    fs::write(drills.path().join("no-facts/run.json"), "{").unwrap();
    fs::write(drills.path().join("no-verdict/verdict.json"), "torn").unwrap();
    fs::create_dir(drills.path().join("something-else")).unwrap();

    let list = ["list", drills.path().to_str().unwrap()];
    let output = tool(&list);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    let names: Vec<&str> = text.lines().map(|line| line.split_whitespace().last().unwrap()).collect();
    assert_eq!(names, ["run", "newest", "middle", "oldest"], "{text}");
    let complaints = String::from_utf8(output.stderr).unwrap();
    assert_eq!(complaints.lines().count(), 2, "{complaints}");
    assert!(complaints.contains("no-facts/run.json") && complaints.contains("no-verdict/verdict.json"), "{complaints}");

    let json = data(&list);
    let started: Vec<&Value> = json.as_array().unwrap().iter().map(|run| &run["started_at_ms"]).collect();
    assert_eq!(started, [3_000, 2_000, 1_000]);
    assert_eq!(json[0]["verdict"], "held");
}

#[test]
fn diff_names_what_differs_and_by_how_much() {
    let drills = tempfile::tempdir().unwrap();
    let one = write(&clean(7, 600, 12), &drills.path().join("one"));
    let mut other = clean(7, 600, 12);
    other.facts.versions.insert("stampede".into(), "version 2".into());
    // One answer that nobody can have given.
    let written = other.records.iter_mut().find_map(|record| match record {
        Record::Return(answer) => match &mut answer.outcome {
            Outcome::Written(written) if written.receipt.place.log_index > 50 => Some(written),
            _ => None,
        },
        _ => None,
    });
    written.unwrap().receipt.place.log_index += 1;
    // All twice as slow.
    for record in &mut other.records {
        if let Record::Invoke(invoke) = record {
            invoke.intended_ns = invoke.intended_ns.saturating_sub(4_500_000);
        }
    }
    let other = write(&other, &drills.path().join("other"));

    let json = data(&["diff", path(&one), path(&other)]);
    let difference = |what: &str| {
        let all = json["differences"].as_array().unwrap();
        all.iter().find(|one| one["what"].as_str().unwrap().starts_with(what)).cloned().unwrap_or_default()
    };
    assert_eq!((&difference("verdict")["a"], &difference("verdict")["b"]), (&"held".into(), &"violated".into()));
    assert_eq!(difference("build of stampede")["b"], "version 2");
    assert!(difference("V11 ")["b"].as_str().unwrap().starts_with("violated"), "{json:#}");
    let ratio = difference("latency p50")["ratio"].as_f64().unwrap();
    assert!((1.5..2.5).contains(&ratio), "{ratio}");
    assert_eq!(difference("seed"), Value::Null, "the same");
    assert!(said(&["diff", path(&one), path(&other)]).contains(&format!("×{ratio}")));

    let same = said(&["diff", path(&one), path(&one)]);
    assert!(same.contains("nothing differs"), "{same}");
}

#[test]
fn a_folder_that_is_no_run_is_a_usage_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().to_str().unwrap();
    for (arguments, why) in [
        (vec!["show", there], "is no run's folder: it has no run.json"),
        (vec!["diff", there, there], "is no run's folder: it has no run.json"),
        (vec!["show", "no-such-run"], "there is no folder no-such-run, nor target/drills/no-such-run"),
        (vec!["list", "no-such-folder"], "no-such-folder"),
    ] {
        let output = tool(&arguments);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {complaint}");
        assert!(complaint.contains(why), "{arguments:?}: {complaint}");
    }
}

#[test]
fn a_run_is_found_by_its_name_and_the_newest_without_one() {
    let place = tempfile::tempdir().unwrap();
    let drills = place.path().join("target/drills");
    fs::create_dir_all(&drills).unwrap();
    for (name, started_at_ms) in [("first", 1_000), ("second", 2_000)] {
        let mut run = clean(7, 600, 12);
        run.facts.started_at_ms = started_at_ms;
        run.write(&drills.join(name));
    }
    let show = |arguments: &[&str]| {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_stampede-chaos"));
        let output = tool.arg("show").args(arguments).current_dir(place.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(show(&["first"]), "run       target/drills/first");
    assert_eq!(show(&[]), "run       target/drills/second");
}

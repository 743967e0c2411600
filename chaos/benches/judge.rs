//! `make bench`: how long the judge takes for a minute at the rate of the drill.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

#[path = "../tests/judge_support/mod.rs"]
mod support;

use std::time::Instant;

use stampede_chaos::recheck::recheck;
use stampede_chaos::verdict::Ruling;

fn main() {
    let run = support::clean(1, 130_000, 64);
    let folder = tempfile::tempdir().unwrap();
    let run_folder = run.write(&folder.path().join("run"));
    let bytes = std::fs::metadata(run_folder.history()).unwrap().len();
    let records = run.records.len();
    drop(run);
    let started = Instant::now();
    let verdict = recheck(&run_folder).unwrap();
    let took = started.elapsed();
    println!("{records} records, {bytes} bytes, {} calls, judged in {took:?}", verdict.calls.total);
    assert_eq!(verdict.verdict, Ruling::Held, "{:?}", verdict.invariants);
}

//! A minute of the drill's rate is judged in seconds. Not part of `make test`: timings belong to `make bench`.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

#[path = "judge_support/mod.rs"]
mod support;

use std::time::Instant;

use stampede_chaos::recheck::recheck;
use stampede_chaos::verdict::Judgement;

#[test]
#[ignore = "a benchmark: cargo test -p stampede-chaos --test judge_speed -- --ignored --nocapture"]
fn a_minute_of_two_thousand_orders_a_second() {
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
    assert_eq!(verdict.verdict, Judgement::Held, "{:?}", verdict.invariants);
}

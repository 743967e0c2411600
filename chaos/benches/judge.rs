//! `make bench`: how long the judge takes for ten million calls, and how much memory.
//!
//! The run is made first, by a process of its own, and kept if `JUDGE_BENCH_RUN` names a folder for it; then it is judged by another,
//! whose peak of memory the kernel tells. `JUDGE_BENCH_CALLS` asks for more calls or fewer.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

#[path = "../tests/judge_support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use stampede_chaos::history::RunFolder;
use stampede_chaos::recheck::recheck;
use stampede_chaos::verdict::{JudgingMs, Ruling};
use support::{Shape, write_clean};

/// As the tool itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CALLS: u32 = 10_000_000;
/// Of ten orders in the rush of 2024, place, pay, what is repeated, asked and done later: `casn2024-leader-kill` makes as many.
const CALLS_OF_TEN_ORDERS: u32 = 30;
/// Who tries everything makes eight calls, the others two: together, the mix of that scenario.
const PLAIN_PERCENT: u32 = 84;
const PER_ROUND: usize = 32;
/// Looks of the auditor and of the clerk in a run.
const AUDITS: usize = 60;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1..3) {
        Some([what, folder]) if what == "make" => make(Path::new(folder)),
        Some([what, folder]) if what == "judge" => judge(Path::new(folder)),
        _ => {
            let kept = std::env::var_os("JUDGE_BENCH_RUN").map(PathBuf::from);
            let passing = tempfile::tempdir().unwrap();
            let folder = kept.unwrap_or_else(|| passing.path().join("run"));
            if RunFolder::open(&folder).is_err() {
                in_a_process("make", &folder);
            }
            in_a_process("judge", &folder);
        }
    }
}

fn in_a_process(what: &str, folder: &Path) {
    let status = Command::new(std::env::current_exe().unwrap()).arg(what).arg(folder).status().unwrap();
    assert!(status.success(), "{what}: {status}");
}

fn make(folder: &Path) {
    let calls = std::env::var("JUDGE_BENCH_CALLS").map_or(CALLS, |calls| calls.parse().unwrap());
    let orders = calls / CALLS_OF_TEN_ORDERS * 10;
    let mut shape =
        Shape { orders, per_round: PER_ROUND, capacity: 1_000_000_000, plain_percent: PLAIN_PERCENT, audit_rounds: usize::MAX };
    shape.audit_rounds = shape.rounds() / AUDITS;
    let started = Instant::now();
    write_clean(1, shape, folder);
    println!("made     {orders} orders in {:.1} s", started.elapsed().as_secs_f64());
}

fn judge(folder: &Path) {
    let run = RunFolder::open(folder).unwrap();
    let bytes = std::fs::metadata(run.history()).unwrap().len();
    let started = Instant::now();
    let verdict = recheck(&run).unwrap();
    println!("judged   {} calls, a history of {bytes} bytes", verdict.calls.total);
    println!("took     {:.1} s, the reports among it", started.elapsed().as_secs_f64());
    let JudgingMs { reading, replaying, lots, whole } = verdict.judging_ms;
    println!(
        "of them  {reading} ms to read and sort, {replaying} to replay the log, {lots} for the lots, {whole} for the whole"
    );
    println!("memory   {} MiB at the peak", peak_kib() / 1024);
    assert_eq!(verdict.verdict, Ruling::Held, "{:?}", verdict.invariants);
}

/// The most that this process ever held.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

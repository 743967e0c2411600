//! `list`: the runs of a folder, the newest first.

use std::cmp::Reverse;
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use super::table::table;
use super::{Format, PastRun};
use crate::figures::{duration, wall_time};
use crate::history::RunFolder;
use crate::verdict::Verdict;

/// The runs, newest first, and why some cannot be read: one that is damaged hides no other.
///
/// # Errors
/// The folder itself cannot be read.
pub fn read(folder: &Path) -> anyhow::Result<(Vec<PastRun>, Vec<String>)> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let (mut runs, mut left_out) = (Vec::new(), Vec::new());
    for entry in entries {
        let path = entry?.path();
        // A folder without `run.json` is of something else, or of a run that was stopped before it began.
        let Ok(run) = RunFolder::open(&path) else { continue };
        match PastRun::read(run) {
            Ok(run) => runs.push(run),
            Err(error) => left_out.push(format!("{error:#}")),
        }
    }
    runs.sort_by_key(|run| Reverse((run.facts.started_at_ms, run.name())));
    left_out.sort();
    Ok((runs, left_out))
}

#[must_use]
pub fn render(runs: &[PastRun], format: Format) -> String {
    match format {
        Format::Json => format!("{:#}\n", Value::Array(runs.iter().map(object).collect())),
        Format::Table => {
            let header = ["started", "scenario", "seed", "verdict", "exit", "orders/s", "duration", "run"];
            table(&header, &runs.iter().map(row).collect::<Vec<_>>())
        }
    }
}

fn row(run: &PastRun) -> Vec<String> {
    let figure = |of: &dyn Fn(&Verdict) -> String| run.verdict.as_ref().map_or("-".into(), of);
    vec![
        wall_time(run.facts.started_at_ms),
        run.facts.scenario.clone(),
        run.facts.seed.to_string(),
        run.ruling().into(),
        run.facts.exit.map_or("-".into(), |exit| exit.to_string()),
        figure(&|verdict| verdict.orders_per_s.to_string()),
        figure(&|verdict| verdict.run_s.map_or("-".into(), |run_s| duration(run_s * 1_000.0))),
        run.name(),
    ]
}

fn object(run: &PastRun) -> Value {
    let verdict = run.verdict.as_ref();
    json!({
        "run": run.folder.root(),
        "started_at_ms": run.facts.started_at_ms,
        "scenario": run.facts.scenario,
        "seed": run.facts.seed,
        "verdict": verdict.map(|verdict| verdict.verdict),
        "exit": run.facts.exit,
        "orders_per_s": verdict.map(|verdict| verdict.orders_per_s),
        "run_s": verdict.and_then(|verdict| verdict.run_s),
    })
}

//! `show`: one run on a screen.

use std::fmt::{self, Write};

use serde_json::json;

use super::table::table;
use super::{Format, PastRun};
use crate::checks::Finding;
use crate::checks::fault_times::{FaultTimes, by_kind};
use crate::checks::overload::Goodput;
use crate::figures::{Spread, duration, moment, wall_time};
use crate::limits;
use crate::verdict::{Pause, Verdict};

/// Violations of one invariant that are printed; `report.html` has more.
const VIOLATIONS_SHOWN: usize = 3;

#[must_use]
pub fn render(run: &PastRun, format: Format) -> String {
    if format == Format::Json {
        let kinds = run.verdict.as_ref().map(|verdict| by_kind(&verdict.fault_times));
        let facts = json!({
            "run": run.folder.root(),
            "started_at_ms": run.facts.started_at_ms,
            "exit": run.facts.exit,
            "scenario": run.facts.scenario,
            "seed": run.facts.seed,
            "problems": run.facts.problems,
            "fault_kinds": kinds,
            "verdict": run.verdict,
        });
        return format!("{facts:#}\n");
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _infallible = write_run(&mut text, run);
    text
}

fn write_run(text: &mut String, run: &PastRun) -> fmt::Result {
    let facts = &run.facts;
    writeln!(text, "run       {}", run.folder.root().display())?;
    writeln!(text, "scenario  {}, seed {}", facts.scenario, facts.seed)?;
    writeln!(text, "started   {}", wall_time(facts.started_at_ms))?;
    for (program, version) in &facts.versions {
        writeln!(text, "build     {program} {version}")?;
    }
    for problem in &facts.problems {
        writeln!(text, "problem   {problem}")?;
    }
    writeln!(text, "verdict   {}", run.ruling())?;
    writeln!(text, "exit      {}", run.exit())?;
    match &run.verdict {
        Some(verdict) => {
            write_figures(text, verdict)?;
            write_faults(text, &verdict.fault_times)?;
            write_held(text, verdict)?;
            write_findings(text, &verdict.findings())?;
            writeln!(text, "\nreport    {}", run.folder.report().display())?;
        }
        None => writeln!(text, "\nto judge  stampede-chaos recheck {}", run.folder.root().display())?,
    }
    writeln!(text, "again     {}", facts.command)
}

fn write_figures(text: &mut String, verdict: &Verdict) -> fmt::Result {
    if let Some(run_s) = verdict.run_s {
        writeln!(text, "duration  {}, of it {} s of traffic", duration(run_s * 1_000.0), verdict.traffic_s)?;
    }
    writeln!(text, "orders    {} issued, {} orders/s", verdict.orders_issued, verdict.orders_per_s)?;
    if let Some(Goodput { peak_per_s, surge_per_s, offered_per_s }) = verdict.goodput {
        writeln!(
            text,
            "goodput   {surge_per_s} orders/s of {offered_per_s} offered in the surge, {peak_per_s} in the best 4 s"
        )?;
    }
    if let Some(latency) = verdict.latency_ms {
        let [p50, p99, max] = [latency.p50, latency.p99, latency.max].map(duration);
        writeln!(text, "latency   p50 {p50}, p99 {p99}, max {max} (of writes)")?;
    }
    if let Some(sync) = verdict.machine_sync_ms {
        let [p50, p95, max] = [sync.p50, sync.p95, sync.max].map(duration);
        writeln!(
            text,
            "machine   p50 {p50}, p95 {p95}, max {max} (to sync {} bytes beside the nodes)",
            limits::MACHINE_SYNC_BYTES
        )?;
    }
    let calls = verdict.calls;
    write!(
        text,
        "calls     {}: {} refused, {} not done, {} unknown",
        calls.total, calls.refused, calls.not_done, calls.unknown
    )?;
    if let Some(availability) = verdict.availability {
        let (without, seconds) = (availability.seconds_without_write, availability.seconds);
        write!(text, "; {} % answered at once, {without} of {seconds} s without a write", availability.answered_percent)?;
    }
    writeln!(text)?;
    if let Pause { median: Some(median), max: Some(max), count } = verdict.write_pause_ms {
        let [median, max] = [median, max].map(duration);
        writeln!(text, "pauses    of writes around {count} leader kills: median {median}, longest {max}")?;
    }
    Ok(())
}

fn write_faults(text: &mut String, faults: &[FaultTimes]) -> fmt::Result {
    if faults.is_empty() {
        return writeln!(text, "faults    none");
    }
    let after = |time: Option<f64>| time.map_or("-".into(), duration);
    let row = |fault: &FaultTimes| {
        let nodes: Vec<String> = fault.nodes.iter().map(u16::to_string).collect();
        vec![
            fault.fault.to_string(),
            fault.kind.clone(),
            nodes.join(","),
            fault.injected_ms.map_or("no target".into(), moment),
            if fault.effective_ms.is_some() { "yes" } else { "no" }.into(),
            after(fault.detected_after_ms),
            after(fault.new_leader_after_ms),
            after(fault.writes_after_ms),
            after(fault.recovered_after_ms),
            fault.healed_ms.map_or("-".into(), moment),
        ]
    };
    let header = ["fault", "kind", "nodes", "injected", "landed", "detected", "new leader", "writes", "recovered", "healed"];
    write!(text, "\n{}", table(&header, &faults.iter().map(row).collect::<Vec<_>>()))?;

    let spread = |spread: Option<Spread>| spread.map_or("-".into(), Spread::durations);
    let kinds = by_kind(faults).into_iter().map(|kind| {
        let times = [kind.detected_ms, kind.new_leader_ms, kind.writes_ms, kind.recovered_ms].map(spread);
        [vec![kind.kind, format!("{} of {}", kind.landed, kind.planned)], times.to_vec()].concat()
    });
    let header = ["kind, as p50 / p95 / max", "landed", "detected", "new leader", "writes", "recovered"];
    write!(text, "\n{}", table(&header, &kinds.collect::<Vec<_>>()))
}

fn write_held(text: &mut String, verdict: &Verdict) -> fmt::Result {
    let is_held = |finding: &Finding| finding.violations == 0 && finding.inconclusive.is_empty();
    let held = verdict.invariants.iter().filter(|finding| is_held(finding)).count();
    writeln!(text, "\nheld      {held} of {} invariants", verdict.invariants.len())?;
    for failure in &verdict.failures_2024 {
        writeln!(text, "2024      {}: {}, {} checked", failure.name, failure.state(), failure.checked)?;
    }
    Ok(())
}

fn write_findings(text: &mut String, findings: &[Finding]) -> fmt::Result {
    for finding in findings {
        for why in &finding.inconclusive {
            writeln!(text, "unsure    {} {}: {why}", finding.id, finding.name)?;
        }
        if finding.violations > 0 {
            writeln!(text, "BROKEN    {} {}: {} times", finding.id, finding.name, finding.violations)?;
        }
        for shown in finding.shown.iter().take(VIOLATIONS_SHOWN) {
            let ops: Vec<String> = shown.ops.iter().map(u64::to_string).collect();
            let index = shown.log_index.map(|index| format!(" [log entry {index}]")).unwrap_or_default();
            writeln!(text, "          {} [calls {}]{index}", shown.text, ops.join(" "))?;
        }
    }
    Ok(())
}

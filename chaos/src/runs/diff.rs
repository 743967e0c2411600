//! `diff`: what differs between two runs, and by how much.

use serde::Serialize;
use serde_json::{Value, json};

use super::table::table;
use super::{Format, PastRun};
use crate::checks::Finding;
use crate::checks::fault_times::by_kind;
use crate::verdict::{Ruling, Verdict};

/// Hexadecimal digits of a scenario's fingerprint.
const FINGERPRINT_DIGITS: usize = 12;

/// Two runs side by side.
#[derive(Debug)]
pub struct Comparison {
    pub differences: Vec<Difference>,
    /// How many things are the same.
    pub same: usize,
}

#[derive(Debug, PartialEq)]
pub struct Difference {
    pub what: String,
    /// `null`: it has none.
    pub a: Value,
    pub b: Value,
    /// Of numbers: b by a.
    pub ratio: Option<f64>,
}

#[must_use]
pub fn compare(a: &PastRun, b: &PastRun) -> Comparison {
    let (of_a, of_b) = (facts(a), facts(b));
    let find = |facts: &[Fact], what: &str| facts.iter().find(|fact| fact.what == what).map(|fact| fact.value.clone());
    let only_b = of_b.iter().filter(|fact| find(&of_a, &fact.what).is_none());
    let mut comparison = Comparison { differences: Vec::new(), same: 0 };
    for fact in of_a.iter().chain(only_b) {
        let [a, b] = [&of_a, &of_b].map(|facts| find(facts, &fact.what).unwrap_or_default());
        if a == b {
            comparison.same += 1;
            continue;
        }
        let figures = a.as_f64().zip(b.as_f64()).filter(|(a, _)| fact.is_figure && *a > 0.0);
        let ratio = figures.map(|(a, b)| (b / a * 100.0).round() / 100.0);
        comparison.differences.push(Difference { what: fact.what.clone(), a, b, ratio });
    }
    comparison
}

/// One thing that is compared.
struct Fact {
    what: String,
    value: Value,
    /// Of a figure, twice as much means something; of a seed it does not.
    is_figure: bool,
}

impl Fact {
    fn told(what: impl Into<String>, value: impl Serialize) -> Self {
        Self { what: what.into(), value: json!(value), is_figure: false }
    }

    fn figure(what: impl Into<String>, value: impl Serialize) -> Self {
        Self { what: what.into(), value: json!(value), is_figure: true }
    }
}

/// In the order in which they are shown.
fn facts(run: &PastRun) -> Vec<Fact> {
    let mut facts = vec![
        Fact::told("scenario", &run.facts.scenario),
        Fact::told("scenario's text", fingerprint(run)),
        Fact::told("seed", run.facts.seed),
    ];
    facts.extend(run.facts.versions.iter().map(|(program, version)| Fact::told(format!("build of {program}"), version)));
    facts.extend([Fact::told("exit", run.facts.exit), Fact::told("verdict", run.ruling())]);
    if let Some(verdict) = &run.verdict {
        let findings = verdict.findings();
        facts.extend(findings.iter().map(|finding| Fact::told(format!("{} {}", finding.id, finding.name), state(finding))));
        facts.extend(figures(verdict));
    }
    facts
}

/// `None`: the folder has no scenario.
fn fingerprint(run: &PastRun) -> Option<String> {
    let text = std::fs::read(run.folder.scenario()).ok()?;
    Some(blake3::hash(&text).to_hex()[..FINGERPRINT_DIGITS].to_owned())
}

fn state(finding: &Finding) -> String {
    match (finding.violations, finding.inconclusive.is_empty()) {
        (0, true) => Ruling::Held.word().into(),
        (0, false) => Ruling::Inconclusive.word().into(),
        (count, _) => format!("{} {count} times", Ruling::Violated.word()),
    }
}

fn figures(verdict: &Verdict) -> Vec<Fact> {
    let latency = verdict.latency_ms;
    let mut figures = vec![
        Fact::figure("orders/s", verdict.orders_per_s),
        Fact::figure("latency p50, ms", latency.map(|latency| latency.p50)),
        Fact::figure("latency p99, ms", latency.map(|latency| latency.p99)),
        Fact::figure("latency max, ms", latency.map(|latency| latency.max)),
        Fact::figure("machine's own sync max, ms", verdict.machine_sync_ms.map(|sync| sync.max)),
        Fact::figure("answered at once, %", verdict.availability.map(|availability| availability.answered_percent)),
        Fact::figure("calls unknown", verdict.calls.unknown),
        Fact::figure("longest pause of writes, ms", verdict.write_pause_ms.max),
        Fact::figure("duration, s", verdict.run_s),
    ];
    for kind in by_kind(&verdict.fault_times) {
        figures.push(Fact::figure(format!("{} landed", kind.kind), kind.landed));
        for (what, spread) in [("detected", kind.detected_ms), ("writes", kind.writes_ms), ("recovered", kind.recovered_ms)] {
            figures.push(Fact::figure(format!("{} {what} p50, ms", kind.kind), spread.map(|spread| spread.p50)));
            figures.push(Fact::figure(format!("{} {what} max, ms", kind.kind), spread.map(|spread| spread.max)));
        }
    }
    figures
}

#[must_use]
pub fn render(a: &PastRun, b: &PastRun, format: Format) -> String {
    let Comparison { differences, same } = compare(a, b);
    let (name_a, name_b) = (a.folder.root().display(), b.folder.root().display());
    match format {
        Format::Json => {
            let object = |one: &Difference| json!({"what": one.what, "a": one.a, "b": one.b, "ratio": one.ratio});
            let differences: Vec<Value> = differences.iter().map(object).collect();
            format!("{:#}\n", json!({"a": a.folder.root(), "b": b.folder.root(), "same": same, "differences": differences}))
        }
        Format::Table => {
            let row = |one: &Difference| {
                vec![
                    one.what.clone(),
                    cell(&one.a),
                    cell(&one.b),
                    one.ratio.map(|ratio| format!("×{ratio}")).unwrap_or_default(),
                ]
            };
            if differences.is_empty() {
                return format!("nothing differs: {same} things are the same\n");
            }
            let rows: Vec<Vec<String>> = differences.iter().map(row).collect();
            format!("a  {name_a}\nb  {name_b}\n\n{}\n{same} more are the same\n", table(&["what", "a", "b", "b/a"], &rows))
        }
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

//! `diff`: what differs between two runs, and by how much.

use serde_json::{Value, json};

use super::table::table;
use super::{Format, PastRun};
use crate::checks::Finding;
use crate::checks::fault_times::by_kind;
use crate::figures::float;
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
    let value = |facts: &[Fact], what: &str| facts.iter().find(|(name, _)| name == what).map(|(_, value)| value.clone());
    let only_b = of_b.iter().filter(|(what, _)| value(&of_a, what).is_none());
    let mut comparison = Comparison { differences: Vec::new(), same: 0 };
    for (what, _) in of_a.iter().chain(only_b) {
        let [a, b] = [&of_a, &of_b].map(|facts| value(facts, what).unwrap_or_default());
        if a == b {
            comparison.same += 1;
            continue;
        }
        let is_measured = a.is_f64() && b.is_f64();
        let ratio =
            a.as_f64().zip(b.as_f64()).filter(|(a, _)| is_measured && *a > 0.0).map(|(a, b)| (b / a * 100.0).round() / 100.0);
        comparison.differences.push(Difference { what: what.clone(), a, b, ratio });
    }
    comparison
}

/// What is compared, by its name.
type Fact = (String, Value);

/// In the order in which they are shown. Whatever is measured is a fraction, whatever is told or counted is not.
fn facts(run: &PastRun) -> Vec<Fact> {
    let mut facts: Vec<Fact> = vec![
        ("scenario".into(), json!(run.facts.scenario)),
        ("scenario's text".into(), json!(fingerprint(run))),
        ("seed".into(), json!(run.facts.seed)),
    ];
    facts.extend(run.facts.versions.iter().map(|(program, version)| (format!("build of {program}"), json!(version))));
    facts.extend([("exit".into(), json!(run.facts.exit)), ("verdict".into(), json!(run.ruling()))]);
    if let Some(verdict) = &run.verdict {
        let invariants = verdict.invariants.iter();
        facts.extend(invariants.map(|finding| (format!("{} {}", finding.id, finding.name), json!(state(finding)))));
        measure(verdict, &mut facts);
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

fn measure(verdict: &Verdict, facts: &mut Vec<Fact>) {
    let mut add = |what: String, figure: Option<f64>| facts.push((what, json!(figure)));
    add("orders/s".into(), Some(verdict.orders_per_s));
    let latency = verdict.latency_ms;
    add("latency p50, ms".into(), latency.map(|latency| latency.p50));
    add("latency p99, ms".into(), latency.map(|latency| latency.p99));
    add("latency max, ms".into(), latency.map(|latency| latency.max));
    add("answered at once, %".into(), verdict.availability.map(|availability| availability.answered_percent));
    add("calls unknown".into(), Some(float(verdict.calls.unknown)));
    add("longest pause of writes, ms".into(), verdict.write_pause_ms.max);
    add("duration, s".into(), verdict.run_s);
    for kind in by_kind(&verdict.fault_times) {
        add(format!("{} landed", kind.kind), Some(float(kind.landed)));
        for (what, spread) in [("detected", kind.detected_ms), ("writes", kind.writes_ms), ("recovered", kind.recovered_ms)] {
            add(format!("{} {what} p50, ms", kind.kind), spread.map(|spread| spread.p50));
            add(format!("{} {what} max, ms", kind.kind), spread.map(|spread| spread.max));
        }
    }
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

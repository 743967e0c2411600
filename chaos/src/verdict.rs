//! The verdict of a run: what `verdict.json` says and what the process exits with.

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::checks::failures_2024::{Failure2024, failures_2024};
use crate::checks::fault_times::{FaultTimes, fault_times};
use crate::checks::overload::{Goodput, goodput};
use crate::checks::timeline::{self, Acknowledged, MS};
use crate::checks::{Evidence, Finding, OfLots, Replay, coverage};
use crate::evidence::{Ended, Moment};
use crate::figures::{Spread, float, ms, percent, percentile, tenths};
use crate::history::{Phase, Purpose};

/// Of `verdict.json`. Fields are only ever added.
pub const VERDICT_SCHEMA: u32 = 1;

/// How the tool ends. Its own failure is never read as the system's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Held = 0,
    /// An invariant was broken.
    Violated = 1,
    /// A required fault did not land, an outcome stayed unknown, or evidence is missing.
    Inconclusive = 2,
    /// The tool or its surroundings failed.
    ToolFailed = 3,
    /// Stopped by a guard, and healed.
    Guarded = 4,
    /// Healing left something behind.
    Residue = 5,
    Usage = 64,
    Interrupted = 130,
}

impl Exit {
    const ALL: [Self; 8] = [
        Self::Held,
        Self::Violated,
        Self::Inconclusive,
        Self::ToolFailed,
        Self::Guarded,
        Self::Residue,
        Self::Usage,
        Self::Interrupted,
    ];

    /// `None`: a code of another version of the tool.
    #[must_use]
    pub fn of(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|exit| *exit as u8 == code)
    }

    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Violated => "an invariant was broken",
            Self::Inconclusive => "inconclusive",
            Self::ToolFailed => "the tool or its surroundings failed",
            Self::Guarded => "stopped by a guard, healed",
            Self::Residue => "healing left something behind",
            Self::Usage => "usage",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ruling {
    Held,
    Violated,
    Inconclusive,
}

impl Ruling {
    #[must_use]
    pub const fn exit(self) -> Exit {
        match self {
            Self::Held => Exit::Held,
            Self::Violated => Exit::Violated,
            Self::Inconclusive => Exit::Inconclusive,
        }
    }

    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Violated => "violated",
            Self::Inconclusive => "inconclusive",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub schema: u32,
    pub verdict: Ruling,
    pub scenario: String,
    pub seed: u64,
    /// Orders whose issue was acknowledged.
    pub orders_issued: u64,
    /// Those that were issued during the traffic, warm-up and faults, by its length.
    pub orders_per_s: f64,
    /// How often each kind landed.
    pub faults: BTreeMap<String, u64>,
    pub leader_kills: u64,
    /// Between acknowledged writes, around each leader kill that left a majority.
    pub write_pause_ms: Pause,
    pub invariants: Vec<Finding>,
    /// The failures of September 2024, each by its name.
    #[serde(default)]
    pub failures_2024: Vec<Failure2024>,
    /// Of a run with a surge.
    #[serde(default)]
    pub goodput: Option<Goodput>,
    pub calls: Calls,
    /// Of acknowledged writes, from the time at which they were to be sent.
    pub latency_ms: Option<Latency>,
    /// How long the machine's own disk took to sync a little, beside the nodes: what no system is quicker than.
    #[serde(default)]
    pub machine_sync_ms: Option<Spread>,
    /// Of the plan, each with its moments.
    #[serde(default)]
    pub fault_times: Vec<FaultTimes>,
    /// `null` if there was no traffic.
    #[serde(default)]
    pub availability: Option<Availability>,
    pub traffic_s: f64,
    /// From the start of the nodes until the last record, judgement left out.
    /// Absent in verdicts of older tools.
    #[serde(default)]
    pub run_s: Option<f64>,
    /// To read the evidence of all calls and judge it, milliseconds; the reports left out.
    pub judged_in_ms: u64,
    /// The same, by what was done.
    #[serde(default)]
    pub judging_ms: JudgingMs,
    /// Prints this run again.
    pub command: String,
    pub versions: BTreeMap<String, String>,
}

/// How long the judge took for its parts, milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgingMs {
    /// To read the run's files and sort what is in them.
    pub reading: u64,
    /// To run the model over the log.
    pub replaying: u64,
    /// To judge the lots.
    pub lots: u64,
    /// To judge what goes over all calls.
    pub whole: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pause {
    /// `null` if no pause was counted.
    pub median: Option<f64>,
    /// As the median.
    pub max: Option<f64>,
    pub count: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    pub total: u64,
    pub written: u64,
    pub read: u64,
    pub refused: u64,
    pub not_done: u64,
    /// When the tool gave them up; some were answered late.
    pub unknown: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// During the traffic: while buyers arrived, before and during the faults.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Availability {
    /// Of the calls that were sent, retries left out, those that were answered: a refusal is an answer, *not done* and
    /// *unknown* are none.
    pub answered_percent: f64,
    pub seconds: u64,
    /// In which no write was acknowledged.
    pub seconds_without_write: u64,
}

impl Verdict {
    /// `judging_ms`: to find what was found.
    #[must_use]
    pub fn of(
        evidence: &Evidence,
        replay: &Replay,
        writes: &[Acknowledged],
        of_lots: OfLots,
        invariants: Vec<Finding>,
        judging_ms: JudgingMs,
    ) -> Self {
        let facts = &evidence.facts;
        let traffic = traffic(evidence);
        let traffic_s = traffic.as_ref().map_or(0.0, |traffic| seconds(traffic.end.saturating_sub(traffic.start)));
        let issues = &of_lots.issued_ns;
        let issued_in_traffic = traffic.as_ref().map_or(0, |traffic| issues.iter().filter(|at| traffic.contains(at)).count());
        let orders_issued = issues.len() as u64;
        let leader_kills = timeline::windows(evidence).iter().filter(|window| window.is_leader_kill()).count();
        let failures_2024 = failures_2024(evidence, replay, writes, of_lots.failures, &invariants);
        Self {
            schema: VERDICT_SCHEMA,
            verdict: judge(&all(&invariants, &failures_2024)),
            scenario: facts.scenario.clone(),
            seed: facts.seed,
            orders_issued,
            orders_per_s: if traffic_s > 0.0 { tenths(float(issued_in_traffic as u64) / traffic_s) } else { 0.0 },
            faults: coverage::faults_by_kind(evidence),
            leader_kills: leader_kills as u64,
            write_pause_ms: pause(timeline::write_pauses(evidence, writes)),
            invariants,
            failures_2024,
            goodput: goodput(evidence),
            calls: calls(evidence),
            latency_ms: latency(writes),
            machine_sync_ms: Spread::of(evidence.machine_syncs.iter().map(|sync| ms(sync.took_ns))),
            fault_times: fault_times(evidence, writes),
            availability: traffic.and_then(|traffic| availability(evidence, writes, &traffic)),
            traffic_s: tenths(traffic_s),
            run_s: Some(tenths(seconds(evidence.last_ns))),
            judged_in_ms: judging_ms.reading + judging_ms.replaying + judging_ms.lots + judging_ms.whole,
            judging_ms,
            command: facts.command.clone(),
            versions: facts.versions.clone(),
        }
    }

    #[must_use]
    pub fn exit(&self) -> Exit {
        self.verdict.exit()
    }

    /// All that was judged: the invariants, then the failures of September 2024.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        all(&self.invariants, &self.failures_2024)
    }
}

fn all(invariants: &[Finding], failures: &[Failure2024]) -> Vec<Finding> {
    invariants.iter().cloned().chain(failures.iter().map(Failure2024::finding)).collect()
}

/// A violation stands whatever else is missing; *held* needs every check to have been sure.
fn judge(findings: &[Finding]) -> Ruling {
    if findings.iter().any(|finding| finding.violations > 0) {
        Ruling::Violated
    } else if findings.is_empty() || findings.iter().any(|finding| !finding.inconclusive.is_empty()) {
        Ruling::Inconclusive
    } else {
        Ruling::Held
    }
}

/// While faults may fire, and before: the settling after the heal does not count.
fn traffic(evidence: &Evidence) -> Option<Range<u64>> {
    let start = evidence.phase_start(Phase::WarmUp).or_else(|| evidence.phase_start(Phase::Faults))?;
    Some(start..evidence.phase_start(Phase::Heal)?)
}

fn pause(mut pauses_ns: Vec<u64>) -> Pause {
    pauses_ns.sort_unstable();
    let median = pauses_ns.get(pauses_ns.len() / 2).copied().map(ms);
    Pause { median, max: pauses_ns.last().copied().map(ms), count: pauses_ns.len() as u64 }
}

fn latency(writes: &[Acknowledged]) -> Option<Latency> {
    let mut latencies: Vec<u64> = writes.iter().map(Acknowledged::latency_ns).collect();
    latencies.sort_unstable();
    let at = |percent| percentile(&latencies, percent).map(ms);
    Some(Latency { p50: at(50)?, p99: at(99)?, max: at(100)? })
}

fn availability(evidence: &Evidence, writes: &[Acknowledged], traffic: &Range<u64>) -> Option<Availability> {
    const SECOND_NS: u64 = 1_000 * MS;
    let sent = || evidence.moments.iter().filter(|call| traffic.contains(&call.invoked_ns) && call.purpose != Purpose::Retry);
    let answered = sent().filter(|call| is_answered(call)).count() as u64;
    let mut times = writes.iter().map(|write| write.returned_ns).skip_while(|at_ns| *at_ns < traffic.start).peekable();
    let seconds = traffic.end.saturating_sub(traffic.start) / SECOND_NS;
    let mut seconds_without_write = 0;
    for end_ns in (1..=seconds).map(|second| traffic.start + second * SECOND_NS) {
        let has_write = times.next_if(|at_ns| *at_ns < end_ns).is_some();
        while times.next_if(|at_ns| *at_ns < end_ns).is_some() {}
        seconds_without_write += u64::from(!has_write);
    }
    Some(Availability { answered_percent: percent(answered, sent().count() as u64)?, seconds, seconds_without_write })
}

/// When the caller still waited for it.
#[must_use]
pub const fn is_answered(call: &Moment) -> bool {
    !matches!(call.ended, Ended::NotDone | Ended::Unknown)
}

fn calls(evidence: &Evidence) -> Calls {
    let mut calls = Calls { total: evidence.moments.len() as u64, ..Calls::default() };
    for call in &evidence.moments {
        match call.ended {
            Ended::Written => calls.written += 1,
            Ended::Read => calls.read += 1,
            Ended::Refused | Ended::RefusedThere => calls.refused += 1,
            Ended::NotDone => calls.not_done += 1,
            Ended::Unknown => calls.unknown += 1,
        }
    }
    calls
}

fn seconds(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(violations: u64, unsure: bool) -> Finding {
        let mut finding = Finding::new("V1", "");
        finding.violations = violations;
        if unsure {
            finding.unsure("why");
        }
        finding
    }

    #[test]
    fn a_violation_outranks_a_doubt_and_a_doubt_outranks_the_rest() {
        assert_eq!(judge(&[finding(0, false), finding(0, false)]), Ruling::Held);
        assert_eq!(judge(&[finding(0, false), finding(0, true)]), Ruling::Inconclusive);
        assert_eq!(judge(&[finding(0, true), finding(1, false)]), Ruling::Violated);
        assert_eq!(judge(&[]), Ruling::Inconclusive);
    }
    #[test]
    fn a_failure_of_2024_weighs_what_an_invariant_weighs() {
        let judged = |violations, unsure: &[&str]| {
            let failure = Failure2024 {
                name: "paid-twice".into(),
                what: String::new(),
                shown_by: Vec::new(),
                checked: 1,
                violations,
                shown: Vec::new(),
                inconclusive: unsure.iter().map(|why| (*why).to_owned()).collect(),
            };
            judge(&all(&[finding(0, false)], &[failure]))
        };
        assert_eq!(judged(0, &[]), Ruling::Held);
        assert_eq!(judged(0, &["never tried"]), Ruling::Inconclusive);
        assert_eq!(judged(1, &[]), Ruling::Violated);
    }
}

//! From a run's folder to the exit code: lets the judge speak, and adds how the tool itself fared.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::checks::Violation;
use crate::checks::overload::Goodput;
use crate::history::RunFolder;
use crate::recheck;
use crate::run::{Aftermath, Ended};
use crate::verdict::{Exit, Pause, Verdict};

/// What a run came to.
#[derive(Debug)]
pub struct Judgement {
    pub exit: Exit,
    /// Ids of the broken invariants, and names of the failures of 2024 that came back.
    pub violated: Vec<String>,
    /// Why it is not simply held.
    pub reasons: Vec<String>,
    /// Absent if the run did not get that far.
    pub folder: Option<PathBuf>,
    /// Absent if there was nothing to judge.
    pub verdict: Option<Verdict>,
}

/// # Errors
/// The folder cannot be read or the reports cannot be written.
pub fn judge(folder: &RunFolder, ended: &Ended) -> anyhow::Result<Judgement> {
    let (exit, reason) = match ended {
        Ended::Complete(aftermath) => return judge_complete(folder, aftermath),
        Ended::Guard(reason) => (Exit::Guarded, reason.clone()),
        Ended::Interrupted => (Exit::Interrupted, "interrupted".to_owned()),
        Ended::LeftBehind(left) => (Exit::Residue, left.join("; ")),
    };
    let folder = Some(folder.root().to_owned());
    Ok(Judgement { exit, violated: Vec::new(), reasons: vec![reason], folder, verdict: None })
}

fn judge_complete(folder: &RunFolder, aftermath: &Aftermath) -> anyhow::Result<Judgement> {
    let mut judgement = match recheck::recheck(folder).context("judging the run") {
        Ok(verdict) => of_verdict(folder, verdict),
        Err(error) if aftermath.left_behind.is_empty() => return Err(error),
        Err(error) => Judgement { folder: Some(folder.root().to_owned()), ..Judgement::of_failure(&error) },
    };
    // A broken invariant outranks what else went wrong, and a process that is left behind the rest.
    if judgement.exit != Exit::Violated && !aftermath.left_behind.is_empty() {
        judgement.exit = Exit::Residue;
    }
    judgement.reasons.extend(aftermath.left_behind.iter().cloned());
    Ok(judgement)
}

fn of_verdict(folder: &RunFolder, verdict: Verdict) -> Judgement {
    let findings = verdict.findings();
    let violated = findings.iter().filter(|finding| finding.violations > 0).map(|finding| finding.id.clone()).collect();
    let unsure =
        findings.iter().flat_map(|finding| finding.inconclusive.iter().map(move |why| format!("{}: {why}", finding.id)));
    let reasons = unsure.collect();
    Judgement { exit: verdict.exit(), violated, reasons, folder: Some(folder.root().to_owned()), verdict: Some(verdict) }
}

/// Judges an earlier run and prints what it came to.
///
/// # Errors
/// It is no run's folder, or its files cannot be read.
pub fn recheck_and_print(run: &Path) -> anyhow::Result<Exit> {
    let folder = RunFolder::open(run)?;
    let judgement = of_verdict(&folder, recheck::recheck(&folder)?);
    judgement.print();
    Ok(judgement.exit)
}

impl Judgement {
    /// The tool failed before there was anything to judge.
    #[must_use]
    pub fn of_failure(error: &anyhow::Error) -> Self {
        let reasons = vec![format!("{error:#}")];
        Self { exit: Exit::ToolFailed, violated: Vec::new(), reasons, folder: None, verdict: None }
    }

    /// One line.
    #[must_use]
    pub fn summary(&self) -> String {
        let folder = self.folder.as_ref().map(|folder| format!(" ({})", folder.display())).unwrap_or_default();
        format!("{:?} {} {}{folder}", self.exit, self.violated.join(" "), self.reasons.join("; "))
    }

    /// For people, on standard output.
    pub fn print(&self) {
        if let Some(verdict) = &self.verdict {
            print_verdict(verdict);
        }
        for reason in &self.reasons {
            println!("note    {reason}");
        }
        if let Some(folder) = &self.folder {
            println!("folder  {}", folder.display());
        }
    }
}

fn print_verdict(verdict: &Verdict) {
    let faults: Vec<String> = verdict.faults.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    println!();
    for finding in &verdict.invariants {
        let state = match (finding.violations, finding.inconclusive.is_empty()) {
            (0, true) => "held".to_owned(),
            (0, false) => "unsure".to_owned(),
            (count, _) => format!("BROKEN {count} times"),
        };
        println!("{:<4} {:<75} {:>9} checked  {state}", finding.id, finding.name, finding.checked);
        print_violations(&finding.shown);
    }
    println!();
    for failure in &verdict.failures_2024 {
        let (state, shown_by) = (failure.state(), failure.shown_by.join(" "));
        println!("2024    {:<18} {:>9} checked  {state}  (by {shown_by})", failure.name, failure.checked);
        print_violations(&failure.shown);
    }
    println!();
    println!("verdict {}", verdict.verdict.word());
    println!(
        "orders  {} issued, {} orders/s over the {} s of traffic",
        verdict.orders_issued, verdict.orders_per_s, verdict.traffic_s
    );
    if let Some(Goodput { peak_per_s, surge_per_s, offered_per_s }) = verdict.goodput {
        println!(
            "goodput {surge_per_s} orders/s issued of {offered_per_s} offered in the surge, {peak_per_s} in the run's best 4 s"
        );
    }
    println!("judged  {} calls in {} ms", verdict.calls.total, verdict.judged_in_ms);
    println!("faults  {}", if faults.is_empty() { "none".to_owned() } else { faults.join(", ") });
    if let Pause { median: Some(median), max: Some(max), count } = verdict.write_pause_ms {
        println!("pauses  of writes around {count} leader kills: median {median} ms, longest {max} ms");
    }
}

fn print_violations(shown: &[Violation]) {
    for violation in shown {
        println!("       {} (ops {:?}, log index {:?})", violation.text, violation.ops, violation.log_index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_left_behind_outranks_a_judgement_that_failed() {
        // A folder without a run: nothing can be judged.
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::create(&folder.path().join("run")).unwrap();
        assert!(judge(&run, &Ended::Complete(Aftermath::default())).is_err());
        let left_behind = vec!["node 2 still runs".to_owned()];
        let judgement = judge(&run, &Ended::Complete(Aftermath { left_behind, ..Aftermath::default() })).unwrap();
        assert_eq!(judgement.exit, Exit::Residue);
        assert!(judgement.reasons.contains(&"node 2 still runs".to_owned()), "{:?}", judgement.reasons);
    }
}

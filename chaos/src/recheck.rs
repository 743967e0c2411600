//! Judges a run from the files of its folder alone: right after the run, or years later with a newer judge.

use std::io;

use crate::checks::{Case, Evidence, Replay, check_all};
use crate::history::RunFolder;
use crate::report;
use crate::serial_code::SerialCodes;
use crate::verdict::Verdict;

/// Reads, judges, and writes `verdict.json`, `junit.xml` and `report.html`.
///
/// # Errors
/// `run.json` or a file beside it cannot be read at all, or a report cannot be written: the tool failed, the system was not
/// judged. (Evidence that is missing or torn is no error: it makes the verdict inconclusive.)
pub fn recheck(folder: &RunFolder) -> io::Result<Verdict> {
    let evidence = Evidence::read(folder)?;
    let verdict = judge(&evidence)?;
    std::fs::write(folder.verdict(), serde_json::to_string_pretty(&verdict).map_err(io::Error::other)?)?;
    std::fs::write(folder.junit(), report::junit::render(&verdict)?)?;
    std::fs::write(folder.report(), report::page::render(&evidence, &verdict))?;
    Ok(verdict)
}

/// # Errors
/// The serial key in `run.json` is not one: codes could not be verified.
pub fn judge(evidence: &Evidence) -> io::Result<Verdict> {
    let codes = SerialCodes::from_hex(&evidence.facts.serial_key)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "run.json: serial_key is not 64 hexadecimal digits"))?;
    let replay = Replay::run(evidence, &codes);
    let findings = check_all(&Case::new(evidence, &replay, &codes));
    Ok(Verdict::of(evidence, findings))
}

//! Judges a run from the files of its folder alone: right after the run, or years later with a newer judge.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

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
    or_error_if_it_panics(|| judge_folder(folder))
}

/// A judge that panics has said nothing: the tool failed.
fn or_error_if_it_panics<T>(judging: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    // Nothing is shared with what panicked but the files of the folder, which are read again by whoever asks again.
    catch_unwind(AssertUnwindSafe(judging)).unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().map(String::as_str).or_else(|| cause.downcast_ref::<&str>().copied());
        Err(io::Error::other(format!("the judge panicked: {}", text.unwrap_or("without a word"))))
    })
}

fn judge_folder(folder: &RunFolder) -> io::Result<Verdict> {
    let start = Instant::now();
    let evidence = Evidence::read(folder)?;
    let verdict = judge(&evidence, start)?;
    std::fs::write(folder.verdict(), serde_json::to_string_pretty(&verdict).map_err(io::Error::other)?)?;
    std::fs::write(folder.junit(), report::junit::render(&verdict)?)?;
    std::fs::write(folder.report(), report::page::render(&evidence, &verdict))?;
    Ok(verdict)
}

/// # Errors
/// The serial key in `run.json` is not one: codes could not be verified.
fn judge(evidence: &Evidence, start: Instant) -> io::Result<Verdict> {
    let codes = SerialCodes::from_hex(&evidence.facts.serial_key)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "run.json: serial_key is not 64 hexadecimal digits"))?;
    let replay = Replay::run(evidence, &codes);
    let case = Case::new(evidence, &replay, &codes);
    let findings = check_all(&case);
    Ok(Verdict::of(&case, findings, start.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_judge_is_the_tools_failure() {
        let error = or_error_if_it_panics::<()>(|| panic!("overflow")).unwrap_err();
        assert!(error.to_string().contains("overflow"), "{error}");
    }
}

//! Judges a run from the files of its folder alone: right after the run, or years later with a newer judge.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::checks::{OfLots, Replay, check_all, timeline};
use crate::evidence::{Evidence, Pointed, Scratch};
use crate::history::RunFolder;
use crate::report;
use crate::serial_code::SerialCodes;
use crate::verdict::{JudgingMs, Verdict};

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
    let mut lap = Lap::start();
    let scratch = Scratch::create(folder.scratch())?;
    let (mut evidence, mut parts) = Evidence::read(folder, &scratch)?;
    let codes = SerialCodes::from_hex(&evidence.facts.serial_key)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "run.json: serial_key is not 64 hexadecimal digits"))?;
    let reading = lap.ms();
    let (replay, watched) = Replay::run(&evidence, &mut parts, &codes, &scratch, &folder.events())?;
    let replaying = lap.ms();
    let (mut of_lots, moments) = OfLots::judge(&evidence, &parts, &codes)?;
    evidence.moments = moments;
    let lots = lap.ms();
    let writes = timeline::acknowledged_writes(&evidence);
    let findings = check_all(&evidence, &replay, watched, &writes, &mut of_lots);
    let judging_ms = JudgingMs { reading, replaying, lots, whole: lap.ms() };
    let verdict = Verdict::of(&evidence, &replay, &writes, of_lots, findings, judging_ms);
    std::fs::write(folder.verdict(), serde_json::to_string_pretty(&verdict).map_err(io::Error::other)?)?;
    std::fs::write(folder.junit(), report::junit::render(&verdict)?)?;
    let pointed = Pointed::read(folder, &evidence.log, &verdict.findings())?;
    std::fs::write(folder.report(), report::page::render(&evidence, &writes, &pointed, &verdict))?;
    Ok(verdict)
}

/// Since the last look.
struct Lap(Instant);

impl Lap {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn ms(&mut self) -> u64 {
        let since = std::mem::replace(&mut self.0, Instant::now());
        u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
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

//! Whether limits work on this machine: found by giving one to a process and waiting until it is felt.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::Group;
use super::descriptors::leave;
use crate::limits;
use crate::probe;
use crate::scenario::Share;
use crate::undo::{Identity, Journal, Undo};

/// Between two looks whether a limit is felt.
const LOOK_PAUSE: Duration = Duration::from_millis(10);
/// It never rests.
const BUSY: &str = "read go; while :; do :; done";
/// It wants four times [`MEMORY_BYTES`], on one line.
const GREEDY: &str = "read go; head -c 67108864 /dev/zero | tail -n 1 > /dev/null";
const MEMORY_BYTES: u64 = 16 << 20;
/// It opens a file more, and would then go on.
const CURIOUS: &str = "read go; exec 3</dev/null; read gone";

/// Of processor and memory. In a folder below `runs` that is like a run's and goes with it. `tool`: this program, for the watchdog.
///
/// # Errors
/// A limit cannot be set, or is not felt; or something was left behind.
pub fn groups(runs: &Path, tool: &Path) -> anyhow::Result<()> {
    probe::within(runs, tool, |folder, journal, _| {
        let group = Group::make(folder, 1, journal.clone()).context("making a control group")?;
        let mut busy = Gated::start(BUSY, folder, journal)?;
        group.take_in(busy.pid())?;
        group.limit_cpu(Some(Share::from_percent(10))).context("limiting a processor")?;
        busy.go()?;
        felt("a process is let at a processor as often as it wants", || Ok(group.times_throttled()? > 0))?;
        drop(busy);
        group.lift()?;
        let mut greedy = Gated::start(GREEDY, folder, journal)?;
        group.take_in(greedy.pid())?;
        group.limit_memory(Some(MEMORY_BYTES)).context("limiting memory")?;
        greedy.go()?;
        felt("a process that takes more memory than it may is not killed", || Ok(group.killed_for_memory()? > 0))
    })
}

/// Of descriptors.
///
/// # Errors
/// A limit cannot be set, or is not felt; or something was left behind.
pub fn descriptors(runs: &Path, tool: &Path) -> anyhow::Result<()> {
    probe::within(runs, tool, |folder, journal, _| {
        let mut curious = Gated::start(CURIOUS, folder, journal)?;
        leave(curious.pid(), 0)?;
        curious.go()?;
        // A shell ends when it cannot open what it is told to.
        felt("a process opens more than it may", || Ok(curious.0.try_wait()?.is_some()))
    })
}

fn felt(else_why: &str, mut is_felt: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let end = Instant::now() + limits::PROBE_LIMIT_FELT;
    while !is_felt()? {
        ensure!(Instant::now() < end, "{else_why}");
        sleep(LOOK_PAUSE);
    }
    Ok(())
}

/// A process that waits until it may begin, and does not outlive this.
struct Gated(Child);

impl Gated {
    fn start(script: &str, folder: &Path, journal: &Journal) -> anyhow::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let gated = Self(command.spawn().context("starting sh")?);
        journal.will(&Undo::Kill(Identity::of(gated.pid())?)).context("writing the undo journal")?;
        Ok(gated)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn go(&mut self) -> anyhow::Result<()> {
        let gate = self.0.stdin.as_mut().expect("asked for above");
        gate.write_all(b"go\n").context("sh has ended")
    }
}

impl Drop for Gated {
    fn drop(&mut self) {
        // Both fail if it has ended and was waited for.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_not_felt_is_told() {
        let looks = std::cell::Cell::new(0);
        let nth = |nth: u32| {
            looks.set(looks.get() + 1);
            Ok(looks.get() == nth)
        };
        assert!(felt("never", || nth(3)).is_ok());
        let error = felt("a process is let at a processor as often as it wants", || Ok(false)).unwrap_err();
        assert!(error.to_string().contains("as often as it wants"), "{error}");
    }
}

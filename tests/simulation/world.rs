//! What everything in one simulated run shares: randomness from the seed, the virtual clock, the trace, the counts of what
//! was done to the cluster, and the violations found.
//!
//! Not here: anything that knows of Raft, of stamps, or of a fault's meaning. All of it lives on one thread; the mutex is there
//! because the traits under test ask for `Send`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft::Instant as _;
use openraft_rt_sim::{SimInstant, SimRuntime};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Lines of the trace kept for a failure's report; the digest covers all of them.
const TRACE_TAIL_LINES: usize = 400;
/// Unix time at the start of the virtual clock, milliseconds: 5 September 2024, 08:00 WIB, the morning of the rush.
const UNIX_MS_AT_START: u64 = 1_725_498_000_000;

/// Draws of one kind do not shift those of another: a change of the network's dice leaves the schedule of crashes alone.
#[derive(Debug, Clone, Copy)]
pub enum Dice {
    Swarm,
    Disk,
    Network,
    Schedule,
    Workload,
}

const DICE_KINDS: usize = 5;

struct Inner {
    dice: [ChaCha8Rng; DICE_KINDS],
    trace: blake3::Hasher,
    trace_lines: u64,
    tail: VecDeque<String>,
    whole: Option<Vec<String>>,
    counts: BTreeMap<&'static str, u64>,
    violations: Vec<Violation>,
}

/// A fact that must never be. The name is the invariant's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub name: &'static str,
    pub detail: String,
}

/// Cheap to clone: clones share the run.
#[derive(Clone)]
pub struct World {
    inner: Arc<Mutex<Inner>>,
}

impl World {
    pub fn new(seed: u64, keep_whole_trace: bool) -> Self {
        let dice = std::array::from_fn(|kind| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(kind as u64);
            rng
        });
        Self {
            inner: Arc::new(Mutex::new(Inner {
                dice,
                trace: blake3::Hasher::new(),
                trace_lines: 0,
                tail: VecDeque::new(),
                whole: keep_whole_trace.then(Vec::new),
                counts: BTreeMap::new(),
                violations: Vec::new(),
            })),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Also after a panic: it is reported with the trace up to it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn draw<T>(&self, dice: Dice, from: impl FnOnce(&mut ChaCha8Rng) -> T) -> T {
        from(&mut self.lock().dice[dice as usize])
    }

    /// True with this chance, in parts of a million.
    pub fn chance(&self, dice: Dice, ppm: u32) -> bool {
        self.draw(dice, |rng| rng.random_range(0..1_000_000u32) < ppm)
    }

    /// Microseconds between the two, uniformly.
    pub fn micros(&self, dice: Dice, (least, most): (u64, u64)) -> Duration {
        Duration::from_micros(self.draw(dice, |rng| rng.random_range(least..=most)))
    }

    pub fn trace(&self, line: std::fmt::Arguments<'_>) {
        let line = format!("{:>14} {line}", elapsed().as_nanos());
        let mut inner = self.lock();
        inner.trace.update(line.as_bytes());
        inner.trace.update(b"\n");
        inner.trace_lines += 1;
        if let Some(whole) = &mut inner.whole {
            whole.push(line.clone());
        }
        if inner.tail.len() == TRACE_TAIL_LINES {
            inner.tail.pop_front();
        }
        inner.tail.push_back(line);
    }

    pub fn count(&self, what: &'static str) {
        *self.lock().counts.entry(what).or_default() += 1;
    }

    pub fn violate(&self, name: &'static str, detail: String) {
        self.trace(format_args!("VIOLATION {name}: {detail}"));
        self.lock().violations.push(Violation { name, detail });
    }

    pub fn is_violated(&self) -> bool {
        !self.lock().violations.is_empty()
    }

    pub fn violations(&self) -> Vec<Violation> {
        self.lock().violations.clone()
    }

    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.lock().counts.clone()
    }

    /// BLAKE3 over every line of the trace, and how many there were.
    pub fn trace_digest(&self) -> (String, u64) {
        let inner = self.lock();
        (inner.trace.finalize().to_hex().to_string(), inner.trace_lines)
    }

    /// The last lines of the trace; all of them, if the run was asked to keep them.
    pub fn trace_text(&self) -> Vec<String> {
        let inner = self.lock();
        inner.whole.clone().unwrap_or_else(|| inner.tail.iter().cloned().collect())
    }
}

/// Virtual time since the run began.
pub fn elapsed() -> Duration {
    SimInstant::now().elapsed_since_start()
}

pub fn unix_ms() -> u64 {
    UNIX_MS_AT_START + u64::try_from(elapsed().as_millis()).expect("a run lasts seconds")
}

pub async fn sleep(duration: Duration) {
    SimRuntime::sleep(duration).await;
}

pub async fn sleep_until(instant: SimInstant) {
    SimRuntime::sleep_until(instant).await;
}

macro_rules! trace {
    ($world:expr, $($arg:tt)*) => {
        $world.trace(format_args!($($arg)*))
    };
}
pub(crate) use trace;

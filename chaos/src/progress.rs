//! What the run is doing, for people: the phase that it is in, and one line a second on standard error, unless [`crate::view`] shows
//! it on the whole terminal.

use std::io::{Write as _, stderr};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use crate::cluster::Cluster;
use crate::traffic::Gauges;

/// How a run shows itself while it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Live {
    Nothing,
    /// For machines, and for terminals that can do no more.
    Lines,
    /// The whole terminal.
    Screen,
}

pub struct Progress {
    phase: Mutex<&'static str>,
    pub faults_landed: AtomicU32,
    live: Live,
    /// A line would land in the middle of it.
    is_on_screen: AtomicBool,
}

impl Progress {
    #[must_use]
    pub fn new(live: Live) -> Self {
        let (faults_landed, is_on_screen) = (AtomicU32::new(0), AtomicBool::new(false));
        Self { phase: Mutex::new("start"), faults_landed, live, is_on_screen }
    }

    #[must_use]
    pub fn live(&self) -> Live {
        self.live
    }

    pub fn enter(&self, phase: &'static str) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    #[must_use]
    pub fn phase(&self) -> &'static str {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No lines as long as `is`.
    pub fn is_on_screen(&self, is: bool) {
        self.is_on_screen.store(is, Ordering::Relaxed);
    }

    pub fn say(&self, line: &str) {
        if self.says() {
            // A terminal that has gone must not end the run from within.
            let _nobody_reads = writeln!(stderr(), "{line}");
        }
    }

    fn says(&self) -> bool {
        self.live != Live::Nothing && !self.is_on_screen.load(Ordering::Relaxed)
    }

    /// Prints until it is dropped.
    pub async fn print(&self, cluster: &Cluster, gauges: &Gauges) {
        let start = Instant::now();
        let mut ticks = tokio::time::interval(std::time::Duration::from_secs(1));
        ticks.tick().await;
        let mut issued_before = 0;
        loop {
            ticks.tick().await;
            let issued = gauges.issued.load(Ordering::Relaxed);
            let issued_now = issued - std::mem::replace(&mut issued_before, issued);
            if !self.says() {
                continue;
            }
            let leader =
                cluster.leader().await.map_or_else(|| "none".to_owned(), |(node, term)| format!("node {node} term {term}"));
            let p99 = gauges.take_p99_ms().map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
            self.say(&format!(
                "{:>4} s  {:<8} {issued_now:>6} orders/s  p99 {p99:>8}  unknown {:>5}  faults {:>3}  leader {leader}{}",
                start.elapsed().as_secs(),
                self.phase(),
                gauges.unknown_now.load(Ordering::Relaxed),
                self.faults_landed.load(Ordering::Relaxed),
                match gauges.shed.load(Ordering::Relaxed) {
                    0 => String::new(),
                    shed => format!("  shed {shed}"),
                },
            ));
        }
    }
}

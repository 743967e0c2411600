//! One line a second on standard error.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use crate::cluster::Cluster;
use crate::traffic::Gauges;

/// What the run is doing, for people.
pub struct Progress {
    phase: Mutex<&'static str>,
    pub faults_landed: AtomicU32,
    quiet: bool,
}

impl Progress {
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        Self { phase: Mutex::new("start"), faults_landed: AtomicU32::new(0), quiet }
    }

    pub fn enter(&self, phase: &'static str) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    pub fn say(&self, line: &str) {
        if !self.quiet {
            eprintln!("{line}");
        }
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
            let leader =
                cluster.leader().await.map_or_else(|| "none".to_owned(), |(node, term)| format!("node {node} term {term}"));
            let p99 = gauges.take_p99_ms().map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
            self.say(&format!(
                "{:>4} s  {:<8} {:>6} orders/s  p99 {p99:>8}  unknown {:>5}  faults {:>3}  leader {leader}{}",
                start.elapsed().as_secs(),
                *self.phase.lock().unwrap_or_else(PoisonError::into_inner),
                issued - issued_before,
                gauges.unknown_now.load(Ordering::Relaxed),
                self.faults_landed.load(Ordering::Relaxed),
                match gauges.shed.load(Ordering::Relaxed) {
                    0 => String::new(),
                    shed => format!("  shed {shed}"),
                },
            ));
            issued_before = issued;
        }
    }
}

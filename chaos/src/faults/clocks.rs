//! What happens to the clocks of nodes. A process that ends has the machine's clock again.

use anyhow::ensure;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Strike, Target, until};
use crate::cluster::{Clock, Node, NotThere};
use crate::history::FaultStage;
use crate::limits;
use crate::scenario::{FaultKind, Span};

impl Strike<'_> {
    /// Landed: the node says that its clock is set.
    pub(super) async fn wrong_clocks(&self, targets: &[Target]) -> anyhow::Result<bool> {
        let wrong = self.wrong_clock();
        let mut hit = Vec::new();
        for target in targets {
            // One that does not answer in this moment is not hit.
            if self.cluster.node(target.node).set_clock(wrong).await.is_ok() {
                self.note(FaultStage::Injected, *target)?;
                self.note(FaultStage::Effective, *target)?;
                hit.push(*target);
            }
        }
        let end = Instant::now() + self.fault.lasts();
        if self.fault.kind == FaultKind::ClockStrobeLeader {
            let nodes: Vec<&Node> = hit.iter().map(|target| self.cluster.node(target.node)).collect();
            strobe(&nodes, wrong, end).await;
        }
        sleep_until(end).await;
        // Of one that was not heard to set it, nobody knows whether it did.
        for target in targets {
            let node = self.cluster.node(target.node);
            let is_right = || async { node.set_clock(Clock::RIGHT).await.is_ok() };
            ensure!(
                until(limits::READY_DEADLINE, is_right).await,
                NotThere(format!("the clock of node {} stays wrong", node.id()))
            );
        }
        for target in &hit {
            self.until_there(*target).await?;
        }
        Ok(!hit.is_empty())
    }

    fn wrong_clock(&self) -> Clock {
        let offset_ms = i64::try_from(self.fault.parameters.offset.map_or(0, Span::ms)).unwrap_or(i64::MAX);
        let lasts_ms = i64::try_from(self.fault.lasts_ms).unwrap_or(i64::MAX).max(1);
        match self.fault.kind {
            FaultKind::ClockBehindLeader => Clock { ahead_ms: -offset_ms, ..Clock::RIGHT },
            FaultKind::ClockFastLeader => Clock { gain_ppm: offset_ms.saturating_mul(1_000_000) / lasts_ms, ..Clock::RIGHT },
            _ => Clock { ahead_ms: offset_ms, ..Clock::RIGHT },
        }
    }
}

async fn strobe(nodes: &[&Node], wrong: Clock, end: Instant) {
    for clock in [Clock::RIGHT, wrong].into_iter().cycle() {
        if Instant::now() + limits::STROBE_INTERVAL >= end {
            return;
        }
        sleep(limits::STROBE_INTERVAL).await;
        for node in nodes {
            // One that ended meanwhile has the machine's clock.
            let _ended = node.set_clock(clock).await;
        }
    }
}

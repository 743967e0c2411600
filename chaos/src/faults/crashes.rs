//! Processes that end between two steps of their own work, named points of their code: `src/storage/crash_point.rs` of the system.

use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep};

use super::{LOOK_PAUSE, Strike, Target, until};
use crate::cluster::{Exit, Node, NotThere};
use crate::history::FaultStage;
use crate::limits;
use crate::proto::admin::TransferLeaderRequest;
use crate::scenario::CrashPoint;

/// Of the abort at a crash point.
const SIGABRT: i32 = 6;

/// While a snapshot is taken over: received, verified, switched to.
const OF_AN_INSTALL: [CrashPoint; 3] = [
    CrashPoint::named("snapshot.receive.before_finish"),
    CrashPoint::named("snapshot.install.before_switch"),
    CrashPoint::named("snapshot.install.after_switch"),
];

impl Strike<'_> {
    /// Landed: the process aborted there. One that does not come by in time is killed, and nothing has landed.
    pub(super) async fn crash(&self, targets: &[Target], problems: &mut Vec<String>) -> anyhow::Result<bool> {
        let point = self.fault.parameters.point.context("the plan has no point for this fault")?;
        let mut has_landed = false;
        for target in targets {
            let node = self.cluster.node(target.node);
            node.will_end();
            if node.arm(Some(point)).await.is_err() {
                node.will_go_on();
                if !node.is_running() {
                    problems.push(format!("node {} ended by itself before it could be armed", target.node));
                    node.start().await?;
                }
                continue;
            }
            self.note(FaultStage::Injected, *target)?;
            if point.is_of_snapshots() {
                // Its answer comes, or the process ends first.
                let _aborted = node.trigger_snapshot().await;
            }
            if aborts(node, point, limits::CRASH_POINT_REACHED).await? {
                self.note(FaultStage::Effective, *target)?;
                has_landed = true;
            }
            sleep(self.fault.lasts()).await;
            node.start().await?;
            self.until_there(*target).await?;
        }
        Ok(has_landed)
    }

    /// The node is away until only a snapshot can help it, and then aborts at each step of taking it over. Landed: at every one.
    pub(super) async fn interrupt_install(&self, targets: &[Target]) -> anyhow::Result<bool> {
        let mut has_landed = false;
        for target in targets {
            let node = self.cluster.node(target.node);
            let Some(status) = node.status().await else { continue };
            if !node.kill().await? {
                continue;
            }
            self.note(FaultStage::Injected, *target)?;
            node.wait_down(limits::KILL_DEADLINE).await.with_context(|| format!("node {} outlived SIGKILL", target.node))?;
            sleep(self.fault.lasts()).await;
            let mut interrupted = self.until_purged(status.last_log_index).await;
            for point in OF_AN_INSTALL {
                if interrupted {
                    node.start_armed(point)?;
                    interrupted = aborts(node, point, limits::CRASH_POINT_REACHED).await?;
                }
            }
            if interrupted {
                self.note(FaultStage::Effective, *target)?;
                has_landed = true;
            }
            node.start().await?;
            self.until_there(*target).await?;
        }
        Ok(has_landed)
    }

    /// All others have purged their logs beyond `index`: what follows it is only in snapshots.
    async fn until_purged(&self, index: u64) -> bool {
        let running = || self.cluster.nodes().iter().filter(|node| node.is_running());
        until(limits::PURGED_WITHIN, || async {
            for node in running() {
                let _next_look_tries_again = node.trigger_snapshot().await;
            }
            let statuses = self.cluster.statuses().await;
            !statuses.is_empty() && statuses.iter().all(|(_, status)| status.purged_index > index)
        })
        .await
    }

    /// SIGKILL to a leader that is handing its office over. Landed: it had not answered that it had, when it was killed.
    pub(super) async fn kill_in_handover(&self, targets: &[Target]) -> anyhow::Result<bool> {
        let mut has_landed = false;
        for target in targets {
            let node = self.cluster.node(target.node);
            let mut admin = node.admin();
            let handing_over = tokio::spawn(async move { admin.transfer_leader(TransferLeaderRequest::default()).await });
            sleep(self.within_a_handover()).await;
            let is_in_the_middle = !handing_over.is_finished();
            handing_over.abort();
            if !node.kill().await? {
                continue;
            }
            self.note(FaultStage::Injected, *target)?;
            node.wait_down(limits::KILL_DEADLINE).await.with_context(|| format!("node {} outlived SIGKILL", target.node))?;
            if is_in_the_middle {
                self.note(FaultStage::Effective, *target)?;
                has_landed = true;
            }
            sleep(self.fault.lasts()).await;
            node.start().await?;
            self.until_there(*target).await?;
        }
        Ok(has_landed)
    }

    /// A hand-over takes some milliseconds, of which the call takes the first to get there.
    fn within_a_handover(&self) -> Duration {
        const UNDER_WAY_US: u32 = 1_000;
        const HANDOVER_US: u32 = 2_500;
        Duration::from_micros(u64::from(UNDER_WAY_US + self.fault.choice % HANDOVER_US))
    }
}

/// Others abort too: at a crash point a process says last of all where it is. (What an earlier one said stands before the lines with
/// which this one began.)
fn says_where(last_words: &str, point: CrashPoint) -> bool {
    const LINES: usize = 3;
    let said = format!("crash point {}", point.name());
    last_words.lines().rev().take(LINES).any(|line| line == said)
}

/// The process is gone when it returns: whether by its own abort.
async fn aborts(node: &Node, point: CrashPoint, within: Duration) -> anyhow::Result<bool> {
    let end = Instant::now() + within;
    while Instant::now() < end {
        match node.wait_down(LOOK_PAUSE).await {
            Some(Exit { signal: Some(SIGABRT), .. }) if says_where(&node.last_words()?, point) => return Ok(true),
            Some(exit) => return Err(NotThere(format!("node {} was to abort and ended with {exit}", node.id())).into()),
            None => {}
        }
    }
    // It may have come by in this moment.
    let _ended = node.kill().await?;
    node.wait_down(limits::KILL_DEADLINE).await.with_context(|| format!("node {} outlived SIGKILL", node.id()))?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abort_is_a_crash_points_only_if_the_process_said_so_last() {
        let point = CrashPoint::named("log.append.before_done");
        let armed = "WARN a drill armed a crash point point=\"log.append.before_done\"\n";
        let started = "INFO a\nINFO b\nINFO c\nINFO d\n";
        assert!(says_where(&format!("{armed}crash point log.append.before_done\n"), point));
        assert!(!says_where(armed, point), "it was armed, and aborted for another reason");
        assert!(
            !says_where(&format!("crash point log.append.before_done\n{started}{armed}"), point),
            "an earlier process said it"
        );
        assert!(!says_where("crash point log.append.before_done_twice\n", point));
    }
}

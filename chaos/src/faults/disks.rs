//! What happens to the disks of nodes, and to the nodes by it.

use std::time::Duration;

use anyhow::Context;
use tokio::time::sleep;

use super::{Strike, Target, until};
use crate::cluster::{Exit, Node};
use crate::disk::Disk;
use crate::history::{FaultStage, NodeRole, wire};
use crate::limits;
use crate::proto::admin::GetStatusResponse;
use crate::scenario::FaultKind;

/// The protocol's own: reading, writing or syncing a node's disk failed (`cluster-config/README.md`).
pub(super) const STORAGE_IO: i32 = 20;

/// A leader with a low disk leads no more; where all disks are low, no new order is let in.
fn acts_on_low_disks(kind: FaultKind, status: &GetStatusResponse) -> bool {
    let leads = wire::node_role(status.role) == NodeRole::Leader;
    status.disk_low && if kind == FaultKind::LowDiskAll { status.refuses_new_orders } else { !leads }
}

impl Strike<'_> {
    fn disk_of(&self, target: Target) -> anyhow::Result<(&Node, &Disk)> {
        let node = self.cluster.node(target.node);
        Ok((node, node.disk().context("the scenario's faults need disks of the tool's own")?))
    }

    /// All of them at one moment, as in one rack. A disk goes when nobody is left to be told what it did not keep ([`Disk::cut_power`]).
    pub(super) async fn cut_power(&self, targets: &[Target]) -> anyhow::Result<bool> {
        for target in targets {
            let (node, _) = self.disk_of(*target)?;
            node.will_end();
            self.note(FaultStage::Injected, *target)?;
            let _ended = node.kill().await?;
        }
        for target in targets {
            let (node, disk) = self.disk_of(*target)?;
            node.wait_down(limits::KILL_DEADLINE).await.with_context(|| format!("node {} outlived SIGKILL", target.node))?;
            disk.cut_power()?;
            self.note(FaultStage::Effective, *target)?;
        }
        self.start_on_what_is_kept(targets).await?;
        Ok(true)
    }

    /// It stands still from the moment that the system says so.
    pub(super) async fn stall_disks(&self, targets: &[Target]) -> anyhow::Result<bool> {
        for target in targets {
            self.disk_of(*target)?.1.freeze(self.fault.lasts())?;
            self.note(FaultStage::Injected, *target)?;
            self.note(FaultStage::Effective, *target)?;
        }
        sleep(self.fault.lasts()).await;
        for target in targets {
            self.disk_of(*target)?.1.thaw()?;
        }
        for target in targets {
            self.until_there(*target).await?;
        }
        Ok(true)
    }

    /// A node must notice, and end by itself.
    pub(super) async fn fail_disks(&self, targets: &[Target], problems: &mut Vec<String>) -> anyhow::Result<bool> {
        for target in targets {
            let (node, disk) = self.disk_of(*target)?;
            node.will_end();
            disk.fail()?;
            self.note(FaultStage::Injected, *target)?;
        }
        let mut has_landed = false;
        for target in targets {
            let node = self.cluster.node(target.node);
            let exit = node.wait_down(limits::DISK_FAILURE_NOTICED).await;
            if matches!(exit, Some(Exit { code: Some(STORAGE_IO), .. })) {
                self.note(FaultStage::Effective, *target)?;
                has_landed = true;
                continue;
            }
            problems.push(self.ended_otherwise(*target, exit));
            let _ended = node.kill().await?;
            node.wait_down(limits::KILL_DEADLINE).await.with_context(|| format!("node {} outlived SIGKILL", target.node))?;
        }
        self.start_on_what_is_kept(targets).await?;
        Ok(has_landed)
    }

    /// A node lives on what it took of its disk before, as long as that lasts; if it does not, it must end by itself.
    pub(super) async fn fill_disks(&self, targets: &[Target], problems: &mut Vec<String>) -> anyhow::Result<bool> {
        for target in targets {
            let (node, disk) = self.disk_of(*target)?;
            node.will_end();
            disk.fill()?;
            self.note(FaultStage::Injected, *target)?;
            self.note(FaultStage::Effective, *target)?;
        }
        sleep(self.fault.lasts()).await;
        for target in targets {
            let (node, disk) = self.disk_of(*target)?;
            disk.make_room()?;
            if node.is_running() {
                node.will_go_on();
                continue;
            }
            let exit = node.wait_down(Duration::ZERO).await;
            if !matches!(exit, Some(Exit { code: Some(STORAGE_IO), .. })) {
                problems.push(self.ended_otherwise(*target, exit));
            }
            node.start().await?;
        }
        for target in targets {
            self.until_there(*target).await?;
        }
        Ok(true)
    }

    /// Nobody may end by it: what is left is enough for what goes on.
    pub(super) async fn lower_disks(&self, targets: &[Target], problems: &mut Vec<String>) -> anyhow::Result<bool> {
        for target in targets {
            self.disk_of(*target)?.1.leave(limits::LOW_DISK_BYTES)?;
            self.note(FaultStage::Injected, *target)?;
        }
        let kind = self.fault.kind;
        let mut has_landed = true;
        for target in targets {
            let node = self.cluster.node(target.node);
            let acts = || async { node.status().await.is_some_and(|status| acts_on_low_disks(kind, &status)) };
            if until(limits::DISK_LOW_NOTICED, acts).await {
                self.note(FaultStage::Effective, *target)?;
                continue;
            }
            has_landed = false;
            let (fault, within) = (self.fault.number, limits::DISK_LOW_NOTICED);
            problems.push(format!("fault {fault} ({}): node {} did not act on it within {within:?}", kind.name(), target.node));
        }
        sleep(self.fault.lasts()).await;
        for target in targets {
            self.disk_of(*target)?.1.make_room()?;
        }
        for target in targets {
            self.until_there(*target).await?;
        }
        Ok(has_landed)
    }

    fn ended_otherwise(&self, target: Target, exit: Option<Exit>) -> String {
        let how = exit.map_or("did not end".to_owned(), |exit| format!("ended with {exit}"));
        let (fault, kind, node) = (self.fault.number, self.fault.kind.name(), target.node);
        format!("fault {fault} ({kind}): node {node} {how}, not with exit code {STORAGE_IO}")
    }

    /// After as long as the fault lasts.
    async fn start_on_what_is_kept(&self, targets: &[Target]) -> anyhow::Result<()> {
        for target in targets {
            self.disk_of(*target)?.1.unmount()?;
        }
        sleep(self.fault.lasts()).await;
        for target in targets {
            let (node, disk) = self.disk_of(*target)?;
            disk.mount()?;
            node.start().await?;
        }
        for target in targets {
            self.until_there(*target).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::admin::NodeRole as WireRole;

    #[test]
    fn a_low_disk_is_acted_on_by_giving_up_the_lead_or_where_all_are_low_by_refusing_orders() {
        let status = |role: WireRole, disk_low, refuses_new_orders| GetStatusResponse {
            role: role.into(),
            disk_low,
            refuses_new_orders,
            ..GetStatusResponse::default()
        };
        for (kind, status, acts) in [
            (FaultKind::LowDiskLeader, status(WireRole::Follower, true, false), true),
            (FaultKind::LowDiskLeader, status(WireRole::Leader, true, false), false),
            (FaultKind::LowDiskLeader, status(WireRole::Follower, false, false), false),
            (FaultKind::LowDiskAll, status(WireRole::Leader, true, true), true),
            (FaultKind::LowDiskAll, status(WireRole::Follower, true, false), false),
            (FaultKind::LowDiskAll, status(WireRole::Leader, false, true), false),
        ] {
            assert_eq!(acts_on_low_disks(kind, &status), acts, "{kind:?} {status:?}");
        }
    }
}

//! What a disk that turns bits over does to a node: it must notice, say so with its own exit code, and end.

use std::path::PathBuf;

use anyhow::Context;
use tokio::time::sleep;

use super::{Strike, Target};
use crate::cluster::Node;
use crate::collect;
use crate::damage::Damage;
use crate::history::FaultStage;
use crate::limits;
use crate::scenario::FaultKind;

impl Strike<'_> {
    /// The node is killed, its files are damaged, and it is started. Landed: it refused them, at the start or when they were read. What
    /// is damaged and never read was nobody's.
    pub(super) async fn damage(&self, targets: &[Target]) -> anyhow::Result<bool> {
        let mut has_landed = false;
        for target in targets {
            let node = self.cluster.node(target.node);
            if !node.kill().await? {
                continue;
            }
            node.wait_down(limits::KILL_DEADLINE).await.with_context(|| format!("node {} outlived SIGKILL", target.node))?;
            let Some(damage) = Damage::draw(&self.database(node)?, self.fault.choice)? else {
                node.start().await?;
                self.until_there(*target).await?;
                continue;
            };
            damage.turn_over()?;
            self.note(FaultStage::Injected, *target)?;
            let is_refused = refuses(node).await?;
            if is_refused {
                self.note(FaultStage::Effective, *target)?;
                has_landed = true;
                sleep(self.fault.lasts()).await;
            }
            damage.turn_over()?;
            if is_refused {
                node.start().await?;
            }
            self.until_there(*target).await?;
        }
        Ok(has_landed)
    }

    fn database(&self, node: &Node) -> anyhow::Result<PathBuf> {
        if self.fault.kind == FaultKind::FlipLogFollower {
            return Ok(node.data()?.join("log"));
        }
        let ledger = node.data()?.join("ledger");
        let current = std::fs::read_to_string(ledger.join("CURRENT")).context("which generation of the ledger is in use")?;
        Ok(ledger.join(current.trim()))
    }
}

/// Starts it, and has it read all that it holds. Whether it ended by that; the judge looks at how (V19).
async fn refuses(node: &Node) -> anyhow::Result<bool> {
    node.start().await?;
    node.will_end();
    if node.wait_ready(limits::READY_DEADLINE).await.is_ok() {
        // What it cannot read ends it, and this with it.
        let _broken_off = collect::read_through(node).await;
    }
    if node.wait_down(limits::DAMAGE_TOLD).await.is_some() {
        return Ok(true);
    }
    node.will_go_on();
    Ok(false)
}

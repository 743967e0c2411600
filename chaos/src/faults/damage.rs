//! What a disk that turns bits over does to a node: it must notice, say so with its own exit code, and end.

use std::path::PathBuf;

use anyhow::Context;
use tokio::time::sleep;

use super::{Strike, Target};
use crate::cluster::{Exit, Node};
use crate::collect;
use crate::damage::Damage;
use crate::history::FaultStage;
use crate::limits;
use crate::scenario::FaultKind;

/// The protocol's own: what is on a node's disk is damaged (`cluster-config/README.md`).
const STORAGE_CORRUPT: i32 = 21;

impl Strike<'_> {
    /// The node is killed, its files are damaged, and it is started. Landed: it refused them, at the start or when they were read. What
    /// is damaged and never read was nobody's.
    pub(super) async fn damage(&self, targets: &[Target], problems: &mut Vec<String>) -> anyhow::Result<bool> {
        let mut has_landed = false;
        for target in targets {
            let node = self.cluster.node(target.node);
            if !node.kill().await? {
                continue;
            }
            node.wait_down(limits::KILL_DEADLINE).await.with_context(|| format!("node {} outlived SIGKILL", target.node))?;
            let (database, wal_is_synced) = self.database(node)?;
            let Some(damage) = Damage::draw(&database, wal_is_synced, self.fault.choice)? else {
                node.start().await?;
                self.until_there(*target).await?;
                continue;
            };
            damage.turn_over()?;
            self.note(FaultStage::Injected, *target)?;
            let ended = reads_all(node).await?;
            if ended.is_some_and(|exit| exit.code == Some(STORAGE_CORRUPT)) {
                self.note(FaultStage::Effective, *target)?;
                has_landed = true;
                sleep(self.fault.lasts()).await;
            } else if let Some(exit) = ended {
                let (fault, node) = (self.fault.number, target.node);
                problems
                    .push(format!("fault {fault}: node {node} was damaged and ended with {exit}, not with {STORAGE_CORRUPT}"));
            }
            damage.turn_over()?;
            if ended.is_some() {
                node.start().await?;
            }
            self.until_there(*target).await?;
        }
        Ok(has_landed)
    }

    /// And whether its write-ahead log is synced.
    fn database(&self, node: &Node) -> anyhow::Result<(PathBuf, bool)> {
        if self.fault.kind == FaultKind::FlipLogFollower {
            return Ok((node.data()?.join("log"), true));
        }
        let ledger = node.data()?.join("ledger");
        let current = std::fs::read_to_string(ledger.join("CURRENT")).context("which generation of the ledger is in use")?;
        Ok((ledger.join(current.trim()), false))
    }
}

/// Starts it, and has it read all that it holds. How it ended, if it did by that.
async fn reads_all(node: &Node) -> anyhow::Result<Option<Exit>> {
    node.start().await?;
    node.will_end();
    if node.wait_ready(limits::READY_DEADLINE).await.is_ok() {
        // What it cannot read ends it, and this with it.
        let _broken_off = collect::read_through(node).await;
    }
    let ended = node.wait_down(limits::DAMAGE_TOLD).await;
    if ended.is_none() {
        node.will_go_on();
    }
    Ok(ended)
}

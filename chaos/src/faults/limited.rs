//! What happens to nodes that may take less of the machine, and to those that end by it.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures_util::future::join_all;
use tokio::net::TcpStream;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep, sleep_until};

use super::disks::STORAGE_IO;
use super::{LOOK_PAUSE, Strike, Target, until};
use crate::cluster::{Exit, Node, NotThere};
use crate::history::FaultStage;
use crate::limits;
use crate::resources::Group;
use crate::scenario::Limit;

/// Between two tries to leave a node no more memory than it is to have.
const SQUEEZE_PAUSE: Duration = Duration::from_millis(50);
/// Of a process that the kernel killed.
const SIGKILL: i32 = 9;

impl Strike<'_> {
    fn group_of(&self, target: Target) -> anyhow::Result<(&Node, &Group)> {
        let node = self.cluster.node(target.node);
        Ok((node, node.group().context("the scenario's faults need control groups of the tool's own")?))
    }

    /// Landed: the kernel has kept it from a processor that it wanted.
    pub(super) async fn limit_cpu(&self, targets: &[Target]) -> anyhow::Result<bool> {
        let Some(Limit::Cpu(share)) = self.fault.parameters.limit else { bail!("the plan has no share of a processor") };
        let end = Instant::now() + self.fault.lasts();
        let mut has_landed = false;
        for target in targets {
            let (_, group) = self.group_of(*target)?;
            let before = group.times_throttled()?;
            group.limit_cpu(Some(share))?;
            self.note(FaultStage::Injected, *target)?;
            if until(self.fault.lasts(), || async { group.times_throttled().is_ok_and(|times| times > before) }).await {
                self.note(FaultStage::Effective, *target)?;
                has_landed = true;
            }
        }
        sleep_until(end).await;
        for target in targets {
            self.group_of(*target)?.1.limit_cpu(None)?;
        }
        for target in targets {
            self.until_there(*target).await?;
        }
        Ok(has_landed)
    }

    /// Landed: it has met its limit. It lives on what the kernel takes back from it, or is killed.
    pub(super) async fn limit_memory(&self, targets: &[Target], problems: &mut Vec<String>) -> anyhow::Result<bool> {
        let Some(Limit::Memory(most)) = self.fault.parameters.limit else { bail!("the plan has no size of memory") };
        let end = Instant::now() + self.fault.lasts();
        let mut has_landed = false;
        for target in targets {
            let (node, group) = self.group_of(*target)?;
            let met = || anyhow::Ok(group.times_short_of_memory()? + group.killed_for_memory()?);
            let before = met()?;
            node.will_end();
            group.limit_memory(Some(most.bytes()))?;
            self.note(FaultStage::Injected, *target)?;
            let mut has_met = false;
            while Instant::now() < end {
                if !has_met && met()? > before {
                    self.note(FaultStage::Effective, *target)?;
                    has_met = true;
                }
                sleep(SQUEEZE_PAUSE).await;
                // What was in use the last time may be given back by now.
                block_in_place(|| group.limit_memory(Some(most.bytes())))?;
            }
            has_landed |= has_met;
        }
        for target in targets {
            let (node, group) = self.group_of(*target)?;
            group.limit_memory(None)?;
            let is_expected = |exit: Exit| exit.signal == Some(SIGKILL);
            self.start_if_it_ended(node, *target, is_expected, "by the kernel's SIGKILL", problems).await?;
        }
        Ok(has_landed)
    }

    /// Landed: it has no descriptor left. Whoever calls it takes the last ones, and those that it closes meanwhile.
    pub(super) async fn limit_descriptors(&self, targets: &[Target], problems: &mut Vec<String>) -> anyhow::Result<bool> {
        let Some(Limit::Descriptors(spare)) = self.fault.parameters.limit else {
            bail!("the plan has no number of descriptors")
        };
        let end = Instant::now() + self.fault.lasts();
        let (mut has_landed, mut callers) = (false, Vec::new());
        for target in targets {
            let node = self.cluster.node(target.node);
            node.will_end();
            // One that ended by itself in this moment is not hit.
            let Some(limit) = node.leave_descriptors(spare)? else { continue };
            self.note(FaultStage::Injected, *target)?;
            let mut is_short = false;
            while Instant::now() < end {
                if !is_short && node.is_short_of_descriptors(limit) {
                    self.note(FaultStage::Effective, *target)?;
                    is_short = true;
                }
                if callers.len() < limits::CALLERS_MAX && !node.is_short_of_descriptors(limit) {
                    callers.extend(call(node).await);
                }
                sleep(LOOK_PAUSE).await;
            }
            has_landed |= is_short;
        }
        for target in targets {
            self.cluster.node(target.node).lift_descriptors()?;
        }
        drop(callers);
        for target in targets {
            let node = self.cluster.node(target.node);
            let is_expected = |exit: Exit| exit.code == Some(STORAGE_IO);
            self.start_if_it_ended(node, *target, is_expected, "with exit code 20", problems).await?;
            let (fault, id) = (self.fault.number, node.id());
            ensure!(
                until(limits::READY_DEADLINE, || node.answers_newcomers()).await,
                NotThere(format!("after fault {fault}: node {id} takes no new connection"))
            );
        }
        Ok(has_landed)
    }

    /// It was told that it may end. It is there when this returns.
    async fn start_if_it_ended(
        &self,
        node: &Node,
        target: Target,
        is_expected: impl Fn(Exit) -> bool,
        expected: &str,
        problems: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        if node.is_running() {
            node.will_go_on();
        } else {
            let exit = node.wait_down(limits::KILL_DEADLINE).await.context("a process that is down has ended")?;
            if !is_expected(exit) {
                let (fault, kind, id) = (self.fault.number, self.fault.kind.name(), node.id());
                problems.push(format!("fault {fault} ({kind}): node {id} ended with {exit}, not {expected}"));
            }
            node.start().await?;
        }
        self.until_there(target).await
    }
}

/// Connections on which nothing is said, of as many as got through.
async fn call(node: &Node) -> Vec<TcpStream> {
    let address = node.address();
    let Ok(client) = address.client.parse() else { return Vec::new() };
    join_all((0..limits::CALLERS_AT_ONCE).map(|_| address.door.connect(client))).await.into_iter().flatten().collect()
}

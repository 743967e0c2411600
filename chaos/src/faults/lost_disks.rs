//! Nodes that lose their disks, and with them what they had voted for and acknowledged.
//!
//! Such a node must not take part any more as who it was. So it is first started as before, and must refuse; then it is brought back
//! as an operator does it: a token, a new member without a vote, and its vote in the place of the old one's.

use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep};

use super::{LOOK_PAUSE, Strike, Target};
use crate::cluster::{Exit, Node, NotThere};
use crate::collect;
use crate::history::{FaultStage, NodeRole, wire};
use crate::limits;
use crate::proto::admin::GetStatusResponse;

/// The protocol's own: nothing says who the node is (`cluster-config/README.md`).
const CONFIGURATION: i32 = 9;

impl Strike<'_> {
    /// Landed: with nothing on its disk and its old configuration, the node took no part, and said how it comes back.
    pub(super) async fn lose_disks(&self, targets: &[Target], problems: &mut Vec<String>) -> anyhow::Result<bool> {
        let mut has_landed = false;
        for target in targets {
            let node = self.cluster.node(target.node);
            // One that does not answer in this moment is not hit: nobody knows whom to replace.
            let Some(old) = node.status().await.map(|status| status.node_id) else { continue };
            if !node.kill().await? {
                continue;
            }
            self.note(FaultStage::Injected, *target)?;
            node.wait_down(limits::KILL_DEADLINE).await.with_context(|| format!("node {} outlived SIGKILL", target.node))?;
            node.lose_disk()?;
            sleep(self.fault.lasts()).await;
            match self.as_before(node, old).await? {
                Ok(()) => {
                    self.note(FaultStage::Effective, *target)?;
                    has_landed = true;
                }
                Err(problem) => problems.push(format!("fault {}: {problem}", self.fault.number)),
            }
            // What it wrote when it was started as before is no member's.
            node.lose_disk()?;
            self.bring_back(node, old).await?;
            self.until_there(*target).await?;
        }
        Ok(has_landed)
    }

    /// Starts it as before, until it has refused; it is down when this returns. Otherwise what it did instead.
    async fn as_before(&self, node: &Node, old: u64) -> anyhow::Result<Result<(), String>> {
        node.start().await?;
        node.will_end();
        let refused = self.refusal(node, old).await?;
        // It may have ended by that.
        let _ended = node.kill().await?;
        node.wait_down(limits::KILL_DEADLINE).await.with_context(|| format!("node {} outlived SIGKILL", node.id()))?;
        Ok(refused)
    }

    /// A node whose configuration still says who it was waits, and refuses whoever calls it by that id. Another ends at once.
    async fn refusal(&self, node: &Node, old: u64) -> anyhow::Result<Result<(), String>> {
        let (id, end) = (node.id(), Instant::now() + limits::REFUSAL_TOLD);
        let way_back = format!("stampede member replace {old} --with");
        loop {
            match node.wait_down(LOOK_PAUSE).await {
                Some(Exit { code: Some(CONFIGURATION), .. }) => return Ok(Ok(())),
                Some(exit) => {
                    return Ok(Err(format!("node {id} has lost its disk, and ended with {exit}, not {CONFIGURATION}")));
                }
                None => {}
            }
            if let Some(status) = node.status().await {
                collect::note_status(id, &status, self.recorder)?;
                if takes_part(&status) {
                    let role = wire::node_role(status.role).name();
                    return Ok(Err(format!("node {id} has lost its disk, and is a {role} as if it had not")));
                }
                if node.last_words()?.contains(&way_back) {
                    return Ok(Ok(()));
                }
            }
            if Instant::now() >= end {
                return Ok(Err(format!("node {id} has lost its disk, and did not say how it comes back")));
            }
        }
    }

    /// By a token, as a member without a vote that is then put in the place of the old one.
    async fn bring_back(&self, node: &Node, old: u64) -> anyhow::Result<()> {
        let commands = self.cluster.member_commands().context("the tool did not start these nodes")?;
        let token = commands.add().await?;
        node.start_joining(&token)?;
        let is_member = |status: &GetStatusResponse| takes_part(status) && status.node_id != old;
        let new = self.until_says(node, limits::JOINED_WITHIN, is_member, "joined by its token").await?;
        commands.replace(old, new).await?;
        let has_vote = |status: &GetStatusResponse| {
            matches!(wire::node_role(status.role), NodeRole::Follower | NodeRole::Candidate | NodeRole::Leader)
        };
        self.until_says(node, limits::VOTE_KNOWN_WITHIN, has_vote, "come to know of its vote").await.map(drop)
    }

    /// Until its status is such, which goes into the history: its id.
    async fn until_says(
        &self,
        node: &Node,
        within: Duration,
        is_such: impl Fn(&GetStatusResponse) -> bool,
        what: &str,
    ) -> anyhow::Result<u64> {
        let (id, fault, end) = (node.id(), self.fault.number, Instant::now() + within);
        while Instant::now() < end && node.is_running() {
            if let Some(status) = node.status().await.filter(&is_such) {
                collect::note_status(id, &status, self.recorder)?;
                return Ok(status.node_id);
            }
            sleep(LOOK_PAUSE).await;
        }
        let within_s = within.as_secs();
        Err(NotThere(format!("after fault {fault}: node {id} had not {what} within {within_s} s, or ended")).into())
    }
}

/// It is of a cluster, in whatever role.
fn takes_part(status: &GetStatusResponse) -> bool {
    !matches!(wire::node_role(status.role), NodeRole::Unknown | NodeRole::Uninitialized | NodeRole::Shutdown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::admin::NodeRole as WireRole;

    #[test]
    fn who_waits_to_be_of_a_cluster_takes_no_part() {
        let says = |role: WireRole| takes_part(&GetStatusResponse { role: role.into(), ..GetStatusResponse::default() });
        assert!([WireRole::Learner, WireRole::Follower, WireRole::Candidate, WireRole::Leader].into_iter().all(says));
        assert!(![WireRole::Unspecified, WireRole::Uninitialized, WireRole::Shutdown].into_iter().any(says));
    }
}

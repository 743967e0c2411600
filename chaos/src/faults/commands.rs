//! Links that are cut by commands, between nodes that the tool did not start.

use anyhow::Context;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Strike, Target, cuts, until};
use crate::cluster::Node;
use crate::history::FaultStage;
use crate::limits;
use crate::network::Direction;
use crate::proto::admin::GetStatusResponse;
use crate::scenario::FaultKind;

impl Strike<'_> {
    /// The tool does not see what the links carry. Landed: a node hears no leader any more, or the term is another.
    pub(super) async fn cut_by_commands(&self, targets: &[Target]) -> anyhow::Result<bool> {
        let links = self.cluster.links().context("the cluster file has no commands for links")?;
        let all: Vec<u16> = self.cluster.nodes().iter().map(Node::id).collect();
        let directions: Vec<Direction> = cuts::directions(self.fault.kind, targets[0].node, &all);
        let term = targets.iter().map(|target| target.term).max().unwrap_or_default();
        links.cut(&directions).await?;
        let (begun, lasts) = (Instant::now(), self.fault.lasts());
        for target in targets {
            self.note(FaultStage::Injected, *target)?;
        }
        let has_landed = until(lasts, || async { is_felt(&self.cluster.statuses().await, term) }).await;
        if has_landed {
            for target in targets {
                self.note(FaultStage::Effective, *target)?;
            }
        }
        if self.fault.kind == FaultKind::FlapFollower {
            while begun.elapsed() + 2 * limits::FLAP_INTERVAL < lasts {
                sleep(limits::FLAP_INTERVAL).await;
                links.join().await?;
                sleep(limits::FLAP_INTERVAL).await;
                links.cut(&directions).await?;
            }
        }
        sleep_until(begun + lasts).await;
        links.join().await?;
        for target in targets {
            self.until_there(*target).await?;
        }
        Ok(has_landed)
    }
}

fn is_felt(statuses: &[(u16, GetStatusResponse)], term: u64) -> bool {
    statuses.iter().any(|(_, status)| !status.hears_leader || status.term > term)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_felt_by_who_hears_no_leader_or_has_another() {
        let status = |hears_leader, term| (1, GetStatusResponse { hears_leader, term, ..GetStatusResponse::default() });
        assert!(!is_felt(&[status(true, 3), status(true, 3)], 3));
        assert!(is_felt(&[status(true, 3), status(false, 3)], 3));
        assert!(is_felt(&[status(true, 3), status(true, 4)], 3));
        assert!(!is_felt(&[status(true, 3)], 3), "an answer may be late");
    }
}

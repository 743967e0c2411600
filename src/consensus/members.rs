//! What a change of the membership would do, and whether it may: arithmetic, no I/O.
//!
//! A change goes from one set of voters to another through a joint configuration, which both sets must agree to: so the present
//! voters must have a majority that answers, and those of afterwards too. What a leader left half done is finished by the same
//! change, and by no other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::limits;
use crate::storage::cluster::ClusterRefusal;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberChange {
    /// A learner becomes a voter.
    Promote { node_id: u64 },
    /// A voter or learner is a member no more, for ever.
    Remove { node_id: u64 },
    /// A learner becomes a voter, and a voter is a member no more, in one change.
    Replace { old: u64, new: u64 },
}

impl MemberChange {
    pub(super) fn removes(self) -> Option<u64> {
        match self {
            Self::Promote { .. } => None,
            Self::Remove { node_id } => Some(node_id),
            Self::Replace { old, .. } => Some(old),
        }
    }

    pub(super) fn promotes(self) -> Option<u64> {
        match self {
            Self::Promote { node_id } => Some(node_id),
            Self::Remove { .. } => None,
            Self::Replace { new, .. } => Some(new),
        }
    }
}

impl fmt::Display for MemberChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Promote { node_id } => write!(f, "promoting node {node_id}"),
            Self::Remove { node_id } => write!(f, "removing node {node_id}"),
            Self::Replace { old, new } => write!(f, "replacing node {old} by node {new}"),
        }
    }
}

/// A set of voters, and those of them that answer the leader, which is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quorum {
    pub voters: Vec<u64>,
    pub heard: Vec<u64>,
}

impl Quorum {
    /// More than half.
    #[must_use]
    pub fn size(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    #[must_use]
    pub fn holds(&self) -> bool {
        self.heard.len() >= self.size()
    }

    /// How many more of those that answer may be lost.
    #[must_use]
    pub fn tolerance(&self) -> usize {
        self.heard.len().saturating_sub(self.size())
    }
}

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let voters = self.voters.len();
        let noun = if voters == 1 { "voter" } else { "voters" };
        let verb = if self.heard.len() == 1 { "is" } else { "are" };
        write!(f, "{voters} {noun}, quorum {}, of which {} {verb} reachable", self.size(), self.heard.len())
    }
}

/// What a change does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberPlan {
    pub change: MemberChange,
    pub before: Quorum,
    pub after: Quorum,
    /// Nothing is left to do.
    pub is_done: bool,
    /// A leader began it, and did not come to its end.
    pub is_begun: bool,
}

/// Why a change was not made, in order of precedence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    #[error("this node does not lead")]
    NotLeader { leader: Option<u64> },
    #[error("a change of the membership is under way: {0}")]
    InProgress(String),
    #[error("node {0} is no member")]
    Unknown(u64),
    #[error("{0}")]
    Full(String),
    #[error("node {node_id} lacks {lag} log entries, at most {} may be lacking", limits::PROMOTE_LAG_ENTRIES_MAX)]
    Behind { node_id: u64, lag: u64 },
    #[error("node {0} does not answer the leader")]
    Silent(u64),
    #[error("{0}: refused")]
    QuorumAtRisk(String),
    #[error("{0}")]
    Token(#[from] ClusterRefusal),
    /// It may have happened, or happen yet.
    #[error("the membership did not change within the deadline")]
    Deadline,
    /// It may have happened, or happen yet.
    #[error("the leader changed while the membership did")]
    LeaderChanged,
    #[error("the node has stopped: {0}")]
    Stopped(String),
}

impl MemberError {
    /// A leader that has just taken office says it of members that it has not heard yet.
    pub(super) fn may_be_for_want_of_news(&self) -> bool {
        matches!(self, Self::Behind { .. } | Self::Silent(_) | Self::QuorumAtRisk(_))
    }
}

/// What the leader knows when it is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MemberFacts {
    /// One; two while a change is under way, the later last.
    pub(super) voter_sets: Vec<BTreeSet<u64>>,
    pub(super) members: BTreeSet<u64>,
    /// Those that answer, the leader among them.
    pub(super) heard: BTreeSet<u64>,
    /// Log entries that a member is not known to have.
    pub(super) lag: BTreeMap<u64, u64>,
    /// Every id that was ever given is below.
    pub(super) next_node_id: u64,
}

impl MemberFacts {
    /// Voters of the last set: those that a change under way leads to.
    fn voters(&self) -> BTreeSet<u64> {
        self.voter_sets.last().cloned().unwrap_or_default()
    }

    fn quorum(&self, voters: &BTreeSet<u64>) -> Quorum {
        Quorum { voters: voters.iter().copied().collect(), heard: voters.intersection(&self.heard).copied().collect() }
    }

    pub(super) fn is_joint(&self) -> bool {
        self.voter_sets.len() > 1
    }

    pub(super) fn plan(&self, change: MemberChange) -> Result<MemberPlan, MemberError> {
        let before = self.voter_sets.first().cloned().unwrap_or_default();
        let mut after = self.voters();
        after.extend(change.promotes());
        change.removes().map(|node_id| after.remove(&node_id));
        if self.is_joint() && after != self.voters() {
            let (from, to) = (shown(&before), shown(&self.voters()));
            return Err(MemberError::InProgress(format!(
                "from voters {from} to voters {to}, left half done: give the command again that began it"
            )));
        }
        // Of the ids below, one that is no member was.
        let was_removed = |node_id: u64| !self.members.contains(&node_id) && (1..self.next_node_id).contains(&node_id);
        let known = |node_id: u64| self.members.contains(&node_id);
        if let Some(promoted) = change.promotes().filter(|node_id| !known(*node_id)) {
            return Err(MemberError::Unknown(promoted));
        }
        if let Some(removed) = change.removes().filter(|node_id| !known(*node_id) && !was_removed(*node_id)) {
            return Err(MemberError::Unknown(removed));
        }
        if let MemberChange::Replace { old, new } = change
            && !self.is_joint()
            && known(old)
        {
            // It would only remove the one, or only promote the other.
            if before.contains(&new) {
                return Err(MemberError::QuorumAtRisk(format!(
                    "{change}, which is a voter already, leaves {}",
                    self.quorum(&after)
                )));
            }
            if !before.contains(&old) {
                return Err(MemberError::QuorumAtRisk(format!("{change}: node {old} has no vote to give up")));
            }
        }
        let plan = MemberPlan {
            change,
            before: self.quorum(&before),
            after: self.quorum(&after),
            is_done: after == before && !self.is_joint() && change.removes().is_none_or(|node_id| !known(node_id)),
            is_begun: self.is_joint(),
        };
        if !plan.is_done {
            self.check(&plan)?;
        }
        Ok(plan)
    }

    fn check(&self, plan: &MemberPlan) -> Result<(), MemberError> {
        let change = plan.change;
        if plan.after.voters.len() > limits::MEMBERS_MAX {
            let message = format!("{change} leaves {} voters, at most {} may be", plan.after.voters.len(), limits::MEMBERS_MAX);
            return Err(MemberError::Full(message));
        }
        // A voter is none that is waited for.
        let learner = change.promotes().filter(|node_id| !plan.before.voters.contains(node_id) && !plan.is_begun);
        let lag = learner.map(|node_id| (node_id, self.lag.get(&node_id).copied().unwrap_or(u64::MAX)));
        if let Some((node_id, lag)) = lag.filter(|(_, lag)| *lag > limits::PROMOTE_LAG_ENTRIES_MAX) {
            return Err(MemberError::Behind { node_id, lag });
        }
        if let Some(node_id) = learner.filter(|node_id| !self.heard.contains(node_id)) {
            return Err(MemberError::Silent(node_id));
        }
        if !plan.before.holds() {
            return Err(MemberError::QuorumAtRisk(format!("{change} must be agreed to by {}", plan.before)));
        }
        // Without a voter there is no quorum, whoever answers.
        if plan.after.voters.is_empty() || !plan.after.holds() {
            return Err(MemberError::QuorumAtRisk(format!("{change} leaves {}", plan.after)));
        }
        Ok(())
    }
}

fn shown(voters: &BTreeSet<u64>) -> String {
    voters.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Voters 1 to `voters`, and learner 9; those of `heard` answer.
    fn facts(voters: u64, heard: &[u64]) -> MemberFacts {
        let members: BTreeSet<u64> = (1..=voters).chain([9]).collect();
        MemberFacts {
            voter_sets: vec![(1..=voters).collect()],
            members,
            heard: heard.iter().copied().collect(),
            lag: [(9, 0)].into(),
            next_node_id: 12,
        }
    }

    fn refused(facts: &MemberFacts, change: MemberChange) -> String {
        facts.plan(change).expect_err("refused").to_string()
    }

    const REMOVE_2: MemberChange = MemberChange::Remove { node_id: 2 };
    const PROMOTE_9: MemberChange = MemberChange::Promote { node_id: 9 };

    #[test]
    fn a_change_that_would_lose_the_quorum_is_refused_with_its_arithmetic() {
        let table = [
            (facts(3, &[1, 2]), REMOVE_2, "removing node 2 leaves 2 voters, quorum 2, of which 1 is reachable: refused"),
            (
                facts(3, &[1, 9]),
                PROMOTE_9,
                "promoting node 9 must be agreed to by 3 voters, quorum 2, of which 1 is reachable: refused",
            ),
            (
                facts(1, &[1, 9]),
                MemberChange::Remove { node_id: 1 },
                "removing node 1 leaves 0 voters, quorum 1, of which 0 are reachable: refused",
            ),
            (facts(7, &[1, 2, 3, 4, 5, 6, 7, 9]), PROMOTE_9, "promoting node 9 leaves 8 voters, at most 7 may be"),
        ];
        for (facts, change, told) in table {
            assert_eq!(refused(&facts, change), told);
        }
    }

    #[test]
    fn a_change_that_keeps_the_quorum_is_planned() {
        let plan = facts(3, &[1, 3]).plan(REMOVE_2).unwrap();
        assert_eq!((plan.before.tolerance(), plan.after.tolerance(), plan.is_done), (0, 0, false));
        assert_eq!(plan.after.to_string(), "2 voters, quorum 2, of which 2 are reachable");
        let plan = facts(3, &[1, 3, 9]).plan(MemberChange::Replace { old: 2, new: 9 }).unwrap();
        assert_eq!((plan.before.tolerance(), plan.after.tolerance()), (0, 1));
        assert_eq!(plan.after.voters, [1, 3, 9]);
        let learner = facts(3, &[1, 2, 3]).plan(MemberChange::Remove { node_id: 9 }).unwrap();
        assert_eq!((learner.before, learner.is_done), (learner.after, false));
    }

    #[test]
    fn only_a_learner_takes_a_voters_place() {
        let facts = facts(3, &[1, 2, 3, 9]);
        let told = refused(&facts, MemberChange::Replace { old: 3, new: 2 });
        assert_eq!(
            told,
            "replacing node 3 by node 2, which is a voter already, leaves 2 voters, quorum 2, of which 2 are reachable: refused"
        );
        let mut two_learners = facts;
        two_learners.members.insert(8);
        let told = refused(&two_learners, MemberChange::Replace { old: 8, new: 9 });
        assert_eq!(told, "replacing node 8 by node 9: node 8 has no vote to give up: refused");
    }

    #[test]
    fn a_learner_that_is_behind_or_was_never_heard_is_not_promoted() {
        let mut facts = facts(3, &[1, 2, 3, 9]);
        facts.lag = [(9, limits::PROMOTE_LAG_ENTRIES_MAX + 1)].into();
        assert_eq!(refused(&facts, PROMOTE_9), "node 9 lacks 1001 log entries, at most 1000 may be lacking");
        facts.lag = [(9, limits::PROMOTE_LAG_ENTRIES_MAX)].into();
        facts.plan(PROMOTE_9).unwrap();
        facts.lag.clear();
        assert!(refused(&facts, PROMOTE_9).contains("lacks"));
        facts.lag = [(9, 0)].into();
        facts.heard.remove(&9);
        assert_eq!(refused(&facts, PROMOTE_9), "node 9 does not answer the leader");
    }

    #[test]
    fn what_is_done_is_done_and_what_never_was_is_unknown() {
        let facts = facts(3, &[1, 2, 3]);
        let is_done = |change| facts.plan(change).unwrap().is_done;
        assert!(is_done(MemberChange::Remove { node_id: 5 }), "it was removed");
        assert!(is_done(MemberChange::Promote { node_id: 3 }));
        assert!(is_done(MemberChange::Replace { old: 5, new: 3 }));
        for change in [MemberChange::Remove { node_id: 12 }, MemberChange::Promote { node_id: 5 }] {
            assert!(matches!(facts.plan(change), Err(MemberError::Unknown(5 | 12))), "{change}");
        }
    }

    #[test]
    fn what_a_leader_left_half_done_is_finished_by_the_same_change_alone() {
        let mut facts = facts(3, &[1, 3, 9]);
        facts.voter_sets.push([1, 3, 9].into());
        let begun = facts.plan(MemberChange::Replace { old: 2, new: 9 }).unwrap();
        assert!(begun.is_begun && !begun.is_done);
        let other = refused(&facts, MemberChange::Remove { node_id: 3 });
        assert!(other.contains("from voters 1, 2, 3 to voters 1, 3, 9, left half done"), "{other}");
        facts.plan(PROMOTE_9).expect("its end is the same");
    }
}

//! Records of what was done to the nodes, of what became of their processes, and of what they said of themselves.

use super::record::Text;
use super::seen::LedgerTotals;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultStage {
    Planned,
    /// The signal was sent.
    Injected,
    /// It was seen to have hurt (the process is gone).
    Effective,
    Healed,
}

/// One step of one fault at one node. A fault that hits several nodes has a record for each, under one number.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultEvent {
    pub at_ns: u64,
    /// Number in the run's plan.
    pub fault: u32,
    pub stage: FaultStage,
    /// As in the scenario, such as `kill-leader`.
    pub kind: Text,
    pub node: u16,
    /// The target's role and term when the fault fired.
    pub role: NodeRole,
    pub term: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NodeRole {
    #[default]
    Unknown,
    Uninitialized,
    Learner,
    Follower,
    Candidate,
    Leader,
    Shutdown,
}

impl NodeRole {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Uninitialized => "uninitialized",
            Self::Learner => "learner",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Leader => "leader",
            Self::Shutdown => "shutdown",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessEvent {
    pub at_ns: u64,
    pub node: u16,
    pub step: ProcessStep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessStep {
    Started {
        /// 0: a process that the tool did not start itself.
        pid: u32,
    },
    /// It answered its first status call since it started: from here it counts as healthy.
    Ready,
    Exited {
        code: Option<i32>,
        signal: Option<i32>,
    },
}

/// What one node said of itself, at once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StatusSample {
    pub at_ns: u64,
    pub node: u16,
    pub role: NodeRole,
    pub term: u64,
    pub voted_for: u64,
    pub leader: u64,
    pub last_log_index: u64,
    pub committed_index: u64,
    pub applied_index: u64,
    pub snapshot_index: u64,
    pub purged_index: u64,
    /// At `applied_index`, hexadecimal.
    pub digest: Text,
    /// At `applied_index`.
    pub totals: Option<LedgerTotals>,
    /// Last, for it is missing in histories of earlier versions.
    pub member: MemberId,
}

impl StatusSample {
    /// The id under which the node is a member of the cluster, by which votes and leaders are named. A node that lost its disk comes
    /// back under another one; before that it is the node's own number.
    #[must_use]
    pub fn member(&self) -> u64 {
        if self.member == MemberId::default() { self.node.into() } else { self.member.0 }
    }
}

/// 0: not told, which is as a node begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemberId(pub u64);

/// A phase lasts until the next mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    WarmUp,
    Faults,
    /// All faults are healed from here on.
    Heal,
    Ask,
    Drain,
    Scan,
    /// The tool finished its part. Without it the run is inconclusive.
    End,
}

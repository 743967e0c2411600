//! What is broken when, and what must have landed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Span;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// SIGKILL to the node that leads when the fault fires.
    KillLeader,
    /// SIGKILL to one node that follows.
    KillFollower,
    /// SIGKILL to all nodes at once.
    KillAll,
    /// SIGTERM to the leader: an orderly stop, which must hand over and exit with 0.
    StopLeader,
}

impl FaultKind {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KillLeader => "kill-leader",
            Self::KillFollower => "kill-follower",
            Self::KillAll => "kill-all",
            Self::StopLeader => "stop-leader",
        }
    }

    /// How many of `nodes` stay up.
    #[must_use]
    pub const fn nodes_left(self, nodes: u16) -> u16 {
        match self {
            Self::KillLeader | Self::KillFollower | Self::StopLeader => nodes - 1,
            Self::KillAll => 0,
        }
    }

    /// The role that the target must have for the fault to count; empty: any.
    #[must_use]
    pub const fn role(self) -> &'static str {
        match self {
            Self::KillLeader | Self::StopLeader => "leader",
            Self::KillFollower => "follower",
            Self::KillAll => "",
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Spread over the phase, in an order and at moments drawn from the seed.
    pub random: Vec<RandomFaults>,
    /// At given moments after the phase began.
    pub at: Vec<FaultAt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RandomFaults {
    pub kind: FaultKind,
    pub count: u32,
    /// The target is started again after a time drawn from these.
    pub restart_after_min: Span,
    pub restart_after_max: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaultAt {
    pub kind: FaultKind,
    pub at: Span,
    pub restart_after: Span,
}

/// What must have happened, or the run is inconclusive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Required {
    /// Snapshots that a node took over from another one.
    #[serde(default)]
    pub snapshot_installs: u32,
    /// So many of a kind must have landed.
    #[serde(flatten)]
    pub faults: BTreeMap<FaultKind, u32>,
}

impl Required {
    /// As [`RequiredFault::kind`], beside the kinds of faults.
    pub const SNAPSHOT_INSTALLS: &str = "snapshot_installs";
}

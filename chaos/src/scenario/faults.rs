//! What is broken when, and what must have landed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CrashPoint, FaultKind, FaultsWhen, Hurt, Limit, Packets, Parameters, Span};

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Spread over the phase, in an order and at moments drawn from the seed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub random: Vec<RandomFaults>,
    /// At given moments after the phase began.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub at: Vec<FaultAt>,
    /// When the product is in a state.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<FaultsWhen>,
}

impl Faults {
    /// The links between the nodes must be the tool's own.
    #[must_use]
    pub fn need_network(&self) -> bool {
        self.kinds().any(|kind| matches!(kind.hurt(), Hurt::Cuts | Hurt::Slows | Hurt::LosesPackets | Hurt::CorruptsPackets))
    }

    /// Each node must have a disk that the tool made.
    #[must_use]
    pub fn need_disks(&self) -> bool {
        let is_of_disks = |hurt| {
            matches!(hurt, Hurt::CutsPower | Hurt::StallsDisks | Hurt::FailsDisks | Hurt::FillsDisks | Hurt::LowersDisks)
        };
        self.kinds().any(|kind| is_of_disks(kind.hurt()))
    }

    /// Each node must be in a control group that the tool made.
    #[must_use]
    pub fn need_groups(&self) -> bool {
        self.kinds().any(|kind| matches!(kind.hurt(), Hurt::LimitsCpu | Hurt::LimitsMemory))
    }

    /// Another process' limit of descriptors must be the tool's to set.
    #[must_use]
    pub fn need_descriptors(&self) -> bool {
        self.kinds().any(|kind| kind.hurt() == Hurt::LimitsDescriptors)
    }

    /// The nodes' program must be one that a drill can control from within.
    #[must_use]
    pub fn need_controls(&self) -> bool {
        self.kinds().any(|kind| matches!(kind.hurt(), Hurt::WrongsClocks | Hurt::Crashes | Hurt::InterruptsInstalls))
    }

    pub(crate) fn kinds(&self) -> impl Iterator<Item = FaultKind> {
        let timed = self.random.iter().map(|one| one.kind).chain(self.at.iter().map(|one| one.kind));
        timed.chain(self.when.iter().flat_map(|when| when.faults.iter().map(|one| one.kind)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RandomFaults {
    pub kind: FaultKind,
    pub count: u32,
    /// It is undone after a time drawn from these: a node is started or resumed, a cut is healed.
    pub lasts_min: Span,
    pub lasts_max: Span,
    /// Of links that are slowed: each way, and up to half of it more.
    pub delay: Option<Span>,
    /// Of clocks: by how much they are wrong.
    pub offset: Option<Span>,
    /// Of processes that end at a step of their work: which.
    pub point: Option<CrashPoint>,
    /// Of processes that get less of the machine: how much.
    pub limit: Option<Limit>,
    /// Of links that lose or change what they carry.
    pub packets: Option<Packets>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaultAt {
    pub kind: FaultKind,
    pub at: Span,
    pub lasts: Span,
    pub delay: Option<Span>,
    /// Of links that lose or change what they carry.
    pub packets: Option<Packets>,
    /// Of clocks: by how much they are wrong.
    pub offset: Option<Span>,
    /// Of processes that end at a step of their work: which.
    pub point: Option<CrashPoint>,
    /// Of processes that get less of the machine: how much.
    pub limit: Option<Limit>,
    /// Picks among several possible targets: this modulo their number. Without it, drawn from the seed.
    pub choice: Option<u32>,
}

impl RandomFaults {
    #[must_use]
    pub const fn parameters(&self) -> Parameters {
        let Self { delay, packets, offset, point, limit, .. } = *self;
        Parameters { delay, packets, offset, point, limit }
    }
}

impl FaultAt {
    #[must_use]
    pub const fn parameters(&self) -> Parameters {
        let Self { delay, packets, offset, point, limit, .. } = *self;
        Parameters { delay, packets, offset, point, limit }
    }
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
    /// As [`RequiredFault::kind`](crate::history::RequiredFault), beside the kinds of faults.
    pub const SNAPSHOT_INSTALLS: &str = "snapshot_installs";
}

//! The kinds of faults: what each does, to whom, and what it leaves.

use serde::{Deserialize, Serialize};

use super::Hurt;

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
    /// SIGTERM to one node that follows, which must exit with 0.
    StopFollower,
    /// SIGSTOP to the leader, and SIGCONT after: it takes itself for the leader until it hears better.
    PauseLeader,
    PauseFollower,
    /// Nothing passes between the leader and its peers; it still hears its clients.
    IsolateLeader,
    IsolateFollower,
    /// What the leader sends to its peers is not heard; what they send is.
    MuteLeader,
    /// What its peers send to the leader is not heard; what it sends is.
    DeafenLeader,
    /// One node hears all others, which are in two halves that do not hear each other.
    Bridge,
    /// Each node hears a majority, and no two the same one.
    MajoritiesRing,
    /// A follower is cut off and joined again, over and over.
    FlapFollower,
    /// What the leader and its peers send each other comes later.
    SlowLeader,
    /// Between all nodes packets are lost, and others overtaken or doubled.
    LossyLinks,
    /// Between all nodes bytes are changed on their way, and what has them is thrown away by its receiver.
    CorruptLinks,
    /// The leader ends, and its disk forgets what was not synced.
    PowerCutLeader,
    PowerCutFollower,
    /// The same, of all nodes at once.
    PowerCutAll,
    /// Nothing that the leader writes reaches its disk, and it waits; it still hears everybody.
    StallDiskLeader,
    StallDiskFollower,
    /// Every access of the leader to its disk fails: it must end by itself, with the exit code that says so.
    FailDiskLeader,
    FailDiskFollower,
    /// Nothing is left of the leader's disk: it lives on what it took before, or ends by itself with the exit code that says so.
    FillDiskLeader,
    FillDiskFollower,
    /// The leader's disk has less room than its floor: it must hand over.
    LowDiskLeader,
    /// All disks have less room than their floor: new orders must be refused, and money be taken.
    LowDiskAll,
    /// The leader's clock jumps ahead by `offset`, and back.
    ClockAheadLeader,
    /// The leader's clock jumps back by `offset`, and ahead again.
    ClockBehindLeader,
    /// The leader's clock is right and `offset` ahead in turn.
    ClockStrobeLeader,
    /// The leader's clock runs so fast that it gains `offset` while it lasts.
    ClockFastLeader,
    /// A follower is killed, and its log has other bits when it is back.
    FlipLogFollower,
    /// A follower is killed, and its ledger has other bits when it is back.
    FlipLedgerFollower,
    /// A follower is killed, and its disk is empty: it is nobody when it is started, and comes back as a new member, by a token.
    LoseDiskFollower,
    /// The leader's process ends at `point` of its work.
    CrashLeader,
    CrashFollower,
    /// A follower is away until only a snapshot helps it, and ends at three steps of taking it over.
    CrashInstallFollower,
    /// SIGKILL to a leader that is handing its office over.
    KillHandover,
    /// The leader is given `limit` of a processor, whatever it wants to do.
    LimitCpuLeader,
    LimitCpuFollower,
    /// The leader may have `limit` of memory: the kernel takes back what it can, and kills a process that wants more.
    LimitMemoryLeader,
    LimitMemoryFollower,
    /// The leader may open `limit` descriptors more than it has, which somebody else takes by calling it.
    LimitDescriptorsLeader,
    LimitDescriptorsFollower,
}

impl FaultKind {
    pub const ALL: [Self; 45] = [
        Self::KillLeader,
        Self::KillFollower,
        Self::KillAll,
        Self::StopLeader,
        Self::StopFollower,
        Self::PauseLeader,
        Self::PauseFollower,
        Self::IsolateLeader,
        Self::IsolateFollower,
        Self::MuteLeader,
        Self::DeafenLeader,
        Self::Bridge,
        Self::MajoritiesRing,
        Self::FlapFollower,
        Self::SlowLeader,
        Self::LossyLinks,
        Self::CorruptLinks,
        Self::PowerCutLeader,
        Self::PowerCutFollower,
        Self::PowerCutAll,
        Self::StallDiskLeader,
        Self::StallDiskFollower,
        Self::FailDiskLeader,
        Self::FailDiskFollower,
        Self::FillDiskLeader,
        Self::FillDiskFollower,
        Self::LowDiskLeader,
        Self::LowDiskAll,
        Self::ClockAheadLeader,
        Self::ClockBehindLeader,
        Self::ClockStrobeLeader,
        Self::ClockFastLeader,
        Self::FlipLogFollower,
        Self::FlipLedgerFollower,
        Self::LoseDiskFollower,
        Self::CrashLeader,
        Self::CrashFollower,
        Self::CrashInstallFollower,
        Self::KillHandover,
        Self::LimitCpuLeader,
        Self::LimitCpuFollower,
        Self::LimitMemoryLeader,
        Self::LimitMemoryFollower,
        Self::LimitDescriptorsLeader,
        Self::LimitDescriptorsFollower,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KillLeader => "kill-leader",
            Self::KillFollower => "kill-follower",
            Self::KillAll => "kill-all",
            Self::StopLeader => "stop-leader",
            Self::StopFollower => "stop-follower",
            Self::PauseLeader => "pause-leader",
            Self::PauseFollower => "pause-follower",
            Self::IsolateLeader => "isolate-leader",
            Self::IsolateFollower => "isolate-follower",
            Self::MuteLeader => "mute-leader",
            Self::DeafenLeader => "deafen-leader",
            Self::Bridge => "bridge",
            Self::MajoritiesRing => "majorities-ring",
            Self::FlapFollower => "flap-follower",
            Self::SlowLeader => "slow-leader",
            Self::LossyLinks => "lossy-links",
            Self::CorruptLinks => "corrupt-links",
            Self::PowerCutLeader => "power-cut-leader",
            Self::PowerCutFollower => "power-cut-follower",
            Self::PowerCutAll => "power-cut-all",
            Self::StallDiskLeader => "stall-disk-leader",
            Self::StallDiskFollower => "stall-disk-follower",
            Self::FailDiskLeader => "fail-disk-leader",
            Self::FailDiskFollower => "fail-disk-follower",
            Self::FillDiskLeader => "fill-disk-leader",
            Self::FillDiskFollower => "fill-disk-follower",
            Self::LowDiskLeader => "low-disk-leader",
            Self::LowDiskAll => "low-disk-all",
            Self::ClockAheadLeader => "clock-ahead-leader",
            Self::ClockBehindLeader => "clock-behind-leader",
            Self::ClockStrobeLeader => "clock-strobe-leader",
            Self::ClockFastLeader => "clock-fast-leader",
            Self::FlipLogFollower => "flip-log-follower",
            Self::FlipLedgerFollower => "flip-ledger-follower",
            Self::LoseDiskFollower => "lose-disk-follower",
            Self::CrashLeader => "crash-leader",
            Self::CrashFollower => "crash-follower",
            Self::CrashInstallFollower => "crash-install-follower",
            Self::KillHandover => "kill-handover",
            Self::LimitCpuLeader => "limit-cpu-leader",
            Self::LimitCpuFollower => "limit-cpu-follower",
            Self::LimitMemoryLeader => "limit-memory-leader",
            Self::LimitMemoryFollower => "limit-memory-follower",
            Self::LimitDescriptorsLeader => "limit-descriptors-leader",
            Self::LimitDescriptorsFollower => "limit-descriptors-follower",
        }
    }

    /// `None`: a kind of another version of this tool.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    #[must_use]
    pub const fn hurt(self) -> Hurt {
        match self {
            Self::KillLeader | Self::KillFollower | Self::KillAll | Self::StopLeader | Self::StopFollower => Hurt::Ends,
            Self::PauseLeader | Self::PauseFollower => Hurt::Pauses,
            Self::IsolateLeader
            | Self::IsolateFollower
            | Self::MuteLeader
            | Self::DeafenLeader
            | Self::Bridge
            | Self::MajoritiesRing
            | Self::FlapFollower => Hurt::Cuts,
            Self::SlowLeader => Hurt::Slows,
            Self::LossyLinks => Hurt::LosesPackets,
            Self::CorruptLinks => Hurt::CorruptsPackets,
            Self::PowerCutLeader | Self::PowerCutFollower | Self::PowerCutAll => Hurt::CutsPower,
            Self::StallDiskLeader | Self::StallDiskFollower => Hurt::StallsDisks,
            Self::FailDiskLeader | Self::FailDiskFollower => Hurt::FailsDisks,
            Self::FillDiskLeader | Self::FillDiskFollower => Hurt::FillsDisks,
            Self::LowDiskLeader | Self::LowDiskAll => Hurt::LowersDisks,
            Self::ClockAheadLeader | Self::ClockBehindLeader | Self::ClockStrobeLeader | Self::ClockFastLeader => {
                Hurt::WrongsClocks
            }
            Self::FlipLogFollower | Self::FlipLedgerFollower => Hurt::Damages,
            Self::LoseDiskFollower => Hurt::LosesDisks,
            Self::CrashLeader | Self::CrashFollower => Hurt::Crashes,
            Self::CrashInstallFollower => Hurt::InterruptsInstalls,
            Self::KillHandover => Hurt::EndsHandovers,
            Self::LimitCpuLeader | Self::LimitCpuFollower => Hurt::LimitsCpu,
            Self::LimitMemoryLeader | Self::LimitMemoryFollower => Hurt::LimitsMemory,
            Self::LimitDescriptorsLeader | Self::LimitDescriptorsFollower => Hurt::LimitsDescriptors,
        }
    }

    /// Its processes end, and are healthy again from their first answer on.
    #[must_use]
    pub const fn ends(self) -> bool {
        matches!(
            self.hurt(),
            Hurt::Ends
                | Hurt::CutsPower
                | Hurt::FailsDisks
                | Hurt::Damages
                | Hurt::Crashes
                | Hurt::InterruptsInstalls
                | Hurt::EndsHandovers
        )
    }

    /// It ends processes by SIGTERM, which they must obey with exit code 0.
    #[must_use]
    pub const fn is_orderly(self) -> bool {
        matches!(self, Self::StopLeader | Self::StopFollower)
    }

    /// The nodes that it hits are not there for the others while it lasts. The rest leave some majority that hears each other.
    #[must_use]
    pub const fn takes_away(self) -> bool {
        let is_of_links =
            matches!(self, Self::Bridge | Self::MajoritiesRing | Self::SlowLeader | Self::LossyLinks | Self::CorruptLinks);
        !is_of_links && !matches!(self.hurt(), Hurt::WrongsClocks | Hurt::LimitsCpu | Hurt::LowersDisks)
    }

    /// Whether the nodes that it does not take away have a majority that hears each other whoever else is gone.
    #[must_use]
    pub const fn leaves_majority_alone(self) -> bool {
        !matches!(self, Self::Bridge | Self::MajoritiesRing)
    }

    /// How many of `nodes` are there for each other meanwhile.
    #[must_use]
    pub const fn nodes_left(self, nodes: u16) -> u16 {
        match self {
            Self::KillAll | Self::PowerCutAll => 0,
            _ if self.takes_away() => nodes - 1,
            _ => nodes,
        }
    }

    /// Nodes that it needs at least.
    #[must_use]
    pub const fn nodes_min(self) -> u16 {
        match self {
            Self::KillLeader
            | Self::KillAll
            | Self::StopLeader
            | Self::PauseLeader
            | Self::PowerCutLeader
            | Self::PowerCutAll
            | Self::FailDiskLeader
            | Self::FillDiskLeader
            | Self::LowDiskAll
            | Self::CrashLeader
            | Self::LimitMemoryLeader
            | Self::LimitDescriptorsLeader => 1,
            Self::KillFollower
            | Self::StopFollower
            | Self::PauseFollower
            | Self::PowerCutFollower
            | Self::StallDiskFollower
            | Self::FailDiskFollower
            | Self::FillDiskFollower
            | Self::CrashFollower
            | Self::KillHandover
            | Self::LimitCpuFollower
            | Self::LimitMemoryFollower
            | Self::LimitDescriptorsFollower => 2,
            // Of two, neither half has a majority, nor has one without the other, and one clock is half of all. Of four, a ring of majorities is all but a mesh.
            Self::IsolateLeader
            | Self::IsolateFollower
            | Self::MuteLeader
            | Self::DeafenLeader
            | Self::FlapFollower
            | Self::SlowLeader
            | Self::LossyLinks
            | Self::CorruptLinks
            | Self::StallDiskLeader
            | Self::LowDiskLeader
            | Self::ClockAheadLeader
            | Self::ClockBehindLeader
            | Self::ClockStrobeLeader
            | Self::ClockFastLeader
            | Self::FlipLogFollower
            | Self::FlipLedgerFollower
            | Self::LoseDiskFollower
            | Self::CrashInstallFollower
            | Self::LimitCpuLeader
            | Self::Bridge => 3,
            Self::MajoritiesRing => 5,
        }
    }

    /// The role that the target must have for the fault to count; empty: any.
    #[must_use]
    pub const fn role(self) -> &'static str {
        match self {
            Self::KillLeader
            | Self::StopLeader
            | Self::PauseLeader
            | Self::IsolateLeader
            | Self::MuteLeader
            | Self::DeafenLeader
            | Self::SlowLeader
            | Self::PowerCutLeader
            | Self::StallDiskLeader
            | Self::FailDiskLeader
            | Self::FillDiskLeader
            | Self::LowDiskLeader
            | Self::ClockAheadLeader
            | Self::ClockBehindLeader
            | Self::ClockStrobeLeader
            | Self::ClockFastLeader
            | Self::CrashLeader
            | Self::KillHandover
            | Self::LimitCpuLeader
            | Self::LimitMemoryLeader
            | Self::LimitDescriptorsLeader => "leader",
            Self::KillFollower
            | Self::StopFollower
            | Self::PauseFollower
            | Self::IsolateFollower
            | Self::FlapFollower
            | Self::PowerCutFollower
            | Self::StallDiskFollower
            | Self::FailDiskFollower
            | Self::FillDiskFollower
            | Self::FlipLogFollower
            | Self::FlipLedgerFollower
            | Self::LoseDiskFollower
            | Self::CrashFollower
            | Self::CrashInstallFollower
            | Self::LimitCpuFollower
            | Self::LimitMemoryFollower
            | Self::LimitDescriptorsFollower => "follower",
            Self::KillAll
            | Self::Bridge
            | Self::MajoritiesRing
            | Self::LossyLinks
            | Self::CorruptLinks
            | Self::PowerCutAll
            | Self::LowDiskAll => "",
        }
    }
}

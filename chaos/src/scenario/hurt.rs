//! What kinds of faults do to nodes and to what is between them, and by what means.

/// What a fault does, and how it is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hurt {
    /// Processes end, and are started again.
    Ends,
    /// Processes are stopped, and resumed.
    Pauses,
    /// Bytes between nodes are kept back, and sent on; or lost.
    Cuts,
    /// Bytes between nodes are delayed.
    Slows,
    /// Packets between nodes are lost.
    LosesPackets,
    /// Packets between nodes are changed.
    CorruptsPackets,
    /// Processes end with their disks' power, and are started on what the disks kept.
    CutsPower,
    /// Disks stand still, and go on.
    StallsDisks,
    /// Disks fail, and processes end by it; they are started when the disks are well.
    FailsDisks,
    /// Disks are full, and processes may end by it; they are started when there is room.
    FillsDisks,
    /// Disks have less room than their floor, and then more.
    LowersDisks,
    /// Clocks are wrong, and set right.
    WrongsClocks,
    /// Files are damaged while processes are down, and mended after processes have refused them.
    Damages,
    /// Disks are emptied while processes are down, and who comes back is another member.
    LosesDisks,
    /// Processes end at a step of their work, and are started again.
    Crashes,
    /// Processes end at each step of one piece of work, and are started again.
    InterruptsInstalls,
    /// Processes end while they hand over, and are started again.
    EndsHandovers,
    /// Processes are let at a processor now and then, and then again whenever they want.
    LimitsCpu,
    /// Processes may have so much memory, and those that the kernel kills for it are started when they may have more.
    LimitsMemory,
    /// Processes may open no more files and connections, and may end by it; they are started when they may again.
    LimitsDescriptors,
}

/// By what means it hurts. Of one means, what undoes one fault would undo another that is still on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// Ends processes, or the disks under them, and brings them back.
    Processes,
    Pauses,
    Links,
    Clocks,
    Processors,
}

impl Hurt {
    #[must_use]
    pub const fn means(self) -> Means {
        match self {
            Self::Ends
            | Self::CutsPower
            | Self::StallsDisks
            | Self::FailsDisks
            | Self::FillsDisks
            | Self::LowersDisks
            | Self::Damages
            | Self::LosesDisks
            | Self::Crashes
            | Self::InterruptsInstalls
            | Self::EndsHandovers
            | Self::LimitsMemory
            | Self::LimitsDescriptors => Means::Processes,
            Self::LimitsCpu => Means::Processors,
            Self::WrongsClocks => Means::Clocks,
            Self::Pauses => Means::Pauses,
            Self::Cuts | Self::Slows | Self::LosesPackets | Self::CorruptsPackets => Means::Links,
        }
    }
}

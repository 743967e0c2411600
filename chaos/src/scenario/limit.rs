//! How much of the machine a fault leaves to a node.

use serde::{Deserialize, Serialize};

use super::{Hurt, Share, Size};

/// `{ cpu = "10%" }`, `{ memory = "48MiB" }`, `{ descriptors = 4 }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Of one core, in each tenth of a second.
    Cpu(Share),
    /// In all, what the kernel keeps of its files included.
    Memory(Size),
    /// Files and connections, beyond those that it has open.
    Descriptors(u32),
}

impl Limit {
    #[must_use]
    pub const fn hurt(self) -> Hurt {
        match self {
            Self::Cpu(_) => Hurt::LimitsCpu,
            Self::Memory(_) => Hurt::LimitsMemory,
            Self::Descriptors(_) => Hurt::LimitsDescriptors,
        }
    }
}

//! The five failures of September 2024 by their names: a scenario says which of them its run must have been in the way of.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureOf2024 {
    PaidButNoQuota,
    PaidTwice,
    BurnedStamp,
    Unreachable,
    Unknown,
}

impl FailureOf2024 {
    /// In the order of the published accounts.
    pub const ALL: [Self; 5] = [Self::PaidButNoQuota, Self::PaidTwice, Self::BurnedStamp, Self::Unreachable, Self::Unknown];

    /// As in scenarios and verdicts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PaidButNoQuota => "paid-but-no-quota",
            Self::PaidTwice => "paid-twice",
            Self::BurnedStamp => "burned-stamp",
            Self::Unreachable => "unreachable",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_one_name_in_scenarios_and_verdicts() {
        for failure in FailureOf2024::ALL {
            assert_eq!(serde_json::to_value(failure).unwrap(), failure.name());
        }
    }
}

//! What carries between the nodes, and what a fault does to packets on their way.

use serde::{Deserialize, Serialize};

use super::{Share, Size};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    pub back_end: BackEnd,
}

/// As [`crate::network`] says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackEnd {
    #[default]
    Proxies,
    Switch,
    Nftables,
}

impl BackEnd {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Proxies => "proxies",
            Self::Switch => "switch",
            Self::Nftables => "nftables",
        }
    }
}

/// Of the packets between two nodes, in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Packets {
    /// Never arrive.
    pub loss: Share,
    /// Are overtaken by those behind them.
    pub reorder: Share,
    /// Arrive twice.
    pub duplicate: Share,
    /// Arrive with one byte changed.
    pub corrupt: Share,
    /// No more than this a second, all together.
    pub bytes_per_s: Option<Size>,
}

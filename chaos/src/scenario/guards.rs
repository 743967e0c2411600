//! What stops a run before its end: `[guards]`.

use serde::{Deserialize, Serialize};

use super::{Size, Span};

/// The run is stopped and healed when one of these is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guards {
    /// The whole run, judgement left out.
    pub wall_time: Span,
    /// The run's folder.
    pub disk: Size,
    /// No node answers for so long, although not all of them were told to end.
    pub no_contact: Option<Span>,
    /// A fault that would leave fewer nodes than a majority and this is not fired.
    pub quorum_margin: Option<u16>,
    pub money_at_risk: Option<MoneyAtRisk>,
}

/// Money that was received and is neither issued for nor paid back, by the sums that the nodes report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MoneyAtRisk {
    pub above_idr: u64,
    /// It must stay above for so long.
    pub lasts: Span,
}

impl Default for Guards {
    fn default() -> Self {
        Self {
            wall_time: Span::from_millis(10 * 60 * 1_000),
            disk: Size::try_from("8GiB".to_owned()).expect("a size with its unit"),
            no_contact: None,
            quorum_margin: None,
            money_at_risk: None,
        }
    }
}

impl Guards {
    /// How many of `nodes` each fault must leave. `None`: it does not matter.
    #[must_use]
    pub fn nodes_left_min(&self, nodes: u16) -> Option<u16> {
        self.quorum_margin.map(|margin| nodes / 2 + 1 + margin)
    }
}

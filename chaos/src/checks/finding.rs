//! What one check found: how much it looked at, what broke, and why it may not be sure.

use serde::{Deserialize, Serialize};

/// Violations that are kept word for word; all are counted.
const SHOWN_MAX: usize = 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    pub text: String,
    /// The calls that prove it, by their number in the history.
    pub ops: Vec<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_index: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub id: String,
    pub name: String,
    /// How many things were looked at.
    pub checked: u64,
    /// All, also those that are not shown.
    pub violations: u64,
    pub shown: Vec<Violation>,
    /// Why nothing can be concluded, even without a violation.
    pub inconclusive: Vec<String>,
}

impl Finding {
    #[must_use]
    pub fn new(id: &str, name: &str) -> Self {
        Self { id: id.into(), name: name.into(), checked: 0, violations: 0, shown: Vec::new(), inconclusive: Vec::new() }
    }

    pub fn violated(&mut self, ops: &[u64], log_index: Option<u64>, text: impl FnOnce() -> String) {
        self.violations += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(Violation { text: text(), ops: ops.to_vec(), log_index });
        }
    }

    pub fn unsure(&mut self, why: impl Into<String>) {
        if self.inconclusive.len() < SHOWN_MAX {
            self.inconclusive.push(why.into());
        }
    }

    /// A check that had nothing to look at says nothing about the system.
    #[must_use]
    pub fn or_unsure_if_empty(mut self, what: &str) -> Self {
        if self.checked == 0 && self.violations == 0 {
            self.unsure(format!("there was nothing to check: {what}"));
        }
        self
    }
}

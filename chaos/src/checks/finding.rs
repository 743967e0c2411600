//! What one check found: how much it looked at, what broke, and why it may not be sure.

use std::collections::BTreeMap;

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

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// How many things nothing can be concluded of, by what they are.
    #[serde(skip)]
    doubts: BTreeMap<String, u64>,
    /// What there was nothing of, if nothing was looked at: such a check says nothing about the system.
    #[serde(skip)]
    if_empty: Option<String>,
}

impl Finding {
    #[must_use]
    pub fn new(id: &str, name: &str) -> Self {
        Self { id: id.into(), name: name.into(), ..Self::default() }
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

    /// Nothing can be concluded of `count` things; it reads "{count} {what}".
    pub fn doubt(&mut self, count: u64, what: &str) {
        if count > 0 {
            *self.doubts.entry(what.to_owned()).or_default() += count;
        }
    }

    /// See `if_empty`.
    #[must_use]
    pub fn unsure_if_empty(mut self, what: &str) -> Self {
        self.if_empty = Some(what.to_owned());
        self
    }

    /// Adds what the same check found elsewhere in the run.
    pub fn merge(&mut self, other: Self) {
        self.checked += other.checked;
        self.violations += other.violations;
        self.shown.extend(other.shown);
        self.shown.truncate(SHOWN_MAX);
        for why in other.inconclusive {
            if !self.inconclusive.contains(&why) {
                self.unsure(why);
            }
        }
        other.doubts.iter().for_each(|(what, count)| self.doubt(*count, what));
        self.if_empty = self.if_empty.take().or(other.if_empty);
    }

    /// The whole run was looked at.
    #[must_use]
    pub fn conclude(mut self) -> Self {
        for (what, count) in std::mem::take(&mut self.doubts) {
            self.unsure(format!("{count} {what}"));
        }
        if let Some(what) = self.if_empty.take().filter(|_| self.checked == 0 && self.violations == 0) {
            self.unsure(format!("there was nothing to check: {what}"));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violated(times: usize) -> Finding {
        let mut finding = Finding::new("V1", "");
        (0..times).for_each(|nth| finding.violated(&[nth as u64], None, String::new));
        finding
    }

    #[test]
    fn all_violations_are_counted_and_the_first_are_shown() {
        let mut finding = violated(SHOWN_MAX + 1);
        assert_eq!((finding.violations, finding.shown.len()), (SHOWN_MAX as u64 + 1, SHOWN_MAX));
        finding.merge(violated(2));
        assert_eq!((finding.violations, finding.shown.len()), (SHOWN_MAX as u64 + 3, SHOWN_MAX));
        assert_eq!(finding.shown[0].ops, [0]);
        let mut few = violated(1);
        few.merge(violated(1));
        assert_eq!((few.violations, few.shown.len()), (2, 2));
    }

    #[test]
    fn reasons_to_be_unsure_are_shown_once_and_doubts_are_added_up() {
        let mut finding = Finding { checked: 1, ..Finding::new("V1", "") };
        finding.unsure("a gap");
        finding.doubt(2, "things");
        finding.doubt(0, "others");
        let mut other = Finding { checked: 2, ..Finding::new("V1", "") };
        other.unsure("a gap");
        other.unsure("another");
        other.doubt(3, "things");
        finding.merge(other);
        let finding = finding.conclude();
        assert_eq!((finding.checked, finding.inconclusive), (3, vec!["a gap".into(), "another".into(), "5 things".into()]));
        let mut many = Finding::new("V1", "");
        (0..=SHOWN_MAX).for_each(|nth| many.unsure(nth.to_string()));
        assert_eq!(many.inconclusive.len(), SHOWN_MAX);
    }

    #[test]
    fn a_check_that_saw_nothing_says_so_unless_it_found_something() {
        let empty = || Finding::new("V1", "").unsure_if_empty("no call");
        assert_eq!(empty().conclude().inconclusive, ["there was nothing to check: no call"]);
        let mut merged = Finding::new("V1", "");
        merged.merge(empty());
        assert_eq!(merged.conclude().inconclusive.len(), 1, "also if another part of the run was looked at");
        assert!(Finding { checked: 1, ..empty() }.conclude().inconclusive.is_empty());
        assert!(Finding { violations: 1, ..empty() }.conclude().inconclusive.is_empty());
    }
}

//! Named steps of a node's work at which a drill may end it.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// As the system names it: `"log.append.before_done"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CrashPoint(&'static str);

impl CrashPoint {
    /// Those that a running node comes by.
    pub const ALL: [&str; 15] = [
        "log.append.before_write",
        "log.append.before_done",
        "log.purge.before_write",
        "log.purge.before_done",
        "ledger.apply.before_write",
        "ledger.apply.before_answer",
        "snapshot.build.before_manifest",
        "snapshot.build.before_rename",
        "snapshot.build.after_rename",
        "snapshot.remove.after_rename",
        "snapshot.receive.before_finish",
        "snapshot.install.after_verify",
        "snapshot.install.before_switch",
        "snapshot.install.after_switch",
        "snapshot.install.after_adopt",
    ];

    pub(crate) const fn named(name: &'static str) -> Self {
        Self(name)
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0
    }

    /// Reached when a snapshot is built, and the log is purged behind it.
    #[must_use]
    pub fn is_of_snapshots(self) -> bool {
        ["snapshot.build", "snapshot.remove", "log.purge"].iter().any(|step| self.0.starts_with(step))
    }
}

/// (Derived, it would borrow from what is read, for the sake of the name.)
impl<'de> Deserialize<'de> for CrashPoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = Self::ALL.into_iter().find(|name| *name == text);
        let told = || D::Error::custom(format!("{text:?} is no crash point; they are {}", Self::ALL.join(", ")));
        known.map(Self).ok_or_else(told)
    }
}

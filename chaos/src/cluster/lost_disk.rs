//! A node whose disk is lost, and that joins again. For the tool it is the same node, at the same addresses; for the cluster it is
//! another member, whose id only its new data directory knows.

use anyhow::{Context, ensure};

use super::{Node, config};
use crate::undo;

impl Node {
    /// Nothing is left in its data directory.
    ///
    /// # Errors
    /// It runs, is no process of the tool's own, or its directory cannot be emptied.
    pub fn lose_disk(&self) -> anyhow::Result<()> {
        ensure!(!self.is_running(), "node {} runs, and its disk is not to be taken", self.id());
        let local = self.local()?;
        undo::empty(&local.files.data, &local.journal)
    }

    /// It presents this token, and its configuration does not say any more who it is.
    ///
    /// # Errors
    /// As of [`Node::start`], or its configuration cannot be changed.
    pub fn start_joining(&self, token: &str) -> anyhow::Result<()> {
        ensure!(!self.is_running(), "node {} runs already", self.id());
        let local = self.local()?;
        let path = &local.files.config;
        let file = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        std::fs::write(path, config::without_id(&file)?).with_context(|| format!("writing {}", path.display()))?;
        local.start(self.life(), &[], &["--join", token])
    }
}

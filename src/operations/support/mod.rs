//! What a running node tells those who look into it: its log's level, its metrics, and the files of a debug bundle. Behind
//! `SupportService` of the operators' port (`transport::support`), which holds the calls to their limits.

mod files;
mod process;
mod redact;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::redact::Redactor;
use super::config::Loaded;
use super::metrics::Metrics;
use super::telemetry::LogControl;
use crate::proto::admin;
use crate::storage::{DataDir, RocksLog};
use crate::transport::ClusterNode;
use crate::transport::support::LooksInside;

/// A running node, from within.
pub struct Inside {
    pub node: ClusterNode,
    pub log_store: RocksLog,
    pub data: Arc<DataDir>,
    pub metrics: Arc<Metrics<ClusterNode>>,
    pub loaded: Loaded,
    pub log: LogControl,
}

impl LooksInside for Inside {
    fn log_level(&self) -> admin::LogLevel {
        let state = self.log.state();
        let left_ms = state.left.map_or(0, |left| i64::try_from(left.as_millis()).unwrap_or(i64::MAX));
        admin::LogLevel { filter: state.filter.to_string(), configured_filter: state.configured.to_string(), left_ms }
    }

    fn set_log_level(&self, filter: &str, within: Duration) -> Result<(), String> {
        if filter.is_empty() {
            self.log.reset();
            return Ok(());
        }
        self.log.set(filter.parse()?, within)
    }

    fn metrics_page(&self) -> Result<String, String> {
        self.metrics.render()
    }

    fn debug_files(&self, redacted: bool, metrics_apart: Duration) -> Vec<(String, Vec<u8>)> {
        let files = files::all(self, metrics_apart);
        let redactor = self.redactor(redacted);
        // RocksDB's own log is text, whatever a bit flip makes of it.
        let clean = |content: Vec<u8>| redactor.clean(&String::from_utf8_lossy(&content)).into_bytes();
        files.into_iter().map(|(name, content)| (name, clean(content))).collect()
    }
}

impl Inside {
    fn redactor(&self, is_of_everything: bool) -> Redactor {
        let config = &self.loaded.config;
        if !is_of_everything {
            return Redactor::of_secrets(config);
        }
        let members = self.node.status().members;
        let members =
            members.iter().map(|member| (member.node_id, member.client_address.as_str(), member.peer_address.as_str()));
        let files = self.loaded.files();
        Redactor::of_everything(config, members, files.iter().map(PathBuf::as_path))
    }
}

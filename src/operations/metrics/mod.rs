//! `/metrics`: what this node and its copy of the ledger look like now, in OpenMetrics text.
//!
//! The documented contract is `cluster-config/monitoring/metrics.md`, which a test makes of this page. Every series with labels of a closed set is there from the start, at
//! 0; units are base units; states are one-hot. Two kinds: of the replicated ledger (equal on all nodes, read with `max`) and
//! of the node (added up with `sum`). Values are read when the page is made: nothing here is on the path of a call.

mod calls;
mod consensus;
mod ledger;
mod notices;
mod page;
mod process;
mod storage;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;

use self::page::Page;
use super::figures::Figures;
use super::health::{Check, Lifecycle};
use super::watch::Seen;
use crate::consensus::NodeStatus;
use crate::counters::Histogram;
use crate::domain::{LedgerTime, Series, Totals};
use crate::storage::log::LogTimes;
use crate::storage::{RefundsDue, StorageError};
use crate::transport::gateways::NoticeMetrics;
use crate::transport::{CallMetrics, OnStorageError};

/// Recorded in microseconds, shown in seconds.
const US_PER_SECOND: f64 = 1e6;

/// What the page is made of.
pub trait Observed: Send + Sync + 'static {
    fn status(&self) -> NodeStatus;
    fn counters(&self) -> &crate::consensus::Metrics;
    /// As leader: other voters that do not answer.
    fn unheard_voters(&self) -> usize;
    /// Reads the ledger: blocks.
    ///
    /// # Errors
    /// The ledger could not be read.
    fn ledger(&self) -> Result<LedgerFigures, StorageError>;
}

#[derive(Debug, Clone, Default)]
pub struct LedgerFigures {
    pub totals: Totals,
    pub series: Vec<Series>,
    pub refunds_due: RefundsDue,
    pub oldest_refund_due_at: Option<LedgerTime>,
}

/// Who this node is, as labels.
#[derive(Debug, Clone)]
pub struct Names {
    pub node_id: String,
    pub node_name: String,
    pub cluster_id: String,
    pub cluster_name: String,
}

pub struct Metrics<O> {
    pub observed: O,
    /// The cluster's name is known once it is made.
    pub names: Box<dyn Fn() -> Names + Send + Sync>,
    pub calls: Arc<CallMetrics>,
    pub notices: Arc<NoticeMetrics>,
    pub log_times: Arc<LogTimes>,
    /// Asked for elsewhere, at intervals.
    pub figures: Arc<Figures>,
    /// Microseconds that making this page took, each time before.
    pub scrape_us: Histogram,
    pub lifecycle: Arc<Lifecycle>,
    pub seen: Arc<Seen>,
    /// See `node.disk_floor`.
    pub disk_floor_bytes: u64,
    /// Unix milliseconds.
    pub started_at_ms: u64,
    /// What was built in that a release cannot contain.
    pub features: String,
    pub on_storage_error: OnStorageError,
}

impl<O: Observed> Metrics<O> {
    /// Reads the ledger: blocks.
    ///
    /// # Errors
    /// The ledger could not be read, which the node is told of, or a value cannot be written as text.
    pub fn render(self: &Arc<Self>) -> Result<String, String> {
        let begun = Instant::now();
        let figures = self.observed.ledger().map_err(|error| {
            (self.on_storage_error)(&error);
            error.to_string()
        })?;
        let status = self.observed.status();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Moment { metrics: self.clone(), status, figures, names: (self.names)() }));
        let mut page = String::new();
        text::encode(&mut page, &registry).map_err(|error| error.to_string())?;
        self.scrape_us.record_us(begun.elapsed());
        Ok(page)
    }

    #[must_use]
    pub fn readiness(&self) -> Vec<Check> {
        super::health::readiness(&self.observed.status(), &self.lifecycle)
    }
}

/// The values of one page, taken together.
struct Moment<O> {
    metrics: Arc<Metrics<O>>,
    status: NodeStatus,
    figures: LedgerFigures,
    names: Names,
}

impl<O> fmt::Debug for Moment<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moment").field("status", &self.status).finish_non_exhaustive()
    }
}

impl<O: Observed> Collector for Moment<O> {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut page = Page::new(encoder);
        self.encode_identity(&mut page)?;
        ledger::encode(&mut page, &self.figures)?;
        let observed = &self.metrics.observed;
        consensus::encode_state(&mut page, &self.status, observed.unheard_voters(), &self.metrics.seen)?;
        consensus::encode_answers(&mut page, observed.counters())?;
        consensus::encode_work(&mut page, observed.counters())?;
        consensus::encode_times(&mut page, observed.counters(), &self.metrics.log_times)?;
        storage::encode_disk(&mut page, &self.metrics, &self.status)?;
        storage::encode(&mut page, &self.metrics.figures)?;
        calls::encode(&mut page, &self.metrics.calls)?;
        notices::encode(&mut page, &self.metrics.notices)?;
        page.histogram(
            "stampede_scrape_duration_seconds",
            "How long making this page took, without this time",
            &self.metrics.scrape_us,
            US_PER_SECOND,
        )?;
        process::encode(&mut page, self.metrics.started_at_ms)
    }
}

impl<O: Observed> Moment<O> {
    fn encode_identity(&self, page: &mut Page<'_>) -> fmt::Result {
        let build = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("revision", crate::operations::build::REVISION),
            ("profile", if cfg!(debug_assertions) { "dev" } else { "release" }),
            ("features", self.metrics.features.as_str()),
        ];
        page.gauges("stampede_build_info", "What this binary was built from", [(build, 1_u64)])?;
        let names = &self.names;
        let node = [
            ("node_id", names.node_id.as_str()),
            ("node_name", names.node_name.as_str()),
            ("cluster_id", names.cluster_id.as_str()),
            ("cluster_name", names.cluster_name.as_str()),
        ];
        page.gauges("stampede_node_info", "Who this node is", [(node, 1_u64)])?;
        let checks = super::health::readiness(&self.status, &self.metrics.lifecycle);
        page.gauges(
            "stampede_healthcheck",
            "Checks of /readyz: 1 passes, 0 fails",
            checks.into_iter().map(|check| ([("name", check.name)], u64::from(check.is_ok))),
        )?;
        page.gauge("stampede_draining", "1 while new calls should go to other nodes", u64::from(self.status.draining))
    }
}

#[cfg(test)]
mod tests;

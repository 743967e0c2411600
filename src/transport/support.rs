//! `stampede.admin.v1.SupportService`: for those who look into a running node, on the operators' port.
//!
//! What is asked for is not the ledger's and not consensus': whoever runs the node has it ([`LooksInside`]). Here it is asked for
//! within limits, and put on the wire.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::limits;
use crate::proto::admin;
use crate::proto::admin::support_service_server::SupportService;
use crate::transport::calls::CallMetrics;
use crate::transport::errors::{Failure, Reason};
use crate::transport::long_answers::LongAnswers;
use crate::transport::validate;

/// Who runs the node, as its operators ask it. Each answer is of now.
pub trait LooksInside: Send + Sync + 'static {
    fn log_level(&self) -> admin::LogLevel;

    /// In a runtime. An empty filter is the configured one, for which no time is asked.
    ///
    /// # Errors
    /// The filter is none: what is wrong with it.
    fn set_log_level(&self, filter: &str, within: Duration) -> Result<(), String>;

    /// The page of the metrics port. Blocks.
    ///
    /// # Errors
    /// The ledger could not be read.
    fn metrics_page(&self) -> Result<String, String>;

    /// Names and contents, each no longer than [`limits::DEBUG_FILE_BYTES_MAX`], with what may not be shown replaced. Blocks, and
    /// waits `metrics_apart` between two pages of metrics.
    fn debug_files(&self, redacted: bool, metrics_apart: Duration) -> Vec<(String, Vec<u8>)>;
}

pub struct Support {
    node: Arc<dyn LooksInside>,
    calls: Arc<CallMetrics>,
    bundles: LongAnswers,
}

impl Support {
    #[must_use]
    pub fn new(node: Arc<dyn LooksInside>, calls: Arc<CallMetrics>, stop: watch::Receiver<bool>) -> Self {
        Self { node, calls, bundles: LongAnswers::debug_bundles(stop) }
    }

    fn set_log_level(&self, request: &admin::SetLogLevelRequest) -> Result<admin::LogLevel, Failure> {
        let within = if request.filter.is_empty() { Duration::ZERO } else { validate::log_filter_for(request.for_ms)? };
        self.node.set_log_level(&request.filter, within).map_err(|problem| Failure::invalid("filter", problem))?;
        Ok(self.node.log_level())
    }
}

#[tonic::async_trait]
impl SupportService for Support {
    async fn get_log_level(
        &self,
        _request: Request<admin::GetLogLevelRequest>,
    ) -> Result<Response<admin::GetLogLevelResponse>, Status> {
        let answer = async { Ok(Response::new(admin::GetLogLevelResponse { level: Some(self.node.log_level()) })) };
        self.calls.get_log_level.count(answer).await
    }

    async fn set_log_level(
        &self,
        request: Request<admin::SetLogLevelRequest>,
    ) -> Result<Response<admin::SetLogLevelResponse>, Status> {
        let answer = async {
            let level = self.set_log_level(request.get_ref())?;
            Ok(Response::new(admin::SetLogLevelResponse { level: Some(level) }))
        };
        self.calls.set_log_level.count(answer).await
    }

    async fn get_metrics(
        &self,
        _request: Request<admin::GetMetricsRequest>,
    ) -> Result<Response<admin::GetMetricsResponse>, Status> {
        let answer = async {
            let node = self.node.clone();
            let page = tokio::task::spawn_blocking(move || node.metrics_page()).await;
            let page = page.map_err(|lost| lost.to_string()).and_then(|page| page);
            let page = page.map_err(|problem| Failure::new(Reason::StorageFailed, problem))?;
            Ok(Response::new(admin::GetMetricsResponse { page }))
        };
        self.calls.get_metrics.count(answer).await
    }

    type CollectDebugFilesStream = BoxStream<'static, Result<admin::CollectDebugFilesResponse, Status>>;

    async fn collect_debug_files(
        &self,
        request: Request<admin::CollectDebugFilesRequest>,
    ) -> Result<Response<Self::CollectDebugFilesStream>, Status> {
        let call = self.calls.collect_debug_files.start();
        let request = request.into_inner();
        let begun = validate::metrics_apart(request.metrics_apart_ms).and_then(|apart| Ok((apart, self.bundles.begin()?)));
        let (apart, answer) = match begun {
            Ok(begun) => begun,
            Err(failure) => {
                let status = failure.status();
                call.end(status.code());
                return Err(status);
            }
        };
        let node = self.node.clone();
        let parts = answer.of_blocking(limits::DEBUG_CHUNKS_AHEAD, move |reader| {
            let files = node.debug_files(!request.unredacted, apart);
            files.into_iter().try_for_each(|(name, content)| {
                // An empty file has one part too.
                let parts = content.chunks(limits::DEBUG_CHUNK_BYTES).map(<[u8]>::to_vec);
                let parts = if content.is_empty() { vec![Vec::new()] } else { parts.collect() };
                let mut parts = parts.into_iter();
                parts.try_for_each(|content| {
                    reader.give_blocking(admin::CollectDebugFilesResponse { name: name.clone(), content })
                })
            })
        });
        Ok(Response::new(call.until_the_end_of(parts)))
    }
}

//! One figure of a node's own metrics, for what no client can have seen of it.

use anyhow::Context;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;

use crate::cluster::Node;
use crate::limits;

/// Of the class that payments are in.
const PAYMENTS_SHED: &str = "stampede_admission_shed_total{class=\"confirmation\"}";

/// Calls with payments that the node turned away since its process began. `None`: it is not the tool's own, and nobody said where its
/// metrics are.
///
/// # Errors
/// The node does not answer, or has no such metric.
pub async fn payments_shed(node: &Node) -> anyhow::Result<Option<u64>> {
    let Some(address) = node.metrics() else { return Ok(None) };
    let asked = async {
        let http = legacy::Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(node.address().door);
        let answer = http.get(format!("http://{address}/metrics").parse()?).await?;
        let page = Limited::new(answer.into_body(), limits::METRICS_BYTES_MAX).collect().await;
        let page = page.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
        value(std::str::from_utf8(&page)?, PAYMENTS_SHED).with_context(|| format!("it has no {PAYMENTS_SHED}"))
    };
    let answered = tokio::time::timeout(limits::ADMIN_DEADLINE, asked).await.context("no answer")?;
    answered.map(Some).with_context(|| format!("the metrics of node {}", node.id()))
}

/// Of a counter in the text format of Prometheus.
fn value(page: &str, series: &str) -> Option<u64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_name_and_labels() {
        let page = "# TYPE stampede_admission_shed_total counter\n\
                    stampede_admission_shed_total{class=\"new_order\"} 7\n\
                    stampede_admission_shed_total{class=\"confirmation\"} 3\n";
        assert_eq!(value(page, PAYMENTS_SHED), Some(3));
        assert_eq!(value("", PAYMENTS_SHED), None);
    }
}

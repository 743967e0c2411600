//! The metrics port: `/metrics`, `/livez`, `/readyz`, `/startupz`. HTTP, read-only, nothing secret.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::health::Check;
use super::metrics::{Metrics, Observed};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Until `stop` completes.
///
/// # Errors
/// The listener failed.
pub async fn serve<O: Observed>(
    listener: TcpListener,
    metrics: Arc<Metrics<O>>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(page::<O>))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz::<O>))
        .route("/startupz", get(startupz::<O>))
        .with_state(metrics);
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

async fn page<O: Observed>(State(metrics): State<Arc<Metrics<O>>>) -> Response {
    // The ledger is read: not on a thread that serves calls.
    let rendered = tokio::task::spawn_blocking(move || metrics.render()).await;
    match rendered.map_err(|error| error.to_string()).and_then(|page| page) {
        Ok(page) => ([(header::CONTENT_TYPE, OPENMETRICS), (header::CACHE_CONTROL, "no-store")], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn readyz<O: Observed>(State(metrics): State<Arc<Metrics<O>>>, Query(query): Query<HashMap<String, String>>) -> Response {
    let excluded: Vec<&str> = query.get("exclude").map(|names| names.split(',').collect()).unwrap_or_default();
    answer("readyz", metrics.readiness(), &excluded, query.contains_key("verbose"))
}

/// Ready once, ready for this probe: only whether the process has come up is asked.
async fn startupz<O: Observed>(
    State(metrics): State<Arc<Metrics<O>>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let checks = metrics.readiness().into_iter().filter(|check| check.name == "started").collect();
    answer("startupz", checks, &[], query.contains_key("verbose"))
}

/// A failing check is always told; the passing ones only if asked.
fn answer(probe: &str, checks: Vec<Check>, excluded: &[&str], is_verbose: bool) -> Response {
    let mut text = String::new();
    let mut is_ok = true;
    for check in checks {
        let is_excluded = excluded.contains(&check.name);
        is_ok &= check.is_ok || is_excluded;
        match (is_excluded, check.is_ok) {
            (true, _) if is_verbose => text.push_str(&format!("[+]{} excluded: ok\n", check.name)),
            (false, true) if is_verbose => text.push_str(&format!("[+]{} ok\n", check.name)),
            (false, false) => text.push_str(&format!("[-]{} failed: {}\n", check.name, check.detail)),
            _ => {}
        }
    }
    let (code, verdict) = if is_ok { (StatusCode::OK, "passed") } else { (StatusCode::SERVICE_UNAVAILABLE, "failed") };
    if text.is_empty() {
        return (code, "ok\n").into_response();
    }
    (code, format!("{text}{probe} check {verdict}\n")).into_response()
}

//! gRPC, under the names that go-grpc-prometheus made common.

use std::fmt;

use super::page::{Page, scaled};
use crate::transport::CallMetrics;
use crate::transport::calls::{MethodCalls, SECONDS_BOUNDS_US};

pub(super) fn encode<'a>(page: &mut Page<'a>, calls: &'a CallMetrics) -> fmt::Result {
    let all = calls.all();
    let names = |call: &'a MethodCalls| [("grpc_type", call.kind), ("grpc_service", call.service), ("grpc_method", call.method)];
    page.counters("grpc_server_started", "Calls that began", all.iter().map(|call| (names(call), call.started())))?;
    let handled = all.iter().flat_map(|call| {
        let [kind, service, method] = names(call);
        call.handled().map(move |(code, count)| ([kind, service, method, ("grpc_code", code)], count))
    });
    page.counters("grpc_server_handled", "Calls that ended, by their code", handled)?;
    let seconds = all.iter().map(|call| {
        let bounds = SECONDS_BOUNDS_US.into_iter().chain([u64::MAX]);
        (names(call), call.sum().as_secs_f64(), scaled(bounds.zip(call.buckets()), 1e6))
    });
    page.histograms("grpc_server_handling_seconds", "How long calls took", seconds)
}

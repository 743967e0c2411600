//! gRPC, under the names that go-grpc-prometheus made common.

use std::fmt;

use super::page::{Label, Page, scaled};
use crate::transport::CallMetrics;
use crate::transport::calls::{MethodCalls, SECONDS_BOUNDS_US};

pub(super) fn encode(page: &mut Page<'_>, calls: &CallMetrics) -> fmt::Result {
    let all = calls.all();
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

fn names(call: &MethodCalls) -> [Label<'static>; 3] {
    [("grpc_type", call.kind), ("grpc_service", call.service), ("grpc_method", call.method)]
}

//! gRPC, under the names that go-grpc-prometheus made common.

use std::fmt;

use super::page::{Label, Page};
use crate::transport::CallMetrics;
use crate::transport::calls::MethodCalls;

pub(super) fn encode(page: &mut Page<'_>, calls: &CallMetrics) -> fmt::Result {
    let all = calls.all();
    page.counters("grpc_server_started", "Calls that began", all.iter().map(|call| (names(call), call.started())))?;
    let handled = all.iter().flat_map(|call| {
        let [kind, service, method] = names(call);
        call.handled().map(move |(code, count)| ([kind, service, method, ("grpc_code", code)], count))
    });
    page.counters("grpc_server_handled", "Calls that ended, by their code", handled)?;
    let took = all.iter().map(|call| (names(call), call.took()));
    page.latencies_of("grpc_server_handling_seconds", "How long calls took", took)?;
    page.counter(
        "stampede_stock_exhausted_refusals",
        "PlaceOrder calls that were refused because the series had too few stamps left",
        calls.stock_exhausted.get(),
    )?;
    page.counter(
        "stampede_client_connections_turned_away",
        "Connections to the client port that were closed at once because as many as may be were open",
        calls.client_connections_turned_away.get(),
    )
}

fn names(call: &MethodCalls) -> [Label<'static>; 3] {
    [("grpc_type", call.kind), ("grpc_service", call.service), ("grpc_method", call.method)]
}

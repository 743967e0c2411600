//! `SupportService`: its limits, and files in parts. (What is behind it, `tests/cluster` shows of real nodes.)

use stampede::proto::admin::support_service_client::SupportServiceClient;
use stampede::proto::admin::{
    CollectDebugFilesRequest, CollectDebugFilesResponse, GetLogLevelRequest, GetMetricsRequest, SetLogLevelRequest,
};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::{LARGE_FILE_BYTES, TestNode, channel, info, start};

async fn support(node: &TestNode) -> SupportServiceClient<Channel> {
    SupportServiceClient::new(channel(&node.admin_address).await)
}

async fn set(node: &TestNode, filter: &str, for_ms: i64) -> Result<String, Status> {
    let request = SetLogLevelRequest { filter: filter.to_owned(), for_ms };
    Ok(support(node).await.set_log_level(request).await?.into_inner().level.unwrap().filter)
}

#[tokio::test]
async fn what_the_log_lets_through_is_set_for_a_second_to_a_day_and_told() {
    let node = start().await;
    assert_eq!(set(&node, "debug", 1_000).await.unwrap(), "debug for 1s");
    assert_eq!(set(&node, "debug", 86_400_000).await.unwrap(), "debug for 86400s");
    assert_eq!(set(&node, "", -5).await.unwrap(), " for 0s", "as configured: no time is asked");
    let table = [
        ("debug", 999, "for_ms must be 1000 to 86400000, is 999"),
        ("debug", 86_400_001, "for_ms must be 1000 to 86400000, is 86400001"),
        ("debug", -1, "for_ms must be 1000 to 86400000, is -1"),
        ("loud", 1_000, "filter is no level"),
    ];
    for (filter, for_ms, told) in table {
        let refused = set(&node, filter, for_ms).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, told));
        assert_eq!(info(&refused).reason, "INVALID_FIELD");
    }
    let level = support(&node).await.get_log_level(GetLogLevelRequest {}).await.unwrap().into_inner().level.unwrap();
    assert_eq!(level.filter, " for 0s", "what was refused changed nothing");
    let page = support(&node).await.get_metrics(GetMetricsRequest {}).await.unwrap().into_inner().page;
    assert_eq!(page, "page");
    node.stop().await;
}

#[tokio::test]
async fn a_file_that_is_larger_than_a_message_comes_in_parts_and_an_empty_one_comes_too() {
    let node = start().await;
    let request = CollectDebugFilesRequest { unredacted: false, metrics_apart_ms: 5_000 };
    let mut answer = support(&node).await.collect_debug_files(request).await.unwrap().into_inner();
    let mut parts: Vec<CollectDebugFilesResponse> = Vec::new();
    while let Some(part) = answer.message().await.unwrap() {
        parts.push(part);
    }
    let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names, ["asked.txt", "large.bin", "large.bin", "empty"]);
    assert_eq!(parts[0].content, b"true 5s");
    assert_eq!(parts[1].content.len() + parts[2].content.len(), LARGE_FILE_BYTES);
    let too_far = CollectDebugFilesRequest { unredacted: true, metrics_apart_ms: 5_001 };
    let refused = support(&node).await.collect_debug_files(too_far).await.unwrap_err();
    assert_eq!(refused.message(), "metrics_apart_ms must be 0 to 5000, is 5001");
    node.stop().await;
}

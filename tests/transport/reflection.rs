//! What a client in another language finds without our proto files, and how it asks for health.

use std::time::Instant;

use tokio_stream::StreamExt;
use tonic::transport::Channel;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::support::{PATIENCE, start};

#[tokio::test]
async fn the_client_port_lists_its_services_and_nothing_of_the_peers() {
    let node = start().await;
    let channel = Channel::from_shared(format!("http://{}", node.client_address)).unwrap().connect().await.unwrap();
    let list =
        ServerReflectionRequest { host: String::new(), message_request: Some(MessageRequest::ListServices(String::new())) };
    let mut client = ServerReflectionClient::new(channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::once(list)).await.unwrap().into_inner();
    let answer = answers.next().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"stampede.v1.IssuanceService") && names.contains(&"grpc.health.v1.Health"), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("raft") || name.contains("admin")), "{names:?}");

    let check = HealthCheckRequest { service: "stampede.v1.IssuanceService".to_owned() };
    let mut health = HealthClient::new(channel);
    // The reporter's task sets the status when the port opens: the first answer may come before it.
    let until = Instant::now() + PATIENCE;
    while health.check(check.clone()).await.ok().map(|answer| answer.into_inner().status()) != Some(ServingStatus::Serving) {
        assert!(Instant::now() < until, "the port never says that it serves");
        tokio::task::yield_now().await;
    }
    node.stop().await;
}

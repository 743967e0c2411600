//! A node by itself: before `init`, and when its data directory is not its own.

use stampede::proto::v1::command::Command as Kind;
use stampede::proto::v1::command_result::Result as Answer;
use stampede::proto::v1::issuance_service_client::IssuanceServiceClient as Client;
use stampede::proto::v1::{Command, PlaceOrderRequest, SubmitBatchRequest};

use crate::harness::{Cluster, until};

#[test]
fn a_fresh_node_lives_waits_for_init_and_shows_every_documented_metric() {
    let mut cluster = Cluster::new(3);
    cluster.start(1);
    cluster.until_started(1);

    assert_eq!(cluster.http(1, "/livez").unwrap().0, 200, "it lives without a cluster");
    let (code, told) = cluster.http(1, "/readyz?verbose").unwrap();
    assert_eq!(code, 503);
    assert!(told.contains("[-]initialized failed: waits for `stampede init`"), "{told}");
    assert!(told.contains("[+]started ok"), "{told}");
    let (code, told) = cluster.http(1, "/readyz?exclude=initialized,leader").unwrap();
    assert_eq!((code, told.as_str()), (200, "ok\n"), "what is excluded does not count");
    assert!(cluster.log(1).contains("\"event\":\"waiting_for_init\""), "it says so");
    assert_eq!(cluster.stampede(&["status"]).status.code(), Some(10));

    let (code, page) = cluster.http(1, "/metrics").unwrap();
    assert_eq!(code, 200);
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/cluster-config/README.md")).unwrap();
    let documented = readme
        .split('`')
        .filter(|word| ["stampede_", "grpc_server_", "process_"].iter().any(|prefix| word.starts_with(prefix)));
    for word in documented.filter(|word| !word.contains("{series}")) {
        let name = word.split('{').next().unwrap();
        let is_there = page.lines().any(|line| line.starts_with(name) && !line.starts_with('#'));
        assert!(is_there, "{name} is documented and not on the page of a fresh node:\n{page}");
    }
    for line in page.lines().filter(|line| line.starts_with("grpc_server_handled_total{") && line.contains("IssuanceService")) {
        assert!(line.ends_with(" 0"), "{line}");
    }
}

#[test]
fn a_cluster_of_one_serves_and_init_is_refused_the_second_time() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    cluster.until_started(1);
    assert!(cluster.stampede(&["init", "--name", "one"]).status.success());
    until("it is ready", || cluster.http(1, "/readyz").is_some_and(|(code, _)| code == 200));
    let again = cluster.stampede(&["init", "--name", "one"]);
    assert_eq!(again.status.code(), Some(5), "{}", String::from_utf8_lossy(&again.stderr));

    cluster.send_sigterm(1);
    assert_eq!(cluster.wait(1).code(), Some(0), "nobody to hand over to is no reason to fail");
    cluster.start(1);
    until("it leads again", || cluster.leader() == Some(1));
}

#[test]
fn a_data_directory_of_another_node_or_of_a_running_one_is_refused() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    cluster.until_started(1);
    let second = cluster.command(1).status().unwrap();
    assert_eq!(second.code(), Some(22), "the directory is in use");
    cluster.kill(1);

    let members = "cluster.members=[{id=2,client=\"127.0.0.1:1\",peer=\"127.0.0.1:2\"}]";
    let other = cluster.command(1).args(["--set", "node.id=2", "--set", members]).status().unwrap();
    assert_eq!(other.code(), Some(22), "the directory belongs to node 1");
    assert!(cluster.log(1).contains("belongs to node 1, not to node 2"), "{}", cluster.log(1));

    cluster.start(1);
    cluster.until_started(1);
}

#[test]
fn a_node_does_not_outlive_the_pipe_it_was_told_to_watch() {
    let cluster = Cluster::new(1);
    let node = cluster.command(1).arg("--exit-with-stdin").stdin(std::process::Stdio::piped()).spawn().unwrap();
    cluster.until_started(1);
    assert_eq!(ended_after_stdin_closed(node).code(), Some(0));
}

#[test]
fn a_parent_that_ends_after_it_sent_a_signal_does_not_cut_the_stop_short() {
    let cluster = Cluster::new(1);
    let node = cluster.command(1).arg("--exit-with-stdin").stdin(std::process::Stdio::piped()).spawn().unwrap();
    cluster.until_started(1);
    assert!(std::process::Command::new("kill").args(["-TERM", &node.id().to_string()]).status().unwrap().success());
    assert_eq!(ended_after_stdin_closed(node).code(), Some(0), "{}", cluster.log(1));
}

fn ended_after_stdin_closed(mut node: std::process::Child) -> std::process::ExitStatus {
    drop(node.stdin.take());
    let mut status = None;
    until("it has ended", || {
        status = node.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

#[test]
fn a_node_with_another_key_than_its_series_is_not_ready_and_names_them() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    cluster.until_started(1);
    assert!(cluster.stampede(&["init", "--name", "one"]).status.success());
    until("it leads", || cluster.leader() == Some(1));
    assert!(cluster.stampede(&["series", "open", "CPN", "--capacity", "10"]).status.success());
    until("it is ready", || cluster.http(1, "/readyz").is_some_and(|(code, _)| code == 200));
    let placed = cluster.json(None, &["order", "place", "--series", "CPN"]);
    let paid = cluster.json(None, &["order", "pay", placed["order_id"].as_str().unwrap()]);
    cluster.kill(1);

    cluster.write_key("08");
    cluster.start(1);
    until("it says so", || {
        let told = cluster.http(1, "/readyz");
        told.is_some_and(|(code, told)| {
            code == 503 && told.contains("[-]serial_key failed: series CPN was opened with another")
        })
    });
    assert!(cluster.log(1).contains("\"event\":\"serial_key_mismatch\""), "{}", cluster.log(1));
    // What the last of its attempts met may be the end of its time.
    until("a genuine code is told to be of another key", || {
        let verified = cluster.stampede(&["stamp", "verify", paid["codes"][0].as_str().unwrap(), "--timeout", "1s"]);
        assert_ne!(verified.status.code(), Some(12), "it is not forged");
        String::from_utf8_lossy(&verified.stderr).contains("opened with another key")
    });
}

/// Kibibytes that a file may have: enough to start, not for what `a_disk_that_fails` writes.
const FILE_KIB_MAX: u32 = 512;

#[test]
fn a_disk_that_fails_while_the_node_runs_ends_it_with_a_code_of_its_own() {
    let mut cluster = Cluster::new(1);
    // A write beyond the limit fails as one to a full disk does.
    cluster.start_with_file_limit(1, FILE_KIB_MAX);
    cluster.until_started(1);
    assert!(cluster.stampede(&["init", "--name", "one"]).status.success());
    until("it leads", || cluster.leader() == Some(1));
    assert!(cluster.stampede(&["series", "open", "CPN", "--capacity", "1000000"]).status.success());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sold = runtime.block_on(sell_until_it_fails(cluster.client_address(1)));
    assert!(!sold.is_empty(), "the node goes on without a disk");
    assert_eq!(cluster.wait(1).code(), Some(20), "{sold}\n{}", cluster.log(1));
}

async fn sell_until_it_fails(address: String) -> String {
    let mut client = Client::connect(format!("http://{address}")).await.unwrap();
    for _ in 0..200 {
        let order = || PlaceOrderRequest {
            order_id: uuid::Uuid::now_v7().to_string(),
            account_id: "load".into(),
            series_code: "CPN".into(),
            quantity: 1,
        };
        let commands = (0..100).map(|_| Command { command: Some(Kind::PlaceOrder(order())) }).collect();
        match client.submit_batch(SubmitBatchRequest { batch_id: 1, commands }).await.map(tonic::Response::into_inner) {
            Err(status) => return format!("{status:?}"),
            Ok(answer) => {
                if let Some(Answer::Error(error)) = &answer.results[0].result {
                    return format!("{error:?}");
                }
            }
        }
    }
    String::new()
}

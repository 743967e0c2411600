//! What an operator sees of a running cluster, and of its nodes from within.

use std::collections::BTreeMap;
use std::io::Read as _;

use serde_json::Value;

use crate::harness::{Cluster, PATIENCE, XENDIT_TOKEN, until};

/// Who leads stays in office, however busy the machine is: what is looked at here is not elections.
fn steady() -> Cluster {
    Cluster::running_with(&["raft.heartbeat=100ms", "raft.election_timeout_min=2s", "raft.election_timeout_max=4s"])
}

/// Lines of a node's log with this event.
fn lines(cluster: &Cluster, node: u64, event: &str) -> Vec<Value> {
    let log = cluster.log(node);
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["event"] == event).collect()
}

fn told(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn followers(cluster: &Cluster) -> (u64, Vec<u64>) {
    let mut leader = None;
    until("a leader", || {
        leader = cluster.leader();
        leader.is_some()
    });
    let leader = leader.unwrap();
    (leader, cluster.nodes().into_iter().filter(|node| *node != leader).collect())
}

#[test]
fn a_peer_that_is_away_is_one_line_when_it_goes_and_one_when_it_is_back() {
    let mut cluster = steady();
    let (leader, others) = followers(&cluster);
    let gone = others[0];
    let before = cluster.log(leader).lines().count();
    cluster.kill(gone);
    until("the leader tells of it", || !lines(&cluster, leader, "peer_gone").is_empty());
    // Many messages that do not arrive later it is still one line.
    for _ in 0..20 {
        cluster.json(None, &["order", "place", "--series", "CPN"]);
    }
    let told = lines(&cluster, leader, "peer_gone");
    assert_eq!(told.iter().map(|line| line["peer"].as_u64()).collect::<Vec<_>>(), [Some(gone)]);
    let written = cluster.log(leader).lines().count() - before;
    assert!(written < 20, "a dead peer fills the log: {written} lines\n{}", cluster.log(leader));
    cluster.start(gone);
    until("it tells that it is back", || !lines(&cluster, leader, "peer_back").is_empty());
    let back = lines(&cluster, leader, "peer_back");
    assert_eq!(back.iter().map(|line| line["peer"].as_u64()).collect::<Vec<_>>(), [Some(gone)]);
}

#[test]
fn every_line_of_the_log_is_json_with_a_time_and_an_event() {
    let mut cluster = Cluster::running();
    let (leader, _) = followers(&cluster);
    cluster.kill(leader);
    until("another leads", || cluster.leader().is_some());
    cluster.start(leader);
    until("all hold the same", || cluster.same_digest());
    for node in cluster.nodes() {
        for line in cluster.log(node).lines() {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let is_ours = value["target"].as_str().is_some_and(|target| target.starts_with("stampede"));
            assert!(value["timestamp"].is_string() && (!is_ours || value["event"].is_string()), "{line}");
        }
    }
    let successor = cluster.leader().unwrap();
    assert!(!lines(&cluster, successor, "leader_changed").is_empty(), "{}", cluster.log(successor));
}

#[test]
fn the_log_level_changes_while_nodes_run_and_goes_back_by_itself() {
    let cluster = steady();
    let debug_lines = |node| cluster.log(node).lines().filter(|line| line.contains("\"level\":\"DEBUG\"")).count();
    assert_eq!(debug_lines(1), 0);
    let set = cluster.json(None, &["log-level", "set", "info,openraft=debug", "--for", "1h"]);
    assert_eq!(set.as_array().map(Vec::len), Some(3), "all nodes at once");
    until("openraft is heard", || debug_lines(1) > 0 && debug_lines(2) > 0);
    let shown = cluster.json(None, &["log-level", "show"]);
    assert_eq!((&shown[0]["filter"], &shown[0]["configured"]), (&"info,openraft=debug".into(), &"info".into()));
    assert!(shown[0]["back_in"].as_str().is_some_and(|left| left.contains("59m") || left == "1h"), "{shown}");

    cluster.json(None, &["log-level", "set", "warn", "--for", "1s"]);
    until("it is as configured again", || cluster.json(None, &["log-level", "show"])[0]["back_in"].is_null());
    let filters: Vec<Value> = lines(&cluster, 1, "log_level").iter().map(|line| line["filter"].clone()).collect();
    assert_eq!(filters, ["info,openraft=debug", "warn", "info"]);
    cluster.json(None, &["log-level", "set", "debug"]);
    cluster.json(None, &["log-level", "reset"]);
    assert_eq!(cluster.json(None, &["log-level", "show"])[0]["filter"], "info");

    let refused = cluster.stampede(&["log-level", "set", "loud"]);
    assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));
    let too_long = cluster.stampede(&["log-level", "set", "debug", "--for", "2days"]);
    assert!(too_long.status.code() == Some(2) && told(&too_long).contains("must be 1s to 1day"), "{}", told(&too_long));
}

#[test]
fn health_waits_until_the_cluster_is_healthy_and_says_what_is_wrong_when_it_does_not_become_so() {
    let mut cluster = steady();
    let mut verdict = Value::Null;
    until("it is healthy", || {
        let health = cluster.stampede(&["health", "-o", "json"]);
        verdict = serde_json::from_slice(&health.stdout).unwrap();
        health.status.code() == Some(0)
    });
    assert_eq!(verdict["verdict"], "healthy");
    let (_, others) = followers(&cluster);
    let gone = others[0];
    cluster.kill(gone);
    let degraded = cluster.stampede(&["health", "-o", "json"]);
    let verdict: Value = serde_json::from_slice(&degraded.stdout).unwrap();
    assert_eq!((degraded.status.code(), &verdict["verdict"]), (Some(11), &"degraded".into()));
    assert_eq!(cluster.stampede(&["health", "--allow-degraded"]).status.code(), Some(0));
    let late = cluster.stampede(&["health", "--wait", "--timeout", "500ms"]);
    assert_eq!(late.status.code(), Some(8), "{}", told(&late));
    assert!(told(&late).contains("not healthy within 500ms") && told(&late).contains("next: "), "{}", told(&late));

    let waiting = cluster.begin(&["health", "--wait", "--timeout", &format!("{}s", PATIENCE.as_secs())]);
    cluster.start(gone);
    let (code, said) = waiting.wait();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn status_is_watched_look_by_look_and_told_in_yaml_as_in_json() {
    let cluster = steady();
    let yaml = cluster.stampede(&["status", "-o", "yaml"]);
    let nodes: Value = yaml_serde::from_slice(&yaml.stdout).unwrap();
    let fields = |value: &Value| value[0].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(&nodes), fields(&cluster.json(None, &["status"])));
    let rows = nodes.as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["node"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(rows.iter().all(|row| row["lag"].is_u64() && row["version"] == env!("CARGO_PKG_VERSION")), "{nodes}");

    let mut watch = std::process::Command::new(env!("CARGO_BIN_EXE_stampede"));
    let addresses: Vec<String> = cluster.nodes().into_iter().map(|node| cluster.admin_address(node)).collect();
    watch.args(["status", "--watch", "100ms", "-o", "json", "--admin", &addresses.join(",")]);
    let mut watch = watch.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut looks = std::io::BufReader::new(watch.stdout.take().unwrap());
    for _ in 0..3 {
        let mut look = String::new();
        std::io::BufRead::read_line(&mut looks, &mut look).unwrap();
        let look: Value = serde_json::from_str(&look).unwrap();
        assert_eq!(look.as_array().map(Vec::len), Some(3));
    }
    // Whoever looks has gone: so does it.
    drop(looks);
    let mut ended = None;
    until("the watch ends", || {
        ended = watch.try_wait().unwrap();
        ended.is_some()
    });
    assert!(ended.unwrap().success());
}

#[test]
fn top_without_a_terminal_prints_a_line_for_each_node_and_look() {
    let mut cluster = steady();
    let (_, others) = followers(&cluster);
    cluster.kill(others[0]);
    let lines = cluster.stampede(&["top", "--every", "100ms", "--looks", "2"]);
    let lines = String::from_utf8(lines.stdout).unwrap();
    assert_eq!(lines.lines().count(), 6, "{lines}");
    assert_eq!(lines.matches(" role=leader ").count(), 2, "{lines}");
    assert_eq!(lines.matches(" role=unreachable ").count(), 2, "{lines}");
    let json = cluster.stampede(&["top", "--every", "100ms", "--looks", "1", "-o", "json"]);
    let look: Value = serde_json::from_slice(&json.stdout).unwrap();
    let leader = look.as_array().unwrap().iter().find(|node| node["role"] == "leader").unwrap();
    assert!(leader["disk_free_bytes"].as_u64() > Some(0) && leader["applied"].is_u64(), "{look}");
    assert!(leader["commands_per_second"].is_number() && leader["cluster_orders_per_second"].is_number(), "{look}");
}

/// What a bundle unpacks to, without the name of its folder.
fn unpacked(path: &std::path::Path) -> BTreeMap<String, String> {
    let file = flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap());
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(file).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().split_once('/').unwrap().1.to_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.insert(name, text);
    }
    files
}

fn bundle(cluster: &Cluster, folder: &std::path::Path, more: &[&str]) -> (Value, BTreeMap<String, String>) {
    let path = folder.join(format!("bundle-{}.tar.gz", more.len()));
    let mut args = vec!["debug", "bundle", "--metrics-apart", "100ms", "--file", path.to_str().unwrap()];
    args.extend(more);
    let told = cluster.json(None, &args);
    (told, unpacked(&path))
}

#[test]
fn a_debug_bundle_has_every_node_that_answers_and_neither_a_secret_nor_a_place() {
    let mut cluster = steady();
    let placed = cluster.json(None, &["order", "place", "--series", "CPN", "--account", "buyer-of-the-test"]);
    let order = placed["order_id"].as_str().unwrap().to_owned();
    cluster.json(None, &["order", "pay", &order, "--gateway", "midtrans", "--payment-id", "payment-of-the-test"]);
    let (_, others) = followers(&cluster);
    let gone = others[0];
    cluster.kill(gone);
    let folder = tempfile::tempdir().unwrap();
    let (told, files) = bundle(&cluster, folder.path(), &[]);
    assert_eq!((told["nodes"].as_array().map(Vec::len), &told["silent"]), (Some(2), &1.into()));

    let answering: Vec<u64> = cluster.nodes().into_iter().filter(|node| *node != gone).collect();
    for node in &answering {
        let file = |name: &str| files.get(&format!("node-{node}/{name}")).unwrap_or_else(|| panic!("{name} of {node}"));
        let status: Value = serde_json::from_str(file("status.json")).unwrap();
        assert_eq!((&status["node_id"], &status["readiness"]["started"]), (&(*node).into(), &"ok".into()));
        assert_eq!(status["members"].as_array().map(Vec::len), Some(3));
        assert!(status["raft"]["applied"]["index"].as_u64() > Some(0), "{status}");
        assert!(file("metrics-1.txt").contains("stampede_raft_term") && file("metrics-2.txt").ends_with("# EOF\n"));
        assert!(file("config.toml").contains("data_dir = \"<node.data_dir>\""), "{}", file("config.toml"));
        assert!(file("log.txt").contains("\"event\":\"node_ready\""), "{}", file("log.txt"));
        assert!(file("rocksdb/log.LOG").contains("Host name (Env):  <machine>"), "{}", file("rocksdb/log.LOG"));
        assert!(file("rocksdb/log.LOG").contains("RocksDB version") && file("rocksdb/ledger.LOG").contains("RocksDB version"));
        assert!(file("rocksdb/log.stats.txt").contains("Compaction Stats"), "{}", file("rocksdb/log.stats.txt"));
        assert!(file("data-dir.txt").contains(" ledger/CURRENT\n"), "{}", file("data-dir.txt"));
        assert!(file("process/limits.txt").contains("Max open files") && file("process/status.txt").contains("VmRSS"));
        assert!(file("digests.txt").lines().count() > 1 && file("build.json").contains("\"version\""));
    }
    let manifest: Value = serde_json::from_str(&files["MANIFEST.json"]).unwrap();
    assert_eq!((&manifest["redacted"], manifest["silent"].as_array().map(Vec::len)), (&true.into(), Some(1)));
    let listed: Vec<&String> = manifest["files"].as_object().unwrap().keys().collect();
    assert!(files.keys().filter(|name| *name != "MANIFEST.json").eq(listed), "each file has its checksum");

    let secrets = [&"07".repeat(32), XENDIT_TOKEN, &order, "buyer-of-the-test", "payment-of-the-test"];
    let places = [cluster.data_dir(1).display().to_string(), "127.0.0.1".to_owned(), cluster.admin_address(gone)];
    for (name, text) in &files {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} is in {name}");
        }
        for place in &places {
            assert!(!text.contains(place), "{place} is in {name}");
        }
    }
    // Asked for, places are there, and secrets are not.
    let (_, whole) = bundle(&cluster, folder.path(), &["--unredacted"]);
    let config = &whole[&format!("node-{}/config.toml", answering[0])];
    assert!(config.contains(&cluster.client_address(answering[0])), "{config}");
    assert!(whole.values().all(|text| secrets.iter().all(|secret| !text.contains(*secret))));
}

#[test]
fn a_debug_bundle_replaces_no_file_and_without_a_node_there_is_none() {
    let cluster = steady();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("there.tar.gz");
    std::fs::write(&path, "mine").unwrap();
    let path = path.to_str().unwrap();
    let refused = cluster.stampede(&["debug", "bundle", "--metrics-apart", "0s", "--file", path]);
    assert!(refused.status.code() == Some(1) && told(&refused).contains("--file"), "{}", told(&refused));
    assert_eq!(std::fs::read_to_string(path).unwrap(), "mine");
    let nobody = crate::harness::free_port();
    let silent = cluster.stampede(&["debug", "bundle", "--admin", &format!("127.0.0.1:{nobody}")]);
    assert_eq!(silent.status.code(), Some(3), "{}", told(&silent));
}

//! Which value wins, and what is refused with which words.

use std::path::PathBuf;
use std::time::Duration;

use super::*;

/// A configuration with nothing but what has no default.
const LEAST: &str = r#"
    [node]
    id = 1
    data_dir = "data"
    [cluster]
    members = [{ id = 1, client = "127.0.0.1:7700", peer = "127.0.0.1:7701" }]
    [serials]
    key_file = "serial.key"
"#;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn problems_of(more: &str) -> Vec<String> {
    let files = Files::new();
    let sources = Sources { files: vec![files.file("least.toml", LEAST), files.file("more.toml", more)], ..Sources::default() };
    load(&sources).map_or_else(|error| error.problems, |_| Vec::new())
}

fn with_flags(flags: &[&str]) -> Result<Loaded, ConfigError> {
    let files = Files::new();
    let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    load(&Sources { files: vec![files.file("least.toml", LEAST)], flags, ..Sources::default() })
}

#[test]
fn the_later_source_wins_key_by_key() {
    let files = Files::new();
    let mut sources = Sources {
        files: vec![
            files.file("shared.toml", &format!("{LEAST}\n[raft]\nheartbeat = \"20ms\"\nelection_timeout_min = \"90ms\"")),
            files.file("node.toml", "[raft]\nheartbeat = \"21ms\""),
        ],
        ..Sources::default()
    };
    let config = load(&sources).unwrap().config;
    assert_eq!(config.raft.heartbeat, Duration::from_millis(21), "the later file");
    assert_eq!(config.raft.election_timeout_min, Duration::from_millis(90), "the earlier file, where the later is silent");
    assert_eq!(config.raft.election_timeout_max, Duration::from_millis(150), "the default, where both are silent");

    sources.environment = vec![("STAMPEDE_RAFT__HEARTBEAT".into(), "22ms".into()), ("HOME".into(), "/".into())];
    assert_eq!(load(&sources).unwrap().config.raft.heartbeat, Duration::from_millis(22), "a variable over files");

    sources.flags = vec!["raft.heartbeat=23ms".into()];
    assert_eq!(load(&sources).unwrap().config.raft.heartbeat, Duration::from_millis(23), "a flag over all");
}

#[test]
fn a_relative_path_starts_at_the_file_that_names_it() {
    let files = Files::new();
    let config = load(&Sources { files: vec![files.file("least.toml", LEAST)], ..Sources::default() }).unwrap().config;
    assert_eq!(config.node.data_dir, files.0.path().join("data"));
}

#[test]
fn an_unknown_key_is_named_with_its_file_and_its_neighbours() {
    let problems = problems_of("[raft]\nhartbeat = \"20ms\"\n[rafft]\nx = 1");
    assert_eq!(problems.len(), 2, "{problems:?}");
    let whole = problems.join("\n");
    for part in ["unknown key raft.hartbeat in ", "more.toml", "heartbeat, election_timeout_min", "unknown key rafft in "] {
        assert!(whole.contains(part), "{part} is missing in {whole}");
    }
}

#[test]
fn an_unknown_variable_of_ours_is_refused_and_a_client_variable_is_not_ours() {
    let files = Files::new();
    let mut sources = Sources { files: vec![files.file("least.toml", LEAST)], ..Sources::default() };
    sources.environment = vec![("STAMPEDE_SERVER".into(), "127.0.0.1:1".into())];
    load(&sources).unwrap();
    sources.environment = vec![("STAMPEDE_RAFT__HEARTBEATS".into(), "1ms".into())];
    let error = load(&sources).unwrap_err();
    let nearest = |variable: &str| {
        let environment = vec![(variable.to_owned(), "1ms".to_owned())];
        load(&Sources { environment, ..sources.clone() }).map_or_else(|error| error.problems.concat(), |_| String::new())
    };
    for (variable, meant) in [
        ("STAMPEDE_RAFT_HEARTBEAT", "STAMPEDE_RAFT__HEARTBEAT"),
        ("STAMPEDE_HEARTBEAT", "STAMPEDE_RAFT__HEARTBEAT"),
        ("STAMPEDE_NODE_DATADIR", "STAMPEDE_NODE__DATA_DIR"),
        ("STAMPEDE_LOG_LEVEL", "STAMPEDE_LOG__LEVEL"),
    ] {
        assert_eq!(nearest(variable), format!("unknown variable {variable}; the nearest is {meant}"));
    }
    for known in ["STAMPEDE_ADMIN", "STAMPEDE_SERVICE_HOST", "STAMPEDE_PORT", "STAMPEDE_PORT_7700_TCP_ADDR"] {
        assert_eq!(nearest(known), "", "{known}");
    }
    assert!(error.problems[0].starts_with("unknown key raft.heartbeats in environment STAMPEDE_RAFT__HEARTBEATS"), "{error}");
}

#[test]
fn what_is_out_of_bounds_is_refused_by_key_and_limit() {
    let table = [
        ("node.id=4294967296", "node.id in flag --set: must be a number, 0 to 4294967295, is 4294967296"),
        ("node.id=x", "node.id in flag --set: a number, 0 to 4294967295 expected, found \"x\""),
        ("raft.heartbeat=30", "raft.heartbeat in flag --set: a duration, 1ms to 10s expected, found \"30\""),
        ("raft.heartbeat=0ms", "raft.heartbeat in flag --set: must be a duration, 1ms to 10s, is \"0s\""),
        ("raft.heartbeat=60ms", "raft.election_timeout_min must be at least 2 times raft.heartbeat (120ms), is 100ms"),
        (
            "raft.election_timeout_max=100ms",
            "raft.election_timeout_max must be above raft.election_timeout_min (100ms), is 100ms",
        ),
        (
            "raft.snapshot_after_entries=1",
            "raft.snapshot_after_entries in flag --set: must be a number, 100 to 1000000000, is 1",
        ),
        ("node.disk_floor=1024", "node.disk_floor in flag --set: a size, 0B to 1TiB expected, found \"1024\""),
        ("node.disk_floor=1GB", "node.disk_floor in flag --set: a size, 0B to 1TiB expected, found \"1GB\""),
        ("node.disk_floor=2TiB", "node.disk_floor in flag --set: must be a size, 0B to 1TiB, is \"2TiB\""),
        ("log.level=loud", "log.level in flag --set: must be one of error, warn, info, debug, trace, is \"loud\""),
        ("log.level", "--set log.level: section.field=value expected"),
        ("node.id=2", "cluster.members does not name this node: node.id is 2"),
        ("cluster.members=[]", "cluster.members must name 1 to 7 members, names 0"),
        (
            "cluster.members=[{id=1,client=\"a\",peer=\"b:1\"}]",
            "cluster.members in flag --set: member 1: host:port expected, found \"a\"",
        ),
        ("cluster.members=[{id=1,client=\"a:1\",peer=\"a:1\"}]", "cluster.members names address a:1 twice"),
        ("listen.peer=127.0.0.1:7700", "listen.peer and listen.client are the same address, 127.0.0.1:7700"),
        ("listen.peer=127.0.0.1:0", "listen.peer must have the port that cluster.members names, has 0"),
        ("listen.peer=localhost", "listen.peer in flag --set: an address, ip:port expected, found \"localhost\""),
        ("security.insecure=yes", "security.insecure in flag --set: true or false expected, found \"yes\""),
        ("node.data_dir=", "node.data_dir in flag --set: a path expected, found nothing"),
    ];
    for (flag, expected) in table {
        let error = with_flags(&[flag]).expect_err(flag);
        assert!(error.problems.iter().any(|problem| problem == expected), "{flag}: {error}");
    }
}

#[test]
fn a_value_of_the_wrong_toml_type_is_refused_by_key() {
    let problems = problems_of("[raft]\nheartbeat = 30\n[security]\ninsecure = \"true\"\n[log]\nlevel = 3");
    assert_eq!(problems.len(), 3, "{problems:?}");
    let heartbeat = problems.iter().find(|problem| problem.starts_with("raft.heartbeat in ")).unwrap();
    assert!(heartbeat.ends_with("a duration, 1ms to 10s in quotes expected, found the number 30"), "{heartbeat}");
}

#[test]
fn what_has_no_default_is_asked_for_by_name_all_at_once() {
    let error = load(&Sources::default()).unwrap_err();
    let missing: Vec<&str> =
        error.problems.iter().filter_map(|problem| problem.split_once(" is missing")).map(|(key, _)| key).collect();
    assert_eq!(missing, ["node.data_dir", "serials.key_file"]);
}

#[test]
fn beyond_loopback_is_refused_unless_insecure_and_then_warned_of() {
    let error = with_flags(&["listen.client=0.0.0.0:7700"]).unwrap_err();
    assert!(error.problems[0].contains("security.insecure"), "{error}");
    let loaded = with_flags(&["listen.client=0.0.0.0:7700", "security.insecure=true"]).unwrap();
    assert_eq!(loaded.warnings.len(), 1);
}

#[test]
fn what_is_in_effect_is_printed_as_a_file_that_reads_back_the_same() {
    let loaded = with_flags(&["raft.heartbeat=29ms"]).unwrap();
    let printed = effective(&loaded, true);
    assert!(printed.contains("heartbeat = \"29ms\"  # flag --set"), "{printed}");
    assert!(printed.contains("election_timeout_min = \"100ms\"  # default"), "{printed}");
    let files = Files::new();
    let again = load(&Sources { files: vec![files.file("printed.toml", &printed)], ..Sources::default() }).unwrap();
    assert_eq!(effective(&again, false), effective(&loaded, false));
}

#[test]
fn the_reference_is_a_file_of_defaults_that_lacks_only_what_has_none() {
    let files = Files::new();
    let error = load(&Sources { files: vec![files.file("reference.toml", &reference())], ..Sources::default() }).unwrap_err();
    assert_eq!(error.problems.len(), 2, "{error}");
    assert!(error.problems.iter().all(|problem| problem.contains("is missing")), "{error}");
}

#[test]
fn a_server_key_is_sent_in_clear_to_this_machine_only() {
    let with = |address: &str, more: &str| {
        problems_of(&format!("[gateways]\nmidtrans_keys_file = \"keys\"\nmidtrans_status_address = \"{address}\"\n{more}"))
    };
    for here in ["127.0.0.1:8443", "[::1]:8443", "localhost:8443"] {
        assert_eq!(with(here, ""), [] as [String; 0]);
    }
    for beyond in ["api.midtrans.com:443", "10.0.0.1:8443", "127.0.0.1.example:8443"] {
        let [problem] = &with(beyond, "")[..] else { panic!("{beyond}") };
        assert!(problem.starts_with(&format!("gateways.midtrans_status_address is {beyond}")), "{problem}");
    }
    assert_eq!(with("10.0.0.1:8443", "[security]\ninsecure = true"), [] as [String; 0]);
    let [problem] = &problems_of("[gateways]\nmidtrans_status_address = \"127.0.0.1:8443\"")[..] else { panic!("no key") };
    assert!(problem.contains("gateways.midtrans_keys_file"), "{problem}");
}

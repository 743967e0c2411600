//! How the commands end when there is no cluster: the exit code, and on standard error what to try next.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::process::{Command, Output};

/// An address of loopback where nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn stampede(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stampede")).args(args).output().unwrap()
}

const ORDER: &str = "01932f5e-7c00-7000-8000-000000000001";

#[test]
fn each_way_to_fail_without_a_cluster_has_its_code_and_says_what_to_try() {
    let nobody = nobody();
    let table: [(&[&str], i32, &str); 10] = [
        (&["no-such-command"], 2, "--help"),
        (&["order", "place"], 2, "--series"),
        (&["order", "get", "no-uuid"], 2, "--help"),
        (&["order", "get", ORDER, "--server", &nobody], 3, "--server host:port"),
        (&["order", "place", "--series", "CPN", "--server", &nobody], 3, "--server host:port"),
        (&["init", "--admin", &nobody], 3, "--admin host:port"),
        (&["status", "--admin", &nobody], 3, "--admin"),
        (&["node"], 9, "config print"),
        (&["config", "validate", "--set", "raft.hartbeat=1ms"], 9, "unknown key raft.hartbeat in flag --set"),
        (&["config", "validate", "--config", "/no/such/file.toml"], 9, "cannot read /no/such/file.toml"),
    ];
    for (args, code, told) in table {
        let output = stampede(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(told), "{args:?}: {stderr}");
    }
}

#[test]
fn a_configuration_without_its_key_is_not_called_good() {
    let root = env!("CARGO_MANIFEST_DIR");
    let files =
        ["--config", &format!("{root}/cluster-config/shared.toml"), "--config", &format!("{root}/cluster-config/node-1.toml")];
    let mut args = vec!["config", "validate"];
    args.extend(files);
    args.extend(["--set", "serials.key_file=/no/such/key"]);
    let output = stampede(&args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(9), "{stderr}");
    assert!(stderr.contains("serials.key_file: cannot read /no/such/key"), "{stderr}");
}

#[test]
fn an_order_is_named_before_it_is_sent() {
    let output = stampede(&["order", "place", "--series", "CPN", "--server", &nobody()]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("placing order "), "{stderr}");
    assert!(output.stdout.is_empty(), "data alone goes to standard output");
}

#[test]
fn the_version_is_printed_as_a_table_and_as_json() {
    let table = stampede(&["version"]);
    assert!(table.status.success());
    assert!(String::from_utf8_lossy(&table.stdout).starts_with("version   0."));
    let json = stampede(&["version", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["profile"], "dev");
    let features = if cfg!(feature = "drill-controls") { &["DRILL-CONTROLS"][..] } else { &[] };
    assert_eq!(json["features"], serde_json::json!(features), "whoever starts it is told what it takes");
}

#[test]
fn the_files_of_cluster_config_are_valid_and_shown_with_their_origin() {
    let root = env!("CARGO_MANIFEST_DIR");
    let shared = format!("{root}/cluster-config/shared.toml");
    let node = format!("{root}/cluster-config/node-1.toml");
    assert!(stampede(&["config", "validate", "--config", &shared, "--config", &node]).status.success());
    let printed = stampede(&["config", "print", "--effective", "--show-origin", "--config", &shared, "--config", &node]);
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.contains(&format!("id = 1  # {node}")), "{printed}");
    assert!(printed.contains(&format!("heartbeat = \"30ms\"  # {shared}")), "{printed}");
    assert!(printed.contains("insecure = false  # default"), "{printed}");
}

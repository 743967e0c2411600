//! The files of `cluster-config/` are good, and fit each other.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use stampede::operations::config::{Config, Sources, load};
use stampede::operations::exit::Code;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("cluster-config")
}

fn node(id: u64) -> Config {
    let files = vec![folder().join("shared.toml"), folder().join(format!("node-{id}.toml"))];
    let loaded = load(&Sources { files, ..Sources::default() }).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    loaded.config
}

#[test]
fn each_node_listens_where_the_members_say_it_is() {
    let mut metrics = BTreeSet::new();
    for id in 1..=3 {
        let config = node(id);
        assert_eq!(config.node.id, id);
        let member = config.cluster.members.iter().find(|member| member.id == id).unwrap();
        assert_eq!(member.client, config.listen.client.to_string());
        assert_eq!(member.peer, config.listen.peer.to_string());
        assert_eq!(member.admin, Some(config.listen.admin.to_string()));
        metrics.insert(config.listen.metrics.to_string());
    }
    let scraped = std::fs::read_to_string(folder().join("prometheus.yml")).unwrap();
    assert_eq!(metrics.len(), 3);
    assert!(metrics.iter().all(|address| scraped.contains(address)), "{scraped}");
}

#[test]
fn the_published_key_is_a_key_and_says_that_it_is_none() {
    let key = stampede::operations::serial_key::read(&node(1).serials.key_file).unwrap();
    assert!(key.is_for_development);
}

#[test]
fn every_exit_code_is_documented() {
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    for code in Code::ALL {
        assert!(readme.contains(&format!("\n| {} | ", code.number())), "{code:?}");
    }
}

#[test]
fn no_file_is_without_a_test() {
    let mut names: Vec<String> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let known = [
        "README.md",
        "dev-only-serial.key",
        // tests/monitoring
        "monitoring",
        "node-1.toml",
        "node-2.toml",
        "node-3.toml",
        "prometheus.yml",
        "shared.toml",
        // tests/generated.rs
        "systemd",
    ];
    assert_eq!(names, known);
}

//! What no single key can tell: values that do not fit together.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::{Config, ConfigError};
use crate::limits::MEMBERS_MAX;

/// An election must not start because one heartbeat was late.
const HEARTBEATS_PER_ELECTION_MIN: u32 = 2;

/// Returns warnings.
pub(super) fn check(config: &Config) -> Result<Vec<String>, ConfigError> {
    let mut problems = Vec::new();
    check_raft_times(config, &mut problems);
    check_members(config, &mut problems);
    check_gateways(config, &mut problems);
    let warnings = check_listeners(config, &mut problems);
    if problems.is_empty() { Ok(warnings) } else { Err(ConfigError { problems }) }
}

fn check_raft_times(config: &Config, problems: &mut Vec<String>) {
    let raft = &config.raft;
    let shown = |duration| humantime::format_duration(duration).to_string();
    let least = raft.heartbeat * HEARTBEATS_PER_ELECTION_MIN;
    if raft.election_timeout_min < least {
        problems.push(format!(
            "raft.election_timeout_min must be at least {HEARTBEATS_PER_ELECTION_MIN} times raft.heartbeat ({}), is {}",
            shown(least),
            shown(raft.election_timeout_min)
        ));
    }
    // Equal would make all nodes wait the same time and split every vote.
    if raft.election_timeout_max <= raft.election_timeout_min {
        problems.push(format!(
            "raft.election_timeout_max must be above raft.election_timeout_min ({}), is {}",
            shown(raft.election_timeout_min),
            shown(raft.election_timeout_max)
        ));
    }
}

fn check_members(config: &Config, problems: &mut Vec<String>) {
    let members = &config.cluster.members;
    // Who joins by a token asks nobody here.
    let joins = config.node.id == 0;
    if (members.is_empty() && !joins) || members.len() > MEMBERS_MAX {
        problems.push(format!("cluster.members must name 1 to {MEMBERS_MAX} members, names {}", members.len()));
    }
    if !joins && !members.iter().any(|member| member.id == config.node.id) {
        problems.push(format!("cluster.members does not name this node: node.id is {}", config.node.id));
    }
    let mut ids = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    for member in members {
        if member.id == 0 {
            problems.push("cluster.members: an id must be 1 or higher, is 0".to_owned());
        }
        if !ids.insert(member.id) {
            problems.push(format!("cluster.members names id {} twice", member.id));
        }
        for address in [Some(&member.client), Some(&member.peer), member.admin.as_ref()].into_iter().flatten() {
            if !addresses.insert(address) {
                problems.push(format!("cluster.members names address {address} twice"));
            }
        }
    }
}

fn check_gateways(config: &Config, problems: &mut Vec<String>) {
    let address = &config.gateways.midtrans_status_address;
    if address.is_empty() {
        return;
    }
    if config.gateways.midtrans_keys_file.is_none() {
        problems.push("gateways.midtrans_status_address needs gateways.midtrans_keys_file, which is not set".to_owned());
    }
    let host = address.rsplit_once(':').map_or("", |(host, _)| host.trim_matches(['[', ']']));
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if !is_here && !config.security.insecure {
        problems.push(format!(
            "gateways.midtrans_status_address is {address}, beyond loopback, where the server key would be sent in clear: name a \
             proxy on 127.0.0.1, or set security.insecure = true and keep the network closed"
        ));
    }
}

fn check_listeners(config: &Config, problems: &mut Vec<String>) -> Vec<String> {
    let listen = &config.listen;
    let mut listeners =
        vec![("client", listen.client), ("peer", listen.peer), ("admin", listen.admin), ("metrics", listen.metrics)];
    if config.gateways.midtrans_keys_file.is_some() || config.gateways.xendit_tokens_file.is_some() {
        listeners.push(("webhook", listen.webhook));
    }
    let mut taken: Vec<(&str, SocketAddr)> = Vec::new();
    let mut warnings = Vec::new();
    for (name, address) in listeners {
        // Port 0 is whichever is free: never the same.
        if let Some((other, _)) = taken.iter().find(|(_, other)| *other == address && address.port() != 0) {
            problems.push(format!("listen.{name} and listen.{other} are the same address, {address}"));
        }
        taken.push((name, address));
        // Others reach it at the address that cluster.members names.
        if address.port() == 0 && ["client", "peer"].contains(&name) {
            problems.push(format!("listen.{name} must have the port that cluster.members names, has 0"));
        }
        if address.ip().is_loopback() {
            continue;
        }
        if config.security.insecure {
            warnings.push(format!(
                "listen.{name} is {address}, beyond loopback: nothing on it is encrypted and anyone who reaches it is obeyed \
                 (security.insecure = true)"
            ));
        } else {
            problems.push(format!(
                "listen.{name} is {address}, beyond loopback, and transport security is not there yet: listen on 127.0.0.1, \
                 or set security.insecure = true and keep the network closed"
            ));
        }
    }
    warnings
}

//! Ports for the nodes that are free now and stay so over their restarts.
//!
//! They lie below the range from which the system takes ports for outgoing connections (32768 and up on Linux, 49152 on
//! macOS): while a node is down, no connection of ours can take its port by chance.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::bail;

const FIRST_PORT: u16 = 20_000;
const LAST_PORT: u16 = 32_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) client: u16,
    pub(super) peer: u16,
    pub(super) admin: u16,
    pub(super) metrics: u16,
    pub(super) webhook: u16,
}

/// Probes by binding. Two drills at once start looking at different places.
pub(super) fn free(nodes: usize) -> anyhow::Result<Vec<Ports>> {
    const PER_NODE: usize = 5;
    let span = u32::from(LAST_PORT - FIRST_PORT);
    let start = std::process::id().wrapping_mul(61) % span;
    let mut held = Vec::new();
    let mut ports = Vec::new();
    for step in 0..span {
        if ports.len() == nodes * PER_NODE {
            break;
        }
        let offset = u16::try_from((start + step) % span).expect("the span fits in a port number");
        let port = FIRST_PORT + offset;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push(listener);
            ports.push(port);
        }
    }
    if ports.len() < nodes * PER_NODE {
        bail!("too few free ports between {FIRST_PORT} and {LAST_PORT}");
    }
    Ok(ports
        .chunks_exact(PER_NODE)
        .map(|five| Ports { client: five[0], peer: five[1], admin: five[2], metrics: five[3], webhook: five[4] })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_is_given_once() {
        let ports = free(5).unwrap();
        let mut all: Vec<u16> =
            ports.iter().flat_map(|one| [one.client, one.peer, one.admin, one.metrics, one.webhook]).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 25);
    }
}

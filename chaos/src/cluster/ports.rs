//! Ports for the nodes that are free now and stay so over their restarts.
//!
//! They lie below the range from which the system takes ports for outgoing connections (32768 and up on Linux, 49152 on
//! macOS): while a node is down, no connection of ours can take its port by chance. Nor can another drill on this machine: the range is
//! cut into blocks, and who listens on the first port of a block has all of it, until it ends, however it ends.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context;

use crate::limits::NODES_MAX;

const FIRST_PORT: u16 = 20_000;
const LAST_PORT: u16 = 32_000;
const PER_NODE: u16 = 5;
/// The claim, and those of the nodes.
const PER_BLOCK: u16 = 1 + NODES_MAX * PER_NODE;
const BLOCKS: u16 = (LAST_PORT - FIRST_PORT) / PER_BLOCK;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) client: u16,
    pub(super) peer: u16,
    pub(super) admin: u16,
    pub(super) metrics: u16,
    pub(super) webhook: u16,
}

/// A block is no other drill's as long as this is there.
pub(super) struct Claim {
    pub(super) ports: Vec<Ports>,
    _first: TcpListener,
}

/// Probes by binding. Two drills at once begin to look at different places.
///
/// # Errors
/// In each block there is somebody.
pub(super) fn claim(nodes: u16) -> anyhow::Result<Claim> {
    let start = std::process::id() % u32::from(BLOCKS);
    let blocks = (0..BLOCKS).cycle().skip(start as usize).take(usize::from(BLOCKS));
    let mut claims = blocks.filter_map(|block| claim_block(FIRST_PORT + block * PER_BLOCK, nodes));
    claims.next().with_context(|| format!("no {PER_BLOCK} free ports in a row between {FIRST_PORT} and {LAST_PORT}"))
}

/// `None`: it is another's, or one of its ports is taken by who knows nothing of blocks.
fn claim_block(first: u16, nodes: u16) -> Option<Claim> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
    let claim = bind(first)?;
    let free: Vec<u16> = (first + 1..).take(usize::from(nodes * PER_NODE)).collect();
    // Let go at once: they are for the nodes.
    let _probed: Vec<TcpListener> = free.iter().map(|port| bind(*port)).collect::<Option<_>>()?;
    let ports = free
        .chunks_exact(usize::from(PER_NODE))
        .map(|five| Ports { client: five[0], peer: five[1], admin: five[2], metrics: five[3], webhook: five[4] })
        .collect();
    Some(Claim { ports, _first: claim })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(claim: &Claim) -> Vec<u16> {
        let of_node = |one: &Ports| [one.client, one.peer, one.admin, one.metrics, one.webhook];
        claim.ports.iter().flat_map(of_node).collect()
    }

    #[test]
    fn drills_at_once_have_no_port_in_common_though_no_node_listens_yet() {
        let claims: Vec<Claim> = (0..8).map(|_| claim(NODES_MAX).unwrap()).collect();
        let mut ports: Vec<u16> = claims.iter().flat_map(all).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8 * usize::from(NODES_MAX * PER_NODE));
    }

    #[test]
    fn a_block_is_free_when_its_drill_is_gone_and_not_while_a_strangers_port_is_in_it() {
        let Claim { ports, _first } = claim(1).unwrap();
        let first = _first.local_addr().unwrap().port();
        assert!(claim_block(first, 1).is_none(), "it is claimed");
        drop(_first);
        let stranger = TcpListener::bind((Ipv4Addr::LOCALHOST, ports[0].metrics)).unwrap();
        assert!(claim_block(first, 1).is_none(), "somebody is in it");
        drop(stranger);
        assert!(claim_block(first, 1).is_some());
    }
}

//! The tool as the packet switch: each node has one interface to it, a TUN device in the node's own namespace.
//!
//! A packet is read where its sender's kernel sent it, meets what the matrix says of its direction (`gate`), and is written where
//! its receiver's kernel takes it, at once or later (`line`). A cut really loses packets: TCP sends them again, backs off, and gives
//! connections up, as between machines. Only IPv4 between nodes passes; what else a kernel sends by itself is nobody's.

mod gate;
mod line;

use std::collections::BTreeMap;
use std::fs::File;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::passage::{Hit, Matrix};
use super::tun::Tun;
use super::{Direction, address};
use gate::Gate;
use line::{Late, PACKETS_LATE_MAX};

/// Of an interface; nothing longer is read from one.
pub(super) const MTU_BYTES: usize = 1_500;

/// Carries between these ends until the tasks are dropped. Within a tokio runtime.
///
/// # Errors
/// The runtime cannot watch them.
pub(super) fn start(ends: BTreeMap<u16, File>, seed: u64, matrix: &Matrix) -> anyhow::Result<JoinSet<()>> {
    let mut tuns = BTreeMap::new();
    for (node, end) in ends {
        tuns.insert(node, Arc::new(Tun::new(end).context("watching an interface")?));
    }
    let mut carriers = JoinSet::new();
    for (&from, tun) in &tuns {
        let mut ways = BTreeMap::new();
        for (&to, end) in tuns.iter().filter(|(to, _)| **to != from) {
            let (late, coming) = mpsc::channel(PACKETS_LATE_MAX);
            carriers.spawn(line::deliver(coming, Arc::clone(end)));
            let gate = Gate::new(seed, (from, to), Instant::now());
            let way = Way { direction: (from, to), matrix: matrix.clone(), gate, end: Arc::clone(end), late, number: 0 };
            ways.insert(address(to), way);
        }
        carriers.spawn(carry(Arc::clone(tun), ways));
    }
    Ok(carriers)
}

async fn carry(tun: Arc<Tun>, mut ways: BTreeMap<Ipv4Addr, Way>) {
    let mut packet = [0; MTU_BYTES];
    // It fails when the interface is gone, and the node with it.
    while let Ok(length) = tun.read(&mut packet).await {
        let packet = &mut packet[..length];
        if let Some(way) = destination(packet).and_then(|to| ways.get_mut(&to)) {
            way.send(packet);
        }
    }
}

/// One direction.
struct Way {
    direction: Direction,
    matrix: Matrix,
    gate: Gate,
    end: Arc<Tun>,
    late: mpsc::Sender<Late>,
    /// Of the packets that come later.
    number: u64,
}

impl Way {
    fn send(&mut self, packet: &mut [u8]) {
        let now = Instant::now();
        let fate = self.gate.pass(&self.matrix.of(self.direction), packet, now);
        for hit in fate.hits {
            self.matrix.note(self.direction, hit);
        }
        for due in fate.due {
            let is_taken = if due <= now { self.end.write(packet).is_ok() } else { self.send_later(due, packet) };
            if !is_taken {
                self.matrix.note(self.direction, Hit::Lost);
            }
        }
    }

    fn send_later(&mut self, due: Instant, packet: &[u8]) -> bool {
        self.number += 1;
        self.late.try_send(Late { due, number: self.number, packet: packet.to_vec() }).is_ok()
    }
}

/// Of an IPv4 packet (RFC 791, section 3.1).
fn destination(packet: &[u8]) -> Option<Ipv4Addr> {
    let is_ipv4 = packet.first()? >> 4 == 4;
    let to: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    is_ipv4.then(|| to.into())
}

/// How long the head of an IPv4 packet is.
fn head_bytes(packet: &[u8]) -> usize {
    packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ipv4_has_a_destination() {
        let mut packet = [0; 40];
        packet[0] = 0x45;
        packet[16..20].copy_from_slice(&address(3).octets());
        assert_eq!((destination(&packet), head_bytes(&packet)), (Some(address(3)), 20));
        packet[0] = 0x60;
        assert_eq!(destination(&packet), None);
        assert_eq!((destination(&[0x45; 19]), destination(&[])), (None, None));
    }
}

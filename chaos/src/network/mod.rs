//! The network between the nodes of a drill: a proxy on loopback for every directed link, and a matrix of what passes. No privilege
//! is needed.
//!
//! The link from node i to node j is what i dials to call j. Bytes from i to j go forward on the connections that i made and
//! backward on those that j made, so that a cut from i to j stops both. (The proxy goes on acknowledging what comes the other way, so
//! that the open direction does not stall for want of acknowledgements, as with lost packets it would in time.) What is sent is kept,
//! as TCP keeps what nobody acknowledged, and arrives when the cut is healed; a connection made meanwhile gets nowhere until then,
//! and the end of one is not heard of either.
//!
//! Clients and operators call nodes past the proxies: who is cut off from the peers is not cut off from its callers, who must not be
//! told anything wrong.

mod link;
mod passage;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use passage::{Matrix, Passage};

/// Node ids: who sends, and to whom.
pub type Direction = (u16, u16);

pub struct Network {
    addresses: BTreeMap<Direction, SocketAddr>,
    matrix: Matrix,
    /// Something was kept back, or delayed, since.
    kept: BTreeMap<Direction, Arc<AtomicBool>>,
    /// Stop with it.
    _links: JoinSet<()>,
}

impl Network {
    /// Proxies for all links between nodes that listen for their peers at these addresses.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(peers: &BTreeMap<u16, SocketAddr>) -> anyhow::Result<Self> {
        let directions = || peers.keys().flat_map(|from| peers.keys().map(|to| (*from, *to))).filter(|(from, to)| from != to);
        let kept: BTreeMap<Direction, Arc<AtomicBool>> = directions().map(|direction| (direction, Arc::default())).collect();
        let matrix = Matrix::default();
        let mut links = JoinSet::new();
        let mut addresses = BTreeMap::new();
        for (from, to) in directions() {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("a port for a link")?;
            addresses.insert((from, to), listener.local_addr().context("the address of a link")?);
            let way = |direction| link::Way::new(matrix.clone(), direction, Arc::clone(&kept[&direction]));
            links.spawn(link::serve(listener, peers[&to], way((from, to)), way((to, from))));
        }
        Ok(Self { addresses, matrix, kept, _links: links })
    }

    /// What the first node dials to call the second.
    #[must_use]
    pub fn address(&self, direction: Direction) -> SocketAddr {
        self.addresses[&direction]
    }

    pub fn set(&self, directions: impl IntoIterator<Item = Direction>, passage: Passage) {
        let directions: Vec<Direction> = directions.into_iter().collect();
        for direction in &directions {
            self.kept[direction].store(false, Ordering::Relaxed);
        }
        self.matrix.set(&directions, passage);
    }

    /// Everything passes.
    pub fn heal(&self) {
        self.set(self.addresses.keys().copied(), Passage::Free);
    }

    /// Whether anything was kept back on its way since the link was last [`Self::set`].
    #[must_use]
    pub fn has_kept(&self, direction: Direction) -> bool {
        self.kept[&direction].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::{Instant, timeout};

    use super::*;

    /// Longer than loopback needs, and waited for in full where nothing may come.
    const A_WHILE: Duration = Duration::from_millis(100);

    /// Two nodes, of which the second listens; the connection that the first made, and the second's end of it.
    async fn connected() -> (Network, TcpListener, TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = "127.0.0.1:1".parse().unwrap();
        let network = Network::start(&BTreeMap::from([(1, nobody), (2, listener.local_addr().unwrap())])).await.unwrap();
        let dialled = TcpStream::connect(network.address((1, 2))).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        (network, listener, dialled, accepted)
    }

    async fn arrives(stream: &mut TcpStream, bytes: &[u8]) -> bool {
        let mut read = vec![0; bytes.len()];
        let arrived = timeout(A_WHILE, stream.read_exact(&mut read)).await;
        matches!(arrived, Ok(Ok(_))) && read == bytes
    }

    #[tokio::test]
    async fn a_cut_of_one_direction_keeps_what_is_sent_and_lets_the_other_pass() {
        let (network, _listener, mut dialled, mut accepted) = connected().await;
        dialled.write_all(b"ping").await.unwrap();
        assert!(arrives(&mut accepted, b"ping").await);
        network.set([(1, 2)], Passage::Held);
        dialled.write_all(b"lost").await.unwrap();
        accepted.write_all(b"heard").await.unwrap();
        assert!(arrives(&mut dialled, b"heard").await, "the other way is open");
        assert!(!arrives(&mut accepted, b"lost").await);
        assert!(network.has_kept((1, 2)) && !network.has_kept((2, 1)));
        network.set([(1, 2)], Passage::Free);
        assert!(arrives(&mut accepted, b"lost").await, "it comes when the cut is healed");
    }

    #[tokio::test]
    async fn a_connection_made_during_a_cut_gets_nowhere_until_it_is_healed() {
        let (network, listener, _dialled, _accepted) = connected().await;
        for cut in [(1, 2), (2, 1)] {
            network.set([cut], Passage::Held);
            let mut late = TcpStream::connect(network.address((1, 2))).await.unwrap();
            late.write_all(b"hello").await.unwrap();
            assert!(timeout(A_WHILE, listener.accept()).await.is_err(), "{cut:?} is cut");
            network.set([cut], Passage::Free);
            let (mut accepted, _) = listener.accept().await.unwrap();
            assert!(arrives(&mut accepted, b"hello").await);
        }
    }

    #[tokio::test]
    async fn the_end_of_a_connection_is_not_heard_of_across_a_cut() {
        let (network, _listener, dialled, mut accepted) = connected().await;
        network.set([(1, 2)], Passage::Held);
        drop(dialled);
        let mut byte = [0];
        assert!(timeout(A_WHILE, accepted.read(&mut byte)).await.is_err(), "it looks alive");
        network.set([(1, 2)], Passage::Free);
        assert_eq!(accepted.read(&mut byte).await.unwrap_or(0), 0, "now it has ended");
    }

    #[tokio::test]
    async fn a_slow_link_delays_and_keeps_the_order() {
        let (network, _listener, mut dialled, mut accepted) = connected().await;
        network.set([(1, 2)], Passage::Slow { delay: A_WHILE / 2, jitter: A_WHILE / 4 });
        let begun = Instant::now();
        for byte in 0..10 {
            dialled.write_all(&[byte]).await.unwrap();
        }
        let mut read = [0; 10];
        accepted.read_exact(&mut read).await.unwrap();
        assert_eq!(read, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert!(begun.elapsed() >= A_WHILE / 2);
    }

    #[tokio::test]
    async fn where_nobody_listens_the_connection_ends_at_once() {
        let (network, _listener, ..) = connected().await;
        let mut dialled = TcpStream::connect(network.address((2, 1))).await.unwrap();
        let mut byte = [0];
        assert!(matches!(timeout(A_WHILE, dialled.read(&mut byte)).await, Ok(Ok(0) | Err(_))));
    }
}

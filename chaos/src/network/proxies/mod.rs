//! A proxy on loopback for every directed link. No privilege is needed.
//!
//! The link from node i to node j is what i dials to call j. Bytes from i to j go forward on the connections that i made and
//! backward on those that j made, so that a cut from i to j stops both. (The proxy goes on acknowledging what comes the other way, so
//! that the open direction does not stall for want of acknowledgements, as with lost packets it would in time.) What is sent is kept,
//! as TCP keeps what nobody acknowledged, and arrives when the cut is healed; a connection made meanwhile gets nowhere until then,
//! and the end of one is not heard of either.

mod link;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::Direction;
use super::passage::Matrix;

/// For nodes that listen for their peers at these addresses: what each dials to call each other, and the proxies behind.
///
/// # Errors
/// There is no free port.
pub(super) async fn start(
    peers: &BTreeMap<u16, SocketAddr>,
    matrix: &Matrix,
    directions: &[Direction],
) -> anyhow::Result<(BTreeMap<Direction, SocketAddr>, JoinSet<()>)> {
    let mut links = JoinSet::new();
    let mut addresses = BTreeMap::new();
    for &(from, to) in directions {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("a port for a link")?;
        addresses.insert((from, to), listener.local_addr().context("the address of a link")?);
        let way = |direction| link::Way::new(matrix.clone(), direction);
        links.spawn(link::serve(listener, peers[&to], way((from, to)), way((to, from))));
    }
    Ok((addresses, links))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::network::{Hit, Impairment, Network, Passage};

    /// Longer than loopback needs, and waited for in full where nothing may come.
    const A_WHILE: Duration = Duration::from_millis(100);

    /// Two nodes, of which the second listens; the connection that the first made, and the second's end of it.
    async fn connected() -> (Network, TcpListener, TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = "127.0.0.1:1".parse().unwrap();
        let network = Network::proxies(&BTreeMap::from([(1, nobody), (2, listener.local_addr().unwrap())])).await.unwrap();
        let dialled = TcpStream::connect(network.dial((1, 2)).unwrap()).await.unwrap();
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
        network.set([(1, 2)], Passage::Cut).unwrap();
        dialled.write_all(b"lost").await.unwrap();
        accepted.write_all(b"heard").await.unwrap();
        assert!(arrives(&mut dialled, b"heard").await, "the other way is open");
        assert!(!arrives(&mut accepted, b"lost").await);
        assert!(network.has_hit((1, 2), Hit::Cut).unwrap() && !network.has_hit((2, 1), Hit::Cut).unwrap());
        network.set([(1, 2)], Passage::Free).unwrap();
        assert!(arrives(&mut accepted, b"lost").await, "it comes when the cut is healed");
    }

    #[tokio::test]
    async fn a_connection_made_during_a_cut_gets_nowhere_until_it_is_healed() {
        let (network, listener, _dialled, _accepted) = connected().await;
        for cut in [(1, 2), (2, 1)] {
            network.set([cut], Passage::Cut).unwrap();
            let mut late = TcpStream::connect(network.dial((1, 2)).unwrap()).await.unwrap();
            late.write_all(b"hello").await.unwrap();
            assert!(timeout(A_WHILE, listener.accept()).await.is_err(), "{cut:?} is cut");
            network.set([cut], Passage::Free).unwrap();
            let (mut accepted, _) = listener.accept().await.unwrap();
            assert!(arrives(&mut accepted, b"hello").await);
        }
    }

    #[tokio::test]
    async fn the_end_of_a_connection_is_not_heard_of_across_a_cut() {
        let (network, _listener, dialled, mut accepted) = connected().await;
        network.set([(1, 2)], Passage::Cut).unwrap();
        drop(dialled);
        let mut byte = [0];
        assert!(timeout(A_WHILE, accepted.read(&mut byte)).await.is_err(), "it looks alive");
        network.set([(1, 2)], Passage::Free).unwrap();
        assert_eq!(accepted.read(&mut byte).await.unwrap_or(0), 0, "now it has ended");
    }

    #[tokio::test]
    async fn a_slow_link_delays_and_keeps_the_order() {
        let (network, _listener, mut dialled, mut accepted) = connected().await;
        let slow = Passage::Impaired(Impairment { delay: A_WHILE / 2, jitter: A_WHILE / 4, ..Default::default() });
        network.set([(1, 2)], slow).unwrap();
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
        let mut dialled = TcpStream::connect(network.dial((2, 1)).unwrap()).await.unwrap();
        let mut byte = [0];
        assert!(matches!(timeout(A_WHILE, dialled.read(&mut byte)).await, Ok(Ok(0) | Err(_))));
    }
}

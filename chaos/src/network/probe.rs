//! Whether a back end with namespaces works on this machine: found by making one, and passing and cutting a packet.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

use super::{Hit, Network, Passage, address};
use crate::limits;
use crate::scenario::BackEnd;
use crate::undo::Journal;

/// Between two looks whether the packet met the cut.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// Of the discard service: whoever should listen there is used to it.
const PORT: u16 = 9;

/// `directory`: empty.
///
/// # Errors
/// It does not work, and why.
pub fn probe(back_end: BackEnd, directory: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let journal = Journal::create(directory).context("making an undo journal")?;
        let network = match back_end {
            BackEnd::Proxies => Network::proxies(&[1, 2].map(|node| (node, ([127, 0, 0, 1], PORT).into())).into()).await?,
            BackEnd::Switch => Network::switch(&[1, 2], 1, directory, journal)?,
            BackEnd::Nftables => Network::nftables(&[1, 2], directory, journal)?,
        };
        if back_end != BackEnd::Proxies {
            pass_and_cut(&network).await?;
        }
        network.release()
    })
}

async fn pass_and_cut(network: &Network) -> anyhow::Result<()> {
    let socket = |node: u16, port: u16| {
        let namespace = network.namespace(node).context("a node without a namespace")?;
        let socket = namespace.within(|| std::net::UdpSocket::bind((address(node), port)))??;
        socket.set_nonblocking(true)?;
        anyhow::Ok(UdpSocket::from_std(socket)?)
    };
    let (from, to) = (socket(1, 0)?, socket(2, PORT)?);
    let there: SocketAddr = (address(2), PORT).into();
    let mut heard = [0; 8];
    let sent = from.send_to(b"passes", there).await.context("sending a packet")?;
    let arrived = timeout(limits::PROBE_DEADLINE, to.recv(&mut heard)).await;
    ensure!(arrived.context("a packet that should pass does not arrive")?? == sent, "a packet arrives and is another");
    network.set([(1, 2)], Passage::Cut)?;
    from.send_to(b"is lost", there).await.context("sending a packet")?;
    let is_cut = async {
        while !network.has_hit((1, 2), Hit::Cut)? {
            sleep(LOOK_PAUSE).await;
        }
        anyhow::Ok(())
    };
    timeout(limits::PROBE_DEADLINE, is_cut).await.context("a packet does not meet the cut")??;
    network.heal()
}

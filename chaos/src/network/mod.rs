//! The network between the nodes of a drill, and what of it passes: one interface, three back ends, of which the scenario chooses.
//!
//! | back end | nodes | a cut | needs |
//! |---|---|---|---|
//! | `proxies` | all on the machine's loopback | keeps what is sent, as TCP would | nothing |
//! | `switch` | each in a network namespace, on an interface whose other end is the tool's | loses packets | root, TUN |
//! | `nftables` | each in a network namespace, on a bridge of the kernel's own | loses packets | root, `nft` |
//!
//! Clients and operators call nodes past all this: who is cut off from the peers is not cut off from its callers, who must not be
//! told anything wrong. With a namespace for each node, the tool's own sockets to a node are made in the node's, and call it on the
//! loopback there ([`Door`]): the machine's own network is never touched, and no address or name on it is taken.
//!
//! Namespaces without names die with who is in them ([`Namespace`]). The undo journal has them all the same, so that `heal` looks for
//! whoever is still in one: it is known by the name of its interface, which is the run's.

mod door;
mod namespace;
mod nftables;
mod passage;
pub mod probe;
mod proxies;
mod switch;
mod tun;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use tokio::task::JoinSet;

use crate::scenario::BackEnd;
use crate::undo::{Journal, Undo, name_of};

pub use door::Door;
pub use namespace::Namespace;
pub use passage::{Hit, Impairment, Matrix, Passage};

/// Node ids: who sends, and to whom.
pub type Direction = (u16, u16);

/// What a back end does between nodes.
trait Medium: Send + Sync {
    fn set(&self, directions: &[Direction], passage: Passage) -> anyhow::Result<()>;

    /// Since the direction was last set.
    fn hits(&self, direction: Direction, hit: Hit) -> anyhow::Result<u64>;
}

pub struct Network {
    directions: Vec<Direction>,
    medium: Box<dyn Medium>,
    /// As last set; a direction that never was is free.
    passages: Mutex<BTreeMap<Direction, Passage>>,
    /// What a node dials to call another, if not the other's own address.
    dials: BTreeMap<Direction, SocketAddr>,
    /// Where nodes are, if not in the machine's own network.
    namespaces: BTreeMap<u16, Namespace>,
    /// What was made of them.
    undo: Option<(PathBuf, Journal, Undo)>,
    /// What carries between the nodes, if the tool does. They stop with it.
    _carriers: JoinSet<()>,
}

impl Network {
    /// Proxies for nodes that listen for their peers at these addresses.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn proxies(peers: &BTreeMap<u16, SocketAddr>) -> anyhow::Result<Self> {
        let directions = directions(peers.keys().copied());
        let matrix = Matrix::new(&directions);
        let (dials, carriers) = proxies::start(peers, &matrix, &directions).await?;
        let namespaces = BTreeMap::new();
        let (medium, passages) = (Box::new(matrix), Mutex::default());
        Ok(Self { directions, medium, passages, dials, namespaces, undo: None, _carriers: carriers })
    }

    /// A namespace for each node, and the tool as the switch between them. Packets are hit as the seed says.
    ///
    /// # Errors
    /// No root, no `ip`, no TUN.
    pub fn switch(nodes: &[u16], seed: u64, run: &Path, journal: Journal) -> anyhow::Result<Self> {
        let (link, undo) = will_make(run, &journal)?;
        let (mut namespaces, mut ends) = (BTreeMap::new(), BTreeMap::new());
        for &node in nodes {
            let namespace = Namespace::make()?;
            let end = namespace.within(|| tun::open(&link))?.with_context(|| format!("making the TUN device {link}"))?;
            set_up(&namespace, node, &link)?;
            namespaces.insert(node, namespace);
            ends.insert(node, end);
        }
        let directions = directions(nodes.iter().copied());
        let matrix = Matrix::new(&directions);
        let carriers = switch::start(ends, seed, &matrix)?;
        let (medium, dials, undo) = (Box::new(matrix), BTreeMap::new(), Some((run.to_owned(), journal, undo)));
        Ok(Self { directions, medium, passages: Mutex::default(), dials, namespaces, undo, _carriers: carriers })
    }

    /// A namespace for each node, all on one bridge, and rules of the kernel's own.
    ///
    /// # Errors
    /// No root, no `ip`, no `nft`, or a kernel without bridges.
    pub fn nftables(nodes: &[u16], run: &Path, journal: Journal) -> anyhow::Result<Self> {
        let (link, undo) = will_make(run, &journal)?;
        let hub = nftables::make_hub()?;
        let mut namespaces = BTreeMap::new();
        for &node in nodes {
            let namespace = Namespace::make()?;
            nftables::plug_in(&hub, &namespace, node, &link)?;
            set_up(&namespace, node, &link)?;
            namespaces.insert(node, namespace);
        }
        let medium = Box::new(nftables::Rules::new(hub, namespaces.clone()));
        let (directions, dials, undo) =
            (directions(nodes.iter().copied()), BTreeMap::new(), Some((run.to_owned(), journal, undo)));
        Ok(Self { directions, medium, passages: Mutex::default(), dials, namespaces, undo, _carriers: JoinSet::new() })
    }

    /// What the first node dials to call the second, if not the second's own address.
    #[must_use]
    pub fn dial(&self, direction: Direction) -> Option<SocketAddr> {
        self.dials.get(&direction).copied()
    }

    /// Where a node is, if not in the machine's own network.
    #[must_use]
    pub fn namespace(&self, node: u16) -> Option<&Namespace> {
        self.namespaces.get(&node)
    }

    /// # Errors
    /// The system refuses.
    pub fn set(&self, directions: impl IntoIterator<Item = Direction>, passage: Passage) -> anyhow::Result<()> {
        let directions: Vec<Direction> = directions.into_iter().collect();
        self.medium.set(&directions, passage)?;
        let mut passages = self.passages.lock().unwrap_or_else(PoisonError::into_inner);
        passages.extend(directions.into_iter().map(|direction| (direction, passage)));
        Ok(())
    }

    /// What passes now, as it was last set.
    #[must_use]
    pub fn passages(&self) -> BTreeMap<Direction, Passage> {
        let set = self.passages.lock().unwrap_or_else(PoisonError::into_inner);
        self.directions.iter().map(|direction| (*direction, set.get(direction).copied().unwrap_or_default())).collect()
    }

    /// Everything passes.
    ///
    /// # Errors
    /// The system refuses.
    pub fn heal(&self) -> anyhow::Result<()> {
        self.set(self.directions.iter().copied(), Passage::Free)
    }

    /// Whether that happened to anything on its way since the direction was last [`Self::set`].
    ///
    /// # Errors
    /// The system does not tell.
    pub fn has_hit(&self, direction: Direction, hit: Hit) -> anyhow::Result<bool> {
        Ok(self.medium.hits(direction, hit)? > 0)
    }

    /// Nobody is in a namespace any more. They go when this is dropped, or the tool dies.
    ///
    /// # Errors
    /// Somebody is.
    pub fn release(&self) -> anyhow::Result<()> {
        let Some((run, journal, undo)) = &self.undo else { return Ok(()) };
        undo.carry_out(run)?;
        journal.done(undo).context("writing the undo journal")
    }
}

/// Where a node listens for its peers. The same in every run: only who is in the run's namespaces can meet it.
#[must_use]
pub fn host(back_end: BackEnd, node: u16) -> Ipv4Addr {
    match back_end {
        BackEnd::Proxies => Ipv4Addr::LOCALHOST,
        BackEnd::Switch | BackEnd::Nftables => address(node),
    }
}

/// Of the private range of RFC 1918.
fn address(node: u16) -> Ipv4Addr {
    let [high, low] = node.to_be_bytes();
    Ipv4Addr::new(10, 77, high, low)
}

fn directions(nodes: impl Iterator<Item = u16> + Clone) -> Vec<Direction> {
    let pairs = nodes.clone().flat_map(|from| nodes.clone().map(move |to| (from, to)));
    pairs.filter(|(from, to)| from != to).collect()
}

/// `run`: its folder, as the leftovers scan finds it.
fn will_make(run: &Path, journal: &Journal) -> anyhow::Result<(String, Undo)> {
    let link = name_of(&run.canonicalize().with_context(|| format!("finding {}", run.display()))?);
    let undo = Undo::Namespaces { link: link.clone() };
    journal.will(&undo).context("writing the undo journal")?;
    Ok((link, undo))
}

/// The loopback, for the tool's own calls and the node's, and the link to the peers.
fn set_up(namespace: &Namespace, node: u16, link: &str) -> anyhow::Result<()> {
    let (address, mtu) = (address(node), switch::MTU_BYTES);
    let script = format!(
        "link set dev lo up\n\
         link set dev {link} mtu {mtu} addrgenmode none\n\
         address add {address}/16 dev {link}\n\
         link set dev {link} up\n"
    );
    namespace.command("ip", &["-batch", "-"], &script).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_next_to_each_other_and_no_two_at_one_address() {
        assert_eq!(host(BackEnd::Switch, 1).to_string(), "10.77.0.1");
        assert_eq!(host(BackEnd::Proxies, 1), host(BackEnd::Proxies, 2));
        assert_eq!(directions([1, 2, 3].into_iter()), [(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)]);
    }
}

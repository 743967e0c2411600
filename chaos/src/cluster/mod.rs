//! Real node processes, each with a disk and a network of its own where the scenario needs them, that the drill starts, kills and
//! starts again; or nodes that run already (`remote`), in the hands of commands of their operator.
//!
//! Of those that the drill starts: ports and data stay the same over restarts. Nothing that is started here outlives the tool: each process is killed when its
//! owner is dropped, and when the tool itself was killed, [`watchdog`] kills them, and each stops because its standard input,
//! which the tool holds, closes. What a process wrote to its standard error is in the run's folder.

mod commands;
mod config;
mod file;
mod life;
mod links;
mod local;
mod lost_disk;
mod member_commands;
mod node;
mod ports;
mod program;
mod remote;
pub mod watchdog;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use tonic::transport::Channel;

use crate::client::{GatewaySecrets, NodeAddress, channel};
use crate::disk::Disk;
use crate::history::{Recorder, RunFolder};
use crate::limits;
use crate::network::{self, Door, Network};
use crate::proto::admin::admin_service_client::AdminServiceClient;
use crate::proto::admin::{GetStatusRequest, GetStatusResponse, InitRequest, NodeRole as WireRole};
use crate::proto::drill::drill_service_client::DrillServiceClient;
use crate::resources::Group;
use crate::scenario::{BackEnd, Scenario};
use crate::undo::{Confirmed, Journal};

pub use file::ClusterFile;
pub use life::{Exit, UnexpectedExit};
pub use links::Links;
use local::{Files, Local, Own};
pub use member_commands::MemberCommands;
use node::Control;
pub use node::{Clock, Node, NotThere};
pub use program::{Binaries, DRILL_CONTROLS, PLANTED_BUG_VARIABLE, find_node_binary, node_version};
use watchdog::Watchdog;

pub type AdminClient = AdminServiceClient<Channel>;

/// The nodes of a run.
#[derive(Debug, Clone)]
pub enum Nodes {
    /// Started by the drill.
    Started(Binaries),
    /// They run already; and this tool, for its `watchdog` command.
    Found { file: Box<ClusterFile>, tool: PathBuf },
}

impl Nodes {
    /// Commands that may take back what a run did to them.
    #[must_use]
    pub fn confirmed(&self) -> Confirmed {
        match self {
            Self::Started(_) => Confirmed::default(),
            Self::Found { file, .. } => file.confirmed(),
        }
    }

    /// Of their program, on one line.
    pub async fn version(&self, cluster: &Cluster) -> String {
        match self {
            Self::Started(binaries) => node_version(binaries).await,
            Self::Found { .. } => {
                let first = cluster.statuses().await.into_iter().next();
                first.map_or_else(|| "unknown: no answer".to_owned(), |(_, status)| status.version)
            }
        }
    }
}

pub struct Cluster {
    nodes: Vec<Node>,
    /// Between the nodes, if the scenario's faults need it; otherwise they call each other directly.
    network: Option<Network>,
    /// Between nodes that run already: commands cut them.
    links: Option<Links>,
    /// Of nodes that the drill starts.
    member_commands: Option<MemberCommands>,
    serial_key: String,
    gateways: GatewaySecrets,
    /// For people.
    name: String,
    /// The nodes' program takes orders from a drill.
    are_controlled: bool,
    /// Of nodes that the drill starts: while one is down, its ports are no other drill's.
    _ports: Option<ports::Claim>,
    /// When the last hand on its pipe goes, it takes back what is left.
    _watchdog: Watchdog,
}

impl Cluster {
    /// Writes the nodes' configuration and starts none of them yet.
    ///
    /// # Errors
    /// No free ports, a file that cannot be written, or the watchdog that cannot be started.
    pub async fn prepare(
        scenario: &Scenario,
        seed: u64,
        binaries: &Binaries,
        folder: &RunFolder,
        recorder: &Recorder,
    ) -> anyhow::Result<Self> {
        let root = folder.root().canonicalize()?;
        let journal = Journal::create(&root).context("making the undo journal")?;
        let watchdog = Watchdog::start(&binaries.tool, &root, None).context("starting the watchdog")?;
        let claim = ports::claim(scenario.cluster.nodes)?;
        let host = |id| network::host(scenario.network.back_end, id);
        let members: Vec<config::Member> =
            claim.ports.iter().zip(1..).map(|(ports, id)| config::Member { id, host: host(id), ports: *ports }).collect();
        let network = match scenario.needs_network() {
            true => Some(make_network(scenario.network.back_end, &members, seed, &root, journal.clone()).await?),
            false => None,
        };
        let serial_key = config::serial_key(seed);
        let secrets = config::SecretFiles::write(&folder.nodes(), &serial_key)?;

        let mut nodes = Vec::new();
        for member in &members {
            let directory = folder.nodes().join(format!("node-{}", member.id));
            std::fs::create_dir_all(&directory)?;
            let directory = directory.canonicalize()?;
            let dial = |to: u16| network.as_ref()?.dial((member.id, to));
            let namespace = network.as_ref().and_then(|network| network.namespace(member.id)).cloned();
            let disk = match scenario.faults.need_disks() {
                true => Some(
                    Disk::make(&directory, limits::DISK_BYTES, journal.clone(), watchdog.clone()).context("making a disk")?,
                ),
                false => None,
            };
            let data = disk.as_ref().map_or(directory.as_path(), Disk::at).join(config::DATA_DIRECTORY);
            let group = match scenario.faults.need_groups() {
                true => Some(Group::make(&root, member.id, journal.clone())?),
                false => None,
            };
            let text = config::node_file(member, &members, &dial, &data, &secrets, &scenario.cluster.config)?;
            let files = Files { config: directory.join("node.toml"), metrics: member.metrics(), directory, data };
            std::fs::write(&files.config, text).with_context(|| format!("writing {}", files.config.display()))?;
            let (address, own) = (member.address(Door::to(namespace.as_ref())), Own { disk, namespace, group });
            let local = Local { binaries: binaries.clone(), files, own, journal: journal.clone() };
            nodes.push(Node::new(address, Control::Local(local), recorder.clone()));
        }
        let name = "drill".to_owned();
        let member_commands = MemberCommands::new(&binaries.node, &members, &name, &root, journal);
        Ok(Self {
            nodes,
            network,
            links: None,
            member_commands: Some(member_commands),
            serial_key,
            gateways: GatewaySecrets::default(),
            name,
            are_controlled: scenario.faults.need_controls(),
            _ports: Some(claim),
            _watchdog: watchdog,
        })
    }

    /// Starts every node, makes a cluster of them, and waits for its first leader. Of nodes that run already: as far as that is not so.
    ///
    /// # Errors
    /// A node does not come up, `Init` is refused, or no leader is elected in time; or the cluster was used already.
    pub async fn form(&self, scenario: &Scenario) -> anyhow::Result<()> {
        if self.links.is_some() {
            return self.join(scenario).await;
        }
        for node in &self.nodes {
            node.start().await?;
        }
        for node in &self.nodes {
            node.wait_ready(limits::READY_DEADLINE).await?;
        }
        let first = self.nodes.first().context("a cluster has at least one node")?;
        first.admin().init(InitRequest { cluster_name: self.name.clone() }).await.context("Init of node 1")?;
        match tokio::time::timeout(limits::FORM_DEADLINE, self.wait_leader()).await {
            Ok(_) => Ok(()),
            Err(_) => bail!("no leader within {} s after Init", limits::FORM_DEADLINE.as_secs()),
        }
    }

    /// Waits until one of the nodes leads: it and its term.
    pub async fn wait_leader(&self) -> (u16, u64) {
        loop {
            if let Some(found) = self.leader().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The node that says that it leads in the highest term, and that term.
    pub async fn leader(&self) -> Option<(u16, u64)> {
        let leaders = self.statuses().await.into_iter().filter(|(_, status)| status.role() == WireRole::Leader);
        leaders.map(|(node, status)| (node, status.term)).max_by_key(|(_, term)| *term)
    }

    /// What each node that answers says of itself.
    pub async fn statuses(&self) -> Vec<(u16, GetStatusResponse)> {
        let answers = self.nodes.iter().map(|node| async { node.status().await.map(|status| (node.id(), status)) });
        futures_util::future::join_all(answers).await.into_iter().flatten().collect()
    }

    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    #[must_use]
    pub fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    /// Between nodes that run already.
    #[must_use]
    pub fn links(&self) -> Option<&Links> {
        self.links.as_ref()
    }

    /// Of nodes that the tool started.
    #[must_use]
    pub fn member_commands(&self) -> Option<&MemberCommands> {
        self.member_commands.as_ref()
    }

    #[must_use]
    pub fn node(&self, id: u16) -> &Node {
        self.nodes.iter().find(|node| node.id() == id).expect("ids come from this cluster")
    }

    #[must_use]
    pub fn addresses(&self) -> Vec<NodeAddress> {
        self.nodes.iter().map(Node::address).collect()
    }

    /// 64 hexadecimal digits.
    #[must_use]
    pub fn serial_key(&self) -> &str {
        &self.serial_key
    }

    /// Which payment gateways share with the nodes.
    #[must_use]
    pub fn gateways(&self) -> &GatewaySecrets {
        &self.gateways
    }

    /// Nodes that ended although nobody had told them to.
    #[must_use]
    pub fn unexpected_exits(&self) -> Vec<UnexpectedExit> {
        self.nodes.iter().flat_map(Node::unexpected_exits).collect()
    }

    /// Starts what is down, resumes what is stopped, joins what is cut, gives each node its disk back, sets clocks right; every node
    /// answers when it returns.
    ///
    /// # Errors
    /// [`NotThere`]: a node does not come up. Another: the tool could not do its part.
    pub async fn heal(&self) -> anyhow::Result<()> {
        if let Some(network) = &self.network {
            network.heal()?;
        }
        if let Some(links) = &self.links {
            links.join().await?;
        }
        self.thaw();
        for node in &self.nodes {
            if let Some(disk) = node.disk() {
                if disk.is_dead() && node.is_running() {
                    let _ended = node.kill().await;
                    let gone = node.wait_down(limits::KILL_DEADLINE).await;
                    gone.with_context(|| format!("node {} outlived SIGKILL", node.id()))?;
                }
                disk.revive()?;
            }
            if let Some(group) = node.group() {
                group.lift()?;
            }
            if node.is_running() {
                node.resume().await?;
            } else {
                node.start().await?;
            }
        }
        for node in &self.nodes {
            node.wait_ready(limits::READY_DEADLINE).await?;
            if self.are_controlled {
                node.set_clock(Clock::RIGHT).await?;
                node.arm(None).await?;
                node.will_go_on();
            }
        }
        Ok(())
    }

    /// Those of the tool's own that run.
    fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_local() && node.is_running())
    }

    /// SIGTERM to every node of the tool's own, and SIGKILL to those that do not stop within `deadline`: what did not go as it should.
    pub async fn stop(&self, deadline: Duration) -> Vec<String> {
        let stops = self.running().map(|node| async move {
            // One that ended by itself in this moment is told as that.
            node.stop().ok().filter(|is_running| *is_running)?;
            match node.wait_down(deadline).await {
                Some(exit) if exit.is_success() => None,
                Some(exit) => Some(format!("node {} was stopped by SIGTERM and ended with {exit}", node.id())),
                None => Some(format!("node {} did not stop on SIGTERM and was killed", node.id())),
            }
        });
        let problems = futures_util::future::join_all(stops).await.into_iter().flatten().collect();
        self.kill(limits::KILL_DEADLINE).await;
        problems
    }

    /// Who writes to a disk that stands still cannot be killed. (A disk that cannot be thawed is among what is left.)
    fn thaw(&self) {
        for disk in self.nodes.iter().filter_map(Node::disk).filter(|disk| disk.is_mounted()) {
            let _is_told_at_the_end = disk.thaw();
        }
    }

    /// Unmounts the nodes' disks, each that nobody uses. Their nodes must be gone.
    pub fn release_disks(&self) {
        for disk in self.nodes.iter().filter_map(Node::disk) {
            // It is in the undo journal, and the heal at the end tries again, and says so.
            let _in_use = disk.unmount();
        }
    }

    /// Removes the nodes' control groups. Their nodes must be gone.
    pub fn release_groups(&self) {
        for group in self.nodes.iter().filter_map(Node::group) {
            // As with disks.
            let _somebody_is_in_it = group.release();
        }
    }

    /// Nobody is in the nodes' namespaces any more. Their nodes must be gone.
    pub fn release_network(&self) {
        // Who still is, the heal at the end finds, and tells.
        let _somebody_is = self.network.as_ref().map(Network::release);
    }

    /// SIGKILL to every node of the tool's own, and waits for their ends, up to `deadline`.
    pub async fn kill(&self, deadline: Duration) {
        self.thaw();
        let kills = self.running().map(|node| async move {
            // It may have ended in this moment; then it is written down soon.
            let _ended = node.kill().await;
            node.wait_down(deadline).await;
        });
        futures_util::future::join_all(kills).await;
    }
}

async fn make_network(
    back_end: BackEnd,
    members: &[config::Member],
    seed: u64,
    run: &Path,
    journal: Journal,
) -> anyhow::Result<Network> {
    let ids: Vec<u16> = members.iter().map(|member| member.id).collect();
    let made = match back_end {
        BackEnd::Proxies => Network::proxies(&members.iter().map(|member| (member.id, member.peer())).collect()).await,
        BackEnd::Switch => Network::switch(&ids, seed, run, journal),
        BackEnd::Nftables => Network::nftables(&ids, run, journal),
    };
    made.context("making the network")
}

/// One call for a node's status.
pub(crate) async fn ask_status(mut admin: AdminClient) -> Option<GetStatusResponse> {
    let answer = tokio::time::timeout(limits::STATUS_DEADLINE, admin.get_status(GetStatusRequest {})).await;
    answer.ok()?.ok().map(tonic::Response::into_inner)
}

/// Answered by builds that can be controlled from within.
pub(crate) type DrillClient = DrillServiceClient<Channel>;

pub(crate) fn drill_client(address: &str, door: &Door) -> DrillClient {
    DrillServiceClient::new(channel(address, door))
}

pub(crate) fn admin_client(address: &str, door: &Door) -> AdminClient {
    AdminServiceClient::new(channel(address, door)).max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
}

/// Removes the data directories of a run's nodes; their configuration and logs stay.
///
/// # Errors
/// A directory cannot be read or removed.
pub fn remove_data(folder: &RunFolder) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder.nodes())? {
        let directory = entry?.path();
        let data = directory.join(config::DATA_DIRECTORY);
        if data.is_dir() {
            std::fs::remove_dir_all(data)?;
        }
        let image = directory.join(Disk::IMAGE);
        if image.is_file() {
            std::fs::remove_file(image)?;
        }
    }
    Ok(())
}

//! The file that tells of a cluster that runs already: where its nodes are, which secrets they have, and by which commands they are
//! killed, paused and cut off. `clusters/` has examples.
//!
//! A command is a list of strings, and no shell reads it unless it says so. `{id}` and each of a node's `variables` stand for its own;
//! in `cut` and `heal`, `{from}` and `{to}` are ids and `{from.NAME}` and `{to.NAME}` variables of who sends and who receives. `{{` and
//! `}}` are braces.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use crate::client::{GatewaySecrets, NodeAddress};
use crate::network::{Direction, Door};
use crate::scenario::{FaultKind, Hurt, Scenario, Share};
use crate::serial_code::SerialCodes;
use crate::undo::{Confirmed, Recall};

/// A command line, and what takes it back.
pub(super) type Taken = (Vec<String>, Recall);

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    /// What `Init` calls it, if it was not called yet.
    #[serde(default = "drill")]
    name: String,
    serial_key_file: PathBuf,
    midtrans_keys_file: Option<PathBuf>,
    xendit_tokens_file: Option<PathBuf>,
    nodes: Vec<NodeEntry>,
    #[serde(default)]
    commands: Templates,
}

fn drill() -> String {
    "drill".into()
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeEntry {
    id: u16,
    client: String,
    admin: String,
    webhook: Option<String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Templates {
    kill: Option<Template>,
    start: Option<Template>,
    pause: Option<Template>,
    resume: Option<Template>,
    cut: Option<Template>,
    heal: Option<Template>,
}

type Template = Vec<String>;

/// Read, with every command and every address as it will be used.
#[derive(Debug, Clone)]
pub struct ClusterFile {
    pub(super) path: PathBuf,
    /// As it was read.
    pub(super) text: String,
    pub(super) name: String,
    pub(super) serial_key: String,
    /// `None`: it tells no secrets of gateways, so that no notice can be signed.
    pub(super) gateways: Option<GatewaySecrets>,
    pub(super) nodes: Vec<FoundNode>,
    pub(super) cuts: BTreeMap<Direction, Taken>,
}

#[derive(Debug, Clone)]
pub(super) struct FoundNode {
    pub(super) address: NodeAddress,
    pub(super) kill: Option<Taken>,
    pub(super) pause: Option<Taken>,
}

impl ClusterFile {
    /// # Errors
    /// It cannot be read, has an unknown key or variable, or an address that is none.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let told = || format!("cluster file {}", path.display());
        let text = std::fs::read_to_string(path).with_context(told)?;
        let path = path.canonicalize().with_context(told)?;
        Self::parse(text, path).with_context(told)
    }

    fn parse(text: String, path: PathBuf) -> anyhow::Result<Self> {
        let Text { name, serial_key_file, midtrans_keys_file, xendit_tokens_file, nodes: entries, commands } =
            toml::from_str(&text)?;
        let ids: BTreeSet<u16> = entries.iter().map(|node| node.id).collect();
        ensure!(ids.len() == entries.len(), "nodes.id: no two nodes may have the same");
        ensure!(!ids.contains(&0), "nodes.id must be 1 to {}", u16::MAX);
        let folder = path.parent().unwrap_or(Path::new("."));
        let secret = |key: &str, file: &Path| first_line(&folder.join(file)).with_context(|| key.to_owned());
        let gateways = match (midtrans_keys_file, xendit_tokens_file) {
            (Some(keys), Some(tokens)) => Some(GatewaySecrets {
                midtrans_server_key: secret("midtrans_keys_file", &keys)?,
                xendit_callback_token: secret("xendit_tokens_file", &tokens)?,
            }),
            (None, None) => None,
            _ => bail!("midtrans_keys_file and xendit_tokens_file: notices come from both gateways or from none"),
        };
        let nodes = entries.iter().map(|node| found(node, &commands)).collect::<anyhow::Result<_>>()?;
        let cuts = cuts(&entries, &commands)?;
        let serial_key = secret("serial_key_file", &serial_key_file)?;
        SerialCodes::from_hex(&serial_key).context("serial_key_file")?;
        Ok(Self { path, text, name, serial_key, gateways, nodes, cuts })
    }

    /// The command lines that may take back what its other commands did.
    #[must_use]
    pub fn confirmed(&self) -> Confirmed {
        let of_nodes = self.nodes.iter().flat_map(|node| node.kill.iter().chain(&node.pause));
        of_nodes.chain(self.cuts.values()).map(|(_, recall)| recall.command.clone()).collect()
    }

    /// Why `scenario` cannot be run against it.
    ///
    /// # Errors
    /// The reason.
    pub fn serves(&self, scenario: &Scenario) -> anyhow::Result<()> {
        let (nodes, wanted) = (self.nodes.len(), scenario.cluster.nodes);
        ensure!(nodes == usize::from(wanted), "the scenario is for {wanted} nodes, and this cluster file has {nodes}");
        let share = scenario.traffic.shares.through_webhook;
        if share > Share::default() {
            ensure!(
                self.gateways.is_some(),
                "traffic.shares.through_webhook is {share}, and this cluster file has no midtrans_keys_file and xendit_tokens_file"
            );
            let silent = self.nodes.iter().find(|node| node.address.webhook.is_empty()).map(|node| node.address.node);
            ensure!(
                silent.is_none(),
                "traffic.shares.through_webhook is {share}, and node {} has no webhook address in this cluster file",
                silent.unwrap_or_default()
            );
        }
        scenario.faults.kinds().try_for_each(|kind| self.can(kind))
    }

    fn can(&self, kind: FaultKind) -> anyhow::Result<()> {
        let has = |of: fn(&FoundNode) -> &Option<Taken>| self.nodes.iter().all(|node| of(node).is_some());
        let (is_there, commands) = match kind.hurt() {
            Hurt::Ends if !kind.is_orderly() => (has(|node| &node.kill), "kill and start"),
            Hurt::Pauses => (has(|node| &node.pause), "pause and resume"),
            Hurt::Cuts => (!self.cuts.is_empty(), "cut and heal"),
            _ => bail!("{} can be done only to nodes that the tool starts itself", kind.name()),
        };
        ensure!(is_there, "this cluster file has no command for {commands}, which {} takes", kind.name());
        Ok(())
    }
}

fn found(node: &NodeEntry, commands: &Templates) -> anyhow::Result<FoundNode> {
    let id = node.id;
    let values = values("", node);
    let taken = |names: [&str; 2], does: &Option<Template>, undoes: &Option<Template>, what: &str| {
        taken(
            names,
            does.as_ref().zip(undoes.as_ref()),
            does.is_some() != undoes.is_some(),
            &values,
            format!("{what} of node {id}"),
        )
    };
    let address = |name: &str, address: &str| resolved(address).with_context(|| format!("nodes.{name} of node {id}"));
    Ok(FoundNode {
        address: NodeAddress {
            node: id,
            client: address("client", &node.client)?,
            admin: address("admin", &node.admin)?,
            webhook: node.webhook.as_deref().map(|webhook| address("webhook", webhook)).transpose()?.unwrap_or_default(),
            door: Door::default(),
        },
        kill: taken(["kill", "start"], &commands.kill, &commands.start, "the kill")?,
        pause: taken(["pause", "resume"], &commands.pause, &commands.resume, "the pause")?,
    })
}

fn cuts(nodes: &[NodeEntry], commands: &Templates) -> anyhow::Result<BTreeMap<Direction, Taken>> {
    let mut cuts = BTreeMap::new();
    for (from, to) in nodes.iter().flat_map(|from| nodes.iter().map(move |to| (from, to))) {
        if from.id == to.id {
            continue;
        }
        let values = [values("from", from), values("to", to)].into_iter().flatten().collect();
        let (cut, heal) = (commands.cut.as_ref(), commands.heal.as_ref());
        let what = format!("the cut from node {} to node {}", from.id, to.id);
        let taken = taken(["cut", "heal"], cut.zip(heal), cut.is_some() != heal.is_some(), &values, what)?;
        cuts.extend(taken.map(|taken| ((from.id, to.id), taken)));
    }
    Ok(cuts)
}

/// What the words in braces stand for. `who`: in a command for a link.
fn values(who: &str, node: &NodeEntry) -> BTreeMap<String, String> {
    let name = |name: &str| if who.is_empty() { name.to_owned() } else { format!("{who}.{name}") };
    let id = if who.is_empty() { "id".to_owned() } else { who.to_owned() };
    let variables = node.variables.iter().map(|(key, value)| (name(key), value.clone()));
    variables.chain([(id, node.id.to_string())]).collect()
}

/// `is_half`: one of the two is missing.
fn taken(
    names: [&str; 2],
    templates: Option<(&Template, &Template)>,
    is_half: bool,
    values: &BTreeMap<String, String>,
    what: String,
) -> anyhow::Result<Option<Taken>> {
    let [does, undoes] = names;
    ensure!(!is_half, "commands.{does} and commands.{undoes}: one takes the other back, so both are there or none");
    let Some((one, other)) = templates else { return Ok(None) };
    let line = |name: &str, template: &Template| {
        ensure!(!template.is_empty(), "commands.{name} is empty");
        let words = template.iter().map(|word| filled(word, values)).collect::<anyhow::Result<Vec<_>>>();
        words.with_context(|| format!("commands.{name}, for {what}"))
    };
    let (one, command) = (line(does, one)?, line(undoes, other)?);
    Ok(Some((one, Recall { what, command })))
}

fn filled(word: &str, values: &BTreeMap<String, String>) -> anyhow::Result<String> {
    let mut whole = String::new();
    let mut rest = word;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        whole.push_str(before);
        if let Some(brace) = ["{{", "}}"].into_iter().find(|brace| from.starts_with(brace)) {
            whole.push_str(&brace[..1]);
            rest = &from[2..];
            continue;
        }
        let name = from.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, behind) = name.with_context(|| format!("{word:?}: a brace without its other ({{{{ and }}}} are braces)"))?;
        let known = || values.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        whole.push_str(values.get(name).with_context(|| format!("{{{name}}} stands for nothing; there are {}", known()))?);
        rest = behind;
    }
    Ok(whole + rest)
}

/// The tool's sockets are of IPv4.
fn resolved(address: &str) -> anyhow::Result<String> {
    let mut addresses = address.to_socket_addrs().with_context(|| format!("{address:?} is no host:port"))?;
    let found = addresses.find(SocketAddr::is_ipv4);
    Ok(found.with_context(|| format!("{address:?} has no IPv4 address"))?.to_string())
}

fn first_line(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(line.with_context(|| format!("{} is empty", file.display()))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLES: [(&str, &str); 3] = [
        ("ssh", include_str!("../../clusters/ssh.toml")),
        ("docker", include_str!("../../clusters/docker.toml")),
        ("kubectl", include_str!("../../clusters/kubectl.toml")),
    ];

    /// Beside secrets of the names that the examples give.
    fn read(text: &str) -> anyhow::Result<ClusterFile> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("serial.key"), format!("# of a test cluster\n{}\n", "07".repeat(32))).unwrap();
        for name in ["midtrans.keys", "xendit.tokens"] {
            std::fs::write(folder.path().join(name), format!("{name}\n")).unwrap();
        }
        let path = folder.path().join("cluster.toml");
        std::fs::write(&path, text).unwrap();
        ClusterFile::load(&path)
    }

    fn with(from: &str, to: &str) -> String {
        let text = EXAMPLES[0].1;
        assert!(text.contains(from), "the example has no {from}");
        text.replacen(from, to, 1)
    }

    fn words(line: &[String]) -> String {
        line.join(" ")
    }

    #[test]
    fn every_example_serves_faults_of_processes_pauses_and_links() {
        for (name, text) in EXAMPLES {
            let file = read(text).unwrap_or_else(|error| panic!("{name}: {error:#}"));
            for scenario in ["leader-kill", "pause-leader", "isolate-leader", "paid-and-paused"] {
                let (scenario, _) = Scenario::load(scenario).unwrap();
                file.serves(&scenario).unwrap_or_else(|error| panic!("{name}: {error:#}"));
            }
        }
    }

    #[test]
    fn words_in_braces_stand_for_what_the_file_says_of_a_node() {
        let file = read(EXAMPLES[0].1).unwrap();
        let (kill, start) = file.nodes[1].kill.clone().unwrap();
        assert!(words(&kill).contains("drill@10.0.0.12") && words(&start.command).contains("drill@10.0.0.12"), "{kill:?}");
        assert_eq!(start.what, "the kill of node 2");
        let (cut, heal) = &file.cuts[&(1, 3)];
        assert!(words(cut).contains("drill@10.0.0.13") && words(cut).contains("-s 10.0.0.11"), "at the receiver: {cut:?}");
        assert_eq!(heal.what, "the cut from node 1 to node 3");
        assert_eq!((file.cuts.len(), filled("{{.State}}", &BTreeMap::new()).unwrap()), (6, "{.State}".to_owned()));
        for (word, told) in
            [("{hots}", "stands for nothing; there are"), ("{id", "a brace without its other"), ("}", "a brace")]
        {
            let error = format!("{:#}", filled(word, &[("host".to_owned(), String::new())].into()).unwrap_err());
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let of_cut = "{from.host}";
        for (text, told) in [
            (with("[commands]", "[commands]\nreboot = [\"true\"]"), "unknown field `reboot`"),
            (with("id = 2", "id = 1"), "nodes.id: no two nodes may have the same"),
            (with("id = 2", "id = 2\nhost = \"b\""), "unknown field `host`"),
            (with("10.0.0.12:7703", "10.0.0.12"), "nodes.admin of node 2"),
            (with("start = ", "resume = "), "duplicate key"),
            (with("start = ", "# start = "), "commands.kill and commands.start"),
            (with(of_cut, "{host}"), "commands.cut, for the cut from node 1 to node 2: {host} stands for nothing"),
            (with("midtrans_keys_file", "# midtrans_keys_file"), "midtrans_keys_file and xendit_tokens_file"),
            (with("serial.key", "no.key"), "serial_key_file: reading"),
            (with("serial.key", "xendit.tokens"), "serial_key_file"),
        ] {
            let error = format!("{:#}", read(&text).expect_err(told));
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn a_fault_that_the_file_has_no_command_for_is_refused_by_name() {
        let without = |commands: [&str; 2]| {
            commands
                .iter()
                .fold(EXAMPLES[0].1.to_owned(), |text, name| text.replacen(&format!("{name} = ["), &format!("# {name} = ["), 1))
        };
        let refused = |text: &str, scenario: &str| {
            let (scenario, _) = Scenario::load(scenario).unwrap();
            format!("{:#}", read(text).unwrap().serves(&scenario).expect_err("it cannot"))
        };
        for (commands, scenario, told) in [
            (["kill", "start"], "leader-kill", "no command for kill and start, which kill-leader takes"),
            (["pause", "resume"], "pause-leader", "no command for pause and resume, which pause-leader takes"),
            (["cut", "heal"], "isolate-leader", "no command for cut and heal, which isolate-leader takes"),
        ] {
            let error = refused(&without(commands), scenario);
            assert!(error.contains(told), "{error}");
        }
        for (scenario, told) in [
            ("power-cut", "can be done only to nodes that the tool starts itself"),
            ("clock-jump", "can be done only to nodes"),
            ("rolling-restart", "stop-follower can be done only to nodes"),
            ("slow-link", "slow-leader can be done only to nodes"),
            ("bridge", "the scenario is for 5 nodes, and this cluster file has 3"),
        ] {
            let error = refused(EXAMPLES[0].1, scenario);
            assert!(error.contains(told), "{error}");
        }
        let silent =
            with("midtrans_keys_file", "# midtrans_keys_file").replacen("xendit_tokens_file", "# xendit_tokens_file", 1);
        assert!(refused(&silent, "leader-kill").contains("traffic.shares.through_webhook is"));
        assert!(refused(&with("webhook = ", "# webhook = "), "leader-kill").contains("node 1 has no webhook address"));
    }
}

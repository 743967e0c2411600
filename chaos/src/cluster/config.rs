//! The configuration files of the nodes, as an operator would write them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use toml::{Table, Value};

use super::ports::Ports;
use crate::client::{GatewaySecrets, NodeAddress};
use crate::limits;
use crate::network::Door;
use crate::scenario::merge;

/// Within a node's own directory, or on its own disk.
pub(super) const DATA_DIRECTORY: &str = "data";

/// At the end all are stopped, and the last leader finds nobody to hand over to: it need not try for long.
const SHUTDOWN_TIMEOUT: &str = "3s";

#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) id: u16,
    /// Where it listens for its peers; for all others, on the loopback.
    pub(super) host: Ipv4Addr,
    pub(super) ports: Ports,
}

impl Member {
    pub(super) fn peer(&self) -> SocketAddr {
        (self.host, self.ports.peer).into()
    }

    pub(super) fn metrics(&self) -> String {
        loopback(self.ports.metrics)
    }

    pub(super) fn address(&self, door: Door) -> NodeAddress {
        let Ports { client, admin, webhook, .. } = self.ports;
        let (client, admin, webhook) = (loopback(client), loopback(admin), loopback(webhook));
        NodeAddress { node: self.id, client, admin, webhook, door }
    }
}

pub(super) fn loopback(port: u16) -> String {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string()
}

/// 64 hexadecimal digits from the seed: no secret, this cluster sells nothing.
pub(super) fn serial_key(seed: u64) -> String {
    blake3::hash(format!("stampede drill {seed}").as_bytes()).to_hex().to_string()
}

/// Files with what nodes keep secret, the same for all.
#[derive(Debug, Clone)]
pub(super) struct SecretFiles {
    serial_key: PathBuf,
    midtrans_keys: PathBuf,
    xendit_tokens: PathBuf,
}

impl SecretFiles {
    pub(super) fn write(folder: &Path, serial_key: &str) -> anyhow::Result<Self> {
        let write = |name: &str, secret: &str| {
            let path = folder.join(name);
            std::fs::write(&path, format!("{secret}\n")).with_context(|| format!("writing {}", path.display()))?;
            path.canonicalize().with_context(|| format!("finding {}", path.display()))
        };
        let gateways = GatewaySecrets::default();
        Ok(Self {
            serial_key: write("serial.key", serial_key)?,
            midtrans_keys: write("midtrans.keys", &gateways.midtrans_server_key)?,
            xendit_tokens: write("xendit.tokens", &gateways.xendit_callback_token)?,
        })
    }
}

/// `overrides` win key by key. `dial`: where this node calls that one, if not at its own address. `data`: its data directory.
pub(super) fn node_file(
    member: &Member,
    members: &[Member],
    dial: &dyn Fn(u16) -> Option<SocketAddr>,
    data: &Path,
    secrets: &SecretFiles,
    overrides: &Table,
) -> anyhow::Result<String> {
    let text = |path: &Path| path.to_str().map(str::to_owned).with_context(|| format!("{} is no UTF-8", path.display()));
    let mut file = Table::new();
    let mut section = |name: &str, keys: &[(&str, Value)]| {
        let table: Table = keys.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        file.insert(name.to_owned(), Value::Table(table));
    };
    section(
        "node",
        &[
            ("id", i64::from(member.id).into()),
            ("data_dir", text(data)?.into()),
            ("disk_floor", limits::DISK_FLOOR.into()),
            ("shutdown_timeout", SHUTDOWN_TIMEOUT.into()),
        ],
    );
    let members: Vec<Value> = members.iter().map(|other| member_entry(other, dial(other.id))).collect();
    section("cluster", &[("name", "drill".into()), ("members", members.into())]);
    let ports = member.ports;
    section(
        "listen",
        &[
            ("client", loopback(ports.client).into()),
            ("peer", member.peer().to_string().into()),
            ("admin", loopback(ports.admin).into()),
            ("metrics", member.metrics().into()),
            ("webhook", loopback(ports.webhook).into()),
        ],
    );
    // It listens beyond loopback only if it is told to; in its own network nobody but its peers can reach it.
    section("security", &[("insecure", (!member.host.is_loopback()).into())]);
    section("serials", &[("key_file", text(&secrets.serial_key)?.into())]);
    section(
        "gateways",
        &[
            ("midtrans_keys_file", text(&secrets.midtrans_keys)?.into()),
            ("xendit_tokens_file", text(&secrets.xendit_tokens)?.into()),
        ],
    );
    merge(&mut file, overrides);
    toml::to_string_pretty(&file).context("writing a node's configuration")
}

/// It does not say any more who the node is: its data directory knows, or whoever admits it.
pub(super) fn without_id(file: &str) -> anyhow::Result<String> {
    let mut file: Table = toml::from_str(file).context("reading a node's configuration")?;
    if let Some(node) = file.get_mut("node").and_then(Value::as_table_mut) {
        node.remove("id");
    }
    toml::to_string_pretty(&file).context("writing a node's configuration")
}

fn member_entry(member: &Member, dial: Option<SocketAddr>) -> Value {
    let mut entry = Table::new();
    entry.insert("id".into(), i64::from(member.id).into());
    entry.insert("client".into(), loopback(member.ports.client).into());
    entry.insert("peer".into(), member.peer().to_string().into());
    entry.insert("admin".into(), loopback(member.ports.admin).into());
    entry.extend(dial.map(|address| ("dial".to_owned(), address.to_string().into())));
    entry.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_listens_for_its_peers_alone_in_a_network_of_its_own() {
        let ports = Ports { client: 1, peer: 2, admin: 3, metrics: 4, webhook: 5 };
        let members = [1, 2].map(|id: u8| Member { id: id.into(), host: Ipv4Addr::new(10, 77, 0, id), ports });
        let folder = tempfile::tempdir().unwrap();
        let secrets = SecretFiles::write(folder.path(), "07").unwrap();
        let text = node_file(&members[0], &members, &|_| None, Path::new("/d"), &secrets, &Table::new()).unwrap();
        let file: Table = toml::from_str(&text).unwrap();
        assert_eq!(file["listen"]["peer"].as_str(), Some("10.77.0.1:2"));
        assert_eq!(file["listen"]["admin"].as_str(), Some("127.0.0.1:3"));
        assert_eq!(file["cluster"]["members"][1]["peer"].as_str(), Some("10.77.0.2:2"));
        assert_eq!(file["security"]["insecure"].as_bool(), Some(true), "the node asks to be told");
    }

    #[test]
    fn a_scenario_overrides_single_keys_of_a_nodes_file() {
        let ports = Ports { client: 1, peer: 2, admin: 3, metrics: 4, webhook: 5 };
        let members = [Member { id: 1, host: Ipv4Addr::LOCALHOST, ports }];
        let overrides: Table = toml::from_str("raft.snapshot_after_entries = 500\nnode.worker_threads = 1").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let secrets = SecretFiles::write(folder.path(), "07").unwrap();
        let text = node_file(&members[0], &members, &|_| None, Path::new("/d"), &secrets, &overrides).unwrap();
        let file: Table = toml::from_str(&text).unwrap();
        assert_eq!(file["node"]["id"].as_integer(), Some(1));
        assert_eq!(file["node"]["worker_threads"].as_integer(), Some(1));
        assert_eq!(file["raft"]["snapshot_after_entries"].as_integer(), Some(500));
        assert_eq!(file["cluster"]["members"][0]["peer"].as_str(), Some("127.0.0.1:2"));
        assert_eq!(file["security"]["insecure"].as_bool(), Some(false));
    }

    #[test]
    fn a_node_that_joins_anew_is_told_who_it_is_and_knows_all_else() {
        let file = "[node]\nid = 3\ndata_dir = \"/d\"\n\n[[cluster.members]]\nid = 3\n";
        let left: Table = toml::from_str(&without_id(file).unwrap()).unwrap();
        assert_eq!((left["node"].get("id"), left["node"]["data_dir"].as_str()), (None, Some("/d")));
        assert_eq!(left["cluster"]["members"][0]["id"].as_integer(), Some(3));
        assert_eq!(without_id(&without_id(file).unwrap()).unwrap(), without_id(file).unwrap());
    }
}

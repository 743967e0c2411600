//! `debug bundle`: what helps to see what is wrong, of all nodes that answer, in one file to send to whoever looks.
//!
//! What may not leave a node is taken out by the node itself. What this side adds is who was asked and who did not answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use clap::{Args, Subcommand};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Global;
use super::connection::{Call, Servers};
use super::exit::{Code, Failure};
use super::output;
use crate::clock;
use crate::limits::{DEBUG_METRICS_APART_MAX, DEBUG_NODE_BYTES_MAX};
use crate::proto::admin::CollectDebugFilesRequest;
use crate::proto::admin::support_service_client::SupportServiceClient as Client;

#[derive(Debug, Subcommand)]
pub(super) enum DebugCommand {
    /// Collect status, metrics, configuration, log, RocksDB's reports and the process' figures of each node that --admin names
    Bundle(BundleArgs),
}

#[derive(Debug, Args)]
pub(super) struct BundleArgs {
    /// Where to write it, a gzipped tar; a new file named by cluster and time if not given
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Keep addresses and paths, which are replaced by the names of their configuration keys otherwise; secrets never show
    #[arg(long)]
    unredacted: bool,
    /// Metrics are taken twice, so far apart, so that rates show; at most 5s
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = parse_apart)]
    metrics_apart: Duration,
}

/// By name.
type Files = BTreeMap<String, Vec<u8>>;

pub(super) async fn run(global: &Global, command: &DebugCommand) -> Result<(), Failure> {
    let DebugCommand::Bundle(args) = command;
    let collected = join_all(global.admin.iter().map(|address| collect(global, args, address))).await;
    let (mut nodes, mut silent) = (Vec::new(), Vec::new());
    for (address, files) in global.admin.iter().zip(collected) {
        match files {
            Ok(files) => nodes.push((address.clone(), files)),
            Err(failure) => {
                eprintln!("{address}: {}", failure.message);
                silent.push((address.clone(), failure));
            }
        }
    }
    if nodes.is_empty() {
        return Err(Failure::new(Code::Unreachable, "no node answered", "check that they run, or name others with --admin"));
    }
    let bundle = Bundle::new(global, args, nodes, &silent);
    let path = args.file.clone().unwrap_or_else(|| PathBuf::from(format!("{}.tar.gz", bundle.name)));
    let bytes = bundle.write(&path).map_err(|error| cannot_write(&path, &error))?;
    let not_asked: Vec<&u64> = bundle.members.difference(&bundle.asked).collect();
    if !not_asked.is_empty() {
        eprintln!("members that are not in it: {not_asked:?}; name the operator addresses of all with --admin");
    }
    output::print_record(
        global.output,
        vec![
            ("file", json!(path.display().to_string())),
            ("bytes", json!(bytes)),
            ("nodes", json!(bundle.asked)),
            ("silent", json!(silent.len())),
            ("redacted", json!(!args.unredacted)),
        ],
    );
    Ok(())
}

/// The files of one node.
async fn collect(global: &Global, args: &BundleArgs, address: &str) -> Result<Files, Failure> {
    let servers = Servers { addresses: vec![address.to_owned()], ..global.admins() };
    let apart = i64::try_from(args.metrics_apart.as_millis()).unwrap_or(i64::MAX);
    let request = CollectDebugFilesRequest { unredacted: args.unredacted, metrics_apart_ms: apart };
    let call = Call::read("collecting");
    let mut parts =
        servers.call(&call, async |to| Client::new(to.channel()).collect_debug_files(to.request(request)).await).await?;
    let broken_off = |told: String| Failure::new(Code::TimedOut, format!("collecting: {told}"), "run it again");
    let (mut files, mut bytes) = (Files::new(), 0);
    loop {
        let part = timeout(global.timeout, parts.message()).await;
        let part = part.map_err(|_| broken_off(format!("nothing came for {}", humantime::format_duration(global.timeout))))?;
        let Some(part) = part.map_err(|status| broken_off(status.message().to_owned()))? else { return Ok(files) };
        bytes += part.content.len();
        if bytes > DEBUG_NODE_BYTES_MAX || !is_good_name(&part.name) {
            return Err(broken_off(format!("what {address} sends is no part of a debug bundle")));
        }
        files.entry(part.name).or_default().extend(part.content);
    }
}

/// Where it is unpacked it stays below its folder.
fn is_good_name(name: &str) -> bool {
    let is_good = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    name.split('/').all(is_good)
}

struct Bundle {
    /// Of the folder that it unpacks to.
    name: String,
    /// Unix seconds.
    made_at: u64,
    /// By path under the folder.
    files: Files,
    /// Ids of the nodes in it.
    asked: BTreeSet<u64>,
    /// Ids of the members that one of them knows.
    members: BTreeSet<u64>,
}

impl Bundle {
    fn new(global: &Global, args: &BundleArgs, nodes: Vec<(String, Files)>, silent: &[(String, Failure)]) -> Self {
        let made_at = clock::unix_ms() / 1_000;
        let mut bundle =
            Self { name: String::new(), made_at, files: Files::new(), asked: BTreeSet::new(), members: BTreeSet::new() };
        let mut cluster = String::new();
        for (_, files) in nodes {
            let status: Value = files.get("status.json").and_then(|text| serde_json::from_slice(text).ok()).unwrap_or_default();
            let id = status["node_id"].as_u64().unwrap_or(0);
            bundle.members.extend(status["members"].as_array().into_iter().flatten().filter_map(|m| m["node_id"].as_u64()));
            if let Some(name) = status["cluster_name"].as_str().filter(|name| !name.is_empty() && is_good_name(name)) {
                cluster = format!("-{name}");
            }
            // One that was named twice is in it once.
            if bundle.asked.insert(id) {
                bundle.files.extend(files.into_iter().map(|(name, content)| (format!("node-{id}/{name}"), content)));
            }
        }
        let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(made_at)).to_string();
        bundle.name = format!("stampede-debug{cluster}-{}", time.replace([':', '-'], ""));
        let manifest = bundle.manifest(global, args, silent, &time);
        bundle.files.insert("MANIFEST.json".to_owned(), format!("{manifest:#}\n").into_bytes());
        bundle
    }

    fn manifest(&self, global: &Global, args: &BundleArgs, silent: &[(String, Failure)], time: &str) -> Value {
        // By their place in --admin: the addresses are not for everybody.
        let place = |address: &String| global.admin.iter().position(|known| known == address).map_or(0, |at| at + 1);
        let told = silent.iter().map(|(address, failure)| {
            let (place, message) = (place(address), &failure.message);
            let shown = if args.unredacted { message.clone() } else { message.replace(address, &format!("<admin-{place}>")) };
            json!({ "admin": place, "error": shown })
        });
        let files = self.files.iter().map(|(name, content)| {
            (name.clone(), json!({ "bytes": content.len(), "blake3": blake3::hash(content).to_hex().as_str() }))
        });
        json!({
            "made_at": time,
            "made_by": env!("CARGO_PKG_VERSION"),
            "redacted": !args.unredacted,
            "nodes": self.asked,
            "members": self.members,
            "silent": told.collect::<Vec<_>>(),
            "files": files.collect::<serde_json::Map<_, _>>(),
        })
    }

    /// Bytes of the file. It is the caller's alone to read, and was not there before.
    fn write(&self, path: &Path) -> io::Result<usize> {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        for (name, content) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(self.made_at);
            tar.append_data(&mut header, format!("{}/{name}", self.name), content.as_slice())?;
        }
        let bytes = tar.into_inner()?.finish()?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        Ok(bytes.len())
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    let next = "name another file with --file";
    Failure::new(Code::Failed, format!("cannot write {}: {error}", path.display()), next)
}

fn parse_apart(text: &str) -> Result<Duration, String> {
    let given = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if given <= DEBUG_METRICS_APART_MAX {
        return Ok(given);
    }
    Err(format!("must be 0s to {}", humantime::format_duration(DEBUG_METRICS_APART_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_never_unpacked_outside_of_its_folder() {
        for good in ["status.json", "rocksdb/log.LOG", "machine/pressure-cpu.txt"] {
            assert!(is_good_name(good), "{good}");
        }
        for bad in ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", ".profile", "a b", "a\\b"] {
            assert!(!is_good_name(bad), "{bad}");
        }
    }
}

//! Every key, once: name, kind, default, bounds, and the words that `config print` shows.
//!
//! The macro makes of each section a struct with typed fields and a list of [`Key`]s, so that the documentation, the reader
//! and the fields cannot drift apart.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use super::layers::{FromValue, Values};
use super::size::Size;
use super::value::{Kind, LOG_FORMATS, LOG_LEVELS, LogFormat, LogLevel, MemberAddresses};
use crate::limits;

pub(super) struct Key {
    /// `section.field`
    pub(super) name: &'static str,
    pub(super) doc: &'static [&'static str],
    pub(super) kind: Kind,
}

macro_rules! sections {
    ($( $(#[doc = $section_doc:literal])* $section:ident : $name:ident { $( $(#[doc = $doc:literal])* $field:ident : $type:ty = $kind:expr; )* } )*) => {
        $(
            $(#[doc = $section_doc])*
            #[derive(Debug, Clone)]
            pub struct $name { $( $(#[doc = $doc])* pub $field: $type, )* }
        )*

        /// A whole configuration, checked.
        #[derive(Debug, Clone)]
        pub struct Config { $( pub $section: $name, )* }

        impl Config {
            pub(super) fn from_values(values: &Values) -> Self {
                Self {
                    $( $section: $name {
                        $( $field: <$type>::from_value(values.get(concat!(stringify!($section), ".", stringify!($field)))), )*
                    }, )*
                }
            }
        }

        pub(super) const SECTIONS: &[(&str, &[&str])] = &[ $( (stringify!($section), &[ $( $section_doc ),* ]), )* ];

        pub(super) const KEYS: &[Key] = &[ $( $( Key {
            name: concat!(stringify!($section), ".", stringify!($field)),
            doc: &[ $( $doc ),* ],
            kind: $kind,
        }, )* )* ];
    };
}

const fn loopback(port: u16) -> Kind {
    Kind::Listen { default: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)) }
}

const fn millis(default: u64, min: u64, max: u64) -> Kind {
    Kind::Duration { default: Duration::from_millis(default), min: Duration::from_millis(min), max: Duration::from_millis(max) }
}

/// Milliseconds.
const MINUTE_MS: u64 = 60_000;

sections! {
    /// This node.
    node: Node {
        /// Which of `cluster.members` this node is; 0, of a node that joins by a token: what the cluster says and the data directory keeps.
        /// Never give an id to another node, nor to this one after its disk was lost.
        id: u64 = Kind::Integer { default: Some(0), min: 0, max: limits::NODE_ID_MAX };
        /// For people, in logs and metrics; empty is `node-` and the id.
        name: String = Kind::Name { default: "", chars_max: limits::NODE_NAME_CHARS_MAX };
        /// Where everything it must not forget is kept: identity, log, ledger, snapshots.
        data_dir: PathBuf = Kind::Path;
        /// Threads that serve the clients' and gateways' calls; 0 is one for each core. (Consensus has half as many as there are cores.)
        worker_threads: u64 = Kind::Integer { default: Some(0), min: 0, max: 1_024 };
        /// Room that the disk of `data_dir` must have free for new orders. A leader with less hands over; when fewer than a majority of the
        /// voters have it, new orders are refused (DISK_LOW) until there is a quarter more, and what is ordered goes on being paid and
        /// stamped. "0B": orders are taken until the disk is full, which ends the node.
        disk_floor: Size = Kind::Size { default: Size::of(limits::DISK_FLOOR_BYTES_DEFAULT), max: Size::of(limits::DISK_FLOOR_BYTES_MAX) };
        /// How long an orderly stop may take: leadership handed over, calls in flight answered, stores flushed.
        shutdown_timeout: Duration = millis(10_000, 100, 10 * MINUTE_MS);
    }

    /// The cluster that `stampede init` makes. Afterwards the members are in the log, and the list here is not asked but for `dial`.
    cluster: Cluster {
        /// For people; commands that destroy will ask for it. `init` may be given another.
        name: String = Kind::Name { default: "stampede", chars_max: limits::CLUSTER_NAME_CHARS_MAX };
        /// All members, this node among them unless it joins by a token; equal on all nodes but for `dial`, where this node calls a peer
        /// that it cannot reach at its `peer` address.
        members: Vec<MemberAddresses> = Kind::Members;
    }

    /// Addresses to listen on. Not beyond loopback unless `security.insecure` is set.
    listen: Listen {
        /// Portals and gateways, gRPC.
        client: SocketAddr = loopback(7700);
        /// The other nodes, gRPC.
        peer: SocketAddr = loopback(7701);
        /// Notices of payment gateways, HTTP. Opened only if `gateways` names a secret.
        webhook: SocketAddr = loopback(7702);
        /// Operators, gRPC.
        admin: SocketAddr = loopback(7703);
        /// Metrics and probes, HTTP.
        metrics: SocketAddr = loopback(9464);
    }

    /// Where others reach a node that joins by a token; of others `cluster.members` says it. Empty is where it listens.
    advertise: Advertise {
        /// Of the clients' listener.
        client: String = Kind::OptionalAddress;
        /// Of the peers' listener.
        peer: String = Kind::OptionalAddress;
    }

    /// Consensus. Times are for one data centre; give the same to all nodes.
    raft: Raft {
        /// How often a leader without work tells that it is there.
        heartbeat: Duration = millis(30, 1, 10_000);
        /// A follower that hears nothing for a random time between this and the next starts an election.
        election_timeout_min: Duration = millis(100, 5, MINUTE_MS);
        /// Also the leader's lease. The pause after a leader dies is about this plus the random time.
        election_timeout_max: Duration = millis(150, 5, 2 * MINUTE_MS);
        /// A snapshot is built each time so many entries were applied since the last.
        snapshot_after_entries: u64 = Kind::Integer { default: Some(500_000), min: 100, max: 1_000_000_000 };
        /// Entries in one message to a follower.
        append_entries_max: u64 = Kind::Integer { default: Some(256), min: 1, max: 10_000 };
        /// Entries of commands that this node has proposed and that are not applied yet; more commands wait, and go together.
        entries_in_flight_max: u64 = Kind::Integer { default: Some(2), min: 1, max: 1_000 };
        /// Entries that stay in the log behind a snapshot: a node that was away for less needs no snapshot to catch up.
        entries_kept_after_snapshot: u64 = Kind::Integer { default: Some(500_000), min: 0, max: 1_000_000_000 };
    }

    /// The printed codes of stamps.
    serials: Serials {
        /// 64 hexadecimal digits, secret, equal on all nodes. Lines that begin with # are comments.
        key_file: PathBuf = Kind::Path;
    }

    /// Payment gateways that send their notices here. A file holds one secret a line, two while one replaces the other; lines that
    /// begin with # are comments. Read at the start only. A gateway without a file is not listened to.
    gateways: Gateways {
        /// Server keys of the Midtrans merchant.
        midtrans_keys_file: Option<PathBuf> = Kind::OptionalPath;
        /// Where GET Status of Midtrans is asked before its money is recorded, in plain HTTP: a proxy on this machine that speaks TLS
        /// to api.midtrans.com. Without it a notice is believed as it stands.
        midtrans_status_address: String = Kind::OptionalAddress;
        /// Callback tokens (x-callback-token) of the Xendit account.
        xendit_tokens_file: Option<PathBuf> = Kind::OptionalPath;
    }

    /// Who may reach this node.
    security: Security {
        /// Allows to listen beyond loopback although nothing is encrypted and nobody is asked who they are.
        insecure: bool = Kind::Flag { default: false };
    }

    /// The log on standard error.
    log: Log {
        /// Least severe level that is written.
        level: LogLevel = Kind::Choice { default: "info", among: LOG_LEVELS };
        /// One JSON object a line, or text for people.
        format: LogFormat = Kind::Choice { default: "json", among: LOG_FORMATS };
    }
}

//! Nodes on a bridge of the kernel's, and cuts as rules in the receiver's namespace: the tool is on no packet's way.
//!
//! A cut from i to j is a table of j's own that drops what i sends. It counts from nothing, as it is made anew each time, and goes with
//! the cut; and all go with the namespace. The bridge is in a namespace of its own, in which no process is.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, bail};
use serde_json::Value;

use super::passage::{Hit, Passage};
use super::{Direction, Medium, Namespace, address};

const BRIDGE: &str = "bridge";

pub(super) fn make_hub() -> anyhow::Result<Namespace> {
    let hub = Namespace::make()?;
    hub.command("ip", &["-batch", "-"], &format!("link add name {BRIDGE} type bridge\nlink set dev {BRIDGE} up\n"))?;
    Ok(hub)
}

/// The node's end is named `link`.
pub(super) fn plug_in(hub: &Namespace, namespace: &Namespace, node: u16, link: &str) -> anyhow::Result<()> {
    let there = namespace.path();
    let script = format!(
        "link add name node-{node} type veth peer name {link} netns {there}\n\
         link set dev node-{node} master {BRIDGE} up\n"
    );
    hub.command("ip", &["-batch", "-"], &script).map(drop)
}

pub(super) struct Rules {
    /// Held open: it goes with it.
    _hub: Namespace,
    namespaces: BTreeMap<u16, Namespace>,
}

impl Rules {
    pub(super) fn new(hub: Namespace, namespaces: BTreeMap<u16, Namespace>) -> Self {
        Self { _hub: hub, namespaces }
    }
}

impl Medium for Rules {
    /// All cuts of one receiver at one moment.
    fn set(&self, directions: &[Direction], passage: Passage) -> anyhow::Result<()> {
        for (to, namespace) in &self.namespaces {
            let senders = directions.iter().filter(|(_, receiver)| receiver == to).map(|(from, _)| *from);
            let mut script = String::new();
            for from in senders {
                // The first makes the second one's error impossible.
                let table = table(from);
                writeln!(script, "table inet {table}\ndelete table inet {table}")?;
                match passage {
                    Passage::Free => {}
                    Passage::Cut => script.push_str(&cut(from)),
                    Passage::Impaired(_) => bail!("nftables cuts links and does nothing else to them"),
                }
            }
            if !script.is_empty() {
                namespace.command("nft", &["-f", "-"], &script)?;
            }
        }
        Ok(())
    }

    fn hits(&self, (from, to): Direction, hit: Hit) -> anyhow::Result<u64> {
        if hit != Hit::Cut {
            return Ok(0);
        }
        let listed = self.namespaces[&to].command("nft", &["-j", "list", "ruleset"], "")?;
        let listed: Value = serde_json::from_str(&listed).context("what nft lists")?;
        Ok(packets(&listed, &table(from)))
    }
}

fn table(from: u16) -> String {
    format!("from_{from}")
}

fn cut(from: u16) -> String {
    let (table, sender) = (table(from), address(from));
    format!(
        "table inet {table} {{\n\
         chain input {{\n\
         type filter hook input priority 0; policy accept;\n\
         ip saddr {sender} counter drop\n\
         }}\n\
         }}\n"
    )
}

/// That the rules of a table met; none, without one (libnftables-json(5)).
fn packets(ruleset: &Value, table: &str) -> u64 {
    let rules = ruleset["nftables"].as_array().into_iter().flatten().map(|object| &object["rule"]);
    let statements = rules.filter(|rule| rule["table"] == table).filter_map(|rule| rule["expr"].as_array()).flatten();
    statements.filter_map(|statement| statement["counter"]["packets"].as_u64()).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_rule_of_a_cut_dropped_is_read_from_what_nft_lists() {
        let rule = |table: &str, packets: u64| {
            let counter = json!({"counter": {"packets": packets, "bytes": 60 * packets}});
            json!({"rule": {"table": table, "expr": [{"match": {"right": "10.77.0.1"}}, counter, {"drop": null}]}})
        };
        let chain = json!({"chain": {"table": "from_1", "prio": 7}});
        let ruleset = json!({"nftables": [{"metainfo": {"version": "1"}}, chain, rule("from_1", 3), rule("from_10", 5)]});
        assert_eq!([1, 10, 2].map(|from| packets(&ruleset, &table(from))), [3, 5, 0]);
    }
}

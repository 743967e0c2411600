//! A change in words and figures, and the question before it.

use std::io::{BufRead as _, IsTerminal as _};
use std::str::FromStr;

use clap::Args;
use serde_json::json;

use crate::operations::cli::exit::{Code, Failure};
use crate::operations::cli::output::Record;
use crate::proto::admin::{MemberPlan, Quorum};

/// Of a command that cannot be taken back.
#[derive(Debug, Args)]
pub(in crate::operations::cli) struct Confirmation {
    /// Say what would be done, and the quorum before and after; change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// The cluster's name, which is asked for on a terminal
    #[arg(long, value_name = "CLUSTER_NAME")]
    pub(super) confirm: Option<String>,
}

impl Confirmation {
    /// # Errors
    /// Another name, or none and nobody to ask.
    pub(super) fn ask(&self, cluster_name: &str) -> Result<(), Failure> {
        let told = match &self.confirm {
            Some(told) => told.clone(),
            None if std::io::stdin().is_terminal() => {
                eprintln!("type the cluster's name to go on:");
                let mut line = String::new();
                // What cannot be read is no name.
                let _ = std::io::stdin().lock().read_line(&mut line);
                line.trim().to_owned()
            }
            None => {
                let message = format!("this cannot be taken back, and nobody is there to ask: it is cluster {cluster_name}");
                return Err(Failure::new(Code::Usage, message, format!("add --confirm {cluster_name}, or first --dry-run")));
            }
        };
        if told == cluster_name {
            return Ok(());
        }
        let message = format!("the cluster is {cluster_name}, not {told}: nothing was changed");
        Err(Failure::new(Code::RefusedForSafety, message, "is --admin the right cluster's?"))
    }
}

/// `--with`: a member's id, or where it will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::operations::cli) enum NodeOrAddress {
    Node(u64),
    PeerAddress(String),
}

impl FromStr for NodeOrAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<u64>() {
            Ok(0) => Err("node ids are from 1".to_owned()),
            Ok(id) => Ok(Self::Node(id)),
            Err(_) if crate::transport::validate::is_host_port(text) => Ok(Self::PeerAddress(text.to_owned())),
            Err(_) => Err("a node's id, or host:port of its peer listener".to_owned()),
        }
    }
}

pub(super) fn quorum(of: Option<&Quorum>) -> String {
    let Some(of) = of else { return "unknown".to_owned() };
    let (voters, heard) = (of.voter_ids.len(), of.heard_ids.len());
    let more = heard.saturating_sub(of.size as usize);
    format!("{voters} voters, quorum {}, {heard} reachable: {more} more may be lost", of.size)
}

pub(super) fn words(change: &str, plan: Option<&MemberPlan>) -> String {
    let (before, after) = (plan.and_then(|plan| plan.before.as_ref()), plan.and_then(|plan| plan.after.as_ref()));
    format!("{change}\n  before: {}\n  after:  {}", quorum(before), quorum(after))
}

pub(super) fn record(node_id: u64, plan: Option<&MemberPlan>, dry_run: bool) -> Record {
    let outcome = match plan {
        Some(plan) if plan.was_done => "was done before",
        _ if dry_run => "nothing was changed",
        Some(plan) if plan.was_begun => "done, what was left half done",
        _ => "done",
    };
    let ids = |of: Option<&Quorum>| json!(of.map(|of| of.voter_ids.clone()));
    let (before, after) = (plan.and_then(|plan| plan.before.as_ref()), plan.and_then(|plan| plan.after.as_ref()));
    vec![
        ("node", json!(node_id)),
        ("outcome", json!(outcome)),
        ("voters_before", ids(before)),
        ("voters_after", ids(after)),
        ("quorum_before", json!(quorum(before))),
        ("quorum_after", json!(quorum(after))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_node_is_named_by_its_id_or_by_its_address() {
        assert_eq!("4".parse(), Ok(NodeOrAddress::Node(4)));
        assert_eq!("node-4:7701".parse(), Ok(NodeOrAddress::PeerAddress("node-4:7701".to_owned())));
        for bad in ["0", "node-4", ":7701", "node-4:0", ""] {
            assert!(bad.parse::<NodeOrAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_taken_back_wants_the_name_of_this_cluster() {
        let given = |confirm: &str| Confirmation { dry_run: false, confirm: Some(confirm.to_owned()) };
        assert!(given("rush").ask("rush").is_ok());
        assert_eq!(given("rush").ask("other").unwrap_err().code, Code::RefusedForSafety);
    }
}

//! A cluster that runs already, as a [`ClusterFile`] tells of it: nothing of it is started or stopped by the tool but by a fault.
//!
//! The judge replays the log from its first entry, and takes whatever it has not seen sent for the system's own doing: so the ledger
//! must be empty, and the log whole.

use std::collections::BTreeSet;

use anyhow::{Context, bail, ensure};

use super::commands::{Commands, Runner};
use super::file::{ClusterFile, FoundNode};
use super::links::Links;
use super::node::Control;
use super::watchdog::Watchdog;
use super::{Cluster, Node};
use crate::history::{Recorder, RunFolder};
use crate::limits;
use crate::proto::admin::{GetStatusResponse, InitRequest, ListSeriesRequest, NodeRole as WireRole};
use crate::scenario::Scenario;
use crate::undo::Journal;

impl Cluster {
    /// Finds the nodes and asks none of them yet.
    ///
    /// # Errors
    /// A file that cannot be written, or the watchdog that cannot be started.
    pub fn attach(file: &ClusterFile, tool: &std::path::Path, folder: &RunFolder, recorder: &Recorder) -> anyhow::Result<Self> {
        let root = folder.root().canonicalize()?;
        std::fs::write(root.join("cluster.toml"), &file.text).context("keeping the cluster file")?;
        let journal = Journal::create(&root).context("making the undo journal")?;
        let watchdog = Watchdog::start(tool, &root, Some(&file.path)).context("starting the watchdog")?;
        let runner = Runner { printed: root.join("commands.log"), journal };
        let node = |found: &FoundNode| {
            let commands = Commands::new(runner.clone(), found.kill.clone(), found.pause.clone());
            Node::new(found.address.clone(), Control::Commands(commands), recorder.clone())
        };
        Ok(Self {
            nodes: file.nodes.iter().map(node).collect(),
            network: None,
            links: Some(Links::new(runner.clone(), file.cuts.clone())),
            member_commands: None,
            serial_key: file.serial_key.clone(),
            gateways: file.gateways.clone().unwrap_or_default(),
            name: file.name.clone(),
            are_controlled: false,
            _ports: None,
            _watchdog: watchdog,
        })
    }

    /// Makes a cluster of the nodes if they are none yet, and waits for a leader.
    ///
    /// # Errors
    /// A node does not answer or is another, the cluster has other members, or it was used already.
    pub(super) async fn join(&self, scenario: &Scenario) -> anyhow::Result<()> {
        for node in &self.nodes {
            node.was_found()?;
        }
        for node in &self.nodes {
            node.wait_ready(limits::READY_DEADLINE).await?;
        }
        let statuses = self.statuses().await;
        ensure!(statuses.len() == self.nodes.len(), "only {} of {} nodes answer", statuses.len(), self.nodes.len());
        for (id, status) in &statuses {
            let said = status.node_id;
            ensure!(said == u64::from(*id), "the node at the admin address of node {id} says that it is node {said}");
        }
        let first = self.nodes.first().context("a cluster has at least one node")?;
        if statuses.iter().all(|(_, status)| status.role() == WireRole::Uninitialized) {
            let init = first.admin().init(InitRequest { cluster_name: self.name.clone() }).await;
            init.with_context(|| format!("Init of node {}", first.id()))?;
        }
        let led = tokio::time::timeout(limits::FORM_DEADLINE, self.wait_leader()).await;
        let (leader, _) = led.with_context(|| format!("no leader within {} s", limits::FORM_DEADLINE.as_secs()))?;
        let leader = self.node(leader);
        let status = leader.status().await.with_context(|| format!("node {} does not answer", leader.id()))?;
        let listed = leader.admin().list_series(ListSeriesRequest {}).await.context("asking for the series")?.into_inner();
        let series: Vec<String> = listed.series.into_iter().map(|series| series.series_code).collect();
        ensure_members(&status, &self.nodes.iter().map(|node| u64::from(node.id())).collect())?;
        ensure_unused(&status, &series, scenario)
    }

    /// Nobody sees the ends of processes elsewhere: that one was started behind the tool's back shows in how old it is.
    pub async fn started_by_others(&self) -> Vec<String> {
        let statuses = self.statuses().await;
        let another = statuses.into_iter().filter(|(id, status)| self.node(*id).is_another(status.uptime_ms));
        another.map(|(id, _)| format!("node {id} ended and was started again, and not by this tool")).collect()
    }
}

/// A member that the tool does not know is scanned by nobody.
fn ensure_members(status: &GetStatusResponse, told: &BTreeSet<u64>) -> anyhow::Result<()> {
    let members: BTreeSet<u64> = status.members.iter().map(|member| member.node_id).collect();
    ensure!(members == *told, "the cluster's members are {members:?}, and those of the cluster file {told:?}");
    Ok(())
}

fn ensure_unused(status: &GetStatusResponse, series: &[String], scenario: &Scenario) -> anyhow::Result<()> {
    const WHY: &str = "the judge needs the whole history, so a drill takes a cluster whose ledger is empty";
    if let Some(there) = scenario.traffic.series.iter().find(|one| series.contains(&one.code)) {
        bail!("series {} of the scenario is there already: {WHY}", there.code);
    }
    ensure!(series.is_empty(), "the ledger has series already ({}): {WHY}", series.join(", "));
    let totals = status.totals.unwrap_or_default();
    ensure!(totals.received_idr == 0, "money was received already ({} IDR): {WHY}", totals.received_idr);
    ensure!(totals.policy_version == 0, "a policy is set already (version {}): {WHY}", totals.policy_version);
    ensure!(status.purged_index == 0, "the log is purged up to index {}: {WHY}", status.purged_index);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::admin::{Member, Totals};

    #[test]
    fn a_cluster_that_was_used_already_is_refused_and_it_is_told_what_is_there() {
        let (scenario, _) = Scenario::load("smoke").unwrap();
        let status = |received_idr, policy_version, purged_index| GetStatusResponse {
            totals: Some(Totals { received_idr, policy_version, ..Totals::default() }),
            purged_index,
            ..GetStatusResponse::default()
        };
        let refused = |status, series: &[&str]| {
            let series: Vec<String> = series.iter().map(|code| (*code).to_owned()).collect();
            ensure_unused(&status, &series, &scenario).map_err(|error| error.to_string())
        };
        assert_eq!(refused(status(0, 0, 0), &[]), Ok(()));
        for (status, series, told) in [
            (status(0, 0, 0), &["ZZ9", "EM1"][..], "series EM1 of the scenario is there already"),
            (status(0, 0, 0), &["ZZ9"][..], "has series already (ZZ9)"),
            (status(5, 0, 0), &[][..], "money was received already (5 IDR)"),
            (status(0, 1, 0), &[][..], "a policy is set already"),
            (status(0, 0, 7), &[][..], "purged up to index 7"),
        ] {
            let error = refused(status, series).unwrap_err();
            assert!(error.contains(told) && error.contains("the whole history"), "{error}");
        }
    }

    #[test]
    fn a_member_that_the_file_does_not_tell_of_is_told() {
        let member = |node_id| Member { node_id, ..Member::default() };
        let status = GetStatusResponse { members: vec![member(1), member(2), member(3)], ..GetStatusResponse::default() };
        assert!(ensure_members(&status, &[1, 2, 3].into()).is_ok());
        let error = ensure_members(&status, &[1, 2].into()).unwrap_err().to_string();
        assert!(error.contains("{1, 2, 3}") && error.contains("{1, 2}"), "{error}");
    }
}

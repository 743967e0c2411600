//! `generate`: files that belong to this very program, made of it or carried in it, so that none can be of another version.
//!
//! To standard output, or with `--dir` into a folder that is there.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _, Subcommand};
use clap_complete::Shell;
use clap_mangen::Man;

use super::Cli;
use super::exit::{Code, Failure};
use super::output::print;

macro_rules! carried {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/cluster-config/", $path))
    };
}

const RULES: &str = carried!("monitoring/rules.yml");
const ALERTS: &str = carried!("monitoring/alerts.yml");
/// Where the alerts say that their runbooks are.
const RUNBOOK_PATH: &str = "runbook_url: runbooks/";

/// Names of the files, and what is in them.
type Files = [(&'static str, &'static str)];

const DASHBOARDS: &Files = &[
    ("stampede-overview.json", carried!("monitoring/dashboards/stampede-overview.json")),
    ("stampede-raft.json", carried!("monitoring/dashboards/stampede-raft.json")),
    ("stampede-storage.json", carried!("monitoring/dashboards/stampede-storage.json")),
    ("stampede-api.json", carried!("monitoring/dashboards/stampede-api.json")),
    ("stampede-business.json", carried!("monitoring/dashboards/stampede-business.json")),
    ("stampede-drill.json", carried!("monitoring/dashboards/stampede-drill.json")),
];

const SYSTEMD: &Files = &[
    ("stampede.service", carried!("systemd/stampede.service")),
    ("stampede.sysusers.conf", carried!("systemd/stampede.sysusers.conf")),
    ("stampede.tmpfiles.conf", carried!("systemd/stampede.tmpfiles.conf")),
];

#[derive(Debug, Subcommand)]
pub(super) enum GenerateCommand {
    /// Completion for a shell, to be sourced or put where it looks: `source <(stampede generate completion bash)`
    Completion { shell: Shell },
    /// The manual: of the whole program on standard output, or a page for each command
    Man(Folder),
    /// Recording rules and alerts for Prometheus, in one file
    PrometheusRules(PrometheusRulesArgs),
    /// Dashboards for Grafana: the names of them, one of them, or all
    Dashboards(DashboardsArgs),
    /// A hardened unit for systemd; with --dir also its user and its folders
    Systemd(Folder),
}

#[derive(Debug, Args)]
pub(super) struct Folder {
    /// A folder to write to, in place of standard output; files of the same names are replaced
    #[arg(long)]
    dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct PrometheusRulesArgs {
    /// Where the runbooks are: what stands before their names in the alerts
    #[arg(long, value_name = "URL")]
    runbooks: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct DashboardsArgs {
    /// One, for standard output: overview, raft, storage, api, business or drill
    #[arg(conflicts_with = "dir")]
    name: Option<String>,
    #[command(flatten)]
    folder: Folder,
}

pub(super) fn run(command: &GenerateCommand) -> Result<(), Failure> {
    match command {
        GenerateCommand::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "stampede", &mut script);
            print(&String::from_utf8_lossy(&script));
        }
        GenerateCommand::Man(Folder { dir: None }) => print(&manual()?),
        GenerateCommand::Man(Folder { dir: Some(dir) }) => {
            clap_mangen::generate_to(Cli::command(), dir).map_err(|error| cannot_write(dir, &error))?;
            eprintln!("wrote the manual to {}", dir.display());
        }
        GenerateCommand::PrometheusRules(args) => print(&rules(args.runbooks.as_deref())),
        GenerateCommand::Dashboards(args) => dashboards(args)?,
        GenerateCommand::Systemd(Folder { dir: None }) => print(SYSTEMD[0].1),
        GenerateCommand::Systemd(Folder { dir: Some(dir) }) => write_all(dir, SYSTEMD)?,
    }
    Ok(())
}

fn manual() -> Result<String, Failure> {
    let mut page = Vec::new();
    let made = Man::new(Cli::command()).render(&mut page);
    made.map_err(|error| Failure::new(Code::Failed, format!("cannot make the manual: {error}"), "report this"))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// One file: the groups of both behind one `groups:`.
fn rules(runbooks: Option<&str>) -> String {
    let alerts = ALERTS.split_once("\ngroups:\n").map_or(ALERTS, |(_, groups)| groups);
    let all = format!("{RULES}{alerts}");
    match runbooks {
        Some(url) => all.replace(RUNBOOK_PATH, &format!("runbook_url: {}/", url.trim_end_matches('/'))),
        None => all,
    }
}

fn dashboards(args: &DashboardsArgs) -> Result<(), Failure> {
    let names = || DASHBOARDS.iter().map(|(file, _)| file.trim_start_matches("stampede-").trim_end_matches(".json"));
    match (&args.folder.dir, &args.name) {
        (Some(dir), _) => return write_all(dir, DASHBOARDS),
        (None, None) => names().for_each(|name| print(&format!("{name}\n"))),
        (None, Some(asked)) => {
            let found = names().zip(DASHBOARDS).find(|(name, _)| name == asked);
            let (_, (_, text)) = found.ok_or_else(|| {
                let known = names().collect::<Vec<_>>().join(", ");
                Failure::new(Code::Usage, format!("there is no dashboard {asked}"), format!("there are {known}"))
            })?;
            print(text);
        }
    }
    Ok(())
}

fn write_all(dir: &Path, files: &Files) -> Result<(), Failure> {
    for (name, text) in files {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|error| cannot_write(&path, &error))?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::Failed, format!("cannot write {}: {error}", path.display()), "name a folder that is there with --dir")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_dashboard_of_the_folder_is_carried() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/cluster-config/monitoring/dashboards");
        let there: BTreeSet<String> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(there, DASHBOARDS.iter().map(|(name, _)| (*name).to_owned()).collect());
    }

    #[test]
    fn rules_and_alerts_are_one_list_of_groups_and_runbooks_are_where_they_are_said_to_be() {
        let plain = rules(None);
        let count = |text: &str, line: &str| text.lines().filter(|of| of.starts_with(line)).count();
        assert_eq!(count(&plain, "groups:"), 1);
        assert_eq!(count(&plain, "  - name: "), count(RULES, "  - name: ") + count(ALERTS, "  - name: "));
        let at = rules(Some("https://wiki/stampede/"));
        assert!(at.contains("runbook_url: https://wiki/stampede/StampedeNoLeader.md") && !at.contains(RUNBOOK_PATH), "{at}");
    }
}

//! `stampede-chaos doctor`: which back ends of faults work on this machine, found by using each, and which scenarios can run.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::cluster::DRILL_CONTROLS;
use crate::disk;
use crate::history::folder::DRILLS;
use crate::network;
use crate::resources::probe;
use crate::scenario::{self, BUILT_IN, Scenario};
use crate::verdict::Exit;

/// What faults are made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BackEnd {
    Signals,
    Network(scenario::BackEnd),
    Disks,
    Groups,
    Descriptors,
    Controls,
}

impl BackEnd {
    const ALL: [Self; 8] = [
        Self::Signals,
        Self::Network(scenario::BackEnd::Proxies),
        Self::Network(scenario::BackEnd::Switch),
        Self::Network(scenario::BackEnd::Nftables),
        Self::Disks,
        Self::Groups,
        Self::Descriptors,
        Self::Controls,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Signals => "signals",
            Self::Network(links) => links.name(),
            Self::Disks => "disks",
            Self::Groups => "groups",
            Self::Descriptors => "descriptors",
            Self::Controls => "controls",
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::Signals => "kill, stop and pause processes",
            Self::Network(scenario::BackEnd::Proxies) => {
                "cut, delay and flap links between nodes, each direction by itself, on loopback"
            }
            Self::Network(scenario::BackEnd::Switch) => {
                "the same and bad links, packet by packet: network namespaces and TUN, as root"
            }
            Self::Network(scenario::BackEnd::Nftables) => {
                "cut and flap links by rules of the kernel: network namespaces and nft, as root"
            }
            Self::Disks => "power cuts, stalls and failures of disks: ext4 in files, on loop devices, as root",
            Self::Groups => "limits of processor and memory: control groups of version 1 or 2, as root",
            Self::Descriptors => "limits of files and connections: prlimit",
            Self::Controls => "wrong clocks and crash points: orders to the process, which only a build for drills takes",
        }
    }

    fn is_used_by(self, scenario: &Scenario) -> bool {
        match self {
            Self::Signals => true,
            Self::Network(links) => scenario.needs_network() && scenario.network.back_end == links,
            Self::Disks => scenario.faults.need_disks(),
            Self::Groups => scenario.faults.need_groups(),
            Self::Descriptors => scenario.faults.need_descriptors(),
            Self::Controls => scenario.faults.need_controls(),
        }
    }

    /// # Errors
    /// It does not work here, and why.
    fn probe(self, node: &Path) -> anyhow::Result<()> {
        match self {
            Self::Signals => probe_signals(),
            Self::Network(links) => probe_network(links),
            Self::Disks => disk::probe(Path::new(DRILLS), &std::env::current_exe()?),
            Self::Groups => probe::groups(Path::new(DRILLS), &std::env::current_exe()?),
            Self::Descriptors => probe::descriptors(Path::new(DRILLS), &std::env::current_exe()?),
            Self::Controls => probe_controls(node),
        }
    }
}

fn probe_signals() -> anyhow::Result<()> {
    Ok(nix::sys::signal::kill(nix::unistd::Pid::this(), None)?)
}

fn probe_network(links: scenario::BackEnd) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    network::probe::probe(links, directory.path())
}

fn probe_controls(node: &Path) -> anyhow::Result<()> {
    let output = Command::new(node).arg("version").stdin(Stdio::null()).output().with_context(|| node.display().to_string())?;
    let told = String::from_utf8_lossy(&output.stdout);
    ensure!(told.contains(DRILL_CONTROLS), "{} was built without the feature drill-controls", node.display());
    Ok(())
}

/// Why `scenario` cannot run on this machine with this program of a node; `None` if it can.
#[must_use]
pub fn missing(scenario: &Scenario, node: &Path) -> Option<String> {
    let used = BackEnd::ALL.into_iter().filter(|back_end| back_end.is_used_by(scenario));
    let why = |back_end: BackEnd| {
        let error = back_end.probe(node).err()?;
        Some(format!("{} ({}): {error:#}", back_end.name(), back_end.meaning()))
    };
    used.into_iter().find_map(why)
}

/// # Errors
/// A built-in scenario is not valid.
pub fn examine_and_print(node: &Path) -> anyhow::Result<Exit> {
    let mut missing = Vec::new();
    tell("back ends");
    for back_end in BackEnd::ALL {
        let probed = back_end.probe(node);
        let told = probed.as_ref().map_or_else(|error| format!("no: {error:#}"), |()| "yes".to_owned());
        tell(&format!("  {:<11} {:<88} {told}", back_end.name(), back_end.meaning()));
        missing.extend(probed.is_err().then_some(back_end));
    }
    tell("scenarios");
    for (name, text) in BUILT_IN {
        let scenario = Scenario::parse(text)?;
        let used: Vec<_> = BackEnd::ALL.into_iter().filter(|back_end| back_end.is_used_by(&scenario)).collect();
        let can_run = used.iter().all(|back_end| !missing.contains(back_end));
        let names: Vec<_> = used.iter().map(|back_end| back_end.name()).collect();
        let verdict = if can_run { "can run" } else { "CANNOT RUN HERE" };
        tell(&format!("  {name:<26} {:<26} {verdict}", names.join(" ")));
    }
    Ok(if missing.is_empty() { Exit::Held } else { Exit::Inconclusive })
}

/// A reader that has seen enough (`doctor | head`) is no reason to leave half a probe behind.
fn tell(line: &str) {
    let _nobody_reads = writeln!(io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_uses_what_its_faults_need() {
        let used = |name: &str| -> Vec<&str> {
            let (scenario, _) = Scenario::load(name).unwrap();
            BackEnd::ALL.into_iter().filter(|back_end| back_end.is_used_by(&scenario)).map(BackEnd::name).collect()
        };
        assert_eq!(used("leader-kill"), ["signals"]);
        assert_eq!(used("lost-disk"), ["signals"]);
        assert_eq!(used("bridge"), ["signals", "proxies"]);
        assert_eq!(used("power-cut"), ["signals", "disks"]);
        assert_eq!(used("limit-cpu"), ["signals", "groups"]);
        assert_eq!(used("limit-memory"), ["signals", "groups"]);
        assert_eq!(used("limit-descriptors"), ["signals", "descriptors"]);
        assert_eq!(used("clock-jump"), ["signals", "controls"]);
        assert_eq!(used("lossy-links"), ["signals", "switch"]);
    }

    #[test]
    fn what_needs_no_privilege_works() {
        let (scenario, _) = Scenario::load("bridge").unwrap();
        assert_eq!(missing(&scenario, Path::new("/bin/false")), None);
    }

    #[test]
    fn a_program_that_takes_no_orders_cannot_have_its_clock_set() {
        let (scenario, _) = Scenario::load("clock-jump").unwrap();
        let told = missing(&scenario, Path::new("/bin/echo")).unwrap();
        assert!(told.contains("without the feature drill-controls"), "{told}");
    }
}

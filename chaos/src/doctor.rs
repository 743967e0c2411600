//! `stampede-chaos doctor`: which back ends of faults work on this machine, found by using each, and which scenarios can run.

use std::path::Path;

use crate::disk;
use crate::network;
use crate::scenario::{self, BUILT_IN, Scenario};
use crate::verdict::Exit;

/// What faults are made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BackEnd {
    Signals,
    Network(scenario::BackEnd),
    Disks,
}

impl BackEnd {
    const ALL: [Self; 5] = [
        Self::Signals,
        Self::Network(scenario::BackEnd::Proxies),
        Self::Network(scenario::BackEnd::Switch),
        Self::Network(scenario::BackEnd::Nftables),
        Self::Disks,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Signals => "signals",
            Self::Network(links) => links.name(),
            Self::Disks => "disks",
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
        }
    }

    fn is_used_by(self, scenario: &Scenario) -> bool {
        match self {
            Self::Signals => true,
            Self::Network(links) => scenario.needs_network() && scenario.network.back_end == links,
            Self::Disks => scenario.faults.need_disks(),
        }
    }

    /// # Errors
    /// It does not work here, and why.
    fn probe(self, directory: &Path) -> anyhow::Result<()> {
        match self {
            Self::Signals => probe_signals(),
            Self::Network(links) => probe_network(links, directory),
            Self::Disks => disk::probe(directory),
        }
    }
}

fn probe_signals() -> anyhow::Result<()> {
    Ok(nix::sys::signal::kill(nix::unistd::Pid::this(), None)?)
}

fn probe_network(links: scenario::BackEnd, directory: &Path) -> anyhow::Result<()> {
    let directory = directory.join(links.name());
    std::fs::create_dir(&directory)?;
    network::probe::probe(links, &directory)
}

/// Why `scenario` cannot run on this machine; `None` if it can.
///
/// # Errors
/// There is no room for a temporary folder.
pub fn missing(scenario: &Scenario) -> anyhow::Result<Option<String>> {
    let directory = tempfile::tempdir()?;
    let used = BackEnd::ALL.into_iter().filter(|back_end| back_end.is_used_by(scenario));
    for back_end in used {
        if let Err(error) = back_end.probe(directory.path()) {
            return Ok(Some(format!("{} ({}): {error:#}", back_end.name(), back_end.meaning())));
        }
    }
    Ok(None)
}

/// # Errors
/// There is no room for a temporary folder, or a built-in scenario is not valid.
pub fn examine_and_print() -> anyhow::Result<Exit> {
    let directory = tempfile::tempdir()?;
    let mut missing = Vec::new();
    println!("back ends");
    for back_end in BackEnd::ALL {
        let probed = back_end.probe(directory.path());
        let told = probed.as_ref().map_or_else(|error| format!("no: {error:#}"), |()| "yes".to_owned());
        println!("  {:<10} {:<88} {told}", back_end.name(), back_end.meaning());
        missing.extend(probed.is_err().then_some(back_end));
    }
    println!("scenarios");
    for (name, text) in BUILT_IN {
        let scenario = Scenario::parse(text)?;
        let used: Vec<_> = BackEnd::ALL.into_iter().filter(|back_end| back_end.is_used_by(&scenario)).collect();
        let can_run = used.iter().all(|back_end| !missing.contains(back_end));
        let names: Vec<_> = used.iter().map(|back_end| back_end.name()).collect();
        println!("  {name:<26} {:<26} {}", names.join(" "), if can_run { "can run" } else { "CANNOT RUN HERE" });
    }
    Ok(if missing.is_empty() { Exit::Held } else { Exit::Inconclusive })
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
        assert_eq!(used("bridge"), ["signals", "proxies"]);
        assert_eq!(used("power-cut"), ["signals", "disks"]);
        assert_eq!(used("lossy-links"), ["signals", "switch"]);
    }

    #[test]
    fn what_needs_no_privilege_works() {
        let (scenario, _) = Scenario::load("bridge").unwrap();
        assert_eq!(missing(&scenario).unwrap(), None);
    }
}

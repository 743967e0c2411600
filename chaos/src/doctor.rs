//! `stampede-chaos doctor`: which back ends of faults work on this machine, found by using each, and which scenarios can run.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::cluster::DRILL_CONTROLS;
use crate::disk;
use crate::history::folder::DRILLS;
use crate::network::Network;
use crate::scenario::{BUILT_IN, Scenario};
use crate::verdict::Exit;

/// What faults are made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BackEnd {
    Signals,
    Proxies,
    Disks,
    Controls,
}

impl BackEnd {
    const ALL: [Self; 4] = [Self::Signals, Self::Proxies, Self::Disks, Self::Controls];

    const fn name(self) -> &'static str {
        match self {
            Self::Signals => "signals",
            Self::Proxies => "proxies",
            Self::Disks => "disks",
            Self::Controls => "controls",
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::Signals => "kill, stop and pause processes",
            Self::Proxies => "cut, delay and flap links between nodes, each direction by itself, on loopback",
            Self::Disks => "power cuts, stalls and failures of disks: ext4 in files, on loop devices, as root",
            Self::Controls => "wrong clocks: orders to the process, which only a build for drills takes",
        }
    }

    fn is_used_by(self, scenario: &Scenario) -> bool {
        match self {
            Self::Signals => true,
            Self::Proxies => scenario.faults.need_network(),
            Self::Disks => scenario.faults.need_disks(),
            Self::Controls => scenario.faults.need_controls(),
        }
    }

    /// # Errors
    /// It does not work here, and why.
    fn probe(self, node: &Path) -> anyhow::Result<()> {
        match self {
            Self::Signals => probe_signals(),
            Self::Proxies => probe_proxies(),
            Self::Disks => disk::probe(Path::new(DRILLS), &std::env::current_exe()?),
            Self::Controls => probe_controls(node),
        }
    }
}

fn probe_signals() -> anyhow::Result<()> {
    Ok(nix::sys::signal::kill(nix::unistd::Pid::this(), None)?)
}

fn probe_proxies() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let started = runtime.block_on(Network::start(&[(1, ([127, 0, 0, 1], 9).into()), (2, ([127, 0, 0, 1], 9).into())].into()));
    runtime.shutdown_timeout(Duration::from_secs(1));
    started.map(drop)
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
    println!("back ends");
    for back_end in BackEnd::ALL {
        let probed = back_end.probe(node);
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
        assert_eq!(used("clock-jump"), ["signals", "controls"]);
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

//! `plan`: what a run would do, without doing it.

use std::fmt::Write;

use crate::faults;
use crate::scenario::Scenario;

#[must_use]
pub fn plan(scenario: &Scenario, seed: u64) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _infallible = write_plan(&mut text, scenario, seed);
    text
}

fn write_plan(text: &mut String, scenario: &Scenario, seed: u64) -> std::fmt::Result {
    let (phases, traffic) = (&scenario.phases, &scenario.traffic);
    writeln!(text, "scenario   {}, seed {seed}", scenario.name)?;
    writeln!(text, "hypothesis {}", scenario.hypothesis)?;
    writeln!(text, "cluster    {} local processes, a majority is {}", scenario.cluster.nodes, scenario.cluster.nodes / 2 + 1)?;
    if scenario.needs_network() {
        writeln!(text, "network    {}: between the nodes alone, clients call past it", scenario.network.back_end.name())?;
    }
    writeln!(text, "traffic    {} buyers, {} in the mean, {:?}", scenario.buyers(), traffic.orders, traffic.arrivals)?;
    writeln!(text, "phases     warm-up {}, faults {}, settle {}", phases.warm_up, phases.faults, phases.settle)?;
    writeln!(text, "faults     (the target is whoever has the role when the fault fires)")?;
    let faults = faults::plan::plan(scenario, seed);
    if faults.is_empty() {
        writeln!(text, "  none")?;
    }
    for fault in &faults {
        writeln!(
            text,
            "  {:>3}  at {:>6} ms  {:<16} undone after {:>5} ms  there meanwhile: {} of {}",
            fault.number,
            fault.at_ms,
            fault.kind.name(),
            fault.lasts_ms,
            fault.kind.nodes_left(scenario.cluster.nodes),
            scenario.cluster.nodes,
        )?;
    }
    let faults_required = scenario.required.faults.iter().map(|(kind, count)| format!("{count} {}", kind.name()));
    let installs = Some(scenario.required.snapshot_installs).filter(|count| *count > 0);
    let required: Vec<String> = faults_required.chain(installs.map(|count| format!("{count} snapshot installs"))).collect();
    writeln!(text, "required   {}", if required.is_empty() { "nothing".to_owned() } else { required.join(", ") })?;
    writeln!(
        text,
        "undo       every node that is down is started, a stopped one resumed, every cut healed; at the end all are stopped, their data removed"
    )?;
    writeln!(text, "guards     {} of wall time, {} of disk", scenario.guards.wall_time, scenario.guards.disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_every_fault_with_its_moment() {
        let (scenario, _) = Scenario::load("casn2024-leader-kill").unwrap();
        let text = plan(&scenario, 7);
        assert_eq!(text.matches("undone after").count(), 10);
        assert!(text.contains("there meanwhile: 0 of 3") && !text.contains("network  "));
        let (scenario, _) = Scenario::load("lossy-links").unwrap();
        assert!(plan(&scenario, 7).contains("network    switch"));
    }
}

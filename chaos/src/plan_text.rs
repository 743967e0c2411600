//! `plan`: what a run would do, without doing it.

use std::fmt::Write;

use crate::faults;
use crate::faults::plan::PlannedFault;
use crate::scenario::{Hurt, Scenario};

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
    let plan = faults::plan::plan(scenario, seed);
    if plan.faults.is_empty() && plan.when.is_empty() {
        writeln!(text, "  none")?;
    }
    for fault in &plan.faults {
        write_fault(text, scenario, fault, "at")?;
    }
    for when in &plan.when {
        let (times, within_s, apart_ms) = (when.rounds.len(), when.within_ms / 1_000, when.apart_ms);
        writeln!(
            text,
            "  when {}: at most {times} times (must land {} times), in the first {within_s} s, {apart_ms} ms apart from others",
            when.state, when.required
        )?;
        // Each time the same, under other numbers.
        for fault in when.rounds.iter().take(1).flatten() {
            write_fault(text, scenario, fault, "+")?;
        }
    }
    let faults_required = scenario.required.faults.iter().map(|(kind, count)| format!("{count} {}", kind.name()));
    let installs = Some(scenario.required.snapshot_installs).filter(|count| *count > 0);
    let required: Vec<String> = faults_required.chain(installs.map(|count| format!("{count} snapshot installs"))).collect();
    writeln!(text, "required   {}", if required.is_empty() { "nothing".to_owned() } else { required.join(", ") })?;
    writeln!(
        text,
        "undo       every node that is down is started, a stopped one resumed, every cut healed; at the end all are stopped, their data removed"
    )?;
    if scenario.faults.kinds().any(|kind| kind.hurt() == Hurt::LosesDisks) {
        writeln!(text, "           (not a disk that was lost: its node is another member from then on)")?;
    }
    let guards = &scenario.guards;
    write!(text, "guards     {} of wall time, {} of disk", guards.wall_time, guards.disk)?;
    if let Some(silence) = guards.no_contact {
        write!(text, ", {silence} without contact")?;
    }
    if let Some(left) = guards.nodes_left_min(scenario.cluster.nodes) {
        write!(text, ", {left} nodes left by each fault")?;
    }
    if let Some(money) = guards.money_at_risk {
        write!(text, ", {} IDR at risk for {}", money.above_idr, money.lasts)?;
    }
    writeln!(text)
}

/// `at`: what its moment counts from.
fn write_fault(text: &mut String, scenario: &Scenario, fault: &PlannedFault, at: &str) -> std::fmt::Result {
    let (kind, nodes) = (fault.kind.name(), scenario.cluster.nodes);
    let left = fault.kind.nodes_left(nodes);
    let is_refused = scenario.guards.nodes_left_min(nodes).is_some_and(|least| left < least);
    let refused = if is_refused { "  (guards.quorum_margin ends the run here)" } else { "" };
    let (number, at_ms, lasts_ms) = (fault.number, fault.at_ms, fault.lasts_ms);
    writeln!(
        text,
        "  {number:>3}  {at:>2} {at_ms:>6} ms  {kind:<16} undone after {lasts_ms:>5} ms  there meanwhile: {left} of {nodes}{refused}"
    )
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
        let (scenario, _) = Scenario::load("lost-disk").unwrap();
        let text = plan(&scenario, 7);
        assert_eq!(text.matches("lose-disk-follower undone after").count(), 5);
        assert!(text.contains("there meanwhile: 2 of 3") && text.contains("not a disk that was lost"), "{text}");
    }

    #[test]
    fn a_plan_names_each_condition_and_what_fires_when_it_becomes_true() {
        let (scenario, _) = Scenario::load("paid-and-paused").unwrap();
        let text = plan(&scenario, 7);
        let (_, of_condition) = text.split_once("when orders_awaiting_payment >= ").unwrap();
        assert!(of_condition.contains("pause-leader") && of_condition.contains("mute-leader"), "{text}");
    }

    #[test]
    fn a_plan_says_which_fault_its_guards_will_not_let_fire() {
        let (mut scenario, _) = Scenario::load("smoke").unwrap();
        assert!(!plan(&scenario, 7).contains("quorum_margin"));
        scenario.guards.quorum_margin = Some(0);
        let text = plan(&scenario, 7);
        let refused: Vec<&str> = text.lines().filter(|line| line.contains("quorum_margin")).collect();
        assert!(refused.len() == 1 && refused[0].contains("kill-all"), "{text}");
    }
}

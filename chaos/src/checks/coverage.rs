//! V20: the faults landed, and in the state that the scenario wanted. A run that hurt nothing shows nothing: what is missing
//! here makes the run inconclusive, it is no mistake of the system.

use std::collections::{BTreeMap, BTreeSet};

use super::{Case, Evidence, Finding};
use crate::history::{FaultStage, Phase, Purpose};

#[must_use]
pub fn faults_landed(case: &Case) -> Finding {
    let mut finding = Finding::new("V20", "the required faults landed, in the wanted state");
    let evidence = case.evidence;
    for required in &evidence.facts.required_faults {
        let landed: BTreeSet<u32> = evidence
            .faults
            .iter()
            .filter(|event| event.stage == FaultStage::Effective && *event.kind == *required.kind)
            .filter(|event| required.role.is_empty() || role_when_fired(evidence, event.fault, event.node) == required.role)
            .map(|event| event.fault)
            .collect();
        finding.checked += landed.len() as u64;
        if landed.len() < required.at_least as usize {
            let role = if required.role.is_empty() { "any role" } else { &required.role };
            finding.unsure(format!(
                "{} landed {} times on {role}, {} are required",
                required.kind,
                landed.len(),
                required.at_least
            ));
        }
    }
    for gap in &evidence.gaps {
        finding.unsure(gap.clone());
    }
    if evidence.phase_start(Phase::Heal).is_some() && !evidence.ops.iter().any(|op| op.invoke.purpose == Purpose::FreshWrite) {
        finding.unsure("no fresh write was tried after the heal");
    }
    finding
}

fn role_when_fired(evidence: &Evidence, fault: u32, node: u16) -> &'static str {
    let fired =
        evidence.faults.iter().find(|event| event.fault == fault && event.node == node && event.stage == FaultStage::Injected);
    fired.map_or("unknown", |event| event.role.name())
}

/// How often each kind of fault landed.
#[must_use]
pub fn faults_by_kind(evidence: &Evidence) -> BTreeMap<String, u64> {
    let mut kinds: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for event in evidence.faults.iter().filter(|event| event.stage == FaultStage::Effective) {
        kinds.entry(event.kind.to_string()).or_default().insert(event.fault);
    }
    kinds.into_iter().map(|(kind, faults)| (kind, faults.len() as u64)).collect()
}

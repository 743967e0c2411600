//! The faults that are on, as they are told to the history: for whoever watches a run while it lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::cluster::{FaultEvent, FaultStage};

/// Cheap to clone; every clone is the same.
#[derive(Debug, Clone, Default)]
pub struct FaultsOn(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    /// The last step of each fault at each node, from its firing until it was undone; `at_ns` is of its firing.
    on: BTreeMap<(u32, u16), FaultEvent>,
    landed: BTreeSet<u32>,
    /// Their kinds, by number.
    fired: BTreeMap<u32, String>,
}

impl FaultsOn {
    pub(crate) fn note(&self, event: &FaultEvent) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (event.fault, event.node);
        match event.stage {
            FaultStage::Planned => {}
            FaultStage::Injected => {
                told.fired.insert(event.fault, event.kind.to_string());
                told.on.insert(place, event.clone());
            }
            FaultStage::Effective => {
                told.landed.insert(event.fault);
                told.on.entry(place).or_insert_with(|| event.clone()).stage = FaultStage::Effective;
            }
            FaultStage::Healed => drop(told.on.remove(&place)),
        }
    }

    /// By number and node.
    #[must_use]
    pub fn now(&self) -> Vec<FaultEvent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).on.values().cloned().collect()
    }

    /// Faults of a kind that have fired so far.
    #[must_use]
    pub fn fired(&self, kind: &str) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fired.values().filter(|fired| *fired == kind).count()
    }

    /// Faults that were seen to hurt.
    #[must_use]
    pub fn landed(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).landed.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::NodeRole;

    #[test]
    fn a_fault_is_on_from_its_firing_until_it_is_undone() {
        let told = FaultsOn::default();
        let step = |fault, node, stage| FaultEvent {
            at_ns: stage as u64,
            fault,
            stage,
            kind: "kill-all".into(),
            node,
            role: NodeRole::Unknown,
            term: 0,
        };
        let on = || told.now().iter().map(|event| (event.fault, event.node)).collect::<Vec<_>>();
        told.note(&step(1, 1, FaultStage::Planned));
        assert_eq!((on(), told.landed()), (vec![], 0));
        for node in [1, 2] {
            told.note(&step(1, node, FaultStage::Injected));
            told.note(&step(1, node, FaultStage::Effective));
        }
        let first = &told.now()[0];
        assert_eq!((first.stage, first.at_ns), (FaultStage::Effective, FaultStage::Injected as u64), "since its firing");
        told.note(&step(1, 1, FaultStage::Healed));
        assert_eq!((on(), told.landed()), (vec![(1, 2)], 1), "two nodes, and one fault");
        told.note(&step(1, 2, FaultStage::Healed));
        assert_eq!((on(), told.landed()), (vec![], 1));
        assert_eq!((told.fired("kill-all"), told.fired("kill-leader")), (1, 0));
    }
}

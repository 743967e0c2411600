//! V19: a damaged replica says so and ends; and no replica refuses what nobody damaged. (Of replicas whose disks were lost,
//! [`super::lost_disks`].)
//!
//! A node that finds its data damaged ends with an exit code of its own. What a damaged node answered before it noticed is held to
//! everything else that is judged here: V2, V11 and V13 would name it.

use std::ops::RangeInclusive;

use super::{Evidence, Finding};
use crate::history::{FaultStage, ProcessStep};
use crate::scenario::{FaultKind, Hurt};

/// The protocol's own exit codes (`cluster-config/README.md`): what is on the disk is damaged, or does not fit together.
const CORRUPT: i32 = 21;
const UNUSABLE: i32 = 22;
/// Somebody killed it.
const SIGKILL: i32 = 9;

pub(super) fn finding() -> Finding {
    Finding::new("V19", "a damaged replica says so and ends; a lost one comes back as a new member")
}

#[must_use]
pub fn damage_is_told(evidence: &Evidence) -> Finding {
    let mut finding = finding();
    let damaged = damaged(evidence);
    for event in &evidence.processes {
        let ProcessStep::Exited { code, signal } = event.step else { continue };
        finding.checked += 1;
        let fault = damaged.iter().find(|(_, node, times)| *node == event.node && times.contains(&event.at_ns));
        let node = event.node;
        match (fault, code, signal) {
            (Some(_), Some(CORRUPT), _) => {}
            (Some((number, ..)), _, Some(SIGKILL)) => {
                finding.unsure(format!(
                    "fault {number}: node {node} was killed by somebody before it could say that it is damaged"
                ));
            }
            (Some((number, ..)), ..) => {
                let how = code.map_or_else(|| format!("signal {}", signal.unwrap_or(0)), |code| format!("exit code {code}"));
                finding.violated(&[], None, || {
                    format!("fault {number}: node {node} was damaged and ended with {how}, not {CORRUPT}")
                });
            }
            (None, Some(code @ (CORRUPT | UNUSABLE)), _) => {
                finding.violated(&[], None, || {
                    format!("node {node} refused its data with exit code {code}, and nobody had damaged it")
                });
            }
            (None, ..) => {}
        }
    }
    finding
}

/// Number of the fault, node, and from when to when its files were damaged.
fn damaged(evidence: &Evidence) -> Vec<(u32, u16, RangeInclusive<u64>)> {
    let is_damage = |kind: &str| FaultKind::named(kind).is_some_and(|kind| kind.hurt() == Hurt::Damages);
    let of_damage = || evidence.faults.iter().filter(|event| is_damage(&event.kind));
    let begun = of_damage().filter(|event| event.stage == FaultStage::Injected);
    begun
        .map(|begun| {
            let is_its_end = |event: &&crate::history::FaultEvent| {
                event.stage == FaultStage::Healed && (event.fault, event.node) == (begun.fault, begun.node)
            };
            let end_ns = of_damage().find(is_its_end).map_or(u64::MAX, |end| end.at_ns);
            (begun.fault, begun.node, begun.at_ns..=end_ns)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{FaultEvent, NodeRole, ProcessEvent};

    fn event(fault: u32, stage: FaultStage, kind: &str, node: u16, at_ns: u64) -> FaultEvent {
        FaultEvent { at_ns, fault, stage, kind: kind.into(), node, role: NodeRole::Follower, term: 1 }
    }

    /// Broken and unsure: node 2 is damaged from 10 to 20, and another node ends.
    fn judge(node: u16, at_ns: u64, code: Option<i32>, signal: Option<i32>) -> (u64, usize) {
        const FLIP: &str = "flip-log-follower";
        let faults = vec![
            event(4, FaultStage::Injected, "kill-follower", 1, 1),
            event(5, FaultStage::Healed, FLIP, 2, 12),
            event(3, FaultStage::Healed, FLIP, 3, 13),
            event(3, FaultStage::Injected, FLIP, 2, 10),
            event(3, FaultStage::Effective, FLIP, 2, 11),
            event(3, FaultStage::Healed, FLIP, 2, 20),
        ];
        let processes = vec![ProcessEvent { at_ns, node, step: ProcessStep::Exited { code, signal } }];
        let finding = damage_is_told(&Evidence { faults, processes, ..Evidence::default() });
        assert_eq!(finding.checked, 1);
        (finding.violations, finding.inconclusive.len())
    }

    #[test]
    fn a_damaged_node_ends_as_such_and_no_other_does() {
        for (node, at_ns, code, signal, expected) in [
            (2, 15, Some(CORRUPT), None, (0, 0)),
            (2, 10, Some(CORRUPT), None, (0, 0)),
            (2, 20, Some(CORRUPT), None, (0, 0)),
            (2, 15, Some(101), None, (1, 0)),
            (2, 15, Some(UNUSABLE), None, (1, 0)),
            (2, 15, None, Some(6), (1, 0)),
            (2, 15, None, Some(SIGKILL), (0, 1)),
            (2, 9, Some(CORRUPT), None, (1, 0)),
            (2, 21, Some(CORRUPT), None, (1, 0)),
            (1, 15, Some(CORRUPT), None, (1, 0)),
            (1, 15, Some(UNUSABLE), None, (1, 0)),
            (1, 15, Some(0), None, (0, 0)),
            (1, 15, None, Some(SIGKILL), (0, 0)),
        ] {
            assert_eq!(judge(node, at_ns, code, signal), expected, "{node} {at_ns} {code:?} {signal:?}");
        }
    }
}

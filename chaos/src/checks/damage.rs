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

//! The invariants, each judged from the evidence of a run. Ids and names are those of the verification plan.
//!
//! The log gives the order of everything; [`replay`] runs the judge's own model over it once, and the checks compare what
//! clients, replicas and samples showed with what it says. What joins by order is judged lot by lot, on every core
//! ([`lots`]); what goes over all calls or all replicas, once for the run.

pub mod accounting;
pub mod books;
pub mod clocks;
pub mod coverage;
pub mod damage;
pub mod differences;
pub mod durability;
pub mod effects;
pub mod failures_2024;
pub mod fault_times;
pub mod finding;
pub mod idempotence;
pub mod issued_or_refunded;
pub mod lasting;
mod lists;
pub mod lost_disks;
pub mod lots;
#[cfg(test)]
mod made;
pub mod money;
pub mod overload;
pub mod raft;
pub mod reach;
mod reads;
mod records;
pub mod recovery;
pub mod replay;
pub mod replicas;
pub mod search;
pub mod serials;
pub mod sessions;
mod shedding;
pub mod sweep;
pub mod timeline;
pub mod unknowns;
mod watched;
pub mod witness;

pub use crate::evidence::Evidence;
pub use finding::{Finding, Violation};
pub use lots::{Case, OfLots};
pub use replay::Replay;

use idempotence::NaturalId;
use timeline::Acknowledged;

/// Every invariant that is due, in the order of their ids. `watched`: V21; `writes`: in the order in which they were acknowledged.
#[must_use]
pub fn check_all(
    evidence: &Evidence,
    replay: &Replay,
    watched: Finding,
    writes: &[Acknowledged],
    of_lots: &mut OfLots,
) -> Vec<Finding> {
    let mut of_run = vec![
        durability::replicas_are_whole(evidence, replay),
        serials::claims_do_not_overlap(std::mem::take(&mut of_lots.claims)),
        accounting::serial_accounting(evidence, std::mem::take(&mut of_lots.accounts)),
        issued_or_refunded::no_policy_twice(evidence),
        money::money_adds_up(evidence, replay, &of_lots.sums),
        idempotence::writes_were_sent(evidence),
        replicas::replicas_agree(evidence),
        recovery::bounded_recovery(evidence, writes),
        lasting::no_lasting_damage(evidence, writes),
        raft::raft_invariants(evidence),
        damage::damage_is_told(evidence),
        lost_disks::lost_disks_come_back_anew(evidence),
        coverage::faults_landed(evidence),
        watched,
        overload::overload_is_shed_in_order(evidence),
        witness::reads_fit(evidence, replay),
    ];
    of_run.extend(sweep::in_real_time(evidence));
    // What contradicts a call directly is shown before what it entails.
    let mut merged = std::mem::take(&mut of_lots.findings);
    for finding in of_run {
        match merged.iter_mut().find(|there| there.id == finding.id) {
            Some(there) => there.merge(finding),
            None => merged.push(finding),
        }
    }
    merged.sort_by_key(|finding| finding.id[1..].parse::<u32>().unwrap_or(u32::MAX));
    merged.into_iter().map(Finding::conclude).collect()
}

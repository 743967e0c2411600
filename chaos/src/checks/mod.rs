//! The invariants, each judged from the evidence of a run. Ids and names are those of the verification plan.
//!
//! The log gives the order of everything; [`replay`] runs the judge's own model over it once, and the checks compare what
//! clients, replicas and samples showed with what it says.

pub mod accounting;
pub mod books;
pub mod clocks;
pub mod coverage;
pub mod differences;
pub mod durability;
pub mod effects;
pub mod evidence;
pub mod failures_2024;
pub mod finding;
pub mod idempotence;
pub mod issued_or_refunded;
mod lists;
pub mod money;
pub mod overload;
pub mod raft;
mod reads;
mod records;
pub mod recovery;
pub mod replay;
pub mod replicas;
pub mod search;
pub mod serials;
pub mod sessions;
pub mod timeline;
pub mod unknowns;
pub mod watched;
pub mod witness;

pub use evidence::{Answered, Evidence, Op, Scan, ScanRecords};
pub use finding::{Finding, Violation};
pub use replay::Replay;

use idempotence::NaturalId;
use serials::Sighting;

use crate::hash::Map;
use crate::history::{Consistency, Request};
use crate::serial_code::SerialCodes;

/// A run, ready to be judged.
pub struct Case<'a> {
    pub evidence: &'a Evidence,
    pub replay: &'a Replay,
    pub codes: &'a SerialCodes,
    /// Every write by what it is idempotent by, in the order of their calls.
    pub groups: Map<NaturalId<'a>, Vec<&'a Op>>,
    /// Every moment at which a serial was shown, in the order of series and number.
    pub sightings: Vec<Sighting>,
}

impl<'a> Case<'a> {
    #[must_use]
    pub fn new(evidence: &'a Evidence, replay: &'a Replay, codes: &'a SerialCodes) -> Self {
        let groups = idempotence::groups(&evidence.ops);
        Self { evidence, replay, codes, groups, sightings: serials::sightings(evidence, codes) }
    }
}

/// Every invariant that is due, in the order of their ids.
#[must_use]
pub fn check_all(case: &Case) -> Vec<Finding> {
    vec![
        durability::no_acknowledged_op_is_lost(case),
        serials::a_serial_belongs_to_one_order(case),
        serials::no_phantom_serial(case),
        accounting::serial_accounting(case),
        issued_or_refunded::issued_or_refunded(case),
        money::money_adds_up(case),
        books::provider_and_ledger_agree(case),
        idempotence::same_id_same_answer(case),
        effects::refused_had_no_effect(case),
        sessions::arrows_and_sessions(case),
        witness::linearizable(case),
        unknowns::unknowns_become_known(case),
        replicas::replicas_agree(case),
        recovery::bounded_recovery(case),
        raft::raft_invariants(case),
        idempotence::one_effect_a_notice(case),
        clocks::no_order_expires_early(case),
        coverage::faults_landed(case),
        watched::watched_what_the_log_makes(case),
        overload::overload_is_shed_in_order(case),
    ]
}

/// Reads are, unless they ask for less by name; of a list the first page is, the others are of its index. (Writes always.)
#[must_use]
pub fn is_linearizable(request: &Request) -> bool {
    match request {
        Request::ListOrders(list) => return list.as_of.is_none(),
        Request::ListPayments(list) => return list.as_of.is_none(),
        _ => {}
    }
    !matches!(
        request,
        Request::GetOrder { consistency: Consistency::Stale, .. }
            | Request::GetPayment { consistency: Consistency::Stale, .. }
            | Request::VerifySerial { consistency: Consistency::Stale, .. }
    )
}

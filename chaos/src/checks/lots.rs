//! What is judged lot by lot, and put together for the run.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::failures_2024::OfOrders;
use super::idempotence::Groups;
use super::reach::Reach;
use super::serials::{Claim, Sighting};
use super::{Evidence, Finding};
use super::{
    accounting, books, clocks, durability, effects, idempotence, issued_or_refunded, money, raft, serials, sessions, timeline,
    unknowns, witness,
};
use crate::evidence::lots::LOTS_AT_ONCE;
use crate::evidence::{Lot, ModelRecords, Moment, Parts, Scan, ScanRecords};
use crate::serial_code::SerialCodes;

/// A lot, ready to be judged.
pub struct Case<'a> {
    pub evidence: &'a Evidence,
    pub reach: &'a Reach,
    pub codes: &'a SerialCodes,
    pub lot: &'a Lot,
    pub groups: Groups<'a>,
    /// Every moment at which a serial was shown, in the order of series and number.
    pub sightings: Vec<Sighting>,
    /// What a replica or the model holds of a lot that it holds nothing of.
    pub nothing: (ScanRecords, ModelRecords),
}

impl<'a> Case<'a> {
    #[must_use]
    pub fn new(evidence: &'a Evidence, reach: &'a Reach, codes: &'a SerialCodes, lot: &'a Lot) -> Self {
        let (groups, sightings) = (idempotence::groups(&lot.ops), Vec::new());
        let mut case = Self { evidence, reach, codes, lot, groups, sightings, nothing: Default::default() };
        case.sightings = serials::sightings(&case);
        case
    }

    /// Replicas with different records, each with those of the lot.
    pub fn scans(&self) -> impl Iterator<Item = (u16, &Scan, &ScanRecords)> {
        let of = |(node, scan)| (node, scan, self.lot.scans.get(&node).unwrap_or(&self.nothing.0));
        self.evidence.distinct_scans().map(of)
    }
}

/// What lots came to.
#[derive(Debug, Default)]
pub struct OfLots {
    /// One for each check.
    pub findings: Vec<Finding>,
    pub failures: OfOrders,
    pub accounts: accounting::Accounts,
    pub sums: money::Sums,
    pub claims: Vec<Claim>,
    /// When each order's issue was first acknowledged.
    pub issued_ns: Vec<u64>,
}

const NOBODY_PANICS: &str = "nobody panics while holding it";

impl OfLots {
    fn of(case: &Case) -> Self {
        let (accounts, accounting) = accounting::accounts(case);
        let findings = vec![
            durability::no_acknowledged_op_is_lost(case),
            serials::an_order_has_its_serials(case),
            serials::no_phantom_serial(case),
            accounting,
            issued_or_refunded::issued_or_refunded(case),
            books::provider_and_ledger_agree(case),
            idempotence::same_id_same_answer(case),
            effects::refused_had_no_effect(case),
            sessions::arrows(case),
            witness::linearizable(case),
            unknowns::unknowns_become_known(case),
            raft::terms_of_answers(case),
            idempotence::one_effect_a_notice(case),
            clocks::no_order_expires_early(case),
        ];
        Self {
            findings,
            failures: OfOrders::of(case),
            accounts,
            sums: money::Sums::of(case),
            claims: serials::claims(case),
            issued_ns: timeline::issues(&case.lot.ops),
        }
    }

    fn merge(&mut self, other: Self) {
        if self.findings.is_empty() {
            self.findings = other.findings;
        } else {
            // The same checks, in the same order.
            self.findings.iter_mut().zip(other.findings).for_each(|(there, more)| there.merge(more));
        }
        self.failures.merge(other.failures);
        self.accounts.merge(other.accounts);
        self.sums.merge(&other.sums);
        self.claims.extend(other.claims);
        self.issued_ns.extend(other.issued_ns);
    }

    /// Judges all lots, a few at once; with the moment of each call, in their order.
    ///
    /// # Errors
    /// What was sorted cannot be read.
    pub fn judge(evidence: &Evidence, parts: &Parts, codes: &SerialCodes) -> io::Result<(Self, Vec<Moment>)> {
        let reach = Reach::of(&evidence.shown);
        let next = AtomicUsize::new(0);
        let judged: Mutex<Vec<(usize, Self)>> = Mutex::default();
        let moments = Mutex::new(vec![None; evidence.calls]);
        let judge_some = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= parts.lots {
                    return Ok::<_, io::Error>(());
                }
                let lot = Lot::read(&parts.pieces, number)?;
                let of_lot = Self::of(&Case::new(evidence, &reach, codes, &lot));
                judged.lock().expect(NOBODY_PANICS).push((number, of_lot));
                let mut moments = moments.lock().expect(NOBODY_PANICS);
                lot.ops.iter().for_each(|op| moments[op.nth as usize] = Some(Moment::of(op)));
            }
        };
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(LOTS_AT_ONCE);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(judge_some)).collect();
            let results =
                workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            results.collect::<io::Result<Vec<()>>>()
        })?;
        let mut judged = judged.into_inner().expect(NOBODY_PANICS);
        // Whoever judged it: a run that is judged twice reads the same.
        judged.sort_unstable_by_key(|(number, _)| *number);
        let mut all = Self::default();
        judged.into_iter().for_each(|(_, of_lot)| all.merge(of_lot));
        let moments = moments.into_inner().expect(NOBODY_PANICS).into_iter();
        Ok((all, moments.map(|moment| moment.expect("every call is in a lot")).collect()))
    }
}

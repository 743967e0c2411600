//! Reads a history once: joins calls with their answers, and sorts them, with the provider's books, into the lots, and reads by the
//! log index that they are good for as well.

use std::io;
use std::path::Path;

use smallvec::SmallVec;

use super::Evidence;
use super::ahead::ahead;
use super::call::{Answered, Op};
use super::links::Links;
use super::lots::{Page, Piece};
use super::moment::{is_acknowledged, shown_index};
use super::reads::Shelves;
use super::spill::Sorter;
use crate::hash::Map;
use crate::history::{
    HistoryReader, Invoke, OpId, Outcome, Phase, Purpose, Read, ReadAnswer, Record, Request, Return, WriteAnswer, Written,
};
use crate::limits;

/// Ops are numbered from 1 without a gap, but for those that a torn history lacks.
const NUMBERS_LOST_MAX: usize = 1 << 20;
/// Records that are read ahead at once.
const RECORDS_AT_ONCE: usize = 1_024;
/// Of no call.
const NOBODY: u32 = u32::MAX;

pub(super) struct Calls<'a> {
    evidence: &'a mut Evidence,
    links: &'a Links,
    lots: &'a mut Sorter<Piece>,
    reads: &'a mut Shelves,
    /// Calls whose answer is still to come, or said *unknown*.
    open: Map<u32, Op>,
    /// By the number of an op, which call it is.
    nth_of: Vec<u32>,
    /// By call, its lot.
    lot_of: Vec<u8>,
    /// Issues that were answered in batches: batch, call, stamps.
    batched: Vec<(u64, u32, u32)>,
}

impl<'a> Calls<'a> {
    pub(super) fn new(
        evidence: &'a mut Evidence,
        links: &'a Links,
        lots: &'a mut Sorter<Piece>,
        reads: &'a mut Shelves,
    ) -> Self {
        Self { evidence, links, lots, reads, open: Map::default(), nth_of: Vec::new(), lot_of: Vec::new(), batched: Vec::new() }
    }

    /// # Errors
    /// What is sorted cannot be written. (What is wrong with the history is a gap of the evidence.)
    pub(super) fn read(mut self, path: &Path) -> io::Result<()> {
        let reader = match HistoryReader::open(path) {
            Ok(reader) => reader,
            Err(cause) => {
                self.evidence.gaps.push(cause.to_string());
                return Ok(());
            }
        };
        std::thread::scope(|scope| {
            for record in ahead(scope, RECORDS_AT_ONCE, reader) {
                match record {
                    Ok(record) => self.take(record)?,
                    Err(cause) => self.evidence.gaps.push(cause.to_string()),
                }
            }
            self.finish()
        })
    }

    fn take(&mut self, record: Record) -> io::Result<()> {
        self.evidence.last_ns = self.evidence.last_ns.max(at_ns(&record));
        match record {
            Record::Invoke(invoke) => self.open(invoke),
            Record::Return(answer) => return self.take_answer(answer, false),
            Record::LateReturn(answer) => return self.take_answer(answer, true),
            Record::Provider(event) => {
                let lot = self.links.of_payment(&event.payment, Some(event.order));
                return self.lots.put(lot, &Piece::Provider(event));
            }
            Record::Fault(event) => self.evidence.faults.push(event),
            Record::Process(event) => self.evidence.processes.push(event),
            Record::Status(sample) => self.evidence.statuses.push(*sample),
            Record::Digest { node, log_index, digest, .. } => self.evidence.digests.push((node, log_index, digest)),
            Record::Phase { at_ns, phase } => self.evidence.phases.push((at_ns, phase)),
            Record::MachineSync(sync) => self.evidence.machine_syncs.push(sync),
        }
        Ok(())
    }

    fn open(&mut self, invoke: Invoke) {
        let OpId(id) = invoke.op;
        let Some(at) = self.number(id) else {
            return self.evidence.gaps.push(format!("op {id} is numbered far beyond the calls before it"));
        };
        if self.nth_of[at] != NOBODY {
            self.evidence.gaps.push(format!("op {id} was called twice: the tool's mistake"));
        }
        if let Request::OpenSeries { series, first_number, capacity, .. } = invoke.request {
            self.evidence.series.entry(series).or_insert((first_number, capacity));
        }
        match invoke.request {
            Request::PlaceOrder { .. } => self.evidence.placings += 1,
            Request::RecordPayment { .. } => self.evidence.payments += 1,
            _ => {}
        }
        let nth = u32::try_from(self.lot_of.len()).expect("fewer calls than numbers");
        self.nth_of[at] = nth;
        self.lot_of.push(0);
        self.open.insert(nth, Op { nth, invoke, answers: SmallVec::new() });
    }

    /// Where in `nth_of` an op stands; `None` if this cannot be one's number.
    fn number(&mut self, id: u64) -> Option<usize> {
        let at = usize::try_from(u32::try_from(id).ok()?).ok()?;
        if at >= self.nth_of.len() + NUMBERS_LOST_MAX {
            return None;
        }
        if at >= self.nth_of.len() {
            self.nth_of.resize(at + 1, NOBODY);
        }
        Some(at)
    }

    fn take_answer(&mut self, answer: Return, is_late: bool) -> io::Result<()> {
        let OpId(id) = answer.op;
        let nth = usize::try_from(id).ok().and_then(|at| self.nth_of.get(at)).copied().filter(|nth| *nth != NOBODY);
        let Some(nth) = nth else {
            self.evidence.lacks_calls = true;
            self.evidence.gaps.push(format!("op {id} was answered but never called: the history lacks a record"));
            return Ok(());
        };
        let answer = Answered { at_ns: answer.at_ns, outcome: answer.outcome, is_late };
        self.evidence.show(&answer);
        let Some(op) = self.open.get_mut(&nth) else {
            self.evidence.gaps.push(format!("op {id} was answered twice: the tool's mistake"));
            return self.lots.put(self.lot_of[nth as usize].into(), &Piece::Late(nth, answer));
        };
        // One return, and one late answer; either may be written first.
        if op.answers.iter().any(|before| before.is_late == is_late) {
            self.evidence.gaps.push(format!("op {id} was answered twice: the tool's mistake"));
        }
        op.answers.push(answer);
        // Behind an unknown a late answer may follow.
        if op.known().is_some() && op.answers.iter().any(|answer| !answer.is_late) {
            let op = self.open.remove(&nth).expect("found above");
            self.close(op)?;
        }
        Ok(())
    }

    fn close(&mut self, op: Op) -> io::Result<()> {
        let lot = self.links.of_request(&op.invoke.request).or_else(|| self.lot_of_answer(&op)).unwrap_or(0);
        self.lot_of[op.nth as usize] = u8::try_from(lot).expect("fewer lots than a byte has values");
        if op.invoke.purpose == Purpose::FreshWrite
            && let Some(answer) = op.known().filter(|answer| is_acknowledged(&answer.outcome))
        {
            let first_ns = self.evidence.fresh_write_ns.get_or_insert(answer.at_ns);
            *first_ns = answer.at_ns.min(*first_ns);
        }
        for answer in &op.answers {
            match &answer.outcome {
                Outcome::Read(read) => {
                    self.reads.put(&op, read)?;
                    self.take_page_apart(op.id(), read)?;
                }
                Outcome::Written(Written { answer: WriteAnswer::Recorded { serials: Some(serials), .. }, .. })
                    if op.invoke.batch != 0 =>
                {
                    self.batched.push((op.invoke.batch, op.nth, serials.quantity));
                }
                _ => {}
            }
        }
        self.lots.put(lot, &Piece::Call(op))
    }

    /// Of a code that was asked about, with the order that holds it.
    fn lot_of_answer(&self, op: &Op) -> Option<usize> {
        let Outcome::Read(read) = &op.known()?.outcome else { return None };
        match read.answer {
            ReadAnswer::SerialIssued { order, .. }
            | ReadAnswer::SerialStamped { order, .. }
            | ReadAnswer::SerialVoided { order, .. } => Some(self.links.of_order(order)),
            _ => None,
        }
    }

    /// What a list shows of many orders goes to the lot of each.
    fn take_page_apart(&mut self, op: u64, read: &Read) -> io::Result<()> {
        match &read.answer {
            ReadAnswer::Orders { orders, .. } => {
                for order in orders {
                    self.lots.put(self.links.of_order(order.order), &Piece::Listed(op, Page::Order(order.clone())))?;
                }
            }
            ReadAnswer::Payments { payments, .. } => {
                for payment in payments {
                    let lot = self.links.of_payment(&payment.payment, Some(payment.order));
                    self.lots.put(lot, &Piece::Listed(op, Page::Payment(payment.clone())))?;
                }
            }
            ReadAnswer::RefundsDue { refunds, .. } => {
                for refund in refunds {
                    let lot = self.links.of_payment(&refund.payment, Some(refund.order));
                    self.lots.put(lot, &Piece::Listed(op, Page::Refund(refund.clone())))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.evidence.history_is_cut = self.evidence.phase_start(Phase::End).is_none();
        if self.evidence.history_is_cut {
            self.evidence.gaps.push("the history has no end mark: the run did not finish".into());
        }
        let mut left: Vec<Op> = std::mem::take(&mut self.open).into_values().collect();
        left.sort_unstable_by_key(|op| op.nth);
        for op in left {
            // Whoever sends a call writes down that it was answered or given up, before the tool ends.
            if !self.evidence.history_is_cut && op.answers.iter().all(|answer| answer.is_late) {
                self.evidence.gaps.push(format!("op {} has no return: the history lacks a record", op.id()));
            }
            self.close(op)?;
        }
        self.evidence.calls = self.lot_of.len();
        self.evidence.statuses.sort_by_key(|sample| sample.at_ns);
        self.evidence.beyond_the_codes = beyond_the_codes(self.batched);
        Ok(())
    }
}

/// Calls of batches whose answers have no room left for their codes: the codes of a batch's commands are printed in their order,
/// all of an issue or none.
fn beyond_the_codes(mut batched: Vec<(u64, u32, u32)>) -> crate::hash::Set<u32> {
    batched.sort_unstable();
    let mut beyond = crate::hash::Set::default();
    for batch in batched.chunk_by(|one, two| one.0 == two.0) {
        let mut room = limits::ANSWER_CODES_MAX;
        for (_, nth, quantity) in batch {
            match room.checked_sub(*quantity) {
                Some(left) => room = left,
                None => {
                    beyond.insert(*nth);
                }
            }
        }
    }
    beyond
}

impl Evidence {
    /// What an answer shows to be committed.
    fn show(&mut self, answer: &Answered) {
        if let Some(index) = shown_index(&answer.outcome) {
            let earliest = self.shown.entry(index).or_insert(answer.at_ns);
            *earliest = answer.at_ns.min(*earliest);
        }
    }
}

fn at_ns(record: &Record) -> u64 {
    match record {
        Record::Invoke(invoke) => invoke.at_ns,
        Record::Return(answer) | Record::LateReturn(answer) => answer.at_ns,
        Record::Fault(event) => event.at_ns,
        Record::Process(event) => event.at_ns,
        Record::Provider(event) => event.at_ns,
        Record::Status(sample) => sample.at_ns,
        Record::Digest { at_ns, .. } | Record::Phase { at_ns, .. } => *at_ns,
        Record::MachineSync(sync) => sync.at_ns,
    }
}

//! Everything that a run left behind, read once and held compactly.
//!
//! What is missing or damaged is kept as such: the checks that need it say *inconclusive*, none takes it for empty.

use super::watched::{self, Told};
use crate::hash::Map;
use std::collections::BTreeMap;
use std::hash::Hash;
use std::io;
use std::path::Path;
use std::sync::Arc;

use prost::Message;

use crate::history::{
    Digest, FaultEvent, HistoryReader, Invoke, OpId, OrderId, OrderSeen, Outcome, PaymentName, PaymentSeen, Phase, PolicySeen,
    ProcessEvent, ProviderEvent, Record, RefundSeen, Return, RunFacts, RunFolder, StampingSeen, StatusSample, Text, wire,
};
use crate::model::Log;
use crate::proto::admin::scan_ledger_response::Item;
use crate::proto::admin::{ScanHeader, ScanLedgerResponse, Series};

/// One call and what came of it.
#[derive(Debug, Clone)]
pub struct Op {
    pub invoke: Invoke,
    pub answers: Vec<Answered>,
}

#[derive(Debug, Clone)]
pub struct Answered {
    pub at_ns: u64,
    pub outcome: Outcome,
    /// To a call that the tool had given up.
    pub is_late: bool,
}

impl Op {
    /// The first answer that says what happened, late ones included. `None`: unknown.
    #[must_use]
    pub fn known(&self) -> Option<&Answered> {
        self.answers.iter().find(|answer| !matches!(answer.outcome, Outcome::Unknown { .. }))
    }

    #[must_use]
    pub fn id(&self) -> u64 {
        self.invoke.op.0
    }

    /// When the tool gave the call up or had its answer.
    #[must_use]
    pub fn ended_ns(&self) -> u64 {
        self.answers.first().map_or(u64::MAX, |answer| answer.at_ns)
    }
}

/// The records of a scan. Replicas with the same bytes share one.
#[derive(Debug, Default)]
pub struct ScanRecords {
    pub series: Vec<Series>,
    pub orders: Map<OrderId, OrderSeen>,
    pub payments: Map<PaymentName, PaymentSeen>,
    pub refunds: Map<PaymentName, RefundSeen>,
    pub stampings: Map<(OrderId, Digest), StampingSeen>,
    pub policies: Map<u32, PolicySeen>,
    /// Keys that came more than once: no ledger can hold them.
    pub doubled: Vec<String>,
}

impl ScanRecords {
    fn take(&mut self, item: Item) -> io::Result<()> {
        match item {
            Item::Header(_) => return Err(unreadable("second header", "")),
            Item::Series(series) => self.series.push(series),
            Item::Order(order) => {
                let seen = wire::order(&order).ok_or_else(|| unreadable("order", &order.order_id))?;
                keep(&mut self.orders, seen.order, seen, &mut self.doubled, || format!("order {}", order.order_id));
            }
            Item::Payment(payment) => {
                let seen = wire::payment(&payment).ok_or_else(|| unreadable("payment of order", &payment.order_id))?;
                let text = format!("payment {}/{}", seen.payment.gateway, seen.payment.payment_id);
                keep(&mut self.payments, seen.payment.clone(), seen, &mut self.doubled, || text);
            }
            Item::Refund(refund) => {
                let seen = wire::refund(&refund).ok_or_else(|| unreadable("refund of order", &refund.order_id))?;
                let text = format!("refund of payment {}/{}", seen.payment.gateway, seen.payment.payment_id);
                keep(&mut self.refunds, seen.payment.clone(), seen, &mut self.doubled, || text);
            }
            Item::Stamping(stamping) => {
                let (key, seen) =
                    wire::stamping(&stamping).ok_or_else(|| unreadable("stamping of order", &stamping.order_id))?;
                keep(&mut self.stampings, key, seen, &mut self.doubled, || format!("stamping of order {}", stamping.order_id));
            }
            Item::Policy(policy) => {
                let seen = wire::policy(&policy);
                keep(&mut self.policies, seen.version, seen, &mut self.doubled, || format!("policy {}", policy.version));
            }
        }
        Ok(())
    }
}

/// Notes a key that was there before: no ledger can hold it twice.
fn keep<K: Eq + Hash, V>(there: &mut Map<K, V>, key: K, value: V, doubled: &mut Vec<String>, text: impl FnOnce() -> String) {
    if there.insert(key, value).is_some() {
        doubled.push(text());
    }
}

#[derive(Debug, Clone)]
pub struct Scan {
    pub header: ScanHeader,
    pub records: Arc<ScanRecords>,
    /// Of the records' bytes.
    pub fingerprint: [u8; 32],
}

#[derive(Debug)]
pub struct Evidence {
    pub facts: RunFacts,
    /// In the order of their calls.
    pub ops: Vec<Op>,
    pub faults: Vec<FaultEvent>,
    pub processes: Vec<ProcessEvent>,
    pub provider: Vec<ProviderEvent>,
    pub statuses: Vec<StatusSample>,
    /// (node, log index, digest)
    pub digests: Vec<(u16, u64, Text)>,
    pub phases: Vec<(u64, Phase)>,
    pub log: Log,
    pub scans: BTreeMap<u16, Scan>,
    /// What was told to who watched; or why that is not known.
    pub watched: Result<Vec<Told>, String>,
    /// What is missing or damaged.
    pub gaps: Vec<String>,
    /// The history is the beginning of one: it has no end mark, or a damaged record that hides what follows.
    pub history_is_cut: bool,
    /// An answer has no call: calls are missing, and nobody knows which others.
    pub lacks_calls: bool,
    /// Of the last record.
    pub last_ns: u64,
}

impl Evidence {
    /// # Errors
    /// `run.json` cannot be read, or the folder holds what is not of a run: nothing can be judged.
    pub fn read(folder: &RunFolder) -> io::Result<Self> {
        let mut evidence = Self::empty(RunFacts::read(folder)?);
        evidence.gaps.extend(evidence.facts.problems.clone());
        evidence.read_history(&folder.history());
        match Log::read(&folder.log()) {
            Ok(log) => evidence.log = log,
            Err(cause) => evidence.log.hole = Some(format!("log.bin: {cause}")),
        }
        evidence.gaps.extend(evidence.log.hole.clone());
        evidence.watched = watched::read(&folder.events()).map_err(|cause| format!("events.bin: {cause}"));
        for node in evidence.facts.nodes.clone() {
            match evidence.read_scan(&folder.scan(node)) {
                Ok(scan) => {
                    evidence.scans.insert(node, scan);
                }
                Err(cause) => evidence.gaps.push(format!("scan of node {node}: {cause}")),
            }
        }
        Ok(evidence)
    }

    pub(super) fn empty(facts: RunFacts) -> Self {
        Self {
            facts,
            ops: Vec::new(),
            faults: Vec::new(),
            processes: Vec::new(),
            provider: Vec::new(),
            statuses: Vec::new(),
            digests: Vec::new(),
            phases: Vec::new(),
            log: Log::default(),
            scans: BTreeMap::new(),
            watched: Err("events.bin was not read".into()),
            gaps: Vec::new(),
            history_is_cut: true,
            lacks_calls: false,
            last_ns: 0,
        }
    }

    fn read_history(&mut self, path: &Path) {
        let reader = match HistoryReader::open(path) {
            Ok(reader) => reader,
            Err(cause) => return self.gaps.push(cause.to_string()),
        };
        let mut by_id = Map::default();
        for record in reader {
            match record {
                Ok(record) => self.take(record, &mut by_id),
                Err(cause) => self.gaps.push(cause.to_string()),
            }
        }
        self.statuses.sort_by_key(|sample| sample.at_ns);
        self.history_is_cut = self.phase_start(Phase::End).is_none();
        if self.history_is_cut {
            self.gaps.push("the history has no end mark: the run did not finish".into());
        } else {
            // Whoever sends a call writes down that it was answered or given up, before the tool ends.
            let open = self.ops.iter().filter(|op| op.answers.iter().all(|answer| answer.is_late));
            self.gaps.extend(open.map(|op| format!("op {} has no return: the history lacks a record", op.id())));
        }
    }

    /// Adds one record; `by_id` finds the op of an answer.
    fn take(&mut self, record: Record, by_id: &mut Map<OpId, usize>) {
        self.last_ns = self.last_ns.max(at_ns(&record));
        match record {
            Record::Invoke(invoke) => {
                if by_id.insert(invoke.op, self.ops.len()).is_some() {
                    self.gaps.push(format!("op {} was called twice: the tool's mistake", invoke.op.0));
                }
                self.ops.push(Op { invoke, answers: Vec::new() });
            }
            Record::Return(answer) => self.take_answer(answer, false, by_id),
            Record::LateReturn(answer) => self.take_answer(answer, true, by_id),
            Record::Fault(event) => self.faults.push(event),
            Record::Process(event) => self.processes.push(event),
            Record::Provider(event) => self.provider.push(event),
            Record::Status(sample) => self.statuses.push(sample),
            Record::Digest { node, log_index, digest, .. } => self.digests.push((node, log_index, digest)),
            Record::Phase { at_ns, phase } => self.phases.push((at_ns, phase)),
        }
    }

    fn take_answer(&mut self, answer: Return, is_late: bool, by_id: &Map<OpId, usize>) {
        let Some(&at) = by_id.get(&answer.op) else {
            self.lacks_calls = true;
            return self.gaps.push(format!("op {} was answered but never called: the history lacks a record", answer.op.0));
        };
        let answers = &mut self.ops[at].answers;
        // One return, and one late answer; either may be written first.
        if answers.iter().any(|before| before.is_late == is_late) {
            self.gaps.push(format!("op {} was answered twice: the tool's mistake", answer.op.0));
        }
        answers.push(Answered { at_ns: answer.at_ns, outcome: answer.outcome, is_late });
    }

    fn read_scan(&self, path: &Path) -> io::Result<Scan> {
        let bytes = std::fs::read(path)?;
        let mut rest = bytes.as_slice();
        let Some(Item::Header(header)) = ScanLedgerResponse::decode_length_delimited(&mut rest)?.item else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not begin with a header"));
        };
        let fingerprint = *blake3::hash(rest).as_bytes();
        if let Some(same) = self.scans.values().find(|scan| scan.fingerprint == fingerprint) {
            return Ok(Scan { header, records: Arc::clone(&same.records), fingerprint });
        }
        let mut records = ScanRecords::default();
        while !rest.is_empty() {
            let item = ScanLedgerResponse::decode_length_delimited(&mut rest)?.item;
            records.take(item.ok_or_else(|| unreadable("record of an unknown kind", ""))?)?;
        }
        Ok(Scan { header, records: Arc::new(records), fingerprint })
    }

    /// One node for each different content: what holds for its records holds for those of the others.
    pub fn distinct_scans(&self) -> impl Iterator<Item = (u16, &Scan)> {
        let is_first =
            |node: &u16, scan: &Scan| !self.scans.range(..node).any(|(_, before)| Arc::ptr_eq(&before.records, &scan.records));
        self.scans.iter().filter(move |(node, scan)| is_first(node, scan)).map(|(node, scan)| (*node, scan))
    }

    /// When a phase began.
    #[must_use]
    pub fn phase_start(&self, wanted: Phase) -> Option<u64> {
        self.phases.iter().find(|(_, phase)| *phase == wanted).map(|(at_ns, _)| *at_ns)
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
    }
}

fn unreadable(what: &str, name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} {name} cannot be what the protocol promises"))
}

//! Makes the files of a run that never happened: a clean history with its log, scans and samples, the same for one seed.
//!
//! A round is one log entry: buyers place, pay, cancel and repeat themselves at once, then ask. At a kill the leader
//! changes; what was under way is unknown, half of it in the log, and is asked about later.

#![allow(unreachable_pub, dead_code, reason = "shared by test binaries: none uses all of it")]

mod after_issue;
mod files;
mod lists;
mod notices;
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stampede_chaos::history::*;
use stampede_chaos::model::{Answer, Ledger, LoggedCommand, Reply, event_of};
use stampede_chaos::proto::admin;
use stampede_chaos::serial_code::SerialCodes;

use files::Files;
use scan::{digest, wire_command, with_node};

pub const KEY: [u8; 32] = [42; 32];
pub const SERIES: SeriesCode = *b"A24";
const MS: u64 = 1_000_000;
const NODES: [u16; 3] = [1, 2, 3];

pub struct Run {
    pub facts: RunFacts,
    pub records: Vec<Record>,
    pub log: Vec<admin::ExportLogResponse>,
    pub scans: BTreeMap<u16, Vec<admin::ScanLedgerResponse>>,
    pub events: Vec<admin::WatchLedgerResponse>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Answered,
    UnknownInLog,
    UnknownLost,
    NotDone,
}

struct Maker {
    random: ChaCha8Rng,
    codes: SerialCodes,
    ledger: Ledger,
    now_ns: u64,
    next_op: u64,
    term: u64,
    leader: u16,
    /// Records, entries and events that are not in `files` yet; without `files`, all.
    records: Vec<Record>,
    log: Vec<admin::ExportLogResponse>,
    events: Vec<admin::WatchLedgerResponse>,
    files: Option<Files>,
    /// Log entries made.
    entries: u64,
    /// Entries that another node's export has as well.
    overlap: Vec<admin::ExportLogResponse>,
    /// Notices sent, of each payment.
    notices: BTreeMap<PaymentName, u32>,
    /// By the provider's clerk.
    paid_out: BTreeSet<PaymentName>,
}

/// What a run is made of.
#[derive(Clone, Copy)]
pub struct Shape {
    pub orders: u32,
    /// Buyers at once.
    pub per_round: usize,
    /// Stamps of the one series.
    pub capacity: u64,
    /// Of the buyers, who place, pay and leave; the others try everything.
    pub plain_percent: u32,
    /// Rounds between two looks of the clerk and the auditor.
    pub audit_rounds: usize,
}

impl Shape {
    /// About so many: who tries everything stays for five, who is plain for two.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.orders as usize * (500 - 3 * self.plain_percent as usize) / 100 / self.per_round
    }
}

/// An order on its way.
struct Buyer {
    order: OrderId,
    session: u32,
    next: Step,
    payment: PaymentName,
    amount_idr: i64,
    is_plain: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Step {
    Place,
    Pay,
    Repeat,
    Use,
    UseAgain,
    Look,
    Done,
}

/// About `orders` orders, `per_round` of them at once.
pub fn clean(seed: u64, orders: u32, per_round: usize) -> Run {
    clean_with(seed, orders, per_round, 1_000_000_000)
}

/// `capacity`: stamps of the one series.
pub fn clean_with(seed: u64, orders: u32, per_round: usize, capacity: u64) -> Run {
    let mut maker = Maker::new(seed, None);
    maker.make(Shape { orders, per_round, capacity, plain_percent: 0, audit_rounds: 15 });
    maker.finish(seed)
}

/// The same on the disk alone, for runs that no memory holds.
pub fn write_clean(seed: u64, shape: Shape, root: &Path) -> RunFolder {
    let mut maker = Maker::new(seed, Some(Files::create(root)));
    maker.make(shape);
    maker.finish_files(seed)
}

impl Maker {
    fn new(seed: u64, files: Option<Files>) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            codes: SerialCodes::new(KEY),
            ledger: Ledger::default(),
            now_ns: MS,
            next_op: 1,
            term: 1,
            leader: 1,
            records: Vec::new(),
            log: Vec::new(),
            events: Vec::new(),
            files,
            entries: 0,
            overlap: Vec::new(),
            notices: BTreeMap::new(),
            paid_out: BTreeSet::new(),
        }
    }

    fn make(&mut self, shape: Shape) {
        self.start(shape.capacity);
        self.traffic(shape);
        self.end();
    }

    fn mark(&mut self, phase: Phase) {
        self.records.push(Record::Phase { at_ns: self.now_ns, phase });
    }

    fn start(&mut self, capacity: u64) {
        for node in NODES {
            self.process(node, ProcessStep::Started { pid: u32::from(node) });
            self.process(node, ProcessStep::Ready);
        }
        self.enter(admin::ExportLogResponse { term: 1, ..Default::default() });
        self.mark(Phase::WarmUp);
        let open = Request::OpenSeries {
            series: SERIES,
            first_number: 1_000,
            capacity,
            face_value_idr: 10_000,
            payment_window_ms: 60_000,
        };
        self.round(&[(0, Purpose::Traffic, open, Fate::Answered)]);
    }

    fn process(&mut self, node: u16, step: ProcessStep) {
        self.records.push(Record::Process(ProcessEvent { at_ns: self.now_ns, node, step }));
    }

    /// The next log entry.
    fn enter(&mut self, entry: admin::ExportLogResponse) {
        let entry = admin::ExportLogResponse { log_index: self.entries, ..entry };
        if (10..60).contains(&self.entries) {
            self.overlap.push(entry.clone());
        }
        self.log.push(entry);
        self.entries += 1;
    }

    fn traffic(&mut self, shape: Shape) {
        let Shape { orders, per_round, plain_percent, audit_rounds, .. } = shape;
        let rounds = shape.rounds();
        let kills = [rounds / 3, rounds * 2 / 3];
        let mut buyers: Vec<Buyer> = Vec::new();
        let mut made = 0;
        let mut unknown: Vec<(u32, Request)> = Vec::new();
        let mut round = 0;
        while made < orders || !buyers.is_empty() {
            round += 1;
            if round == rounds / 10 {
                self.mark(Phase::Faults);
            }
            while buyers.len() < per_round && made < orders {
                made += 1;
                let is_plain = plain_percent > 0 && self.random.random_range(0..100) < plain_percent;
                buyers.push(Buyer { is_plain, ..self.buyer(made) });
            }
            let killed = kills.contains(&round);
            let mut calls = self.wishes(&buyers, killed);
            for (session, request) in unknown.drain(..) {
                calls.push((session, Purpose::Retry, request, Fate::Answered));
            }
            let down = killed.then(|| self.kill());
            self.round(&calls);
            if let Some(node) = down {
                self.restart(node);
            }
            unknown.extend(calls.into_iter().filter(|call| call.3 != Fate::Answered).map(|call| (call.0, call.2)));
            for buyer in &mut buyers {
                self.look(buyer);
            }
            buyers.retain(|buyer| buyer.next != Step::Done);
            if round == rounds / 2 {
                self.set_policy();
            }
            if round.is_multiple_of(audit_rounds) {
                self.settle_refunds();
                self.list_orders();
                self.list_payments();
            }
            if round.is_multiple_of(20) {
                self.sample();
            }
            if let Some(files) = &mut self.files {
                files.take(&mut self.records, &mut self.log, &mut self.events);
            }
        }
        let last: Vec<_> =
            unknown.into_iter().map(|(session, request)| (session, Purpose::Retry, request, Fate::Answered)).collect();
        self.round(&last);
    }

    /// What the buyers send now; while a leader is killed, not all of it is answered.
    fn wishes(&mut self, buyers: &[Buyer], killed: bool) -> Vec<(u32, Purpose, Request, Fate)> {
        let mut calls = Vec::new();
        for buyer in buyers {
            if let Some((purpose, request)) = self.wish(buyer) {
                let fate = match self.random.random_range(0..4) {
                    _ if !killed => Fate::Answered,
                    0 => Fate::UnknownLost,
                    1 => Fate::NotDone,
                    2 => Fate::UnknownInLog,
                    _ => Fate::Answered,
                };
                calls.push((buyer.session, purpose, request, fate));
            }
        }
        calls
    }

    fn buyer(&mut self, number: u32) -> Buyer {
        let mut order = [0; 16];
        order[..4].copy_from_slice(&number.to_be_bytes());
        self.random.fill_bytes(&mut order[8..]);
        let payment = PaymentName { gateway: "midtrans".into(), payment_id: format!("pay-{number}").into() };
        let amount_idr = i64::from(number % 3 + 1) * 10_000;
        Buyer { order, session: number % 997, next: Step::Place, payment, amount_idr, is_plain: false }
    }

    fn wish(&mut self, buyer: &Buyer) -> Option<(Purpose, Request)> {
        let order = buyer.order;
        let pay = || Request::RecordPayment { payment: buyer.payment.clone(), order, amount_idr: buyer.amount_idr };
        match buyer.next {
            Step::Place => {
                let quantity = u32::try_from(buyer.amount_idr / 10_000).unwrap();
                Some((Purpose::Traffic, Request::PlaceOrder { order, account: "buyer".into(), series: SERIES, quantity }))
            }
            Step::Pay if order[15] < 20 => Some((Purpose::Traffic, Request::CancelOrder { order })),
            Step::Pay => Some((Purpose::Traffic, pay())),
            Step::Repeat if order[14] < 60 => Some((Purpose::Duplicate, pay())),
            Step::Repeat if order[14] < 80 => {
                Some((Purpose::Conflict, Request::PlaceOrder { order, account: "other".into(), series: SERIES, quantity: 1 }))
            }
            Step::Use => after_issue::first(order).map(|request| (Purpose::Traffic, request)),
            Step::UseAgain => after_issue::then(order, &buyer.payment, buyer.amount_idr),
            Step::Repeat | Step::Look | Step::Done => None,
        }
    }

    /// Moves a buyer on; some look at their order first.
    fn look(&mut self, buyer: &mut Buyer) {
        let after = match buyer.next {
            Step::Place => Step::Pay,
            Step::Pay if buyer.is_plain => Step::Done,
            Step::Pay => Step::Repeat,
            Step::Repeat => Step::Use,
            Step::Use => Step::UseAgain,
            Step::UseAgain => Step::Look,
            Step::Look | Step::Done => Step::Done,
        };
        // Who is in a hurry looks seldom.
        let looks_one_in = if buyer.is_plain { 16 } else { 3 };
        if self.random.random_range(0..looks_one_in) == 0 || buyer.next == Step::Look {
            let request = Request::GetOrder { order: buyer.order, consistency: Consistency::Linearizable };
            let answer = self.ledger.orders.get(&buyer.order).map_or(ReadAnswer::Absent, |order| {
                ReadAnswer::Order(Box::new(wire::order(&self.wire_order(buyer.order, order, true)).unwrap()))
            });
            self.read(buyer.session, request, answer);
        }
        if buyer.next == Step::Look {
            self.verify(buyer);
        }
        if buyer.next == Step::Place {
            self.forge(buyer);
        }
        buyer.next = after;
    }

    fn read(&mut self, session: u32, request: Request, answer: ReadAnswer) {
        self.now_ns += 1_000;
        let op = self.invoke(session, Purpose::Traffic, request, self.now_ns);
        let read = Read { read_index: Some(self.index()), ledger_time_ms: self.ledger.now_ms, answer };
        self.records.push(Record::Return(Return { op, at_ns: self.now_ns + 500, outcome: Outcome::Read(read) }));
    }

    fn index(&self) -> u64 {
        self.entries - 1
    }

    fn invoke(&mut self, session: u32, purpose: Purpose, request: Request, at_ns: u64) -> OpId {
        let op = OpId(self.next_op);
        self.next_op += 1;
        let node = self.leader;
        let notice = request.clone();
        let first = !matches!(&request, Request::RecordPayment { payment, .. } if self.notices.contains_key(payment));
        if first {
            self.keep_books(at_ns, &notice, |_| ProviderStep::ChargeAccepted);
        }
        self.records.push(Record::Invoke(Invoke { op, at_ns, intended_ns: at_ns, session, node, purpose, batch: 0, request }));
        self.pay_out(at_ns, &notice);
        if let Request::RecordPayment { payment, .. } = &notice {
            *self.notices.entry(payment.clone()).or_default() += 1;
        }
        self.keep_books(at_ns, &notice, |nth| ProviderStep::NoticeSent { nth, op });
        op
    }

    /// What the provider notes of a notice; of other requests, nothing.
    fn keep_books(&mut self, at_ns: u64, request: &Request, step: impl FnOnce(u32) -> ProviderStep) {
        let Request::RecordPayment { payment, order, amount_idr } = request else { return };
        let step = step(self.notices.get(payment).copied().unwrap_or(0));
        let (payment, order, amount_idr) = (payment.clone(), *order, *amount_idr);
        self.records.push(Record::Provider(ProviderEvent { at_ns, payment, order, amount_idr, step }));
    }

    /// One entry with all calls that reach the log, answered together.
    fn round(&mut self, calls: &[(u32, Purpose, Request, Fate)]) {
        let ops: Vec<OpId> = calls
            .iter()
            .map(|(session, purpose, request, _)| {
                self.now_ns += 1_000;
                self.invoke(*session, *purpose, request.clone(), self.now_ns)
            })
            .collect();
        let log_index = self.entries;
        let proposed_at_ms = 1_700_000_000_000 + i64::try_from(self.now_ns / MS).unwrap();
        // Also by an entry that nothing comes to stand in.
        self.ledger.take_time(proposed_at_ms);
        let (mut commands, mut events) = (Vec::new(), Vec::new());
        self.now_ns += 4 * MS;
        for ((_, _, request, fate), op) in calls.iter().zip(ops) {
            let mut reply = None;
            if matches!(fate, Fate::Answered | Fate::UnknownInLog) {
                let place = Place { log_index, offset: u32::try_from(commands.len()).unwrap() };
                let executed = self.ledger.apply(place, proposed_at_ms, &LoggedCommand::Client(request.clone()));
                let event = event_of(request, &executed);
                events.extend(event.map(|event| admin::LedgerEvent { offset: place.offset, event: Some(event) }));
                reply = Some(executed);
                commands.push(wire_command(request));
            }
            self.now_ns += 1_000;
            let outcome = match (fate, reply) {
                (Fate::Answered, Some(reply)) => notices::answered(request, self.outcome(&reply)),
                (Fate::NotDone, _) => Outcome::NotDone { reason: "NO_LEADER".into() },
                _ => Outcome::Unknown { why: "deadline".into() },
            };
            let accepted = matches!(outcome, Outcome::Written(_));
            self.records.push(Record::Return(Return { op, at_ns: self.now_ns, outcome }));
            self.keep_books(self.now_ns, request, |nth| ProviderStep::NoticeAnswered { nth, op, accepted });
        }
        self.enter(admin::ExportLogResponse { term: self.term, proposed_at_ms, commands, ..Default::default() });
        if !events.is_empty() {
            let entry = admin::LedgerEntry { log_index, term: self.term, ledger_time_ms: self.ledger.now_ms, events };
            self.events.push(admin::WatchLedgerResponse {
                next_index: log_index + 1,
                entry: Some(entry),
                ..Default::default()
            });
        }
        self.now_ns += 5 * MS;
    }

    fn outcome(&self, reply: &Reply) -> Outcome {
        let receipt = Receipt { place: reply.place, replayed: reply.replayed, term: self.term };
        let answer = match &reply.answer {
            Answer::SeriesOpened => WriteAnswer::SeriesOpened,
            Answer::Placed { amount_idr, expires_at_ms } => {
                WriteAnswer::Placed { amount_idr: *amount_idr, expires_at_ms: *expires_at_ms }
            }
            Answer::Recorded { outcome, serials } => {
                let seen = |(series, first_number, quantity)| {
                    let codes = self.codes.fold(series, first_number, quantity);
                    SerialsSeen { series, first_number, quantity, codes }
                };
                WriteAnswer::Recorded { outcome: *outcome, serials: serials.map(seen) }
            }
            Answer::Cancelled => WriteAnswer::Cancelled,
            Answer::Voided { refund_idr } => WriteAnswer::Voided { refund_idr: *refund_idr },
            Answer::Stamped { series, number } => {
                let code = self.codes.code(*series, *number).into();
                WriteAnswer::Stamped { series: *series, number: *number, code }
            }
            Answer::RefundSettled => WriteAnswer::RefundSettled,
            Answer::PolicySet => WriteAnswer::PolicySet,
            Answer::Expired { .. } => unreachable!("no client asks for it"),
            Answer::Refused { reason, differs } => {
                let field = differs.first().cloned().unwrap_or_default();
                return Outcome::Refused { reason: reason.clone(), field, place: Some(reply.place), term: self.term };
            }
        };
        Outcome::Written(Written { receipt, answer })
    }

    /// Returns the node that is down.
    fn kill(&mut self) -> u16 {
        let node = self.leader;
        let fault = u32::try_from(self.term).unwrap();
        let event = |at_ns, stage, term| {
            Record::Fault(FaultEvent { at_ns, fault, stage, kind: "kill-leader".into(), node, role: NodeRole::Leader, term })
        };
        self.records.push(event(self.now_ns, FaultStage::Injected, self.term));
        self.process(node, ProcessStep::Exited { code: None, signal: Some(9) });
        self.records.push(event(self.now_ns + MS, FaultStage::Effective, self.term));
        self.now_ns += 300 * MS;
        self.leader = node % 3 + 1;
        self.term += 1;
        self.enter(admin::ExportLogResponse { term: self.term, ..Default::default() });
        self.records.push(event(self.now_ns, FaultStage::Healed, self.term));
        node
    }

    fn restart(&mut self, node: u16) {
        self.process(node, ProcessStep::Started { pid: 9 });
        self.process(node, ProcessStep::Ready);
    }

    fn sample(&mut self) {
        let index = self.index();
        for node in NODES {
            let role = if node == self.leader { NodeRole::Leader } else { NodeRole::Follower };
            self.records.push(Record::Status(Box::new(StatusSample {
                at_ns: self.now_ns,
                node,
                role,
                term: self.term,
                voted_for: self.leader.into(),
                leader: self.leader.into(),
                last_log_index: index,
                committed_index: index,
                applied_index: index,
                snapshot_index: 0,
                purged_index: 0,
                digest: digest(index).into(),
                totals: Some(self.ledger.totals),
                member: MemberId(node.into()),
            })));
        }
    }

    fn end(&mut self) {
        self.mark(Phase::Heal);
        let mut fresh = self.buyer(u32::MAX);
        fresh.amount_idr = 10_000;
        let (_, request) = self.wish(&fresh).unwrap();
        self.round(&[(0, Purpose::FreshWrite, request, Fate::Answered)]);
        for phase in [Phase::Ask, Phase::Drain] {
            self.mark(phase);
        }
        self.sample();
        self.mark(Phase::Scan);
        self.mark(Phase::End);
        self.log.append(&mut self.overlap);
    }

    fn finish(self, seed: u64) -> Run {
        let scan: Vec<_> = self.scan().collect();
        let scans = NODES.into_iter().map(|node| (node, with_node(scan.clone(), node))).collect();
        Run { facts: facts(seed), records: self.records, log: self.log, scans, events: self.events }
    }

    fn finish_files(mut self, seed: u64) -> RunFolder {
        let mut files = self.files.take().expect("made with them");
        files.take(&mut self.records, &mut self.log, &mut self.events);
        files.scan(&NODES, self.scan());
        files.finish(&facts(seed))
    }
}

fn facts(seed: u64) -> RunFacts {
    RunFacts {
        schema: 1,
        scenario: "synthetic".into(),
        seed,
        nodes: NODES.to_vec(),
        serial_key: blake3::Hash::from_bytes(KEY).to_hex().to_string(),
        bounds: Bounds { first_success_ms: 1_000, p99_recovery_ms: 1_500, ..Bounds::default() },
        required_faults: vec![RequiredFault {
            kind: "kill-leader".into(),
            at_least: 2,
            role: "leader".into(),
            ..RequiredFault::default()
        }],
        provoked: Vec::new(),
        payments_shed: BTreeMap::new(),
        problems: Vec::new(),
        started_at_ms: 1_700_000_000_000,
        exit: None,
        command: String::new(),
        versions: BTreeMap::new(),
        plan: serde_json::Value::Null,
    }
}

impl Run {
    pub fn write(&self, root: &Path) -> RunFolder {
        let mut files = Files::create(root);
        files.take(&mut self.records.clone(), &mut self.log.clone(), &mut self.events.clone());
        let folder = files.finish(&self.facts);
        for (node, items) in &self.scans {
            files::write_all(&folder.scan(*node), items);
        }
        folder
    }
}

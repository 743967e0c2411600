//! What the clients were told, and what follows from it.
//!
//! A call that got no answer is *unknown*: it may have happened, or happen yet, and nothing is concluded from it. Everything
//! else is a promise: an acknowledged command is there, on every replica, for ever; the same command again gets the same
//! answer; a refused one, or one that was not done, had no effect; a serial belongs to one order over every sighting.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use stampede::domain::{
    Command, DocumentDigest, LedgerView, MemoryLedger, Order, OrderId, OrderState, Outcome, Payment, PaymentName,
    PaymentOutcome, Place, Reply, SerialRange, SeriesCode, StampNumber,
};

use crate::world::World;

/// How a call ended, for its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Replied(Reply),
    /// It said that nothing happened and nothing will.
    NotDone,
    Unknown,
}

/// What a command is known by: the same body again is the same request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Id {
    Series(SeriesCode),
    Order(OrderId),
    Payment(PaymentName),
    Cancel(OrderId),
    Void(OrderId),
    Stamp(OrderId, DocumentDigest),
    Settle(PaymentName),
    Policy(u32),
}

impl Id {
    /// None: not a client's command.
    fn of(command: &Command) -> Option<Self> {
        match command {
            Command::OpenSeries(terms) => Some(Self::Series(terms.code())),
            Command::PlaceOrder { order, .. } => Some(Self::Order(*order)),
            Command::RecordPayment { payment, .. } => Some(Self::Payment(payment.clone())),
            Command::CancelOrder { order } => Some(Self::Cancel(*order)),
            Command::VoidOrder { order } => Some(Self::Void(*order)),
            Command::StampDocument { order, document } => Some(Self::Stamp(*order, *document)),
            Command::SettleRefund { payment, .. } => Some(Self::Settle(payment.clone())),
            Command::SetPolicy(terms) => Some(Self::Policy(terms.version())),
            Command::ExpireOrders { .. } => None,
        }
    }
}

/// All attempts of one id.
#[derive(Debug, Default)]
struct Attempts {
    /// Bodies that may have taken effect: acknowledged, or unknown, or still under way.
    possible: Vec<Command>,
    /// The body that was acknowledged, its place and what was said.
    acknowledged: Option<(Command, Place, Outcome)>,
    refused: Vec<(Command, Place)>,
    in_flight: usize,
}

#[derive(Default)]
struct State {
    attempts: BTreeMap<Id, Attempts>,
    /// Every sighting of a serial, in any answer.
    holders: BTreeMap<(SeriesCode, u64), OrderId>,
    /// Every document that a stamp was told to be on.
    documents: BTreeMap<(SeriesCode, StampNumber), DocumentDigest>,
    /// Orders whose payment was answered with serials, and where.
    issued: BTreeMap<OrderId, Place>,
    /// The highest place of any answer so far.
    latest: Option<Place>,
    /// The highest index that a linearizable read was good for.
    read_index: u64,
}

/// Taken when a call is made: what it must at least see.
#[derive(Debug, Clone, Copy)]
pub struct Floor {
    latest: Option<Place>,
    read_index: u64,
}

/// Cheap to clone: clones share what was told.
#[derive(Clone)]
pub struct Oracle {
    world: World,
    state: Arc<Mutex<State>>,
}

impl Oracle {
    pub fn new(world: World) -> Self {
        Self { world, state: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("one thread: nobody panicked while holding it")
    }

    /// To be called before a call is made.
    pub fn invoke(&self, commands: &[Command]) -> Floor {
        let mut state = self.lock();
        for command in commands {
            if let Some(id) = Id::of(command) {
                state.attempts.entry(id).or_default().in_flight += 1;
            }
        }
        Floor { latest: state.latest, read_index: state.read_index }
    }

    /// To be called when the caller knows how its call ended.
    pub fn answered(&self, floor: Floor, command: &Command, answer: &Answer) {
        let Some(id) = Id::of(command) else { return };
        let mut found = Vec::new();
        let mut state = self.lock();
        let latest = state.latest;
        let attempts = state.attempts.get_mut(&id).expect("invoked before");
        attempts.in_flight -= 1;
        match answer {
            Answer::NotDone => {}
            Answer::Unknown => attempts.remember(command),
            Answer::Replied(reply) => {
                found.extend(attempts.replied(command, reply));
                // A fresh execution comes after everything that was answered before it was asked for.
                if !reply.replayed && floor.latest.is_some_and(|floor| reply.place <= floor) {
                    found.push(("OutOfOrder", format!("{command:?} is at {}, floor {:?}", reply.place, floor.latest)));
                }
                state.latest = latest.max(Some(reply.place));
                if let Outcome::PaymentRecorded(PaymentOutcome::Applied(range)) = &reply.outcome
                    && let Command::RecordPayment { order, .. } = command
                {
                    state.issued.insert(*order, reply.place);
                    found.extend(state.sighted(*order, *range));
                }
                if let Outcome::DocumentStamped { series, number } = reply.outcome
                    && let Command::StampDocument { order, document } = command
                {
                    found.extend(state.stamped(*order, series, number, *document));
                }
            }
        }
        drop(state);
        self.report(found);
    }

    /// A linearizable read of an order, good for `index`.
    pub fn read(&self, floor: Floor, index: u64, id: OrderId, order: Option<&Order>) {
        let mut found = Vec::new();
        let mut state = self.lock();
        let least = floor.read_index.max(floor.latest.map_or(0, |place| place.log_index));
        if index < least {
            found.push(("StaleRead", format!("a read of {id} is good for {index}, not for {least}")));
        }
        state.read_index = state.read_index.max(index);
        // Whatever was answered with a place up to `index` must show.
        let shows = |place: &Place| place.log_index <= index;
        let done =
            |id: &Id| state.attempts.get(id).and_then(|attempts| attempts.acknowledged.as_ref()).map(|(_, place, _)| place);
        let state_seen = order.map(|order| &order.state);
        let must = [
            ("placed", done(&Id::Order(id)), state_seen.is_some()),
            ("cancelled", done(&Id::Cancel(id)), matches!(state_seen, Some(OrderState::Cancelled { .. }))),
            ("voided", done(&Id::Void(id)), matches!(state_seen, Some(OrderState::Voided { .. }))),
            ("issued", state.issued.get(&id), order.is_some_and(|order| order.issue().is_some())),
        ];
        for (what, place, is_seen) in must {
            if place.is_some_and(shows) && !is_seen {
                found
                    .push(("StaleRead", format!("order {id} was {what} at {place:?}, a read of {index} shows {state_seen:?}")));
            }
        }
        if let Some(range) = order.and_then(Order::serials) {
            found.extend(state.sighted(id, range));
        }
        drop(state);
        self.report(found);
    }

    /// A replica's whole ledger, once nothing is under way any more.
    pub fn final_scan(&self, node_id: u64, ledger: &MemoryLedger) {
        let mut found = Vec::new();
        let mut state = self.lock();
        for order in ledger.all_orders() {
            if let Some(range) = order.serials() {
                found.extend(state.sighted(order.id, range));
            }
            if !state.could_be(&Id::Order(order.id), |body| is_body_of_order(body, order)) {
                found.push(("PhantomOrder", format!("n{node_id}: nobody can have placed {order:?}")));
            }
            if matches!(order.state, OrderState::Cancelled { .. }) && !state.could_be(&Id::Cancel(order.id), |_| true) {
                found.push(("PhantomCancel", format!("n{node_id}: nobody can have cancelled {order:?}")));
            }
        }
        for payment in ledger.all_payments() {
            if !state.could_be(&Id::Payment(payment.name.clone()), |body| is_body_of_payment(body, payment)) {
                found.push(("PhantomPayment", format!("n{node_id}: nobody can have sent {payment:?}")));
            }
        }
        found.extend(state.phantoms_after_issue(node_id, ledger));
        for (id, attempts) in &state.attempts {
            if let Some((command, place, outcome)) = &attempts.acknowledged
                && let Err(why) = is_kept(ledger, command, *place, outcome)
            {
                found.push(("AcknowledgedLost", format!("n{node_id}: {id:?} at {place} was acknowledged: {why}")));
            }
        }
        drop(state);
        self.report(found);
    }

    /// Commands that were acknowledged, and ids of which it is not known whether they happened.
    pub fn tally(&self) -> (usize, usize) {
        let state = self.lock();
        let acknowledged = state.attempts.values().filter(|attempts| attempts.acknowledged.is_some()).count();
        let unknown =
            state.attempts.values().filter(|attempts| attempts.acknowledged.is_none() && !attempts.possible.is_empty());
        (acknowledged, unknown.count())
    }

    /// Calls that nobody knows the end of yet.
    pub fn in_flight(&self) -> usize {
        self.lock().attempts.values().map(|attempts| attempts.in_flight).sum()
    }

    /// One body of each id that may have happened: asked again, it becomes known.
    pub fn unknowns(&self) -> Vec<Command> {
        let state = self.lock();
        let unknown = state.attempts.values().filter(|attempts| attempts.acknowledged.is_none());
        unknown.flat_map(|attempts| attempts.possible.first().cloned()).collect()
    }

    fn report(&self, found: Vec<Found>) {
        for (name, detail) in found {
            self.world.violate(name, detail);
        }
    }
}

type Found = (&'static str, String);

impl Attempts {
    fn remember(&mut self, command: &Command) {
        if !self.possible.contains(command) {
            self.possible.push(command.clone());
        }
    }

    fn replied(&mut self, command: &Command, reply: &Reply) -> Option<Found> {
        if let Outcome::Refused(refusal) = reply.outcome {
            self.refused.push((command.clone(), reply.place));
            let (body, place, _) = self.acknowledged.as_ref()?;
            // A refusal before the execution was right at its time, whichever answer arrived first.
            return (body == command && *place < reply.place).then(|| {
                ("AnswerChanged", format!("{command:?} was done at {place}, refused at {}: {refusal:?}", reply.place))
            });
        }
        self.remember(command);
        match &self.acknowledged {
            None => {
                self.acknowledged = Some((command.clone(), reply.place, reply.outcome.clone()));
                let refused = self.refused.iter().find(|(body, place)| body == command && *place > reply.place)?;
                Some(("AnswerChanged", format!("{command:?} was done at {}, refused at {}", reply.place, refused.1)))
            }
            Some((body, ..)) if body != command => {
                Some(("IdReusedAccepted", format!("{command:?} was accepted, and so was {body:?}")))
            }
            Some((_, place, outcome)) if (*place, outcome) != (reply.place, &reply.outcome) => {
                Some(("AnswerChanged", format!("{command:?} was answered {outcome:?} at {place}, then {reply:?}")))
            }
            Some(_) => None,
        }
    }
}

impl State {
    fn sighted(&mut self, order: OrderId, range: SerialRange) -> Option<Found> {
        for number in range.numbers() {
            let holder = *self.holders.entry((range.series, number)).or_insert(order);
            if holder != order {
                let detail = format!("{} {number} belongs to order {holder} and to order {order}", range.series);
                return Some(("DuplicateSerial", detail));
            }
        }
        None
    }

    /// A stamp is one of its order's, and on one document.
    fn stamped(&mut self, order: OrderId, series: SeriesCode, number: StampNumber, document: DocumentDigest) -> Vec<Found> {
        let first = *self.documents.entry((series, number)).or_insert(document);
        let holder = *self.holders.entry((series, number.get())).or_insert(order);
        let mut found = Vec::new();
        if first != document {
            found.push(("StampUsedTwice", format!("{series} {} is on {first} and on {document}", number.get())));
        }
        if holder != order {
            let detail = format!("{series} {} of order {holder} was put on a document of order {order}", number.get());
            found.push(("DuplicateSerial", detail));
        }
        found
    }

    /// What is in the ledger after an issue, and nobody can have asked for.
    fn phantoms_after_issue(&mut self, node_id: u64, ledger: &MemoryLedger) -> Vec<Found> {
        let mut found = Vec::new();
        for order in ledger.all_orders() {
            if matches!(order.state, OrderState::Voided { .. }) && !self.could_be(&Id::Void(order.id), |_| true) {
                found.push(("PhantomVoid", format!("n{node_id}: nobody can have voided {order:?}")));
            }
        }
        for stamping in ledger.all_stampings() {
            if !self.could_be(&Id::Stamp(stamping.order, stamping.document), |_| true) {
                found.push(("PhantomStamp", format!("n{node_id}: nobody can have asked for {stamping:?}")));
            }
            found.extend(self.stamped(stamping.order, stamping.series, stamping.number, stamping.document));
        }
        for refund in ledger.all_refunds() {
            let Some(settled) = &refund.settled else { continue };
            let is_body = |command: &Command| {
                matches!(command, Command::SettleRefund { amount, reference, .. }
                if (*amount, reference) == (refund.amount, &settled.reference))
            };
            if !self.could_be(&Id::Settle(refund.payment.clone()), is_body) {
                found.push(("PhantomSettlement", format!("n{node_id}: nobody can have settled {refund:?}")));
            }
        }
        for policy in ledger.all_policies() {
            let is_body = |command: &Command| matches!(command, Command::SetPolicy(terms) if *terms == policy.terms);
            if !self.could_be(&Id::Policy(policy.terms.version()), is_body) {
                found.push(("PhantomPolicy", format!("n{node_id}: nobody can have set {policy:?}")));
            }
        }
        found
    }

    fn could_be(&self, id: &Id, is_body: impl Fn(&Command) -> bool) -> bool {
        self.attempts.get(id).is_some_and(|attempts| attempts.in_flight > 0 || attempts.possible.iter().any(is_body))
    }
}

fn is_body_of_order(command: &Command, record: &Order) -> bool {
    matches!(command, Command::PlaceOrder { order, account, series, quantity }
        if (order, account, series, quantity) == (&record.id, &record.account, &record.series, &record.quantity))
}

fn is_body_of_payment(command: &Command, record: &Payment) -> bool {
    matches!(command, Command::RecordPayment { payment, order, amount }
        if (payment, order, amount) == (&record.name, &record.order, &record.amount))
}

/// The ledger holds what was acknowledged.
fn is_kept(ledger: &MemoryLedger, command: &Command, place: Place, outcome: &Outcome) -> Result<(), String> {
    let Ok(kept) = match command {
        Command::OpenSeries(terms) => {
            ledger.series(terms.code()).map(|series| series.is_some_and(|series| series.opened == place))
        }
        Command::PlaceOrder { order, .. } => ledger
            .order(*order)
            .map(|order| order.is_some_and(|order| order.placed == place && is_body_of_order(command, &order))),
        Command::RecordPayment { payment, .. } => ledger.payment(payment).map(|payment| {
            payment.is_some_and(|payment| {
                payment.recorded == place
                    && is_body_of_payment(command, &payment)
                    && *outcome == Outcome::PaymentRecorded(payment.outcome.clone())
            })
        }),
        Command::CancelOrder { order } => ledger.order(*order).map(|order| {
            order.is_some_and(|order| matches!(order.state, OrderState::Cancelled { place: at, .. } if at == place))
        }),
        Command::VoidOrder { order } => Ok(ledger.peek_order(*order).is_some_and(|order| {
            let OrderState::Voided { issue, place: at, .. } = &order.state else { return false };
            let told = ledger.peek_refund(&issue.paid_by).map(|refund| Outcome::OrderVoided { refund: refund.amount });
            *at == place && told.as_ref() == Some(outcome)
        })),
        Command::StampDocument { order, document } => ledger.stamping(*order, *document).map(|stamping| {
            stamping.is_some_and(|stamping| {
                let told = Outcome::DocumentStamped { series: stamping.series, number: stamping.number };
                stamping.place == place && told == *outcome
            })
        }),
        Command::SettleRefund { payment, amount, reference } => Ok(ledger.peek_refund(payment).is_some_and(|refund| {
            let settled = refund.settled.as_ref().map(|settled| (settled.place, &settled.reference));
            refund.amount == *amount && settled == Some((place, reference))
        })),
        Command::SetPolicy(terms) => ledger
            .policy(terms.version())
            .map(|policy| policy.is_some_and(|policy| policy.terms == *terms && policy.set == place)),
        Command::ExpireOrders { .. } => Ok(true),
    };
    if kept { Ok(()) } else { Err(format!("{command:?} is not in the ledger with {outcome:?}")) }
}

#[cfg(test)]
mod tests {
    use openraft::AsyncRuntime;
    use openraft_rt_sim::SimRuntime;
    use stampede::domain::{AccountId, Change, LedgerTime, Quantity, Refusal, Rupiah, StampNumber};

    use super::*;

    const ORDER: OrderId = OrderId::from_bytes([1; 16]);

    /// The names of the violations that `tell` leads to.
    fn violations(tell: impl FnOnce(&Oracle)) -> Vec<&'static str> {
        let world = World::new(0, false);
        let oracle = Oracle::new(world.clone());
        SimRuntime::with_seed(0).block_on(async { tell(&oracle) });
        world.violations().into_iter().map(|violation| violation.name).collect()
    }

    fn series() -> SeriesCode {
        SeriesCode::new("A24").expect("plain")
    }

    fn place(quantity: u32) -> Command {
        let account = AccountId::new("portal-1").expect("plain");
        Command::PlaceOrder { order: ORDER, account, series: series(), quantity: Quantity::new(quantity).expect("in range") }
    }

    fn pay(order: OrderId) -> Command {
        let payment_id = stampede::domain::PaymentId::new(&format!("p-{order}")).expect("plain");
        let gateway = stampede::domain::Gateway::new("midtrans").expect("plain");
        Command::RecordPayment { payment: PaymentName { gateway, payment_id }, order, amount: Rupiah::from_idr(10_000) }
    }

    fn reply(log_index: u64, outcome: Outcome) -> Answer {
        Answer::Replied(Reply { place: Place { log_index, offset: 0 }, replayed: false, outcome })
    }

    fn placed(log_index: u64) -> Answer {
        reply(log_index, Outcome::OrderPlaced { amount: Rupiah::from_idr(10_000), expires_at: LedgerTime(1) })
    }

    fn issued(log_index: u64, first: u64) -> Answer {
        let quantity = Quantity::new(1).expect("in range");
        let range = SerialRange { series: series(), first: StampNumber::new(first).expect("in range"), quantity };
        reply(log_index, Outcome::PaymentRecorded(PaymentOutcome::Applied(range)))
    }

    fn tell(oracle: &Oracle, command: &Command, answer: &Answer) {
        let floor = oracle.invoke(std::slice::from_ref(command));
        oracle.answered(floor, command, answer);
    }

    fn ledger_with_the_order(log_index: u64) -> MemoryLedger {
        let order = Order {
            id: ORDER,
            account: AccountId::new("portal-1").expect("plain"),
            series: series(),
            quantity: Quantity::new(1).expect("in range"),
            amount: Rupiah::from_idr(10_000),
            placed: Place { log_index, offset: 0 },
            placed_at: LedgerTime(0),
            expires_at: LedgerTime(1),
            state: OrderState::AwaitingPayment,
        };
        MemoryLedger::from_iter([Change::Order(order)])
    }

    #[test]
    fn an_acknowledged_order_that_is_gone_is_found() {
        let found = violations(|oracle| {
            tell(oracle, &place(1), &placed(5));
            oracle.final_scan(1, &MemoryLedger::default());
        });
        assert_eq!(found, ["AcknowledgedLost"]);
    }

    #[test]
    fn an_acknowledged_order_at_another_place_is_found() {
        let found = violations(|oracle| {
            tell(oracle, &place(1), &placed(5));
            oracle.final_scan(1, &ledger_with_the_order(6));
        });
        assert_eq!(found, ["AcknowledgedLost"]);
    }

    #[test]
    fn an_unknown_order_may_be_there_or_not() {
        let found = violations(|oracle| {
            tell(oracle, &place(1), &Answer::Unknown);
            oracle.final_scan(1, &MemoryLedger::default());
            oracle.final_scan(1, &ledger_with_the_order(6));
        });
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_refused_or_undone_order_that_is_there_is_found() {
        for answer in [reply(5, Outcome::Refused(Refusal::StockExhausted)), Answer::NotDone] {
            let found = violations(|oracle| {
                tell(oracle, &place(1), &answer);
                oracle.final_scan(1, &ledger_with_the_order(5));
            });
            assert_eq!(found, ["PhantomOrder"]);
        }
    }

    #[test]
    fn one_serial_told_for_two_orders_is_found() {
        let found = violations(|oracle| {
            tell(oracle, &pay(ORDER), &issued(5, 1));
            tell(oracle, &pay(OrderId::from_bytes([2; 16])), &issued(6, 1));
        });
        assert_eq!(found, ["DuplicateSerial"]);
    }

    #[test]
    fn one_stamp_told_for_two_documents_is_found() {
        let stamp = |document| Command::StampDocument { order: ORDER, document: DocumentDigest::from_bytes([document; 32]) };
        let stamped = |log_index| {
            let number = StampNumber::new(1).expect("in range");
            reply(log_index, Outcome::DocumentStamped { series: series(), number })
        };
        let found = violations(|oracle| {
            tell(oracle, &stamp(1), &stamped(5));
            tell(oracle, &stamp(2), &stamped(6));
        });
        assert_eq!(found, ["StampUsedTwice"]);
    }

    #[test]
    fn a_void_that_nobody_asked_for_is_found() {
        let found = violations(|oracle| {
            tell(oracle, &place(1), &placed(5));
            let mut order = ledger_with_the_order(5).peek_order(ORDER).expect("there").clone();
            let (at, payment_id) = (LedgerTime(1), stampede::domain::PaymentId::new("p-1").expect("plain"));
            let paid_by = PaymentName { gateway: stampede::domain::Gateway::new("midtrans").expect("plain"), payment_id };
            let place = Place { log_index: 6, offset: 0 };
            let issue = stampede::domain::Issue { first: StampNumber::new(1).expect("in range"), paid_by, place, at };
            order.state = OrderState::Voided { issue, place: Place { log_index: 7, offset: 0 }, at };
            oracle.final_scan(1, &MemoryLedger::from_iter([Change::Order(order)]));
        });
        assert_eq!(found, ["PhantomVoid"]);
    }

    #[test]
    fn another_answer_to_the_same_request_is_found() {
        let changed = violations(|oracle| {
            tell(oracle, &place(1), &placed(5));
            tell(oracle, &place(1), &placed(6));
        });
        assert_eq!(changed, ["AnswerChanged"]);
        let refused = violations(|oracle| {
            tell(oracle, &place(1), &placed(5));
            tell(oracle, &place(1), &reply(6, Outcome::Refused(Refusal::StockExhausted)));
        });
        assert_eq!(refused, ["AnswerChanged"]);
    }

    #[test]
    fn two_bodies_accepted_under_one_id_are_found() {
        let found = violations(|oracle| {
            tell(oracle, &place(1), &placed(5));
            tell(oracle, &place(2), &placed(6));
        });
        assert_eq!(found, ["IdReusedAccepted"]);
    }

    #[test]
    fn an_execution_before_what_was_answered_already_is_found() {
        let found = violations(|oracle| {
            tell(oracle, &pay(ORDER), &issued(9, 1));
            tell(oracle, &place(1), &placed(5));
        });
        assert_eq!(found, ["OutOfOrder"]);
    }

    #[test]
    fn a_read_that_misses_what_was_answered_is_found() {
        let found = violations(|oracle| {
            tell(oracle, &place(1), &placed(5));
            let floor = oracle.invoke(&[]);
            oracle.read(floor, 4, ORDER, None);
            oracle.read(floor, 5, ORDER, None);
        });
        assert_eq!(found, ["StaleRead", "StaleRead"]);
    }
}

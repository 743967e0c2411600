//! The buyers of the rush and their payment provider: they order, pay (twice, late, too little, again), cancel, give up, stamp
//! documents, void what they bought, ask for their order, try the same id at another node after a time-out, and sometimes use an id
//! for something else. What is owed back is paid back now and then.
//!
//! Every call goes through the oracle. A call whose node dies under it is unknown, whatever it might still have said.

use std::sync::Arc;
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use rand::RngExt;
use stampede::consensus::{Consistency, RetryReason, SubmitError};
use stampede::domain::series::SeriesTerms;
use stampede::domain::{
    AccountId, Command, DocumentDigest, Gateway, LedgerView, OrderId, Outcome, PaymentId, PaymentName, PaymentOutcome,
    PolicyTerms, Quantity, Refusal, Reply, Rupiah, SeriesCode, SettlementReference, StampNumber,
};

use crate::cluster::Cluster;
use crate::oracle::{Answer, Oracle};
use crate::world::{Dice, World, elapsed, sleep, trace};

/// Rupiah; the law's.
const FACE_VALUE_IDR: u64 = 10_000;
const AMPLE_CAPACITY: u64 = 1_000_000;
/// How often a buyer tries one request before leaving it unknown.
const TRIES_MAX: u32 = 5;
/// Between two tries, microseconds.
const TRY_AGAIN_AFTER: (u64, u64) = (1_000, 120_000);
/// How long a buyer waits for one answer, microseconds.
const PATIENCE: (u64, u64) = (60_000, 1_200_000);
/// Between a buyer and a node, microseconds.
const ACCESS_DELAY: (u64, u64) = (50, 500);
/// Between two deliveries of one payment notice, microseconds.
const NOTICE_DELAY: (u64, u64) = (500, 700_000);
/// After the payment window, until a late payment: by then the leader has had the order expire, as a rule.
const LATE: Duration = Duration::from_millis(700);

/// Cheap to clone: clones share everything.
#[derive(Clone)]
pub struct Shop {
    cluster: Cluster,
    world: World,
    pub oracle: Oracle,
    series: Arc<[SeriesTerms; 2]>,
}

/// What a buyer does about an order that was placed.
#[derive(Debug, Clone, Copy)]
enum Intent {
    Pay,
    PayTooLittleFirst,
    PayTwice,
    PayLate,
    Cancel,
    CancelAndPay,
    Forget,
    PayAndVoid,
    PayAndStamp,
    /// Void and stamp at once: one of them comes first.
    PayAndRace,
}

const INTENTS: [(Intent, u32); 10] = [
    (Intent::Pay, 40),
    (Intent::PayTooLittleFirst, 8),
    (Intent::PayTwice, 8),
    (Intent::PayLate, 6),
    (Intent::Cancel, 6),
    (Intent::CancelAndPay, 6),
    (Intent::Forget, 6),
    (Intent::PayAndVoid, 8),
    (Intent::PayAndStamp, 10),
    (Intent::PayAndRace, 6),
];

impl Shop {
    pub fn new(cluster: Cluster) -> Self {
        let world = cluster.world.clone();
        let terms = |code, capacity| {
            let code = SeriesCode::new(code).expect("three characters of base 32");
            let first_number = StampNumber::new(1).expect("in range");
            let payment_window_ms = u64::try_from(cluster.swarm.payment_window.as_millis()).expect("seconds");
            SeriesTerms::new(code, first_number, capacity, FACE_VALUE_IDR, payment_window_ms, [7; 8]).expect("in range")
        };
        let series = Arc::new([terms("A24", AMPLE_CAPACITY), terms("B24", cluster.swarm.scarce_capacity)]);
        Self { oracle: Oracle::new(world.clone()), cluster, world, series }
    }

    /// # Panics
    /// The healthy cluster does not open its series.
    pub async fn open(&self) {
        for terms in self.series.iter() {
            let mut is_open = false;
            while !is_open && !self.world.is_violated() {
                is_open = self.insist(Command::OpenSeries(terms.clone())).await.is_some();
            }
        }
    }

    /// One buyer after the other, until `until`.
    pub async fn serve(self, until: Duration) {
        while elapsed() < until && !self.world.is_violated() {
            sleep(self.world.micros(Dice::Workload, self.cluster.swarm.think)).await;
            self.buy().await;
        }
    }

    async fn buy(&self) {
        let order = OrderId::from_bytes(self.world.draw(Dice::Workload, |rng| rng.random()));
        let series = self.series[usize::from(self.one_in(5))].code();
        let quantity = self.world.draw(Dice::Workload, |rng| rng.random_range(1..=5));
        let place = |quantity| Command::PlaceOrder {
            order,
            account: AccountId::new("portal-1").expect("plain"),
            series,
            quantity: Quantity::new(quantity).expect("in range"),
        };
        if self.one_in(20) {
            // Another body under the same id, at the same time: at most one of them may be accepted.
            let shop = self.clone();
            let other = place(quantity + 1);
            SimRuntime::spawn(async move { shop.insist(other).await });
        }
        let placed = self.insist(place(quantity)).await;
        if self.one_in(3) {
            self.read(order).await;
        }
        if self.one_in(10) {
            self.insist(place(quantity)).await;
        }
        if placed.is_some_and(|reply| matches!(reply.outcome, Outcome::Refused(_))) && !self.one_in(8) {
            return;
        }
        // The rest in the background: this client goes on with its next order.
        SimRuntime::spawn(self.clone().settle(order, FACE_VALUE_IDR * u64::from(quantity)));
    }

    async fn settle(self, order: OrderId, due_idr: u64) {
        match self.intent() {
            Intent::Pay => self.notify(order, "p", due_idr).await,
            Intent::PayTooLittleFirst => {
                self.notify(order, "p", due_idr - 1).await;
                self.notify(order, "q", due_idr).await;
            }
            Intent::PayTwice => {
                self.notify(order, "p", due_idr).await;
                self.notify(order, "q", due_idr).await;
            }
            Intent::PayLate => {
                sleep(self.cluster.swarm.payment_window + LATE).await;
                self.notify(order, "p", due_idr).await;
            }
            Intent::Cancel => {
                self.insist(Command::CancelOrder { order }).await;
            }
            Intent::CancelAndPay => {
                let shop = self.clone();
                SimRuntime::spawn(async move { shop.insist(Command::CancelOrder { order }).await });
                self.notify(order, "p", due_idr).await;
            }
            Intent::Forget => {}
            Intent::PayAndVoid => {
                self.notify(order, "p", due_idr).await;
                self.void(order).await;
            }
            Intent::PayAndStamp => {
                self.notify(order, "p", due_idr).await;
                self.stamp(order).await;
            }
            Intent::PayAndRace => {
                self.notify(order, "p", due_idr).await;
                let shop = self.clone();
                SimRuntime::spawn(async move { shop.void(order).await });
                self.stamp(order).await;
            }
        }
        if self.one_in(2) {
            self.read(order).await;
        }
    }

    /// The provider reports a payment, more than once, each time on its own.
    async fn notify(&self, order: OrderId, which: &str, amount_idr: u64) {
        let payment = payment_of(order, which);
        let notice = |amount_idr| Command::RecordPayment {
            payment: payment.clone(),
            order,
            amount: Rupiah::payment(i64::try_from(amount_idr).expect("small")).expect("in range"),
        };
        if self.one_in(25) {
            let shop = self.clone();
            let other = notice(amount_idr + FACE_VALUE_IDR);
            SimRuntime::spawn(async move { shop.insist(other).await });
        }
        let repeats = self.world.draw(Dice::Workload, |rng| rng.random_range(0..3));
        for _ in 0..repeats {
            let (shop, again) = (self.clone(), notice(amount_idr));
            SimRuntime::spawn(async move {
                sleep(shop.world.micros(Dice::Workload, NOTICE_DELAY)).await;
                shop.insist(again).await
            });
        }
        let reply = self.insist(notice(amount_idr)).await;
        let outcome = reply.map(|reply| reply.outcome);
        if matches!(&outcome, Some(Outcome::PaymentRecorded(outcome)) if !matches!(outcome, PaymentOutcome::Applied(_))) {
            self.pay_back(payment, amount_idr).await;
        }
    }

    async fn void(&self, order: OrderId) {
        if self.one_in(12) {
            self.change_policy().await;
        }
        let reply = self.insist(Command::VoidOrder { order }).await;
        if let Some(Reply { outcome: Outcome::OrderVoided { refund }, .. }) = reply {
            self.pay_back(payment_of(order, "p"), refund.as_idr()).await;
        }
    }

    /// A document or two, and one of them again.
    async fn stamp(&self, order: OrderId) {
        let documents = self.world.draw(Dice::Workload, |rng| rng.random_range(1..=6));
        for number in 0..documents {
            let document = DocumentDigest::from_bytes([number; 32]);
            self.insist(Command::StampDocument { order, document }).await;
        }
        if self.one_in(2) {
            self.insist(Command::StampDocument { order, document: DocumentDigest::from_bytes([0; 32]) }).await;
        }
    }

    /// Every second refund is paid out; now and then two clerks do it at once, or one is wrong about the amount.
    async fn pay_back(&self, payment: PaymentName, amount_idr: u64) {
        if self.one_in(2) {
            return;
        }
        let settle = |reference: &str, amount_idr| Command::SettleRefund {
            payment: payment.clone(),
            amount: Rupiah::from_idr(amount_idr),
            reference: SettlementReference::new(reference).expect("plain"),
        };
        if self.one_in(8) {
            let (shop, other) = (self.clone(), settle("t2", amount_idr));
            SimRuntime::spawn(async move { shop.insist(other).await });
        }
        if self.one_in(8) {
            self.insist(settle("t1", amount_idr + 1)).await;
        }
        self.insist(settle("t1", amount_idr)).await;
    }

    async fn change_policy(&self) {
        let (version, percent) = self.world.draw(Dice::Workload, |rng| (rng.random_range(1..=3), rng.random_range(1..=100)));
        let terms = PolicyTerms::new(version, percent, 2_000).expect("in range");
        self.insist(Command::SetPolicy(terms)).await;
    }

    /// The same request at one node after the other until one answers, or patience ends.
    pub async fn insist(&self, command: Command) -> Option<Reply> {
        for _ in 0..TRIES_MAX {
            let node_id = self.a_member();
            let patience = self.world.micros(Dice::Workload, PATIENCE);
            let answers = self.call(node_id, vec![command.clone()], patience).await;
            if let [Answer::Replied(reply)] = answers.as_slice() {
                return Some(reply.clone());
            }
            sleep(self.world.micros(Dice::Workload, TRY_AGAIN_AFTER)).await;
        }
        None
    }

    /// One call at one node; `answers[i]` is for `commands[i]`.
    pub async fn call(&self, node_id: u64, commands: Vec<Command>, within: Duration) -> Vec<Answer> {
        let floor = self.oracle.invoke(&commands);
        let answers = self.submit(node_id, &commands, within).await;
        for (command, answer) in commands.iter().zip(&answers) {
            trace!(self.world, "client {command:?} at n{node_id}: {answer:?}");
            self.world.count(match answer {
                Answer::Replied(Reply { outcome: Outcome::Refused(_), .. }) => "calls refused",
                Answer::Replied(Reply { replayed: true, .. }) => "calls replayed",
                Answer::Replied(_) => "calls done",
                Answer::NotDone => "calls not done",
                Answer::Unknown => "calls unknown",
            });
            self.count_done(answer);
            self.oracle.answered(floor, command, answer);
        }
        answers
    }

    /// What happens after an issue, and what it must be refused for: all of it must have been met.
    fn count_done(&self, answer: &Answer) {
        let Answer::Replied(Reply { outcome, replayed: false, .. }) = answer else { return };
        self.world.count(match outcome {
            Outcome::OrderVoided { .. } => "orders voided",
            Outcome::DocumentStamped { .. } => "documents stamped",
            Outcome::RefundSettled => "refunds settled",
            Outcome::PolicySet => "policies set",
            Outcome::Refused(Refusal::OrderStamped) => "voids refused for a stamp",
            Outcome::Refused(Refusal::OrderVoided) => "stamps refused for a void",
            Outcome::Refused(Refusal::OrderExhausted) => "stamps refused for want of more",
            Outcome::Refused(Refusal::VoidWindowClosed) => "voids refused for their time",
            Outcome::Refused(Refusal::RefundReused { .. }) => "refunds settled otherwise",
            _ => return,
        });
    }

    async fn submit(&self, node_id: u64, commands: &[Command], within: Duration) -> Vec<Answer> {
        let all = |answer| vec![answer; commands.len()];
        sleep(self.world.micros(Dice::Workload, ACCESS_DELAY)).await;
        let Some((node, life)) = self.cluster.node(node_id) else { return all(Answer::NotDone) };
        let submitted = node.submit(commands.to_vec(), within).await;
        sleep(self.world.micros(Dice::Workload, ACCESS_DELAY)).await;
        if !self.cluster.lives(node_id, life) {
            return all(Answer::Unknown);
        }
        match submitted {
            Ok(submitted) => {
                if submitted.replies.len() != commands.len() {
                    self.world.violate("RepliesMissing", format!("{} replies to {commands:?}", submitted.replies.len()));
                }
                submitted.replies.into_iter().map(Answer::Replied).collect()
            }
            Err(SubmitError::Retry { reason, .. }) => {
                if reason == RetryReason::DiskLow {
                    self.refused_for_room(commands);
                }
                all(Answer::NotDone)
            }
            Err(SubmitError::Unknown { .. } | SubmitError::Stopped(_)) => all(Answer::Unknown),
        }
    }

    /// Only what is new may be refused for want of room, and nothing that comes with money.
    fn refused_for_room(&self, commands: &[Command]) {
        self.world.count("calls refused for want of room");
        let places = commands.iter().any(|command| matches!(command, Command::PlaceOrder { .. }));
        let pays = commands.iter().any(|command| matches!(command, Command::RecordPayment { .. }));
        if !places || pays {
            self.world.violate("WrongCallRefusedForRoom", format!("{commands:?}"));
        }
    }

    async fn read(&self, order: OrderId) {
        let node_id = self.a_member();
        let patience = self.world.micros(Dice::Workload, PATIENCE);
        sleep(self.world.micros(Dice::Workload, ACCESS_DELAY)).await;
        let Some((node, life)) = self.cluster.node(node_id) else { return };
        let floor = self.oracle.invoke(&[]);
        let Ok(read) = node.read(Consistency::Linearizable, patience).await else { return };
        if !self.cluster.lives(node_id, life) {
            return;
        }
        self.world.count("reads");
        trace!(self.world, "client reads {order} at n{node_id}, good for {}", read.index);
        match read.view.order(order) {
            Ok(found) => self.oracle.read(floor, read.index, order, found.as_ref()),
            Err(error) => self.world.violate("ReadFailed", error.to_string()),
        }
    }

    /// Nobody calls a node that was removed.
    fn a_member(&self) -> u64 {
        let members = self.cluster.members();
        members[self.world.draw(Dice::Workload, |rng| rng.random_range(0..members.len()))]
    }

    fn one_in(&self, n: u32) -> bool {
        self.world.draw(Dice::Workload, |rng| rng.random_range(0..n)) == 0
    }

    fn intent(&self) -> Intent {
        let whole = INTENTS.iter().map(|(_, weight)| weight).sum();
        let mut drawn: u32 = self.world.draw(Dice::Workload, |rng| rng.random_range(0..whole));
        for (intent, weight) in INTENTS {
            if drawn < weight {
                return intent;
            }
            drawn -= weight;
        }
        Intent::Forget
    }
}

fn payment_of(order: OrderId, which: &str) -> PaymentName {
    PaymentName {
        gateway: Gateway::new("midtrans").expect("plain"),
        payment_id: PaymentId::new(&format!("{which}-{order}")).expect("plain"),
    }
}

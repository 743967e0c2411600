//! Random commands: the invariants hold after each, a retry gets its answer, batches are no different from single commands.

use crate::support::*;
use proptest::prelude::*;
use stampede::domain::invariants::{
    order_moved_along_arrows, payment_never_changed, refund_only_settled, stamping_never_changed, violations,
};
use stampede::domain::{
    Change, Command, LedgerTime, LedgerView, MemoryLedger, Outcome, Overlay, Place, Reply, apply, clamp_time,
};

const COMMANDS_MAX: usize = 60;

/// An entry's time and a command over few ids and little stock, so that they collide.
fn entry() -> impl Strategy<Value = (u64, Command)> {
    let series = prop_oneof![Just("A24"), Just("B24")];
    let gateway = prop_oneof![4 => Just("midtrans"), 1 => Just("xendit")];
    let command = prop_oneof![
        1 => (series.clone(), 0..2_u64).prop_map(|(code, first)| open(code, first, 12)),
        6 => (0..8_u8, series, 1..4_u32).prop_map(|(order, code, stamps)| place(order, "ani", code, stamps)),
        6 => (gateway, 0..12_u8, 0..8_u8, 1..4_u64).prop_map(|(gateway, payment, order, stamps)|
            pay_through(gateway, &format!("p{payment}"), order, stamps * FACE_VALUE_IDR)),
        2 => (0..9_u8).prop_map(cancel),
        3 => (0..9_u8).prop_map(void),
        3 => (0..9_u8, 0..5_u8).prop_map(|(order, document)| stamp_document(order, document)),
        3 => (0..12_u8, 1..5_u64).prop_map(|(payment, quarters)|
            settle(&format!("p{payment}"), quarters * FACE_VALUE_IDR / 4 * 3, "t1")),
        2 => (0..12_u8, 1..4_u64).prop_map(|(payment, stamps)| settle(&format!("p{payment}"), stamps * FACE_VALUE_IDR, "t2")),
        1 => (1..4_u32, 1..3_u32).prop_map(|(version, halves)| set_policy(version, halves * 50, 2_000)),
        2 => (0..4_u32).prop_map(expire),
    ];
    (0..4 * PAYMENT_WINDOW_MS, command)
}

fn history() -> impl Strategy<Value = Vec<(u64, Command)>> {
    prop::collection::vec(entry(), 1..COMMANDS_MAX).prop_map(|mut entries| {
        entries.insert(0, (0, open("A24", 0, 12)));
        entries
    })
}

/// The entries in batches, as storage applies them: an overlay for each batch, whose edits are taken after each entry.
fn play_in_batches(entries: &[(u64, Command)], batch_sizes: &[usize]) -> (MemoryLedger, Vec<Reply>) {
    let mut ledger = MemoryLedger::default();
    let mut replies = Vec::new();
    let mut rest = (1_u64..).zip(entries).collect::<Vec<_>>();
    for size in batch_sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let later = rest.split_off((*size).min(rest.len()));
        let mut batch = Overlay::new(&ledger);
        let mut edits = Vec::new();
        for (log_index, (at, command)) in rest {
            let Ok((now, clock)) = clamp_time(&batch, LedgerTime(*at));
            let Ok(()) = clock.map_or(Ok(()), |clock| batch.absorb(clock));
            let Ok(decision) = apply(&batch, Place { log_index, offset: 0 }, now, command);
            let Ok(()) = decision.changes.into_iter().try_for_each(|change| batch.absorb(change));
            replies.push(decision.reply);
            edits.extend(batch.take_edits());
        }
        edits.into_iter().for_each(|edit| ledger.absorb(edit.after));
        rest = later;
    }
    (ledger, replies)
}

fn play_one_by_one(entries: &[(u64, Command)]) -> (MemoryLedger, Vec<Reply>) {
    let mut ledger = MemoryLedger::default();
    let replies = (1..).zip(entries).map(|(index, (at, command))| execute(&mut ledger, index, *at, command)).collect();
    (ledger, replies)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_after_every_command(entries in history()) {
        let mut ledger = MemoryLedger::default();
        for (log_index, (at, command)) in (1..).zip(&entries) {
            let before = ledger.clone();
            let time_before = ledger_time(&ledger);
            execute(&mut ledger, log_index, *at, command);
            prop_assert_eq!(violations(&ledger), []);
            prop_assert!(time_before <= ledger_time(&ledger));
            for id in before.all_orders().chain(ledger.all_orders()).map(|order| order.id) {
                prop_assert_eq!(order_moved_along_arrows(before.peek_order(id), ledger.peek_order(id)), Ok(()));
            }
            for payment in before.all_payments() {
                prop_assert_eq!(payment_never_changed(Some(payment), ledger.peek_payment(&payment.name)), Ok(()));
            }
            for refund in before.all_refunds() {
                prop_assert_eq!(refund_only_settled(Some(refund), ledger.peek_refund(&refund.payment)), Ok(()));
            }
            for stamping in before.all_stampings() {
                let Ok(after) = ledger.stamping(stamping.order, stamping.document);
                prop_assert_eq!(stamping_never_changed(Some(stamping), after.as_ref()), Ok(()));
            }
        }
    }

    /// G4, from the outside: every accepted payment is received money, and either its stamps or it itself is accounted for.
    #[test]
    fn money_adds_up_from_the_answers_alone(entries in history()) {
        let (ledger, replies) = play_one_by_one(&entries);
        let (mut received, mut issued, mut held, mut due, mut refunded) = (0, 0, 0, 0, 0);
        for ((_, command), reply) in entries.iter().zip(&replies).filter(|(_, reply)| !reply.replayed) {
            match (command, &reply.outcome) {
                (Command::RecordPayment { amount, .. }, Outcome::PaymentRecorded(outcome)) => {
                    received += amount.as_idr();
                    match outcome {
                        stampede::domain::PaymentOutcome::Applied(serials) =>
                            issued += u64::from(serials.quantity.get()) * FACE_VALUE_IDR,
                        _ => due += amount.as_idr(),
                    }
                }
                (Command::VoidOrder { order }, Outcome::OrderVoided { refund }) => {
                    let value = ledger.peek_order(*order).expect("voided").amount.as_idr();
                    issued -= value;
                    held += value - refund.as_idr();
                    due += refund.as_idr();
                }
                (Command::SettleRefund { amount, .. }, Outcome::RefundSettled) => {
                    due -= amount.as_idr();
                    refunded += amount.as_idr();
                }
                _ => {}
            }
        }
        let Ok(totals) = ledger.totals();
        let kept = [totals.received, totals.issued_value(), totals.held, totals.refund_due(), totals.refunded];
        prop_assert_eq!([received, issued, held, due, refunded], kept.map(stampede::domain::Rupiah::as_idr));
        prop_assert_eq!(received, issued + held + due + refunded);
    }

    /// V5 from the answers alone: whatever raced, no order has serials that were issued and money that goes back for them.
    #[test]
    fn an_order_is_issued_or_refunded_never_both(entries in history()) {
        let (ledger, replies) = play_one_by_one(&entries);
        for (entry, reply) in entries.iter().zip(&replies) {
            let (Command::RecordPayment { payment, order, .. }, Outcome::PaymentRecorded(outcome)) = (&entry.1, &reply.outcome)
                else { continue };
            let is_applied = matches!(outcome, stampede::domain::PaymentOutcome::Applied(_));
            let is_issued = ledger.peek_order(*order).is_some_and(|order| order.is_issued());
            let is_owed_back = ledger.peek_refund(payment).is_some();
            prop_assert_eq!(is_owed_back, !(is_applied && is_issued), "payment {} of order {}", payment, order);
        }
    }

    /// G5: at any later time, whatever happened since.
    #[test]
    fn a_retry_of_any_effective_command_gets_the_original_answer(entries in history()) {
        let (ledger, replies) = play_one_by_one(&entries);
        for ((at, command), original) in entries.iter().zip(&replies) {
            let effective = !matches!(original.outcome, Outcome::Refused(_) | Outcome::OrdersExpired { .. });
            if !effective {
                continue;
            }
            let mut retried = ledger.clone();
            let reply = execute(&mut retried, 1_000, *at, command);
            prop_assert_eq!(&reply, &Reply { replayed: true, ..original.clone() });
            prop_assert!(retried == ledger, "a retry changed the ledger");
        }
    }

    #[test]
    fn batches_in_overlays_equal_single_commands(entries in history(), sizes in prop::collection::vec(1..9_usize, 1..6)) {
        prop_assert_eq!(play_in_batches(&entries, &sizes), play_one_by_one(&entries));
    }

    /// Every look-up, over every split of the history between the base and the overlay.
    #[test]
    fn an_overlay_answers_as_the_whole_ledger(entries in history(), split in 0..COMMANDS_MAX, limit in 0..6_usize) {
        let (base, later) = entries.split_at(split.min(entries.len()));
        let (base, _) = play_one_by_one(base);
        let mut overlay = Overlay::new(&base);
        let mut whole = base.clone();
        for (log_index, (at, command)) in (100..).zip(later) {
            let Ok((now, clock)) = clamp_time(&whole, LedgerTime(*at));
            let Ok(decision) = apply(&overlay, Place { log_index, offset: 0 }, now, command);
            for change in clock.into_iter().chain(decision.changes) {
                // The clock's change carries the totals from before the command, so it goes first.
                let Ok(()) = overlay.absorb(change.clone());
                whole.absorb(change);
            }
        }
        prop_assert_eq!(overlay.totals(), whole.totals());
        for until in (0..6 * PAYMENT_WINDOW_MS).step_by(250).map(LedgerTime) {
            prop_assert_eq!(overlay.expiring(until, limit), whole.expiring(until, limit));
        }
        for code in ["A24", "B24", "ZZZ"].map(series_code) {
            prop_assert_eq!(overlay.series(code), whole.series(code));
            for number in (0..16).map(stamp) {
                prop_assert_eq!(overlay.holder(code, number), whole.holder(code, number));
                prop_assert_eq!(overlay.document(code, number), whole.document(code, number));
            }
        }
        for order in (0..10).map(order_id) {
            prop_assert_eq!(overlay.order(order), whole.order(order));
            for document in (0..6).map(document) {
                prop_assert_eq!(overlay.stamping(order, document), whole.stamping(order, document));
            }
        }
        for payment in (0..13).map(|number| payment_name(&format!("p{number}"))) {
            prop_assert_eq!(overlay.payment(&payment), whole.payment(&payment));
            prop_assert_eq!(overlay.refund(&payment), whole.refund(&payment));
        }
        for version in 0..5 {
            prop_assert_eq!(overlay.policy(version), whole.policy(version));
        }
        for after in (0..120).map(|log_index| Place { log_index, offset: 0 }).map(Some).chain([None]) {
            prop_assert_eq!(overlay.refunds_due(after, limit), whole.refunds_due(after, limit));
        }
        let edits = overlay.take_edits();
        for edit in &edits {
            let before = match &edit.after {
                Change::Series(series) => base.peek_series(series.code).cloned().map(Change::Series),
                Change::Order(order) => base.peek_order(order.id).cloned().map(Change::Order),
                Change::Payment(payment) => base.peek_payment(&payment.name).cloned().map(Change::Payment),
                Change::Refund(refund) => base.peek_refund(&refund.payment).cloned().map(Change::Refund),
                Change::Stamping(stamping) => {
                    let Ok(before) = base.stamping(stamping.order, stamping.document);
                    before.map(Change::Stamping)
                }
                Change::Policy(policy) => {
                    let Ok(before) = base.policy(policy.terms.version());
                    before.map(Change::Policy)
                }
                Change::Totals(_) => base.totals().map(Change::Totals).ok(),
            };
            prop_assert_eq!(&edit.before, &before);
        }
        let rebuilt: MemoryLedger =
            base.clone().into_changes().into_iter().chain(edits.into_iter().map(|edit| edit.after)).collect();
        prop_assert!(rebuilt == whole, "net changes over the base are the whole");
    }
}

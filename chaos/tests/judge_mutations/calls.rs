//! What calls were answered: V8 to V12, V17.

use stampede_chaos::proto::{admin, v1};

use super::*;

#[test]
fn v8_and_v17_a_repeated_notice_with_an_effect_of_its_own() {
    flags(&["V17", "V8"], |run| {
        let answer = answer(run, 30, is_repeated_issue);
        let receipt = &mut written(answer).receipt;
        receipt.replayed = false;
        receipt.place.log_index += 1;
        Some(answer.op)
    });
}

#[test]
fn v9_a_call_that_was_refused_and_took_effect() {
    flags(&["V9"], |run| {
        let answer = answer(run, 500, is_issue);
        answer.outcome = Outcome::Refused { reason: "STOCK_EXHAUSTED".into(), field: "".into(), place: None, term: 1 };
        Some(answer.op)
    });
}

#[test]
fn v9_a_call_that_was_not_done_and_took_effect() {
    flags(&["V9"], |run| {
        let answer = answer(run, 500, is_placed);
        answer.outcome = Outcome::NotDone { reason: "NO_LEADER".into() };
        Some(answer.op)
    });
}

/// The first call that was not done, now told that the disks are low, as if it had asked for this.
fn turned_away_for_want_of_room(run: &mut Run, asked: Request) -> OpId {
    let answer = answer(run, 0, |outcome| matches!(outcome, Outcome::NotDone { .. }));
    answer.outcome = Outcome::NotDone { reason: "DISK_LOW".into() };
    let op = answer.op;
    let requests = run.records.iter_mut().filter_map(|record| match record {
        Record::Invoke(invoke) if invoke.op == op => Some(&mut invoke.request),
        _ => None,
    });
    requests.for_each(|request| *request = asked.clone());
    op
}

#[test]
fn v9_what_is_turned_away_for_want_of_room_and_is_no_new_order() {
    let order = [0xd1; 16];
    let mut run = clean(SEED, ORDERS, PER_ROUND);
    let new = Request::PlaceOrder { order, account: "buyer".into(), series: *b"A24", quantity: 1 };
    turned_away_for_want_of_room(&mut run, new);
    let verdict = judged(&run);
    assert_eq!(verdict.exit(), Exit::Held, "a new order may be: {}", summary(&verdict));
    flags(&["V9"], |run| Some(turned_away_for_want_of_room(run, Request::CancelOrder { order })));
}

#[test]
fn v10_an_issued_order_that_waits_again() {
    flags(&["V10", "V11"], |run| {
        let answer = answer(run, 200, is_issued_order);
        shown_order(answer).state = OrderState::AwaitingPayment;
        Some(answer.op)
    });
}

#[test]
fn v10_and_v11_a_stale_read() {
    flags(&["V11", "V10"], |run| {
        let answer = answer(run, 2_000, is_issued_order);
        let Outcome::Read(read) = &mut answer.outcome else { unreachable!() };
        read.read_index = read.read_index.map(|index| index - 10);
        Some(answer.op)
    });
}

#[test]
fn v11_two_answers_with_swapped_places() {
    flags(&["V11"], |run| {
        let other = written(answer(run, 100, is_placed)).receipt;
        let answer = answer(run, 600, is_placed);
        let op = answer.op;
        let mine = std::mem::replace(&mut written(answer).receipt, other);
        written(self::answer(run, 100, is_placed)).receipt = mine;
        Some(op)
    });
}

/// Each call with its answer.
fn ops(run: &Run) -> Vec<Op> {
    let mut ops: Vec<Op> = Vec::new();
    for record in &run.records {
        match record {
            Record::Invoke(invoke) => {
                ops.push(Op { nth: u32::try_from(ops.len()).unwrap(), invoke: invoke.clone(), answers: Default::default() });
            }
            Record::Return(Return { op, at_ns, outcome }) => {
                let op = ops.iter_mut().rfind(|there| there.invoke.op == *op).unwrap();
                op.answers.push(Answered { at_ns: *at_ns, outcome: outcome.clone(), is_late: false });
            }
            _ => {}
        }
    }
    ops
}

#[test]
fn v11_the_search_alone_finds_an_answer_that_no_order_of_calls_explains() {
    let mut run = clean(SEED, ORDERS, PER_ROUND);
    let sampled = |answer: &&mut Return| match &answer.outcome {
        Outcome::Read(Read { answer: ReadAnswer::Order(order), .. }) => {
            order.state == OrderState::Issued && u16::from_be_bytes([order.order[14], order.order[15]]).is_multiple_of(100)
        }
        _ => false,
    };
    let answers =
        run.records.iter_mut().filter_map(|record| if let Record::Return(answer) = record { Some(answer) } else { None });
    let answer = answers.into_iter().find(sampled).unwrap();
    let Outcome::Read(read) = &mut answer.outcome else { unreachable!() };
    read.answer = ReadAnswer::Absent;
    let op = answer.op;
    let mut finding = Finding::new("V11", "the search alone");
    search::orders_can_be_explained(&ops(&run), &mut finding);
    assert!(finding.shown.iter().any(|shown| shown.ops.contains(&op.0)), "{finding:?}");
}

#[test]
fn v12_a_call_whose_answer_is_gone_stays_unknown() {
    doubts("V12", |run| {
        let op =
            answer(run, 0, |outcome| matches!(outcome, Outcome::Written(Written { answer: WriteAnswer::SeriesOpened, .. }))).op;
        run.records.retain(|record| !matches!(record, Record::Return(answer) if answer.op == op));
    });
}

fn is_reused(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused { reason, .. } if **reason == *"ORDER_ID_REUSED")
}

fn is_refused(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused { place: Some(_), .. })
}

#[test]
fn v17_a_notice_that_was_accepted_and_does_not_stand_in_the_log() {
    flags(&["V17", "V11"], |run| {
        let answer = answer(run, 30, is_issue);
        written(answer).receipt.place.offset += 5_000;
        Some(answer.op)
    });
}

#[test]
fn v9_a_refusal_that_does_not_say_where() {
    flags(&["V9"], |run| {
        let answer = answer(run, 3, is_refused);
        let Outcome::Refused { place, .. } = &mut answer.outcome else { unreachable!() };
        *place = None;
        Some(answer.op)
    });
}

#[test]
fn v9_a_refusal_that_the_protocol_does_not_list() {
    flags(&["V9"], |run| {
        // A time-out, told as a refusal; it never reached the log.
        let op = run.records.iter().find_map(|record| match record {
            Record::Return(answer) if matches!(answer.outcome, Outcome::NotDone { .. }) => Some(answer.op),
            _ => None,
        });
        let answer = answer(run, 0, |outcome| matches!(outcome, Outcome::NotDone { .. }));
        answer.outcome = Outcome::Refused { reason: "OUTCOME_UNKNOWN".into(), field: "".into(), place: None, term: 0 };
        op
    });
}

#[test]
fn v9_a_command_that_was_refused_in_the_log_and_that_nobody_sent() {
    flags(&["V9"], |run| {
        let op = answer(run, 5, is_reused).op;
        run.records.retain(|record| match record {
            Record::Invoke(invoke) => invoke.op != op,
            Record::Return(answer) => answer.op != op,
            _ => true,
        });
        None
    });
}

#[test]
fn v11_a_reused_id_that_does_not_name_what_differs() {
    flags(&["V11"], |run| {
        let answer = answer(run, 5, is_reused);
        let Outcome::Refused { field, .. } = &mut answer.outcome else { unreachable!() };
        *field = "".into();
        Some(answer.op)
    });
}

#[test]
fn v9_a_read_that_was_refused() {
    flags(&["V9"], |run| {
        let answer = answer(run, 200, is_issued_order);
        answer.outcome = Outcome::Refused { reason: "ORDER_EXPIRED".into(), field: "".into(), place: None, term: 1 };
        Some(answer.op)
    });
}

#[test]
fn v11_reads_that_were_all_left_unanswered_show_nothing() {
    doubts("V11", |run| {
        for record in &mut run.records {
            if let Record::Return(answer) = record
                && matches!(answer.outcome, Outcome::Read(_))
            {
                answer.outcome = unknown();
            }
        }
    });
}

#[test]
fn v9_an_unknown_call_that_came_after_the_effect_was_seen_does_not_excuse_it() {
    flags(&["V9"], |run| {
        let answer = answer(run, 500, is_placed);
        answer.outcome = Outcome::NotDone { reason: "NO_LEADER".into() };
        let op = answer.op;
        let (request, at_ns) = (request_of(run, op), heal_ns(run) + 50_000_000);
        append(run, at_ns, Purpose::Retry, request, at_ns + 1_000, unknown());
        Some(op)
    });
}

#[test]
fn v11_a_read_that_does_not_say_what_it_is_good_for() {
    for is_stale in [false, true] {
        flags(&["V11"], |run| {
            let answer = answer(run, 200, is_issued_order);
            let op = answer.op;
            let Outcome::Read(read) = &mut answer.outcome else { unreachable!() };
            read.read_index = None;
            for record in &mut run.records {
                if let Record::Invoke(Invoke { op: other, request: Request::GetOrder { consistency, .. }, .. }) = record
                    && *other == op
                    && is_stale
                {
                    *consistency = Consistency::Stale;
                }
            }
            Some(op)
        });
    }
}

#[test]
fn v11_a_first_execution_that_was_answered_as_a_replay() {
    flags(&["V11"], |run| {
        let answer =
            answer(run, 70, |outcome| matches!(outcome, Outcome::Written(Written { answer: WriteAnswer::Cancelled, .. })));
        written(answer).receipt.replayed = true;
        Some(answer.op)
    });
}

#[test]
fn v11_times_that_the_log_does_not_make() {
    flags(&["V11"], |run| {
        let answer = answer(run, 200, is_issued_order);
        let Outcome::Read(read) = &mut answer.outcome else { unreachable!() };
        read.ledger_time_ms += 1;
        Some(answer.op)
    });
    flags(&["V11"], |run| {
        let answer =
            answer(run, 200, |outcome| matches!(outcome, Outcome::Read(Read { answer: ReadAnswer::SerialIssued { .. }, .. })));
        let Outcome::Read(Read { answer: ReadAnswer::SerialIssued { issued_at_ms, .. }, .. }) = &mut answer.outcome else {
            unreachable!()
        };
        *issued_at_ms += 1;
        Some(answer.op)
    });
}

/// A call that nobody answered, a second after the heal.
fn unknown_order(run: &mut Run) -> (OpId, u64) {
    run.facts.bounds.known_within_ms = 500;
    let at_ns = heal_ns(run) + 1_000_000_000;
    let place = Request::PlaceOrder { order: [7; 16], account: "buyer".into(), series: SERIES, quantity: 1 };
    (append(run, at_ns, Purpose::Retry, place, at_ns + 1_000, unknown()), at_ns)
}

/// What it is asked for, and that it is not there.
fn ask_for_it(run: &mut Run, purpose: Purpose, consistency: Consistency, asked_ns: u64) {
    let absent = Outcome::Read(Read { read_index: Some(last_index(run)), ledger_time_ms: 0, answer: ReadAnswer::Absent });
    append(run, asked_ns, purpose, Request::GetOrder { order: [7; 16], consistency }, asked_ns + 1_000, absent);
}

fn unknown_and_asked(run: &mut Run, consistency: Consistency, after_ms: u64) -> OpId {
    let (op, at_ns) = unknown_order(run);
    ask_for_it(run, Purpose::Retry, consistency, at_ns + after_ms * 1_000_000);
    op
}

#[test]
fn v12_an_unknown_is_known_in_time_counted_from_its_end() {
    holds(|run| {
        unknown_and_asked(run, Consistency::Linearizable, 400);
    });
    flags(&["V12"], |run| Some(unknown_and_asked(run, Consistency::Linearizable, 600)));
}

#[test]
fn v12_the_time_before_the_tool_asks_is_not_the_systems() {
    holds(|run| {
        let (_, at_ns) = unknown_order(run);
        ask_for_it(run, Purpose::Ask, Consistency::Linearizable, at_ns + 9_000_000_000);
    });
    flags(&["V12"], |run| {
        let (op, at_ns) = unknown_order(run);
        let question = Request::GetOrder { order: [7; 16], consistency: Consistency::Linearizable };
        append(run, at_ns + 9_000_000_000, Purpose::Ask, question, at_ns + 9_400_000_000, unknown());
        ask_for_it(run, Purpose::Ask, Consistency::Linearizable, at_ns + 9_600_000_000);
        Some(op)
    });
}

#[test]
fn v12_an_unknown_that_was_not_there_and_came_all_the_same() {
    flags(&["V12"], |run| {
        let (op, at_ns) = unknown_order(run);
        ask_for_it(run, Purpose::Ask, Consistency::Linearizable, at_ns + 1_000_000_000);
        let place = v1::PlaceOrderRequest {
            order_id: stampede_chaos::model::order_text([7; 16]),
            account_id: "buyer".into(),
            series_code: "A24".into(),
            quantity: 1,
        };
        let command = admin::LoggedCommand { command: Some(admin::logged_command::Command::PlaceOrder(place)) };
        let last = run.log.iter().max_by_key(|entry| entry.log_index).unwrap();
        let (log_index, term, proposed_at_ms) = (last.log_index + 1, last.term, last.proposed_at_ms);
        run.log.push(admin::ExportLogResponse { log_index, term, proposed_at_ms, commands: vec![command] });
        Some(op)
    });
}

#[test]
fn v12_an_old_state_tells_nothing_of_an_unknown() {
    doubts("V12", |run| {
        unknown_and_asked(run, Consistency::Stale, 400);
    });
}

#[test]
fn v22_a_payment_that_is_shed_at_once_where_a_new_order_is_let_in() {
    flags(&["V22"], |run| {
        let answer = answer(run, 400, is_issue);
        answer.outcome = Outcome::NotDone { reason: "OVERLOADED".into() };
        Some(answer.op)
    });
}

#[test]
fn v22_a_payment_that_waited_in_vain_counts_where_there_is_more_load_than_can_be_served() {
    for goodput_share in [None, Some(0.01)] {
        let mut run = clean(SEED, ORDERS, PER_ROUND);
        run.facts.bounds.goodput_share = goodput_share;
        let answer = answer(&mut run, 400, is_issue);
        answer.at_ns += 10_000_000_000;
        answer.outcome = Outcome::NotDone { reason: "NOT_IN_TIME".into() };
        let verdict = judged(&run);
        let v22 = verdict.invariants.iter().find(|finding| finding.id == "V22").unwrap();
        assert_eq!(v22.violations > 0, goodput_share.is_some(), "{}", summary(&verdict));
    }
}

#[test]
fn v22_a_surge_in_which_less_is_issued_or_nothing_is_turned_away() {
    doubts("V22", |run| run.facts.bounds.goodput_share = Some(0.01));
    flags(&["V22"], |run| {
        // No surge issues a thousand times what the run issues at its best.
        run.facts.bounds.goodput_share = Some(1_000.0);
        None
    });
}

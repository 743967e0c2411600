//! How the cluster fared over time: V13 to V16, V20, and the figures of the verdict.

use super::*;

#[test]
fn v13_a_replica_with_another_digest() {
    flags(&["V13"], |run| {
        let sample = run.records.iter_mut().find_map(|record| match record {
            Record::Status(sample) if sample.node == 2 => Some(sample),
            _ => None,
        });
        sample.unwrap().digest = "00ff".into();
        None
    });
}

#[test]
fn v13_a_replica_whose_records_are_not_what_its_digest_says() {
    flags(&["V13"], |run| {
        let Some(Item::Header(header)) = &mut run.scans.get_mut(&1).unwrap()[0].item else { unreachable!() };
        header.scanned_digest = "00ff".into();
        None
    });
}

#[test]
fn v14_writes_that_came_back_too_late() {
    flags(&["V14"], |run| {
        run.facts.bounds.first_success_ms = 100;
        // Who was answered 300 ms after the kill had not waited for it to call.
        let killed_ns = last_kill_ns(run);
        for record in &mut run.records {
            if let Record::Invoke(invoke) = record
                && (killed_ns..killed_ns + 350_000_000).contains(&invoke.at_ns)
            {
                invoke.at_ns -= 290_000_000;
                invoke.intended_ns = invoke.at_ns;
            }
        }
        None
    });
}

#[test]
fn v16_two_leaders_in_a_term() {
    flags(&["V16"], |run| {
        let sample = run.records.iter_mut().find_map(|record| match record {
            Record::Status(sample) if sample.role == NodeRole::Follower => Some(sample),
            _ => None,
        });
        sample.unwrap().role = NodeRole::Leader;
        None
    });
}

#[test]
fn v16_a_term_that_goes_back() {
    flags(&["V16"], |run| {
        let sample = run.records.iter_mut().rev().find_map(|record| match record {
            Record::Status(sample) => Some(sample),
            _ => None,
        });
        sample.unwrap().term -= 2;
        None
    });
}

#[test]
fn v20_a_run_that_killed_too_few_leaders() {
    doubts("V20", |run| {
        run.records.retain(
            |record| !matches!(record, Record::Fault(event) if event.fault == 1 && event.stage == FaultStage::Effective),
        );
    });
}

#[test]
fn v14_latency_that_stays_high_after_a_fault() {
    flags(&["V14"], |run| {
        answer_late_after_the_last_kill(run);
        None
    });
}

fn answer_late_after_the_last_kill(run: &mut Run) {
    let killed_ns = last_kill_ns(run);
    for record in &mut run.records {
        if let Record::Return(answer) = record
            && answer.at_ns > killed_ns
        {
            answer.at_ns += 400_000_000;
        }
    }
}

/// `offset_ms` from the last kill on.
fn sync_of_the_machine(run: &mut Run, offset_ms: i64, took_ms: u64) {
    let at_ns = last_kill_ns(run).saturating_add_signed(offset_ms * 1_000_000);
    run.records.push(Record::MachineSync(MachineSync { at_ns, took_ns: took_ms * 1_000_000 }));
}

#[test]
fn v14_a_machine_whose_own_disk_stands_still_does_not_show_that_the_system_was_late() {
    doubts("V14", |run| {
        answer_late_after_the_last_kill(run);
        sync_of_the_machine(run, 1_000, 400);
    });
    // It began before the kill and went on behind it.
    doubts("V14", |run| {
        answer_late_after_the_last_kill(run);
        sync_of_the_machine(run, -500, 900);
    });
}

#[test]
fn v14_a_machine_whose_disk_is_quick_where_the_system_is_late_excuses_nothing() {
    flags(&["V14"], |run| {
        answer_late_after_the_last_kill(run);
        sync_of_the_machine(run, 1_000, 150);
        // Slow, and over before the kill.
        sync_of_the_machine(run, -1_000, 900);
        None
    });
}

#[test]
fn v14_what_the_tool_sent_too_late_is_not_the_systems_latency() {
    doubts("V14", |run| {
        let killed_ns = last_kill_ns(run);
        for record in &mut run.records {
            if let Record::Invoke(invoke) = record
                && invoke.at_ns > killed_ns
            {
                invoke.intended_ns = invoke.at_ns - 400_000_000;
            }
        }
    });
}

#[test]
fn v14_a_tool_that_sends_nothing_shows_nothing() {
    doubts("V14", |run| {
        let killed_ns = last_kill_ns(run);
        // Whatever clients did after the last kill, they did three seconds later.
        for record in &mut run.records {
            let at_ns = match record {
                Record::Invoke(invoke) if invoke.at_ns > killed_ns => {
                    invoke.intended_ns += 3_000_000_000;
                    &mut invoke.at_ns
                }
                Record::Return(answer) if answer.at_ns > killed_ns => &mut answer.at_ns,
                _ => continue,
            };
            *at_ns += 3_000_000_000;
        }
    });
}

fn last_kill_ns(run: &Run) -> u64 {
    let killed = run.records.iter().rev().find_map(|record| match record {
        Record::Fault(event) if event.stage == FaultStage::Injected => Some(event.at_ns),
        _ => None,
    });
    killed.unwrap()
}

#[test]
fn v14_no_fresh_write_succeeds() {
    flags(&["V14"], |run| {
        let fresh = run.records.iter().find_map(|record| match record {
            Record::Invoke(Invoke { op, purpose: Purpose::FreshWrite, .. }) => Some(*op),
            _ => None,
        });
        for record in &mut run.records {
            if let Record::Return(answer) = record
                && Some(answer.op) == fresh
            {
                answer.outcome = Outcome::NotDone { reason: "NO_LEADER".into() };
            }
        }
        fresh
    });
}

#[test]
fn v14_a_run_that_is_sold_out_is_not_dead() {
    let run = clean_with(SEED, ORDERS, PER_ROUND, 3_000);
    let verdict = judged(&run);
    assert_eq!(verdict.exit(), Exit::Held, "{}", summary(&verdict));
    assert!(verdict.calls.refused > 500, "{:?}", verdict.calls);
}

#[test]
fn v14_bounds_that_no_fault_leaves_time_to_break_show_nothing() {
    doubts("V14", |run| {
        (run.facts.bounds.first_success_ms, run.facts.bounds.p99_recovery_ms) = (60_000, 60_000);
    });
}

#[test]
fn v14_each_of_its_bounds_needs_a_fault_that_leaves_time_to_break_it() {
    doubts("V14", |run| run.facts.bounds.first_success_ms = 60_000);
    doubts("V14", |run| run.facts.bounds.p99_recovery_ms = 60_000);
}

#[test]
fn v14_without_writes_before_the_first_fault_no_latency_is_back_at_theirs() {
    doubts("V14", |run| {
        for record in &mut run.records {
            if let Record::Fault(event) = record
                && event.fault == 1
            {
                event.at_ns = 1;
            }
        }
    });
}

#[test]
fn v14_the_end_of_the_arrivals_ends_the_last_window() {
    // The last kill leaves two seconds of arrivals, and a heal that comes long after them adds nothing.
    doubts("V14", |run| {
        (run.facts.bounds.first_success_ms, run.facts.bounds.p99_recovery_ms) = (4_000, 4_000);
        let heal_ns = heal_ns(run);
        for record in &mut run.records {
            let at_ns = match record {
                Record::Phase { at_ns, .. } if *at_ns >= heal_ns => at_ns,
                Record::Invoke(invoke) if invoke.at_ns >= heal_ns => &mut invoke.at_ns,
                Record::Return(answer) if answer.at_ns >= heal_ns => &mut answer.at_ns,
                _ => continue,
            };
            *at_ns += 10_000_000_000;
        }
    });
}

#[test]
fn v16_an_answer_of_an_older_term_than_its_entry() {
    flags(&["V16"], |run| {
        let answer = answer(run, 1_500, is_placed);
        written(answer).receipt.term = 0;
        Some(answer.op)
    });
}

#[test]
fn v16_a_log_whose_term_goes_back() {
    let mut run = clean(SEED, ORDERS, PER_ROUND);
    run.log.iter_mut().find(|entry| entry.log_index == 100).unwrap().term = 0;
    let verdict = judged(&run);
    let v16 = verdict.invariants.iter().find(|finding| finding.id == "V16").unwrap();
    assert_eq!(v16.shown.iter().map(|shown| shown.log_index).collect::<Vec<_>>(), [Some(100)], "{}", summary(&verdict));
}

#[test]
fn v16_two_nodes_that_export_different_entries() {
    flags(&["V16"], |run| {
        run.log.last_mut().unwrap().term += 1;
        None
    });
}

#[test]
fn v20_faults_that_all_missed_show_nothing_even_if_none_was_required() {
    doubts("V20", |run| {
        run.facts.required_faults.clear();
        run.records.retain(|record| !matches!(record, Record::Fault(event) if event.stage == FaultStage::Effective));
    });
}

#[test]
fn v20_killing_all_nodes_hits_all_nodes() {
    doubts("V20", |run| {
        run.facts.required_faults = vec![RequiredFault { kind: "kill-all".into(), at_least: 1, ..RequiredFault::default() }];
        for record in &mut run.records {
            if let Record::Fault(event) = record {
                event.kind = "kill-all".into();
            }
        }
    });
}

fn require_a_snapshot_install(run: &mut Run) {
    let kind = stampede_chaos::scenario::Required::SNAPSHOT_INSTALLS.to_owned();
    run.facts.required_faults.push(RequiredFault { kind, at_least: 1, ..RequiredFault::default() });
}

#[test]
fn v20_a_snapshot_that_had_to_be_installed() {
    doubts("V20", require_a_snapshot_install);
    holds(|run| {
        require_a_snapshot_install(run);
        let (mut samples, mut installed) = (0, 0);
        for record in &mut run.records {
            if let Record::Status(sample) = record
                && sample.node == 2
            {
                samples += 1;
                if samples == 5 {
                    installed = sample.applied_index;
                }
                (sample.snapshot_index, sample.purged_index) = (installed, installed);
            }
        }
        assert!(installed > 0);
    });
}

#[test]
fn an_orderly_stop_is_no_leader_kill() {
    let verdict = holds(|run| {
        run.facts.required_faults[0].kind = "stop-leader".into();
        for record in &mut run.records {
            if let Record::Fault(event) = record {
                event.kind = "stop-leader".into();
            }
        }
    });
    assert_eq!(verdict.leader_kills, 0);
    let pause = serde_json::to_value(verdict.write_pause_ms).unwrap();
    assert_eq!(pause, serde_json::json!({"median": null, "max": null, "count": 0}), "an object, whatever was counted");
}

#[test]
fn orders_per_second_counts_what_was_issued_while_the_traffic_ran() {
    let verdict = holds(|run| {
        let half_ns = heal_ns(run) / 2;
        for record in &mut run.records {
            if let Record::Phase { at_ns, phase: Phase::Heal } = record {
                *at_ns = half_ns;
            }
        }
    });
    let in_traffic = verdict.orders_per_s * verdict.traffic_s;
    assert!(in_traffic < 0.7 * f64::from(u32::try_from(verdict.orders_issued).unwrap()), "{verdict:?}");
}

#[test]
fn v21_an_event_that_was_told_twice_not_at_all_or_otherwise() {
    flags(&["V21"], |run| {
        run.events.insert(51, run.events[50].clone());
        None
    });
    flags(&["V21"], |run| {
        run.events.remove(50);
        None
    });
    flags(&["V21"], |run| {
        let entry = run.events[50].entry.as_mut().unwrap();
        entry.events.pop();
        None
    });
    flags(&["V21"], |run| {
        run.events.swap(50, 51);
        None
    });
}

#[test]
fn v21_without_the_events_nothing_is_known_of_who_watched() {
    let folder = tempfile::tempdir().unwrap();
    let run = clean(SEED, ORDERS, PER_ROUND).write(&folder.path().join("run"));
    std::fs::remove_file(run.events()).unwrap();
    let verdict = recheck(&run).unwrap();
    assert_eq!(verdict.exit(), Exit::Inconclusive, "{}", summary(&verdict));
}

/// The first node that was killed ended with this code instead.
fn ends_with(run: &mut Run, wanted: i32) -> u16 {
    let exit = run.records.iter_mut().find_map(|record| match record {
        Record::Process(event) if matches!(event.step, ProcessStep::Exited { .. }) => Some(event),
        _ => None,
    });
    let exit = exit.expect("somebody was killed");
    exit.step = ProcessStep::Exited { code: Some(wanted), signal: None };
    exit.node
}

/// The faults of that node were damage of its files.
fn was_damaged(run: &mut Run, node: u16) {
    for record in &mut run.records {
        if let Record::Fault(event) = record
            && event.node == node
        {
            event.kind = "flip-log-follower".into();
        }
    }
    run.facts.required_faults.clear();
}

#[test]
fn v19_a_node_that_refuses_what_nobody_damaged() {
    flags(&["V19"], |run| {
        ends_with(run, 21);
        None
    });
}

#[test]
fn v19_a_damaged_node_that_ends_for_another_reason() {
    flags(&["V19"], |run| {
        let node = ends_with(run, 101);
        was_damaged(run, node);
        None
    });
}

#[test]
fn v19_a_damaged_node_that_says_so_is_as_it_should_be() {
    holds(|run| {
        let node = ends_with(run, 21);
        was_damaged(run, node);
    });
}

/// Some time after the last fault, and before the last buyers came.
fn asks_for_no_lasting_damage(run: &mut Run) -> u64 {
    const WHOLE_AGAIN_MS: u64 = 100;
    run.facts.bounds.whole_again_ms = Some(WHOLE_AGAIN_MS);
    let healed = run.records.iter().filter_map(|record| match record {
        Record::Fault(event) if event.stage == FaultStage::Healed => Some(event.at_ns),
        _ => None,
    });
    healed.max().expect("a fault is healed") + WHOLE_AGAIN_MS * 1_000_000
}

#[test]
fn v15_a_cluster_that_recovers_is_whole_again() {
    let verdict = holds(|run| {
        asks_for_no_lasting_damage(run);
    });
    let v15 = verdict.invariants.iter().find(|finding| finding.id == "V15").unwrap();
    assert!(v15.checked >= 50, "{v15:?}");
}

#[test]
fn v15_buyers_who_are_served_late_long_after_the_last_fault() {
    flags(&["V15"], |run| {
        let from_ns = asks_for_no_lasting_damage(run);
        // What clients asked for then they had wanted long before: they wait behind a queue.
        for record in &mut run.records {
            if let Record::Return(answer) = record
                && answer.at_ns > from_ns
            {
                answer.at_ns += 600_000_000;
            }
        }
        None
    });
}

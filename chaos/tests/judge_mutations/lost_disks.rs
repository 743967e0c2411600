//! A node that lost its disk: V19 over a whole run, and what else must not take it for a fault of the system.

use super::*;

/// What was done to the first node that was killed was that its disk was emptied. From when it was started again.
fn lost_its_disk(run: &mut Run) -> (u16, u64) {
    let mut lost = None;
    for record in &mut run.records {
        if let Record::Fault(event) = record {
            let (_, node) = *lost.get_or_insert((event.fault, event.node));
            if lost == Some((event.fault, event.node)) && event.node == node {
                event.kind = "lose-disk-follower".into();
            }
        }
    }
    run.facts.required_faults.clear();
    let (_, node) = lost.expect("somebody was killed");
    let started = run.records.iter().find_map(|record| match record {
        Record::Process(ProcessEvent { at_ns, node: of, step: ProcessStep::Started { pid: 9 } }) if *of == node => Some(*at_ns),
        _ => None,
    });
    (node, started.expect("it was started again"))
}

/// What it says of itself from then on.
fn its_own(run: &mut Run, (node, from_ns): (u16, u64)) -> impl Iterator<Item = &mut StatusSample> {
    run.records.iter_mut().filter_map(move |record| match record {
        Record::Status(sample) if sample.node == node && sample.at_ns >= from_ns => Some(&mut **sample),
        _ => None,
    })
}

/// As a new member, which is a learner at first.
fn comes_back_anew(run: &mut Run, lost: (u16, u64)) {
    for (nth, sample) in its_own(run, lost).enumerate() {
        sample.member = MemberId(4);
        if nth == 0 {
            sample.role = NodeRole::Learner;
        }
    }
}

#[test]
fn v19_a_node_that_goes_on_without_its_disk_as_if_it_had_it() {
    flags(&["V19"], |run| {
        lost_its_disk(run);
        None
    });
}

#[test]
fn v19_a_new_member_that_never_gets_its_vote() {
    flags(&["V19"], |run| {
        let lost = lost_its_disk(run);
        comes_back_anew(run, lost);
        its_own(run, lost).for_each(|sample| sample.role = NodeRole::Learner);
        None
    });
}

#[test]
fn a_node_that_comes_back_as_a_new_member_is_as_it_should_be() {
    let verdict = holds(|run| {
        let lost = lost_its_disk(run);
        comes_back_anew(run, lost);
        // It had nothing when it was started.
        let first = its_own(run, lost).next().unwrap();
        (first.member, first.role, first.term, first.voted_for, first.leader) =
            (MemberId(u64::from(lost.0)), NodeRole::Uninitialized, 0, 0, 0);
        its_own(run, lost).nth(1).unwrap().role = NodeRole::Learner;
    });
    let v19 = verdict.invariants.iter().find(|finding| finding.id == "V19").unwrap();
    assert!(v19.checked > 10, "{v19:?}");
}

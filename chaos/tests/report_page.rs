//! `report.html`: whole without a network, hostile names and all.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

#[path = "judge_support/mod.rs"]
mod support;

use stampede_chaos::history::*;
use stampede_chaos::recheck::recheck;
use stampede_chaos::verdict::Ruling;
use support::{Run, clean};

/// What would be a tag, an attribute's end, or the script's end if it were not escaped.
const HOSTILE: &str = "</script><img src=x onerror=\"alert(1)\">'&";

fn page_of(run: &Run) -> String {
    let folder = tempfile::tempdir().unwrap();
    let written = run.write(&folder.path().join("run"));
    recheck(&written).unwrap();
    std::fs::read_to_string(written.report()).unwrap()
}

fn broken_run() -> Run {
    let mut run = clean(7, 600, 12);
    let is_issue = |outcome: &Outcome| {
        matches!(outcome, Outcome::Written(Written { answer: WriteAnswer::Recorded { serials: Some(_), .. }, .. }))
    };
    let issue = run.records.iter_mut().find_map(|record| match record {
        Record::Return(answer) if is_issue(&answer.outcome) => Some(answer),
        _ => None,
    });
    let Outcome::Written(Written { answer: WriteAnswer::Recorded { serials: Some(serials), .. }, .. }) =
        &mut issue.unwrap().outcome
    else {
        panic!("it was picked as one")
    };
    serials.first_number += 100_000;
    run
}

fn ids(page: &str) -> Vec<&str> {
    page.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[test]
fn whatever_comes_from_the_run_is_escaped() {
    let mut run = broken_run();
    run.facts.scenario = HOSTILE.into();
    run.facts.command = HOSTILE.into();
    run.facts.versions.insert(HOSTILE.into(), HOSTILE.into());
    run.facts.problems.push(HOSTILE.into());
    for record in &mut run.records {
        match record {
            Record::Fault(event) => event.kind = HOSTILE.into(),
            Record::Invoke(Invoke { request: Request::PlaceOrder { account, .. }, .. }) => *account = HOSTILE.into(),
            Record::Invoke(Invoke { request: Request::RecordPayment { payment, .. }, .. }) => payment.gateway = HOSTILE.into(),
            Record::Return(Return { outcome: Outcome::Unknown { why: reason } | Outcome::NotDone { reason }, .. }) => {
                *reason = HOSTILE.into();
            }
            _ => {}
        }
    }
    let page = page_of(&run);
    assert!(page.contains("&lt;/script&gt;&lt;img src=x onerror=&quot;alert(1)&quot;&gt;"), "it is shown, harmless");
    assert!(!page.contains("<img"), "no tag of the run's");
    assert_eq!(page.matches("</script>").count(), 1, "the script ends where ours does");
}

#[test]
fn the_page_asks_for_nothing_beyond_itself() {
    let page = page_of(&broken_run());
    for asks in ["http:", "https:", "src=", "url(", "@import", "<link", "fetch(", "XMLHttpRequest", "import("] {
        assert!(!page.contains(asks), "{asks}");
    }
    let links = page.split(" href=\"").skip(1);
    assert!(links.clone().count() > 0 && links.clone().all(|link| link.starts_with('#')), "links stay in the page");
}

#[test]
fn every_link_of_a_violation_leads_to_the_call_or_entry_that_proves_it() {
    let page = page_of(&broken_run());
    let ids = ids(&page);
    let links: Vec<&str> = page.split(" href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    for kind in ["op-", "entry-", "violation-", "violations-"] {
        assert!(links.iter().any(|link| link.starts_with(kind)), "no link to a {kind}");
    }
    let lost: Vec<&&str> = links.iter().filter(|link| !ids.contains(link)).collect();
    assert!(lost.is_empty(), "{lost:?}");
    let mut unique = ids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "an anchor stands for one place");
}

#[test]
fn the_plots_share_one_stretch_of_time_and_hold_what_a_zoom_shows() {
    let run = clean(7, 600, 12);
    let page = page_of(&run);
    let mut end_ms = run.records.iter().filter_map(|record| match record {
        Record::Phase { at_ns, phase: Phase::End } => Some(at_ns.div_ceil(1_000_000)),
        _ => None,
    });
    let whole = format!("viewBox=\"0 0 {} 1000\"", end_ms.next_back().unwrap());
    // Five plots, a lane for the one kind of fault, three for the nodes.
    assert_eq!(page.matches("<svg ").count(), 9);
    assert_eq!(page.matches(&whole).count(), 9, "without a script each shows the whole run");
    for detail in ["<g class=\"coarse\" data-slice-ms=\"200\">", "<g class=\"fine\" data-slice-ms=\"50\">"] {
        assert_eq!(page.matches(detail).count(), 5, "{detail}");
    }
    assert_eq!(page.matches("class=\"hurt\"").count(), 2, "two kills");
}

#[test]
fn an_empty_run_has_a_page_too() {
    let mut run = clean(7, 600, 12);
    run.records.clear();
    let page = page_of(&run);
    assert!(page.contains(&format!("<h1 class=\"{}\">", Ruling::Inconclusive.word())));
    assert!(!page.contains("NaN") && !page.contains("inf%"));
}

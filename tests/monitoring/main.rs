//! `cluster-config/monitoring/`: rules, alerts with their tests and runbooks, and dashboards fit each other and the metrics that
//! a node has (`metrics.md`, which a test of `operations::metrics` holds to the code).
//!
//! Needs promtool, which Debian has in its package `prometheus` (`make prometheus`).

// A failed unwrap is a failed test.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod files;
mod queries;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use files::{Rule, assert_good, documented, files, folder, groups, has, metric_of, promtool, read, rules, stem};
use serde_json::Value;

/// Of Prometheus itself.
const OF_PROMETHEUS: [&str; 2] = ["up", "ALERTS"];
/// Of the drill tool, which serves it while it runs (chaos/README.md).
const OF_DRILLS: [&str; 2] = ["stampede_drill_active", "stampede_drill_faults_total"];
/// It proves the way of alerts: it never ends, and has no value to tell.
const WATCHDOG: &str = "StampedeWatchdog";

fn alerts() -> Vec<Rule> {
    let alerts = rules("alerts.yml");
    assert!(alerts.iter().all(|rule| rule.is_alert), "alerts.yml has recording rules");
    alerts
}

fn test_files() -> Vec<PathBuf> {
    files(&folder().join("tests"), "yml")
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn prometheus_takes_the_rules() {
    if has("promtool") {
        assert_good(&promtool(&["check", "rules"], &[folder().join("rules.yml"), folder().join("alerts.yml")]));
    }
}

#[test]
fn each_alert_fires_when_its_test_says_and_not_otherwise() {
    if !has("promtool") {
        return;
    }
    // Days of samples: one file after another takes a minute.
    std::thread::scope(|scope| {
        let running: Vec<_> =
            test_files().into_iter().map(|file| scope.spawn(move || promtool(&["test", "rules"], &[file]))).collect();
        running.into_iter().for_each(|test| assert_good(&test.join().unwrap()));
    });
}

/// `alertname` and whether something is expected, of every check.
fn checks(text: &str) -> Vec<(String, bool)> {
    let names = text.match_indices("alertname: ").map(|(at, key)| &text[at + key.len()..]);
    let check = |rest: &str| {
        let name = rest.split([',', '\n', ' ']).next().unwrap();
        let expected = rest.split_once("exp_alerts:").unwrap().1;
        (name.to_owned(), !expected.starts_with(" []"))
    };
    names.map(check).collect()
}

#[test]
fn each_alert_is_shown_to_fire_and_not_to_fire() {
    let checks: BTreeSet<(String, bool)> = test_files().iter().flat_map(|path| checks(&read(path))).collect();
    let mut problems = Vec::new();
    for alert in alerts() {
        for (fires, what) in [(true, "fires"), (false, "does not fire")] {
            let is_shown = checks.contains(&(alert.name.clone(), fires)) || (alert.name == WATCHDOG && !fires);
            if !is_shown {
                problems.push(format!("no test shows that {} {what}", alert.name));
            }
        }
    }
    let known: BTreeSet<String> = alerts().into_iter().map(|alert| alert.name).collect();
    let unknown = checks.iter().filter(|(name, _)| !known.contains(name));
    problems.extend(unknown.map(|(name, _)| format!("a test asks for {name}, which is no alert")));
    assert_none(&problems);
}

#[test]
fn alerts_are_evaluated_after_what_they_read_in_every_test() {
    let order: Vec<String> = [groups("rules.yml"), groups("alerts.yml")].concat();
    let listed: String = order.iter().map(|group| format!("  - {group}\n")).collect();
    for path in test_files() {
        assert!(read(&path).contains(&format!("group_eval_order:\n{listed}tests:")), "{}", path.display());
    }
}

#[test]
fn each_alert_says_what_it_is_how_bad_and_what_to_do() {
    let mut problems = Vec::new();
    for alert in alerts() {
        let severity = alert.field("severity");
        let is_known = if alert.name == WATCHDOG { severity == "none" } else { ["critical", "warning"].contains(&severity) };
        if !is_known {
            problems.push(format!("{} has severity {severity}", alert.name));
        }
        if alert.name != WATCHDOG && !alert.field("description").contains("$value") {
            problems.push(format!("the description of {} tells no value", alert.name));
        }
        assert!(!alert.field("summary").is_empty(), "{}", alert.name);
        if alert.field("runbook_url") != format!("runbooks/{}.md", alert.name) {
            problems.push(format!("{} has the runbook {}", alert.name, alert.field("runbook_url")));
        }
    }
    assert_none(&problems);
}

#[test]
fn each_alert_has_a_runbook_with_every_part_and_there_is_no_other() {
    let runbooks = files(&folder().join("runbooks"), "md");
    let named: BTreeSet<String> = runbooks.iter().map(|path| stem(path)).collect();
    let alerts: BTreeSet<String> = alerts().into_iter().map(|alert| alert.name).collect();
    assert_eq!(named, alerts);
    for path in runbooks {
        let text = read(&path);
        let headings: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
        let title = format!("# {}", stem(&path));
        let expected = [title.as_str(), "## Meaning", "## Impact", "## Diagnosis", "## Mitigation", "## Escalate"];
        assert_eq!(headings, expected);
        let other = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.starts_with("Stampede"));
        let unknown: Vec<&str> = other.filter(|word| !alerts.contains(*word)).collect();
        assert_eq!(unknown, Vec::<&str>::new(), "{} names alerts that are none", path.display());
    }
}

/// Every `stampede …` of a runbook, up to what is an option or a value.
fn commands(text: &str) -> BTreeSet<Vec<String>> {
    let starts = text.match_indices("stampede ").filter(|(at, _)| text[..*at].ends_with(['`', '\n']));
    let words = |rest: &str| -> Vec<String> {
        let is_word = |word: &&str| {
            !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
        };
        rest.split(['`', '\n']).next().unwrap().split(' ').take_while(is_word).map(ToOwned::to_owned).collect()
    };
    starts.map(|(at, name)| words(&text[at + name.len()..])).collect()
}

#[test]
fn the_commands_of_runbooks_exist() {
    let all: BTreeSet<Vec<String>> =
        files(&folder().join("runbooks"), "md").iter().flat_map(|path| commands(&read(path))).collect();
    assert!(all.contains(["check", "invariants"].map(ToOwned::to_owned).as_slice()), "{all:?}");
    for command in all {
        let output = Command::new(env!("CARGO_BIN_EXE_stampede")).args(&command).arg("--help").output().unwrap();
        assert!(output.status.success(), "stampede {}: {}", command.join(" "), String::from_utf8_lossy(&output.stderr));
        let usage = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!usage.contains("<COMMAND>"), "stampede {} lacks a command", command.join(" "));
    }
}

/// Every query of a dashboard with where it stands: panels, rows' panels, variables and annotations.
fn dashboard_queries(path: &Path) -> Vec<(String, String)> {
    let board: Value = serde_json::from_str(&read(path)).unwrap();
    let mut found = Vec::new();
    for panel in board["panels"].as_array().unwrap() {
        let place = format!("{}: {}", stem(path), panel["title"].as_str().unwrap());
        for target in panel["targets"].as_array().into_iter().flatten() {
            found.push((place.clone(), target["expr"].as_str().unwrap().to_owned()));
        }
    }
    for annotation in board["annotations"]["list"].as_array().unwrap() {
        let place = format!("{}: annotation {}", stem(path), annotation["name"].as_str().unwrap());
        found.push((place, annotation["expr"].as_str().unwrap().to_owned()));
    }
    for variable in board["templating"]["list"].as_array().unwrap() {
        if let Some(query) = variable["query"]["query"].as_str() {
            let selector = query.strip_prefix("label_values(").unwrap().rsplit_once(',').unwrap().0;
            found.push((format!("{}: ${}", stem(path), variable["name"].as_str().unwrap()), selector.to_owned()));
        }
    }
    found
}

fn all_dashboard_queries() -> Vec<(String, String)> {
    files(&folder().join("dashboards"), "json").iter().flat_map(|path| dashboard_queries(path)).collect()
}

/// Every query there is, with where it stands.
fn all_queries() -> Vec<(String, String)> {
    let of_rules = rules("rules.yml").into_iter().chain(alerts());
    let of_rules = of_rules.map(|rule| (rule.name.clone(), rule.field("expr").to_owned()));
    of_rules.chain(all_dashboard_queries()).collect()
}

#[test]
fn every_series_that_is_asked_for_is_recorded_or_documented() {
    let documented = documented();
    let recorded: BTreeSet<String> = rules("rules.yml").into_iter().map(|rule| rule.name).collect();
    let mut problems = Vec::new();
    for (place, query) in all_queries() {
        for series in queries::series(&query) {
            let is_other = OF_PROMETHEUS.contains(&series.as_str()) || OF_DRILLS.contains(&series.as_str());
            if !is_other && !recorded.contains(&series) && metric_of(&documented, &series).is_none() {
                problems.push(format!("{place}: {series} is not in metrics.md and not recorded"));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn the_series_of_the_tests_are_those_that_nodes_have() {
    let documented = documented();
    for path in test_files() {
        let text = read(&path);
        for (at, key) in text.match_indices("{series: '") {
            let name = text[at + key.len()..].split('{').next().unwrap();
            let is_known = OF_PROMETHEUS.contains(&name) || metric_of(&documented, name).is_some();
            assert!(is_known, "{}: {name} is not in metrics.md", path.display());
        }
    }
}

/// They are equal on all nodes: a sum counts each once for every node, and a rate takes a node that replays for a reset.
#[test]
fn series_of_the_ledger_are_read_with_max_and_never_added_up() {
    let documented = documented();
    let mut problems = Vec::new();
    for (place, query) in all_queries() {
        let ledgers =
            queries::series(&query).into_iter().filter(|series| metric_of(&documented, series).is_some_and(|m| m.is_ledger));
        for series in ledgers {
            let is_good = query.contains("max ") && !query.contains("sum ") && !query.contains("rate(");
            if !is_good {
                problems.push(format!("{place}: {series} is of the ledger: {query}"));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn names_of_recorded_series_say_their_level_and_are_used_once() {
    let mut seen = BTreeMap::new();
    for rule in rules("rules.yml") {
        assert!(!rule.is_alert, "{} belongs into alerts.yml", rule.name);
        let parts: Vec<&str> = rule.name.split(':').collect();
        let is_good = matches!(parts[..], ["cluster" | "instance", metric, _] if metric.starts_with("stampede_"));
        assert!(is_good, "{} is not level:metric:operation", rule.name);
        assert_eq!(seen.insert(rule.name.clone(), ()), None, "{} is recorded twice", rule.name);
    }
}

#[test]
fn prometheus_takes_every_query_of_the_dashboards() {
    if !has("promtool") {
        return;
    }
    let mut text = "groups:\n  - name: dashboards\n    rules:\n".to_owned();
    for (number, (_, query)) in all_dashboard_queries().into_iter().enumerate() {
        let query = query.replace("$__rate_interval", "5m").replace('\'', "''");
        text.push_str(&format!("      - record: query_{number}\n        expr: '{query}'\n"));
    }
    let file = tempfile::Builder::new().suffix(".yml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    assert_good(&promtool(&["check", "rules"], &[file.path().to_owned()]));
}

#[test]
fn dashboards_can_be_told_which_prometheus_cluster_and_nodes() {
    for path in files(&folder().join("dashboards"), "json") {
        let board: Value = serde_json::from_str(&read(&path)).unwrap();
        assert_eq!(board["uid"], stem(&path).as_str());
        let variables: Vec<&str> =
            board["templating"]["list"].as_array().unwrap().iter().map(|v| v["name"].as_str().unwrap()).collect();
        assert_eq!(variables, ["datasource", "cluster", "instance"]);
        let sources = board["panels"].as_array().unwrap().iter().filter_map(|panel| panel["datasource"]["uid"].as_str());
        assert!(sources.into_iter().all(|uid| uid == "${datasource}"), "{}", path.display());
    }
}

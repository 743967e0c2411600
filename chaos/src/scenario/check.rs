//! Bounds of a scenario's values, each broken one named by its key.

mod parameters;

use std::fmt::Display;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::{FaultKind, FaultsWhen, Parameters, Scenario, Share, Span};
use crate::limits;

pub(super) fn check(scenario: &Scenario) -> anyhow::Result<()> {
    check_name(&scenario.name)?;
    within("cluster.nodes", scenario.cluster.nodes, 1, limits::NODES_MAX)?;
    for (key, span) in [("phases.warm_up", scenario.phases.warm_up), ("phases.faults", scenario.phases.faults)] {
        span_within(key, span, Duration::from_secs(1), limits::PHASE_MAX)?;
    }
    span_within("phases.settle", scenario.phases.settle, Duration::ZERO, limits::PHASE_MAX)?;
    check_traffic(scenario)?;
    check_clients(scenario)?;
    check_faults(scenario)?;
    let share = scenario.bounds.goodput_share.unwrap_or(1.0);
    ensure!(share > 0.0 && share <= 1.0, "bounds.goodput_share must be above 0 and at most 1, is {share}");
    ensure!(scenario.bounds.p99_factor >= 1.0, "bounds.p99_factor must be 1 or more, is {}", scenario.bounds.p99_factor);
    check_guards(scenario)
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let is_plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    ensure!(is_plain, "name must be of a-z 0-9 -, is {name:?}");
    within("name (length)", name.len(), 1, limits::NAME_CHARS_MAX)
}

fn check_traffic(scenario: &Scenario) -> anyhow::Result<()> {
    let traffic = &scenario.traffic;
    within("traffic.orders", traffic.orders.per_second(), 1, limits::ORDERS_PER_S_MAX)?;
    within("traffic.stamps_per_order_min", traffic.stamps_per_order_min, 1, limits::STAMPS_PER_ORDER_MAX)?;
    within(
        "traffic.stamps_per_order_max",
        traffic.stamps_per_order_max,
        traffic.stamps_per_order_min,
        limits::STAMPS_PER_ORDER_MAX,
    )?;
    within("traffic.accounts", traffic.accounts, 1, limits::ACCOUNTS_MAX)?;
    span_within("traffic.payment_window", traffic.payment_window, Duration::from_secs(1), limits::PAYMENT_WINDOW_MAX)?;
    for (key, span) in [
        ("traffic.think_time_max", traffic.think_time_max),
        ("traffic.notice_delay_max", traffic.notice_delay_max),
        ("traffic.repeat_delay_max", traffic.repeat_delay_max),
        ("traffic.void_delay_max", traffic.void_delay_max),
    ] {
        span_within(key, span, Duration::ZERO, limits::DELAY_MAX)?;
    }
    if let Some(interval) = traffic.audit_interval {
        span_within("traffic.audit_interval", interval, Duration::from_millis(100), limits::DELAY_MAX)?;
    }
    let shares = &traffic.shares;
    let endings = shares.cancel.ppm() + shares.never_pay.ppm() + shares.pay_late.ppm();
    ensure!(endings <= Share::WHOLE, "traffic.shares: cancel, never_pay and pay_late together must be at most 100%");
    let after_issue = shares.void.ppm() + shares.stamp.ppm();
    ensure!(after_issue <= Share::WHOLE, "traffic.shares: void and stamp together must be at most 100%");
    if let Some(policy) = &traffic.policy {
        within("traffic.policy.void_refund_percent", policy.void_refund_percent, 1, 100)?;
        let (key, least) = ("traffic.policy.void_window", Duration::from_secs(1));
        span_within(key, policy.void_window, least, limits::VOID_WINDOW_MAX)?;
    }
    check_series(scenario)
}

fn check_series(scenario: &Scenario) -> anyhow::Result<()> {
    let series = &scenario.traffic.series;
    within("traffic.series (count)", series.len(), 1, limits::SERIES_MAX)?;
    let mut codes: Vec<&str> = series.iter().map(|one| one.code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    ensure!(codes.len() == series.len(), "traffic.series: two have the same code");
    let whole: u32 = series.iter().map(|one| one.share.ppm()).sum();
    ensure!(whole == Share::WHOLE, "traffic.series: the shares must add up to 100%, are {} parts per million", whole);
    let is_crockford = |b: u8| b.is_ascii_digit() || (b.is_ascii_uppercase() && !matches!(b, b'I' | b'L' | b'O' | b'U'));
    for one in series {
        let is_code = one.code.len() == 3 && one.code.bytes().all(is_crockford);
        ensure!(is_code, "traffic.series: code must be three of 0-9 A-Z without I L O U, is {:?}", one.code);
        within("traffic.series.capacity", one.capacity, 1, 1_000_000_000)?;
        within("traffic.series.face_value_idr", one.face_value_idr, 1, 1_000_000)?;
    }
    Ok(())
}

fn check_clients(scenario: &Scenario) -> anyhow::Result<()> {
    let clients = &scenario.clients;
    span_within("clients.attempt_deadline", clients.attempt_deadline, Duration::from_millis(1), limits::DELAY_MAX)?;
    span_within("clients.retry_pause", clients.retry_pause, Duration::from_millis(1), limits::DELAY_MAX)?;
    span_within("clients.retry_pause_max", clients.retry_pause_max, clients.retry_pause.get(), limits::DELAY_MAX)?;
    within("clients.attempts_max", clients.attempts_max, 1, limits::ATTEMPTS_MAX)?;
    within("clients.buyers_in_flight_max", clients.buyers_in_flight_max, 1, limits::BUYERS_IN_FLIGHT_MAX)
}

fn check_faults(scenario: &Scenario) -> anyhow::Result<()> {
    let faults = &scenario.faults;
    for random in &faults.random {
        within("faults.random.count", random.count, 0, limits::FAULTS_MAX)?;
        span_within("faults.random.lasts_max", random.lasts_max, random.lasts_min.get(), limits::DELAY_MAX)?;
        check_kind("faults.random", scenario, random.kind, &random.parameters())?;
    }
    for one in &faults.at {
        span_within("faults.at.at", one.at, Duration::ZERO, scenario.phases.faults.get())?;
        span_within("faults.at.lasts", one.lasts, Duration::ZERO, limits::DELAY_MAX)?;
        check_kind("faults.at", scenario, one.kind, &one.parameters())?;
    }
    for when in &faults.when {
        check_when(scenario, when)?;
    }
    for (kind, count) in &scenario.required.faults {
        let planned = planned(scenario, *kind);
        ensure!(*count <= planned, "required.{} is {count}, but only {planned} are planned", kind.name());
    }
    let kept = scenario.cluster.config.get("raft").and_then(|raft| raft.get("entries_kept_after_snapshot"));
    ensure!(
        scenario.required.snapshot_installs == 0 || kept.and_then(toml::Value::as_integer) != Some(0),
        "required.snapshot_installs cannot be told with cluster.config.raft.entries_kept_after_snapshot = 0: \
         the log then begins right behind a node's own snapshots too"
    );
    Ok(())
}

fn check_when(scenario: &Scenario, when: &FaultsWhen) -> anyhow::Result<()> {
    let phase = scenario.phases.faults;
    within("faults.when.times", when.times, 1, limits::WHEN_TIMES_MAX)?;
    within("faults.when.required", when.required, 0, when.times)?;
    span_within("faults.when.apart", when.apart, Duration::ZERO, phase.get())?;
    ensure!(!when.state.0.is_empty(), "faults.when.state: it names no state, and would always be true");
    for threshold in when.state.0.values() {
        within("faults.when.state: at_least", threshold.at_least, 1, u64::MAX)?;
        let again_below = threshold.again_below.unwrap_or(threshold.at_least);
        within("faults.when.state: again_below", again_below, 1, threshold.at_least)?;
    }
    ensure!(!when.faults.is_empty(), "faults.when.faults: there are none");
    for (at, one) in when.faults.iter().enumerate() {
        span_within("faults.when.faults.after", one.after, Duration::ZERO, limits::DELAY_MAX)?;
        span_within("faults.when.faults.lasts", one.lasts, Duration::ZERO, limits::OVERLAPPING_LASTS_MAX)?;
        check_kind("faults.when.faults", scenario, one.kind, &one.parameters())?;
        let (name, means) = (one.kind.name(), one.kind.hurt().means());
        let other = when.faults[..at].iter().find(|other| other.kind.hurt().means() == means);
        ensure!(
            other.is_none(),
            "faults.when.faults: {name} and {} overlap, and what undoes one would undo the other",
            other.map_or("", |other| other.kind.name())
        );
        ensure!(
            one.kind.leaves_majority_alone() || when.faults.len() == 1,
            "faults.when.faults: {name} leaves a majority only while nothing else is broken"
        );
    }
    let latest = phase.get().checked_sub(when.length().get());
    let shown = humantime::format_duration;
    let latest = latest.with_context(|| format!("faults.when.faults last {}, phases.faults {phase}", when.length()))?;
    ensure!(
        when.fires_within(phase).get() <= latest,
        "faults.when.within must be at most {}, so that its faults are undone before the phase ends, is {}",
        shown(latest),
        when.fires_within(phase)
    );
    Ok(())
}

fn check_guards(scenario: &Scenario) -> anyhow::Result<()> {
    let (guards, nodes) = (&scenario.guards, scenario.cluster.nodes);
    // A guard below the run's own length, with the longest delays that can be drawn, would stop every run.
    let length = scenario.traffic_length() + scenario.stay_max();
    span_within("guards.wall_time", guards.wall_time, length, limits::WALL_TIME_MAX)?;
    if let Some(margin) = guards.quorum_margin {
        within("guards.quorum_margin", margin, 0, nodes - (nodes / 2 + 1))?;
    }
    if let Some(silence) = guards.no_contact {
        span_within("guards.no_contact", silence, Duration::from_secs(1), limits::WALL_TIME_MAX)?;
    }
    let lasts = guards.money_at_risk.map(|money| money.lasts).unwrap_or_default();
    span_within("guards.money_at_risk.lasts", lasts, Duration::ZERO, limits::WALL_TIME_MAX)
}

fn check_kind(key: &str, scenario: &Scenario, kind: FaultKind, parameters: &Parameters) -> anyhow::Result<()> {
    let (nodes, least, name) = (scenario.cluster.nodes, kind.nodes_min(), kind.name());
    ensure!(nodes >= least, "{key}: {name} needs a cluster of {least} nodes at least, has {nodes}");
    parameters::check(key, scenario, kind, parameters)
}

fn planned(scenario: &Scenario, kind: FaultKind) -> u32 {
    let random: u32 = scenario.faults.random.iter().filter(|one| one.kind == kind).map(|one| one.count).sum();
    let at: u32 = scenario.faults.at.iter().filter(|one| one.kind == kind).map(|_| 1).sum();
    let by_condition = |when: &FaultsWhen| when.faults.iter().filter(|one| one.kind == kind).map(|_| when.times).sum::<u32>();
    random + at + scenario.faults.when.iter().map(by_condition).sum::<u32>()
}

fn within<T: PartialOrd + Display>(key: &str, value: T, min: T, max: T) -> anyhow::Result<()> {
    ensure!(value >= min && value <= max, "{key} must be {min} to {max}, is {value}");
    Ok(())
}

fn span_within(key: &str, value: Span, min: Duration, max: Duration) -> anyhow::Result<()> {
    let shown = humantime::format_duration;
    ensure!(value.get() >= min && value.get() <= max, "{key} must be {} to {}, is {value}", shown(min), shown(max));
    Ok(())
}

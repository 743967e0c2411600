//! A scenario: what the cluster is, what its buyers do, what is broken when, and what must hold.
//!
//! One TOML file. Every value carries its unit ([`units`]), an unknown key is an error, and `check` says by the key's name
//! which bound a value breaks. What is drawn at random comes from the run's seed: [`crate::faults::plan`] resolves the faults,
//! [`crate::traffic::plan`] each buyer. The scenario itself decides nothing at run time.

pub mod arrivals;
mod check;
mod crash_point;
mod failure;
mod faults;
mod guards;
mod hurt;
mod kinds;
mod limit;
mod network;
mod parameters;
mod traffic;
pub mod units;
mod when;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

pub use arrivals::Arrivals;
pub use crash_point::CrashPoint;
pub use failure::FailureOf2024;
pub use faults::{FaultAt, Faults, RandomFaults, Required};
pub use guards::{Guards, MoneyAtRisk};
pub use hurt::{Hurt, Means};
pub use kinds::FaultKind;
pub use limit::Limit;
pub use network::{BackEnd, Network, Packets};
pub use parameters::Parameters;
pub(crate) use traffic::merge;
pub use traffic::{Clients, Policy, Series, Shares, Traffic};
pub use units::{Rate, Share, Size, Span};
pub use when::{FaultWhen, FaultsWhen, Measure, State, Threshold};

use crate::history::{Bounds, RequiredFault};
use crate::limits;

/// Scenarios that come with the tool: name and text.
pub const BUILT_IN: [(&str, &str); 35] = [
    ("bit-flips", include_str!("../../scenarios/bit-flips.toml")),
    ("bridge", include_str!("../../scenarios/bridge.toml")),
    ("casn2024-leader-kill", include_str!("../../scenarios/casn2024-leader-kill.toml")),
    ("clean", include_str!("../../scenarios/clean.toml")),
    ("clock-jump", include_str!("../../scenarios/clock-jump.toml")),
    ("crash-points", include_str!("../../scenarios/crash-points.toml")),
    ("disk-failure", include_str!("../../scenarios/disk-failure.toml")),
    ("disk-floor", include_str!("../../scenarios/disk-floor.toml")),
    ("disk-full", include_str!("../../scenarios/disk-full.toml")),
    ("flapping-node", include_str!("../../scenarios/flapping-node.toml")),
    ("install-interrupted", include_str!("../../scenarios/install-interrupted.toml")),
    ("isolate-leader", include_str!("../../scenarios/isolate-leader.toml")),
    ("isolate-leader-one-way", include_str!("../../scenarios/isolate-leader-one-way.toml")),
    ("isolate-leader-switch", include_str!("../../scenarios/isolate-leader-switch.toml")),
    ("kill-handover", include_str!("../../scenarios/kill-handover.toml")),
    ("leader-kill", include_str!("../../scenarios/leader-kill.toml")),
    ("limit-cpu", include_str!("../../scenarios/limit-cpu.toml")),
    ("limit-descriptors", include_str!("../../scenarios/limit-descriptors.toml")),
    ("limit-memory", include_str!("../../scenarios/limit-memory.toml")),
    ("lossy-links", include_str!("../../scenarios/lossy-links.toml")),
    ("lost-disk", include_str!("../../scenarios/lost-disk.toml")),
    ("majorities-ring", include_str!("../../scenarios/majorities-ring.toml")),
    ("overload-3x", include_str!("../../scenarios/overload-3x.toml")),
    ("paid-and-paused", include_str!("../../scenarios/paid-and-paused.toml")),
    ("pause-leader", include_str!("../../scenarios/pause-leader.toml")),
    ("payments-storm", include_str!("../../scenarios/payments-storm.toml")),
    ("power-cut", include_str!("../../scenarios/power-cut.toml")),
    ("restart-all", include_str!("../../scenarios/restart-all.toml")),
    ("rolling-restart", include_str!("../../scenarios/rolling-restart.toml")),
    ("slow-client-deadlines", include_str!("../../scenarios/slow-client-deadlines.toml")),
    ("slow-link", include_str!("../../scenarios/slow-link.toml")),
    ("smoke", include_str!("../../scenarios/smoke.toml")),
    ("snapshot-churn", include_str!("../../scenarios/snapshot-churn.toml")),
    ("stall-disk-leader", include_str!("../../scenarios/stall-disk-leader.toml")),
    ("swarm", include_str!("../../scenarios/swarm.toml")),
];

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// `a-z 0-9 -`; part of the folder's name.
    pub name: String,
    /// What the run is expected to show.
    pub hypothesis: String,
    /// It needs the whole machine, and `suite` runs nothing beside it.
    #[serde(default)]
    pub alone: bool,
    /// Failures of 2024 that its faults bring about the chance of, beside those that its buyers do ([`Self::provoked`]).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub provokes: BTreeSet<FailureOf2024>,
    pub cluster: Cluster,
    pub phases: Phases,
    #[serde(deserialize_with = "traffic::whole")]
    pub traffic: Traffic,
    #[serde(default)]
    pub clients: Clients,
    #[serde(default)]
    pub network: Network,
    #[serde(default)]
    pub faults: Faults,
    #[serde(default)]
    pub required: Required,
    #[serde(default)]
    pub bounds: TimeBounds,
    #[serde(default)]
    pub guards: Guards,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    pub nodes: u16,
    /// Merged over what the drill writes into each node's configuration file.
    #[serde(default)]
    pub config: toml::Table,
}

/// Traffic runs through all three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Phases {
    /// Before the first fault; its latency is the baseline.
    pub warm_up: Span,
    pub faults: Span,
    /// After the last fault is healed.
    pub settle: Span,
}

/// V12, V14, V15 and V22.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeBounds {
    /// From a healthy majority to the first acknowledged write.
    pub first_success: Span,
    /// From a healthy majority until the 99th percentile is back at the baseline.
    pub p99_back: Span,
    /// Back at the baseline: at most so many times the warm-up's...
    pub p99_factor: f64,
    /// ... or below this.
    pub p99_floor: Span,
    /// From the heal until every unknown is known; of one that its sender gave up, from when the tool asks about it.
    pub known: Span,
    /// After the last fault, until buyers are served as before the first.
    pub whole_again: Span,
    /// Of an overload: orders issued a second during it, at least so much of what the run showed at its best.
    pub goodput_share: Option<f64>,
}

impl Default for TimeBounds {
    fn default() -> Self {
        Self {
            first_success: Span::from_millis(5_000),
            p99_back: Span::from_millis(10_000),
            p99_factor: 3.0,
            p99_floor: Span::from_millis(250),
            known: Span::from_millis(30_000),
            whole_again: Span::from_millis(3_000),
            goodput_share: None,
        }
    }
}

impl Scenario {
    /// A file, or the name of a scenario that comes with the tool; and its text.
    ///
    /// # Errors
    /// It cannot be read, has an unknown key or a value without its unit, or breaks a bound.
    pub fn load(path_or_name: &str) -> anyhow::Result<(Self, String)> {
        let path = Path::new(path_or_name);
        let text = match BUILT_IN.iter().find(|(name, _)| *name == path_or_name) {
            _ if path.is_file() => std::fs::read_to_string(path).with_context(|| format!("reading {path_or_name}"))?,
            Some((_, text)) => (*text).to_owned(),
            None => bail!(
                "{path_or_name} is no file, and no scenario of that name is built in: {}",
                BUILT_IN.map(|(name, _)| name).join(", ")
            ),
        };
        let scenario = Self::parse(&text).with_context(|| format!("scenario {path_or_name}"))?;
        Ok((scenario, text))
    }

    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let scenario: Self = toml::from_str(text)?;
        check::check(&scenario)?;
        Ok(scenario)
    }

    /// The links between the nodes must be the tool's own.
    #[must_use]
    pub fn needs_network(&self) -> bool {
        self.faults.need_network() || self.network.back_end != BackEnd::default()
    }

    /// How long buyers arrive.
    #[must_use]
    pub fn traffic_length(&self) -> Duration {
        self.phases.warm_up.get() + self.phases.faults.get() + self.phases.settle.get()
    }

    /// Buyers in all.
    #[must_use]
    pub fn buyers(&self) -> u32 {
        let buyers = self.traffic_length().as_millis() * u128::from(self.traffic.orders.per_second()) / 1_000;
        u32::try_from(buyers).expect("checked: rate and length are bounded")
    }

    /// How long a buyer and the notices of their payments stay at most, waiting for answers left out.
    #[must_use]
    pub fn stay_max(&self) -> Duration {
        let traffic = &self.traffic;
        let is_ever_late = traffic.shares.pay_late > Share::default();
        let late = if is_ever_late { traffic.payment_window.get() + limits::LATE_PAYMENT_MAX } else { Duration::ZERO };
        traffic.think_time_max.get()
            + late
            + traffic.notice_delay_max.get()
            + traffic.repeat_delay_max.get().max(traffic.void_delay_max.get())
    }

    #[must_use]
    pub fn judge_bounds(&self) -> Bounds {
        let bounds = &self.bounds;
        Bounds {
            first_success_ms: bounds.first_success.ms(),
            p99_recovery_ms: bounds.p99_back.ms(),
            p99_factor: bounds.p99_factor,
            p99_floor_ms: bounds.p99_floor.ms(),
            known_within_ms: bounds.known.ms(),
            whole_again_ms: Some(bounds.whole_again.ms()),
            goodput_share: bounds.goodput_share,
        }
    }

    /// The failures of 2024 whose situation a run must have been in, or it says nothing of them.
    #[must_use]
    pub fn provoked(&self) -> BTreeSet<FailureOf2024> {
        let shares = &self.traffic.shares;
        let mut provoked = self.provokes.clone();
        provoked.insert(FailureOf2024::PaidButNoQuota);
        let double_payments = u64::from(self.buyers()) * u64::from(shares.double_payment.ppm()) / u64::from(Share::WHOLE);
        if double_payments >= limits::DOUBLE_PAYMENTS_SURE {
            provoked.insert(FailureOf2024::PaidTwice);
        }
        // The clerk asks what is owed back as long as the run lasts.
        if shares.settle_refund > Share::default() {
            provoked.insert(FailureOf2024::Unknown);
        }
        provoked
    }

    /// Those of a kind. What must have fired by a condition is known to the plan.
    #[must_use]
    pub fn required_faults(&self) -> Vec<RequiredFault> {
        let required = |kind: &str, at_least, role: &str| RequiredFault {
            kind: kind.into(),
            at_least,
            role: role.into(),
            ..RequiredFault::default()
        };
        let faults = self.required.faults.iter().map(|(kind, count)| required(kind.name(), *count, kind.role()));
        let installs = self.required.snapshot_installs;
        faults.chain((installs > 0).then(|| required(Required::SNAPSHOT_INSTALLS, installs, ""))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smoke_with(from: &str, to: &str) -> String {
        let text = BUILT_IN.iter().find(|(name, _)| *name == "smoke").expect("built in").1;
        assert!(text.contains(from), "the smoke scenario has no {from}");
        text.replacen(from, to, 1)
    }

    fn error_of(text: &str) -> String {
        format!("{:#}", Scenario::parse(text).expect_err("must be refused"))
    }

    #[test]
    fn every_built_in_scenario_is_valid_and_named_as_its_file() {
        for (name, text) in BUILT_IN {
            let scenario = Scenario::parse(text).unwrap_or_else(|error| panic!("{name}: {error:#}"));
            assert_eq!(scenario.name, name);
        }
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        let error = error_of(&smoke_with("[phases]", "[phases]\ncool_down = \"3s\""));
        assert!(error.contains("cool_down"), "{error}");
    }

    #[test]
    fn traffic_like_another_gives_only_what_differs() {
        let (bridge, _) = Scenario::load("bridge").expect("built in");
        let (pause, _) = Scenario::load("pause-leader").expect("built in");
        assert_ne!(bridge.traffic.orders, pause.traffic.orders);
        assert_eq!(bridge.traffic.shares, pause.traffic.shares);
        let error = error_of(&smoke_with("[traffic]", "[traffic]\nlike = \"sunday\""));
        assert!(error.contains("ordinary") && error.contains("sunday"), "{error}");
        let error = error_of(&smoke_with("[traffic.shares]", "[traffic.shares]\ncancl = \"3%\""));
        assert!(error.contains("cancl"), "{error}");
    }

    #[test]
    fn a_fault_of_links_has_its_delay_and_its_nodes() {
        let with = |kind: &str, more: &str| {
            let fault = format!("[[faults.at]]\nkind = \"{kind}\"\nat = \"1s\"\nlasts = \"1s\"\n{more}\n[required]");
            Scenario::parse(&smoke_with("[required]", &fault)).map_err(|error| format!("{error:#}"))
        };
        assert!(with("slow-leader", "delay = \"5ms\"").is_ok_and(|scenario| scenario.faults.need_network()));
        for (kind, more, told) in [
            ("slow-leader", "", "needs a value for delay"),
            ("clock-ahead-leader", "", "needs a value for offset"),
            ("clock-ahead-leader", "offset = \"25h\"", "faults.at.offset must be"),
            ("kill-leader", "offset = \"1h\"", "has no offset"),
            ("crash-leader", "", "needs a value for point"),
            ("crash-leader", "point = \"log.append\"", "is no crash point"),
            ("kill-leader", "point = \"log.append.before_done\"", "has no point"),
            ("slow-leader", "delay = \"5min\"", "faults.at.delay must be"),
            ("mute-leader", "delay = \"5ms\"", "has no delay"),
            ("majorities-ring", "", "needs a cluster of 5"),
        ] {
            let error = with(kind, more).expect_err(kind);
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn a_disk_is_lost_where_nodes_call_each_other_directly() {
        let with = |kind: &str, network: &str| {
            let fault = format!("[[faults.at]]\nkind = \"{kind}\"\nat = \"1s\"\nlasts = \"1s\"\n{network}\n[required]");
            Scenario::parse(&smoke_with("[required]", &fault)).map_err(|error| format!("{error:#}"))
        };
        assert!(with("lose-disk-follower", "").is_ok_and(|scenario| !scenario.faults.need_disks()));
        let cut = "[[faults.at]]\nkind = \"isolate-leader\"\nat = \"9s\"\nlasts = \"1s\"\n";
        for network in [cut, "[network]\nback_end = \"switch\"\n"] {
            let error = with("lose-disk-follower", network).expect_err(network);
            assert!(
                error.contains("faults.at: lose-disk-follower cannot be done where the network is the tool's own"),
                "{error}"
            );
        }
        let error = with("lose-disk-follower", "offset = \"1h\"").expect_err("it has none");
        assert!(error.contains("lose-disk-follower has no offset"), "{error}");
    }

    #[test]
    fn a_limit_is_of_what_its_fault_limits() {
        let with = |kind: &str, limit: &str| {
            let fault = format!("[[faults.at]]\nkind = \"{kind}\"\nat = \"1s\"\nlasts = \"1s\"\n{limit}\n[required]");
            Scenario::parse(&smoke_with("[required]", &fault)).map_err(|error| format!("{error:#}"))
        };
        let (cpu, memory, descriptors) =
            ("limit = { cpu = \"10%\" }", "limit = { memory = \"32MiB\" }", "limit = { descriptors = 4 }");
        assert!(with("limit-cpu-leader", cpu).is_ok_and(|one| one.faults.need_groups() && !one.faults.need_descriptors()));
        assert!(with("limit-memory-follower", memory).is_ok_and(|one| one.faults.need_groups()));
        assert!(with("limit-descriptors-leader", descriptors).is_ok_and(|one| one.faults.need_descriptors()));
        for (kind, limit, told) in [
            ("limit-cpu-leader", "", "limit-cpu-leader needs a value for limit"),
            ("kill-leader", cpu, "kill-leader has no limit"),
            ("limit-cpu-leader", memory, "limit-cpu-leader has no limit.memory"),
            ("limit-memory-leader", descriptors, "limit-memory-leader has no limit.descriptors"),
            ("limit-cpu-follower", "limit = { cpu = \"0.5%\" }", "faults.at.limit.cpu must be 1% to 100%, is 0.5%"),
            ("limit-memory-leader", "limit = { memory = \"4KiB\" }", "faults.at.limit.memory (bytes) must be 1048576 to"),
            ("limit-descriptors-leader", "limit = { descriptors = 257 }", "faults.at.limit.descriptors must be 0 to 256"),
            ("limit-cpu-leader", "limit = { disk = \"10%\" }", "unknown variant `disk`"),
        ] {
            let error = with(kind, limit).expect_err(kind);
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn what_buyers_do_provokes_failures_of_2024_and_a_scenario_names_what_its_faults_do() {
        use FailureOf2024::{BurnedStamp, PaidButNoQuota, PaidTwice, Unknown};
        let provoked = |text: &str| Scenario::parse(text).unwrap().provoked().into_iter().collect::<Vec<_>>();
        let by_buyers = smoke_with("provokes = [\"unreachable\"]\n", "");
        assert_eq!(provoked(&by_buyers), [PaidButNoQuota, PaidTwice, Unknown]);
        let few = by_buyers.replace("orders = \"500/s\"", "orders = \"5/s\"").replace("settle_refund", "# settle_refund");
        assert_eq!(provoked(&few), [PaidButNoQuota], "two double payments may both meet an order that was not issued");
        let named = smoke_with("\"unreachable\"", "\"burned-stamp\"");
        assert_eq!(provoked(&named), [PaidButNoQuota, PaidTwice, BurnedStamp, Unknown]);
        assert!(error_of(&smoke_with("\"unreachable\"", "\"out-of-ink\"")).contains("out-of-ink"));
    }

    #[test]
    fn a_condition_is_on_what_nodes_report_and_its_faults_can_overlap() {
        let with = |key: &str, value: &str| {
            let text = BUILT_IN.iter().find(|(name, _)| *name == "paid-and-paused").expect("built in").1;
            assert!(text.contains(key), "the scenario has no {key}");
            Scenario::parse(&text.replacen(key, value, 1)).map_err(|error| format!("{error:#}"))
        };
        assert!(with("times = 4", "times = 4\nwithin = \"20s\"").is_ok_and(|scenario| scenario.faults.need_network()));
        let with_fault = |kind: &str, more: &str| {
            let first = "[[faults.when.faults]]\n";
            with(first, &format!("{first}kind = \"{kind}\"\nlasts = \"1s\"\n{more}\n{first}"))
        };
        assert!(with_fault("kill-follower", "").is_ok());
        for (refused, told) in [
            (with("orders_awaiting_payment", "orders_awaiting"), "orders_awaiting"),
            (with("orders_awaiting_payment = { at_least = 50 }", ""), "it names no state"),
            (with("at_least = 50", "at_least = 0"), "at_least must be 1 to"),
            (with("at_least = 50", "at_least = 50, again_below = 51"), "again_below must be 1 to 50, is 51"),
            (with("at_least = 50", "at_least = 50, at_most = 90"), "at_most"),
            (with("times = 4", "times = 0"), "faults.when.times must be 1 to"),
            (with("required = 2", "required = 5"), "faults.when.required must be 0 to 4, is 5"),
            (with("times = 4", "times = 4\nwithin = \"23s\""), "faults.when.within must be at most 21s 900ms"),
            (with("apart = \"3s\"", "apart = \"3s\"\npause = \"1s\""), "pause"),
            (with("lasts = \"2s\"", "lasts = \"9s\""), "faults.when.faults.lasts must be 0s to 8s"),
            (with_fault("pause-follower", ""), "pause-leader and pause-follower overlap"),
            (with_fault("slow-leader", "delay = \"5ms\""), "mute-leader and slow-leader overlap"),
            (with("kind = \"mute-leader\"", "kind = \"bridge\""), "bridge leaves a majority only while nothing else"),
        ] {
            let error = refused.expect_err(told);
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn a_fault_of_packets_needs_the_switch_and_says_what_it_does_to_them() {
        let with = |back_end: &str, kind: &str, more: &str| {
            let fault = format!("[[faults.at]]\nkind = \"{kind}\"\nat = \"1s\"\nlasts = \"1s\"\n{more}\n[required]");
            let text = smoke_with("[required]", &fault) + &format!("\n[network]\nback_end = \"{back_end}\"\n");
            Scenario::parse(&text).map_err(|error| format!("{error:#}"))
        };
        let (lossy, corrupt) = ("packets = { loss = \"20%\" }", "packets = { corrupt = \"1%\", bytes_per_s = \"64KiB\" }");
        assert!(with("switch", "lossy-links", &format!("{lossy}\ndelay = \"5ms\"")).is_ok_and(|one| one.needs_network()));
        assert!(with("switch", "corrupt-links", corrupt).is_ok());
        assert!(with("nftables", "mute-leader", "").is_ok());
        for (back_end, kind, more, told) in [
            ("proxies", "lossy-links", lossy, "lossy-links cannot be done with network.back_end \"proxies\""),
            ("nftables", "slow-leader", "delay = \"5ms\"", "slow-leader cannot be done"),
            ("switch", "lossy-links", "", "lossy-links needs a value for packets"),
            ("switch", "lossy-links", corrupt, "needs packets.loss above 0%"),
            ("switch", "corrupt-links", lossy, "needs packets.corrupt above 0%"),
            ("switch", "slow-leader", &format!("delay = \"5ms\"\n{lossy}"), "slow-leader has no packets"),
            ("switch", "lossy-links", "packets = { loss = \"51%\" }", "packets.loss must be 0% to 50%, is 51%"),
            (
                "switch",
                "lossy-links",
                "packets = { loss = \"1%\", bytes_per_s = \"1KiB\" }",
                "bytes_per_s (bytes) must be 16384",
            ),
            ("switch", "lossy-links", "packets = { los = \"1%\" }", "unknown field `los`"),
            ("hub", "mute-leader", "", "unknown variant `hub`"),
        ] {
            let error = with(back_end, kind, more).expect_err(kind);
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn a_value_without_its_unit_is_an_error() {
        let error = error_of(&smoke_with("warm_up = \"2s\"", "warm_up = \"2\""));
        assert!(error.contains("warm_up") && error.contains("no length of time"), "{error}");
        let error = error_of(&smoke_with("warm_up = \"2s\"", "warm_up = 2"));
        assert!(error.contains("warm_up"), "{error}");
    }

    #[test]
    fn a_value_out_of_bounds_is_named_with_its_bounds() {
        let error = error_of(&smoke_with("payment_window = \"4s\"", "payment_window = \"10ms\""));
        assert!(error.contains("traffic.payment_window must be 1s to"), "{error}");
    }

    #[test]
    fn an_unknown_requirement_is_an_error_that_names_it() {
        let error = error_of(&smoke_with("kill-leader = 1\n", "kill-leader = 1\nsnapshot_instals = 1\n"));
        assert!(error.contains("snapshot_instals"), "{error}");
        let text = smoke_with("kill-leader = 1\n", "kill-leader = 1\nsnapshot_installs = 2\n");
        assert_eq!(Scenario::parse(&text).expect("valid").required.snapshot_installs, 2);
    }

    #[test]
    fn a_series_code_that_the_protocol_does_not_know_is_refused() {
        for code in ["ILO", "em1", "EM", "EMÉ"] {
            let error = error_of(&smoke_with("\"EM1\"", &format!("\"{code}\"")));
            assert!(error.contains("traffic.series: code"), "{error}");
        }
    }

    #[test]
    fn installs_cannot_be_required_where_a_nodes_own_snapshots_look_like_them() {
        let with = |kept: &str, installs: &str| {
            let config = format!("nodes = 3\n\n[cluster.config.raft]\nentries_kept_after_snapshot = {kept}\n");
            smoke_with("nodes = 3\n", &config)
                .replace("kill-all = 1\n", &format!("kill-all = 1\nsnapshot_installs = {installs}\n"))
        };
        let error = error_of(&with("0", "1"));
        assert!(error.contains("required.snapshot_installs"), "{error}");
        assert!(Scenario::parse(&with("0", "0")).is_ok() && Scenario::parse(&with("150", "1")).is_ok());
    }

    #[test]
    fn a_guard_has_its_bounds_and_no_key_that_is_unknown() {
        let with = |guard: &str| Scenario::parse(&smoke_with("[bounds]", &format!("[guards]\n{guard}\n\n[bounds]")));
        let money = |more: &str| format!("money_at_risk = {{ above_idr = 5000000, lasts = \"5s\"{more} }}");
        let guards = with(&format!("quorum_margin = 1\nno_contact = \"20s\"\n{}", money(""))).expect("valid").guards;
        assert_eq!((guards.nodes_left_min(3), Guards::default().nodes_left_min(3)), (Some(3), None));
        for (guard, told) in [
            ("quorum_margin = 2".to_owned(), "guards.quorum_margin must be 0 to 1, is 2"),
            ("no_contact = \"10ms\"".to_owned(), "guards.no_contact must be 1s to"),
            (money(", after = \"1s\""), "after"),
            (money("").replace("5s", "5h"), "guards.money_at_risk.lasts must be 0s to 4h"),
        ] {
            let error = format!("{:#}", with(&guard).expect_err(told));
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn delays_that_outlast_the_guard_are_refused() {
        let error = error_of(&smoke_with("repeat_delay_max = \"2s\"", "repeat_delay_max = \"10min\""));
        assert!(error.contains("guards.wall_time must be 10m"), "{error}");
    }

    #[test]
    fn buyers_stay_for_the_delays_that_can_be_drawn() {
        let (mut smoke, _) = Scenario::load("smoke").expect("built in");
        // Thinks 100 ms, pays up to 2 s after a window of 4 s, is notified after 150 ms and again 2 s later.
        assert_eq!(smoke.stay_max(), Duration::from_millis(8_250));
        smoke.traffic.shares.pay_late = Share::default();
        assert_eq!(smoke.stay_max(), Duration::from_millis(2_250));
    }

    #[test]
    fn more_required_faults_than_planned_are_refused() {
        let error = error_of(&smoke_with("kill-leader = 1", "kill-leader = 100"));
        assert!(error.contains("required.kill-leader"), "{error}");
    }
}

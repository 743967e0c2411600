//! A scenario: what the cluster is, what its buyers do, what is broken when, and what must hold.
//!
//! One TOML file. Every value carries its unit ([`units`]), an unknown key is an error, and `check` says by the key's name
//! which bound a value breaks. What is drawn at random comes from the run's seed: [`crate::faults::plan`] resolves the faults,
//! [`crate::traffic::plan`] each buyer. The scenario itself decides nothing at run time.

pub mod arrivals;
mod check;
pub mod units;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

pub use arrivals::Arrivals;
pub use units::{Rate, Share, Size, Span};

use crate::history::{Bounds, RequiredFault};
use crate::limits;

/// Scenarios that come with the tool: name and text.
pub const BUILT_IN: [(&str, &str); 8] = [
    ("casn2024-leader-kill", include_str!("../../scenarios/casn2024-leader-kill.toml")),
    ("clean", include_str!("../../scenarios/clean.toml")),
    ("leader-kill", include_str!("../../scenarios/leader-kill.toml")),
    ("overload-3x", include_str!("../../scenarios/overload-3x.toml")),
    ("restart-all", include_str!("../../scenarios/restart-all.toml")),
    ("slow-client-deadlines", include_str!("../../scenarios/slow-client-deadlines.toml")),
    ("smoke", include_str!("../../scenarios/smoke.toml")),
    ("snapshot-churn", include_str!("../../scenarios/snapshot-churn.toml")),
];

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// `a-z 0-9 -`; part of the folder's name.
    pub name: String,
    /// What the run is expected to show.
    pub hypothesis: String,
    pub cluster: Cluster,
    pub phases: Phases,
    pub traffic: Traffic,
    #[serde(default)]
    pub clients: Clients,
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

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    pub arrivals: Arrivals,
    /// Mean over the whole traffic.
    pub orders: Rate,
    pub stamps_per_order_min: u32,
    pub stamps_per_order_max: u32,
    /// Buying accounts; orders are spread over them.
    pub accounts: u32,
    /// How long an order waits for its payment.
    pub payment_window: Span,
    /// A buyer pays after up to this.
    pub think_time_max: Span,
    /// The provider's notice comes after up to this.
    pub notice_delay_max: Span,
    /// A repeated notice comes up to so much after the first.
    pub repeat_delay_max: Span,
    /// Who voids does so up to this after the payment was answered.
    #[serde(default)]
    pub void_delay_max: Span,
    pub policy: Option<Policy>,
    #[serde(default)]
    pub shares: Shares,
    pub series: Vec<Series>,
}

/// What part of the buyers, or of the payments, behaves so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shares {
    /// Buyers who come through a portal that submits in batches over a stream; the rest call one by one.
    pub through_stream: Share,
    /// Buyers who cancel instead of paying.
    pub cancel: Share,
    /// ... of those, who pay all the same.
    pub pay_after_cancel: Share,
    /// Buyers who let the order expire.
    pub never_pay: Share,
    /// Buyers who pay only after the order expired.
    pub pay_late: Share,
    pub wrong_amount: Share,
    /// Buyers who pay twice, as two payments.
    pub double_payment: Share,
    /// Payments without any order.
    pub stray_payment: Share,
    /// Notices that the provider sends again although the first was answered.
    pub repeated_notice: Share,
    /// Notices that are sent twice at once, to two nodes.
    pub concurrent_notice: Share,
    /// Orders that are placed again with the same body after they were answered.
    pub repeated_order: Share,
    /// Orders and payments that are sent again with the same id and another body.
    pub same_id_other_body: Share,
    /// Buyers who ask for their order after each step.
    pub ask_order: Share,
    /// ... who ask any node for whatever it has applied.
    pub ask_stale: Share,
    pub ask_payment: Share,
    pub verify_serial: Share,
    /// Buyers who void their order once it is issued, or try to although it never was.
    pub void: Share,
    /// ... of those, who stamp a document at the same moment: one of the two is refused.
    pub void_beside_stamp: Share,
    /// Buyers who stamp documents of their issued order.
    pub stamp: Share,
    /// ... of those, who stamp a document again on purpose.
    pub stamp_again: Share,
    /// ... of those who stamp, who try to void afterwards, which must be refused.
    pub void_after_stamp: Share,
    /// Refunds due that the provider's clerk pays out and settles.
    pub settle_refund: Share,
}

/// Set in the middle of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Of what was paid.
    pub void_refund_percent: u32,
    /// How long after its issue an order may be voided.
    pub void_window: Span,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    pub code: String,
    pub first_number: u64,
    /// Stamps.
    pub capacity: u64,
    pub face_value_idr: u32,
    /// Of all orders.
    pub share: Share,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clients {
    /// A call that is not answered by then is given up as unknown.
    pub attempt_deadline: Span,
    /// Unary calls that tell the server their deadline. The others leave it open, so that late answers are seen too.
    pub deadline_on_wire: Share,
    /// Before the same request is sent again; doubles up to the maximum.
    pub retry_pause: Span,
    pub retry_pause_max: Span,
    /// A buyer gives up after so many sends; what became of the request is asked after the heal.
    pub attempts_max: u32,
    /// Buyers at once; arrivals beyond are counted as shed by the tool.
    pub buyers_in_flight_max: u32,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            attempt_deadline: Span::from_millis(400),
            deadline_on_wire: Share::default(),
            retry_pause: Span::from_millis(20),
            retry_pause_max: Span::from_millis(2_000),
            attempts_max: 60,
            buyers_in_flight_max: 20_000,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// SIGKILL to the node that leads when the fault fires.
    KillLeader,
    /// SIGKILL to one node that follows.
    KillFollower,
    /// SIGKILL to all nodes at once.
    KillAll,
    /// SIGTERM to the leader: an orderly stop, which must hand over and exit with 0.
    StopLeader,
}

impl FaultKind {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KillLeader => "kill-leader",
            Self::KillFollower => "kill-follower",
            Self::KillAll => "kill-all",
            Self::StopLeader => "stop-leader",
        }
    }

    /// How many of `nodes` stay up.
    #[must_use]
    pub const fn nodes_left(self, nodes: u16) -> u16 {
        match self {
            Self::KillLeader | Self::KillFollower | Self::StopLeader => nodes - 1,
            Self::KillAll => 0,
        }
    }

    /// The role that the target must have for the fault to count; empty: any.
    #[must_use]
    pub const fn role(self) -> &'static str {
        match self {
            Self::KillLeader | Self::StopLeader => "leader",
            Self::KillFollower => "follower",
            Self::KillAll => "",
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Spread over the phase, in an order and at moments drawn from the seed.
    pub random: Vec<RandomFaults>,
    /// At given moments after the phase began.
    pub at: Vec<FaultAt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RandomFaults {
    pub kind: FaultKind,
    pub count: u32,
    /// The target is started again after a time drawn from these.
    pub restart_after_min: Span,
    pub restart_after_max: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaultAt {
    pub kind: FaultKind,
    pub at: Span,
    pub restart_after: Span,
}

/// What must have happened, or the run is inconclusive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Required {
    /// Snapshots that a node took over from another one.
    #[serde(default)]
    pub snapshot_installs: u32,
    /// So many of a kind must have landed.
    #[serde(flatten)]
    pub faults: BTreeMap<FaultKind, u32>,
}

impl Required {
    /// As [`RequiredFault::kind`], beside the kinds of faults.
    pub const SNAPSHOT_INSTALLS: &str = "snapshot_installs";
}

/// V12, V14 and V22.
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
    /// Of an overload: orders issued a second during it, at least so much of those before it.
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
            goodput_share: None,
        }
    }
}

/// The run is stopped and healed when one of these is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guards {
    /// The whole run, judgement left out.
    pub wall_time: Span,
    /// The run's folder.
    pub disk: Size,
}

impl Default for Guards {
    fn default() -> Self {
        Self {
            wall_time: Span::from_millis(10 * 60 * 1_000),
            disk: Size::try_from("8GiB".to_owned()).expect("a size with its unit"),
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
            goodput_share: bounds.goodput_share,
        }
    }

    #[must_use]
    pub fn required_faults(&self) -> Vec<RequiredFault> {
        let required = |kind: &str, at_least, role: &str| RequiredFault { kind: kind.into(), at_least, role: role.into() };
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

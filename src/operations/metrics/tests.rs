//! The page of a node that has done nothing yet.

use std::sync::Arc;

use super::*;
use crate::operations::health::tests::healthy;

struct Fresh {
    counters: crate::consensus::Metrics,
    ledger: Result<LedgerFigures, StorageError>,
}

impl Observed for Fresh {
    fn status(&self) -> NodeStatus {
        healthy()
    }

    fn counters(&self) -> &crate::consensus::Metrics {
        &self.counters
    }

    fn unheard_voters(&self) -> usize {
        0
    }

    fn ledger(&self) -> Result<LedgerFigures, StorageError> {
        self.ledger.clone()
    }
}

fn page() -> String {
    render(Ok(LedgerFigures::default()), Arc::new(|error| panic!("{error}"))).unwrap()
}

fn render(ledger: Result<LedgerFigures, StorageError>, on_storage_error: OnStorageError) -> Result<String, String> {
    let names = Names { node_id: "2".into(), node_name: "b".into(), cluster_id: String::new(), cluster_name: "c".into() };
    let metrics = Metrics {
        observed: Fresh { counters: crate::consensus::Metrics::default(), ledger },
        names: Box::new(move || names.clone()),
        calls: CallMetrics::new(),
        notices: Arc::default(),
        log_times: Arc::default(),
        figures: Arc::default(),
        scrape_us: Histogram::default(),
        lifecycle: Arc::default(),
        seen: Arc::new(Seen::new([1, 3])),
        disk_floor_bytes: 0,
        started_at_ms: 1_500,
        features: String::new(),
        on_storage_error,
    };
    Arc::new(metrics).render()
}

#[test]
fn a_ledger_that_cannot_be_read_is_told_to_the_node() {
    let damaged = StorageError::Corrupt { what: "a series".to_owned(), cause: "bytes".to_owned() };
    let told = Arc::new(std::sync::Mutex::new(None));
    let tell = told.clone();
    let rendered = render(Err(damaged.clone()), Arc::new(move |error| *tell.lock().unwrap() = Some(error.clone())));
    assert!(rendered.is_err());
    assert_eq!(*told.lock().unwrap(), Some(damaged));
}

/// Lines of a metric with their values, without the name.
fn series(page: &str, name: &str) -> Vec<String> {
    let is_of = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    page.lines().filter(is_of).map(|line| line[name.len()..].trim().to_owned()).collect()
}

#[test]
fn series_of_closed_label_sets_are_there_at_zero() {
    let page = page();
    let states = ["awaiting_payment", "issued", "cancelled", "expired", "voided"];
    assert_eq!(series(&page, "stampede_orders"), states.map(|state| format!("{{state=\"{state}\"}} 0")), "{page}");
    let reasons = ["order_unknown", "order_cancelled", "order_voided", "already_paid", "wrong_amount", "no_stock"];
    let refunds_due = reasons.map(|reason| format!("{{outcome=\"refund_due_{reason}\"}} 0"));
    assert_eq!(series(&page, "stampede_payments_total"), [&["{outcome=\"applied\"} 0".to_owned()], &refunds_due[..]].concat());
    for due in ["stampede_refunds_due_orders", "stampede_refunds_due_amount_idr"] {
        let reasons = [&reasons[..], &["void"]].concat();
        let expected: Vec<_> = reasons.iter().map(|reason| format!("{{reason=\"{reason}\"}} 0")).collect();
        assert_eq!(series(&page, due), expected);
    }
    assert_eq!(series(&page, "stampede_raft_replication_lag_entries"), ["{peer=\"1\"} 0", "{peer=\"3\"} 0"]);
    assert_eq!(series(&page, "stampede_raft_proposals_total").len(), 4);
    let kinds = [
        "open_series",
        "place_order",
        "record_payment",
        "cancel_order",
        "void_order",
        "stamp_document",
        "settle_refund",
        "set_policy",
    ];
    let suppressed = kinds.map(|kind| format!("{{kind=\"{kind}\"}} 0"));
    assert_eq!(series(&page, "stampede_duplicates_suppressed_total"), suppressed);
    assert!(series(&page, "grpc_server_handled_total").iter().all(|line| line.ends_with(" 0")));
    let one =
        "{grpc_type=\"unary\",grpc_service=\"stampede.v1.IssuanceService\",grpc_method=\"PlaceOrder\",grpc_code=\"OK\"} 0";
    assert!(series(&page, "grpc_server_handled_total").contains(&one.to_owned()), "{page}");
    assert_eq!(series(&page, "stampede_raft_batch_commands_count"), ["0"]);
}

#[test]
fn a_state_is_one_hot_and_times_are_in_seconds() {
    let page = page();
    let states = series(&page, "stampede_raft_state");
    let hot: Vec<&String> = states.iter().filter(|line| line.ends_with(" 1")).collect();
    assert_eq!(hot, ["{state=\"follower\"} 1"]);
    assert_eq!(series(&page, "process_start_time_seconds"), ["1.5"]);
    assert!(page.contains("stampede_raft_apply_duration_seconds_bucket{le=\"0.000001\"} 0"), "{page}");
    assert!(page.ends_with("# EOF\n"));
}

/// Gauges that a node has from its start on without having done anything: who it is, how it stands, and the machine's own.
const NOT_ZERO: [&str; 14] = [
    "stampede_build_info",
    "stampede_node_info",
    "stampede_healthcheck",
    "stampede_raft_state",
    "stampede_raft_has_leader",
    "stampede_raft_leader_node_id",
    "stampede_raft_running",
    "stampede_raft_term",
    "stampede_raft_last_log_index",
    "stampede_raft_committed_index",
    "stampede_raft_applied_index",
    "stampede_clock_offset_seconds",
    "stampede_admission_queue_commands_max",
    "process_",
];

#[test]
fn whatever_a_fresh_node_counts_is_there_at_zero() {
    let page = page();
    let is_free = |line: &&str| !line.starts_with('#') && !NOT_ZERO.iter().any(|name| line.starts_with(name));
    let others: Vec<&str> =
        page.lines().filter(is_free).filter(|line| !line.ends_with(" 0") && !line.ends_with(" 0.0")).collect();
    assert_eq!(others, Vec::<&str>::new());
    let is_there = |name: &str| assert!(!series(&page, name).is_empty(), "{name} has no series");
    let metrics = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    for (name, kind) in metrics.filter(|(name, _)| !OF_A_SERIES.contains(name)) {
        match kind {
            "counter" => is_there(&format!("{name}_total")),
            "histogram" => is_there(&format!("{name}_count")),
            _ => is_there(name),
        }
    }
}

/// They come when a series is opened.
const OF_A_SERIES: [&str; 5] = [
    "stampede_serials_issued",
    "stampede_serials_voided",
    "stampede_stock_capacity_serials",
    "stampede_stock_free_serials",
    "stampede_stock_reserved_serials",
];

/// Set to write the file anew.
const UPDATE: &str = "STAMPEDE_UPDATE_METRICS_MD";

#[test]
fn the_documented_metrics_are_those_of_the_page() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/cluster-config/monitoring/metrics.md");
    let made = metrics_md();
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap();
    assert!(written == made, "{path} is not what the code says: run this test with {UPDATE}=1, and read what changed");
}

const METRICS_MD_HEAD: &str = "\
# Metrics

Made from the code by the test `the_documented_metrics_are_those_of_the_page`: change the code, then run the test with
`STAMPEDE_UPDATE_METRICS_MD=1`. A name, its type, unit, kind and labels are a contract; what is not here is not.

**R** is of the replicated ledger, equal on all nodes at the same log index: read it with `max`, never add it up, and take `delta`
of the maximum in place of `rate` (`rules.yml` says why). **N** is of the node: add it up with `sum`. Every series is there from the
start, at 0; those with a `series` label come when the series is opened. A histogram has `_bucket{le}`, `_sum` and `_count`. A write
that a follower forwards is counted in `stampede_raft_proposals_total` and `stampede_raft_commands_answered_total` of both: what
clients asked for is in `grpc_server_handled_total`. The drill tool serves its own `stampede_drill_active{fault}` while it runs.

| metric | type | unit | kind | labels | meaning |
|---|---|---|---|---|---|
";

fn metrics_md() -> String {
    let page =
        render(Ok(LedgerFigures { series: vec![a_series()], ..LedgerFigures::default() }), Arc::new(|error| panic!("{error}")));
    let page = page.unwrap();
    let of_the_ledger = types(&ledger_page());
    let mut text = METRICS_MD_HEAD.to_owned();
    for (name, kind) in types(&page) {
        let shown = if kind == "counter" { format!("{name}_total") } else { name.clone() };
        let scope = if of_the_ledger.iter().any(|(of_it, _)| *of_it == name) { "R" } else { "N" };
        let help = page.lines().find_map(|line| line.strip_prefix("# HELP ")?.strip_prefix(&name)?.strip_prefix(' '));
        let help = help.unwrap().trim_end_matches('.');
        text.push_str(&format!("| `{shown}` | {kind} | {} | {scope} | {} | {help} |\n", unit(&name), labels(&page, &name)));
    }
    text
}

fn types(page: &str) -> Vec<(String, String)> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

fn a_series() -> Series {
    let terms = |code| crate::domain::SeriesCode::new(code).unwrap();
    Series {
        code: terms("CPN"),
        first_number: crate::domain::StampNumber::new(1).unwrap(),
        capacity: 0,
        face_value: crate::domain::Rupiah::from_idr(10_000),
        payment_window_ms: 1,
        key_check: [0; 8],
        issued: 0,
        voided: 0,
        reserved: 0,
        opened: crate::domain::Place { log_index: 1, offset: 0 },
    }
}

/// What comes of the ledger, alone.
fn ledger_page() -> String {
    #[derive(Debug)]
    struct Ledger(LedgerFigures);
    impl Collector for Ledger {
        fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
            ledger::encode(&mut Page::new(encoder), &self.0)
        }
    }
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Ledger(LedgerFigures::default())));
    let mut page = String::new();
    text::encode(&mut page, &registry).unwrap();
    page
}

/// The name says it.
fn unit(name: &str) -> &'static str {
    let table =
        [("_seconds", "seconds"), ("_bytes", "bytes"), ("_idr", "rupiah"), ("_entries", "entries"), ("_commands", "commands")];
    let table = table.into_iter().chain([("_commands_max", "commands"), ("_serials", "stamps"), ("_orders", "orders")]);
    let table = table.chain([("_index", "log index"), ("_info", "1"), ("_fds", "descriptors")]);
    table.into_iter().find(|(end, _)| name.ends_with(end)).map_or("count", |(_, unit)| unit)
}

/// Names, with their values where those are few and known.
fn labels(page: &str, name: &str) -> String {
    const OPEN: [&str; 12] = [
        "series",
        "peer",
        "node",
        "version",
        "revision",
        "profile",
        "features",
        "node_id",
        "node_name",
        "cluster_id",
        "cluster_name",
        "le",
    ];
    const VALUES_MAX: usize = 12;
    let mut known: Vec<(String, Vec<String>)> = Vec::new();
    for line in page.lines() {
        let rest = ["", "_total", "_bucket"].iter().find_map(|end| line.strip_prefix(&format!("{name}{end}{{")));
        let Some((inside, _)) = rest.and_then(|rest| rest.rsplit_once('}')) else { continue };
        for pair in inside.split("\",") {
            let (label, value) = pair.split_once("=\"").unwrap();
            let value = value.trim_end_matches('"').to_owned();
            let at = known.iter().position(|(known, _)| known == label).unwrap_or_else(|| {
                known.push((label.to_owned(), Vec::new()));
                known.len() - 1
            });
            if !known[at].1.contains(&value) {
                known[at].1.push(value);
            }
        }
    }
    let told = known.into_iter().filter(|(label, _)| label != "le").map(|(label, values)| {
        let is_open = OPEN.contains(&label.as_str()) || values.len() > VALUES_MAX;
        if is_open { format!("`{label}`") } else { format!("`{label}`: {}", values.join(" ")) }
    });
    told.collect::<Vec<_>>().join("; ")
}

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
        log_sync_us: Arc::default(),
        lifecycle: Arc::default(),
        seen: Arc::new(Seen::new([1, 3])),
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

#[test]
fn every_metric_is_documented() {
    let page = page();
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/cluster-config/README.md")).unwrap();
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let written = if kind == "counter" { format!("`{name}_total") } else { format!("`{name}") };
        let is_there = ["`", "{"].iter().any(|end| readme.contains(&format!("{written}{end}")));
        assert!(is_there, "{name} is not in cluster-config/README.md");
    }
}

//! Nothing that a node says of time bypasses the one reader of its clock (`src/clock.rs`): where a preloaded library (`clock_shim.c`)
//! shows the process another wall clock, all that it says moves; where its one reader is told to take that back, nothing does.
//!
//! Left out is what nobody reads as the node's time: the `Date` of an HTTP answer, the part of a new cluster's id that makes it unique,
//! and RocksDB's own log.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stampede::proto::drill::SetClockRequest;
use stampede::proto::drill::drill_service_client::DrillServiceClient;

use crate::harness::{Cluster, until};

/// By which the wall clock of a process is wrong: beyond whatever a machine under load takes, milliseconds.
const AHEAD_MS: i64 = 60 * 60 * 1000;
/// What says a moment so far from now says none.
const NEAR_MS: i64 = 12 * 60 * 60 * 1000;

/// A compiled shim, and the file that it reads.
struct Shim {
    folder: tempfile::TempDir,
}

impl Shim {
    fn make() -> Self {
        let shim = Self { folder: tempfile::tempdir().unwrap() };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/clock_shim.c");
        // There is one: rustc links with it.
        let compiled =
            Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(shim.library()).arg(source).arg("-ldl").output();
        let compiled = compiled.unwrap();
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        fs::write(shim.ahead(), (AHEAD_MS * 1_000_000).to_ne_bytes()).unwrap();
        shim
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("clock_shim.so")
    }

    fn ahead(&self) -> PathBuf {
        self.folder.path().join("ahead")
    }

    fn start(&self, cluster: &mut Cluster, node: u64) {
        let (library, ahead) = (self.library(), self.ahead());
        cluster.start_in(node, &[("LD_PRELOAD", library.as_os_str()), ("CLOCK_SHIM", ahead.as_os_str())]);
        cluster.until_started(node);
    }
}

#[expect(clippy::disallowed_methods, reason = "what the machine's clock shows is what a node's is compared with")]
fn machine_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// An order to the node's one reader, beside what the machine shows to it.
fn set_clock(cluster: &Cluster, node: u64, ahead_ms: i64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let address = format!("http://{}", cluster.admin_address(node));
    runtime.block_on(async {
        let mut drill = DrillServiceClient::connect(address).await.unwrap();
        drill.set_clock(SetClockRequest { ahead_ms, gain_ppm: 0 }).await.unwrap();
    });
}

/// Moments near now that a text names, each with what stands before it: RFC 3339, or a Unix time in seconds, milli-, micro- or
/// nanoseconds.
fn moments(text: &str) -> Vec<(String, i64)> {
    let near = |ms: i64| (ms - machine_ms()).abs() <= NEAR_MS;
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | ':' | '.' | 'T' | 'Z' | 'e' | '+');
    let mut found = Vec::new();
    for line in text.lines() {
        let words = line.split(|c| !is_part(c)).map(|word| word.trim_matches(|c: char| !c.is_ascii_digit() && c != 'Z'));
        for word in words.filter(|word| word.len() >= 10) {
            let number = || word.parse::<f64>().ok();
            #[expect(clippy::cast_possible_truncation, reason = "a moment near now")]
            let scaled =
                |number: f64| [1e3, 1.0, 1e-3, 1e-6].map(|scale| (number * scale) as i64).into_iter().find(|ms| near(*ms));
            let written = humantime::parse_rfc3339(word).ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let written = written.and_then(|since| i64::try_from(since.as_millis()).ok()).filter(|ms| near(*ms));
            found.extend(written.or_else(|| scaled(number()?)).map(|ms| (line.to_owned(), ms)));
        }
    }
    found
}

/// One of each thing that has a time, and all that the node says of them, by the name of who says it.
fn business(cluster: &Cluster) -> Vec<(&'static str, String)> {
    let json = |arguments: &[&str]| cluster.json(None, arguments);
    let order = |quantity: &str| {
        let placed = json(&["order", "place", "--series", "CPN", "--quantity", quantity]);
        placed["order_id"].as_str().unwrap().to_owned()
    };
    let (bought, voided) = (order("2"), order("1"));
    for (order, payment) in [(&bought, "p-1"), (&voided, "p-2"), (&bought, "p-3")] {
        json(&["order", "pay", order, "--payment-id", payment]);
    }
    json(&["order", "void", &voided]);
    json(&["stamp", "apply", &bought, "--sha256", &"5a".repeat(32)]);
    let folder = tempfile::tempdir().unwrap();
    let exported = folder.path().join("audit.jsonl");
    assert!(cluster.stampede_at(1, &["audit", "export", exported.to_str().unwrap()]).status.success());
    vec![
        ("order", json(&["order", "get", &bought]).to_string()),
        ("orders", json(&["order", "list"]).to_string()),
        ("refunds", json(&["refund", "list"]).to_string()),
        ("audit", fs::read_to_string(&exported).unwrap()),
        ("metrics", cluster.http(1, "/metrics").unwrap().1),
        ("log", cluster.log(1)),
    ]
}

/// Each moment must be in `expected`, and each of the speakers must name one.
fn assert_all_within(said: &[(&str, String)], expected: &Range<i64>, speakers: &[&str]) {
    for (who, text) in said {
        let moments = moments(text);
        assert!(!(moments.is_empty() && speakers.contains(who)), "{who} names no moment: {text}");
        for (line, ms) in moments {
            let off_s = (ms - expected.start) / 1000;
            assert!(expected.contains(&ms), "{who} is {off_s} s beside what the clock's one reader shows: {line}");
        }
    }
}

#[test]
fn all_that_a_node_says_of_time_is_by_its_one_reader() {
    let shim = Shim::make();
    for taken_back_ms in [0, -AHEAD_MS] {
        let mut cluster = Cluster::new(1);
        let started_ms = machine_ms();
        shim.start(&mut cluster, 1);
        if taken_back_ms != 0 {
            set_clock(&cluster, 1, taken_back_ms);
            // The metrics say when the storage was asked last: that is to be since.
            let asked = |cluster: &Cluster| cluster.measure::<f64>(1, "stampede_storage_asked_timestamp_seconds");
            let before = asked(&cluster);
            until("the storage is asked once more", || asked(&cluster) != before);
        }
        cluster.form();
        let mut said = business(&cluster);
        if taken_back_ms != 0 {
            leave_out_what_was_said_before(&mut said);
        }
        let shown = AHEAD_MS + taken_back_ms;
        let expected = started_ms + shown..machine_ms() + shown + 1;
        assert_all_within(&said, &expected, &["orders", "audit", "metrics", "log"]);
    }
}

/// The time of its start, and the lines of its log up to the order.
fn leave_out_what_was_said_before(said: &mut [(&str, String)]) {
    for (who, text) in said {
        if *who == "metrics" {
            *text = text.lines().filter(|line| !line.starts_with("process_start_time_seconds")).collect::<Vec<_>>().join("\n");
        } else if *who == "log" {
            let (_, after) = text.split_once("a drill set the clock of this process").unwrap();
            *text = after.to_owned();
        }
    }
}

#[test]
fn peers_see_a_clock_that_is_wrong_below_the_process_and_one_that_its_reader_takes_back() {
    const OFFSET: &str = "stampede_clock_offset_seconds{node=\"3\"}";
    /// Of what is told by one process and read by another, seconds.
    const SLACK_S: f64 = 5.0;
    let shim = Shim::make();
    let mut cluster = Cluster::new(3);
    for node in [1, 2] {
        cluster.start(node);
        cluster.until_started(node);
    }
    shim.start(&mut cluster, 3);
    cluster.form();
    let shows = |cluster: &Cluster, seconds: f64| {
        let leader = cluster.leader();
        leader
            .and_then(|leader| cluster.measure::<f64>(leader, OFFSET))
            .is_some_and(|offset| (offset - seconds).abs() <= SLACK_S)
    };
    let hour = Duration::from_millis(AHEAD_MS.unsigned_abs()).as_secs_f64();
    until("the leader sees a clock that is an hour ahead", || shows(&cluster, hour));
    set_clock(&cluster, 3, -AHEAD_MS);
    until("the leader sees a clock that is right", || shows(&cluster, 0.0));
}

#[test]
fn a_moment_is_found_however_it_is_written() {
    let now = machine_ms();
    let rfc = humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(now.unsigned_abs()));
    let text = format!(
        "{{\"at\":\"{rfc}\",\"ms\":{now},\"s\":{}}}\nus={}\nstart 1.{:09}e9\n",
        now / 1000,
        now * 1000,
        now - 1_000_000_000_000
    );
    let found: Vec<i64> = moments(&text).into_iter().map(|(_, ms)| (ms - now) / 1000).collect();
    assert_eq!(found, [0; 5], "{text}");
    assert!(moments("2024-09-01T00:00:00Z 1234567890123456 0192f0c1-2345-7abc-8def-0123456789ab 20260 [1]").is_empty());
}

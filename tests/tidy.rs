//! The style of the code base, held by a test: layers, sizes, banned words. Formatting and lints are clippy's and rustfmt's.

// A failed unwrap is a failed test.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss, unreachable_pub)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file without its tests; the seam is worth finding before.
const FILE_LINES_MAX: usize = 450;
/// Lines of a function.
const FUNCTION_LINES_MAX: usize = 70;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_under(folder: &str, extension: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries {
            let path = entry.expect("folder is readable").path();
            if path.is_dir() && !path.ends_with("target") {
                walk(&path, extension, found);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), extension, &mut found);
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("file is UTF-8")
}

/// Path from the root, for messages.
fn short(path: &Path) -> String {
    path.strip_prefix(root()).expect("under the root").display().to_string()
}

/// The file without its inline tests, which stand at its end.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod ").next().unwrap_or(text)
}

fn assert_clean(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

/// What the code of a layer may not name.
const LAYERS: [(&str, &[&str]); 5] = [
    (
        "src/domain",
        &[
            "crate::storage",
            "crate::consensus",
            "crate::transport",
            "crate::operations",
            "crate::proto",
            "crate::clock",
            "tokio",
            "tonic",
            "rocksdb",
            "openraft",
            "rand::",
            "HashMap",
            "HashSet",
            "SystemTime",
            "Instant",
            "f32",
            "f64",
            "std::fs",
            "std::net",
            "async fn",
        ],
    ),
    ("src/storage", &["crate::consensus", "crate::transport", "crate::operations", "openraft", "tonic::"]),
    (
        "src/consensus",
        &[
            "crate::transport",
            "crate::operations",
            "rocksdb",
            "tonic::",
            // The clock and the tasks are the runtime's, which may be a simulated one.
            "tokio::spawn",
            "tokio::time",
            "tokio::select",
            "Instant::now",
        ],
    ),
    ("src/transport", &["crate::operations", "rocksdb", "openraft::"]),
    ("src/operations", &["rocksdb::", "openraft::"]),
];

/// The code of a line: what stands before a comment. (Good enough: no string of ours contains `//` and a banned word.)
fn code_of(line: &str) -> &str {
    line.split("//").next().unwrap_or("")
}

/// The lines of a layer's file, outside of its tests, that name what they may not, each with the word.
fn banned_words(text: &str, banned: &[&'static str]) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    let mut planted = false;
    for (number, line) in (1..).zip(without_tests(text).lines()) {
        // A planted bug breaks the rules on purpose, in the line after its feature.
        let excused = std::mem::replace(&mut planted, line.contains("feature = \"planted-bugs\""));
        let words = banned.iter().filter(|word| !excused && code_of(line).contains(**word));
        found.extend(words.map(|word| (number, *word)));
    }
    found
}

#[test]
fn each_layer_names_only_what_is_below_it() {
    let mut violations = Vec::new();
    for (layer, banned) in LAYERS {
        let files = files_under(layer, "rs");
        assert!(!files.is_empty(), "{layer} has no files");
        for path in files {
            let found = banned_words(&read(&path), banned).into_iter();
            violations.extend(found.map(|(line, word)| format!("{}:{line}: {layer} may not name `{word}`", short(&path))));
        }
    }
    assert_clean(&violations);
}

#[test]
fn what_would_make_replicas_differ_is_found_in_the_domain() {
    let [(layer, banned), ..] = LAYERS;
    assert_eq!(layer, "src/domain");
    let found = |line: &str| banned_words(line, banned).into_iter().map(|(_, word)| word).collect::<Vec<_>>();
    assert_eq!(found("use std::collections::HashMap;"), ["HashMap"]);
    assert_eq!(found("let seen: std::collections::HashSet<OrderId> = Default::default();"), ["HashSet"]);
    assert_eq!(found("let share = issued as f64 / capacity as f64;"), ["f64"]);
    assert_eq!(found("fn share(part: f32) {}"), ["f32"]);
    assert_eq!(found("let now = std::time::SystemTime::now();"), ["SystemTime"]);
    assert_eq!(found("let start = std::time::Instant::now();"), ["Instant"]);
    assert_eq!(found("let dice: u8 = rand::random();"), ["rand::"]);
    // Comments and tests may name them, and so may the line of a planted bug.
    assert_eq!(found("let sorted = 1; // a HashMap has no order"), Vec::<&str>::new());
    assert_eq!(found("fn f() {}\n#[cfg(test)]\nmod tests { use std::collections::HashMap; }"), Vec::<&str>::new());
    assert_eq!(
        banned_words(
            "#[cfg(feature = \"planted-bugs\")]\nlet at = crate::clock::unix_ms();\nlet b = crate::clock::unix_ms();",
            banned
        ),
        [(3, "crate::clock")]
    );
}

#[test]
fn the_drill_does_not_link_the_system_that_it_judges() {
    let manifest = read(&root().join("chaos/Cargo.toml"));
    assert!(!manifest.contains("\nstampede =") && !manifest.contains("\nstampede."), "chaos may not depend on stampede");
    // `use stampede::v1` is the generated client.
    let layers =
        ["stampede::domain", "stampede::storage", "stampede::consensus", "stampede::transport", "stampede::operations"];
    let names_the_library =
        |path: &Path| read(path).lines().any(|line| layers.iter().any(|layer| code_of(line).contains(layer)));
    let named = files_under("chaos/src", "rs").into_iter().filter(|path| names_the_library(path));
    let violations: Vec<_> = named.map(|path| format!("{}: names the library", short(&path))).collect();
    assert_clean(&violations);
}

#[test]
fn files_say_what_they_are_and_keep_to_their_size() {
    let mut violations = Vec::new();
    for path in ["src", "chaos/src"].iter().flat_map(|folder| files_under(folder, "rs")) {
        let text = read(&path);
        if !text.starts_with("//!") {
            violations.push(format!("{}: no header that says what the file is", short(&path)));
        }
        let lines = without_tests(&text).lines().count();
        if lines > FILE_LINES_MAX {
            violations.push(format!("{}: {lines} lines, at most {FILE_LINES_MAX}: find the seam", short(&path)));
        }
    }
    assert_clean(&violations);
}

#[test]
fn functions_fit_on_a_screen() {
    let mut violations = Vec::new();
    for path in ["src", "chaos/src"].iter().flat_map(|folder| files_under(folder, "rs")) {
        let text = read(&path);
        let lines: Vec<&str> = without_tests(&text).lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let declares = line
                .trim_start()
                .trim_start_matches("pub ")
                .trim_start_matches("pub(crate) ")
                .trim_start_matches("pub(super) ");
            let is_function = ["fn ", "async fn ", "const fn "].iter().any(|start| declares.starts_with(start));
            if !is_function || line.trim_end().ends_with(';') {
                continue;
            }
            // rustfmt closes a function at the indent of its first line.
            let closing = format!("{}}}", " ".repeat(indent));
            let length = lines[start..].iter().position(|l| *l == closing).map_or(1, |end| end + 1);
            if length > FUNCTION_LINES_MAX {
                violations.push(format!("{}:{}: {length} lines, at most {FUNCTION_LINES_MAX}", short(&path), start + 1));
            }
        }
    }
    assert_clean(&violations);
}

#[test]
fn nothing_unfinished_is_left() {
    // Split, so that this file does not find itself.
    let banned = [
        concat!("FIX", "ME"),
        concat!("TO", "DO"),
        concat!("XX", "X"),
        concat!("dbg", "!("),
        concat!("#[ign", "ore"),
        concat!("allow(dead", "_code"),
    ];
    let mut violations = Vec::new();
    for path in ["src", "chaos", "tests", "benches"].iter().flat_map(|folder| files_under(folder, "rs")) {
        for (number, line) in read(&path).lines().enumerate() {
            for word in banned.iter().filter(|word| line.contains(**word)) {
                violations.push(format!("{}:{}: `{word}`", short(&path), number + 1));
            }
        }
    }
    assert_clean(&violations);
}

#[test]
fn a_release_refuses_every_feature() {
    let manifest = read(&root().join("Cargo.toml"));
    let library = read(&root().join("src/lib.rs"));
    let features: Vec<&str> = manifest.lines().filter_map(|line| line.strip_suffix(" = []")).collect();
    assert!(features.len() >= 2, "found only {features:?}");
    for feature in features {
        assert!(library.contains(&format!("feature = \"{feature}\"")), "src/lib.rs does not refuse {feature} in a release");
    }
    assert!(!manifest.contains("\ndefault = ["), "no feature is on by default");
}

#[test]
fn the_header_of_the_library_draws_the_same_layers() {
    let library = read(&root().join("src/lib.rs"));
    assert!(library.contains("transport, operations ─► consensus ─► storage ─► domain"));
}

/// Events of the log lines in a text; or, of a line without one, what stands there.
fn logged_events(text: &str) -> Vec<String> {
    let levels = ["error", "warn", "info", "debug", "trace"].map(|level| format!("tracing::{level}!("));
    let begins = levels.iter().flat_map(|begin| text.match_indices(begin).map(|(at, begin)| &text[at + begin.len()..]));
    let event = |rest: &str| match rest.trim_start().strip_prefix("event = \"") {
        Some(named) => named.split('"').next().unwrap_or_default().to_owned(),
        None => format!("no event: {}", rest.trim_start().lines().next().unwrap_or_default()),
    };
    begins.map(event).collect()
}

#[test]
fn every_line_of_the_log_has_an_event_and_the_list_of_them_is_whole() {
    let sources = files_under("src", "rs").into_iter().map(|path| without_tests(&read(&path)).to_owned());
    let logged: BTreeSet<String> = sources.flat_map(|text| logged_events(&text)).collect();
    let listed = read(&root().join("cluster-config/monitoring/log.md"));
    let listed: BTreeSet<String> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(event, _)| event.to_owned())
        .collect();
    let missing = logged.difference(&listed).map(|event| format!("log.md does not have {event}"));
    let gone = listed.difference(&logged).map(|event| format!("nothing logs {event}, which log.md has"));
    assert_clean(&missing.chain(gone).collect::<Vec<_>>());
}

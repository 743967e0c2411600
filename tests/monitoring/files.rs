//! What `cluster-config/monitoring/` holds, read as far as the tests ask. Our own files have one shape, and what does not have it
//! fails here; promtool reads them with its own parser.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster-config/monitoring")
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Paths in a folder with an extension, in order.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    assert!(!paths.is_empty(), "{} has no .{extension}", folder.display());
    paths
}

pub fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

/// Where it is missing, a test says so and shows nothing; on a machine that is there to test (`CI=true`) that is a failure.
pub fn has(program: &str) -> bool {
    let Err(error) = Command::new(program).arg("--version").output() else { return true };
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI=true, and no {program}: {error}");
    eprintln!("nothing is shown here: {program}: {error} (make prometheus installs it)");
    false
}

pub fn promtool(arguments: &[&str], files: &[PathBuf]) -> Output {
    Command::new("promtool").args(arguments).args(files).output().unwrap()
}

/// What it said, if it is not content.
pub fn assert_good(output: &Output) {
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    assert!(output.status.success(), "{said}");
}

/// A recording rule or an alert.
#[derive(Debug)]
pub struct Rule {
    pub name: String,
    pub is_alert: bool,
    /// By key, those of labels and annotations among them.
    pub fields: BTreeMap<String, String>,
}

impl Rule {
    pub fn field(&self, key: &str) -> &str {
        self.fields.get(key).unwrap_or_else(|| panic!("{} has no {key}", self.name))
    }
}

pub fn rules(file: &str) -> Vec<Rule> {
    let text = read(&folder().join(file));
    let mut rules: Vec<Rule> = Vec::new();
    // Of a value that goes on in deeper lines: its key and its own depth.
    let mut open: Option<(String, usize)> = None;
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty()) {
        let depth = line.len() - line.trim_start().len();
        if let Some((key, of)) = &open {
            if depth > *of {
                let value = rules.last_mut().unwrap().fields.get_mut(key).unwrap();
                value.push_str(line.trim());
                value.push(' ');
                continue;
            }
            open = None;
        }
        let Some((key, value)) = line.trim_start().trim_start_matches("- ").split_once(':') else {
            panic!("{file}: no key in {line:?}")
        };
        let value = value.trim().trim_matches('\'');
        match key {
            "alert" | "record" => {
                rules.push(Rule { name: value.to_owned(), is_alert: key == "alert", fields: BTreeMap::new() });
            }
            "groups" | "rules" | "name" => {}
            _ if value == "|" => {
                rules.last_mut().unwrap().fields.insert(key.to_owned(), String::new());
                open = Some((key.to_owned(), depth));
            }
            _ => drop(rules.last_mut().unwrap().fields.insert(key.to_owned(), value.to_owned())),
        }
    }
    assert!(!rules.is_empty(), "{file} has no rules");
    rules
}

pub fn groups(file: &str) -> Vec<String> {
    read(&folder().join(file)).lines().filter_map(|line| line.strip_prefix("  - name: ").map(ToOwned::to_owned)).collect()
}

/// A line of `metrics.md`.
#[derive(Debug)]
pub struct Documented {
    pub kind: String,
    pub is_ledger: bool,
}

/// Of `metrics.md`, by name as it is asked for: a counter with its `_total`, a histogram without its endings.
pub fn documented() -> BTreeMap<String, Documented> {
    let text = read(&folder().join("metrics.md"));
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let metrics = rows.map(|row| {
        let (name, rest) = row.split_once('`').unwrap();
        let columns: Vec<&str> = rest.trim_start_matches(" |").split(" | ").map(str::trim).collect();
        let [kind, _unit, scope, ..] = columns[..] else { panic!("a row of metrics.md has too few columns: {row}") };
        (name.to_owned(), Documented { kind: kind.to_owned(), is_ledger: scope == "R" })
    });
    let metrics: BTreeMap<_, _> = metrics.collect();
    assert!(metrics.len() > 50, "metrics.md has {} metrics", metrics.len());
    metrics
}

/// The metric that a series belongs to: of a histogram, without its ending.
pub fn metric_of<'a>(documented: &'a BTreeMap<String, Documented>, series: &str) -> Option<&'a Documented> {
    documented.get(series).filter(|metric| metric.kind != "histogram").or_else(|| {
        let endings = ["_bucket", "_sum", "_count"];
        let name = endings.iter().find_map(|ending| series.strip_suffix(ending))?;
        documented.get(name).filter(|metric| metric.kind == "histogram")
    })
}

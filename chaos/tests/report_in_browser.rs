//! `make report-check`: the report in a headless Chromium. Not among `cargo test`, for it needs a browser.
//!
//! A script of the test's own drags, double-clicks and follows a link as a reader would, and tells what it saw. The pictures are
//! for eyes: wide and narrow, light and dark, of a run that held and of one that did not.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

#[path = "judge_support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use stampede_chaos::history::{Outcome, Record};
use stampede_chaos::recheck::recheck;
use support::{Run, clean};

const PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// Name, width and height of the window, and whether the reader prefers dark.
const WINDOWS: [(&str, u32, u32, bool); 4] = [
    ("wide-light", 1_300, 2_400, false),
    ("wide-dark", 1_300, 2_400, true),
    ("phone-light", 390, 4_000, false),
    ("phone-dark", 390, 4_000, true),
];

/// Before anything of the page: whatever fails is told.
const LISTEN: &str = r"<script>
const failures = [];
addEventListener('error', (event) => failures.push(event.message));
addEventListener('securitypolicyviolation', (event) => failures.push(event.violatedDirective));
// Events that no finger makes have no pointer to be captured.
Element.prototype.setPointerCapture = () => {};
</script>";

/// After it: does what a reader does.
const READ: &str = r"<script>
const drawings = [...document.querySelectorAll('.stack svg')];
const views = () => [...new Set(drawings.map((drawing) => drawing.getAttribute('viewBox')))];
const isShown = (selector) => getComputedStyle(document.querySelector(selector)).display !== 'none';
const box = document.querySelector('.axis').getBoundingClientRect();
const point = (type, share) => document.querySelector('.plot .drawing').dispatchEvent(
  new PointerEvent(type, { bubbles: true, button: 0, clientX: box.left + box.width * share }));
const drag = (from, to) => { point('pointerdown', from); point('pointermove', to); point('pointerup', to); };
const told = { failures, overflow: document.documentElement.scrollWidth - innerWidth, whole: views() };
point('pointermove', 0.5);
told.readout = document.querySelector('.plot output').textContent;
drag(0.75, 0.25);
told.half = views();
told.reset = isShown('.reset');
drag(0.4, 0.45);
told.close = views();
told.fine = [isShown('g.fine'), isShown('g.coarse')];
document.querySelector('.stack').dispatchEvent(new MouseEvent('dblclick', { bubbles: true }));
told.again = views();
document.querySelector('a[data-from-ms]').click();
told.fault = views();
const pre = document.createElement('pre');
pre.id = 'told';
pre.textContent = JSON.stringify(told);
document.body.append(pre);
</script>";

fn browser() -> PathBuf {
    if let Some(named) = std::env::var_os("CHROMIUM").map(PathBuf::from) {
        assert!(named.is_file(), "CHROMIUM names {}, which is no program", named.display());
        return named;
    }
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let mut programs = PROGRAMS.iter().flat_map(|program| folders.iter().map(move |folder| folder.join(program)));
    programs.find(|program| program.is_file()).expect(
        "this check needs Chromium, and there is none in the PATH: install it (Debian: apt-get install chromium), or name it in CHROMIUM",
    )
}

struct Browser {
    program: PathBuf,
    profile: tempfile::TempDir,
}

impl Browser {
    fn open(&self, page: &Path, width: u32, height: u32, arguments: &[&str]) -> String {
        let output = Command::new(&self.program)
            // (As root, as in a container, it starts only without its sandbox. The page is our own.)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"])
            .arg(format!("--user-data-dir={}", self.profile.path().display()))
            .arg(format!("--window-size={width},{height}"))
            .args(arguments)
            .arg(format!("file://{}", page.display()))
            .stderr(Stdio::null())
            .output()
            .expect("the browser starts");
        assert!(output.status.success(), "the browser ended with {}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    fn picture(&self, page: &Path, to: &Path, (width, height): (u32, u32), is_dark: bool) {
        let scheme =
            if is_dark { "--blink-settings=preferredColorScheme=0" } else { "--blink-settings=preferredColorScheme=1" };
        self.open(page, width, height, &[&format!("--screenshot={}", to.display()), scheme]);
        assert!(to.is_file(), "{} was not drawn", to.display());
    }

    /// What [`READ`] told.
    fn read(&self, page: &Path, width: u32) -> Value {
        let text = std::fs::read_to_string(page).unwrap();
        let text = text.replacen("<head>", &format!("<head>{LISTEN}"), 1).replacen("</body>", &format!("{READ}</body>"), 1);
        let probed = self.profile.path().join("probed.html");
        std::fs::write(&probed, text).unwrap();
        let dom = self.open(&probed, width, 1_000, &["--dump-dom"]);
        let told = dom.split("<pre id=\"told\">").nth(1).and_then(|rest| rest.split("</pre>").next());
        serde_json::from_str(told.unwrap_or_else(|| panic!("the page's script did not come to its end:\n{dom}"))).unwrap()
    }
}

/// From and to, milliseconds, of the one stretch that all drawings show.
fn stretch(told: &Value, when: &str) -> (f64, f64) {
    let views = told[when].as_array().unwrap();
    assert_eq!(views.len(), 1, "{when}: the drawings show the same stretch: {told:#}");
    let numbers: Vec<f64> = views[0].as_str().unwrap().split(' ').map(|number| number.parse().unwrap()).collect();
    (numbers[0], numbers[0] + numbers[2])
}

fn runs() -> [(&'static str, Run); 2] {
    let held = clean(7, 3_000, 24);
    let mut violated = clean(8, 3_000, 24);
    let written = violated.records.iter_mut().filter_map(|record| match record {
        Record::Return(answer) => match &mut answer.outcome {
            Outcome::Written(written) => Some(written),
            _ => None,
        },
        _ => None,
    });
    for written in written.skip(500).take(3) {
        written.receipt.place.log_index += 1;
    }
    [("held", held), ("violated", violated)]
}

#[test]
fn the_report_is_read_and_zoomed_in_a_browser() {
    let browser = Browser { program: browser(), profile: tempfile::tempdir().unwrap() };
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report-check");
    std::fs::create_dir_all(&pictures).unwrap();
    for (name, run) in runs() {
        let folder = tempfile::tempdir().unwrap();
        let written = run.write(&folder.path().join("run"));
        assert_eq!(recheck(&written).unwrap().verdict.word(), name);
        for (window, width, height, is_dark) in WINDOWS {
            browser.picture(&written.report(), &pictures.join(format!("{name}-{window}.png")), (width, height), is_dark);
            let told = browser.read(&written.report(), width);
            assert_eq!(told["failures"], serde_json::json!([]), "{window}");
            assert!(told["overflow"].as_i64().unwrap() <= 0, "{window}: the page is wider than its window: {told:#}");
            let (start, end) = stretch(&told, "whole");
            assert_eq!(start, 0.0);
            let near = |at: f64, expected: f64| (at - expected).abs() <= end / 100.0;
            let (from, to) = stretch(&told, "half");
            assert!(near(from, end / 4.0) && near(to, end * 3.0 / 4.0), "{window}: {told:#}");
            assert_eq!((&told["reset"], &told["fine"]), (&true.into(), &serde_json::json!([true, false])), "{window}");
            let (from, to) = stretch(&told, "close");
            assert!(to - from < end / 30.0, "{window}: {told:#}");
            assert_eq!(stretch(&told, "again"), (0.0, end), "{window}: a double click shows the whole run");
            assert_ne!(stretch(&told, "fault"), (0.0, end), "{window}: a fault's link zooms to it");
            assert!(told["readout"].as_str().unwrap().parse::<f64>().is_ok(), "{window}: {told:#}");
        }
    }
    println!("The pictures are in {}: look at them.", pictures.display());
}

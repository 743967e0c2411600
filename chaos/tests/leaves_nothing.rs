//! Whatever becomes of the tool, what it did to the machine is taken back: by itself, by its watchdog, or by `heal`.
//!
//! The tests with disks need root and loop devices (`disks_here`), those with networks root, TUN and nftables (`networks`).

// A failed unwrap is a failed test.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, unreachable_pub)]

mod disks_here;
mod groups_here;
mod healed;
mod killed;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use disks_here::has_disks;
use groups_here::has_groups;
use healed::HealedAtTheEnd;
use killed::Killed;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use stampede_chaos::network::probe;
use stampede_chaos::scenario::BackEnd;
use stampede_chaos::undo::{Confirmed, Identity, Journal, Undo, heal, left, scan};

const TOOL: &str = env!("CARGO_BIN_EXE_stampede-chaos");
/// A machine under load is slow, and none of this takes a second on an idle one.
const SOON: Duration = Duration::from_secs(30);

/// Every disk there is, hurt all the time.
const STALLS: &str = r#"
name = "stalls"
hypothesis = "the tool is killed in the middle of it"

[cluster]
nodes = 3

[phases]
warm_up = "1s"
faults = "20s"
settle = "1s"

[traffic]
like = "ordinary"
orders = "50/s"

[[faults.random]]
kind = "stall-disk-follower"
count = 8
lasts_min = "1s"
lasts_max = "1s"

[[faults.random]]
kind = "power-cut-follower"
count = 8
lasts_min = "500ms"
lasts_max = "500ms"
"#;

/// Nodes in namespaces of their own; `BACK_END` is to be replaced.
const SWITCHED: &str = r#"
name = "switched"
hypothesis = "the tool is killed in the middle of it"

[cluster]
nodes = 3

[phases]
warm_up = "1s"
faults = "20s"
settle = "1s"

[traffic]
like = "ordinary"
orders = "50/s"

[network]
back_end = "BACK_END"
"#;

/// Nodes in control groups of their own.
const GROUPED: &str = r#"
name = "grouped"
hypothesis = "the tool is killed in the middle of it"

[cluster]
nodes = 3

[phases]
warm_up = "1s"
faults = "20s"
settle = "1s"

[traffic]
like = "ordinary"
orders = "50/s"

[[faults.random]]
kind = "limit-cpu-leader"
count = 8
lasts_min = "1s"
lasts_max = "1s"
limit = { cpu = "10%" }
"#;

/// No node, and deaf: that its standard input closes is nothing to it.
const DEAF: &str = "#!/bin/sh\ntrap '' TERM\nexec sleep 600\n";
/// No node either, but it ends with its standard input, as one does.
const HEARS: &str = "#!/bin/sh\nexec cat\n";

fn until(what: &str, is_so: impl Fn() -> bool) {
    until_some(what, || is_so().then_some(()));
}

fn until_some<T>(what: &str, found: impl Fn() -> Option<T>) -> T {
    let end = Instant::now() + SOON;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "not within {SOON:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// It is armed.
fn watchdog(run: &Path) -> Killed {
    let mut watchdog = Killed::spawn(Command::new(TOOL).arg("watchdog").arg(run).stdin(Stdio::piped()).stdout(Stdio::piped()));
    hear(&mut watchdog);
    watchdog
}

/// Its answer: it has done what it was told.
fn hear(watchdog: &mut Killed) {
    let mut answer = [0];
    watchdog.stdout.as_mut().unwrap().read_exact(&mut answer).unwrap();
    assert_eq!(answer, *b"+");
}

fn command(program: &str, arguments: &[&Path]) {
    assert!(Command::new(program).args(arguments).status().unwrap().success(), "{program}");
}

/// As the tool does it: where it is.
fn mount_a_disk(run: &Path, journal: &Journal) -> PathBuf {
    let (image, at) = (run.join("disk.img"), run.join("disk"));
    std::fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    std::fs::create_dir(&at).unwrap();
    command("mkfs.ext4", &[Path::new("-q"), &image]);
    journal.will(&Undo::Unmount { at: at.clone() }).unwrap();
    command("mount", &[Path::new("-o"), Path::new("loop"), &image, &at]);
    at
}

#[test]
fn what_the_tool_left_running_is_killed_when_its_pipe_closes() {
    let run = tempfile::tempdir().unwrap();
    let journal = Journal::create(run.path()).unwrap();
    let sleep = || Killed::spawn(Command::new("sleep").arg("600").current_dir(run.path()));
    let (mut orphan, mut seen_to_end) = (sleep(), sleep());
    let undo = |child: &Killed| Undo::Kill(Identity::of(child.id()).unwrap());
    journal.will(&undo(&orphan)).unwrap();
    journal.will(&undo(&seen_to_end)).unwrap();
    journal.done(&undo(&seen_to_end)).unwrap();
    let mut watchdog = watchdog(run.path());
    // As a job is cancelled, and as a terminal goes: the tool may die of it, and the watchdog must not.
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        kill(Pid::from_raw(watchdog.id() as i32), signal).unwrap();
    }
    drop(watchdog.stdin.take());
    assert!(watchdog.wait().unwrap().success());
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&orphan.wait().unwrap()), Some(9));
    assert!(seen_to_end.try_wait().unwrap().is_none(), "only what was not seen to end is killed");
}

#[test]
fn a_frozen_disk_is_thawed_in_time_though_nobody_says_so() {
    if !has_disks(TOOL) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().canonicalize().unwrap();
    let _healed = HealedAtTheEnd(run.clone());
    let journal = Journal::create(&run).unwrap();
    let at = mount_a_disk(&run, &journal);
    let mut watchdog = watchdog(&run);
    let mut pipe = watchdog.stdin.take().unwrap();
    let word = serde_json::json!({"will-freeze": {"at": at, "at_most_ms": 300}});
    writeln!(pipe, "{word}").unwrap();
    hear(&mut watchdog);
    command("fsfreeze", &[Path::new("-f"), &at]);
    let written = std::thread::spawn({
        let file = at.join("file");
        move || std::fs::write(file, "thawed")
    });
    until("a write to the frozen disk goes on", || written.is_finished());
    written.join().unwrap().unwrap();
    // And the mount goes with the tool.
    drop(pipe);
    assert!(watchdog.wait().unwrap().success());
    assert_eq!(
        (scan(&run).unwrap(), left(&run).unwrap().len()),
        (Vec::new(), 1),
        "what the watchdog took back is not written down"
    );
}

#[test]
fn of_a_run_whose_journal_is_damaged_all_is_healed_that_can_be_read() {
    if !has_disks(TOOL) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().canonicalize().unwrap();
    let _healed = HealedAtTheEnd(run.clone());
    let journal = Journal::create(&run).unwrap();
    mount_a_disk(&run, &journal);
    let mut orphan = Killed::spawn(Command::new("sleep").arg("600").current_dir(&run));
    let path = run.join("undo.jsonl");
    let before = std::fs::read_to_string(&path).unwrap();
    journal.will(&Undo::Kill(Identity::of(orphan.id()).unwrap())).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{before}{{\"will\":{{\"thaw\":{{\"at\n{}", &text[before.len()..])).unwrap();
    let healed = heal(&run, Duration::ZERO, &Confirmed::default()).unwrap();
    assert_eq!(scan(&run).unwrap(), Vec::<String>::new());
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&orphan.wait().unwrap()), Some(9));
    assert_eq!(healed.left.len(), 1, "and the line is told: {healed:?}");
}

#[test]
fn of_a_doctor_that_was_killed_nothing_stays() {
    if !has_disks(TOOL) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let drills = folder.path().canonicalize().unwrap().join("target/drills");
    let mut doctor = Killed::spawn(Command::new(TOOL).arg("doctor").current_dir(folder.path()).stdout(Stdio::null()));
    let probed = || std::fs::read_dir(&drills).ok()?.flatten().map(|entry| entry.path()).next();
    let has_begun = |run: &PathBuf| left(run).is_ok_and(|left| !left.is_empty());
    let run = until_some("it has begun to make a disk", || probed().filter(has_begun));
    doctor.kill().unwrap();
    doctor.wait().unwrap();
    until("the watchdog is done", || watchdog_of(&run).is_none());
    assert_eq!(scan(&run).unwrap(), Vec::<String>::new());
}

#[test]
fn a_doctor_takes_back_what_it_tried() {
    let folder = tempfile::tempdir().unwrap();
    let doctor = Command::new(TOOL).arg("doctor").current_dir(folder.path()).output().unwrap();
    assert!(doctor.status.code().is_some_and(|code| code == 0 || code == 2), "{doctor:?}");
    let drills = std::fs::read_dir(folder.path().join("target/drills")).into_iter().flatten();
    assert_eq!(drills.count(), 0);
}

fn watchdog_of(run: &Path) -> Option<Pid> {
    let names_run = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut arguments = line.split(|byte| *byte == 0).skip(1);
        arguments.next() == Some(b"watchdog") && arguments.next() == Some(run.as_os_str().as_encoded_bytes())
    };
    let pids = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.into_iter().find(names_run).map(Pid::from_raw)
}

/// A drill with everything that could stay behind.
struct Drill {
    tool: Killed,
    run: PathBuf,
    _healed: HealedAtTheEnd,
    _folder: tempfile::TempDir,
}

impl Drill {
    fn of_disks() -> Self {
        assert!(
            Path::new(TOOL).with_file_name("stampede").is_file(),
            "`cargo build --workspace --bins` first, as `make test` does"
        );
        Self::start(STALLS, None)
    }

    /// `program`: what its nodes run.
    fn of_namespaces(back_end: BackEnd, program: &str) -> Self {
        Self::start(&SWITCHED.replace("BACK_END", back_end.name()), Some(program))
    }

    fn of_groups(program: &str) -> Self {
        Self::start(GROUPED, Some(program))
    }

    fn start(scenario: &str, program: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let (file, run) = (root.join("scenario.toml"), root.join("run"));
        std::fs::write(&file, scenario).unwrap();
        let mut command = Command::new(TOOL);
        command.args(["run", "--seed", "1", "--out"]).args([&run, &file]).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(program) = program {
            let node = root.join("program");
            std::fs::write(&node, program).unwrap();
            std::fs::set_permissions(&node, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            command.arg("--node-binary").arg(node);
        }
        Self { tool: Killed::spawn(&mut command), _healed: HealedAtTheEnd(run.clone()), run, _folder: folder }
    }

    fn is_frozen(&self) -> bool {
        left(&self.run).unwrap_or_default().iter().any(|undo| matches!(undo, Undo::Thaw { .. }))
    }

    /// Three nodes were started, each in a namespace.
    fn is_up(&self) -> bool {
        let kills = |undo: &&Undo| matches!(undo, Undo::Kill(_));
        left(&self.run).unwrap_or_default().iter().filter(kills).count() == 3
    }

    /// With its watchdog, at once.
    fn kill_both(&mut self) {
        assert!(self.tool.try_wait().unwrap().is_none(), "it is at work");
        kill(watchdog_of(&self.run).expect("the drill has a watchdog"), Signal::SIGKILL).unwrap();
        self.tool.kill().unwrap();
        // Whoever started it may never ask how it ended: it is left a zombie.
        waitid(Id::Pid(Pid::from_raw(self.tool.id() as i32)), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
    }

    fn heal(&self) {
        let healed = Command::new(TOOL).arg("heal").arg(&self.run).output().unwrap();
        assert_eq!(healed.status.code(), Some(0), "{}", String::from_utf8_lossy(&healed.stdout));
        assert_eq!(scan(&self.run).unwrap(), Vec::<String>::new());
    }
}

#[test]
fn of_a_drill_that_was_killed_nothing_stays() {
    if !has_disks(TOOL) {
        return;
    }
    let mut drill = Drill::of_disks();
    until("a disk stands still", || drill.is_frozen());
    drill.tool.kill().unwrap();
    drill.tool.wait().unwrap();
    // It has looked for a while whether anything more shows itself.
    until("the watchdog is done", || watchdog_of(&drill.run).is_none());
    assert_eq!(scan(&drill.run).unwrap(), Vec::<String>::new());
}

/// The disks are made one after the other, then the nodes are started: each is in the journal before it is there.
#[test]
fn of_a_drill_that_was_killed_while_it_was_prepared_nothing_stays() {
    if !has_disks(TOOL) {
        return;
    }
    for begun in 1..=6 {
        let mut drill = Drill::of_disks();
        until("so much has begun", || left(&drill.run).unwrap_or_default().len() >= begun);
        drill.tool.kill().unwrap();
        drill.tool.wait().unwrap();
        until("the watchdog is done", || watchdog_of(&drill.run).is_none());
        assert_eq!(scan(&drill.run).unwrap(), Vec::<String>::new(), "{begun}");
    }
}

#[test]
fn of_a_drill_that_was_killed_with_its_watchdog_heal_leaves_nothing() {
    if !has_disks(TOOL) {
        return;
    }
    // While disks are made; and three moments in which others are hurt or not.
    for after_ms in [150, 2_500, 4_100, 5_700] {
        let mut drill = Drill::of_disks();
        until("it has begun", || !left(&drill.run).unwrap_or_default().is_empty());
        std::thread::sleep(Duration::from_millis(after_ms));
        drill.kill_both();
        drill.heal();
    }
}

/// Back ends with namespaces that this machine has.
fn networks() -> impl Iterator<Item = BackEnd> {
    let works = |back_end: &BackEnd| {
        let folder = tempfile::tempdir().unwrap();
        let probed = probe::probe(*back_end, folder.path());
        if let Err(error) = &probed {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI=true, and no {}: {error:#}", back_end.name());
            eprintln!("nothing is shown of {} here: {error:#}", back_end.name());
        }
        probed.is_ok()
    };
    [BackEnd::Switch, BackEnd::Nftables].into_iter().filter(works)
}

/// Of the machine's own network.
fn links() -> Vec<String> {
    let table = std::fs::read_to_string("/proc/self/net/dev").unwrap();
    table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

#[test]
fn of_a_drill_in_namespaces_that_was_killed_nothing_stays() {
    for back_end in networks() {
        let before = links();
        let mut drill = Drill::of_namespaces(back_end, DEAF);
        until("three nodes are in their namespaces", || drill.is_up());
        let in_namespaces = scan(&drill.run).unwrap().iter().filter(|left| left.contains("network namespace")).count();
        assert_eq!((in_namespaces, links()), (3, before.clone()), "the machine's own network is left alone");
        drill.tool.kill().unwrap();
        drill.tool.wait().unwrap();
        until("the watchdog is done", || watchdog_of(&drill.run).is_none());
        assert_eq!((scan(&drill.run).unwrap(), links()), (Vec::new(), before));
    }
}

#[test]
fn of_a_drill_in_namespaces_that_was_killed_with_its_watchdog_heal_leaves_nothing() {
    for back_end in networks() {
        let before = links();
        let mut drill = Drill::of_namespaces(back_end, DEAF);
        until("three nodes are in their namespaces", || drill.is_up());
        drill.kill_both();
        assert!(!scan(&drill.run).unwrap().is_empty(), "they are deaf");
        drill.heal();
        // While namespaces are made, and nodes started.
        for after_ms in [0, 5, 15, 30, 60] {
            let mut drill = Drill::of_namespaces(back_end, HEARS);
            until("it has begun", || !left(&drill.run).unwrap_or_default().is_empty());
            std::thread::sleep(Duration::from_millis(after_ms));
            drill.kill_both();
            drill.heal();
        }
        assert_eq!(links(), before);
    }
}

/// Of the run, wherever they are in the machine's trees.
fn groups(run: &Path) -> usize {
    scan(run).unwrap().iter().filter(|left| left.contains("the control group")).count()
}

#[test]
fn of_a_drill_with_control_groups_that_was_killed_nothing_stays() {
    if !has_groups(TOOL) {
        return;
    }
    let mut drill = Drill::of_groups(DEAF);
    until("three nodes are in their groups", || drill.is_up());
    assert!(groups(&drill.run) >= 3, "{:?}", scan(&drill.run));
    drill.tool.kill().unwrap();
    drill.tool.wait().unwrap();
    until("the watchdog is done", || watchdog_of(&drill.run).is_none());
    assert_eq!(scan(&drill.run).unwrap(), Vec::<String>::new());
}

#[test]
fn of_a_drill_with_control_groups_that_was_killed_with_its_watchdog_heal_leaves_nothing() {
    if !has_groups(TOOL) {
        return;
    }
    // With all there, and while groups are made and nodes started.
    for after_ms in [None, Some(0), Some(2), Some(5), Some(15)] {
        let mut drill = Drill::of_groups(if after_ms.is_none() { DEAF } else { HEARS });
        match after_ms {
            None => until("three nodes are in their groups", || drill.is_up()),
            Some(after_ms) => {
                until("it has begun", || !left(&drill.run).unwrap_or_default().is_empty());
                std::thread::sleep(Duration::from_millis(after_ms));
            }
        }
        drill.kill_both();
        assert!(after_ms.is_some() || groups(&drill.run) >= 3);
        drill.heal();
    }
}

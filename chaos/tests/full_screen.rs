//! The full-screen view on a real terminal, which `script` (util-linux) makes.

// A failed unwrap is a failed test.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod killed;

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use killed::Killed;

const TOOL: &str = env!("CARGO_BIN_EXE_stampede-chaos");
/// A machine under load is slow, and none of this takes a second on an idle one.
const SOON: Duration = Duration::from_secs(30);
/// No nodes: one never answers, and ends with its standard input; the other ends when the key was typed.
const SILENT: &str = "#!/bin/sh\nexec cat\n";
const ENDS: &str = "#!/bin/sh\nuntil [ -e typed ]; do sleep 0.01; done\nexit 1\n";
/// What xterm and its kin take for: the other screen, and back.
const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";

/// The terminal's modes before and after the tool; the shell outlives the signal that the terminal's whole group gets. Nothing in
/// it has a quote.
const IN_TERMINAL: &str = "trap : INT; stty rows 24 cols 80; stty -a > before; $TOOL run clean --seed 1 --out run \
     --node-binary ./node $FLAGS; echo code $?; stty -a > after";

struct Seen {
    screen: String,
    modes: [String; 2],
}

fn terminal(folder: &Path, program: &str, flags: &str) -> Killed {
    let node = folder.join("node");
    std::fs::write(&node, program).unwrap();
    std::fs::set_permissions(&node, std::fs::Permissions::from_mode(0o755)).unwrap();
    // Under nohup the terminal's end would be nothing to it, and that is as it should be.
    let mut command = Command::new("env");
    command
        .args(["--default-signal=HUP", "script", "--quiet", "--flush", "--command", IN_TERMINAL, "/dev/null"])
        .current_dir(folder);
    command.env("TOOL", TOOL).env("FLAGS", flags).env("TERM", "xterm-256color").env("SHELL", "/bin/sh").env_remove("NO_COLOR");
    Killed::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))
}

/// Runs the tool in a terminal, types the key when that is shown, and waits for the end.
fn in_a_terminal(folder: &Path, program: &str, flags: &str, (shown, key): (&str, &[u8])) -> Seen {
    let mut script = terminal(folder, program, flags);
    let (mut keys, mut screen) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
    let (mut seen, mut chunk, mut is_pressed) = (Vec::new(), [0; 4_096], false);
    loop {
        let length = screen.read(&mut chunk).unwrap();
        if length == 0 {
            break;
        }
        seen.extend_from_slice(&chunk[..length]);
        if !is_pressed && String::from_utf8_lossy(&seen).contains(shown) {
            keys.write_all(key).unwrap();
            File::create(folder.join("typed")).unwrap();
            is_pressed = true;
        }
    }
    script.wait().unwrap();
    let screen = String::from_utf8_lossy(&seen).into_owned();
    assert!(is_pressed, "it never showed {shown}: {screen}");
    let modes = ["before", "after"].map(|name| {
        let mut text = String::new();
        File::open(folder.join(name)).unwrap().read_to_string(&mut text).unwrap();
        text
    });
    Seen { screen, modes }
}

#[test]
fn q_and_ctrl_c_end_the_run_and_leave_the_terminal_as_it_was() {
    for key in [&b"q"[..], b"\x03"] {
        let folder = tempfile::tempdir().unwrap();
        // The last panel: the picture is whole.
        let Seen { screen, modes } = in_a_terminal(folder.path(), SILENT, "", ("ends the run", key));
        let (before, rest) = screen.split_once(ENTER).expect("the view begins");
        let (view, after) = rest.split_once(LEAVE).expect("the view ends");
        assert!(before.contains("run run:"), "{before}");
        assert!(view.contains("[start]") && view.contains("V16"), "{view}");
        assert!(after.contains("code 130") && after.contains("again"), "what is said at the end stays: {after}");
        assert!(!after.contains(ENTER) && after.contains("\x1b[?25h"), "{after}");
        assert_eq!(modes[0], modes[1], "the terminal's modes");
    }
}

#[test]
fn a_terminal_that_goes_interrupts_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut script = terminal(folder.path(), SILENT, "");
    let (mut screen, mut seen) = (script.stdout.take().unwrap(), Vec::new());
    while !String::from_utf8_lossy(&seen).contains("ends the run") {
        let mut chunk = [0; 4_096];
        let length = screen.read(&mut chunk).unwrap();
        assert!(length > 0, "it ended by itself: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&chunk[..length]);
    }
    let facts = folder.path().join("run/run.json");
    let says = |text: &str| std::fs::read_to_string(&facts).unwrap_or_default().contains(text);
    // A run that is stopped before it has begun notes nothing.
    until("the run has begun", || says("\"seed\""));
    script.kill().unwrap();
    until("the last that a run does is done", || says("\"exit\": 130"));
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < end, "not within {SOON:?}: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_run_that_fails_says_so_on_the_terminals_own_screen() {
    let folder = tempfile::tempdir().unwrap();
    // A key that is none of the view's.
    let Seen { screen, modes } = in_a_terminal(folder.path(), ENDS, "", ("ends the run", b"x"));
    let (_, after) = screen.split_once(LEAVE).expect("the view ends");
    assert!(after.contains("forming the cluster") && after.contains("code 3"), "{screen}");
    assert_eq!(modes[0], modes[1]);
}

#[test]
fn with_plain_there_is_no_view() {
    let folder = tempfile::tempdir().unwrap();
    let Seen { screen, modes } = in_a_terminal(folder.path(), SILENT, "--plain", ("run run:", b"\x03"));
    assert!(!screen.contains(ENTER) && screen.contains("code 130"), "{screen}");
    assert_eq!(modes[0], modes[1]);
}

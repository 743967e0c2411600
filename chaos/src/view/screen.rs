//! The terminal: taken over when the view begins, and given back as it was however the run ends.
//!
//! A thread of its own draws and reads keys: a terminal that stands still must not keep a fault waiting. It is given back when
//! [`Screen`] is dropped, when drawing fails, and before a panic prints; then the view is over for good, and what is printed
//! afterwards is on the terminal's own screen.
//!
//! In the terminal's raw mode Ctrl-C is a key. It is made the signal that it would have been, to whom it would have gone, so
//! [`crate::interrupt`] needs to know nothing of it. Keys are read here and not by crossterm, whose reader never returns from a
//! terminal that is gone.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Read, Stderr, stderr, stdin, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{FlushArg, tcflush};
use nix::unistd::{Pid, getpgrp, tcgetpgrp};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

use super::draw::{Paint, draw};
use super::model::Model;

/// Between two looks for a key.
const KEY_INTERVAL: Duration = Duration::from_millis(50);

/// Whether a person sits at this tool: all that it says goes to a terminal that can do more than lines, whose keys are the tool's.
#[must_use]
pub fn is_there() -> bool {
    let are_terminals = stdin().is_terminal() && stdout().is_terminal() && stderr().is_terminal();
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    // Who is in the background is stopped when it touches the terminal.
    are_terminals && !is_dumb && tcgetpgrp(stdin()).is_ok_and(|foreground| foreground == getpgrp())
}

/// The view is over: its terminal is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Over;

pub(super) struct Screen {
    is_taken: Arc<AtomicBool>,
    /// `None` only when it is dropped.
    models: Option<SyncSender<Box<Model>>>,
    thread: Option<JoinHandle<()>>,
}

impl Screen {
    /// # Errors
    /// The terminal refuses.
    pub(super) fn take() -> io::Result<Self> {
        let is_taken = Arc::new(AtomicBool::new(true));
        give_back_before_panics_print(Arc::clone(&is_taken));
        // From here on it gives back, also if it fails half-way.
        let mut screen = Self { is_taken: Arc::clone(&is_taken), models: None, thread: None };
        enable_raw_mode()?;
        execute!(stderr(), EnterAlternateScreen)?;
        let terminal = Terminal::new(CrosstermBackend::new(BufWriter::new(stderr())))?;
        let (models, to_draw) = sync_channel(1);
        let work = move || {
            // Whether the run or the terminal ended it, there is nothing more to show.
            let _ended = show(terminal, &to_draw, &is_taken);
            give_back(&is_taken);
        };
        screen.models = Some(models);
        screen.thread = Some(thread::Builder::new().name("view".into()).spawn(work)?);
        Ok(screen)
    }

    /// Does not wait: one that comes while the last is still being drawn is left out.
    ///
    /// # Errors
    /// The view is over.
    pub(super) fn show(&self, model: Model) -> Result<(), Over> {
        match self.models.as_ref().ok_or(Over)?.try_send(Box::new(model)) {
            Ok(()) | Err(TrySendError::Full(_)) => Ok(()),
            Err(TrySendError::Disconnected(_)) => Err(Over),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.models = None;
        // One that panicked has given the terminal back.
        let _ended = self.thread.take().map(JoinHandle::join);
        give_back(&self.is_taken);
    }
}

/// Returns when the run is over, the terminal is gone, or a panic has given it back.
fn show(
    mut terminal: Terminal<CrosstermBackend<BufWriter<Stderr>>>,
    models: &Receiver<Box<Model>>,
    is_taken: &AtomicBool,
) -> io::Result<()> {
    let paint = Paint::of_environment();
    let mut keys = Keys::open()?;
    loop {
        let model = match models.recv_timeout(KEY_INTERVAL) {
            Ok(model) => Some(model),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        if keys.are_to_end()? {
            interrupt()?;
        }
        if !is_taken.load(Ordering::SeqCst) {
            return Ok(());
        }
        if let Some(model) = model {
            // It asks for the terminal's size each time.
            terminal.draw(|frame| draw(frame, &model, paint))?;
        }
    }
}

/// What is typed. Opened anew, because whoever shares standard input does not expect reads that do not wait.
struct Keys(File);

impl Keys {
    fn open() -> io::Result<Self> {
        let terminal = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open("/dev/tty")?;
        // Typed before there was a view, it was not meant for it.
        tcflush(&terminal, FlushArg::TCIFLUSH)?;
        Ok(Self(terminal))
    }

    /// Whether somebody wants the run to end.
    ///
    /// # Errors
    /// The terminal is gone.
    fn are_to_end(&mut self) -> io::Result<bool> {
        let mut typed = [0; 256];
        match self.0.read(&mut typed) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => Ok(is_end(&typed[..length])),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A `q` within more is a paste, or a key that is a sequence.
fn is_end(typed: &[u8]) -> bool {
    const CONTROL_C: u8 = 3;
    typed.contains(&CONTROL_C) || typed == b"q"
}

/// As the terminal would have done: to the whole process group in its foreground.
fn interrupt() -> io::Result<()> {
    const OWN_GROUP: Pid = Pid::from_raw(0);
    Ok(kill(OWN_GROUP, Signal::SIGINT)?)
}

/// Nothing if it was given back before.
fn give_back(is_taken: &AtomicBool) {
    if is_taken.swap(false, Ordering::SeqCst) {
        // A terminal that is gone needs nothing.
        let _gone = execute!(stderr(), LeaveAlternateScreen, Show);
        let _gone = disable_raw_mode();
    }
}

/// The message would be lost on the alternate screen. The hook stays when the view is over, and does nothing then.
fn give_back_before_panics_print(is_taken: Arc<AtomicBool>) {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        give_back(&is_taken);
        print(panic);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN_A_TERMINAL: &str = "STAMPEDE_TEST_IN_A_TERMINAL";

    /// In a terminal, where the test below runs it: a task of the run panics while the view is on.
    #[test]
    fn in_a_terminal() {
        if std::env::var_os(IN_A_TERMINAL).is_none() {
            return;
        }
        let screen = Screen::take().unwrap();
        assert!(
            thread::spawn(|| if true {
                panic!("on purpose")
            })
            .join()
            .is_err()
        );
        while screen.show(Model::default()) != Err(Over) {
            thread::yield_now();
        }
    }

    #[test]
    fn a_panic_is_told_on_the_terminals_own_screen_and_ends_the_view() {
        let folder = tempfile::tempdir().unwrap();
        let test = "stty rows 24 cols 80; stty -a > before; $TEST --exact view::screen::tests::in_a_terminal --nocapture; \
                    echo code $?; stty -a > after";
        let mut script = std::process::Command::new("script");
        script.args(["--quiet", "--command", test, "/dev/null"]).stdin(std::process::Stdio::null()).current_dir(&folder);
        script
            .env("TEST", std::env::current_exe().unwrap())
            .env("SHELL", "/bin/sh")
            .env(IN_A_TERMINAL, "1")
            .env("TERM", "xterm-256color");
        let printed = String::from_utf8_lossy(&script.output().unwrap().stdout).into_owned();
        let (view, after) = printed.split_once("\x1b[?1049l").expect("it is given back");
        assert!(view.contains("\x1b[?1049h") && after.contains("on purpose") && after.contains("code 0"), "{printed}");
        let modes = |name| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(modes("before"), modes("after"));
    }

    #[test]
    fn q_and_ctrl_c_end_the_run_and_other_keys_do_not() {
        assert!(is_end(b"q") && is_end(b"\x03") && is_end(b"abc\x03"));
        assert!(!is_end(b"c") && !is_end(b"\x1bOq") && !is_end(b"a quick brown fox"));
    }
}

//! The terminal: taken over when the view begins, and given back as it was however the run ends.
//!
//! A thread of its own draws and reads keys: a terminal that stands still must not keep a fault waiting. It is given back when
//! [`Screen`] is dropped, when drawing fails, and before a panic prints; then the view is over for good, and what is printed
//! afterwards is on the terminal's own screen.
//!
//! In the terminal's raw mode Ctrl-C is a key. It is made the signal that it would have been, to whom it would have gone, so
//! [`crate::interrupt`] needs to know nothing of it.

use std::io::{self, BufWriter, IsTerminal, Stderr, stderr, stdin, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgrp, tcgetpgrp};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
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

/// Returns when the run is over, or a panic has taken the terminal away.
fn show(
    mut terminal: Terminal<CrosstermBackend<BufWriter<Stderr>>>,
    models: &Receiver<Box<Model>>,
    is_taken: &AtomicBool,
) -> io::Result<()> {
    let paint = Paint::of_environment();
    let mut shown = Box::default();
    loop {
        let mut is_new = match models.recv_timeout(KEY_INTERVAL) {
            Ok(model) => {
                shown = model;
                true
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        while event::poll(Duration::ZERO)? {
            match event::read()? {
                Event::Key(key) if is_end(key) => interrupt()?,
                Event::Resize(..) => is_new = true,
                _ => {}
            }
        }
        if !is_taken.load(Ordering::SeqCst) {
            return Ok(());
        }
        if is_new {
            terminal.draw(|frame| draw(frame, &shown, paint))?;
        }
    }
}

fn is_end(key: KeyEvent) -> bool {
    let is_control_c = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
    key.kind != KeyEventKind::Release && (is_control_c || key.code == KeyCode::Char('q'))
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

    #[test]
    fn q_and_ctrl_c_end_the_run_and_other_keys_do_not() {
        let key = |code, modifiers| is_end(KeyEvent::new(KeyCode::Char(code), modifiers));
        assert!(key('q', KeyModifiers::NONE) && key('c', KeyModifiers::CONTROL));
        assert!(!key('c', KeyModifiers::NONE) && !key('x', KeyModifiers::CONTROL));
    }
}

//! `top`: what happens now, on all nodes that --admin names. A full screen for a person at a terminal; otherwise a line, or a JSON
//! object, for each node and look.

mod draw;
mod figures;
mod page;

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use clap::Args;
use futures_util::future::{join, join_all};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::sleep;

use self::figures::{Figures, Told, figures};
use self::page::Page;
use super::Global;
use super::connection::{Call, Servers};
use super::exit::{Code, Failure};
use super::output::{self, Format};
use super::status::status_within;
use crate::clock;
use crate::limits::HEALTH_LOOK_WITHIN;
use crate::proto::admin::GetMetricsRequest;
use crate::proto::admin::support_service_client::SupportServiceClient as Client;

/// Looks whose speed is drawn: more than a screen is wide.
const SPEEDS_MAX: usize = 500;
/// How long a key may wait.
const KEY_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(super) struct TopArgs {
    /// How far apart two looks are
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = output::parse_every)]
    every: Duration,
    /// End after so many looks
    #[arg(long, value_name = "NUMBER")]
    looks: Option<u64>,
    /// Lines, also at a terminal
    #[arg(long)]
    plain: bool,
}

pub(super) async fn run(global: &Global, args: &TopArgs) -> Result<(), Failure> {
    let looks = Looks { global, args, before: ask_all(global).await, speeds: VecDeque::new(), done: 0 };
    let is_person =
        io::stdin().is_terminal() && io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|t| t != "dumb");
    if is_person && !args.plain && global.output == Format::Table {
        on_a_screen(looks)
            .await
            .map_err(|error| Failure::new(Code::Failed, format!("the terminal: {error}"), "`stampede top --plain` needs none"))
    } else {
        in_lines(looks).await;
        Ok(())
    }
}

/// One look after another, each with what changed since the last.
struct Looks<'a> {
    global: &'a Global,
    args: &'a TopArgs,
    before: Vec<Told>,
    /// Orders a second, oldest first.
    speeds: VecDeque<u64>,
    done: u64,
}

impl Looks<'_> {
    /// Waits, then looks. None: there were as many as were asked for.
    async fn next(&mut self) -> Option<Figures> {
        if self.args.looks.is_some_and(|looks| self.done >= looks) {
            return None;
        }
        sleep(self.args.every).await;
        let now = ask_all(self.global).await;
        let figures = figures(&self.before, &now);
        self.before = now;
        self.done += 1;
        self.speeds.push_back(rounded(figures.cluster.orders_per_second.unwrap_or(0.0)));
        if self.speeds.len() > SPEEDS_MAX {
            self.speeds.pop_front();
        }
        Some(figures)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a speed is not negative, and far from the end of u64"
)]
fn rounded(speed: f64) -> u64 {
    speed.round() as u64
}

async fn in_lines(mut looks: Looks<'_>) {
    let format = looks.global.output;
    while let Some(Figures { cluster, nodes }) = looks.next().await {
        let at = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(clock::unix_ms())).to_string();
        let shown = match format {
            Format::Table => {
                let lines: Vec<String> = nodes.iter().map(|node| draw::line(&cluster, node, &at)).collect();
                output::write_line(&lines.join("\n"))
            }
            _ => output::print_look(format, &[], nodes.iter().map(|node| draw::record(&cluster, node, &at)).collect()),
        };
        // Nobody reads any more.
        if shown.is_err() {
            return;
        }
    }
}

/// Until a key or a signal ends it. The terminal is given back however it ends, a panic among the ways.
async fn on_a_screen(mut looks: Looks<'_>) -> io::Result<()> {
    let (mut terminated, mut hung_up) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    let mut terminal = ratatui::try_init()?;
    let mut keys = Keys::watch();
    let mut shown = Figures::default();
    let ended = loop {
        let drawn = terminal.draw(|frame| draw::draw(frame, &shown, looks.speeds.make_contiguous()));
        if let Err(error) = drawn {
            break Err(error);
        }
        tokio::select! {
            figures = looks.next() => match figures {
                Some(figures) => shown = figures,
                None => break Ok(()),
            },
            key = keys.next() => match key {
                Some(Key::Redraw) => {}
                Some(Key::End) | None => break Ok(()),
            },
            _ = terminated.recv() => break Ok(()),
            _ = hung_up.recv() => break Ok(()),
        }
    };
    drop(keys);
    ratatui::try_restore()?;
    ended
}

enum Key {
    End,
    /// The terminal has another size.
    Redraw,
}

/// A thread that reads the terminal: such a read cannot be given up.
struct Keys {
    typed: mpsc::Receiver<Key>,
    is_over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Keys {
    fn watch() -> Self {
        let (keys, typed) = mpsc::channel(1);
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let thread = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let key = match event::poll(KEY_INTERVAL).and_then(|is_there| is_there.then(event::read).transpose()) {
                    Ok(None) => continue,
                    Ok(Some(event)) => meaning(&event),
                    // The terminal is gone.
                    Err(_) => Some(Key::End),
                };
                if key.is_some_and(|key| keys.blocking_send(key).is_err()) {
                    return;
                }
            }
        });
        Self { typed, is_over, thread: Some(thread) }
    }

    async fn next(&mut self) -> Option<Key> {
        self.typed.recv().await
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.typed.close();
        // What is typed afterwards is the shell's.
        let _ended = self.thread.take().map(thread::JoinHandle::join);
    }
}

fn meaning(event: &Event) -> Option<Key> {
    match event {
        Event::Key(KeyEvent { code: KeyCode::Char('q') | KeyCode::Esc, .. }) => Some(Key::End),
        // In raw mode it is a key like others.
        Event::Key(KeyEvent { code: KeyCode::Char('c'), modifiers, .. }) if modifiers.contains(KeyModifiers::CONTROL) => {
            Some(Key::End)
        }
        Event::Resize(..) => Some(Key::Redraw),
        _ => None,
    }
}

/// All nodes at once; one that does not answer holds nobody up.
async fn ask_all(global: &Global) -> Vec<Told> {
    let within = global.timeout.min(HEALTH_LOOK_WITHIN);
    let asked = global.admin.iter().map(async |address| {
        let (status, page) = join(status_within(global, address, within), metrics(global, address, within)).await;
        Told { address: address.clone(), answer: status.ok().zip(page.ok()), at: Instant::now() }
    });
    join_all(asked).await
}

async fn metrics(global: &Global, address: &str, within: Duration) -> Result<Page, Failure> {
    let servers = Servers { addresses: vec![address.to_owned()], within, ..global.admins() };
    let call = Call::read("asking for the metrics");
    let got =
        servers.call(&call, async |to| Client::new(to.channel()).get_metrics(to.request(GetMetricsRequest {})).await).await?;
    Ok(Page::read(&got.page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_escape_and_ctrl_c_end_it_and_other_keys_do_not() {
        let key = |code, modifiers| Event::Key(KeyEvent::new(code, modifiers));
        let ends = |event| matches!(meaning(&event), Some(Key::End));
        assert!(ends(key(KeyCode::Char('q'), KeyModifiers::NONE)) && ends(key(KeyCode::Esc, KeyModifiers::NONE)));
        assert!(ends(key(KeyCode::Char('c'), KeyModifiers::CONTROL)) && !ends(key(KeyCode::Char('c'), KeyModifiers::NONE)));
        assert!(matches!(meaning(&Event::Resize(80, 24)), Some(Key::Redraw)));
    }
}

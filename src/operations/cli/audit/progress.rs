//! How far a long command has got: a bar for whoever looks at a terminal, a line at each tenth for a log.

use std::cell::Cell;
use std::io::IsTerminal as _;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

pub(super) enum Progress {
    Bar(ProgressBar),
    Lines(Lines),
    #[cfg(test)]
    Hidden,
}

impl Progress {
    pub(super) fn of_entries(what: &'static str, entries: u64) -> Self {
        let template = "{msg} {wide_bar} {human_pos} of {human_len} entries, {eta} left";
        Self::new(what, entries, template, |done, all| format!("{} of {} entries", HumanCount(done), HumanCount(all)))
    }

    pub(super) fn of_bytes(what: &'static str, bytes: u64) -> Self {
        let template = "{msg} {wide_bar} {bytes} of {total_bytes}, {eta} left";
        Self::new(what, bytes, template, |done, all| format!("{} of {}", HumanBytes(done), HumanBytes(all)))
    }

    /// On standard error, which may be a terminal or not.
    fn new(what: &'static str, of: u64, template: &str, shown: fn(u64, u64) -> String) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines(Lines { what, of, shown, done: Cell::default(), tenths_told: Cell::default() });
        }
        let style = ProgressStyle::with_template(template).expect("a template that indicatif knows");
        Self::Bar(ProgressBar::new(of).with_style(style).with_message(what))
    }

    pub(super) fn advance(&self, by: u64) {
        match self {
            Self::Bar(bar) => bar.inc(by),
            Self::Lines(lines) => lines.advance(by).into_iter().for_each(|line| eprintln!("{line}")),
            #[cfg(test)]
            Self::Hidden => {}
        }
    }

    /// Takes the bar away; lines stay.
    pub(super) fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

pub(super) struct Lines {
    what: &'static str,
    of: u64,
    shown: fn(u64, u64) -> String,
    done: Cell<u64>,
    tenths_told: Cell<u64>,
}

impl Lines {
    /// The line to tell, if another tenth is done.
    fn advance(&self, by: u64) -> Option<String> {
        let done = self.done.get().saturating_add(by);
        self.done.set(done);
        // More may have come since the whole was asked for: there is no eleventh tenth.
        let tenths = (done.saturating_mul(10) / self.of.max(1)).min(10);
        let is_news = tenths > self.tenths_told.replace(tenths);
        is_news.then(|| format!("{}: {}", self.what, (self.shown)(done, self.of.max(done))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(of: u64) -> Lines {
        let shown = |done: u64, all: u64| format!("{done} of {all}");
        Lines { what: "exporting", of, shown, done: Cell::default(), tenths_told: Cell::default() }
    }

    #[test]
    fn off_a_terminal_each_tenth_is_a_line_and_nothing_else_is() {
        let lines = lines(1_000);
        let told: Vec<String> = (0..1_000).filter_map(|_| lines.advance(1)).collect();
        let expected: Vec<String> = (1..=10).map(|tenth| format!("exporting: {} of 1000", tenth * 100)).collect();
        assert_eq!(told, expected);
        assert_eq!(lines.advance(500), None, "what came since adds no line");
    }

    #[test]
    fn a_few_entries_are_a_few_lines_and_none_is_no_line() {
        let lines = lines(2);
        assert_eq!(
            [lines.advance(1), lines.advance(1)],
            ["exporting: 1 of 2", "exporting: 2 of 2"].map(|line| Some(line.to_owned()))
        );
        assert_eq!(self::lines(0).advance(0), None);
    }
}

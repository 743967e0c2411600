//! How far a long command has got, for whoever looks at a terminal; nothing if nobody does.

use indicatif::{ProgressBar, ProgressStyle};

pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn of_entries(what: &'static str, entries: u64) -> Self {
        Self::new(what, entries, "{msg} {wide_bar} {human_pos} of {human_len} entries, {eta} left")
    }

    pub(super) fn of_bytes(what: &'static str, bytes: u64) -> Self {
        Self::new(what, bytes, "{msg} {wide_bar} {bytes} of {total_bytes}, {eta} left")
    }

    #[cfg(test)]
    pub(super) fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// Drawn on standard error, if that is a terminal.
    fn new(what: &'static str, of: u64, template: &str) -> Self {
        let style = ProgressStyle::with_template(template).expect("a template that indicatif knows");
        Self(ProgressBar::new(of).with_style(style).with_message(what))
    }

    pub(super) fn advance(&self, by: u64) {
        self.0.inc(by);
    }

    /// Takes it away.
    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

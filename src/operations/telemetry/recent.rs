//! The newest lines of the log, in memory: a debug bundle takes them along, wherever standard error goes.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::limits::{LOG_LINE_KEPT_BYTES_MAX, LOG_LINES_KEPT_BYTES};

#[derive(Debug, Default)]
pub struct RecentLines {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
}

impl RecentLines {
    /// The oldest lines go when there is no room; of a line that is too long the beginning is kept.
    pub fn keep(&self, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line: Box<[u8]> = line[..line.len().min(LOG_LINE_KEPT_BYTES_MAX)].into();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += line.len();
        kept.lines.push_back(line);
        while kept.bytes > LOG_LINES_KEPT_BYTES {
            let Some(oldest) = kept.lines.pop_front() else { break };
            kept.bytes -= oldest.len();
        }
    }

    /// Oldest first, each with its line end.
    #[must_use]
    pub fn text(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned() + "\n").collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_stay_and_the_oldest_make_room() {
        let recent = RecentLines::default();
        let line = |number: usize| format!("{number:0>100}\n");
        let fit = LOG_LINES_KEPT_BYTES / 100;
        for number in 0..fit + 3 {
            recent.keep(line(number).as_bytes());
        }
        let text = recent.text();
        assert!(text.starts_with(&line(3)) && text.ends_with(&line(fit + 2)), "{} lines", text.lines().count());
        assert_eq!(text.lines().count(), fit);
    }

    #[test]
    fn of_a_line_without_an_end_the_beginning_is_kept() {
        let recent = RecentLines::default();
        recent.keep(&vec![b'x'; LOG_LINES_KEPT_BYTES]);
        assert_eq!(recent.text().len(), LOG_LINE_KEPT_BYTES_MAX + 1);
    }
}

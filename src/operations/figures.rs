//! What is too dear, or too likely to wait, to be asked for at each scrape: RocksDB's own figures, the room on the disk, and
//! whether the ledger's sums agree. It is asked for at intervals on a thread that may wait, and the page shows the last answer
//! with its age: a disk that hangs makes the answer old, not the page slow.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::clock;
use crate::counters::Counter;
use crate::domain::invariants::Contradiction;
use crate::storage::{DiskFigures, StorageError, StoreFigures};

/// One answer.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub disk: DiskFigures,
    pub log: StoreFigures,
    pub ledger: StoreFigures,
    pub contradictions: Vec<Contradiction>,
    /// Unix milliseconds; 0 if there was no answer yet.
    pub at_ms: u64,
    /// Since when each answer has said that there are paid orders without stamps, Unix milliseconds.
    pub paid_not_issued_since_ms: Option<u64>,
}

#[derive(Debug, Default)]
pub struct Figures {
    last: ArcSwap<Answer>,
    violations: [Counter; Contradiction::ALL.len()],
}

impl Figures {
    #[must_use]
    pub fn last(&self) -> Arc<Answer> {
        self.last.load_full()
    }

    /// Answers so far in which the sums contradicted each other, by how.
    pub fn violations(&self) -> impl Iterator<Item = (Contradiction, u64)> + '_ {
        Contradiction::ALL.into_iter().zip(self.violations.iter().map(Counter::get))
    }

    /// Takes an answer. Without one the last stays, and gets old.
    pub fn take(&self, asked: Result<Answer, StorageError>) {
        let before = self.last.load();
        let at_ms = clock::unix_ms();
        let answer = match asked {
            Ok(answer) => {
                let is_so = answer.contradictions.contains(&Contradiction::IssuedWithoutPayment);
                let since = is_so.then(|| before.paid_not_issued_since_ms.unwrap_or(at_ms));
                Answer { at_ms, paid_not_issued_since_ms: since, ..answer }
            }
            Err(error) => {
                tracing::warn!(event = "figures_missing", %error, "the storage cannot be asked how it does");
                return;
            }
        };
        for found in &answer.contradictions {
            self.violations[*found as usize].add(1);
            if !before.contradictions.contains(found) {
                tracing::error!(
                    event = "invariant_violated",
                    invariant = found.name(),
                    "the ledger's sums contradict each other: `stampede check invariants`"
                );
            }
        }
        drop(before);
        self.last.store(Arc::new(answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(figures: &Figures) -> Vec<(Contradiction, u64)> {
        figures.violations().filter(|(_, count)| *count > 0).collect()
    }

    #[test]
    fn a_contradiction_is_counted_each_time_that_it_is_found_under_its_name() {
        let figures = Figures::default();
        figures.take(Ok(Answer::default()));
        assert_eq!(counted(&figures), []);
        for found in Contradiction::ALL {
            figures.take(Ok(Answer { contradictions: vec![found], ..Answer::default() }));
        }
        figures.take(Ok(Answer { contradictions: vec![Contradiction::Stock], ..Answer::default() }));
        assert_eq!(figures.last().paid_not_issued_since_ms, None);
        let expected = [(Contradiction::Money, 1), (Contradiction::IssuedWithoutPayment, 1), (Contradiction::Stock, 2)];
        assert_eq!(counted(&figures), expected);
    }

    #[test]
    fn paid_orders_without_stamps_are_as_old_as_the_first_answer_that_told_of_them() {
        let figures = Figures::default();
        let told = || Answer { contradictions: vec![Contradiction::IssuedWithoutPayment], ..Answer::default() };
        figures.take(Ok(told()));
        let first = figures.last().paid_not_issued_since_ms;
        assert_eq!(first, Some(figures.last().at_ms));
        figures.take(Ok(told()));
        assert_eq!(figures.last().paid_not_issued_since_ms, first);
        figures.take(Ok(Answer::default()));
        assert_eq!(figures.last().paid_not_issued_since_ms, None);
    }

    #[test]
    fn without_an_answer_the_last_one_stays_with_its_time() {
        let figures = Figures::default();
        assert_eq!(figures.last().at_ms, 0);
        let disk = DiskFigures { size_bytes: 10, free_bytes: 4 };
        figures.take(Ok(Answer { disk, ..Answer::default() }));
        let before = figures.last();
        figures.take(Err(StorageError::Io { operation: "ask", cause: "gone".to_owned() }));
        assert_eq!((figures.last().disk, figures.last().at_ms), (disk, before.at_ms));
        assert!(before.at_ms > 0);
    }
}

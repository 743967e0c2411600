//! How far the log was known to reach, over time: each answer that names an index shows that it was committed by then.

use crate::hash::Map;

#[derive(Debug)]
pub struct Reach {
    /// By time; each with the highest index that had been shown by then.
    highest: Vec<(u64, u64)>,
    /// By index; each with the earliest answer from there or behind.
    earliest: Vec<(u64, u64)>,
}

impl Reach {
    /// `shown`: by index, the earliest answer that names it.
    #[must_use]
    pub fn of(shown: &Map<u64, u64>) -> Self {
        let mut earliest: Vec<(u64, u64)> = shown.iter().map(|(index, at_ns)| (*index, *at_ns)).collect();
        earliest.sort_unstable();
        let mut highest: Vec<(u64, u64)> = earliest.iter().map(|(index, at_ns)| (*at_ns, *index)).collect();
        highest.sort_unstable();
        let mut index_so_far = 0;
        for (_, index) in &mut highest {
            index_so_far = index_so_far.max(*index);
            *index = index_so_far;
        }
        let mut first_ns = u64::MAX;
        for (_, at_ns) in earliest.iter_mut().rev() {
            first_ns = first_ns.min(*at_ns);
            *at_ns = first_ns;
        }
        Self { highest, earliest }
    }

    /// The highest index that had been shown before `at_ns`; 0 if none.
    #[must_use]
    pub fn before(&self, at_ns: u64) -> u64 {
        let count = self.highest.partition_point(|(shown_ns, _)| *shown_ns < at_ns);
        count.checked_sub(1).map_or(0, |last| self.highest[last].1)
    }

    /// Ever; 0 if none.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.highest.last().map_or(0, |(_, index)| *index)
    }

    /// By when an index was surely committed. `None`: nobody was shown so much.
    #[must_use]
    pub fn committed_by(&self, index: u64) -> Option<u64> {
        let at = self.earliest.partition_point(|(shown, _)| *shown < index);
        self.earliest.get(at).map(|(_, at_ns)| *at_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach() -> Reach {
        Reach::of(&[(5, 90), (7, 40), (9, 60)].into_iter().collect())
    }

    #[test]
    fn an_index_is_committed_by_the_earliest_answer_from_there_or_behind() {
        let reach = reach();
        assert_eq!(
            [4, 5, 6, 7, 8, 9, 10].map(|index| reach.committed_by(index)),
            [40, 40, 40, 40, 60, 60, 0].map(|at| (at > 0).then_some(at))
        );
    }

    #[test]
    fn what_was_shown_before_a_moment_is_the_highest_index_of_all_answers_before_it() {
        let reach = reach();
        assert_eq!([40, 41, 60, 61, 90, 91].map(|at_ns| reach.before(at_ns)), [0, 7, 7, 9, 9, 9]);
        assert_eq!(reach.end(), 9);
    }
}

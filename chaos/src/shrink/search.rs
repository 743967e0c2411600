//! The search for a smallest list that still fails: delta debugging (A. Zeller, R. Hildebrandt, "Simplifying and Isolating
//! Failure-Inducing Input", IEEE TSE 28(2), 2002, the algorithm *ddmin*), over a question that somebody else answers.
//!
//! The answer may be wrong in one way: a failure that is seldom is taken for none when no repetition shows it ([`repeated`]). The
//! list is then larger than it must be, never one that was not seen to fail.

use std::collections::BTreeSet;

/// What a candidate showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    Fails,
    /// It was not seen to fail.
    Holds,
    /// Nothing: there is no time left, or somebody wants no more.
    Untried,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Not even the whole was seen to fail.
    Nothing,
    Smallest {
        /// Places in the whole, in its order.
        kept: Vec<usize>,
        /// Without any one of them it was not seen to fail. False: the search was cut short.
        is_minimal: bool,
    },
}

/// Of a list of `count`. `fails` is asked about the places that are kept, about the same ones once.
pub fn smallest(count: usize, mut fails: impl FnMut(&[usize]) -> Trial) -> Found {
    let mut kept: Vec<usize> = (0..count).collect();
    if fails(&kept) != Trial::Fails {
        return Found::Nothing;
    }
    let mut held: BTreeSet<Vec<usize>> = BTreeSet::new();
    let mut ask = |candidate: &[usize]| {
        if held.contains(candidate) {
            return Trial::Holds;
        }
        let trial = fails(candidate);
        if trial == Trial::Holds {
            held.insert(candidate.to_vec());
        }
        trial
    };
    // A failure that needs none of them is found at once.
    if count > 0 {
        match ask(&[]) {
            Trial::Fails => return Found::Smallest { kept: Vec::new(), is_minimal: true },
            Trial::Holds => {}
            Trial::Untried => return Found::Smallest { kept, is_minimal: false },
        }
    }
    let mut parts = 2;
    while kept.len() > 1 {
        let mut next = None;
        for (candidate, parts_then) in candidates(&kept, parts) {
            match ask(&candidate) {
                Trial::Fails => {
                    next = Some((candidate, parts_then));
                    break;
                }
                Trial::Holds => {}
                Trial::Untried => return Found::Smallest { kept, is_minimal: false },
            }
        }
        match next {
            Some(smaller) => (kept, parts) = smaller,
            None if parts >= kept.len() => break,
            None => parts = (parts * 2).min(kept.len()),
        }
    }
    Found::Smallest { kept, is_minimal: true }
}

/// Each part by itself, then all but each part; and into how many parts to cut what is kept if it fails.
fn candidates(kept: &[usize], parts: usize) -> Vec<(Vec<usize>, usize)> {
    let cut = |part: usize| kept.len() * part / parts;
    let ranges = || (0..parts).map(|part| cut(part)..cut(part + 1));
    let alone = ranges().map(|range| (kept[range].to_vec(), 2));
    let without = ranges().map(|range| ([&kept[..range.start], &kept[range.end..]].concat(), (parts - 1).max(2)));
    // Of two parts, all but the one is the other.
    if parts == 2 { alone.collect() } else { alone.chain(without).collect() }
}

/// Fails if one of `repeats` runs does.
pub fn repeated(repeats: u32, mut run: impl FnMut() -> Trial) -> Trial {
    for _ in 0..repeats {
        match run() {
            Trial::Holds => {}
            decided => return decided,
        }
    }
    Trial::Holds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minimal(kept: &[usize]) -> Found {
        Found::Smallest { kept: kept.to_vec(), is_minimal: true }
    }

    fn trial(fails: bool) -> Trial {
        if fails { Trial::Fails } else { Trial::Holds }
    }

    #[test]
    fn what_must_be_together_for_a_failure_is_all_that_is_kept() {
        let rows: [(usize, &[usize]); 8] =
            [(0, &[]), (1, &[]), (8, &[]), (1, &[0]), (8, &[5]), (8, &[0, 7]), (9, &[2, 3, 8]), (7, &[0, 1, 2, 3, 4, 5, 6])];
        for (count, cause) in rows {
            let mut asked = BTreeSet::new();
            let found = smallest(count, |kept| {
                assert!(asked.insert(kept.to_vec()), "{kept:?} was asked about twice");
                trial(cause.iter().all(|place| kept.contains(place)))
            });
            assert_eq!(found, minimal(cause), "of {count}");
            // The bound of the paper, for lists that are cut all the way down.
            assert!(asked.len() <= count * count + 3 * count + 2, "{} trials of {count}", asked.len());
        }
    }

    #[test]
    fn of_two_causes_that_each_suffice_one_is_kept() {
        let found = smallest(8, |kept| trial(kept.contains(&2) || kept.contains(&6)));
        assert!([minimal(&[2]), minimal(&[6])].contains(&found), "{found:?}");
    }

    #[test]
    fn what_does_not_fail_again_is_said_to_be_nothing() {
        let mut asked = 0;
        let found = smallest(8, |_| {
            asked += 1;
            Trial::Holds
        });
        assert_eq!((found, asked), (Found::Nothing, 1));
        assert_eq!(smallest(8, |_| Trial::Untried), Found::Nothing);
    }

    #[test]
    fn a_search_that_is_cut_short_keeps_what_was_seen_to_fail() {
        for trials_max in 1..12 {
            let (mut asked, mut failed) = (0, Vec::new());
            let found = smallest(8, |kept| {
                asked += 1;
                if asked > trials_max {
                    return Trial::Untried;
                }
                let fails = kept.contains(&2) && kept.contains(&5);
                if fails {
                    failed = kept.to_vec();
                }
                trial(fails)
            });
            let Found::Smallest { kept, is_minimal } = found else { panic!("the whole failed") };
            assert_eq!((kept, is_minimal), (failed, asked <= trials_max));
        }
    }

    #[test]
    fn a_failure_of_every_third_run_is_found_with_three_repeats_and_missed_with_one() {
        let search = |repeats| {
            let mut run = 0;
            smallest(8, |kept| {
                let has_cause = kept.contains(&3) && kept.contains(&4);
                repeated(repeats, || {
                    run += 1;
                    trial(has_cause && run % 3 == 0)
                })
            })
        };
        assert_eq!(search(3), minimal(&[3, 4]));
        assert_eq!(search(1), Found::Nothing, "the first run was a good one");
    }

    #[test]
    fn the_first_run_that_fails_is_the_last_repeat() {
        let runs_of = |answers: &[Trial]| {
            let mut answers = answers.iter();
            let trial = repeated(3, || *answers.next().unwrap());
            (trial, 3 - answers.len())
        };
        let (fails, holds, untried) = (Trial::Fails, Trial::Holds, Trial::Untried);
        assert_eq!(runs_of(&[fails, holds, holds]), (fails, 1));
        assert_eq!(runs_of(&[holds, fails, holds]), (fails, 2));
        assert_eq!(runs_of(&[holds, holds, holds]), (holds, 3));
        assert_eq!(runs_of(&[holds, untried, fails]), (untried, 2));
    }
}

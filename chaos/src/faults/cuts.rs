//! Which directions between the nodes a fault of the network hits.

use crate::network::Direction;
use crate::scenario::FaultKind;

/// `node`: the target. `all`: in the order of their ids, which is also that of the ring.
pub(super) fn directions(kind: FaultKind, node: u16, all: &[u16]) -> Vec<Direction> {
    let pairs = all.iter().flat_map(|from| all.iter().map(|to| (*from, *to))).filter(|(from, to)| from != to);
    let is_hit = |(from, to): &Direction| match kind {
        FaultKind::MuteLeader => *from == node,
        FaultKind::DeafenLeader => *to == node,
        FaultKind::Bridge => {
            let others: Vec<u16> = all.iter().copied().filter(|one| *one != node).collect();
            let half = |one: &u16| others.iter().position(|other| other == one).map(|at| at < others.len() / 2);
            half(from).zip(half(to)).is_some_and(|(one, other)| one != other)
        }
        FaultKind::LossyLinks | FaultKind::CorruptLinks => true,
        // So far to both sides a node must hear to have a majority with itself.
        FaultKind::MajoritiesRing => distance(*from, *to, all) > (all.len() / 2).div_ceil(2),
        _ => *from == node || *to == node,
    };
    pairs.filter(is_hit).collect()
}

/// Along the ring, the shorter way.
fn distance(one: u16, other: u16, all: &[u16]) -> usize {
    let at = |node| all.iter().position(|there| *there == node).expect("is one of them");
    let apart = at(one).abs_diff(at(other));
    apart.min(all.len() - apart)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE: [u16; 5] = [1, 2, 3, 4, 5];

    /// Whom a node can talk to, both ways.
    fn hears(node: u16, cut: &[Direction]) -> Vec<u16> {
        let open = |other: &u16| *other != node && !cut.contains(&(node, *other)) && !cut.contains(&(*other, node));
        FIVE.into_iter().filter(open).collect()
    }

    #[test]
    fn one_node_is_cut_off_both_ways_or_one_way() {
        assert_eq!(directions(FaultKind::MuteLeader, 2, &[1, 2, 3]), [(2, 1), (2, 3)]);
        assert_eq!(directions(FaultKind::DeafenLeader, 2, &[1, 2, 3]), [(1, 2), (3, 2)]);
        let isolated = directions(FaultKind::IsolateLeader, 2, &[1, 2, 3]);
        assert_eq!(isolated, [(1, 2), (2, 1), (2, 3), (3, 2)]);
    }

    #[test]
    fn bad_links_are_those_between_all() {
        assert_eq!(directions(FaultKind::LossyLinks, 1, &FIVE).len(), 20);
        assert_eq!(directions(FaultKind::CorruptLinks, 1, &[1, 2, 3]).len(), 6);
    }

    #[test]
    fn a_bridge_is_all_that_two_halves_share() {
        let cut = directions(FaultKind::Bridge, 3, &FIVE);
        assert_eq!(hears(3, &cut), [1, 2, 4, 5]);
        assert_eq!((hears(1, &cut), hears(2, &cut)), (vec![2, 3], vec![1, 3]));
        assert_eq!((hears(4, &cut), hears(5, &cut)), (vec![3, 5], vec![3, 4]));
        assert_eq!(directions(FaultKind::Bridge, 2, &[1, 2, 3]), [(1, 3), (3, 1)]);
    }

    #[test]
    fn in_a_ring_each_node_hears_a_majority_and_no_two_the_same() {
        for nodes in 5..=7 {
            let all: Vec<u16> = (1..=nodes).collect();
            let cut = directions(FaultKind::MajoritiesRing, 1, &all);
            let mut majorities = Vec::new();
            for node in &all {
                let heard: Vec<u16> = all.iter().copied().filter(|other| !cut.contains(&(*node, *other))).collect();
                assert!(heard.len() > all.len() / 2 && heard.len() < all.len(), "{node} of {nodes}: {heard:?}");
                majorities.push(heard);
            }
            majorities.sort();
            majorities.dedup();
            assert_eq!(majorities.len(), all.len());
        }
    }
}

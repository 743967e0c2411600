//! V13: replicas have the same digest at the same index, and their records are what their digests say.

use crate::hash::Map;

use super::{Evidence, Finding};

#[must_use]
pub fn replicas_agree(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("V13", "replicas have the same digest at the same index");
    let reported = evidence.digests.iter().map(|(node, index, digest)| (*node, *index, &**digest));
    let sampled = evidence.statuses.iter().map(|sample| (sample.node, sample.applied_index, &*sample.digest));
    let scanned = evidence.scans.iter().map(|(node, scan)| (*node, scan.header.applied_index, scan.header.digest.as_str()));
    let mut first: Map<u64, (u16, &str)> = Map::default();
    let mut compared = 0_u64;
    for (node, index, digest) in reported.chain(sampled).chain(scanned) {
        // A node that has applied nothing yet has no digest to show.
        if digest.is_empty() || index == 0 {
            continue;
        }
        finding.checked += 1;
        let (other, expected) = *first.entry(index).or_insert((node, digest));
        compared += u64::from(other != node);
        if expected != digest {
            finding.violated(&[], Some(index), || format!("node {other} has digest {expected}, node {node} has {digest}"));
        }
    }
    for node in &evidence.facts.nodes {
        let Some(scan) = evidence.scans.get(node) else {
            finding.unsure(format!("node {node} was not scanned"));
            continue;
        };
        finding.checked += 1;
        let header = &scan.header;
        if header.digest != header.scanned_digest {
            finding.violated(&[], Some(header.applied_index), || {
                format!("node {node} keeps digest {} and its records have {}", header.digest, header.scanned_digest)
            });
        }
        let other = evidence.scans.iter().find(|(_, other)| other.header.applied_index == header.applied_index);
        if let Some((other, first)) = other
            && first.fingerprint != scan.fingerprint
        {
            finding.violated(&[], Some(header.applied_index), || format!("nodes {other} and {node} hold different records"));
        }
    }
    if compared == 0 && evidence.facts.nodes.len() > 1 {
        finding.unsure("no index was seen on two nodes");
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::made::scan;
    use crate::evidence::Scan;
    use crate::history::{RunFacts, StatusSample};

    fn sample(node: u16, applied_index: u64, digest: &str) -> StatusSample {
        StatusSample { node, applied_index, digest: digest.into(), ..StatusSample::default() }
    }

    /// What is looked at, broken, and unsure.
    fn judged(statuses: Vec<StatusSample>, scans: &[Scan], nodes: &[u16]) -> (u64, u64, usize) {
        let scans = scans.iter().map(|scan| (scan.kept_as, scan.clone())).collect();
        let facts = RunFacts { nodes: nodes.to_vec(), ..RunFacts::default() };
        let finding = replicas_agree(&Evidence { statuses, scans, facts, ..Evidence::default() });
        (finding.checked, finding.violations, finding.inconclusive.len())
    }

    fn scanned(node: u16, applied_index: u64, digest: &str) -> Scan {
        let mut scan = Scan { fingerprint: [7; 32], ..scan(node, applied_index) };
        (scan.header.digest, scan.header.scanned_digest) = (digest.into(), digest.into());
        scan
    }

    #[test]
    fn nodes_show_the_same_digest_at_the_same_index() {
        let scans = [scanned(1, 9, "nine"), scanned(2, 9, "nine")];
        let with = |statuses| judged(statuses, &scans, &[1, 2]);
        assert_eq!(with(vec![sample(1, 5, "five"), sample(2, 5, "five"), sample(1, 6, "six")]), (7, 0, 0));
        assert_eq!(with(vec![sample(1, 5, "five"), sample(2, 5, "other")]).1, 1);
        assert_eq!(with(vec![sample(1, 9, "other")]).1, 2, "each scan differs from the sample");
        // Nothing was applied, or nothing is shown.
        assert_eq!(with(vec![sample(1, 0, "one"), sample(2, 0, "other")]), (4, 0, 0));
        assert_eq!(with(vec![sample(1, 5, ""), sample(2, 5, "five")]), (5, 0, 0));
    }

    #[test]
    fn a_replicas_records_are_what_its_digest_says_and_what_the_others_hold() {
        let mut changed = scanned(2, 9, "nine");
        changed.header.scanned_digest = "other".into();
        assert_eq!(judged(vec![], &[scanned(1, 9, "nine"), changed], &[1, 2]).1, 1);
        let other_records = Scan { fingerprint: [8; 32], ..scanned(2, 9, "nine") };
        assert_eq!(judged(vec![], &[scanned(1, 9, "nine"), other_records.clone()], &[1, 2]).1, 1);
        let of_another_index = Scan { fingerprint: [8; 32], ..scanned(2, 8, "eight") };
        assert_eq!(judged(vec![], &[scanned(1, 9, "nine"), of_another_index], &[1, 2]).1, 0);
    }

    #[test]
    fn what_was_seen_of_one_node_alone_says_nothing_of_two() {
        assert_eq!(judged(vec![], &[scanned(1, 9, "nine"), scanned(2, 8, "eight")], &[1, 2]), (4, 0, 1));
        assert_eq!(judged(vec![], &[scanned(1, 9, "nine")], &[1]), (2, 0, 0));
        // One is not scanned, and so nothing is compared either.
        assert_eq!(judged(vec![], &[scanned(1, 9, "nine")], &[1, 2]), (2, 0, 2));
    }
}

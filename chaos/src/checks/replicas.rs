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

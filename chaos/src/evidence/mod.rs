//! Everything that a run left behind. What the checks over the whole run need is held compactly; the calls themselves, the log's
//! commands and the replicas' records are sorted into [`lots`], and judged one lot after the other.
//!
//! What is missing or damaged is kept as such: the checks that need it say *inconclusive*, none takes it for empty.

mod ahead;
mod call;
mod calls;
pub mod links;
pub mod lots;
pub mod moment;
pub mod pointed;
pub mod reads;
pub mod scans;
pub mod spill;

use std::collections::BTreeMap;
use std::io;

use crate::hash::{Map, Set};
use crate::history::{FaultEvent, MachineSync, Phase, ProcessEvent, RunFacts, RunFolder, SeriesCode, StatusSample, Text};
use crate::model::Log;

pub use ahead::ahead;
pub use call::{Answered, Op};
pub use links::Links;
pub use lots::{Command, Expiry, Lot, ModelRecords, Modelled, Page, Piece};
pub use moment::{Asked, Ended, Known, Moment};
pub use pointed::Pointed;
pub use reads::Reads;
pub use scans::{Scan, ScanRecords};
pub use spill::{Scratch, Sorted, Sorter};

use calls::Calls;
use reads::Shelves;
use scans::Scans;

#[derive(Debug, Default)]
pub struct Evidence {
    pub facts: RunFacts,
    pub calls: usize,
    /// Calls that place an order, and that record a payment.
    pub placings: usize,
    pub payments: usize,
    /// When the first write that was made to show that the cluster takes writes again was acknowledged.
    pub fresh_write_ns: Option<u64>,
    /// Of each call, in their order. (Empty until the lots are read.)
    pub moments: Vec<Moment>,
    pub faults: Vec<FaultEvent>,
    pub processes: Vec<ProcessEvent>,
    pub statuses: Vec<StatusSample>,
    /// (node, log index, digest)
    pub digests: Vec<(u16, u64, Text)>,
    pub phases: Vec<(u64, Phase)>,
    /// None in runs of older tools.
    pub machine_syncs: Vec<MachineSync>,
    /// First number and capacity of each series that a call opened.
    pub series: Map<SeriesCode, (u64, u64)>,
    /// By log index that some answer showed to be committed, the time of the first that did.
    pub shown: Map<u64, u64>,
    /// Calls of batches whose answers have no room left for their codes.
    pub beyond_the_codes: Set<u32>,
    pub log: Log,
    pub scans: BTreeMap<u16, Scan>,
    /// What is missing or damaged.
    pub gaps: Vec<String>,
    /// The history is the beginning of one: it has no end mark, or a damaged record that hides what follows.
    pub history_is_cut: bool,
    /// An answer has no call: calls are missing, and nobody knows which others.
    pub lacks_calls: bool,
    /// Of the last record.
    pub last_ns: u64,
}

/// What is sorted, to be judged part by part.
pub struct Parts {
    pub links: Links,
    pub lots: usize,
    pub pieces: Vec<Sorted<Piece>>,
    pub reads: Reads,
}

impl Evidence {
    /// Two files at once: what calls say of payments beside the log, then, sorted by that, the calls beside the scans.
    ///
    /// # Errors
    /// `run.json` cannot be read, or what is sorted cannot be written: nothing can be judged.
    pub fn read(folder: &RunFolder, scratch: &Scratch) -> io::Result<(Self, Parts)> {
        let mut evidence = Self { facts: RunFacts::read(folder)?, history_is_cut: true, ..Self::default() };
        evidence.gaps.extend(evidence.facts.problems.clone());
        let lots = lots::lots_of(std::fs::metadata(folder.history()).map_or(0, |file| file.len()));
        let mut calls = Sorter::create(scratch, "calls", lots)?;
        let mut scanned = Sorter::create(scratch, "scans", lots)?;
        let (links, log) =
            beside(|| Links::read(&folder.history(), lots), || Log::read(&folder.log(), scratch.path().join("log")));
        evidence.log = log.unwrap_or_else(|cause| Log::unreadable(format!("log.bin: {cause}")));
        let nodes = evidence.facts.nodes.clone();
        let mut reads = Shelves::create(scratch, evidence.log.last_index())?;
        let (read, scans) = beside(
            || Calls::new(&mut evidence, &links, &mut calls, &mut reads).read(&folder.history()),
            || Scans::read(folder, &nodes, &links, &mut scanned),
        );
        read?;
        evidence.gaps.extend(evidence.log.hole.clone());
        evidence.gaps.extend(scans.gaps);
        evidence.scans = scans.of_nodes;
        let pieces = vec![calls.finish()?, scanned.finish()?];
        Ok((evidence, Parts { links, lots, pieces, reads: reads.finish()? }))
    }

    /// One node for each different content: what holds for its records holds for those of the others.
    pub fn distinct_scans(&self) -> impl Iterator<Item = (u16, &Scan)> {
        self.scans.iter().filter(|(node, scan)| scan.kept_as == **node).map(|(node, scan)| (*node, scan))
    }

    /// When a phase began.
    #[must_use]
    pub fn phase_start(&self, wanted: Phase) -> Option<u64> {
        self.phases.iter().find(|(_, phase)| *phase == wanted).map(|(at_ns, _)| *at_ns)
    }
}

/// Does the one here and the other on a thread of its own.
fn beside<A, B: Send>(here: impl FnOnce() -> A, there: impl FnOnce() -> B + Send) -> (A, B) {
    std::thread::scope(|scope| {
        let there = scope.spawn(there);
        (here(), there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

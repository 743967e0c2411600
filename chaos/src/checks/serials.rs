//! V2, V3: each serial has one order, at most one document, and an origin.
//!
//! A *sighting* is any moment at which a serial was shown with an order: replies, late ones too, reads and scans.

use crate::hash::{Map, Set};

use super::{Case, Evidence, Finding};
use crate::history::{CodesSeen, Digest, OrderId, Outcome, ReadAnswer, Request, SerialsSeen, SeriesCode, WriteAnswer};
use crate::limits;
use crate::model::{order_text, series_text};
use crate::serial_code::SerialCodes;

/// The op number of a sighting in a scan.
const IN_A_SCAN: u64 = 0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    series: SeriesCode,
    first: u64,
    quantity: u32,
    order: OrderId,
    op: u64,
    /// Count and fold of the printed codes; `None` where none are shown: in scans, in lists, and of one verified code.
    codes: Option<(u32, u64)>,
    /// One number of a range, seen by verifying its code or on a document.
    single: bool,
}

impl Sighting {
    fn of(serials: &SerialsSeen, order: OrderId, op: u64) -> Self {
        let SerialsSeen { series, first_number: first, quantity, codes } = *serials;
        Self { series, first, quantity, order, op, codes: Some((codes.count, codes.fold)), single: false }
    }

    fn without_codes(serials: &SerialsSeen, order: OrderId, op: u64) -> Self {
        Self { codes: None, ..Self::of(serials, order, op) }
    }

    fn of_one(series: SeriesCode, first: u64, order: OrderId, op: u64) -> Self {
        Self { series, first, quantity: 1, order, op, codes: None, single: true }
    }

    fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.quantity))
    }

    fn ops(&self) -> Vec<u64> {
        if self.op == IN_A_SCAN { vec![] } else { vec![self.op] }
    }
}

/// In the order of series and number.
pub(super) fn sightings(evidence: &Evidence, codes: &SerialCodes) -> Vec<Sighting> {
    let mut found = Vec::new();
    for op in &evidence.ops {
        for answer in &op.answers {
            match (&op.invoke.request, &answer.outcome) {
                (Request::RecordPayment { order, .. }, Outcome::Written(written)) => {
                    if let WriteAnswer::Recorded { serials: Some(serials), .. } = &written.answer {
                        found.push(Sighting::of(serials, *order, op.id()));
                    }
                }
                (Request::StampDocument { order, .. }, Outcome::Written(written)) => {
                    if let WriteAnswer::Stamped { series, number, .. } = &written.answer {
                        found.push(Sighting::of_one(*series, *number, *order, op.id()));
                    }
                }
                (_, Outcome::Read(read)) => match (&op.invoke.request, &read.answer) {
                    (_, ReadAnswer::Order(seen)) => {
                        found.extend(seen.serials.iter().map(|serials| Sighting::of(serials, seen.order, op.id())));
                    }
                    (_, ReadAnswer::Orders { orders, .. }) => {
                        let issued = orders.iter().filter_map(|seen| Some((seen.order, seen.serials.as_ref()?)));
                        found.extend(issued.map(|(order, serials)| Sighting::without_codes(serials, order, op.id())));
                    }
                    (
                        Request::VerifySerial { code, .. },
                        ReadAnswer::SerialIssued { order, .. }
                        | ReadAnswer::SerialStamped { order, .. }
                        | ReadAnswer::SerialVoided { order, .. },
                    ) => {
                        let stamp = codes.read(code);
                        found.extend(stamp.map(|(series, number)| Sighting::of_one(series, number, *order, op.id())));
                    }
                    _ => {}
                },
                _ => {}
            }
        }
    }
    for (_, scan) in evidence.distinct_scans() {
        for seen in scan.records.orders.values() {
            found.extend(seen.serials.iter().map(|serials| Sighting::without_codes(serials, seen.order, IN_A_SCAN)));
        }
        for ((order, _), seen) in &scan.records.stampings {
            found.push(Sighting::of_one(seen.series, seen.number, *order, IN_A_SCAN));
        }
    }
    found.sort_unstable();
    found
}

#[must_use]
pub fn a_serial_belongs_to_one_order(case: &Case) -> Finding {
    let mut finding = Finding::new("V2", "a serial belongs to one order, over every sighting");
    let mut ranges: Map<OrderId, Sighting> = Map::default();
    // The sighting that reaches furthest so far: a later one that begins before its end shares numbers with it.
    let mut furthest: Option<Sighting> = None;
    for &sighting in &case.sightings {
        finding.checked += 1;
        let text = |other: &Sighting| {
            let number = sighting.first;
            let (one, two) = (order_text(other.order), order_text(sighting.order));
            format!("serial {}/{number} was shown for order {one} and for order {two}", series_text(sighting.series))
        };
        match &mut furthest {
            Some(other) if other.series == sighting.series && sighting.first < other.end() => {
                if other.order != sighting.order {
                    finding.violated(&[other.ops(), sighting.ops()].concat(), None, || text(other));
                }
                if sighting.end() > other.end() {
                    *other = sighting;
                }
            }
            _ => furthest = Some(sighting),
        }
        if sighting.single {
            continue;
        }
        let first = *ranges.entry(sighting.order).or_insert(sighting);
        if (first.series, first.first, first.quantity) != (sighting.series, sighting.first, sighting.quantity) {
            finding.violated(&[first.ops(), sighting.ops()].concat(), None, || {
                let order = order_text(sighting.order);
                format!("order {order} was shown with serials from {} and with serials from {}", first.first, sighting.first)
            });
        }
    }
    one_document_a_stamp(case, &mut finding);
    finding.or_unsure_if_empty("no serial was ever seen")
}

/// A stamp on a document, as somebody saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Binding {
    stamp: (SeriesCode, u64),
    document: Digest,
    order: OrderId,
    op: u64,
}

fn bindings(case: &Case) -> Vec<Binding> {
    let mut found = Vec::new();
    for op in &case.evidence.ops {
        for answer in &op.answers {
            let seen = match (&op.invoke.request, &answer.outcome) {
                (Request::StampDocument { order, document }, Outcome::Written(written)) => match written.answer {
                    WriteAnswer::Stamped { series, number, .. } => Some(((series, number), *document, *order)),
                    _ => None,
                },
                (Request::VerifySerial { code, document: Some(document), .. }, Outcome::Read(read)) => match &read.answer {
                    ReadAnswer::SerialStamped { order, document_matches: true, .. } => {
                        case.codes.read(code).map(|stamp| (stamp, *document, *order))
                    }
                    _ => None,
                },
                _ => None,
            };
            found.extend(seen.map(|(stamp, document, order)| Binding { stamp, document, order, op: op.id() }));
        }
    }
    for (_, scan) in case.evidence.distinct_scans() {
        for ((order, document), seen) in &scan.records.stampings {
            let stamp = (seen.series, seen.number);
            found.push(Binding { stamp, document: *document, order: *order, op: IN_A_SCAN });
        }
    }
    found
}

/// A stamp is on one document for ever, and a document of an order has one stamp.
fn one_document_a_stamp(case: &Case, finding: &mut Finding) {
    let mut by_stamp: Map<(SeriesCode, u64), Binding> = Map::default();
    let mut by_document: Map<(OrderId, Digest), Binding> = Map::default();
    for binding in bindings(case) {
        finding.checked += 1;
        let first = *by_stamp.entry(binding.stamp).or_insert(binding);
        let ops = |first: &Binding| [first.op, binding.op].into_iter().filter(|op| *op != IN_A_SCAN).collect::<Vec<_>>();
        let (series, number) = (series_text(binding.stamp.0), binding.stamp.1);
        if first.document != binding.document {
            finding.violated(&ops(&first), None, || format!("serial {series}/{number} was shown on two documents"));
        }
        let first = *by_document.entry((binding.order, binding.document)).or_insert(binding);
        if first.stamp != binding.stamp {
            finding.violated(&ops(&first), None, || {
                let order = order_text(binding.order);
                format!("a document of order {order} was shown with serial {} and with {number}", first.stamp.1)
            });
        }
    }
}

#[must_use]
pub fn no_phantom_serial(case: &Case) -> Finding {
    let mut finding = Finding::new("V3", "no phantom serial: known order, valid range, genuine code");
    let known = Known::of(case.evidence);
    let mut folded: Option<((SeriesCode, u64, u32), CodesSeen)> = None;
    let evidence = case.evidence;
    let lacks_calls = evidence.history_is_cut || evidence.lacks_calls;
    let mut unasked = 0;
    let beyond_the_codes = beyond_the_codes(evidence);
    for &sighting in &case.sightings {
        finding.checked += 1;
        let name =
            || format!("serial {}/{} of order {}", series_text(sighting.series), sighting.first, order_text(sighting.order));
        match known.phantom(&sighting) {
            None => {}
            // What the scan holds may have been asked for in the part of the history that is not there.
            Some(Phantom::Unasked(_)) if lacks_calls => unasked += 1,
            Some(Phantom::Unasked(why) | Phantom::Outside(why)) => {
                finding.violated(&sighting.ops(), None, || format!("{}: {why}", name()));
            }
        }
        // A call that is missing may have taken the room of the others of its batch.
        let may_lack_codes = || evidence.lacks_calls || beyond_the_codes.contains(&sighting.op);
        let Some(codes) = sighting.codes.filter(|codes| codes.0 > 0 || !may_lack_codes()) else { continue };
        let range = (sighting.series, sighting.first, sighting.quantity);
        let expected = match folded {
            Some((at, fold)) if at == range => fold,
            _ => folded.insert((range, case.codes.fold(range.0, range.1, range.2))).1,
        };
        if codes != (expected.count, expected.fold) {
            finding.violated(&sighting.ops(), None, || format!("{}: the printed codes are not those of its numbers", name()));
        }
    }
    if unasked > 0 {
        finding.unsure(format!("{unasked} serials may belong to calls that the history lacks"));
    }
    stamped_codes(case, &mut finding);
    verdicts_on_codes(case, &mut finding);
    finding.or_unsure_if_empty("no serial was ever seen")
}

/// Commands of batches whose answers have no room left for their codes: the codes of a batch's commands are printed in their
/// order, all of an issue or none.
fn beyond_the_codes(evidence: &Evidence) -> Set<u64> {
    let mut rooms: Map<u64, u32> = Map::default();
    let mut beyond = Set::default();
    for op in evidence.ops.iter().filter(|op| op.invoke.batch != 0) {
        for answer in &op.answers {
            let Outcome::Written(written) = &answer.outcome else { continue };
            let WriteAnswer::Recorded { serials: Some(serials), .. } = &written.answer else { continue };
            let room = rooms.entry(op.invoke.batch).or_insert(limits::ANSWER_CODES_MAX);
            match room.checked_sub(serials.quantity) {
                Some(left) => *room = left,
                None => {
                    beyond.insert(op.id());
                }
            }
        }
    }
    beyond
}

/// A stamp that goes on a document comes with its printed code.
fn stamped_codes(case: &Case, finding: &mut Finding) {
    for op in &case.evidence.ops {
        for answer in &op.answers {
            let Outcome::Written(written) = &answer.outcome else { continue };
            let WriteAnswer::Stamped { series, number, code } = &written.answer else { continue };
            finding.checked += 1;
            if case.codes.code(*series, *number) != **code {
                let index = Some(written.receipt.place.log_index);
                finding.violated(&[op.id()], index, || {
                    format!("the printed code {code} is not that of serial {}/{number}", series_text(*series))
                });
            }
        }
    }
}

/// Genuine codes must not be called forged, nor forged ones issued.
fn verdicts_on_codes(case: &Case, finding: &mut Finding) {
    for op in &case.evidence.ops {
        let Request::VerifySerial { code, .. } = &op.invoke.request else { continue };
        for answer in &op.answers {
            let Outcome::Read(read) = &answer.outcome else { continue };
            finding.checked += 1;
            let genuine = case.codes.read(code).is_some();
            let called_forged = matches!(read.answer, ReadAnswer::SerialForged);
            if genuine == called_forged {
                let what = if genuine { "genuine, and called forged" } else { "forged, and not called so" };
                finding.violated(&[op.id()], read.read_index, || format!("code {code} is {what}"));
            }
        }
    }
}

/// Why a serial cannot be.
enum Phantom {
    /// No call asked for it.
    Unasked(&'static str),
    Outside(&'static str),
}

/// What the tool itself asked for.
struct Known {
    orders: Map<OrderId, Set<u32>>,
    series: Map<SeriesCode, (u64, u64)>,
}

impl Known {
    fn of(evidence: &Evidence) -> Self {
        let mut known = Self { orders: Map::default(), series: Map::default() };
        for op in &evidence.ops {
            match op.invoke.request {
                Request::PlaceOrder { order, quantity, .. } => {
                    known.orders.entry(order).or_default().insert(quantity);
                }
                Request::OpenSeries { series, first_number, capacity, .. } => {
                    known.series.entry(series).or_insert((first_number, capacity));
                }
                _ => {}
            }
        }
        known
    }

    fn phantom(&self, sighting: &Sighting) -> Option<Phantom> {
        let unasked = |why| Some(Phantom::Unasked(why));
        let Some(quantities) = self.orders.get(&sighting.order) else { return unasked("nobody placed this order") };
        let Some((first, capacity)) = self.series.get(&sighting.series) else { return unasked("nobody opened this series") };
        // The end is exclusive on both sides: the last number may be the series' last.
        if sighting.first < *first || sighting.end() > first.saturating_add(*capacity) {
            return Some(Phantom::Outside("it lies outside its series"));
        }
        let is_asked = sighting.single || quantities.contains(&sighting.quantity);
        if is_asked { None } else { unasked("the order asked for another quantity") }
    }
}

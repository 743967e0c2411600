//! V2, V3, V4: each serial has one order, an origin, and a place in its series.
//!
//! A *sighting* is any moment at which a serial was shown with an order: replies, late ones too, reads and scans.

use crate::hash::{Map, Set};

use super::{Case, Evidence, Finding};
use crate::history::{CodesSeen, OrderId, OrderState, Outcome, ReadAnswer, Request, SerialsSeen, SeriesCode, WriteAnswer};
use crate::limits;
use crate::model::{order_text, series_code, series_text};
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
    /// Count and fold of the printed codes; a scan and a verified code show none.
    codes: (u32, u64),
    /// One number of a range, seen by verifying its code.
    single: bool,
}

impl Sighting {
    fn of(serials: &SerialsSeen, order: OrderId, op: u64) -> Self {
        let SerialsSeen { series, first_number: first, quantity, codes } = *serials;
        Self { series, first, quantity, order, op, codes: (codes.count, codes.fold), single: false }
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
                (_, Outcome::Read(read)) => match (&op.invoke.request, &read.answer) {
                    (_, ReadAnswer::Order(seen)) => {
                        found.extend(seen.serials.iter().map(|serials| Sighting::of(serials, seen.order, op.id())));
                    }
                    (Request::VerifySerial { code, .. }, ReadAnswer::SerialIssued { order, .. }) => {
                        if let Some((series, first)) = codes.read(code) {
                            let (order, op) = (*order, op.id());
                            found.push(Sighting { series, first, quantity: 1, order, op, codes: (0, 0), single: true });
                        }
                    }
                    _ => {}
                },
                _ => {}
            }
        }
    }
    for (_, scan) in evidence.distinct_scans() {
        for seen in scan.records.orders.values() {
            found.extend(seen.serials.iter().map(|serials| Sighting::of(serials, seen.order, IN_A_SCAN)));
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
    finding.or_unsure_if_empty("no serial was ever seen")
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
        if sighting.single || sighting.op == IN_A_SCAN || (sighting.codes.0 == 0 && may_lack_codes()) {
            continue;
        }
        let range = (sighting.series, sighting.first, sighting.quantity);
        let expected = match folded {
            Some((at, fold)) if at == range => fold,
            _ => folded.insert((range, case.codes.fold(range.0, range.1, range.2))).1,
        };
        if sighting.codes != (expected.count, expected.fold) {
            finding.violated(&sighting.ops(), None, || format!("{}: the printed codes are not those of its numbers", name()));
        }
    }
    if unasked > 0 {
        finding.unsure(format!("{unasked} serials may belong to calls that the history lacks"));
    }
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

/// Over the final scans; of the time before, V6 compares the sums of samples with the log's.
#[must_use]
pub fn serial_accounting(case: &Case) -> Finding {
    let mut finding = Finding::new("V4", "serial accounting: capacity = issued + reserved + free, without a gap");
    for (node, scan) in case.evidence.distinct_scans() {
        let mut issued: Map<SeriesCode, Vec<(u64, u32)>> = Map::default();
        let mut reserved: Map<SeriesCode, u64> = Map::default();
        for order in scan.records.orders.values() {
            match (order.state, &order.serials) {
                (OrderState::Issued, Some(serials)) => {
                    issued.entry(serials.series).or_default().push((serials.first_number, serials.quantity));
                }
                (OrderState::AwaitingPayment, None) => *reserved.entry(order.series).or_default() += u64::from(order.quantity),
                (OrderState::Cancelled | OrderState::Expired, None) => {}
                (state, _) => finding.violated(&[], Some(scan.header.applied_index), || {
                    format!("node {node}: order {} is {state:?} and its serials do not fit that", order_text(order.order))
                }),
            }
        }
        for series in &scan.records.series {
            finding.checked += 1;
            let Some(code) = series_code(&series.series_code) else { continue };
            let mut ranges = issued.remove(&code).unwrap_or_default();
            ranges.sort_unstable();
            let mut next = series.first_number;
            for (first, quantity) in ranges {
                if first != next {
                    finding.violated(&[], Some(scan.header.applied_index), || {
                        format!("node {node}: series {}: number {next} was to be issued next, {first} was", series.series_code)
                    });
                }
                next = first.saturating_add(u64::from(quantity));
            }
            let sums = (next - series.first_number.min(next), reserved.remove(&code).unwrap_or(0));
            if sums != (series.issued, series.reserved) || sums.0.saturating_add(sums.1) > series.capacity {
                finding.violated(&[], Some(scan.header.applied_index), || {
                    let (code, kept) = (&series.series_code, (series.issued, series.reserved));
                    format!(
                        "node {node}: series {code} counts (issued, reserved) {kept:?} of {}, its orders {sums:?}",
                        series.capacity
                    )
                });
            }
        }
        for code in issued.keys().chain(reserved.keys()) {
            let text = series_text(*code);
            finding.violated(&[], Some(scan.header.applied_index), || {
                format!("node {node}: orders of series {text}, which is not there")
            });
        }
    }
    finding.or_unsure_if_empty("no replica was scanned")
}

//! V2, V3: each serial has one order, at most one document, and an origin.
//!
//! A *sighting* is any moment at which a serial was shown with an order: replies, late ones too, reads and scans.

use crate::hash::{Map, Set};

use super::{Case, Finding};
use crate::evidence::{Op, Page};
use crate::history::{CodesSeen, Digest, OrderId, Outcome, ReadAnswer, Request, SerialsSeen, SeriesCode, WriteAnswer};
use crate::model::{order_text, series_text};

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
pub(super) fn sightings(case: &Case) -> Vec<Sighting> {
    let mut found = Vec::new();
    for op in &case.lot.ops {
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
                    (
                        Request::VerifySerial { code, .. },
                        ReadAnswer::SerialIssued { order, .. }
                        | ReadAnswer::SerialStamped { order, .. }
                        | ReadAnswer::SerialVoided { order, .. },
                    ) => {
                        let stamp = case.codes.read(code);
                        found.extend(stamp.map(|(series, number)| Sighting::of_one(series, number, *order, op.id())));
                    }
                    _ => {}
                },
                _ => {}
            }
        }
    }
    for (op, page) in &case.lot.listed {
        let Page::Order(seen) = page else { continue };
        found.extend(seen.serials.iter().map(|serials| Sighting::without_codes(serials, seen.order, *op)));
    }
    for (_, _, records) in case.scans() {
        for seen in records.orders.values() {
            found.extend(seen.serials.iter().map(|serials| Sighting::without_codes(serials, seen.order, IN_A_SCAN)));
        }
        for ((order, _), seen) in &records.stampings {
            found.push(Sighting::of_one(seen.series, seen.number, *order, IN_A_SCAN));
        }
    }
    found.sort_unstable();
    found
}

/// A range that an order was shown with, by whomever first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    series: SeriesCode,
    first: u64,
    end: u64,
    order: OrderId,
    op: u64,
}

/// Of the lot's orders; what lies within another claim of its order is left out.
#[must_use]
pub fn claims(case: &Case) -> Vec<Claim> {
    claims_of(&case.sightings)
}

fn claims_of(sightings: &[Sighting]) -> Vec<Claim> {
    let mut claims: Vec<Claim> = Vec::new();
    for sighting in sightings {
        let claim = Claim {
            series: sighting.series,
            first: sighting.first,
            end: sighting.end(),
            order: sighting.order,
            op: sighting.op,
        };
        // (They stand in the order of their first numbers.)
        let is_within = |there: &Claim| (there.series, there.order) == (claim.series, claim.order) && claim.end <= there.end;
        if !claims.last().is_some_and(is_within) {
            claims.push(claim);
        }
    }
    claims
}

fn finding() -> Finding {
    Finding::new("V2", "a serial belongs to one order, over every sighting")
}

/// Of all orders.
#[must_use]
pub fn claims_do_not_overlap(mut claims: Vec<Claim>) -> Finding {
    let mut finding = finding();
    claims.sort_unstable();
    // The claim that reaches furthest so far: a later one that begins before its end shares numbers with it.
    let mut furthest: Option<Claim> = None;
    for claim in claims {
        match &mut furthest {
            Some(other) if other.series == claim.series && claim.first < other.end => {
                if other.order != claim.order {
                    finding.violated(&named([other.op, claim.op]), None, || {
                        let (one, two) = (order_text(other.order), order_text(claim.order));
                        let (series, number) = (series_text(claim.series), claim.first);
                        format!("serial {series}/{number} was shown for order {one} and for order {two}")
                    });
                }
                if claim.end > other.end {
                    *other = claim;
                }
            }
            _ => furthest = Some(claim),
        }
    }
    finding
}

fn named(ops: [u64; 2]) -> Vec<u64> {
    ops.into_iter().filter(|op| *op != IN_A_SCAN).collect()
}

/// Of the lot: always the same ones.
#[must_use]
pub fn an_order_has_its_serials(case: &Case) -> Finding {
    let mut finding = finding();
    let mut ranges: Map<OrderId, Sighting> = Map::default();
    for &sighting in &case.sightings {
        finding.checked += 1;
        if sighting.single {
            continue;
        }
        let first = *ranges.entry(sighting.order).or_insert(sighting);
        if (first.series, first.first, first.quantity) != (sighting.series, sighting.first, sighting.quantity) {
            finding.violated(&named([first.op, sighting.op]), None, || {
                let order = order_text(sighting.order);
                format!("order {order} was shown with serials from {} and with serials from {}", first.first, sighting.first)
            });
        }
    }
    one_document_a_stamp(case, &mut finding);
    finding.unsure_if_empty("no serial was ever seen")
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
    for op in &case.lot.ops {
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
    for (_, _, records) in case.scans() {
        for ((order, document), seen) in &records.stampings {
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
        let (series, number) = (series_text(binding.stamp.0), binding.stamp.1);
        if first.document != binding.document {
            finding.violated(&named([first.op, binding.op]), None, || {
                format!("serial {series}/{number} was shown on two documents")
            });
        }
        let first = *by_document.entry((binding.order, binding.document)).or_insert(binding);
        if first.stamp != binding.stamp {
            finding.violated(&named([first.op, binding.op]), None, || {
                let order = order_text(binding.order);
                format!("a document of order {order} was shown with serial {} and with {number}", first.stamp.1)
            });
        }
    }
}

#[must_use]
pub fn no_phantom_serial(case: &Case) -> Finding {
    let mut finding = Finding::new("V3", "no phantom serial: known order, valid range, genuine code");
    let known = Known::of(case);
    let mut folded: Option<((SeriesCode, u64, u32), CodesSeen)> = None;
    let evidence = case.evidence;
    let lacks_calls = evidence.history_is_cut || evidence.lacks_calls;
    let mut unasked = 0;
    let beyond_the_codes = beyond_the_codes(case);
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
    finding.doubt(unasked, "serials may belong to calls that the history lacks");
    stamped_codes(case, &mut finding);
    verdicts_on_codes(case, &mut finding);
    finding.unsure_if_empty("no serial was ever seen")
}

/// The lot's, as sightings name them.
fn beyond_the_codes(case: &Case) -> Set<u64> {
    let beyond = case.lot.ops.iter().filter(|op| case.evidence.beyond_the_codes.contains(&op.nth));
    beyond.map(Op::id).collect()
}

/// A stamp that goes on a document comes with its printed code.
fn stamped_codes(case: &Case, finding: &mut Finding) {
    for op in &case.lot.ops {
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
    for op in &case.lot.ops {
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
struct Known<'a> {
    orders: Map<OrderId, Set<u32>>,
    series: &'a Map<SeriesCode, (u64, u64)>,
}

impl<'a> Known<'a> {
    fn of(case: &Case<'a>) -> Self {
        let mut orders: Map<OrderId, Set<u32>> = Map::default();
        for op in &case.lot.ops {
            if let Request::PlaceOrder { order, quantity, .. } = op.invoke.request {
                orders.entry(order).or_default().insert(quantity);
            }
        }
        Self { orders, series: &case.evidence.series }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn claim((first, end): (u64, u64), order: u8, op: u64) -> Claim {
        Claim { series: *b"A24", first, end, order: [order; 16], op }
    }

    #[test]
    fn claims_of_two_orders_share_no_number() {
        let other_series = Claim { series: *b"B24", ..claim((2, 5), 2, 2) };
        let rows: [(Vec<Claim>, &[&[u64]]); 9] = [
            (vec![claim((0, 3), 1, 1), claim((3, 6), 2, 2)], &[]),
            (vec![claim((2, 5), 2, 2), claim((0, 3), 1, 1)], &[&[1, 2]]),
            (vec![claim((0, 3), 1, 1), other_series], &[]),
            (vec![claim((0, 5), 1, 1), claim((2, 4), 1, 2)], &[]),
            // The claim that reaches furthest counts, whether it is the last one or not.
            (vec![claim((0, 9), 1, 1), claim((1, 3), 1, 2), claim((5, 6), 2, 3)], &[&[1, 3]]),
            (vec![claim((0, 3), 1, 1), claim((2, 9), 1, 2), claim((5, 6), 2, 3)], &[&[2, 3]]),
            (vec![claim((0, 3), 1, 1), claim((1, 3), 1, 2), claim((2, 3), 2, 3)], &[&[1, 3]]),
            (vec![claim((0, 3), 1, 1), claim((1, 4), 2, 2), claim((2, 5), 3, 3)], &[&[1, 2], &[2, 3]]),
            (vec![claim((0, 3), 1, IN_A_SCAN), claim((2, 5), 2, 2)], &[&[2]]),
        ];
        for (claims, expected) in rows {
            let finding = claims_do_not_overlap(claims.clone());
            let named: Vec<&[u64]> = finding.shown.iter().map(|shown| shown.ops.as_slice()).collect();
            assert_eq!(named, expected, "{claims:?}");
        }
    }

    #[test]
    fn of_an_order_a_claim_within_another_is_left_out() {
        let sighting = |first, quantity, order: u8| Sighting { quantity, ..Sighting::of_one(*b"A24", first, [order; 16], 1) };
        let claims = claims_of(&[sighting(0, 3, 1), sighting(1, 1, 1), sighting(1, 1, 2), sighting(2, 2, 1)]);
        assert_eq!(claims, [claim((0, 3), 1, 1), claim((1, 2), 2, 1), claim((2, 4), 1, 1)]);
    }
}

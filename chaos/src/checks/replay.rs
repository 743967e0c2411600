//! The judge's model, run once over the exported log: what each command must have been answered, the sums at each index,
//! what each read must have shown at the index that it claims to be good for, and what each replica must hold at its scan's.

use super::evidence::{Evidence, Op};
use super::records;
use crate::hash::Map;
use crate::history::{LedgerTotals, OrderId, OrderSeen, Outcome, PaymentName, PaymentSeen, Place, Read, ReadAnswer, Request};
use crate::model::{Answer, Ledger, Log, LoggedCommand, Order, Payment, Reply, order_text, series_text};
use crate::serial_code::SerialCodes;

pub struct Replay {
    first_index: u64,
    /// For each entry, for each of its commands.
    replies: Vec<Vec<Reply>>,
    /// After each entry.
    totals: Vec<LedgerTotals>,
    /// How often the log executes again what stands first at a place.
    again: Map<Place, u32>,
    /// After the last.
    pub ledger: Ledger,
    pub records_checked: u64,
    /// Records of scans that are not the model's: node, index, how.
    pub record_faults: Vec<(u16, u64, String)>,
    /// Nodes whose scan is of an index outside the exported log.
    pub scans_beyond: Vec<u16>,
    pub reads_checked: u64,
    /// Reads that the model contradicts: op, index, how.
    pub read_faults: Vec<(u64, u64, String)>,
    /// Reads of an index beyond the exported log.
    pub reads_beyond: u64,
}

impl Replay {
    #[must_use]
    pub fn run(evidence: &Evidence, codes: &SerialCodes) -> Self {
        let log = &evidence.log;
        let mut replay = Self {
            first_index: log.first_index,
            replies: Vec::with_capacity(log.entries.len()),
            totals: Vec::with_capacity(log.entries.len()),
            again: Map::default(),
            ledger: Ledger::default(),
            records_checked: 0,
            record_faults: Vec::new(),
            scans_beyond: Vec::new(),
            reads_checked: 0,
            read_faults: Vec::new(),
            reads_beyond: 0,
        };
        let mut reads = reads_by_index(evidence).into_iter().peekable();
        let mut scans: Vec<_> = evidence.distinct_scans().collect();
        scans.sort_by_key(|(_, scan)| scan.header.applied_index);
        let mut scans = scans.into_iter().peekable();
        for (index, entry) in (log.first_index..).zip(&log.entries) {
            while let Some((_, op, read)) = reads.next_if(|(at, ..)| *at < index) {
                replay.check_read(op, read, codes);
            }
            let places = (0..).map(|offset| Place { log_index: index, offset });
            let ledger = &mut replay.ledger;
            let replies: Vec<Reply> = places
                .zip(&entry.commands)
                .map(|(place, command)| ledger.apply(place, entry.proposed_at_ms, command))
                .collect();
            for reply in replies.iter().filter(|reply| reply.replayed) {
                *replay.again.entry(reply.place).or_default() += 1;
            }
            replay.replies.push(replies);
            replay.totals.push(replay.ledger.totals);
            while let Some((node, scan)) = scans.next_if(|(_, scan)| scan.header.applied_index == index) {
                replay.records_checked += records::compare(&replay.ledger, node, scan, &mut replay.record_faults);
            }
        }
        replay.scans_beyond = scans.map(|(node, _)| node).collect();
        let last = log.last_index();
        for (at, op, read) in reads {
            if at > last {
                replay.reads_beyond += 1;
            } else {
                replay.check_read(op, read, codes);
            }
        }
        replay
    }

    /// What stands at a place, and what it must have been answered.
    #[must_use]
    pub fn at<'a>(&'a self, log: &'a Log, place: Place) -> Option<(&'a LoggedCommand, &'a Reply)> {
        let offset = place.offset as usize;
        let command = log.entry(place.log_index)?.commands.get(offset)?;
        let entry = usize::try_from(place.log_index.checked_sub(self.first_index)?).ok()?;
        Some((command, self.replies.get(entry)?.get(offset)?))
    }

    /// What clients (or the operator) sent, in the order of the log, and what it must have been answered.
    pub fn client_commands<'a>(&'a self, log: &'a Log) -> impl Iterator<Item = (Place, &'a Request, &'a Reply)> {
        let entries = (log.first_index..).zip(log.entries.iter().zip(&self.replies));
        entries.flat_map(|(log_index, (entry, replies))| {
            let places = (0..).map(move |offset| Place { log_index, offset });
            places.zip(entry.commands.iter().zip(replies)).filter_map(|(place, (command, reply))| match command {
                LoggedCommand::Client(request) => Some((place, request, reply)),
                LoggedCommand::ExpireOrders { .. } => None,
            })
        })
    }

    /// How often the log executes again what stands first at `place`.
    #[must_use]
    pub fn executed_again(&self, place: Place) -> u32 {
        self.again.get(&place).copied().unwrap_or(0)
    }

    #[must_use]
    pub fn totals_at(&self, index: u64) -> Option<&LedgerTotals> {
        self.totals.get(usize::try_from(index.checked_sub(self.first_index)?).ok()?)
    }

    fn check_read(&mut self, op: &Op, read: &Read, codes: &SerialCodes) {
        self.reads_checked += 1;
        let fault = match (&op.invoke.request, &read.answer) {
            (Request::GetOrder { order, .. }, answer) => read_order_fault(*order, self.ledger.orders.get(order), answer),
            (Request::GetPayment { payment, .. }, answer) => {
                read_payment_fault(payment, self.ledger.payments.get(payment), answer)
            }
            (Request::VerifySerial { code, .. }, answer) => self.read_serial_fault(codes.read(code), answer),
            _ => Some("a write was answered as a read".into()),
        };
        if let Some(fault) = fault.or_else(|| self.read_time_fault(read)) {
            self.read_faults.push((op.id(), read.read_index.unwrap_or(0), fault));
        }
    }

    /// The ledger's time at the read's index. *Not found* is an error on the wire and carries none.
    fn read_time_fault(&self, read: &Read) -> Option<String> {
        let carries_none = read.answer == ReadAnswer::Absent && read.ledger_time_ms == 0;
        let (shown, is) = (read.ledger_time_ms, self.ledger.now_ms);
        (!carries_none && shown != is).then(|| format!("the ledger's time was shown as {shown} and was {is}"))
    }

    fn read_serial_fault(&self, stamp: Option<([u8; 3], u64)>, answer: &ReadAnswer) -> Option<String> {
        let Some((code, number)) = stamp else {
            // A code that is not ours: the serial checks judge what was said of it.
            return None;
        };
        let issued = self
            .ledger
            .series
            .get(&code)
            .is_some_and(|series| number.checked_sub(series.first_number).is_some_and(|at| at < series.issued));
        match answer {
            ReadAnswer::SerialIssued { order, issued_at_ms } if issued => {
                let holder = self.ledger.orders.get(order).filter(|holder| holds(holder, code, number));
                match holder.and_then(|holder| holder.settled) {
                    None => Some(format!(
                        "stamp {}/{number} was shown for order {}, which does not hold it",
                        series_text(code),
                        order_text(*order)
                    )),
                    Some(settled) if settled.at_ms != *issued_at_ms => Some(format!(
                        "stamp {}/{number} was issued at {} and shown as issued at {issued_at_ms}",
                        series_text(code),
                        settled.at_ms
                    )),
                    Some(_) => None,
                }
            }
            ReadAnswer::SerialUnknown if !issued => None,
            ReadAnswer::SerialForged => None,
            ReadAnswer::SerialIssued { .. } => {
                Some(format!("stamp {}/{number} was shown as issued and was not", series_text(code)))
            }
            _ => Some(format!("stamp {}/{number} was issued and was not shown", series_text(code))),
        }
    }
}

fn holds(order: &Order, code: [u8; 3], number: u64) -> bool {
    let first = order.issued.as_ref().map(|(first, _)| *first);
    let at = first.and_then(|first| number.checked_sub(first));
    order.series == code && at.is_some_and(|at| at < u64::from(order.quantity))
}

fn reads_by_index(evidence: &Evidence) -> Vec<(u64, &Op, &Read)> {
    let mut reads = Vec::new();
    for op in &evidence.ops {
        for answer in &op.answers {
            if let Outcome::Read(read) = &answer.outcome
                && let Some(index) = read.read_index
            {
                reads.push((index, op, read));
            }
        }
    }
    reads.sort_by_key(|(index, op, _)| (*index, op.id()));
    reads
}

fn read_order_fault(asked: OrderId, model: Option<&Order>, answer: &ReadAnswer) -> Option<String> {
    match (model, answer) {
        (None, ReadAnswer::Absent) => None,
        (Some(model), ReadAnswer::Order(seen)) => order_difference(asked, model, seen)
            .map(|field| format!("order {}: {field} is not that of its index", order_text(asked))),
        (Some(_), ReadAnswer::Absent) => Some("an order was not found that was there".into()),
        (None, ReadAnswer::Order(seen)) => Some(format!("order {} was shown and was not there", order_text(seen.order))),
        _ => Some("an order was asked for and something else answered".into()),
    }
}

fn read_payment_fault(asked: &PaymentName, model: Option<&Payment>, answer: &ReadAnswer) -> Option<String> {
    match (model, answer) {
        (None, ReadAnswer::Absent) => None,
        (Some(model), ReadAnswer::Payment(seen)) => payment_difference(asked, model, seen)
            .map(|field| format!("payment {}: {field} is not that of its index", asked.payment_id)),
        (Some(_), ReadAnswer::Absent) => Some("a payment was not found that was there".into()),
        (None, ReadAnswer::Payment(seen)) => Some(format!("payment {} was shown and was not there", seen.payment.payment_id)),
        _ => Some("a payment was asked for and something else answered".into()),
    }
}

/// The first field in which what was seen is not what the model holds.
#[must_use]
pub fn order_difference(id: OrderId, model: &Order, seen: &OrderSeen) -> Option<&'static str> {
    let serials = seen.serials.as_ref().map(|serials| (serials.series, serials.first_number, serials.quantity));
    let issued = model.issued.as_ref();
    let fields = [
        ("order_id", id == seen.order),
        ("account_id", model.account == seen.account),
        ("series_code", model.series == seen.series),
        ("quantity", model.quantity == seen.quantity),
        ("amount_idr", model.amount_idr == seen.amount_idr),
        ("state", model.state == seen.state),
        ("placed", model.placed == seen.placed),
        ("placed_at_ms", model.placed_at_ms == seen.placed_at_ms),
        ("expires_at_ms", model.expires_at_ms == seen.expires_at_ms),
        ("settled", model.settled.map(|settled| settled.place) == seen.settled),
        ("settled_at_ms", model.settled.map_or(0, |settled| settled.at_ms) == seen.settled_at_ms),
        ("serials", issued.map(|(first, _)| (model.series, *first, model.quantity)) == serials),
        ("paid_by", issued.map(|(_, payment)| payment) == seen.paid_by.as_ref()),
    ];
    fields.iter().find(|(_, equal)| !equal).map(|(name, _)| *name)
}

/// As [`order_difference`].
#[must_use]
pub fn payment_difference(name: &PaymentName, model: &Payment, seen: &PaymentSeen) -> Option<&'static str> {
    let fields = [
        ("name", *name == seen.payment),
        ("order_id", model.order == seen.order),
        ("amount_idr", model.amount_idr == seen.amount_idr),
        ("outcome", model.outcome == seen.outcome),
        ("recorded", model.recorded == seen.recorded),
        ("recorded_at_ms", model.recorded_at_ms == seen.recorded_at_ms),
    ];
    fields.iter().find(|(_, equal)| !equal).map(|(name, _)| *name)
}

/// How an answer differs from what the model says, if it does.
#[must_use]
pub fn answer_difference(expected: &Answer, outcome: &Outcome) -> Option<String> {
    use crate::history::WriteAnswer;
    let equal = match (expected, outcome) {
        (Answer::Refused { reason, differs }, Outcome::Refused { reason: seen, field, .. }) => {
            **seen == **reason && (differs.is_empty() || differs.contains(&&**field))
        }
        (expected, Outcome::Written(written)) => match (expected, &written.answer) {
            (Answer::SeriesOpened, WriteAnswer::SeriesOpened) | (Answer::Cancelled, WriteAnswer::Cancelled) => true,
            (
                Answer::Placed { amount_idr, expires_at_ms },
                WriteAnswer::Placed { amount_idr: amount, expires_at_ms: expires },
            ) => amount_idr == amount && expires_at_ms == expires,
            (Answer::Recorded { outcome, serials }, WriteAnswer::Recorded { outcome: seen, serials: seen_serials }) => {
                let seen_range = seen_serials.as_ref().map(|range| (range.series, range.first_number, range.quantity));
                outcome == seen && *serials == seen_range
            }
            _ => false,
        },
        _ => false,
    };
    (!equal).then(|| format!("the log says {expected:?}, the answer was {}", outcome_text(outcome)))
}

/// For violations: short, for people.
#[must_use]
pub fn outcome_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Written(written) => format!("{:?} at {}", written.answer, written.receipt.place),
        Outcome::Refused { reason, field, .. } if field.is_empty() => format!("refused, {reason}"),
        Outcome::Refused { reason, field, .. } => format!("refused, {reason} ({field})"),
        Outcome::NotDone { reason } => format!("not done, {reason}"),
        Outcome::Unknown { why } => format!("unknown, {why}"),
        Outcome::Read(read) => format!("{:?}", read.answer),
    }
}

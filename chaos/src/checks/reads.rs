//! What a read showed, beside what the model holds after the index that the read claims to be good for.

use super::differences::{order_difference, policy_difference, refund_difference};
use super::lists;
use crate::history::{Digest, OrderId, OrderState, PaymentName, Place, Read, ReadAnswer, RefundSeen, Request, SeriesCode};
use crate::model::{Issued, Ledger, Order, order_text, series_text};
use crate::serial_code::SerialCodes;

pub(super) fn fault(ledger: &Ledger, request: &Request, read: &Read, codes: &SerialCodes) -> Option<String> {
    let fault = match (request, &read.answer) {
        (Request::GetOrder { order, .. }, answer) => order_fault(*order, ledger.orders.get(order), answer),
        (Request::GetPayment { payment, .. }, answer) => payment_fault(ledger, payment, answer),
        (Request::VerifySerial { code, document, .. }, answer) => {
            // A code that is not ours: the serial checks judge what was said of it.
            codes.read(code).and_then(|stamp| serial_fault(ledger, stamp, document.as_ref(), answer))
        }
        (Request::GetPolicy, ReadAnswer::Policy(seen)) => {
            let (version, policy) = ledger.policy();
            policy_difference(version, &policy, seen).map(|field| format!("the policy: {field} is not that of its index"))
        }
        (Request::ListRefundsDue { page_size, after, .. }, ReadAnswer::RefundsDue { refunds, next_page_token }) => {
            page_fault(ledger, *page_size, *after, refunds, !next_page_token.is_empty())
        }
        (Request::ListOrders(list), ReadAnswer::Orders { orders, next_page_token }) => {
            index_fault(list.as_of, read).or_else(|| lists::orders_fault(ledger, list, orders, !next_page_token.is_empty()))
        }
        (Request::ListPayments(list), ReadAnswer::Payments { payments, next_page_token }) => {
            index_fault(list.as_of, read).or_else(|| lists::payments_fault(ledger, list, payments, !next_page_token.is_empty()))
        }
        _ => Some("one thing was asked for and something else answered".into()),
    };
    fault.or_else(|| time_fault(ledger, read))
}

/// All pages of a list are of one index.
fn index_fault(as_of: Option<u64>, read: &Read) -> Option<String> {
    let (first, shown) = (as_of?, read.read_index?);
    (first != shown).then(|| format!("a page is of index {shown}, and the list's first page was of {first}"))
}

/// The ledger's time at the read's index. *Not found* is an error on the wire and carries none.
fn time_fault(ledger: &Ledger, read: &Read) -> Option<String> {
    let carries_none = read.answer == ReadAnswer::Absent && read.ledger_time_ms == 0;
    let (shown, is) = (read.ledger_time_ms, ledger.now_ms);
    (!carries_none && shown != is).then(|| format!("the ledger's time was shown as {shown} and was {is}"))
}

fn order_fault(asked: OrderId, model: Option<&Order>, answer: &ReadAnswer) -> Option<String> {
    match (model, answer) {
        (None, ReadAnswer::Absent) => None,
        (Some(model), ReadAnswer::Order(seen)) => order_difference(asked, model, seen)
            .map(|field| format!("order {}: {field} is not that of its index", order_text(asked))),
        (Some(_), ReadAnswer::Absent) => Some("an order was not found that was there".into()),
        (None, ReadAnswer::Order(seen)) => Some(format!("order {} was shown and was not there", order_text(seen.order))),
        _ => Some("an order was asked for and something else answered".into()),
    }
}

fn payment_fault(ledger: &Ledger, asked: &PaymentName, answer: &ReadAnswer) -> Option<String> {
    match (ledger.payments.get(asked), answer) {
        (None, ReadAnswer::Absent) => None,
        (Some(_), ReadAnswer::Payment(seen)) if seen.payment != *asked => {
            Some(format!("payment {} was shown for {}", seen.payment.payment_id, asked.payment_id))
        }
        (Some(_), ReadAnswer::Payment(seen)) => lists::shown_payment_difference(ledger, seen)
            .map(|field| format!("payment {}: {field} is not that of its index", asked.payment_id)),
        (Some(_), ReadAnswer::Absent) => Some("a payment was not found that was there".into()),
        (None, ReadAnswer::Payment(seen)) => Some(format!("payment {} was shown and was not there", seen.payment.payment_id)),
        _ => Some("a payment was asked for and something else answered".into()),
    }
}

fn serial_fault(
    ledger: &Ledger,
    (code, number): (SeriesCode, u64),
    document: Option<&Digest>,
    answer: &ReadAnswer,
) -> Option<String> {
    let name = || format!("stamp {}/{number}", series_text(code));
    let series = ledger.series.get(&code);
    let given_out =
        series.is_some_and(|series| number.checked_sub(series.first_number).is_some_and(|at| at < series.given_out()));
    let order = match answer {
        // Of a genuine code, V3 says that it was called forged.
        ReadAnswer::SerialForged => return None,
        ReadAnswer::SerialUnknown if given_out => return Some(format!("{} was issued and was not shown", name())),
        ReadAnswer::SerialUnknown => return None,
        ReadAnswer::SerialIssued { order, .. }
        | ReadAnswer::SerialStamped { order, .. }
        | ReadAnswer::SerialVoided { order, .. } => order,
        _ => return Some("a serial was asked about and something else answered".into()),
    };
    if !given_out {
        return Some(format!("{} was shown as issued and was not", name()));
    }
    let Some((holder, issued, at)) = ledger.orders.get(order).and_then(|holder| holding(holder, code, number)) else {
        return Some(format!("{} was shown for order {}, which does not hold it", name(), order_text(*order)));
    };
    let stamped = issued.documents.get(at);
    let expected = match (holder.state, holder.settled, stamped) {
        (OrderState::Voided, Some(voided), _) => {
            ReadAnswer::SerialVoided { order: *order, issued_at_ms: issued.at_ms, voided_at_ms: voided.at_ms }
        }
        (_, _, Some((there, stamped))) => ReadAnswer::SerialStamped {
            order: *order,
            issued_at_ms: issued.at_ms,
            stamped_at_ms: stamped.at_ms,
            document_matches: document == Some(there),
        },
        _ => ReadAnswer::SerialIssued { order: *order, issued_at_ms: issued.at_ms },
    };
    (expected != *answer).then(|| format!("{} was {expected:?} and was shown as {answer:?}", name()))
}

/// The order, its issue, and which of its stamps the number is.
fn holding(order: &Order, code: SeriesCode, number: u64) -> Option<(&Order, &Issued, usize)> {
    let issued = order.issued.as_ref()?;
    let at = number.checked_sub(issued.first_number).filter(|at| *at < u64::from(order.quantity))?;
    (order.series == code).then_some((order, issued, usize::try_from(at).ok()?))
}

/// A page has what is due behind `after`, oldest first, and says whether more follow.
fn page_fault(ledger: &Ledger, page_size: u32, after: Option<Place>, refunds: &[RefundSeen], has_more: bool) -> Option<String> {
    let behind = |place: &Place| after.is_none_or(|after| *place > after);
    let mut due = ledger.refunds_due.iter().filter(|(place, _)| behind(place));
    for seen in refunds {
        let Some((_, name)) = due.next() else {
            return Some(format!("the refund of payment {} was listed as due and is not", seen.payment.payment_id));
        };
        if *name != seen.payment {
            let (first, listed) = (&name.payment_id, &seen.payment.payment_id);
            return Some(format!("the refund of payment {first} is due and older than that of {listed}, which was listed"));
        }
        if let Some(field) = refund_difference(name, &ledger.refunds[name], seen) {
            return Some(format!("the refund of payment {}: {field} is not that of its index", name.payment_id));
        }
    }
    match due.next() {
        Some((_, name)) if !has_more => Some(format!("the refund of payment {} is due and was not listed", name.payment_id)),
        Some(_) if refunds.is_empty() => Some("a page is empty, and more follow".into()),
        _ if refunds.len() > page_size as usize => Some(format!("a page of {page_size} has {} refunds", refunds.len())),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

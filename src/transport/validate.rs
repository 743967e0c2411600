//! From the wire to the domain: the only place that parses what callers send.
//!
//! Nothing is proposed and nothing is read before a whole request has passed. A refusal names the field by its path on the
//! wire, such as `commands[3].place_order.quantity`, and the limit. What a series or an order *is* (known, paid, sold out) is not
//! asked here: that is the ledger's to say.

use std::time::Duration;

use crate::consensus::Consistency;
use crate::domain::names::InvalidValue;
use crate::domain::series::SeriesTerms;
use crate::domain::{
    AccountId, Command, DocumentDigest, Gateway, KeyCheck, LedgerTime, OrderId, PaymentId, PaymentName, Place, PolicyTerms,
    Quantity, Rupiah, SeriesCode, SettlementReference, StampNumber,
};
use crate::limits;
use crate::proto::{admin, v1};
use crate::transport::errors::Failure;
use crate::transport::lists::{OrderFilter, PaymentFilter, Period};

/// A field and the limit that it breaks. The field is named within its own message; [`BadField::under`] puts the path before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadField {
    field: &'static str,
    limit: Limit,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Limit {
    Value(InvalidValue),
    Words(&'static str),
}

impl BadField {
    /// `path` with its final dot, or empty.
    #[must_use]
    pub fn under(self, path: &str) -> Failure {
        let field = format!("{path}{}", self.field);
        match self.limit {
            Limit::Value(limit) => Failure::invalid(field, limit),
            Limit::Words(limit) => Failure::invalid(field, limit),
        }
    }
}

impl From<BadField> for Failure {
    fn from(bad: BadField) -> Self {
        bad.under("")
    }
}

trait Field<T> {
    fn field(self, field: &'static str) -> Result<T, BadField>;
}

impl<T> Field<T> for Result<T, InvalidValue> {
    fn field(self, field: &'static str) -> Result<T, BadField> {
        self.map_err(|limit| BadField { field, limit: Limit::Value(limit) })
    }
}

/// # Errors
/// Names the first field, in the order of the message, that breaks its limit; so do the others of this file.
pub fn place_order(request: &v1::PlaceOrderRequest) -> Result<Command, BadField> {
    Ok(Command::PlaceOrder {
        order: order_id(&request.order_id)?,
        account: AccountId::new(&request.account_id).field("account_id")?,
        series: SeriesCode::new(&request.series_code).field("series_code")?,
        quantity: Quantity::new(request.quantity).field("quantity")?,
    })
}

pub fn record_payment(request: &v1::RecordPaymentRequest) -> Result<Command, BadField> {
    Ok(Command::RecordPayment {
        payment: payment_name(&request.gateway, &request.payment_id)?,
        order: order_id(&request.order_id)?,
        amount: Rupiah::payment(request.amount_idr).field("amount_idr")?,
    })
}

pub fn cancel_order(request: &v1::CancelOrderRequest) -> Result<Command, BadField> {
    Ok(Command::CancelOrder { order: order_id(&request.order_id)? })
}

pub fn void_order(request: &v1::VoidOrderRequest) -> Result<Command, BadField> {
    Ok(Command::VoidOrder { order: order_id(&request.order_id)? })
}

pub fn stamp_document(request: &v1::StampDocumentRequest) -> Result<Command, BadField> {
    Ok(Command::StampDocument {
        order: order_id(&request.order_id)?,
        document: DocumentDigest::new(&request.document_sha256).field("document_sha256")?,
    })
}

/// Of a question about a document, which may be left out.
pub fn asked_document(bytes: &[u8]) -> Result<Option<DocumentDigest>, BadField> {
    if bytes.is_empty() {
        return Ok(None);
    }
    DocumentDigest::new(bytes).map(Some).field("document_sha256")
}

pub fn order_id(text: &str) -> Result<OrderId, BadField> {
    OrderId::parse(text).field("order_id")
}

pub fn payment_name(gateway: &str, payment_id: &str) -> Result<PaymentName, BadField> {
    Ok(PaymentName {
        gateway: Gateway::new(gateway).field("gateway")?,
        payment_id: PaymentId::new(payment_id).field("payment_id")?,
    })
}

pub fn consistency(wire: i32) -> Result<Consistency, BadField> {
    match v1::ReadConsistency::try_from(wire) {
        Ok(v1::ReadConsistency::Unspecified | v1::ReadConsistency::Linearizable) => Ok(Consistency::Linearizable),
        Ok(v1::ReadConsistency::Stale) => Ok(Consistency::Stale),
        Err(_) => Err(BadField { field: "consistency", limit: Limit::Words("must be one of the values of ReadConsistency") }),
    }
}

/// The number of commands in a batch; what each of them says is its own affair ([`batch_command`]).
pub fn batch_size(commands: usize) -> Result<(), BadField> {
    if (1..=limits::BATCH_COMMANDS_MAX).contains(&commands) {
        return Ok(());
    }
    let limit = InvalidValue::Range { min: 1, max: limits::BATCH_COMMANDS_MAX as u64, got: commands as i128 };
    Err(BadField { field: "commands", limit: Limit::Value(limit) })
}

/// # Errors
/// The failure of this command alone; the others of the batch proceed.
pub fn batch_command(index: usize, command: &v1::Command) -> Result<Command, Failure> {
    use v1::command::Command as Kind;
    let (name, parsed) = match &command.command {
        Some(Kind::PlaceOrder(request)) => ("place_order", place_order(request)),
        Some(Kind::RecordPayment(request)) => ("record_payment", record_payment(request)),
        Some(Kind::CancelOrder(request)) => ("cancel_order", cancel_order(request)),
        Some(Kind::VoidOrder(request)) => ("void_order", void_order(request)),
        Some(Kind::StampDocument(request)) => ("stamp_document", stamp_document(request)),
        None => return Err(Failure::invalid(format!("commands[{index}].command"), "must be set")),
    };
    parsed.map_err(|bad| bad.under(&format!("commands[{index}].{name}.")))
}

/// `key_check` names the key that this node prints codes with.
pub fn open_series(request: &admin::OpenSeriesRequest, key_check: KeyCheck) -> Result<Command, BadField> {
    let code = SeriesCode::new(&request.series_code).field("series_code")?;
    let first_number = StampNumber::new(request.first_number).field("first_number")?;
    let (capacity, face_value_idr, window_ms) = (request.capacity, request.face_value_idr, request.payment_window_ms);
    let terms = SeriesTerms::new(code, first_number, capacity, face_value_idr, window_ms, key_check);
    terms.map(Command::OpenSeries).map_err(|term| BadField { field: term.field, limit: Limit::Value(term.limit) })
}

pub fn set_policy(request: &admin::SetPolicyRequest) -> Result<Command, BadField> {
    let terms = PolicyTerms::new(request.version, request.void_refund_percent, request.void_window_ms);
    terms.map(Command::SetPolicy).map_err(|term| BadField { field: term.field, limit: Limit::Value(term.limit) })
}

pub fn settle_refund(request: &admin::SettleRefundRequest) -> Result<Command, BadField> {
    Ok(Command::SettleRefund {
        payment: payment_name(&request.gateway, &request.payment_id)?,
        amount: Rupiah::payment(request.amount_idr).field("amount_idr")?,
        reference: SettlementReference::new(&request.reference).field("reference")?,
    })
}

pub fn page_size(asked: u32) -> Result<usize, BadField> {
    let max = limits::PAGE_SIZE_MAX;
    match asked {
        0 => Ok(limits::PAGE_SIZE_DEFAULT as usize),
        asked if asked <= max => Ok(asked as usize),
        got => Err(InvalidValue::Range { min: 0, max: max.into(), got: got.into() }).field("page_size"),
    }
}

/// Empty stands for none.
fn asked<T>(text: &str, parse: impl Fn(&str) -> Result<T, InvalidValue>) -> Result<Option<T>, InvalidValue> {
    if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

/// Unix milliseconds; 0 stands for no bound.
fn period(from: i64, until: i64, names: [&'static str; 2]) -> Result<Period, BadField> {
    let bound = |ms, unset, field| match u64::try_from(ms) {
        Ok(0) => Ok(LedgerTime(unset)),
        Ok(ms) => Ok(LedgerTime(ms)),
        Err(_) => Err(BadField { field, limit: Limit::Words("must be 0 or a Unix time in milliseconds") }),
    };
    let period = Period { from: bound(from, 0, names[0])?, until: bound(until, u64::MAX, names[1])? };
    if period.from >= period.until {
        return Err(BadField { field: names[1], limit: Limit::Words("must be later than the beginning of the period") });
    }
    Ok(period)
}

/// Of a filter, each once at most, so that no filter is longer than its kind has states.
fn states<T: TryFrom<i32> + Default + PartialEq>(asked: &[i32], allowed: &'static str) -> Result<Vec<T>, BadField> {
    let bad = |words| BadField { field: "states", limit: Limit::Words(words) };
    let mut states = Vec::new();
    for state in asked {
        // 0 is UNSPECIFIED, and the default.
        let state = T::try_from(*state).ok().filter(|state| *state != T::default()).ok_or_else(|| bad(allowed))?;
        if states.contains(&state) {
            return Err(bad("must name each state once"));
        }
        states.push(state);
    }
    Ok(states)
}

pub fn order_filter(request: &admin::ListOrdersRequest) -> Result<OrderFilter, BadField> {
    Ok(OrderFilter {
        states: states(&request.states, "must be of the values of OrderState, not UNSPECIFIED")?,
        account: asked(&request.account_id, AccountId::new).field("account_id")?,
        placed: period(request.placed_from_ms, request.placed_until_ms, ["placed_from_ms", "placed_until_ms"])?,
    })
}

pub fn payment_filter(request: &admin::ListPaymentsRequest) -> Result<PaymentFilter, BadField> {
    Ok(PaymentFilter {
        states: states(&request.states, "must be of the values of PaymentState, not UNSPECIFIED")?,
        gateway: asked(&request.gateway, Gateway::new).field("gateway")?,
        account: asked(&request.account_id, AccountId::new).field("account_id")?,
        recorded: period(request.recorded_from_ms, request.recorded_until_ms, ["recorded_from_ms", "recorded_until_ms"])?,
    })
}

/// A page that goes on behind a place in the log; none is the first page.
pub fn page_after(token: &str) -> Result<Option<Place>, BadField> {
    if token.is_empty() {
        return Ok(None);
    }
    let place = token
        .split_once('.')
        .and_then(|(log_index, offset)| Some(Place { log_index: log_index.parse().ok()?, offset: offset.parse().ok()? }));
    let limit = Limit::Words("must be empty or a next_page_token");
    place.map(Some).ok_or(BadField { field: "page_token", limit })
}

/// # Errors
/// `INVALID_FIELD`: another number of bytes.
pub fn fixed_bytes<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], Failure> {
    bytes.try_into().map_err(|_| Failure::invalid(field, format_args!("must have {N} bytes, has {}", bytes.len())))
}

/// How long a join token may be good for, in milliseconds.
///
/// # Errors
/// `INVALID_FIELD`: out of bounds.
pub fn token_validity(valid_for_ms: i64) -> Result<u64, Failure> {
    let (min, max) = (limits::JOIN_TOKEN_VALID_MS_MIN, limits::JOIN_TOKEN_VALID_MS_MAX);
    let valid = u64::try_from(valid_for_ms).ok().filter(|valid| (min..=max).contains(valid));
    valid.ok_or_else(|| Failure::invalid("valid_for_ms", format_args!("must be {min} to {max}, is {valid_for_ms}")))
}

/// # Errors
/// `INVALID_FIELD`: out of bounds.
pub fn log_filter_for(for_ms: i64) -> Result<Duration, Failure> {
    within("for_ms", for_ms, Duration::from_secs(1), limits::LOG_FILTER_FOR_MAX)
}

/// # Errors
/// `INVALID_FIELD`: out of bounds.
pub fn metrics_apart(metrics_apart_ms: i64) -> Result<Duration, Failure> {
    within("metrics_apart_ms", metrics_apart_ms, Duration::ZERO, limits::DEBUG_METRICS_APART_MAX)
}

fn within(field: &'static str, given_ms: i64, min: Duration, max: Duration) -> Result<Duration, Failure> {
    let given = u64::try_from(given_ms).ok().map(Duration::from_millis).filter(|given| (min..=max).contains(given));
    let bounds = (min.as_millis(), max.as_millis());
    given.ok_or_else(|| Failure::invalid(field, format_args!("must be {} to {}, is {given_ms}", bounds.0, bounds.1)))
}

/// `host:port` of a node; the host may be a name, which is looked up at each connection.
#[must_use]
pub fn is_host_port(address: &str) -> bool {
    let is_good = |(host, port): (&str, &str)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0);
    address.len() <= limits::ADDRESS_CHARS_MAX && address.rsplit_once(':').is_some_and(is_good)
}

pub fn cluster_name(name: &str) -> Result<(), BadField> {
    let max = limits::CLUSTER_NAME_CHARS_MAX;
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Err(InvalidValue::Characters { allowed: "a-z 0-9 -" }).field("cluster_name");
    }
    if name.is_empty() || name.len() > max {
        return Err(InvalidValue::Length { min: 1, max, got: name.len() }).field("cluster_name");
    }
    Ok(())
}

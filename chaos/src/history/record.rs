//! The kinds of records of a history.
//!
//! A record holds what was sent and what was answered, not what it meant: a time-out is [`Outcome::Unknown`], never a
//! failure. Times are nanoseconds of the tool's one monotonic clock since the start of the run.

use ecow::EcoString;

use super::cluster::{FaultEvent, Phase, ProcessEvent, StatusSample};
use super::lists::{OrderList, PaymentList};
use super::seen::{OrderSeen, PaymentOutcome, PaymentSeen, PolicySeen, RefundSeen, SerialsSeen};

/// Short text, kept whole: names, reasons, codes.
pub type Text = EcoString;
/// A UUID's bytes.
pub type OrderId = [u8; 16];
/// Three ASCII characters.
pub type SeriesCode = [u8; 3];
/// SHA-256 of a document.
pub type Digest = [u8; 32];

/// Names one call of the tool (of a batch: one command). Unique in a run; from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// Where a command stands: log index, then offset within the entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub log_index: u64,
    pub offset: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.log_index, self.offset)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PaymentName {
    pub gateway: Text,
    pub payment_id: Text,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    Invoke(Invoke),
    /// At most one an op. An op without one is unknown.
    Return(Return),
    /// The answer to a call that the tool had already given up (its `Return` said unknown).
    LateReturn(Return),
    Fault(FaultEvent),
    Process(ProcessEvent),
    Provider(ProviderEvent),
    /// (Boxed: it is twice as large as the next.)
    Status(Box<StatusSample>),
    /// A state digest that a node reported for a log index.
    Digest {
        at_ns: u64,
        node: u16,
        log_index: u64,
        digest: Text,
    },
    Phase {
        at_ns: u64,
        phase: Phase,
    },
    MachineSync(MachineSync),
}

/// How long the machine itself took to write and sync a little to the disk under the run's folder, which no fault touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineSync {
    /// When it began.
    pub at_ns: u64,
    pub took_ns: u64,
}

impl MachineSync {
    #[must_use]
    pub const fn end_ns(self) -> u64 {
        self.at_ns.saturating_add(self.took_ns)
    }
}

/// Why a call was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The scenario's traffic, first send.
    Traffic,
    /// The same request again, because the answer was unknown or *not done*.
    Retry,
    /// The same request on purpose: a repeated notice, an impatient buyer.
    Duplicate,
    /// The same id with another body, on purpose.
    Conflict,
    /// After the heal: what became of an unknown?
    Ask,
    /// After the heal: does the cluster still take writes?
    FreshWrite,
    /// A notice that the gateway did not sign: it must be refused, unread.
    Forged,
}

/// Written before the call is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Invoke {
    pub op: OpId,
    pub at_ns: u64,
    /// When the open-loop schedule wanted it sent; latency counts from here. At most `at_ns`.
    pub intended_ns: u64,
    /// Worker or buyer: calls of one session, one after the other.
    pub session: u32,
    /// Node id that was called.
    pub node: u16,
    pub purpose: Purpose,
    /// Of commands that were sent in one batch call: its number, from 1. 0: a unary call.
    pub batch: u64,
    pub request: Request,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    Linearizable,
    Stale,
}

/// The body, whole: two requests are the same exactly if these are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    OpenSeries {
        series: SeriesCode,
        first_number: u64,
        capacity: u64,
        face_value_idr: i64,
        payment_window_ms: i64,
    },
    PlaceOrder {
        order: OrderId,
        account: Text,
        series: SeriesCode,
        quantity: u32,
    },
    RecordPayment {
        payment: PaymentName,
        order: OrderId,
        amount_idr: i64,
    },
    CancelOrder {
        order: OrderId,
    },
    VoidOrder {
        order: OrderId,
    },
    StampDocument {
        order: OrderId,
        document: Digest,
    },
    SettleRefund {
        payment: PaymentName,
        amount_idr: i64,
        reference: Text,
    },
    SetPolicy {
        version: u32,
        void_refund_percent: u32,
        void_window_ms: i64,
    },
    GetOrder {
        order: OrderId,
        consistency: Consistency,
    },
    GetPayment {
        payment: PaymentName,
        consistency: Consistency,
    },
    VerifySerial {
        code: Text,
        consistency: Consistency,
        document: Option<Digest>,
    },
    GetPolicy,
    /// `page_token` says nothing to anybody but the server; `after` is what it stands for: when the last refund of the page
    /// before became due.
    ListRefundsDue {
        page_size: u32,
        page_token: Text,
        after: Option<Place>,
    },
    ListOrders(Box<OrderList>),
    ListPayments(Box<PaymentList>),
}

impl Request {
    #[must_use]
    pub const fn is_write(&self) -> bool {
        match self {
            Self::OpenSeries { .. }
            | Self::PlaceOrder { .. }
            | Self::RecordPayment { .. }
            | Self::CancelOrder { .. }
            | Self::VoidOrder { .. }
            | Self::StampDocument { .. }
            | Self::SettleRefund { .. }
            | Self::SetPolicy { .. } => true,
            Self::GetOrder { .. }
            | Self::GetPayment { .. }
            | Self::VerifySerial { .. }
            | Self::GetPolicy
            | Self::ListRefundsDue { .. }
            | Self::ListOrders(_)
            | Self::ListPayments(_) => false,
        }
    }

    /// The order that it would place.
    #[must_use]
    pub const fn placed_order(&self) -> Option<OrderId> {
        if let Self::PlaceOrder { order, .. } = self { Some(*order) } else { None }
    }

    /// Reads are, unless they ask for less by name; of a list the first page is, the others are of its index. (Writes always.)
    #[must_use]
    pub const fn is_linearizable(&self) -> bool {
        match self {
            Self::ListOrders(list) => list.as_of.is_none(),
            Self::ListPayments(list) => list.as_of.is_none(),
            Self::GetOrder { consistency, .. }
            | Self::GetPayment { consistency, .. }
            | Self::VerifySerial { consistency, .. } => matches!(consistency, Consistency::Linearizable),
            _ => true,
        }
    }
}

/// Written when the call answered, or when the tool gave it up.
#[derive(Debug, Clone, PartialEq)]
pub struct Return {
    pub op: OpId,
    pub at_ns: u64,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A write was answered with success.
    Written(Written),
    /// A read was answered. `ORDER_UNKNOWN` and `PAYMENT_UNKNOWN` answers of reads are [`ReadAnswer::Absent`], not refusals.
    Read(Read),
    /// `effect: none`: it had no effect and never will.
    Refused { reason: Text, field: Text, place: Option<Place>, term: u64 },
    /// `effect: retry`: nothing was proposed.
    NotDone { reason: Text },
    /// `effect: unknown`, a time-out, a broken connection, an error that does not say.
    Unknown { why: Text },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Receipt {
    pub place: Place,
    pub replayed: bool,
    pub term: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    pub receipt: Receipt,
    pub answer: WriteAnswer,
}

#[derive(Debug, Clone, PartialEq)]
pub enum WriteAnswer {
    SeriesOpened,
    Placed {
        amount_idr: i64,
        expires_at_ms: i64,
    },
    Recorded {
        outcome: PaymentOutcome,
        serials: Option<SerialsSeen>,
    },
    /// The answer to a gateway's notice: it tells no serials.
    Noticed {
        outcome: PaymentOutcome,
    },
    Cancelled,
    Voided {
        refund_idr: i64,
    },
    Stamped {
        series: SeriesCode,
        number: u64,
        code: Text,
    },
    RefundSettled,
    PolicySet,
}

impl WriteAnswer {
    /// What became of a payment; `None` of another write.
    #[must_use]
    pub const fn payment_outcome(&self) -> Option<PaymentOutcome> {
        match self {
            Self::Recorded { outcome, .. } | Self::Noticed { outcome } => Some(*outcome),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The log index that the answer is good for; absent if the answer did not say (a forged serial, or a server that
    /// forgot to: the judge tells these apart).
    pub read_index: Option<u64>,
    pub ledger_time_ms: i64,
    pub answer: ReadAnswer,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ReadAnswer {
    /// No such order, or payment.
    Absent,
    Order(Box<OrderSeen>),
    Payment(Box<PaymentSeen>),
    SerialForged,
    SerialUnknown,
    SerialIssued {
        order: OrderId,
        issued_at_ms: i64,
    },
    SerialStamped {
        order: OrderId,
        issued_at_ms: i64,
        stamped_at_ms: i64,
        document_matches: bool,
    },
    SerialVoided {
        order: OrderId,
        issued_at_ms: i64,
        voided_at_ms: i64,
    },
    Policy(PolicySeen),
    RefundsDue {
        refunds: Vec<RefundSeen>,
        next_page_token: Text,
    },
    Orders {
        orders: Vec<OrderSeen>,
        next_page_token: Text,
    },
    Payments {
        payments: Vec<PaymentSeen>,
        next_page_token: Text,
    },
}

/// The simulated payment provider's own books.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderEvent {
    pub at_ns: u64,
    pub payment: PaymentName,
    pub order: OrderId,
    pub amount_idr: i64,
    pub step: ProviderStep,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderStep {
    ChargeAccepted,
    /// Money that was owed back left, under this name.
    PaidOut {
        reference: Text,
    },
    /// The n-th delivery, from 1, is op `op`.
    NoticeSent {
        nth: u32,
        op: OpId,
    },
    /// `accepted`: the provider counts it as delivered (2xx) and will not repeat it for want of an answer.
    NoticeAnswered {
        nth: u32,
        op: OpId,
        accepted: bool,
    },
}

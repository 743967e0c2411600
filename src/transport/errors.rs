//! The one table of errors: what a caller may be told, with which gRPC code, and whether the call can have had an effect.
//!
//! Every error of the API is a [`Failure`] with a [`Reason`]; [`Failure::status`] makes a unary answer of it, and
//! [`Failure::command_error`] the answer to one command of a batch, both from the same row. The reasons are documented for
//! callers at the head of `proto/stampede/v1/issuance.proto`; the table test holds the two together.
//!
//! What this file does not decide: whether something happened. Consensus says so; here it only gets its name.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::consensus::{
    InitError, MemberError, PeerError, ReadError, RetryReason, SnapshotError, SubmitError, TransferError, UnknownReason,
};
use crate::domain::Refusal;
use crate::limits;
use crate::planted;
use crate::proto::v1;
use crate::storage::cluster::ClusterRefusal;

/// Of `google.rpc.ErrorInfo`.
pub const ERROR_DOMAIN: &str = "stampede";

/// Whether the call can have had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It had none and never will.
    None,
    /// Nothing was proposed: send it again.
    Retry,
    /// It may have happened: send it again, or ask by id.
    Unknown,
}

impl Effect {
    /// Of the metadata `effect`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Retry => "retry",
            Self::Unknown => "unknown",
        }
    }
}

macro_rules! reasons {
    ($( $(#[doc = $doc:literal])* $reason:ident $name:literal $code:ident $effect:ident; )*) => {
        /// Why a call has no success to report. Names are stable; so is what each says of its effect.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Reason { $( $(#[doc = $doc])* $reason, )* }

        impl Reason {
            pub const ALL: &[Self] = &[ $( Self::$reason, )* ];

            /// On the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$reason => $name, )* }
            }

            #[must_use]
            pub const fn code(self) -> Code {
                match self { $( Self::$reason => Code::$code, )* }
            }

            #[must_use]
            pub fn effect(self) -> Effect {
                let effect = match self { $( Self::$reason => Effect::$effect, )* };
                // Planted bug 11: an unknown outcome is told as a refusal.
                if planted::is(11) && effect == Effect::Unknown { Effect::None } else { effect }
            }
        }
    };
}

reasons! {
    /// A field breaks a limit; nothing was proposed.
    InvalidField "INVALID_FIELD" InvalidArgument None;
    // The ledger's refusals, in their order of precedence.
    SeriesReused "SERIES_REUSED" AlreadyExists None;
    OrderIdReused "ORDER_ID_REUSED" AlreadyExists None;
    PaymentIdReused "PAYMENT_ID_REUSED" AlreadyExists None;
    RefundReused "REFUND_REUSED" AlreadyExists None;
    PolicyVersionReused "POLICY_VERSION_REUSED" AlreadyExists None;
    SeriesUnknown "SERIES_UNKNOWN" NotFound None;
    StockExhausted "STOCK_EXHAUSTED" ResourceExhausted None;
    OrderUnknown "ORDER_UNKNOWN" NotFound None;
    RefundUnknown "REFUND_UNKNOWN" NotFound None;
    OrderNotIssued "ORDER_NOT_ISSUED" FailedPrecondition None;
    OrderIssued "ORDER_ISSUED" FailedPrecondition None;
    OrderExpired "ORDER_EXPIRED" FailedPrecondition None;
    OrderVoided "ORDER_VOIDED" FailedPrecondition None;
    OrderStamped "ORDER_STAMPED" FailedPrecondition None;
    OrderExhausted "ORDER_EXHAUSTED" FailedPrecondition None;
    VoidWindowClosed "VOID_WINDOW_CLOSED" FailedPrecondition None;
    RefundAmountWrong "REFUND_AMOUNT_WRONG" FailedPrecondition None;
    PolicyVersionSkipped "POLICY_VERSION_SKIPPED" FailedPrecondition None;
    // Of reads.
    PaymentUnknown "PAYMENT_UNKNOWN" NotFound None;
    // Of the operators' calls.
    AlreadyInitialized "ALREADY_INITIALIZED" FailedPrecondition None;
    MembersInvalid "MEMBERS_INVALID" FailedPrecondition None;
    NotEligible "NOT_ELIGIBLE" FailedPrecondition None;
    NothingApplied "NOTHING_APPLIED" FailedPrecondition None;
    LogPurged "LOG_PURGED" OutOfRange None;
    PositionGone "POSITION_GONE" OutOfRange None;
    PositionAhead "POSITION_AHEAD" OutOfRange None;
    ListExpired "LIST_EXPIRED" FailedPrecondition None;
    ChangeInProgress "CHANGE_IN_PROGRESS" FailedPrecondition None;
    MemberUnknown "MEMBER_UNKNOWN" NotFound None;
    MembersFull "MEMBERS_FULL" FailedPrecondition None;
    MemberBehind "MEMBER_BEHIND" FailedPrecondition None;
    QuorumAtRisk "QUORUM_AT_RISK" FailedPrecondition None;
    // Of peers.
    SameNode "SAME_NODE" PermissionDenied None;
    OtherCluster "OTHER_CLUSTER" PermissionDenied None;
    PeerRefused "PEER_REFUSED" FailedPrecondition None;
    MemberRemoved "MEMBER_REMOVED" PermissionDenied None;
    DiskCopied "DISK_COPIED" PermissionDenied None;
    TokenRefused "TOKEN_REFUSED" PermissionDenied None;
    // Not done: send it again.
    NoLeader "NO_LEADER" Unavailable Retry;
    LeaderUnreachable "LEADER_UNREACHABLE" Unavailable Retry;
    Overloaded "OVERLOADED" ResourceExhausted Retry;
    DiskLow "DISK_LOW" ResourceExhausted Retry;
    NotInTime "NOT_IN_TIME" DeadlineExceeded Retry;
    Draining "DRAINING" Unavailable Retry;
    NotLeader "NOT_LEADER" FailedPrecondition Retry;
    // It may have happened.
    OutcomeUnknown "OUTCOME_UNKNOWN" DeadlineExceeded Unknown;
    LeaderChanged "LEADER_CHANGED" Unavailable Unknown;
    SerialKeyMismatch "SERIAL_KEY_MISMATCH" Internal Unknown;
    StorageFailed "STORAGE_FAILED" Internal Unknown;
    NodeStopped "NODE_STOPPED" Unavailable Unknown;
    InitIncomplete "INIT_INCOMPLETE" Unavailable Unknown;
}

/// One error, before it is put on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub reason: Reason,
    /// For people; lower case, no full stop.
    pub message: String,
    /// The field that is bad, or that differs.
    pub field: Option<String>,
    /// Of a refusal by the ledger, and of what was executed and could not be answered.
    pub receipt: Option<v1::Receipt>,
    /// Id of the leader, if it is known, and its client address, if that is.
    leader: Option<Box<(u64, Option<String>)>>,
    /// Metadata beyond what the fields above say.
    more: Vec<(&'static str, String)>,
    /// Kind and name of what was looked for or stands in the way.
    resource: Option<(&'static str, String)>,
    /// When to send it again, of what was not done.
    retry_delay: Option<Duration>,
}

impl Failure {
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        let retry_delay = match (reason, reason.effect()) {
            (Reason::Overloaded, _) => Some(limits::RETRY_DELAY_OVERLOADED),
            (Reason::DiskLow, _) => Some(limits::RETRY_DELAY_DISK_LOW),
            (_, Effect::Retry) => Some(limits::RETRY_DELAY),
            _ => None,
        };
        let message = message.into();
        Self { reason, message, field: None, receipt: None, leader: None, more: Vec::new(), resource: None, retry_delay }
    }

    /// `field` by its path on the wire; `limit` says what is allowed, such as "must be 1 to 10000, is 0".
    #[must_use]
    pub fn invalid(field: impl Into<String>, limit: impl std::fmt::Display) -> Self {
        let field = field.into();
        Self { field: Some(field.clone()), ..Self::new(Reason::InvalidField, format!("{field} {limit}")) }
    }

    #[must_use]
    pub fn refused(refusal: Refusal, receipt: Option<v1::Receipt>) -> Self {
        let reason = match refusal {
            Refusal::SeriesReused { .. } => Reason::SeriesReused,
            Refusal::OrderIdReused { .. } => Reason::OrderIdReused,
            Refusal::PaymentIdReused { .. } => Reason::PaymentIdReused,
            Refusal::RefundReused { .. } => Reason::RefundReused,
            Refusal::PolicyVersionReused { .. } => Reason::PolicyVersionReused,
            Refusal::SeriesUnknown => Reason::SeriesUnknown,
            Refusal::StockExhausted => Reason::StockExhausted,
            Refusal::OrderUnknown => Reason::OrderUnknown,
            Refusal::RefundUnknown => Reason::RefundUnknown,
            Refusal::OrderNotIssued => Reason::OrderNotIssued,
            Refusal::OrderIssued => Reason::OrderIssued,
            Refusal::OrderExpired => Reason::OrderExpired,
            Refusal::OrderVoided => Reason::OrderVoided,
            Refusal::OrderStamped => Reason::OrderStamped,
            Refusal::OrderExhausted => Reason::OrderExhausted,
            Refusal::VoidWindowClosed => Reason::VoidWindowClosed,
            Refusal::RefundAmountWrong => Reason::RefundAmountWrong,
            Refusal::PolicyVersionSkipped => Reason::PolicyVersionSkipped,
        };
        Self { field: refusal.field().map(str::to_owned), receipt, ..Self::new(reason, refusal.to_string()) }
    }

    /// Names the leader, as far as it is known, so that the caller can go there at once.
    #[must_use]
    pub fn with_leader(mut self, id: Option<u64>, address: Option<String>) -> Self {
        self.leader = id.map(|id| Box::new((id, address)));
        self
    }

    /// The command was executed, at the place that `receipt` names: only its answer failed.
    #[must_use]
    pub fn of_executed(mut self, receipt: v1::Receipt) -> Self {
        self.receipt = Some(receipt);
        self
    }

    /// `kind` is a noun of the glossary, such as "order".
    #[must_use]
    pub fn about(mut self, kind: &'static str, name: impl Into<String>) -> Self {
        self.resource = Some((kind, name.into()));
        self
    }

    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl std::fmt::Display) -> Self {
        self.more.push((key, value.to_string()));
        self
    }

    /// Other than its reason has for all.
    #[must_use]
    pub fn with_retry_delay(mut self, delay: Duration) -> Self {
        self.retry_delay = Some(delay);
        self
    }

    /// Of `google.rpc.ErrorInfo`.
    fn metadata(&self) -> HashMap<String, String> {
        let mut metadata = HashMap::from([("effect".to_owned(), self.reason.effect().name().to_owned())]);
        let mut tell = |key: &str, value: String| drop(metadata.insert(key.to_owned(), value));
        if let Some(field) = &self.field {
            tell("field", field.clone());
        }
        if let Some(receipt) = self.receipt {
            let position = receipt.position.unwrap_or_default();
            tell("log_index", position.log_index.to_string());
            tell("offset", position.offset.to_string());
            tell("replayed", receipt.replayed.to_string());
            tell("term", receipt.term.to_string());
        }
        if let Some((id, address)) = self.leader.as_deref() {
            tell("leader_id", id.to_string());
            address.iter().for_each(|address| tell("leader_address", address.clone()));
        }
        self.more.iter().for_each(|(key, value)| tell(key, value.clone()));
        metadata
    }

    /// As the answer to a call of its own.
    #[must_use]
    pub fn status(self) -> Status {
        let mut details = ErrorDetails::with_error_info(self.reason.name(), ERROR_DOMAIN, self.metadata());
        if let Some(delay) = self.retry_delay {
            details.set_retry_info(Some(delay));
        }
        if let Some((kind, name)) = &self.resource {
            details.set_resource_info(*kind, name, "", "");
        }
        if let Some(field) = &self.field
            && self.reason == Reason::InvalidField
        {
            details.add_bad_request_violation(field, &self.message);
        }
        Status::with_error_details(self.reason.code(), self.message, details)
    }

    /// As a part of an answer over HTTP: the JSON form of `google.rpc.ErrorInfo`.
    #[must_use]
    pub fn error_info(&self) -> serde_json::Value {
        serde_json::json!({ "reason": self.reason.name(), "domain": ERROR_DOMAIN, "metadata": self.metadata() })
    }

    /// As the answer to one command of a batch.
    #[must_use]
    pub fn command_error(&self) -> v1::CommandError {
        let effect = match self.reason.effect() {
            Effect::None => v1::Effect::None,
            Effect::Retry => v1::Effect::Retry,
            Effect::Unknown => v1::Effect::Unknown,
        };
        v1::CommandError {
            code: self.reason.code() as i32,
            reason: self.reason.name().to_owned(),
            message: self.message.clone(),
            effect: effect.into(),
            field: self.field.clone().unwrap_or_default(),
            receipt: self.receipt,
            retry_after_ms: self.retry_delay.map_or(0, |delay| u32::try_from(delay.as_millis()).unwrap_or(u32::MAX)),
            leader_id: self.leader.as_ref().map_or(0, |leader| leader.0),
            leader_address: self.leader.as_ref().and_then(|leader| leader.1.clone()).unwrap_or_default(),
        }
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        failure.status()
    }
}

impl From<RetryReason> for Reason {
    fn from(reason: RetryReason) -> Self {
        match reason {
            RetryReason::NoLeader => Self::NoLeader,
            RetryReason::LeaderUnreachable => Self::LeaderUnreachable,
            RetryReason::Overloaded => Self::Overloaded,
            RetryReason::DiskLow => Self::DiskLow,
            RetryReason::NotInTime => Self::NotInTime,
            RetryReason::Draining => Self::Draining,
        }
    }
}

impl From<&SubmitError> for Failure {
    fn from(error: &SubmitError) -> Self {
        let reason = match error {
            SubmitError::Retry { reason, .. } => (*reason).into(),
            SubmitError::Unknown { reason: UnknownReason::Deadline, .. } => Reason::OutcomeUnknown,
            SubmitError::Unknown { reason: UnknownReason::LeaderChanged, .. } => Reason::LeaderChanged,
            SubmitError::Stopped(_) => Reason::NodeStopped,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<&ReadError> for Failure {
    fn from(error: &ReadError) -> Self {
        let reason = match error {
            ReadError::Retry { reason, .. } => (*reason).into(),
            ReadError::Stopped(_) => Reason::NodeStopped,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<InitError> for Failure {
    fn from(error: InitError) -> Self {
        let reason = match &error {
            InitError::AlreadyInitialized => Reason::AlreadyInitialized,
            // By then every member has been taken in.
            InitError::Members(_) => Reason::InitIncomplete,
            InitError::Stopped(_) => Reason::NodeStopped,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        let reason = match &error {
            TransferError::NotLeader { .. } => Reason::NotLeader,
            TransferError::NotEligible(_) => Reason::NotEligible,
            TransferError::Deadline => Reason::OutcomeUnknown,
            TransferError::Stopped(_) => Reason::NodeStopped,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<MemberError> for Failure {
    fn from(error: MemberError) -> Self {
        let reason = match &error {
            MemberError::NotLeader { .. } => Reason::NotLeader,
            MemberError::InProgress(_) => Reason::ChangeInProgress,
            MemberError::Unknown(_) => Reason::MemberUnknown,
            MemberError::Full(_) | MemberError::Token(ClusterRefusal::TokensFull) => Reason::MembersFull,
            MemberError::Behind { .. } | MemberError::Silent(_) => Reason::MemberBehind,
            MemberError::QuorumAtRisk(_) => Reason::QuorumAtRisk,
            MemberError::Token(_) => Reason::TokenRefused,
            MemberError::Deadline => Reason::OutcomeUnknown,
            MemberError::LeaderChanged => Reason::LeaderChanged,
            MemberError::Stopped(_) => Reason::NodeStopped,
        };
        let failure = Self::new(reason, error.to_string());
        match error {
            MemberError::Behind { lag, .. } => failure.with("lag", lag),
            _ => failure,
        }
    }
}

impl From<SnapshotError> for Failure {
    fn from(error: SnapshotError) -> Self {
        let reason = match &error {
            SnapshotError::Deadline => Reason::OutcomeUnknown,
            SnapshotError::NothingApplied => Reason::NothingApplied,
            SnapshotError::Stopped(_) => Reason::NodeStopped,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<PeerError> for Failure {
    fn from(error: PeerError) -> Self {
        let reason = match &error {
            PeerError::Refused(_) => Reason::PeerRefused,
            PeerError::Unknown(_) => Reason::LeaderChanged,
            PeerError::Stopped(_) => Reason::NodeStopped,
        };
        Self::new(reason, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTO: &str = concat!(
        include_str!("../../proto/stampede/v1/issuance.proto"),
        include_str!("../../proto/stampede/admin/v1/admin.proto"),
        include_str!("../../proto/stampede/raft/v1/raft.proto"),
    );

    /// Rows of the tables in the comments, `CODE REASON effect`. A row without an effect is of a table whose head says none.
    fn documented() -> Vec<(&'static str, &'static str, &'static str)> {
        let row = |line: &'static str| {
            let mut words = line.trim().strip_prefix("//")?.split_whitespace();
            let (code, reason, effect) = (words.next()?, words.next()?, words.next().unwrap_or("none"));
            let reason = reason.trim_end_matches([':', '.']);
            let is_name = |word: &str| word.len() > 3 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            let effect = if ["none", "retry", "unknown"].contains(&effect) { effect } else { "none" };
            (is_name(code) && is_name(reason)).then_some((code, reason, effect))
        };
        PROTO.lines().filter_map(row).collect()
    }

    /// `InvalidArgument` is `INVALID_ARGUMENT`.
    fn written(code: Code) -> String {
        let mut name = String::new();
        for c in format!("{code:?}").chars() {
            if c.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(c.to_ascii_uppercase());
        }
        name
    }

    #[test]
    fn every_reason_is_documented_with_its_code_and_effect_and_no_other_is() {
        let documented = documented();
        for reason in Reason::ALL {
            let rows: Vec<_> = documented.iter().filter(|row| row.1 == reason.name()).collect();
            assert!(!rows.is_empty(), "{} stands in no table of a proto file", reason.name());
            for (code, _, effect) in rows {
                assert_eq!((*code, *effect), (written(reason.code()).as_str(), reason.effect().name()), "{}", reason.name());
            }
        }
        for (_, name, _) in documented {
            assert!(Reason::ALL.iter().any(|reason| reason.name() == name), "{name} is documented and never told");
        }
    }

    #[test]
    fn a_refusal_keeps_its_name_on_the_wire_and_has_no_effect() {
        let refusals = [
            Refusal::SeriesReused { field: "capacity" },
            Refusal::OrderIdReused { field: "quantity" },
            Refusal::PaymentIdReused { field: "amount_idr" },
            Refusal::RefundReused { field: "reference" },
            Refusal::PolicyVersionReused { field: "void_window_ms" },
            Refusal::SeriesUnknown,
            Refusal::StockExhausted,
            Refusal::OrderUnknown,
            Refusal::RefundUnknown,
            Refusal::OrderNotIssued,
            Refusal::OrderIssued,
            Refusal::OrderExpired,
            Refusal::OrderVoided,
            Refusal::OrderStamped,
            Refusal::OrderExhausted,
            Refusal::VoidWindowClosed,
            Refusal::RefundAmountWrong,
            Refusal::PolicyVersionSkipped,
        ];
        for refusal in refusals {
            let failure = Failure::refused(refusal, None);
            assert_eq!((failure.reason.name(), failure.reason.effect()), (refusal.reason(), Effect::None));
            assert_eq!(failure.command_error().field, refusal.field().unwrap_or_default());
            let info = failure.status().get_details_error_info().expect("every error has its info");
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (refusal.reason(), ERROR_DOMAIN));
            assert_eq!(info.metadata["effect"], "none");
        }
    }
}

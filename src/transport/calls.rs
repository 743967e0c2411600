//! Counts of calls in the shape of go-grpc-prometheus: started, handled by code, seconds. Every series is there from the start.
//!
//! Plain atomics; `operations` exports them. A call that its caller gave up counts as `Canceled`. What never reaches a service (an
//! unknown method, a message over the limit) is not counted here.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use tonic::{Code, Status};

use crate::counters::{Counter, Latencies};

/// Names of the codes as go-grpc-prometheus spells them, by number.
pub const CODE_NAMES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// One method of one service.
#[derive(Debug)]
pub struct MethodCalls {
    pub service: &'static str,
    pub method: &'static str,
    /// `unary`, `server_stream`, `client_stream` or `bidi_stream`.
    pub kind: &'static str,
    started: AtomicU64,
    handled: [AtomicU64; CODE_NAMES.len()],
    took: Latencies,
}

impl MethodCalls {
    fn new(service: &'static str, method: &'static str, kind: &'static str) -> Self {
        Self {
            service,
            method,
            kind,
            started: AtomicU64::new(0),
            handled: std::array::from_fn(|_| AtomicU64::new(0)),
            took: Latencies::default(),
        }
    }

    #[must_use]
    pub fn started(&self) -> u64 {
        self.started.load(Relaxed)
    }

    /// By code: its name and the calls that ended with it.
    pub fn handled(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        CODE_NAMES.iter().zip(&self.handled).map(|(name, count)| (*name, count.load(Relaxed)))
    }

    /// How long the calls that ended took.
    #[must_use]
    pub fn took(&self) -> &Latencies {
        &self.took
    }

    /// Counts a call; it ends with [`Call::end`], or as cancelled when dropped.
    #[must_use]
    pub fn start(self: &Arc<Self>) -> Call {
        self.started.fetch_add(1, Relaxed);
        Call { method: self.clone(), since: Instant::now(), code: Code::Cancelled }
    }

    /// Counts `call` from here to its answer.
    pub async fn count<T>(self: &Arc<Self>, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        let counted = self.start();
        let answer = call.await;
        counted.end(answer.as_ref().err().map_or(Code::Ok, Status::code));
        answer
    }
}

/// A call under way.
#[derive(Debug)]
pub struct Call {
    method: Arc<MethodCalls>,
    since: Instant,
    code: Code,
}

impl Call {
    pub fn end(mut self, code: Code) {
        self.code = code;
    }

    /// Counts a stream of answers when it has ended, with what ended it; as cancelled if nobody reads it to its end.
    pub fn until_the_end_of<T: Send + 'static>(
        self,
        answers: impl Stream<Item = Result<T, Status>> + Send + 'static,
    ) -> BoxStream<'static, Result<T, Status>> {
        stream::unfold((answers.boxed(), self), |(mut answers, mut call)| async move {
            let Some(answer) = answers.next().await else {
                let code = if call.code == Code::Cancelled { Code::Ok } else { call.code };
                call.end(code);
                return None;
            };
            if let Err(status) = &answer {
                call.code = status.code();
            }
            Some((answer, (answers, call)))
        })
        .boxed()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.method.handled[self.code as usize].fetch_add(1, Relaxed);
        self.method.took.record(self.since.elapsed());
    }
}

macro_rules! methods {
    ($( $service:literal { $( $field:ident $method:literal $kind:literal; )* } )*) => {
        /// Every method of every service.
        #[derive(Debug)]
        pub struct CallMetrics {
            $( $( pub $field: Arc<MethodCalls>, )* )*
            /// Orders that were refused because their series had too few stamps left. They end as `ResourceExhausted`, as overload
            /// does: what counts failures takes them off again.
            pub stock_exhausted: Counter,
            /// Connections to the client port for which there was no place.
            pub client_connections_turned_away: Counter,
        }

        impl CallMetrics {
            #[must_use]
            pub fn new() -> Arc<Self> {
                Arc::new(Self {
                    $( $( $field: Arc::new(MethodCalls::new($service, $method, $kind)), )* )*
                    stock_exhausted: Counter::default(),
                    client_connections_turned_away: Counter::default(),
                })
            }

            #[must_use]
            pub fn all(&self) -> Vec<&MethodCalls> {
                vec![ $( $( &self.$field, )* )* ]
            }
        }
    };
}

methods! {
    "stampede.v1.IssuanceService" {
        place_order "PlaceOrder" "unary";
        record_payment "RecordPayment" "unary";
        cancel_order "CancelOrder" "unary";
        void_order "VoidOrder" "unary";
        stamp_document "StampDocument" "unary";
        get_order "GetOrder" "unary";
        get_payment "GetPayment" "unary";
        verify_serial "VerifySerial" "unary";
        submit_batch "SubmitBatch" "unary";
        submit_stream "SubmitStream" "bidi_stream";
    }
    "stampede.admin.v1.AdminService" {
        init "Init" "unary";
        get_status "GetStatus" "unary";
        transfer_leader "TransferLeader" "unary";
        trigger_snapshot "TriggerSnapshot" "unary";
        open_series "OpenSeries" "unary";
        list_series "ListSeries" "unary";
        set_policy "SetPolicy" "unary";
        get_policy "GetPolicy" "unary";
        settle_refund "SettleRefund" "unary";
        list_refunds_due "ListRefundsDue" "unary";
        list_orders "ListOrders" "unary";
        list_payments "ListPayments" "unary";
        scan_ledger "ScanLedger" "server_stream";
        export_log "ExportLog" "server_stream";
        export_audit "ExportAudit" "server_stream";
        watch_ledger "WatchLedger" "server_stream";
        list_digests "ListDigests" "unary";
    }
    "stampede.admin.v1.MemberService" {
        list_members "ListMembers" "unary";
        create_join_token "CreateJoinToken" "unary";
        promote_member "PromoteMember" "unary";
        remove_member "RemoveMember" "unary";
        replace_member "ReplaceMember" "unary";
    }
    "stampede.admin.v1.SupportService" {
        get_log_level "GetLogLevel" "unary";
        set_log_level "SetLogLevel" "unary";
        get_metrics "GetMetrics" "unary";
        collect_debug_files "CollectDebugFiles" "server_stream";
    }
    "stampede.raft.v1.PeerService" {
        identify "Identify" "unary";
        join "Join" "unary";
        admit "Admit" "unary";
        append "Append" "bidi_stream";
        vote "Vote" "unary";
        pre_vote "PreVote" "unary";
        install_snapshot "InstallSnapshot" "client_stream";
        peer_transfer_leader "TransferLeader" "unary";
        propose "Propose" "unary";
        read_index "ReadIndex" "unary";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_is_counted_once_under_its_code_also_when_it_is_given_up() {
        let calls = CallMetrics::new();
        calls.place_order.count(async { Ok::<_, Status>(()) }).await.unwrap();
        calls.place_order.count(async { Err::<(), _>(Status::not_found("")) }).await.unwrap_err();
        drop(calls.place_order.start());
        assert_eq!(calls.place_order.started(), 3);
        let handled: Vec<_> = calls.place_order.handled().filter(|(_, count)| *count > 0).collect();
        assert_eq!(handled, [("OK", 1), ("Canceled", 1), ("NotFound", 1)]);
        assert_eq!(calls.place_order.took().buckets().map(|(_, count)| count).sum::<u64>(), 3);
    }

    #[tokio::test]
    async fn a_stream_is_counted_when_it_ends_under_what_ended_it() {
        let calls = CallMetrics::new();
        let answers = |last: Result<(), Status>| stream::iter([Ok(()), last]);
        let counted = || calls.scan_ledger.handled().filter(|(_, count)| *count > 0).collect::<Vec<_>>();
        let mut unread = calls.scan_ledger.start().until_the_end_of(answers(Ok(())));
        assert!(unread.next().await.is_some());
        assert_eq!(counted(), []);
        drop(unread);
        assert_eq!(counted(), [("Canceled", 1)]);
        calls.scan_ledger.start().until_the_end_of(answers(Ok(()))).count().await;
        calls.scan_ledger.start().until_the_end_of(answers(Err(Status::internal("")))).count().await;
        assert_eq!(counted(), [("OK", 1), ("Canceled", 1), ("Internal", 1)]);
    }
}

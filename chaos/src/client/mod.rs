//! The drill's own client: every call is in the history before it is sent and after it was answered.
//!
//! A call ends known or unknown, never "failed": `classify` reads the error contract, anything that does not say what
//! happened is unknown. A call that is given up is still listened for ([`limits::LATE_ANSWER_MAX`]): what a late answer shows
//! counts as a sighting. A call that is cut off, because its caller is sent away, is recorded as unknown too.
//!
//! Three ways to a node share these rules: one call at a time, `stream`, on which a portal submits batches, and `webhook`, by which
//! payment gateways tell of money. What the operators' port takes (`operators`) is called one at a time. Which requests are sent,
//! and when again, is for [`crate::traffic`] to say.

mod classify;
mod convert;
mod operators;
mod stream;
mod webhook;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::crowd::Crowd;
use crate::history::{Consistency, HistoryClosed, Invoke, OpId, Outcome, Purpose, Record, Recorder, Request, Return};
use crate::limits;
use crate::network::Door;
use crate::proto::admin::admin_service_client::AdminServiceClient;
use crate::proto::v1::issuance_service_client::IssuanceServiceClient;

pub use classify::outcome_of_status;
use stream::Stream;
use webhook::Webhook;
pub use webhook::{Gateway, GatewaySecrets};

/// One node's addresses, `host:port` each.
#[derive(Debug, Clone)]
pub struct NodeAddress {
    pub node: u16,
    pub client: String,
    /// The operators' port.
    pub admin: String,
    /// Where payment gateways post their notices.
    pub webhook: String,
    /// From where all of them can be reached.
    pub door: Door,
}

/// What to send, and why.
#[derive(Debug, Clone)]
pub struct Call {
    pub session: u32,
    /// Latency counts from here.
    pub intended_ns: u64,
    pub node: u16,
    pub purpose: Purpose,
    pub request: Request,
    pub way: Way,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// One call; `deadline_on_wire`: the server is told how long we wait.
    Unary { deadline_on_wire: bool },
    /// In a batch on the stream to that node. Writes only.
    Stream,
    /// As that gateway's notice over HTTP. Payments only.
    Webhook(Gateway),
}

/// Makes a record that goes into the history with the call's own, from its op and its time; such as the provider's note of it.
pub type Beside = Box<dyn FnOnce(OpId, u64) -> Record + Send>;

/// What became of one call.
#[derive(Debug, Clone)]
pub enum Answer {
    /// It was sent as this op.
    Sent(OpId, Outcome),
    /// It never left: the stream to that node is down or full. Nothing is in the history.
    NotSent,
}

pub struct Client {
    nodes: Vec<NodeClient>,
    recorder: Recorder,
    attempt_deadline: Duration,
    aftermath: Arc<Aftermath>,
}

/// What calls leave behind that their callers no longer wait for.
struct Aftermath {
    /// Calls that were given up and are still listened for.
    late: Crowd,
    /// Answers that break the protocol, and what is odd about each.
    oddities: Mutex<Vec<String>>,
}

impl Aftermath {
    fn note_oddity(&self, what: String) {
        let mut oddities = self.oddities.lock().unwrap_or_else(PoisonError::into_inner);
        if oddities.len() < limits::ODDITIES_MAX {
            oddities.push(what);
        }
    }
}

struct NodeClient {
    node: u16,
    unary: Unary,
    stream: Stream,
    webhook: Webhook,
}

/// Calls one by one, each to the port that takes it.
#[derive(Clone)]
struct Unary {
    public: IssuanceServiceClient<Channel>,
    operators: AdminServiceClient<Channel>,
}

/// A channel that connects when it is first used, and again after a break.
pub(crate) fn channel(address: &str, door: &Door) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("addresses are made by the tool");
    endpoint.connect_with_connector_lazy(door.clone())
}

impl Client {
    /// Must be called within a tokio runtime: the streams are tasks.
    #[must_use]
    pub fn new(addresses: &[NodeAddress], gateways: &GatewaySecrets, recorder: &Recorder, attempt_deadline: Duration) -> Self {
        let gateways = Arc::new(gateways.clone());
        let aftermath = Arc::new(Aftermath { late: Crowd::new(limits::LATE_CALLS_MAX), oddities: Mutex::default() });
        let connect = |address: &NodeAddress| NodeClient {
            node: address.node,
            unary: Unary {
                public: IssuanceServiceClient::new(channel(&address.client, &address.door))
                    .max_decoding_message_size(limits::MESSAGE_BYTES_MAX),
                operators: AdminServiceClient::new(channel(&address.admin, &address.door)),
            },
            stream: Stream::open(address, recorder.clone(), attempt_deadline, Arc::clone(&aftermath)),
            webhook: Webhook::new(&address.webhook, &address.door, &gateways),
        };
        Self { nodes: addresses.iter().map(connect).collect(), recorder: recorder.clone(), attempt_deadline, aftermath }
    }

    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Node ids, in the order of the addresses.
    pub fn node_ids(&self) -> impl ExactSizeIterator<Item = u16> + '_ {
        self.nodes.iter().map(|node| node.node)
    }

    /// Waits until no call that was given up is listened for any more.
    pub async fn wait_silent(&self) {
        self.aftermath.late.wait_empty().await;
    }

    /// Answers so far that break the protocol, such as a second one to the same batch.
    #[must_use]
    pub fn oddities(&self) -> Vec<String> {
        self.aftermath.oddities.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends once.
    ///
    /// # Errors
    /// The history can no longer be written; nothing may be sent any more.
    pub async fn send(&self, call: Call, beside: Option<Beside>) -> Result<Answer, HistoryClosed> {
        let node = self.nodes.iter().find(|node| node.node == call.node).expect("callers choose among node_ids");
        match call.way {
            Way::Stream => node.stream.submit(call, beside).await,
            Way::Unary { deadline_on_wire } => {
                // tonic's channel gives up at the very deadline that it tells the node: the node's own words come in time only
                // because it answers a little earlier.
                let wire_deadline = deadline_on_wire.then_some(self.attempt_deadline);
                let answer = call_unary(node.unary.clone(), call.request.clone(), wire_deadline);
                self.send_alone(call, answer, self.attempt_deadline, beside).await
            }
            Way::Webhook(gateway) => {
                let answer = node.webhook.clone().post(gateway, call.purpose, call.request.clone());
                self.send_alone(call, answer, limits::NOTICE_DEADLINE, beside).await
            }
        }
    }

    /// `answer` sends when it is first polled.
    async fn send_alone(
        &self,
        call: Call,
        answer: impl Future<Output = Outcome> + Send + 'static,
        deadline: Duration,
        beside: Option<Beside>,
    ) -> Result<Answer, HistoryClosed> {
        let op = self.recorder.next_op();
        record_invoke(&self.recorder, op, &call, 0, beside)?;
        let sent = SentCall { op, recorder: &self.recorder, is_settled: false };
        let mut answer = Box::pin(answer);
        let outcome = match tokio::time::timeout(deadline, &mut answer).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let recorder = self.recorder.clone();
                // Beyond so many, late answers are not worth a task each.
                let _is_listened_for = self.aftermath.late.admit(async move {
                    if let Ok(outcome) = tokio::time::timeout(limits::LATE_ANSWER_MAX, answer).await {
                        let late = Record::LateReturn(Return { op, at_ns: recorder.now_ns(), outcome });
                        // A closed history ends the run elsewhere.
                        let _closed = recorder.record(late);
                    }
                });
                Outcome::Unknown { why: format!("no answer within {} ms", deadline.as_millis()).into() }
            }
        };
        sent.settle(outcome.clone())?;
        Ok(Answer::Sent(op, outcome))
    }
}

/// Each call that was sent gets an outcome, also if its caller does not stay.
struct SentCall<'a> {
    op: OpId,
    recorder: &'a Recorder,
    is_settled: bool,
}

impl SentCall<'_> {
    fn settle(mut self, outcome: Outcome) -> Result<(), HistoryClosed> {
        self.is_settled = true;
        self.recorder.record(Record::Return(Return { op: self.op, at_ns: self.recorder.now_ns(), outcome }))
    }
}

impl Drop for SentCall<'_> {
    fn drop(&mut self) {
        if !self.is_settled {
            let outcome = Outcome::Unknown { why: "the drill stopped waiting".into() };
            // A closed history ends the run elsewhere.
            let _closed = self.recorder.record(Record::Return(Return { op: self.op, at_ns: self.recorder.now_ns(), outcome }));
        }
    }
}

fn record_invoke(recorder: &Recorder, op: OpId, call: &Call, batch: u64, beside: Option<Beside>) -> Result<(), HistoryClosed> {
    let at_ns = recorder.now_ns();
    recorder.record(Record::Invoke(Invoke {
        op,
        at_ns,
        intended_ns: call.intended_ns.min(at_ns),
        session: call.session,
        node: call.node,
        purpose: call.purpose,
        batch,
        request: call.request.clone(),
    }))?;
    beside.map_or(Ok(()), |beside| recorder.record(beside(op, at_ns)))
}

/// Sends a message by one method of a client; `$outcome` reads the answer.
macro_rules! call {
    ($client:expr, $method:ident, $message:expr, $is_read:expr, $deadline:expr, $outcome:path) => {{
        let mut message = tonic::Request::new($message);
        if let Some(deadline) = $deadline {
            message.set_timeout(deadline);
        }
        match $client.$method(message).await {
            Ok(response) => $outcome(response.into_inner()),
            Err(status) => $crate::client::outcome_of_status(&status, $is_read),
        }
    }};
}
use call;

async fn call_unary(client: Unary, request: Request, deadline: Option<Duration>) -> Outcome {
    let Unary { mut public, operators } = client;
    macro_rules! public {
        ($method:ident, $message:expr, $outcome:path) => {
            call!(public, $method, $message, !request.is_write(), deadline, $outcome)
        };
    }
    match &request {
        Request::PlaceOrder { .. } => public!(place_order, convert::place_order(&request), convert::placed),
        Request::RecordPayment { .. } => public!(record_payment, convert::record_payment(&request), convert::recorded),
        Request::CancelOrder { .. } => public!(cancel_order, convert::cancel_order(&request), convert::cancelled),
        Request::VoidOrder { .. } => public!(void_order, convert::void_order(&request), convert::voided),
        Request::StampDocument { .. } => public!(stamp_document, convert::stamp_document(&request), convert::stamped),
        Request::GetOrder { order, consistency } => {
            public!(get_order, convert::get_order(order, *consistency), convert::order_read)
        }
        Request::GetPayment { payment, consistency } => {
            public!(get_payment, convert::get_payment(payment, *consistency), convert::payment_read)
        }
        Request::VerifySerial { code, consistency, document } => {
            public!(verify_serial, convert::verify_serial(code, *consistency, document.as_ref()), convert::serial_read)
        }
        Request::OpenSeries { .. }
        | Request::SettleRefund { .. }
        | Request::SetPolicy { .. }
        | Request::GetPolicy
        | Request::ListRefundsDue { .. }
        | Request::ListOrders(_)
        | Request::ListPayments(_) => operators::call_operators(operators, request, deadline).await,
    }
}

/// By default reads are linearizable.
#[must_use]
pub fn consistency(stale: bool) -> Consistency {
    if stale { Consistency::Stale } else { Consistency::Linearizable }
}

//! The drill's own client: every call is in the history before it is sent and after it was answered.
//!
//! A call ends known or unknown, never "failed": `classify` reads the error contract, anything that does not say what
//! happened is unknown. A call that is given up is still listened for ([`limits::LATE_ANSWER_MAX`]): what a late answer shows
//! counts as a sighting.
//!
//! Two ways to a node share these rules: one call at a time, and `stream`, on which a portal submits batches. Which requests
//! are sent, and when again, is for [`crate::traffic`] to say.

mod classify;
mod convert;
pub mod operator;
mod stream;

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::history::{Consistency, HistoryClosed, Invoke, OpId, Outcome, Purpose, Record, Recorder, Request, Return};
use crate::limits;
use crate::proto::v1::issuance_service_client::IssuanceServiceClient;

pub use classify::outcome_of_status;
use stream::Stream;

/// One node's client address.
#[derive(Debug, Clone)]
pub struct NodeAddress {
    pub node: u16,
    /// `host:port`
    pub client: String,
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
}

struct NodeClient {
    node: u16,
    unary: IssuanceServiceClient<Channel>,
    stream: Stream,
}

/// A channel that connects when it is first used, and again after a break.
pub(crate) fn channel(address: &str) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("addresses are made by the tool");
    endpoint.connect_timeout(limits::CONNECT_DEADLINE).tcp_nodelay(true).connect_lazy()
}

impl Client {
    /// Must be called within a tokio runtime: the streams are tasks.
    #[must_use]
    pub fn new(addresses: &[NodeAddress], recorder: &Recorder, attempt_deadline: Duration) -> Self {
        let connect = |address: &NodeAddress| NodeClient {
            node: address.node,
            unary: IssuanceServiceClient::new(channel(&address.client)).max_decoding_message_size(limits::MESSAGE_BYTES_MAX),
            stream: Stream::open(address, recorder.clone(), attempt_deadline),
        };
        Self { nodes: addresses.iter().map(connect).collect(), recorder: recorder.clone(), attempt_deadline }
    }

    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Node ids, in the order of the addresses.
    pub fn node_ids(&self) -> impl ExactSizeIterator<Item = u16> + '_ {
        self.nodes.iter().map(|node| node.node)
    }

    /// Sends once.
    ///
    /// # Errors
    /// The history can no longer be written; nothing may be sent any more.
    pub async fn send(&self, call: Call, beside: Option<Beside>) -> Result<Answer, HistoryClosed> {
        let node = self.nodes.iter().find(|node| node.node == call.node).expect("callers choose among node_ids");
        match call.way {
            Way::Stream => node.stream.submit(call, beside).await,
            Way::Unary { deadline_on_wire } => self.send_unary(node, call, deadline_on_wire, beside).await,
        }
    }

    async fn send_unary(
        &self,
        node: &NodeClient,
        call: Call,
        deadline_on_wire: bool,
        beside: Option<Beside>,
    ) -> Result<Answer, HistoryClosed> {
        let op = self.recorder.next_op();
        record_invoke(&self.recorder, op, &call, 0, beside)?;
        let wire_deadline = deadline_on_wire.then_some(self.attempt_deadline);
        let mut answer = Box::pin(call_unary(node.unary.clone(), call.request, wire_deadline));
        // The server's own deadline error is waited for: what it says of the effect is part of the contract.
        let patience = if deadline_on_wire { self.attempt_deadline * 2 } else { self.attempt_deadline };
        let outcome = match tokio::time::timeout(patience, &mut answer).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let recorder = self.recorder.clone();
                tokio::spawn(async move {
                    if let Ok(outcome) = tokio::time::timeout(limits::LATE_ANSWER_MAX, answer).await {
                        let late = Record::LateReturn(Return { op, at_ns: recorder.now_ns(), outcome });
                        // A closed history ends the run elsewhere.
                        let _closed = recorder.record(late);
                    }
                });
                Outcome::Unknown { why: format!("no answer within {} ms", patience.as_millis()).into() }
            }
        };
        self.recorder.record(Record::Return(Return { op, at_ns: self.recorder.now_ns(), outcome: outcome.clone() }))?;
        Ok(Answer::Sent(op, outcome))
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

async fn call_unary(mut client: IssuanceServiceClient<Channel>, request: Request, deadline: Option<Duration>) -> Outcome {
    macro_rules! call {
        ($method:ident, $message:expr, $outcome:path) => {{
            let mut message = tonic::Request::new($message);
            if let Some(deadline) = deadline {
                message.set_timeout(deadline);
            }
            match client.$method(message).await {
                Ok(response) => $outcome(response.into_inner()),
                Err(status) => outcome_of_status(&status, !request.is_write()),
            }
        }};
    }
    match &request {
        Request::PlaceOrder { .. } => call!(place_order, convert::place_order(&request), convert::placed),
        Request::RecordPayment { .. } => call!(record_payment, convert::record_payment(&request), convert::recorded),
        Request::CancelOrder { .. } => call!(cancel_order, convert::cancel_order(&request), convert::cancelled),
        Request::GetOrder { order, consistency } => {
            call!(get_order, convert::get_order(order, *consistency), convert::order_read)
        }
        Request::GetPayment { payment, consistency } => {
            call!(get_payment, convert::get_payment(payment, *consistency), convert::payment_read)
        }
        Request::VerifySerial { code, consistency } => {
            call!(verify_serial, convert::verify_serial(code, *consistency), convert::serial_read)
        }
        Request::OpenSeries { .. } => unreachable!("series are opened by the operator's client"),
    }
}

/// By default reads are linearizable.
#[must_use]
pub fn consistency(stale: bool) -> Consistency {
    if stale { Consistency::Stale } else { Consistency::Linearizable }
}

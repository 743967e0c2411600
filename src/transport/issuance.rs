//! `stampede.v1.IssuanceService`: portals, payment gateways, look-ups.
//!
//! The three forms of a write (a call, a batch, a stream of batches) differ in what they carry, not in what happens: all go through
//! [`Edge`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tonic::{Code, Request, Response, Status, Streaming};

use crate::consensus::{Consistency, StreamOrder};
use crate::domain::serial_code::{self, Forged};
use crate::domain::{DocumentDigest, LedgerView, OrderState, SeriesCode, StampNumber};
use crate::limits;
use crate::proto::v1;
use crate::proto::v1::command_result::Result as Answer;
use crate::proto::v1::issuance_service_server::IssuanceService;
use crate::storage::codec::corrupt;
use crate::transport::calls::{Call, CallMetrics};
use crate::transport::edge::{CodeRoom, Edge};
use crate::transport::errors::{Failure, Reason};
use crate::transport::ledger_node::LedgerNode;
use crate::transport::{deadline, validate, wire};

/// A printed code begins with its series.
const SERIES_CHARS: usize = 3;

pub struct Issuance<N> {
    edge: Edge<N>,
    calls: Arc<CallMetrics>,
    /// True once the port is closing: streams end after what is under way.
    stop: watch::Receiver<bool>,
}

impl<N: LedgerNode> Issuance<N> {
    #[must_use]
    pub fn new(edge: Edge<N>, calls: Arc<CallMetrics>, stop: watch::Receiver<bool>) -> Self {
        Self { edge, calls, stop }
    }
}

impl<N: LedgerNode> Issuance<N> {
    /// Of a code that this node's key made: if the series was opened with another key, it is no code of the series.
    async fn status_of(
        &self,
        series: SeriesCode,
        number: StampNumber,
        document: Option<DocumentDigest>,
        consistency: Consistency,
        within: Duration,
    ) -> Result<v1::VerifySerialResponse, Failure> {
        let stamp = v1::VerifySerialResponse { series_code: series.to_string(), number: number.get(), ..Default::default() };
        let look_up = move |view: &N::View| {
            let Some(holder) = view.holder(series, number)? else { return Ok((view.series(series)?, None, None)) };
            let missing = |what| corrupt(what, format_args!("the record of {series} {} is missing", number.get()));
            let order = view.order(holder)?.ok_or_else(|| missing("holder index"))?;
            let stamping = match view.document(series, number)? {
                Some(document) => Some(view.stamping(holder, document)?.ok_or_else(|| missing("documents index"))?),
                None => None,
            };
            Ok((view.series(series)?, Some(order), stamping))
        };
        let (mark, (series, order, stamping)) = self.edge.read(consistency, within, look_up).await?;
        if let Some(series) = series {
            self.edge.learn(&series)?;
        }
        let mut response = v1::VerifySerialResponse { mark: Some(mark), ..stamp };
        let Some(order) = order else {
            response.set_status(v1::SerialStatus::Unknown);
            return Ok(response);
        };
        response.order_id = order.id.to_string();
        response.issued_at_ms = order.issue().map_or(0, |issue| wire::ms(issue.at.0));
        if let OrderState::Voided { at, .. } = order.state {
            response.set_status(v1::SerialStatus::Voided);
            response.voided_at_ms = wire::ms(at.0);
        } else if let Some(stamping) = stamping {
            response.set_status(v1::SerialStatus::Stamped);
            response.stamped_at_ms = wire::ms(stamping.at.0);
            response.document_matches = document == Some(stamping.document);
        } else {
            response.set_status(v1::SerialStatus::Issued);
        }
        Ok(response)
    }
}

/// The answer came, but of another command: a bug of ours.
fn misanswered() -> Status {
    Failure::new(Reason::OutcomeUnknown, "the ledger's answer does not fit the command").status()
}

#[tonic::async_trait]
impl<N: LedgerNode> IssuanceService for Issuance<N> {
    async fn place_order(&self, request: Request<v1::PlaceOrderRequest>) -> Result<Response<v1::PlaceOrderResponse>, Status> {
        self.calls
            .place_order
            .count(async {
                let within = deadline::within(request.metadata());
                let command = validate::place_order(request.get_ref()).map_err(Failure::from)?;
                match self.edge.submit_one(command, within).await {
                    Ok(Answer::PlaceOrder(response)) => Ok(Response::new(response)),
                    Ok(_) => Err(misanswered()),
                    Err(failure) => {
                        if failure.reason == Reason::StockExhausted {
                            self.calls.stock_exhausted.add(1);
                        }
                        Err(failure.about("order", &request.get_ref().order_id).status())
                    }
                }
            })
            .await
    }

    async fn record_payment(
        &self,
        request: Request<v1::RecordPaymentRequest>,
    ) -> Result<Response<v1::RecordPaymentResponse>, Status> {
        self.calls
            .record_payment
            .count(async {
                let within = deadline::within(request.metadata());
                let command = validate::record_payment(request.get_ref()).map_err(Failure::from)?;
                match self.edge.submit_one(command, within).await {
                    Ok(Answer::RecordPayment(response)) => Ok(Response::new(response)),
                    Ok(_) => Err(misanswered()),
                    Err(failure) => Err(failure.about("payment", &request.get_ref().payment_id).status()),
                }
            })
            .await
    }

    async fn cancel_order(
        &self,
        request: Request<v1::CancelOrderRequest>,
    ) -> Result<Response<v1::CancelOrderResponse>, Status> {
        self.calls
            .cancel_order
            .count(async {
                let within = deadline::within(request.metadata());
                let command = validate::cancel_order(request.get_ref()).map_err(Failure::from)?;
                match self.edge.submit_one(command, within).await {
                    Ok(Answer::CancelOrder(response)) => Ok(Response::new(response)),
                    Ok(_) => Err(misanswered()),
                    Err(failure) => Err(failure.about("order", &request.get_ref().order_id).status()),
                }
            })
            .await
    }

    async fn void_order(&self, request: Request<v1::VoidOrderRequest>) -> Result<Response<v1::VoidOrderResponse>, Status> {
        self.calls
            .void_order
            .count(async {
                let within = deadline::within(request.metadata());
                let command = validate::void_order(request.get_ref()).map_err(Failure::from)?;
                match self.edge.submit_one(command, within).await {
                    Ok(Answer::VoidOrder(response)) => Ok(Response::new(response)),
                    Ok(_) => Err(misanswered()),
                    Err(failure) => Err(failure.about("order", &request.get_ref().order_id).status()),
                }
            })
            .await
    }

    async fn stamp_document(
        &self,
        request: Request<v1::StampDocumentRequest>,
    ) -> Result<Response<v1::StampDocumentResponse>, Status> {
        self.calls
            .stamp_document
            .count(async {
                let within = deadline::within(request.metadata());
                let command = validate::stamp_document(request.get_ref()).map_err(Failure::from)?;
                match self.edge.submit_one(command, within).await {
                    Ok(Answer::StampDocument(response)) => Ok(Response::new(response)),
                    Ok(_) => Err(misanswered()),
                    Err(failure) => Err(failure.about("order", &request.get_ref().order_id).status()),
                }
            })
            .await
    }

    async fn get_order(&self, request: Request<v1::GetOrderRequest>) -> Result<Response<v1::GetOrderResponse>, Status> {
        self.calls
            .get_order
            .count(async {
                let within = deadline::within(request.metadata());
                let until = Instant::now() + within;
                let request = request.get_ref();
                let id = validate::order_id(&request.order_id).map_err(Failure::from)?;
                let consistency = validate::consistency(request.consistency).map_err(Failure::from)?;
                let (mark, found) = self.edge.read(consistency, within, move |view| view.order(id)).await?;
                let Some(order) = found else {
                    let message = format!("no order {id} as of index {}", mark.read_index);
                    return Err(Failure::new(Reason::OrderUnknown, message)
                        .about("order", id.to_string())
                        .with("read_index", mark.read_index)
                        .status());
                };
                let codes = match order.serials() {
                    Some(range) => self.edge.printed(&range, until, &mut CodeRoom::of_an_answer()).await?.codes,
                    None => Vec::new(),
                };
                Ok(Response::new(v1::GetOrderResponse { mark: Some(mark), order: Some(wire::order(&order, codes)) }))
            })
            .await
    }

    async fn get_payment(&self, request: Request<v1::GetPaymentRequest>) -> Result<Response<v1::GetPaymentResponse>, Status> {
        self.calls
            .get_payment
            .count(async {
                let within = deadline::within(request.metadata());
                let request = request.get_ref();
                let name = validate::payment_name(&request.gateway, &request.payment_id).map_err(Failure::from)?;
                let consistency = validate::consistency(request.consistency).map_err(Failure::from)?;
                let asked = name.clone();
                let look_up = move |view: &N::View| Ok((view.payment(&asked)?, view.refund(&asked)?));
                let (mark, (payment, refund)) = self.edge.read(consistency, within, look_up).await?;
                let Some(payment) = payment else {
                    let message = format!("no payment {name} as of index {}", mark.read_index);
                    return Err(Failure::new(Reason::PaymentUnknown, message)
                        .about("payment", name.to_string())
                        .with("read_index", mark.read_index)
                        .status());
                };
                let payment = wire::payment(&payment, refund.as_ref().map(wire::refund));
                Ok(Response::new(v1::GetPaymentResponse { mark: Some(mark), payment: Some(payment) }))
            })
            .await
    }

    async fn verify_serial(
        &self,
        request: Request<v1::VerifySerialRequest>,
    ) -> Result<Response<v1::VerifySerialResponse>, Status> {
        self.calls
            .verify_serial
            .count(async {
                let within = deadline::within(request.metadata());
                let request = request.get_ref();
                let consistency = validate::consistency(request.consistency).map_err(Failure::from)?;
                let document = validate::asked_document(&request.document_sha256).map_err(Failure::from)?;
                let verified = serial_code::verify(self.edge.key(), &request.code);
                let response = match verified {
                    Ok((series, number)) => self.status_of(series, number, document, consistency, within).await?,
                    Err(forged) => {
                        if let (Forged::NotOurs, Some(Ok(series))) =
                            (forged, request.code.get(..SERIES_CHARS).map(SeriesCode::new))
                        {
                            self.edge.check_forged(series)?;
                        }
                        v1::VerifySerialResponse { status: v1::SerialStatus::Forged.into(), ..Default::default() }
                    }
                };
                Ok(Response::new(response))
            })
            .await
    }

    async fn submit_batch(
        &self,
        request: Request<v1::SubmitBatchRequest>,
    ) -> Result<Response<v1::SubmitBatchResponse>, Status> {
        self.calls
            .submit_batch
            .count(async {
                let within = deadline::within(request.metadata());
                let batch = request.into_inner();
                validate::batch_size(batch.commands.len()).map_err(Failure::from)?;
                Ok(Response::new(self.edge.submit_batch(batch, None, within).await))
            })
            .await
    }

    type SubmitStreamStream = BoxStream<'static, Result<v1::SubmitBatchResponse, Status>>;

    async fn submit_stream(
        &self,
        request: Request<Streaming<v1::SubmitBatchRequest>>,
    ) -> Result<Response<Self::SubmitStreamStream>, Status> {
        let call = self.calls.submit_stream.start();
        let ends = deadline::asked(request.metadata()).map(|asked| Instant::now() + asked);
        let batches = batches_until_the_end(request.into_inner(), self.stop.clone());
        let (edge, order) = (self.edge.clone(), StreamOrder::default());
        // Driven by the caller's reading: with that many answers unread, no further batch is taken in. Nobody else waits. Each is
        // polled first in its turn.
        let answers = batches
            .map(move |batch| answer_batch(edge.clone(), order.clone(), batch, ends))
            .buffer_unordered(limits::STREAM_BATCHES_IN_FLIGHT_MAX);
        Ok(Response::new(ended_by_the_first_error(answers.boxed(), call)))
    }
}

/// A batch that was taken in, and its share of what a stream may have under way, until it is answered.
type TakenIn = (v1::SubmitBatchRequest, OwnedSemaphorePermit);

async fn answer_batch<N: LedgerNode>(
    edge: Edge<N>,
    order: StreamOrder,
    batch: Result<TakenIn, Status>,
    ends: Option<Instant>,
) -> Result<v1::SubmitBatchResponse, Status> {
    let (batch, _share) = batch?;
    let left = ends.map_or(limits::CALL_DEADLINE_DEFAULT, |ends| ends.saturating_duration_since(Instant::now()));
    Ok(edge.submit_batch(batch, Some(&order), left.min(limits::CALL_DEADLINE_DEFAULT)).await)
}

/// The batches of a stream up to the first that is refused as a whole, the port's closing, or the caller's end. Each waits until
/// its commands may be under way; those behind it wait at the caller.
fn batches_until_the_end(
    incoming: Streaming<v1::SubmitBatchRequest>,
    stop: watch::Receiver<bool>,
) -> impl futures_util::Stream<Item = Result<TakenIn, Status>> + Send {
    let room = Arc::new(Semaphore::new(limits::STREAM_COMMANDS_IN_FLIGHT_MAX));
    let batches = stream::unfold(Some((incoming, stop)), |state| async move {
        let (mut incoming, mut stop) = state?;
        let next = tokio::select! {
            biased;
            // A sender that is gone will not close anything: go on reading.
            Ok(_) = stop.wait_for(|stop| *stop) => {
                Err(Failure::new(Reason::Draining, "the node is stopping: later batches were not read").status())
            }
            next = incoming.message() => match next.transpose()? {
                Ok(batch) => match validate::batch_size(batch.commands.len()) {
                    Ok(()) => Ok(batch),
                    Err(bad) => Err(Failure::from(bad).status()),
                },
                Err(status) => Err(status),
            },
        };
        let rest = next.is_ok().then_some((incoming, stop));
        Some((next, rest))
    });
    batches.then(move |batch| {
        let room = room.clone();
        async move {
            let batch = batch?;
            // At most `BATCH_COMMANDS_MAX`: always to be had in the end.
            let commands = u32::try_from(batch.commands.len()).unwrap_or(u32::MAX);
            let share = room.acquire_many_owned(commands).await.expect("nobody closes it");
            Ok((batch, share))
        }
    })
}

/// Answers of batches in flight come before the error that ends the stream: it is kept until they are through.
fn ended_by_the_first_error(
    answers: BoxStream<'static, Result<v1::SubmitBatchResponse, Status>>,
    call: Call,
) -> BoxStream<'static, Result<v1::SubmitBatchResponse, Status>> {
    let state = (answers, Some(call), None::<Status>);
    stream::unfold(state, |(mut answers, mut call, mut error)| async move {
        loop {
            match answers.next().await {
                Some(Ok(answer)) => return Some((Ok(answer), (answers, call, error))),
                Some(Err(status)) => error = Some(status),
                None => {
                    call.take()?.end(error.as_ref().map_or(Code::Ok, Status::code));
                    return error.take().map(|status| (Err(status), (answers, None, None)));
                }
            }
        }
    })
    .boxed()
}

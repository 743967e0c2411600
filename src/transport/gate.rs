//! Where new orders are turned away before anything is spent on them (G10).
//!
//! The queue of proposals has bounds of its own (`consensus::admission`), but a call has cost most of its processor time before it
//! gets there: where calls come faster than they can be read, the orders that nobody can serve take the time from the payments of
//! those that were placed. So new orders are counted from their headers on. Beyond [`limits::NEW_ORDER_CALLS_MAX`] under way, one more
//! is answered from a ready-made answer, its body unread. They are not all told the same time to come back: portals that heed it
//! would come back all at once, and leave the node idle until then.
//!
//! While the disks are low (`consensus::low_disks`) all new orders are answered so.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::server::NamedService;
use tonic::{Code, Status};

use crate::consensus::{RetryReason, SubmitError};
use crate::limits;
use crate::transport::calls::CallMetrics;
use crate::transport::errors::{Failure, Reason};
use crate::transport::ledger_node::LedgerNode;

const PLACE_ORDER: &str = "/stampede.v1.IssuanceService/PlaceOrder";
const CONTENT_TYPE: (&str, &str) = ("content-type", "application/grpc");

/// Before the service that answers.
#[derive(Clone)]
pub(super) struct Gate<S> {
    inner: S,
    shared: Arc<Shared>,
}

struct Shared {
    orders_max: usize,
    orders_under_way: AtomicUsize,
    /// Answers to one order too many, given in turn.
    refusals: [HeaderMap; limits::NEW_ORDER_RETRY_DELAYS.len()],
    refused: AtomicUsize,
    /// The answer while the disks are low.
    disk_low: HeaderMap,
    calls: Arc<CallMetrics>,
    door: Door,
}

/// What the gate asks its node, and tells it.
pub(super) struct Door {
    refuses_new_orders: Box<dyn Fn() -> bool + Send + Sync>,
    /// Counts a new order that was turned away.
    turned_away: Box<dyn Fn(RetryReason) + Send + Sync>,
}

impl Door {
    pub(super) fn of<N: LedgerNode>(node: N) -> Self {
        let counts = node.clone();
        Self {
            refuses_new_orders: Box::new(move || node.refuses_new_orders()),
            turned_away: Box::new(move |why| counts.new_order_turned_away(why)),
        }
    }
}

impl<S> Gate<S> {
    pub(super) fn new(inner: S, calls: Arc<CallMetrics>, door: Door) -> Self {
        Self::with_room(limits::NEW_ORDER_CALLS_MAX, inner, calls, door)
    }

    fn with_room(orders_max: usize, inner: S, calls: Arc<CallMetrics>, door: Door) -> Self {
        let message = format!("{orders_max} new orders are under way already");
        let refusal = |delay| Failure::new(Reason::Overloaded, &*message).with_retry_delay(delay).status();
        let refusals = limits::NEW_ORDER_RETRY_DELAYS.map(|delay| headers_of(&refusal(delay)));
        let disk_low = SubmitError::Retry { leader: None, reason: RetryReason::DiskLow };
        let disk_low = headers_of(&Failure::from(&disk_low).status());
        let (orders_under_way, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let shared = Shared { orders_max, orders_under_way, refusals, refused, disk_low, calls, door };
        Self { inner, shared: Arc::new(shared) }
    }
}

fn headers_of(status: &Status) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE.0, CONTENT_TYPE.1.parse().expect("a header's value"));
    status.add_header(&mut headers).expect("our own words fit into headers");
    headers
}

impl Shared {
    fn enter(self: &Arc<Self>) -> Option<UnderWay> {
        let before = self.orders_under_way.fetch_add(1, Ordering::Relaxed);
        let under_way = UnderWay(self.clone());
        (before < self.orders_max).then_some(under_way)
    }

    fn one_too_many(&self) -> Response<Body> {
        let turn = self.refused.fetch_add(1, Ordering::Relaxed) % self.refusals.len();
        self.turned_away(RetryReason::Overloaded, &self.refusals[turn])
    }

    fn turned_away(&self, why: RetryReason, answer: &HeaderMap) -> Response<Body> {
        self.calls.place_order.start().end(Code::ResourceExhausted);
        (self.door.turned_away)(why);
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = answer.clone();
        response
    }
}

/// One new order, until it is answered or its caller hangs up.
struct UnderWay(Arc<Shared>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.orders_under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() != PLACE_ORDER {
            return self.inner.call(request).boxed();
        }
        if (self.shared.door.refuses_new_orders)() {
            let answer = self.shared.turned_away(RetryReason::DiskLow, &self.shared.disk_low);
            return std::future::ready(Ok(answer)).boxed();
        }
        match self.shared.enter() {
            None => std::future::ready(Ok(self.shared.one_too_many())).boxed(),
            Some(under_way) => {
                let answer = self.inner.call(request);
                async move {
                    let _under_way = under_way;
                    answer.await
                }
                .boxed()
            }
        }
    }
}

impl<S: NamedService> NamedService for Gate<S> {
    const NAME: &'static str = S::NAME;
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;

    use tonic_types::StatusExt;

    use super::*;

    /// Never answers.
    #[derive(Clone)]
    struct Silent;

    impl Service<Request<Body>> for Silent {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = std::future::Pending<Result<Response<Body>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            std::future::pending()
        }
    }

    fn request(path: &str) -> Request<Body> {
        Request::builder().uri(path).body(Body::empty()).unwrap()
    }

    /// Notes in `shed` why orders are turned away.
    fn door(is_low: Arc<AtomicBool>, shed: Arc<Mutex<Vec<RetryReason>>>) -> Door {
        Door {
            refuses_new_orders: Box::new(move || is_low.load(Ordering::Relaxed)),
            turned_away: Box::new(move |why| shed.lock().unwrap().push(why)),
        }
    }

    fn now(answer: &mut BoxFuture<'static, Result<Response<Body>, Infallible>>) -> Option<Response<Body>> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match pin!(answer).poll(&mut context) {
            Poll::Ready(Ok(answer)) => Some(answer),
            Poll::Pending => None,
        }
    }

    #[test]
    fn while_the_disks_are_low_new_orders_are_told_so_and_payments_are_let_in() {
        let (is_low, shed) = (Arc::new(AtomicBool::new(true)), Arc::default());
        let mut gate = Gate::new(Silent, CallMetrics::new(), door(is_low.clone(), Arc::clone(&shed)));
        let refused = now(&mut gate.call(request(PLACE_ORDER))).expect("at once");
        let status = Status::from_header_map(refused.headers()).expect("a status");
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((status.code(), info.reason.as_str()), (Code::ResourceExhausted, "DISK_LOW"));
        assert_eq!(info.metadata["effect"], "retry");
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(limits::RETRY_DELAY_DISK_LOW));
        assert_eq!(*shed.lock().unwrap(), [RetryReason::DiskLow]);
        assert!(now(&mut gate.call(request("/stampede.v1.IssuanceService/RecordPayment"))).is_none(), "it is let in");

        is_low.store(false, Ordering::Relaxed);
        assert!(now(&mut gate.call(request(PLACE_ORDER))).is_none(), "there is room again");
    }

    #[test]
    fn one_new_order_too_many_is_turned_away_at_once_and_payments_are_not() {
        let (calls, shed) = (CallMetrics::new(), Arc::new(Mutex::new(Vec::new())));
        let mut gate = Gate::with_room(2, Silent, calls.clone(), door(Arc::default(), shed.clone()));
        let mut under_way = vec![gate.call(request(PLACE_ORDER)), gate.call(request(PLACE_ORDER))];
        assert!(under_way.iter_mut().all(|call| now(call).is_none()), "there is room for two");

        let refused = now(&mut gate.call(request(PLACE_ORDER))).expect("at once");
        let status = Status::from_header_map(refused.headers()).expect("a status");
        let details = status.get_error_details();
        assert_eq!((status.code(), details.error_info().unwrap().reason.as_str()), (Code::ResourceExhausted, "OVERLOADED"));
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(limits::NEW_ORDER_RETRY_DELAYS[0]));
        assert_eq!(*shed.lock().unwrap(), [RetryReason::Overloaded]);
        let handled: u64 = calls.place_order.handled().map(|(_, count)| count).sum();
        assert_eq!(handled, 1);
        assert!(now(&mut gate.call(request("/stampede.v1.IssuanceService/RecordPayment"))).is_none(), "it is let in");

        let refused = now(&mut gate.call(request(PLACE_ORDER))).expect("at once");
        let details = Status::from_header_map(refused.headers()).expect("a status").get_error_details();
        assert_eq!(
            details.retry_info().unwrap().retry_delay,
            Some(limits::NEW_ORDER_RETRY_DELAYS[1]),
            "another time to come back"
        );

        under_way.pop();
        assert!(now(&mut gate.call(request(PLACE_ORDER))).is_none(), "one has gone");
    }
}

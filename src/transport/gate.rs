//! Where calls are turned away before anything is spent on them (G10), and how much of one call may lie here unread.
//!
//! The queue of proposals has bounds of its own (`consensus::admission`), but a call has cost most of its processor time before it
//! gets there, and its memory: where calls come faster than they can be read, the orders that nobody can serve take the time from
//! the payments of those that were placed. So calls are counted from their headers on, and one too many is answered from a
//! ready-made answer, its body unread.
//!
//! The order is that of admission: all calls together have a bound for each class, nested, so that payments are turned away last,
//! and no new order is let in while a read or a payment is not. New orders, batches and streams have bounds of their own besides.
//! What is in a batch, nobody knows before it is read: while batches are turned away, new orders are, too.
//!
//! Orders are not all told the same time to come back: portals that heed it would come back all at once, and leave the node idle
//! until then.
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

use crate::consensus::admission::Class;
use crate::consensus::{RetryReason, SubmitError};
use crate::limits;
use crate::transport::bodies::Bounded;
use crate::transport::calls::{CallMetrics, MethodCalls};
use crate::transport::errors::{Failure, Reason};
use crate::transport::ledger_node::LedgerNode;

const SERVICE: &str = "/stampede.v1.IssuanceService/";
const CONTENT_TYPE: (&str, &str) = ("content-type", "application/grpc");

/// Calls that are turned away together, last first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Confirmation,
    Stamping,
    Read,
    NewOrder,
    Batch,
    Stream,
}

const KINDS: usize = 6;

impl Kind {
    const ALL: [Self; KINDS] = [Self::Confirmation, Self::Stamping, Self::Read, Self::NewOrder, Self::Batch, Self::Stream];

    /// Of the rest of a call's path.
    fn of(method: &str) -> Self {
        match method {
            "RecordPayment" => Self::Confirmation,
            "CancelOrder" | "VoidOrder" | "StampDocument" => Self::Stamping,
            "PlaceOrder" => Self::NewOrder,
            "SubmitBatch" => Self::Batch,
            "SubmitStream" => Self::Stream,
            _ => Self::Read,
        }
    }

    /// That it is counted as when it is turned away. Reads have none; what a stream would have brought is not known.
    fn class(self) -> Option<Class> {
        match self {
            Self::Confirmation => Some(Class::Confirmation),
            Self::Stamping => Some(Class::Stamping),
            Self::Read => None,
            Self::NewOrder => Some(Class::NewOrder),
            Self::Batch | Self::Stream => Some(Class::Batch),
        }
    }

    fn refusal(self, bounds: &Bounds) -> String {
        let own = bounds.own_max[self as usize];
        match self {
            Self::Confirmation | Self::Stamping | Self::Read => "too many calls are under way already".to_owned(),
            Self::NewOrder => format!("{own} new orders are under way already, or as many other calls as may be beside them"),
            Self::Batch => format!("{own} batches are under way already, or as many other calls as may be beside them"),
            Self::Stream => format!("{own} streams are open already, or as many calls under way as may be beside them"),
        }
    }
}

/// Calls under way, by [`Kind`], from which on one more is turned away.
struct Bounds {
    /// Of all kinds together.
    all_max: [usize; KINDS],
    own_max: [usize; KINDS],
}

const BOUNDS: Bounds = {
    use limits::{CALLS_MAX, CALLS_NEW_ORDER_MAX, CALLS_READ_MAX, CALLS_STAMPING_MAX};
    Bounds {
        all_max: [CALLS_MAX, CALLS_STAMPING_MAX, CALLS_READ_MAX, CALLS_NEW_ORDER_MAX, CALLS_NEW_ORDER_MAX, CALLS_NEW_ORDER_MAX],
        own_max: [
            CALLS_MAX,
            CALLS_MAX,
            CALLS_MAX,
            limits::NEW_ORDER_CALLS_MAX,
            limits::BATCH_CALLS_MAX,
            limits::STREAM_CALLS_MAX,
        ],
    }
};

/// Before the service that answers.
#[derive(Clone)]
pub(super) struct Gate<S> {
    inner: S,
    shared: Arc<Shared>,
}

struct Shared {
    bounds: Bounds,
    under_way: [AtomicUsize; KINDS],
    all_under_way: AtomicUsize,
    /// Answers to one call too many.
    refusals: [HeaderMap; KINDS],
    /// To one order too many, given in turn.
    order_refusals: [HeaderMap; limits::NEW_ORDER_RETRY_DELAYS.len()],
    orders_refused: AtomicUsize,
    /// To new orders while the disks are low.
    disk_low: HeaderMap,
    calls: Arc<CallMetrics>,
    door: Door,
}

/// What the gate asks its node, and tells it.
pub(super) struct Door {
    refuses_new_orders: Box<dyn Fn() -> bool + Send + Sync>,
    /// Counts a call that was turned away because too much is under way.
    shed: Box<dyn Fn(Class) + Send + Sync>,
    /// Counts a new order that was turned away because the disks are low.
    disk_low: Box<dyn Fn() + Send + Sync>,
}

impl Door {
    pub(super) fn of<N: LedgerNode>(node: N) -> Self {
        let (sheds, counts) = (node.clone(), node.clone());
        Self {
            refuses_new_orders: Box::new(move || node.refuses_new_orders()),
            shed: Box::new(move |class| sheds.shed(class)),
            disk_low: Box::new(move || counts.disk_low()),
        }
    }
}

impl<S> Gate<S> {
    pub(super) fn new(inner: S, calls: Arc<CallMetrics>, door: Door) -> Self {
        Self::with_room(BOUNDS, inner, calls, door)
    }

    fn with_room(bounds: Bounds, inner: S, calls: Arc<CallMetrics>, door: Door) -> Self {
        let refusal = |kind: Kind, delay| {
            let failure = Failure::new(Reason::Overloaded, kind.refusal(&bounds));
            headers_of(&failure.with_retry_delay(delay).status())
        };
        let refusals = Kind::ALL.map(|kind| refusal(kind, limits::RETRY_DELAY_OVERLOADED));
        let order_refusals = limits::NEW_ORDER_RETRY_DELAYS.map(|delay| refusal(Kind::NewOrder, delay));
        let disk_low = SubmitError::Retry { leader: None, reason: RetryReason::DiskLow };
        let shared = Shared {
            bounds,
            under_way: Default::default(),
            all_under_way: AtomicUsize::new(0),
            refusals,
            order_refusals,
            orders_refused: AtomicUsize::new(0),
            disk_low: headers_of(&Failure::from(&disk_low).status()),
            calls,
            door,
        };
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
    fn enter(self: &Arc<Self>, kind: Kind) -> Option<UnderWay> {
        let all = self.all_under_way.fetch_add(1, Ordering::Relaxed);
        let own = self.under_way[kind as usize].fetch_add(1, Ordering::Relaxed);
        let under_way = UnderWay { shared: self.clone(), kind };
        let has_room = all < self.bounds.all_max[kind as usize] && own < self.bounds.own_max[kind as usize];
        (has_room && !(kind == Kind::NewOrder && self.is_full_of(Kind::Batch))).then_some(under_way)
    }

    fn is_full_of(&self, kind: Kind) -> bool {
        self.under_way[kind as usize].load(Ordering::Relaxed) >= self.bounds.own_max[kind as usize]
    }

    fn refused(&self, kind: Kind, method: &str) -> Response<Body> {
        if let Some(class) = kind.class() {
            (self.door.shed)(class);
        }
        if kind == Kind::NewOrder {
            let turn = self.orders_refused.fetch_add(1, Ordering::Relaxed) % self.order_refusals.len();
            return self.turned_away(method, &self.order_refusals[turn]);
        }
        self.turned_away(method, &self.refusals[kind as usize])
    }

    fn refused_disk_low(&self, method: &str) -> Response<Body> {
        (self.door.disk_low)();
        self.turned_away(method, &self.disk_low)
    }

    fn turned_away(&self, method: &str, answer: &HeaderMap) -> Response<Body> {
        if let Some(counted) = self.method(method) {
            counted.start().end(Code::ResourceExhausted);
        }
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = answer.clone();
        response
    }

    fn method(&self, method: &str) -> Option<&Arc<MethodCalls>> {
        let calls = &self.calls;
        let methods = [
            &calls.place_order,
            &calls.record_payment,
            &calls.cancel_order,
            &calls.void_order,
            &calls.stamp_document,
            &calls.get_order,
            &calls.get_payment,
            &calls.verify_serial,
            &calls.submit_batch,
            &calls.submit_stream,
        ];
        methods.into_iter().find(|counted| counted.method == method)
    }
}

/// One call, until it is answered or its caller hangs up; of a stream, until its last batch is read.
struct UnderWay {
    shared: Arc<Shared>,
    kind: Kind,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.shared.under_way[self.kind as usize].fetch_sub(1, Ordering::Relaxed);
        self.shared.all_under_way.fetch_sub(1, Ordering::Relaxed);
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
        let method = request.uri().path().strip_prefix(SERVICE).unwrap_or_default();
        let kind = Kind::of(method);
        if kind == Kind::NewOrder && (self.shared.door.refuses_new_orders)() {
            return std::future::ready(Ok(self.shared.refused_disk_low(method))).boxed();
        }
        let Some(under_way) = self.shared.enter(kind) else {
            return std::future::ready(Ok(self.shared.refused(kind, method))).boxed();
        };
        if kind == Kind::Stream {
            // It goes on when its answer has begun.
            return self.inner.call(request.map(|body| Bounded::of_stream(body, under_way).boxed())).boxed();
        }
        let bytes_max = if kind == Kind::Batch { limits::CLIENT_MESSAGE_BYTES_MAX } else { limits::CALL_BYTES_MAX };
        let answer = self.inner.call(request.map(|body| Bounded::of_call(body, bytes_max, limits::CALL_BODY_WITHIN).boxed()));
        async move {
            let _under_way = under_way;
            answer.await
        }
        .boxed()
    }
}

impl<S: NamedService> NamedService for Gate<S> {
    const NAME: &'static str = S::NAME;
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
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

    fn now(answer: &mut BoxFuture<'static, Result<Response<Body>, Infallible>>) -> Option<Response<Body>> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match pin!(answer).poll(&mut context) {
            Poll::Ready(Ok(answer)) => Some(answer),
            Poll::Pending => None,
        }
    }

    const PLACE_ORDER: &str = "/stampede.v1.IssuanceService/PlaceOrder";
    const RECORD_PAYMENT: &str = "/stampede.v1.IssuanceService/RecordPayment";
    const GET_ORDER: &str = "/stampede.v1.IssuanceService/GetOrder";
    const SUBMIT_BATCH: &str = "/stampede.v1.IssuanceService/SubmitBatch";

    type Answer = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn gate(all_max: [usize; KINDS], own_max: [usize; KINDS], shed: Arc<AtomicUsize>) -> Gate<Silent> {
        let door = Door {
            refuses_new_orders: Box::new(|| false),
            shed: Box::new(move |_| {
                shed.fetch_add(1, Ordering::Relaxed);
            }),
            disk_low: Box::new(|| panic!("no disk is low")),
        };
        Gate::with_room(Bounds { all_max, own_max }, Silent, CallMetrics::new(), door)
    }

    /// Comes in and stays.
    fn comes_in(gate: &mut Gate<Silent>, path: &str) -> Answer {
        let mut answer = gate.call(request(path));
        assert!(now(&mut answer).is_none(), "there is room for {path}");
        answer
    }

    fn refusal(gate: &mut Gate<Silent>, path: &str) -> Status {
        let refused = now(&mut gate.call(request(path))).expect("at once");
        Status::from_header_map(refused.headers()).expect("a status")
    }

    #[test]
    fn while_the_disks_are_low_new_orders_are_told_so_and_payments_are_let_in() {
        let (is_low, counted) = (Arc::new(AtomicBool::new(true)), Arc::<AtomicUsize>::default());
        let (asked, counts) = (is_low.clone(), counted.clone());
        let door = Door {
            refuses_new_orders: Box::new(move || asked.load(Ordering::Relaxed)),
            shed: Box::new(|class| panic!("shed as {class:?}")),
            disk_low: Box::new(move || {
                counts.fetch_add(1, Ordering::Relaxed);
            }),
        };
        let mut gate = Gate::new(Silent, CallMetrics::new(), door);
        let status = refusal(&mut gate, PLACE_ORDER);
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((status.code(), info.reason.as_str()), (Code::ResourceExhausted, "DISK_LOW"));
        assert_eq!(info.metadata["effect"], "retry");
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(limits::RETRY_DELAY_DISK_LOW));
        assert_eq!(counted.load(Ordering::Relaxed), 1);
        let _money = comes_in(&mut gate, RECORD_PAYMENT);

        is_low.store(false, Ordering::Relaxed);
        let _there_is_room_again = comes_in(&mut gate, PLACE_ORDER);
    }

    #[test]
    fn one_new_order_too_many_is_turned_away_at_once_and_payments_are_not() {
        let shed = Arc::<AtomicUsize>::default();
        let mut gate = gate([99; KINDS], [99, 99, 99, 2, 99, 99], shed.clone());
        let mut under_way = vec![comes_in(&mut gate, PLACE_ORDER), comes_in(&mut gate, PLACE_ORDER)];
        for turn in 0..2 {
            let status = refusal(&mut gate, PLACE_ORDER);
            let details = status.get_error_details();
            assert_eq!((status.code(), details.error_info().unwrap().reason.as_str()), (Code::ResourceExhausted, "OVERLOADED"));
            let told = details.retry_info().unwrap().retry_delay;
            assert_eq!(told, Some(limits::NEW_ORDER_RETRY_DELAYS[turn]), "another time to come back");
        }
        assert_eq!(shed.load(Ordering::Relaxed), 2);
        let handled: u64 = gate.shared.calls.place_order.handled().map(|(_, count)| count).sum();
        assert_eq!(handled, 2);
        under_way.push(comes_in(&mut gate, RECORD_PAYMENT));
        drop(under_way.remove(0));
        let _one_has_gone = comes_in(&mut gate, PLACE_ORDER);
    }

    #[test]
    fn a_batch_too_many_is_turned_away_and_new_orders_with_it() {
        let mut gate = gate([99; KINDS], [99, 99, 99, 99, 1, 99], Arc::default());
        let batch = comes_in(&mut gate, SUBMIT_BATCH);
        assert_eq!(refusal(&mut gate, SUBMIT_BATCH).code(), Code::ResourceExhausted);
        assert_eq!(refusal(&mut gate, PLACE_ORDER).code(), Code::ResourceExhausted, "there may be payments in the batch");
        let _money = comes_in(&mut gate, RECORD_PAYMENT);
        drop(batch);
        let _order = comes_in(&mut gate, PLACE_ORDER);
    }

    #[test]
    fn a_stream_has_its_place_until_it_is_read_to_its_end() {
        let gate = gate([99; KINDS], [99, 99, 99, 99, 99, 1], Arc::default());
        let stream = gate.shared.enter(Kind::Stream).expect("there is room for one");
        let never = http_body_util::StreamBody::new(futures_util::stream::pending::<Result<hyper::body::Frame<_>, Status>>());
        let body = Bounded::of_stream(Body::new(never), stream).boxed();
        assert!(gate.shared.enter(Kind::Stream).is_none());
        drop(body);
        assert!(gate.shared.enter(Kind::Stream).is_some());
    }

    #[test]
    fn of_all_calls_payments_are_turned_away_last_and_new_orders_before_reads() {
        let mut gate = gate([4, 3, 2, 1, 1, 1], [99; KINDS], Arc::default());
        let _first = comes_in(&mut gate, GET_ORDER);
        assert_eq!(refusal(&mut gate, PLACE_ORDER).code(), Code::ResourceExhausted);
        let _second = comes_in(&mut gate, GET_ORDER);
        assert_eq!(refusal(&mut gate, GET_ORDER).code(), Code::ResourceExhausted);
        let _others = [comes_in(&mut gate, RECORD_PAYMENT), comes_in(&mut gate, RECORD_PAYMENT)];
        assert_eq!(refusal(&mut gate, RECORD_PAYMENT).code(), Code::ResourceExhausted);
    }

    #[test]
    fn the_bounds_are_nested() {
        assert!(BOUNDS.all_max[..4].is_sorted_by(|higher, lower| higher > lower));
        assert!(BOUNDS.own_max[Kind::NewOrder as usize] < limits::CONNECTION_CALLS_MAX as usize, "room for payments beside");
    }
}

//! The connections of the webhook port, which stands open to whoever finds it: so many at once ([`super::places`]), each with so
//! much time for the head of a request. (The body's time is the notice's.) Nobody waits in silence for a place: a gateway would
//! give its notice up, and what it gave up would still be read, long after. Who finds none is told at once to come again.

use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tonic::codegen::Service as _;

use super::NoticeMetrics;
use super::places::Places;
use crate::limits;

/// How many there may be, and how long they may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) connections_max: usize,
    /// Beyond those, connections that are being turned away; more wait in the kernel's queue, which has an end, too.
    pub(super) turned_away_max: usize,
    /// From the opening of a connection, or the last answer on it, to the end of a request's head.
    pub(super) head_within: Duration,
    /// From the end of its head to its answer.
    pub(super) answer_within: Duration,
}

pub(super) const BOUNDS: Bounds = Bounds {
    connections_max: limits::WEBHOOK_CONNECTIONS_MAX,
    turned_away_max: limits::WEBHOOK_TURNED_AWAY_MAX,
    head_within: limits::WEBHOOK_HEAD_WITHIN,
    answer_within: limits::WEBHOOK_ANSWER_WITHIN,
};

/// Takes connections, whose requests carry their [`Place`](super::places::Place), until `stop` turns true, then answers the notices under way. A request whose head is not whole by then has
/// told nothing and is not waited for.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    counted: &NoticeMetrics,
    mut stop: watch::Receiver<bool>,
) {
    let places = Places::new(bounds.connections_max);
    let hands = Arc::new(Semaphore::new(bounds.connections_max + bounds.turned_away_max));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(bounds.head_within);
    let under_way = GracefulShutdown::new();
    let mut stopped = pin!(async move {
        // A sender that is gone closes nothing.
        if stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    loop {
        let hand = hands.clone().acquire_owned();
        let (hand, stream) = tokio::select! {
            () = &mut stopped => break,
            taken = async { (hand.await.expect("nobody closes it"), accept(&listener).await) } => taken,
        };
        let Some((place, another_went)) = places.take() else {
            counted.turned_away.add(1);
            tokio::spawn(async move {
                // Who does not read it in time does not want it.
                let _ = timeout(limits::WEBHOOK_TURN_AWAY_WITHIN, turn_away(stream)).await;
                drop(hand);
            });
            continue;
        };
        counted.made_room.add(usize::from(another_went));
        let (carried, router) = (place.clone(), router.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(carried.clone());
            router.clone().call(request)
        });
        let connection = under_way.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            tokio::select! {
                // What goes wrong with a connection, its other end knows.
                _ = connection => {}
                () = place.is_lost() => {}
            }
            drop(hand);
        });
    }
    drop(listener);
    // Every notice is answered within this time; what is left then has not told one.
    let _ = timeout(bounds.answer_within, under_way.shutdown()).await;
}

/// Reads what was sent, so that the close does not take the answer back.
async fn turn_away(mut stream: TcpStream) -> std::io::Result<()> {
    const BODY: &str = r#"{"outcome":"unavailable","message":"as many notices as may be are under way","error":{"reason":"OVERLOADED","domain":"stampede","metadata":{"effect":"retry"}}}"#;
    let length = BODY.len();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{BODY}"
    );
    let mut sent = [0; 1024];
    let _begun = stream.read(&mut sent).await?;
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    while stream.read(&mut sent).await? > 0 {}
    Ok(())
}

/// The next connection, whatever becomes of those before it.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are one segment; without it they would only be later.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            // It broke off before it was taken.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            // No descriptor is left, or no memory: others have to close first.
            Err(error) => {
                tracing::warn!(event = "webhook_accept_failed", %error, "a connection could not be taken");
                sleep(limits::WEBHOOK_ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::transport::gateways::places::Place;
    use axum::Extension;
    use axum::routing::get;
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(50);

    struct Port {
        address: String,
        stop: watch::Sender<bool>,
        served: JoinHandle<()>,
        /// `GET /slow` has come.
        begun: Arc<Notify>,
        /// Lets it be answered, once.
        go_on: Arc<Notify>,
    }

    async fn port(bounds: Bounds) -> Port {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = watch::channel(false);
        let go_on = Arc::new(Notify::new());
        let begun = Arc::new(Notify::new());
        let (has_begun, waited) = (begun.clone(), go_on.clone());
        let slow = move |Extension(place): Extension<Place>| async move {
            let _answering = place.answering();
            has_begun.notify_one();
            waited.notified().await;
            "done"
        };
        let router = Router::new().route("/", get(|| async { "done" })).route("/slow", get(slow));
        Port {
            address,
            stop,
            served: tokio::spawn(async move { serve(listener, router, bounds, &NoticeMetrics::default(), stopped).await }),
            begun,
            go_on,
        }
    }

    async fn connection(port: &Port, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&port.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    /// All that comes until the other end closes.
    async fn answer(mut stream: TcpStream) -> String {
        let mut told = Vec::new();
        timeout(LONG, stream.read_to_end(&mut told)).await.unwrap().unwrap();
        String::from_utf8(told).unwrap()
    }

    fn request(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n")
    }

    #[tokio::test]
    async fn half_a_head_is_not_waited_for() {
        let port = port(Bounds { connections_max: 10, turned_away_max: 1, head_within: SHORT, answer_within: LONG }).await;
        assert!(!answer(connection(&port, "GET / HTTP/1.1\r\nho").await).await.contains("200 OK"));
        assert!(answer(connection(&port, &request("/")).await).await.ends_with("done"));
    }

    #[tokio::test]
    async fn one_connection_too_many_is_told_at_once_to_come_again() {
        let port = port(Bounds { connections_max: 1, turned_away_max: 1, head_within: LONG, answer_within: LONG }).await;
        let first = connection(&port, &request("/slow")).await;
        timeout(LONG, port.begun.notified()).await.unwrap();
        for _ in 0..3 {
            let told = answer(connection(&port, &request("/")).await).await;
            assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("retry-after: 1"), "the only place is taken: {told}");
            let (head, body) = told.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("content-length: {}", body.len())), "{told}");
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!((&body["outcome"], &body["error"]["metadata"]["effect"]), (&"unavailable".into(), &"retry".into()));
        }
        port.go_on.notify_one();
        assert!(answer(first).await.ends_with("done"));
        let mut told = String::new();
        while !told.ends_with("done") {
            told = answer(connection(&port, &request("/")).await).await;
        }
    }

    #[tokio::test]
    async fn connections_on_which_no_whole_notice_came_keep_nobody_out() {
        let port = port(Bounds { connections_max: 2, turned_away_max: 1, head_within: LONG, answer_within: LONG }).await;
        let mut silent = connection(&port, "").await;
        let _half = connection(&port, "GET / HT").await;
        for _ in 0..3 {
            assert!(answer(connection(&port, &request("/")).await).await.ends_with("done"));
        }
        assert_eq!(timeout(LONG, silent.read(&mut [0; 1])).await.unwrap().unwrap(), 0, "it waited longest, and is closed");
    }

    #[tokio::test]
    async fn a_stop_waits_for_what_is_under_way_and_for_half_a_head_not_longer_than_for_an_answer() {
        let port = port(Bounds { connections_max: 10, turned_away_max: 1, head_within: LONG, answer_within: SHORT * 10 }).await;
        let under_way = connection(&port, &request("/slow")).await;
        let _half = connection(&port, "GET / HT").await;
        // Both are taken: this one came behind them.
        assert!(answer(connection(&port, &request("/")).await).await.ends_with("done"));
        port.stop.send_replace(true);
        port.go_on.notify_one();
        assert!(answer(under_way).await.ends_with("done"));
        timeout(LONG, port.served).await.unwrap().unwrap();
        assert!(TcpStream::connect(&port.address).await.is_err(), "the port is closed");
    }
}

//! The connections of the webhook port, which stands open to whoever finds it: so many at once, each with so much time for the head
//! of a request. (The body's time is the notice's.)

use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::limits;

/// How many there may be, and how long they may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) connections_max: usize,
    /// From the opening of a connection, or the last answer on it, to the end of a request's head.
    pub(super) head_within: Duration,
    /// From the end of its head to its answer.
    pub(super) answer_within: Duration,
}

pub(super) const BOUNDS: Bounds = Bounds {
    connections_max: limits::WEBHOOK_CONNECTIONS_MAX,
    head_within: limits::WEBHOOK_HEAD_WITHIN,
    answer_within: limits::WEBHOOK_ANSWER_WITHIN,
};

/// Takes connections until `stop` turns true, then answers the notices under way. A request whose head is not whole by then has
/// told nothing and is not waited for.
pub(super) async fn serve(listener: TcpListener, router: Router, bounds: Bounds, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(bounds.connections_max));
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
        // A place first: who finds none waits in the kernel's queue, which has an end, too.
        let place = places.clone().acquire_owned();
        let (place, stream) = tokio::select! {
            () = &mut stopped => break,
            (place, stream) = async { (place.await.expect("nobody closes it"), accept(&listener).await) } => (place, stream),
        };
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let connection = under_way.watch(connection);
        tokio::spawn(async move {
            // What goes wrong with a connection, its other end knows.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    // Every notice is answered within this time; what is left then has not told one.
    let _ = timeout(bounds.answer_within, under_way.shutdown()).await;
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
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(50);

    struct Port {
        address: String,
        stop: watch::Sender<bool>,
        served: JoinHandle<()>,
        /// Lets `GET /slow` be answered, once.
        go_on: Arc<Notify>,
    }

    async fn port(bounds: Bounds) -> Port {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = watch::channel(false);
        let go_on = Arc::new(Notify::new());
        let waited = go_on.clone();
        let slow = move || async move {
            waited.notified().await;
            "done"
        };
        let router = Router::new().route("/", get(|| async { "done" })).route("/slow", get(slow));
        Port { address, stop, served: tokio::spawn(serve(listener, router, bounds, stopped)), go_on }
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
        let port = port(Bounds { connections_max: 10, head_within: SHORT, answer_within: LONG }).await;
        assert!(!answer(connection(&port, "GET / HTTP/1.1\r\nho").await).await.contains("200 OK"));
        assert!(answer(connection(&port, &request("/")).await).await.ends_with("done"));
    }

    #[tokio::test]
    async fn one_connection_too_many_has_its_turn_when_another_has_ended() {
        let port = port(Bounds { connections_max: 1, head_within: LONG, answer_within: LONG }).await;
        let first = connection(&port, &request("/slow")).await;
        let mut second = connection(&port, &request("/")).await;
        assert!(timeout(SHORT, second.read_u8()).await.is_err(), "the only place is taken");
        port.go_on.notify_one();
        assert!(answer(first).await.ends_with("done"));
        assert!(answer(second).await.ends_with("done"));
    }

    #[tokio::test]
    async fn a_stop_waits_for_what_is_under_way_and_for_half_a_head_not_longer_than_for_an_answer() {
        let port = port(Bounds { connections_max: 10, head_within: LONG, answer_within: SHORT * 10 }).await;
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

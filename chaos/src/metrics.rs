//! `/metrics` of the tool while a run lasts, if it is asked for: which faults are on, so that dashboards and alerts of the cluster
//! show what of it was the drill.
//!
//! Served and not written to a file for a node exporter: it needs nothing else on the machine, and with the tool the series go at
//! once. A file would keep a fault on for as long as nobody removes it when the tool was killed.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::Context;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::history::FaultsOn;
use crate::limits;
use crate::scenario::FaultKind;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the page is made of.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) scenario: String,
    pub(crate) seed: u64,
    pub(crate) faults: FaultsOn,
}

/// # Errors
/// Nothing can listen there.
pub(crate) async fn listen(address: Option<SocketAddr>) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    Ok(Some(TcpListener::bind(address).await.with_context(|| format!("listening on {address} for --metrics"))?))
}

/// Until it is dropped. Without a listener it does nothing.
pub(crate) async fn serve(listener: Option<TcpListener>, told: Told) -> Infallible {
    let Some(listener) = listener else { return std::future::pending().await };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < limits::SCRAPES_AT_ONCE_MAX => match accepted {
                Ok((stream, _)) => drop(connections.spawn(answer(stream, told.clone()))),
                // Such as too many open files: it comes again, and at once.
                Err(_) => tokio::time::sleep(limits::SCRAPE_ACCEPT_PAUSE).await,
            },
        }
    }
}

async fn answer(stream: TcpStream, told: Told) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = respond(request.uri().path(), &told);
        async { response }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limits::SCRAPE_DEADLINE);
    // Whoever hangs up needs no answer.
    let _gone = server.serve_connection(TokioIo::new(stream), service).await;
}

fn respond(path: &str, told: &Told) -> hyper::http::Result<Response<Full<Bytes>>> {
    if path != "/metrics" {
        return Response::builder().status(StatusCode::NOT_FOUND).body(Full::from("see /metrics\n"));
    }
    Response::builder().header(CONTENT_TYPE, TEXT).header(CACHE_CONTROL, "no-store").body(Full::from(page(told)))
}

/// Every kind of fault is there, at 0 while none of it is on.
fn page(told: &Told) -> String {
    let on = told.faults.now();
    let mut page = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| writeln!(page, "{text}").expect("a string takes everything");
    line(format_args!("# HELP stampede_drill_info The run: always 1 while it lasts."));
    line(format_args!("# TYPE stampede_drill_info gauge"));
    line(format_args!("stampede_drill_info{{scenario=\"{}\",seed=\"{}\"}} 1", told.scenario, told.seed));
    line(format_args!(
        "# HELP stampede_drill_active Faults of a kind that are on now, from their firing until they are undone."
    ));
    line(format_args!("# TYPE stampede_drill_active gauge"));
    for kind in FaultKind::ALL {
        let faults: BTreeSet<u32> = on.iter().filter(|event| *event.kind == *kind.name()).map(|event| event.fault).collect();
        line(format_args!("stampede_drill_active{{fault=\"{}\"}} {}", kind.name(), faults.len()));
    }
    // One that is shorter than the scrape interval may never be seen on.
    line(format_args!("# HELP stampede_drill_faults_total Faults of a kind that have fired."));
    line(format_args!("# TYPE stampede_drill_faults_total counter"));
    for kind in FaultKind::ALL {
        let fired = told.faults.fired(kind.name());
        line(format_args!("stampede_drill_faults_total{{fault=\"{}\"}} {fired}", kind.name()));
    }
    line(format_args!("# HELP stampede_drill_faults_landed_total Faults that were seen to hurt."));
    line(format_args!("# TYPE stampede_drill_faults_landed_total counter"));
    line(format_args!("stampede_drill_faults_landed_total {}", told.faults.landed()));
    page
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::history::{FaultEvent, FaultStage, NodeRole};

    fn told(faults: FaultsOn) -> Told {
        Told { scenario: "smoke".to_owned(), seed: 7, faults }
    }

    fn step(fault: u32, node: u16, kind: FaultKind, stage: FaultStage) -> FaultEvent {
        FaultEvent { at_ns: 1, fault, stage, kind: kind.name().into(), node, role: NodeRole::Unknown, term: 0 }
    }

    fn active(page: &str) -> Vec<&str> {
        page.lines().filter(|line| line.starts_with("stampede_drill_active{") && !line.ends_with(" 0")).collect()
    }

    #[test]
    fn a_kind_of_fault_is_counted_once_for_all_nodes_that_it_hits_and_until_it_is_undone() {
        let faults = FaultsOn::default();
        let all = page(&told(faults.clone()));
        assert_eq!(all.lines().filter(|line| line.starts_with("stampede_drill_active{")).count(), FaultKind::ALL.len());
        assert_eq!(active(&all), Vec::<&str>::new());
        let [kind, ..] = FaultKind::ALL;
        for node in [1, 2] {
            faults.note(&step(4, node, kind, FaultStage::Injected));
            faults.note(&step(4, node, kind, FaultStage::Effective));
        }
        let now = page(&told(faults.clone()));
        assert_eq!(active(&now), [format!("stampede_drill_active{{fault=\"{}\"}} 1", kind.name())]);
        assert!(now.contains("stampede_drill_faults_landed_total 1\n"), "{now}");
        for node in [1, 2] {
            faults.note(&step(4, node, kind, FaultStage::Healed));
        }
        let after = page(&told(faults));
        assert_eq!(active(&after), Vec::<&str>::new());
        assert!(after.contains(&format!("stampede_drill_faults_total{{fault=\"{}\"}} 1\n", kind.name())), "{after}");
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: drill\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_page_is_there_for_as_long_as_the_run_lasts() {
        let listener = listen(Some("127.0.0.1:0".parse().unwrap())).await.unwrap();
        let address = listener.as_ref().unwrap().local_addr().unwrap();
        tokio::select! {
            never = serve(listener, told(FaultsOn::default())) => match never {},
            (page, other) = async { (get(address, "/metrics").await, get(address, "/").await) } => {
                assert!(page.starts_with("HTTP/1.1 200") && page.contains("stampede_drill_info{scenario=\"smoke\",seed=\"7\"} 1"), "{page}");
                assert!(other.starts_with("HTTP/1.1 404"), "{other}");
            }
        }
        assert!(TcpStream::connect(address).await.is_err(), "with the run it has gone");
    }

    #[tokio::test]
    async fn a_port_that_another_has_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = listen(Some(address)).await.unwrap_err();
        assert!(format!("{error:#}").contains(&address.to_string()), "{error:#}");
    }
}

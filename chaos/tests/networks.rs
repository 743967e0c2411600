//! The network back ends with namespaces, with real kernels on both ends of each link: what passes, what does not, and that nothing
//! of them stays.
//!
//! They need root, TUN and nftables. Where there are none they say so, and show nothing.

// A failed unwrap is a failed test.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod killed;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use killed::Killed;
use stampede_chaos::network::{Door, Hit, Impairment, Network, Passage, host, probe};
use stampede_chaos::scenario::{BackEnd, Share};
use stampede_chaos::undo::{Journal, left, scan};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

/// A machine under load is slow, and TCP waits long where much is lost.
const SOON: Duration = Duration::from_secs(120);
const PORT: u16 = 7_701;

/// What is open in this process is looked at: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn has(back_end: BackEnd) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let probed = probe::probe(back_end, folder.path());
    if let Err(error) = &probed {
        eprintln!("nothing is shown of {} here: {error:#}", back_end.name());
    }
    probed.is_ok()
}

/// Of those that this machine has.
fn with_each(back_ends: &[BackEnd], show: impl AsyncFn(BackEnd)) {
    let _alone = alone();
    for back_end in back_ends.iter().filter(|back_end| has(**back_end)) {
        tokio::runtime::Runtime::new().unwrap().block_on(show(*back_end));
    }
}

/// Two nodes.
fn make(back_end: BackEnd) -> (TempDir, Network) {
    let run = tempfile::tempdir().unwrap();
    let journal = Journal::create(run.path()).unwrap();
    let network = match back_end {
        BackEnd::Switch => Network::switch(&[1, 2], 7, run.path(), journal),
        _ => Network::nftables(&[1, 2], run.path(), journal),
    };
    (run, network.unwrap())
}

fn at(node: u16) -> SocketAddr {
    (host(BackEnd::Switch, node), PORT).into()
}

fn udp(network: &Network, node: u16) -> UdpSocket {
    let bind = || std::net::UdpSocket::bind(at(node)).unwrap();
    let socket = network.namespace(node).unwrap().within(bind).unwrap();
    socket.set_nonblocking(true).unwrap();
    UdpSocket::from_std(socket).unwrap()
}

async fn hears(socket: &UdpSocket, what: &[u8]) {
    let mut heard = [0; 64];
    let length = timeout(SOON, socket.recv(&mut heard)).await.unwrap().unwrap();
    assert_eq!(std::str::from_utf8(&heard[..length]), std::str::from_utf8(what));
}

async fn until_hit(network: &Network, direction: (u16, u16), hit: Hit) {
    let is_hit = async {
        while !network.has_hit(direction, hit).unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, is_hit).await.unwrap_or_else(|_| panic!("{hit:?} does not happen to what goes {direction:?}"));
}

/// A connection from the first node to the second: both ends.
async fn tcp(network: &Network) -> (TcpStream, TcpStream) {
    let listen = || std::net::TcpListener::bind(at(2)).unwrap();
    let listener = network.namespace(2).unwrap().within(listen).unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let socket = network.namespace(1).unwrap().within(TcpSocket::new_v4).unwrap().unwrap();
    let dialled = timeout(SOON, socket.connect(at(2))).await.unwrap().unwrap();
    (dialled, listener.accept().await.unwrap().0)
}

fn impaired(loss: &str, corrupt: &str) -> Passage {
    let share = |text: &str| Share::try_from(text.to_owned()).unwrap();
    let (some, delay) = (share("10%"), Duration::from_millis(1));
    let (loss, corrupt) = (share(loss), share(corrupt));
    Passage::Impaired(Impairment { delay, loss, corrupt, reorder: some, duplicate: some, ..Default::default() })
}

/// No two parts of it are the same.
fn text(bytes: usize) -> Vec<u8> {
    (0_u32..).flat_map(u32::to_be_bytes).take(bytes).collect()
}

async fn send_over_bad_links(passage: Passage, hit: Hit) {
    let (_run, network) = make(BackEnd::Switch);
    let (mut dialled, mut accepted) = tcp(&network).await;
    network.set([(1, 2), (2, 1)], passage).unwrap();
    let sent = text(256 << 10);
    let (to_send, mut arrived) = (sent.clone(), vec![0; sent.len()]);
    let sending = async move {
        dialled.write_all(&to_send).await.unwrap();
        dialled
    };
    let both = async { tokio::join!(sending, accepted.read_exact(&mut arrived)) };
    let (_dialled, read) = timeout(SOON, both).await.unwrap();
    read.unwrap();
    assert!(arrived == sent, "what arrived is not what was sent");
    for hit in [hit, Hit::Late, Hit::Reordered, Hit::Duplicated] {
        assert!(network.has_hit((1, 2), hit).unwrap(), "{hit:?}");
    }
    let refused = network.namespace(2).unwrap().within(bad_checksums).unwrap();
    assert_eq!(refused > 0, hit == Hit::Corrupted, "{refused} packets were refused for what is in them");
}

/// Of TCP, that this namespace's kernel has seen (`/proc/net/snmp`: a line of names, and one of numbers).
fn bad_checksums() -> u64 {
    let table = std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let mut lines = table.lines().filter(|line| line.starts_with("Tcp:")).map(str::split_whitespace);
    let (names, mut numbers) = (lines.next().unwrap(), lines.next().unwrap());
    numbers.nth(names.clone().position(|name| name == "InCsumErrors").unwrap()).unwrap().parse().unwrap()
}

#[test]
fn what_is_sent_over_links_that_lose_a_fifth_arrives_whole() {
    with_each(&[BackEnd::Switch], async |_| send_over_bad_links(impaired("20%", "0%"), Hit::Lost).await);
}

#[test]
fn what_is_changed_on_its_way_is_refused_and_sent_again() {
    with_each(&[BackEnd::Switch], async |_| send_over_bad_links(impaired("0%", "20%"), Hit::Corrupted).await);
}

#[test]
fn a_cut_of_one_way_loses_what_is_sent_and_lets_the_other_pass() {
    with_each(&[BackEnd::Switch, BackEnd::Nftables], async |back_end| {
        let (_run, network) = make(back_end);
        let (one, two) = (udp(&network, 1), udp(&network, 2));
        one.send_to(b"before", at(2)).await.unwrap();
        hears(&two, b"before").await;
        network.set([(1, 2)], Passage::Cut).unwrap();
        assert!(!network.has_hit((1, 2), Hit::Cut).unwrap(), "nothing was sent yet");
        one.send_to(b"lost", at(2)).await.unwrap();
        until_hit(&network, (1, 2), Hit::Cut).await;
        two.send_to(b"back", at(1)).await.unwrap();
        hears(&one, b"back").await;
        assert!(!network.has_hit((2, 1), Hit::Cut).unwrap());
        network.set([(1, 2)], Passage::Free).unwrap();
        one.send_to(b"after", at(2)).await.unwrap();
        hears(&two, b"after").await;
        network.set([(1, 2)], Passage::Cut).unwrap();
        assert!(!network.has_hit((1, 2), Hit::Cut).unwrap(), "a cut counts from its beginning");
        network.heal().unwrap();
        one.send_to(b"healed", at(2)).await.unwrap();
        hears(&two, b"healed").await;
    });
}

#[test]
fn two_drills_at_once_do_not_meet_and_nobody_outside_reaches_their_nodes() {
    with_each(&[BackEnd::Switch, BackEnd::Nftables], async |back_end| {
        let ((_run, network), (_other_run, other)) = (make(back_end), make(back_end));
        let (from, to) = (udp(&network, 1), udp(&network, 2));
        let (other_from, other_to) = (udp(&other, 1), udp(&other, 2));
        other_from.send_to(b"theirs", at(2)).await.unwrap();
        from.send_to(b"ours", at(2)).await.unwrap();
        hears(&to, b"ours").await;
        hears(&other_to, b"theirs").await;

        let listen = || std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let listener = network.namespace(1).unwrap().within(listen).unwrap();
        let there = listener.local_addr().unwrap();
        assert!(Door::to(network.namespace(1)).connect(there).await.is_ok());
        assert!(Door::to(network.namespace(2)).connect(there).await.is_err(), "another node's loopback is another");
        assert!(Door::default().connect(there).await.is_err(), "and the machine's is another");
    });
}

/// Namespaces and TUN devices that this process holds open.
fn held() -> Vec<String> {
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|fd| std::fs::read_link(fd.path()).ok());
    let is_of_a_network = |link: &std::path::PathBuf| {
        (link.to_string_lossy().starts_with("net:") && *link != own) || link == Path::new("/dev/net/tun")
    };
    links.filter(is_of_a_network).map(|link| link.display().to_string()).collect()
}

/// Who is not named in the machine's own network is nowhere.
fn machines_links() -> String {
    let table = std::fs::read_to_string("/proc/self/net/dev").unwrap();
    table.lines().filter_map(|line| line.split(':').next()).collect()
}

#[test]
fn who_is_still_in_a_namespace_is_found_and_afterwards_all_is_gone() {
    let _alone = alone();
    for back_end in [BackEnd::Switch, BackEnd::Nftables] {
        if !has(back_end) {
            continue;
        }
        let before = (held(), machines_links());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (run, network) = runtime.block_on(async { make(back_end) });
        assert_ne!(held(), before.0, "it is there");
        assert_eq!(machines_links(), before.1, "and not in the machine's own network");
        let root = run.path().canonicalize().unwrap();
        assert_eq!(left(&root).unwrap().len(), 1, "it is written down");
        let sleeper = network.namespace(2).unwrap().within(|| Killed::spawn(Command::new("sleep").arg("600"))).unwrap();
        assert_eq!(scan(&root).unwrap(), [format!("the network namespace of process {}", sleeper.id())]);
        drop(sleeper);
        network.release().unwrap();
        assert!(left(&root).unwrap().is_empty() && scan(&root).unwrap().is_empty());
        drop(network);
        drop(runtime);
        assert_eq!((held(), machines_links()), before);
    }
}

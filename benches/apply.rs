//! `make bench`: how many commands a second one node's ledger applies, with no network and no consensus around it. Every node
//! applies every command, so on one machine with three nodes this is paid three times.

use std::time::{Duration, Instant};

use stampede::domain::series::SeriesTerms;
use stampede::domain::{
    AccountId, Command, Gateway, LedgerTime, OrderId, PaymentId, PaymentName, Quantity, Rupiah, SeriesCode, StampNumber,
};
use stampede::storage::{CommandBatch, CommittedEntry, EntryBody, LedgerStore, LogPosition, RocksLedger};
use uuid::Uuid;

const FACE_VALUE_IDR: i64 = 10_000;
const PAYMENT_WINDOW_MS: i64 = 3_600_000;
/// Length of each window.
const WINDOW: Duration = Duration::from_secs(5);

fn main() {
    // `cargo bench` alone says so; `cargo test` runs this too, with no wish to measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("{:42} {:>12}", "apply, orders placed and then paid", "commands/s");
    for (label, order_id) in [("time-ordered ids", Uuid::now_v7 as fn() -> Uuid), ("random ids", random_id)] {
        for commands in [16, 1_000] {
            let per_second = applied_per_second(commands, order_id);
            println!("{:42} {per_second:>12.0}", format!("{commands} commands in an entry, {label}"));
        }
    }
}

/// A time-ordered id, hashed.
fn random_id() -> Uuid {
    let hash = blake3::hash(Uuid::now_v7().as_bytes());
    Uuid::from_bytes(hash.as_bytes()[..16].try_into().expect("a hash has 32 bytes"))
}

fn applied_per_second(commands: u32, order_id: fn() -> Uuid) -> f64 {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = RocksLedger::open(&dir.path().join("ledger"), &dir.path().join("snapshots")).expect("an empty ledger");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        ledger.apply(vec![entry(0, vec![open_series()])]).await.expect("applied");
        let (mut index, mut applied, mut spent) = (1, 0, Duration::ZERO);
        while spent < WINDOW {
            let (orders, payments) = orders_and_payments(commands, order_id);
            let (orders, payments) = (vec![entry(index, orders)], vec![entry(index + 1, payments)]);
            let started = Instant::now();
            // One after the other, as buyers do: a payment finds its order in the ledger, not in its own batch.
            ledger.apply(orders).await.expect("applied");
            ledger.apply(payments).await.expect("applied");
            spent += started.elapsed();
            index += 2;
            applied += 2 * commands;
        }
        f64::from(applied) / spent.as_secs_f64()
    })
}

fn entry(index: u64, commands: Vec<Command>) -> CommittedEntry {
    let batch = CommandBatch::new(LedgerTime(1_000_000 + index), commands);
    CommittedEntry { position: LogPosition { term: 1, index }, body: EntryBody::Commands(batch) }
}

fn series_code() -> SeriesCode {
    SeriesCode::new("BEN").expect("a code")
}

fn open_series() -> Command {
    let first = StampNumber::new(0).expect("a number");
    let terms = SeriesTerms::new(series_code(), first, 1_000_000_000, FACE_VALUE_IDR, PAYMENT_WINDOW_MS, [7; 8]);
    Command::OpenSeries(terms.expect("terms"))
}

fn orders_and_payments(count: u32, order_id: fn() -> Uuid) -> (Vec<Command>, Vec<Command>) {
    let ids: Vec<_> = (0..count).map(|_| order_id()).collect();
    let place = |id: &Uuid| Command::PlaceOrder {
        order: OrderId::from_bytes(id.into_bytes()),
        account: AccountId::new("portal-17").expect("an account"),
        series: series_code(),
        quantity: Quantity::new(2).expect("a quantity"),
    };
    let pay = |id: &Uuid| Command::RecordPayment {
        payment: PaymentName {
            gateway: Gateway::new("midtrans").expect("a gateway"),
            payment_id: PaymentId::new(&id.to_string()).expect("a payment id"),
        },
        order: OrderId::from_bytes(id.into_bytes()),
        amount: Rupiah::payment(2 * FACE_VALUE_IDR).expect("an amount"),
    };
    (ids.iter().map(place).collect(), ids.iter().map(pay).collect())
}

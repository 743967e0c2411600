//! stampede sells and issues serial-numbered electronic stamps on a Raft-replicated ledger.
//!
//! Dependencies point one way; `tests/tidy.rs` holds the code to it:
//!
//! ```text
//! transport, operations ─► consensus ─► storage ─► domain
//! ```
//!
//! What is deliberately absent:
//! - Nothing under `domain` reads a clock, draws a random number, iterates over a hash map, or does I/O.
//! - Nothing outside `storage` names RocksDB; nothing outside `consensus` names openraft.
//! - Nothing outside `transport` parses what callers send.
//! - Nothing of ours outside `clock` reads the wall clock.

#[cfg(all(
    not(debug_assertions),
    any(
        feature = "drill-controls",
        feature = "planted-bug-1",
        feature = "planted-bug-2",
        feature = "planted-bug-3",
        feature = "planted-bug-4",
        feature = "planted-bug-5",
        feature = "planted-bug-6",
        feature = "planted-bug-7",
        feature = "planted-bug-8",
        feature = "planted-bug-9",
        feature = "planted-bug-10",
        feature = "planted-bug-11",
        feature = "planted-bug-12",
        feature = "planted-bug-13",
        feature = "planted-bug-14",
        feature = "planted-bug-15",
        feature = "planted-bug-16",
    )
))]
compile_error!("planted bugs and drill controls are for drills; a release cannot contain them");

pub mod clock;
pub mod consensus;
pub mod counters;
pub mod domain;
pub mod limits;
pub mod operations;
pub mod proto;
pub mod storage;
pub mod transport;

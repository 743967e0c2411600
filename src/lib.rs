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

#[cfg(all(not(debug_assertions), any(feature = "drill-controls", feature = "planted-bugs")))]
compile_error!("planted bugs and drill controls are for drills; a release cannot contain them");

pub mod clock;
pub mod consensus;
pub mod counters;
pub mod domain;
pub mod limits;
pub mod operations;
pub mod planted;
pub mod proto;
pub mod storage;
pub mod transport;

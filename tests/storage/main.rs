//! What storage promises, on real files. One binary, because linking RocksDB is slow.

// A failed unwrap is a failed test.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss, unreachable_pub)]

mod audit;
mod crash;
mod data_dir;
mod golden;
mod ledger;
mod log;
mod snapshot;
mod start;
mod strict;
mod support;

//! What storage promises, on real files. One binary, because linking RocksDB is slow.

mod crash;
mod data_dir;
mod golden;
mod ledger;
mod log;
mod snapshot;
mod support;

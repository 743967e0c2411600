//! Three nodes under seeds: the product's consensus glue, proposer and domain on a virtual clock, over a simulated network and
//! simulated disks that lose what was not synced. See `run.rs` for what a run is, `swarm.rs` for its faults, `checks.rs` and
//! `oracle.rs` for what must hold.
//!
//! One seed again: `STAMPEDE_SIM_SEED=n cargo test --test simulation one_seed -- --nocapture`; with `STAMPEDE_SIM_TRACE=file`
//! its whole trace.

// A failed unwrap is a failed test.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss, unreachable_pub)]
// A test exports nothing; here `pub` tells what a module is for.

mod checks;
mod cluster;
mod directed;
mod disk;
mod ledger;
mod low_disks;
mod members;
mod net;
mod oracle;
mod run;
mod schedule;
mod seeds;
mod swarm;
mod workload;
mod world;

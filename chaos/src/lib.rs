//! Drills for a stampede cluster: a simulated rush, faults, and a verdict from outside.
//!
//! ```text
//! scenario → cluster + traffic + faults → history → checks → verdict → report
//! ```
//!
//! What is deliberately absent:
//! - The stampede library. The client is generated from the protocol files, the model of the ledger is written from their
//!   comments, the serial code from its specification: a mistake of the system cannot hide in code that both share.
//! - A way to judge that needs the cluster. [`recheck`] works from the files of a run's folder alone.

pub mod auditor;
pub mod checks;
pub mod clerk;
pub mod client;
pub mod cluster;
pub mod collect;
pub mod crowd;
pub mod damage;
pub mod disk;
pub mod doctor;
pub mod drill;
pub mod evidence;
pub mod faults;
pub mod figures;
pub mod hash;
pub mod heal;
pub mod history;
pub mod interrupt;
pub mod judge;
pub mod limits;
mod metrics;
pub mod model;
pub mod network;
pub mod operator;
pub mod plan_text;
pub mod planted;
pub mod probe;
pub mod progress;
pub mod proto;
pub mod provider;
pub mod recheck;
pub mod report;
pub mod resources;
pub mod run;
pub mod runs;
pub mod scenario;
pub mod serial_code;
pub mod shrink;
pub mod suite;
pub mod traffic;
pub mod undo;
pub mod verdict;
pub mod view;

//! What the people who run stampede touch: configuration, the life of a node process, its metrics and probes, the commands.
//!
//! This layer puts the others together and takes them apart again; it holds no rule of the business and none of Raft.

pub mod build;
pub mod cli;
pub mod config;
pub mod disk_floor;
pub mod exit;
pub mod figures;
pub mod gateway_secrets;
pub mod health;
pub mod http;
pub mod metrics;
pub mod node;
pub mod serial_key;
pub mod support;
pub mod telemetry;
pub mod watch;

//! Real node processes on loopback, with real disks: what only a whole cluster can show.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod harness;

mod alerts;
mod audit;
#[cfg(all(target_os = "linux", feature = "drill-controls"))]
mod clock;
mod commands;
mod damage;
#[cfg(target_os = "linux")]
mod disk_floor;
mod lifecycle;
mod looking_inside;
mod membership;
mod notices;
#[cfg(target_os = "linux")]
mod own_disks;
mod rejoin;
mod september_2024;
mod start;
mod wrong_disks;

//! Real node processes on loopback, with real disks: what only a whole cluster can show.

mod harness;

mod commands;
mod lifecycle;
mod start;

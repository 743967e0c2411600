//! Three real node processes on loopback, and clients that load them.

pub mod cluster;
pub mod failed;
pub mod load;
pub mod overload;

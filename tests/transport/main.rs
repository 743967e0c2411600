//! The API as a caller meets it: one node on loopback ports and a real data directory.

mod bad_input;
mod identity;
mod issuing;
mod reflection;
mod support;

//! The API as a caller meets it: one node on loopback ports and a real data directory, or one whose answers are
//! scripted.

// A failed unwrap is a failed test.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss, unreachable_pub)]

mod admission;
mod after_issue;
mod bad_input;
mod gateway_status;
mod gateways;
mod history;
mod identity;
mod inside;
mod issuing;
mod lists;
mod members;
mod reflection;
mod scans;
mod scripted;
mod support;

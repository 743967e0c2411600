//! The rules, without storage and without async: tables that a clerk could read, properties over random commands, the order of
//! answers in the proto files, and the frozen serial codes.

// A failed unwrap is a failed test.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss, unreachable_pub)]

mod precedence;
mod properties;
mod serial_code;
mod support;
mod tables;

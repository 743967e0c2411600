//! `version`.

use serde_json::json;

use super::output::{self, Format};
use crate::operations::build::{REVISION, features};

pub(super) const LINE: &str = env!("CARGO_PKG_VERSION");

pub(super) fn print(format: Format) {
    output::print_record(
        format,
        vec![
            ("version", json!(env!("CARGO_PKG_VERSION"))),
            ("revision", json!(REVISION)),
            ("profile", json!(if cfg!(debug_assertions) { "dev" } else { "release" })),
            ("features", json!(features())),
        ],
    );
}

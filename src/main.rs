//! The `stampede` binary: the command line of [`stampede::operations::cli`], on an allocator that costs a leader less.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    stampede::operations::cli::run()
}

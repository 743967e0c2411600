//! A cluster of a program that is no node: it answers nothing, and ignores SIGTERM.

#![allow(unreachable_pub, reason = "shared by test binaries")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use stampede_chaos::cluster::{Binaries, Cluster};
use stampede_chaos::history::{HistoryWriter, RunClock, RunFolder};
use stampede_chaos::scenario::Scenario;

/// The program itself, in `folder`.
pub fn program(folder: &Path) -> PathBuf {
    let program = folder.join("deaf");
    std::fs::write(&program, "#!/bin/sh\ntrap '' TERM\necho deaf\nexec sleep 600\n").unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    program
}

/// Prepared, not started; its run's folder is `run` in `folder`.
pub async fn cluster(scenario: &Scenario, folder: &Path, tool: &str) -> (Cluster, HistoryWriter) {
    let program = program(folder);
    let run = RunFolder::create(&folder.join("run")).unwrap();
    let (writer, recorder) = HistoryWriter::create(&run.history(), RunClock::start()).unwrap();
    let binaries = Binaries::sound(program, tool.into());
    (Cluster::prepare(scenario, 1, &binaries, &run, &recorder).await.unwrap(), writer)
}

//! The files of a run as they are written, a part of it at a time.

use std::path::Path;

use prost::Message;
use stampede_chaos::history::*;
use stampede_chaos::proto::admin;

pub(super) struct Files {
    folder: RunFolder,
    writer: HistoryWriter,
    recorder: Recorder,
    log: DelimitedWriter,
    events: DelimitedWriter,
}

impl Files {
    pub(super) fn create(root: &Path) -> Self {
        let folder = RunFolder::create(root).unwrap();
        let (writer, recorder) = HistoryWriter::create(&folder.history(), RunClock::start()).unwrap();
        let log = DelimitedWriter::create(&folder.log()).unwrap();
        let events = DelimitedWriter::create(&folder.events()).unwrap();
        Self { folder, writer, recorder, log, events }
    }

    pub(super) fn take(
        &mut self,
        records: &mut Vec<Record>,
        log: &mut Vec<admin::ExportLogResponse>,
        events: &mut Vec<admin::WatchLedgerResponse>,
    ) {
        records.drain(..).for_each(|record| self.recorder.record(record).unwrap());
        log.drain(..).for_each(|entry| self.log.write(&entry).unwrap());
        events.drain(..).for_each(|answer| self.events.write(&answer).unwrap());
    }

    /// The same scan of each of `nodes`.
    pub(super) fn scan(&self, nodes: &[u16], items: impl Iterator<Item = admin::ScanLedgerResponse>) {
        let mut scans: Vec<_> = nodes.iter().map(|node| DelimitedWriter::create(&self.folder.scan(*node)).unwrap()).collect();
        for mut item in items {
            for (node, scan) in nodes.iter().zip(&mut scans) {
                if let Some(admin::scan_ledger_response::Item::Header(header)) = &mut item.item {
                    header.node_id = (*node).into();
                }
                scan.write(&item).unwrap();
            }
        }
        scans.into_iter().for_each(|scan| scan.finish().unwrap());
    }

    pub(super) fn finish(self, facts: &RunFacts) -> RunFolder {
        facts.write(&self.folder).unwrap();
        drop(self.recorder);
        self.writer.finish().unwrap();
        self.log.finish().unwrap();
        self.events.finish().unwrap();
        self.folder
    }
}

pub(super) fn write_all(path: &Path, messages: &[impl Message]) {
    let mut file = DelimitedWriter::create(path).unwrap();
    messages.iter().for_each(|message| file.write(message).unwrap());
    file.finish().unwrap();
}

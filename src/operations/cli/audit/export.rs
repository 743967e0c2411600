//! `audit export`: the audit record into a file, from where the file ends.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde_json::json;
use tokio::time::timeout;
use tonic::Streaming;

use super::super::Global;
use super::super::connection::Call;
use super::super::exit::{Code, Failure};
use super::super::output;
use super::line::{line_of, record_of};
use super::progress::Progress;
use crate::limits;
use crate::proto::admin::admin_service_client::AdminServiceClient as Client;
use crate::proto::admin::{ExportAuditRequest, ExportAuditResponse, GetStatusRequest};
use crate::storage::LogPosition;
use crate::storage::audit::{AuditName, Chain};
use crate::storage::codec::decode_audit_record;

const KEEP: &str = "keep the file and the data of every node, and find out who changed what";

pub(super) async fn run(global: &Global, path: &Path, from: u64) -> Result<(), Failure> {
    let io = |error: std::io::Error| {
        Failure::new(Code::Failed, format!("{}: {error}", path.display()), "name a file that can be written")
    };
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
    file.try_lock().map_err(|_| {
        let message = format!("{} is being written by another process", path.display());
        Failure::new(Code::Failed, message, "wait for it, or name another file")
    })?;
    let (last, mut chain, first, end) = match resume(&mut file).map_err(io)? {
        // The last one again: it must be the same there, or the file is of another history.
        Resumed::At { position, head, end } => (Some(head), Chain::behind(position, head), position.index, end),
        Resumed::Empty if from == 0 => (None, Chain::from_genesis(), 0, 0),
        Resumed::Empty => (None, Chain::from_anywhere(), from, 0),
        Resumed::Damaged => {
            let message = format!("{} does not end with a line of an audit file", path.display());
            return Err(Failure::new(Code::VerificationFailed, message, "see what `stampede audit verify` says of it"));
        }
    };
    let (mut lines, mut written) = (BufWriter::new(file), 0_u64);
    let mut is_known = false;
    let ended = records_from(global, first, |record| {
        if let Some(last) = last.filter(|_| !std::mem::replace(&mut is_known, true)) {
            return if AuditName::of(record) == last { Ok(()) } else { Err(foreign(&"its last record is another")) };
        }
        chain.follow(record).map_err(|error| foreign(&error))?;
        let line = line_of(record).map_err(|error| foreign(&error))?;
        if written == 0 {
            // Only now is anything of the file changed: a last line that was cut off goes.
            lines.get_mut().set_len(end).and_then(|()| lines.get_mut().seek(SeekFrom::Start(end))).map_err(io)?;
        }
        writeln!(lines, "{line}").map_err(io)?;
        written += 1;
        Ok(())
    })
    .await;
    // Also what came before something went wrong: the next run goes on behind it.
    let file = lines.into_inner().map_err(|error| io(error.into_error()))?;
    file.sync_all().map_err(io)?;
    ended?;
    if last.is_some() && !is_known {
        return Err(foreign(&"its history ends before the file's last record"));
    }
    output::print_record(
        global.output,
        vec![
            ("file", json!(path.display().to_string())),
            ("written", json!(written)),
            ("audit_head", json!(chain.head().to_string())),
        ],
    );
    Ok(())
}

fn foreign(error: &dyn std::fmt::Display) -> Failure {
    let message = format!("what the node sent does not follow what the file has: {error}");
    Failure::new(Code::VerificationFailed, message, KEEP)
}

/// Gives every record from `first` on to `take`, in order, up to what the cluster had applied when it was asked. A server that
/// breaks off is asked again, or another.
pub(in super::super) async fn records_from(
    global: &Global,
    first: u64,
    mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let call = Call::read("asking how much there is");
    let admins = global.admins();
    let status = admins.call(&call, async |to| Client::new(to.channel()).get_status(to.request(GetStatusRequest {})).await);
    let progress = Progress::of_entries("exporting", (status.await?.applied_index + 1).saturating_sub(first));
    let mut next = first;
    loop {
        let call = Call::read("exporting the audit record");
        let request = ExportAuditRequest { from_index: next };
        let mut records =
            global.admins().call(&call, async |to| Client::new(to.channel()).export_audit(to.request(request)).await).await?;
        let before = next;
        match take_all(global, &mut records, &mut next, &progress, &mut take).await? {
            Ended::Whole => break,
            Ended::BrokenOff(_) if next > before => {}
            Ended::BrokenOff(told) => {
                let message = format!("exporting the audit record: broken off at log index {next}: {told}");
                return Err(Failure::new(Code::TimedOut, message, "run it again: it goes on where it was"));
            }
        }
    }
    progress.finish();
    Ok(())
}

enum Ended {
    Whole,
    BrokenOff(String),
}

async fn take_all(
    global: &Global,
    records: &mut Streaming<ExportAuditResponse>,
    next: &mut u64,
    progress: &Progress,
    take: &mut impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<Ended, Failure> {
    loop {
        match timeout(global.timeout, records.message()).await {
            Ok(Ok(Some(answer))) => {
                take(&answer.record)?;
                *next = answer.log_index + 1;
                progress.advance(1);
            }
            Ok(Ok(None)) => return Ok(Ended::Whole),
            Ok(Err(status)) => return Ok(Ended::BrokenOff(status.message().to_owned())),
            Err(_) => return Ok(Ended::BrokenOff(format!("nothing came for {:?}", global.timeout))),
        }
    }
}

enum Resumed {
    Empty,
    /// Behind `end` bytes there is nothing, or a line that was cut off.
    At {
        position: LogPosition,
        head: AuditName,
        end: u64,
    },
    Damaged,
}

/// How every line begins.
const LINE: &[u8] = b"{\"commands\":[";

/// Where the file goes on. Changes nothing: it may be anybody's.
fn resume(file: &mut File) -> std::io::Result<Resumed> {
    let length = file.metadata()?.len();
    let tail_begins = length.saturating_sub(limits::AUDIT_LINE_BYTES_MAX);
    file.seek(SeekFrom::Start(tail_begins))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else {
        // Nothing, or the beginning of a first line.
        let common = tail.len().min(LINE.len());
        let is_first_line = tail_begins == 0 && tail[..common] == LINE[..common];
        return Ok(if is_first_line { Resumed::Empty } else { Resumed::Damaged });
    };
    let begin = tail[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |before| before + 1);
    let line = String::from_utf8_lossy(&tail[begin..end]);
    let Some(record) = record_of(&line) else { return Ok(Resumed::Damaged) };
    let Ok(decoded) = decode_audit_record(&record) else { return Ok(Resumed::Damaged) };
    Ok(Resumed::At { position: decoded.position, head: AuditName::of(&record), end: tail_begins + end as u64 + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::LedgerTime;
    use crate::storage::audit::{AuditBody, AuditRecord};
    use crate::storage::codec::encode_audit_record;

    fn line(index: u64) -> (String, AuditName) {
        let position = LogPosition { term: 1, index };
        let (previous, ledger_time) = (AuditName([3; 32]), LedgerTime(5));
        let record = encode_audit_record(&AuditRecord { position, previous, ledger_time, body: AuditBody::Blank });
        (line_of(&record).expect("an audit record"), AuditName::of(&record))
    }

    fn resumed(contents: &str) -> Resumed {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("audit.jsonl");
        std::fs::write(&path, contents).expect("written");
        let mut file = OpenOptions::new().read(true).write(true).open(&path).expect("opened");
        let resumed = resume(&mut file).expect("resumed");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), contents, "nothing is changed by looking");
        resumed
    }

    #[test]
    fn a_file_is_gone_on_with_behind_its_last_whole_line() {
        let ((one, _), (two, head)) = (line(0), line(1));
        for cut_off in ["", "{\"commands\":[", "{"] {
            let whole = format!("{one}\n{two}\n");
            let Resumed::At { position, head: found, end } = resumed(&format!("{whole}{cut_off}")) else { panic!("{cut_off}") };
            assert_eq!((position.index, found, end), (1, head, whole.len() as u64), "{cut_off}");
        }
        for nothing in ["", "{\"comm", &one[..one.len() / 2]] {
            assert!(matches!(resumed(nothing), Resumed::Empty), "{nothing}");
        }
    }

    #[test]
    fn a_file_of_something_else_is_left_alone() {
        for other in
            ["minutes of a meeting", "minutes\nof a meeting\n", "{\"index\":1}\n", "{\"name\":\"a configuration\"}", "{}"]
        {
            assert!(matches!(resumed(other), Resumed::Damaged), "{other}");
        }
    }
}

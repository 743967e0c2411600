//! `audit verify`: whether a file is a whole and possible history, from the file alone.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::json;

use super::super::Global;
use super::super::exit::{Code, Failure};
use super::super::output::{self, Record};
use super::line::{line_of, record_of};
use super::progress::Progress;
use crate::domain::LedgerView;
use crate::storage::audit::{AuditName, AuditRecord, Chain, Replay};

/// What a file is held to: from the first entry on, everything; from a later one, its chain.
enum Held {
    Whole(Box<Replay>),
    ChainOnly(Chain),
}

impl Held {
    fn feed(&mut self, record: &[u8]) -> Result<AuditRecord, String> {
        match self {
            Self::Whole(replay) => replay.feed(record).map_err(|error| error.to_string()),
            Self::ChainOnly(chain) => chain.follow(record).map_err(|error| error.to_string()),
        }
    }
}

struct Verified {
    held: Held,
    entries: u64,
    commands: u64,
    first_index: u64,
    last_index: u64,
    head: AuditName,
    /// The name that was noted earlier is that of one of the records.
    is_known: bool,
}

/// 64 hexadecimal digits.
pub(super) fn parse_head(text: &str) -> Result<AuditName, String> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(AuditName).ok_or_else(|| "must have 64 hexadecimal digits".to_owned())
}

pub(super) fn run(global: &Global, file: &Path, known_head: Option<AuditName>, chain_only: bool) -> Result<(), Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::new(Code::Failed, format!("cannot read {}: {error}", file.display()), "name a file that can be read")
    };
    let opened = File::open(file).map_err(unreadable)?;
    let progress = Progress::of_bytes("verifying", opened.metadata().map_err(unreadable)?.len());
    let verified = verify(BufReader::new(opened), known_head, &progress).map_err(failed)?;
    progress.finish();
    output::print_record(global.output, summary(&verified));
    if known_head.is_none() {
        eprintln!("{}", not_shown(&verified));
    }
    judge(&verified, known_head.is_some(), chain_only).map_err(failed)
}

/// What a file cannot say of itself.
fn not_shown(verified: &Verified) -> String {
    format!(
        "whether entries behind {} were cut off does not show without --known-head; keep for the next time: --known-head {}",
        verified.last_index, verified.head
    )
}

fn failed(message: String) -> Failure {
    Failure::new(Code::VerificationFailed, message, "keep the file and the data of every node, and find out who changed what")
}

/// # Errors
/// The first line that cannot stand where it does.
fn verify(file: impl BufRead, known_head: Option<AuditName>, progress: &Progress) -> Result<Verified, String> {
    let mut verified: Option<Verified> = None;
    for (number, line) in (1_u64..).zip(file.lines()) {
        let told = |what: &dyn std::fmt::Display| format!("line {number}: {what}");
        let line = line.map_err(|error| told(&error))?;
        let record = record_of(&line).ok_or_else(|| told(&"is no line of an audit file, or was cut off"))?;
        // Before anything is believed of it.
        if line_of(&record).map_err(|error| told(&error))? != line {
            return Err(told(&"says something else than its record"));
        }
        let now = match &mut verified {
            Some(now) => now,
            None => verified.insert(begin(&record).map_err(|error| told(&error))?),
        };
        let fed = now.held.feed(&record).map_err(|error| told(&error))?;
        now.entries += 1;
        now.commands += fed.body.commands().len() as u64;
        (now.last_index, now.head) = (fed.position.index, AuditName::of(&record));
        // What the first record follows is vouched for by the chain, too.
        now.is_known |= known_head.is_some_and(|known| known == now.head || known == fed.previous);
        progress.advance(line.len() as u64 + 1);
    }
    verified.ok_or_else(|| "the file is empty".to_owned())
}

fn begin(first: &[u8]) -> Result<Verified, String> {
    let position = Chain::from_anywhere().follow(first).map_err(|error| error.to_string())?.position;
    let held = match position.index {
        0 => Held::Whole(Box::default()),
        _ => Held::ChainOnly(Chain::from_anywhere()),
    };
    let (first_index, head) = (position.index, AuditName::GENESIS);
    Ok(Verified { held, entries: 0, commands: 0, first_index, last_index: first_index, head, is_known: false })
}

fn summary(verified: &Verified) -> Record {
    let mut summary = vec![
        ("entries", json!(verified.entries)),
        ("first_index", json!(verified.first_index)),
        ("last_index", json!(verified.last_index)),
        ("commands", json!(verified.commands)),
        ("audit_head", json!(verified.head.to_string())),
    ];
    match &verified.held {
        Held::ChainOnly(_) => summary.push(("verified", json!("the chain alone: the file does not begin with entry 0"))),
        Held::Whole(replay) => {
            let Ok(totals) = replay.ledger().totals();
            summary.extend([
                ("state_digest", json!(replay.meta().digest.to_string())),
                ("serials_issued", json!(totals.serials_issued)),
                ("serials_voided", json!(totals.serials_voided)),
                ("received_idr", json!(totals.received.as_idr())),
                ("issued_value_idr", json!(totals.issued_value().as_idr())),
                ("held_idr", json!(totals.held.as_idr())),
                ("refund_due_idr", json!(totals.refund_due().as_idr())),
                ("refunded_idr", json!(totals.refunded.as_idr())),
                ("verified", json!("chain, outcomes, money, serials")),
            ]);
        }
    }
    summary
}

fn judge(verified: &Verified, has_known_head: bool, chain_only: bool) -> Result<(), String> {
    if has_known_head && !verified.is_known {
        return Err(
            "no record of the file has the name of --known-head: its end was cut off, or it is another history".to_owned()
        );
    }
    let Held::Whole(replay) = &verified.held else {
        let told = || format!("the file begins with entry {}: --chain-only accepts its chain alone", verified.first_index);
        return if chain_only { Ok(()) } else { Err(told()) };
    };
    match replay.violations().as_slice() {
        [] => Ok(()),
        [first, rest @ ..] => Err(format!("{first}, and {} more violations", rest.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{LedgerTime, MemoryLedger, Overlay, SeriesCode, StampNumber, series::SeriesTerms};
    use crate::storage::{CommandBatch, CommittedEntry, EntryBody, LedgerMeta, LogPosition, apply_entry};

    /// Of four entries.
    fn history() -> Vec<Vec<u8>> {
        let (mut meta, mut ledger) = (LedgerMeta::default(), MemoryLedger::default());
        let terms = |code| {
            let (code, first) = (SeriesCode::new(code).expect("valid"), StampNumber::new(1).expect("valid"));
            SeriesTerms::new(code, first, 10, 10_000, 1_000, [7; 8]).expect("valid")
        };
        let commands = [None, Some("A24"), Some("B24"), Some("A24")];
        let entries = (0..).zip(commands).map(|(index, code)| {
            let open = |code| vec![crate::domain::Command::OpenSeries(terms(code))];
            let batch = |code| CommandBatch::new(LedgerTime(1_000 + index), open(code));
            let body = code.map_or(EntryBody::Blank, |code| EntryBody::Commands(batch(code)));
            CommittedEntry { position: LogPosition { term: 1, index }, body }
        });
        let mut records = Vec::new();
        for entry in entries {
            let Ok(applied) = apply_entry(&mut Overlay::new(&ledger), &mut meta, &entry);
            applied.edits.into_iter().for_each(|edit| ledger.absorb(edit.after));
            records.push(applied.audit.value);
        }
        records
    }

    fn lines() -> Vec<String> {
        history().iter().map(|record| line_of(record).expect("an audit record")).collect()
    }

    fn verify_lines(lines: &[String], known_head: Option<AuditName>) -> Result<Verified, String> {
        let verified = verify(lines.join("\n").as_bytes(), known_head, &Progress::Hidden)?;
        judge(&verified, known_head.is_some(), false)?;
        Ok(verified)
    }

    fn told(lines: &[String]) -> String {
        verify_lines(lines, None).err().expect("something is wrong with them")
    }

    /// What was exported once must be read for ever: a change here needs a way to read the old lines.
    #[test]
    fn a_line_of_an_audit_file_is_frozen() {
        let expected = concat!(
            r#"{"commands":[{"capacity":10,"command":"OPEN_SERIES","face_value_idr":10000,"first_number":1,"key_check":"#,
            r#""0707070707070707","offset":0,"outcome":"SERIES_OPENED","payment_window_ms":1000,"series":"A24"}],"index":1,"#,
            r#""ledger_time_ms":1001,"name":"NAME","previous":"PREVIOUS","proposed_at_ms":1001,"record":"RECORD","term":1}"#
        );
        let [first, second, ..] = history().try_into().map(|all: [Vec<u8>; 4]| all).expect("four entries");
        let expected = expected
            .replace("NAME", &AuditName::of(&second).to_string())
            .replace("PREVIOUS", &AuditName::of(&first).to_string())
            .replace("RECORD", &hex::encode(&second));
        assert_eq!(line_of(&second).expect("an audit record"), expected);
    }

    #[test]
    fn a_whole_file_is_good_and_its_earlier_heads_are_known() {
        let verified = verify_lines(&lines(), Some(AuditName::of(&history()[1]))).expect("a good file");
        assert_eq!((verified.entries, verified.commands, verified.head), (4, 3, AuditName::of(&history()[3])));
        assert!(matches!(verified.held, Held::Whole(_)));
        assert!(verify_lines(&lines(), Some(AuditName([7; 32]))).is_err());
    }

    #[test]
    fn a_file_that_begins_later_is_held_to_its_chain() {
        let known = Some(AuditName::of(&history()[1]));
        let verified = verify(lines()[2..].join("\n").as_bytes(), known, &Progress::Hidden).expect("a good chain");
        assert!(judge(&verified, true, true).is_ok() && judge(&verified, true, false).is_err(), "only if it is asked for");
        assert!(matches!(verified.held, Held::ChainOnly(_)));
        assert_eq!((verified.first_index, verified.last_index), (2, 3));
    }

    #[test]
    fn what_was_changed_left_out_or_cut_off_is_told_with_its_line() {
        let good = lines();
        let without = |gone: usize| [&good[..gone], &good[gone + 1..]].concat();
        assert!(told(&without(1)).starts_with("line 2: audit record 2 is damaged: stands where 1 is due"));
        let mut edited = good.clone();
        edited[1] = edited[1].replace("\"capacity\":10", "\"capacity\":11");
        assert_eq!(told(&edited), "line 2: says something else than its record");
        let mut cut = good.clone();
        cut[3].truncate(50);
        assert_eq!(told(&cut), "line 4: is no line of an audit file, or was cut off");
        assert_eq!(told(&[]), "the file is empty");
    }

    #[test]
    fn entries_that_are_cut_off_at_the_end_show_by_a_head_that_was_noted_and_by_nothing_else() {
        let cut = &lines()[..3];
        let noted = AuditName::of(&history()[3]);
        assert!(verify_lines(&lines(), Some(noted)).is_ok());
        let told = verify_lines(cut, Some(noted)).err().expect("its end is missing");
        assert!(told.contains("its end was cut off"), "{told}");
        let verified = verify_lines(cut, None).expect("whole as far as it goes");
        let told = not_shown(&verified);
        let head = AuditName::of(&history()[2]);
        assert!(told.contains("entries behind 2 ") && told.ends_with(&format!("--known-head {head}")), "{told}");
    }

    #[test]
    fn an_outcome_that_the_rules_do_not_give_is_told_though_the_chain_holds() {
        let mut records = history();
        let mut forged = crate::storage::codec::decode_audit_record(&records[3]).expect("an audit record");
        let crate::storage::audit::AuditBody::Commands { commands, .. } = &mut forged.body else { panic!("has a command") };
        commands[0].reply.replayed = false;
        records[3] = crate::storage::codec::encode_audit_record(&forged);
        let lines: Vec<String> = records.iter().map(|record| line_of(record).expect("an audit record")).collect();
        assert!(told(&lines).starts_with("line 4: command 3.0: recorded was"));
    }
}

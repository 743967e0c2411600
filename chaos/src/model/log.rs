//! The exported log: the one order of everything that happened, in the judge's own types.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::history::coded::{Coded, Decoded, Malformed, coded_enum, coded_struct};
use crate::history::{DelimitedReader, OrderId, PaymentName, Place, Request, SeriesCode, wire};
use crate::proto::admin::logged_command::Command;
use crate::proto::admin::{ExportLogResponse, LoggedCommand as Exported};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoggedCommand {
    /// A write of a client's (or the operator's).
    Client(Request),
    /// Proposed by the leader.
    ExpireOrders { limit: u32 },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub term: u64,
    pub proposed_at_ms: i64,
    pub commands: Vec<LoggedCommand>,
}

coded_enum! {
    LoggedCommand { 1 Client(request), 2 ExpireOrders { limit } }
}

coded_struct! {
    Entry { term, proposed_at_ms, commands }
}

/// Consecutive entries from the beginning of the log. Their commands lie in a file, in our own form, until they are asked for.
#[derive(Debug, Default)]
pub struct Log {
    pub first_index: u64,
    entries: Vec<Outline>,
    commands: PathBuf,
    /// The exported file does not hold the whole log: why not.
    pub hole: Option<String>,
    /// Entries that were exported more than once, and compared.
    pub compared: u64,
    /// Indexes at which two exports showed different committed entries.
    pub conflicts: Vec<u64>,
}

/// What is kept of an entry.
#[derive(Debug, Clone, Copy)]
pub struct Outline {
    pub term: u64,
    pub commands: u32,
    bytes: u32,
    at_byte: u64,
    /// Of all its content.
    fingerprint: [u8; 16],
}

impl Log {
    /// The commands go to the file `commands`.
    ///
    /// # Errors
    /// The exported file is missing, torn, or holds what cannot be a command; or the other one cannot be written.
    pub fn read(exported: &Path, commands: PathBuf) -> io::Result<Self> {
        let mut log = Self { commands, ..Self::default() };
        let mut file = BufWriter::new(File::create(&log.commands)?);
        let (mut entries, mut at_byte, mut bytes) = (BTreeMap::new(), 0, Vec::new());
        for message in DelimitedReader::<ExportLogResponse>::open(exported)? {
            let message = message?;
            let index = message.log_index;
            let entry = Entry::parse(message)?;
            bytes.clear();
            entry.put(&mut bytes);
            let outline = entry.outline(&bytes, at_byte)?;
            let Some(there): Option<&Outline> = entries.get(&index) else {
                file.write_all(&bytes)?;
                at_byte += bytes.len() as u64;
                entries.insert(index, outline);
                continue;
            };
            log.compared += 1;
            if there.fingerprint != outline.fingerprint {
                log.conflicts.push(index);
            }
        }
        file.flush()?;
        Ok(log.with_entries(entries))
    }

    /// Nothing is known of it.
    #[must_use]
    pub fn unreadable(why: String) -> Self {
        Self { hole: Some(why), ..Self::default() }
    }

    fn with_entries(mut self, entries: BTreeMap<u64, Outline>) -> Self {
        self.first_index = entries.keys().next().copied().unwrap_or(0);
        // The first entry of a log is its membership: index 0, or 1 where counting begins there.
        // Without it, what follows would be replayed on a ledger that never was: as good as no log.
        if self.first_index > 1 {
            self.hole = Some(format!("the exported log begins at index {}", self.first_index));
            self.first_index = 0;
            return self;
        }
        for (expected, (index, entry)) in (self.first_index..).zip(entries) {
            if index != expected {
                self.hole = Some(format!("the exported log lacks index {expected}"));
                break;
            }
            self.entries.push(entry);
        }
        if self.entries.is_empty() {
            self.hole = Some("the exported log is empty".into());
        }
        self
    }

    /// Without its commands.
    #[must_use]
    pub fn entry(&self, index: u64) -> Option<&Outline> {
        let at = usize::try_from(index.checked_sub(self.first_index)?).ok()?;
        self.entries.get(at)
    }

    /// In the order of the log.
    #[must_use]
    pub fn outlines(&self) -> &[Outline] {
        &self.entries
    }

    /// Some command stands there.
    #[must_use]
    pub fn holds(&self, place: Place) -> bool {
        self.entry(place.log_index).is_some_and(|entry| place.offset < entry.commands)
    }

    /// Highest index; 0 if there is none.
    #[must_use]
    pub fn last_index(&self) -> u64 {
        (self.first_index + self.entries.len() as u64).saturating_sub(1)
    }

    /// Those of the entries at `indexes` that are there, with their commands.
    ///
    /// # Errors
    /// The file of the commands is not there, or an entry cannot be read.
    pub fn read_some(&self, indexes: &BTreeSet<u64>) -> io::Result<BTreeMap<u64, Entry>> {
        let there: Vec<(u64, &Outline)> = indexes.iter().filter_map(|index| Some((*index, self.entry(*index)?))).collect();
        if there.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut reader = EntryReader::open(&self.commands)?;
        there.into_iter().map(|(index, outline)| Ok((index, reader.read(outline)?))).collect()
    }

    /// Every entry with its commands, in the order of the log.
    ///
    /// # Errors
    /// The file of the commands is not there; an entry, if it cannot be read.
    pub fn read_entries(&self) -> io::Result<impl Iterator<Item = io::Result<(u64, Entry)>> + '_> {
        let mut reader = (!self.entries.is_empty()).then(|| EntryReader::open(&self.commands)).transpose()?;
        Ok((self.first_index..).zip(&self.entries).map(move |(index, outline)| {
            let reader = reader.as_mut().expect("opened if there is an entry");
            Ok((index, reader.read(outline)?))
        }))
    }
}

struct EntryReader {
    file: BufReader<File>,
    at_byte: u64,
    bytes: Vec<u8>,
}

impl EntryReader {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: BufReader::with_capacity(1 << 18, File::open(path)?), at_byte: 0, bytes: Vec::new() })
    }

    fn read(&mut self, outline: &Outline) -> io::Result<Entry> {
        // Exports overlap, so entries may stand in another order.
        if outline.at_byte != self.at_byte {
            self.file.seek(SeekFrom::Start(outline.at_byte))?;
        }
        self.bytes.resize(outline.bytes as usize, 0);
        self.file.read_exact(&mut self.bytes)?;
        self.at_byte = outline.at_byte + u64::from(outline.bytes);
        Entry::get(&mut self.bytes.as_slice()).map_err(|Malformed(what)| io::Error::new(io::ErrorKind::InvalidData, what))
    }
}

impl Entry {
    fn parse(message: ExportLogResponse) -> io::Result<Self> {
        let parsed = message.commands.into_iter().map(parse_command).collect::<Option<_>>();
        let commands = parsed.ok_or_else(|| {
            let message = format!("log index {} holds a command that no client can have sent", message.log_index);
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?;
        Ok(Self { term: message.term, proposed_at_ms: message.proposed_at_ms, commands })
    }

    /// `encoded`: the entry's own bytes, which stand at `at_byte`.
    fn outline(&self, encoded: &[u8], at_byte: u64) -> io::Result<Outline> {
        let mut fingerprint = [0; 16];
        fingerprint.copy_from_slice(&blake3::hash(encoded).as_bytes()[..16]);
        let commands = u32::try_from(self.commands.len()).map_err(io::Error::other)?;
        let bytes = u32::try_from(encoded.len()).map_err(io::Error::other)?;
        Ok(Outline { term: self.term, commands, bytes, at_byte, fingerprint })
    }
}

fn parse_command(exported: Exported) -> Option<LoggedCommand> {
    let request = match exported.command? {
        Command::ExpireOrders(expire) => return Some(LoggedCommand::ExpireOrders { limit: expire.limit }),
        Command::OpenSeries(open) => Request::OpenSeries {
            series: series_code(&open.series_code)?,
            first_number: open.first_number,
            capacity: open.capacity,
            face_value_idr: open.face_value_idr,
            payment_window_ms: open.payment_window_ms,
        },
        Command::PlaceOrder(place) => Request::PlaceOrder {
            order: order_id(&place.order_id)?,
            account: place.account_id.into(),
            series: series_code(&place.series_code)?,
            quantity: place.quantity,
        },
        Command::RecordPayment(record) => Request::RecordPayment {
            payment: PaymentName { gateway: record.gateway.into(), payment_id: record.payment_id.into() },
            order: order_id(&record.order_id)?,
            amount_idr: record.amount_idr,
        },
        Command::CancelOrder(cancel) => Request::CancelOrder { order: order_id(&cancel.order_id)? },
        Command::VoidOrder(void) => Request::VoidOrder { order: order_id(&void.order_id)? },
        Command::StampDocument(stamp) => {
            Request::StampDocument { order: order_id(&stamp.order_id)?, document: wire::digest(&stamp.document_sha256)? }
        }
        Command::SettleRefund(settle) => Request::SettleRefund {
            payment: PaymentName { gateway: settle.gateway.into(), payment_id: settle.payment_id.into() },
            amount_idr: settle.amount_idr,
            reference: settle.reference.into(),
        },
        Command::SetPolicy(set) => Request::SetPolicy {
            version: set.version,
            void_refund_percent: set.void_refund_percent,
            void_window_ms: set.void_window_ms,
        },
    };
    Some(LoggedCommand::Client(request))
}

/// `None` if it is no UUID.
#[must_use]
pub fn order_id(text: &str) -> Option<OrderId> {
    uuid::Uuid::try_parse(text).ok().map(uuid::Uuid::into_bytes)
}

#[must_use]
pub fn order_text(order: OrderId) -> String {
    uuid::Uuid::from_bytes(order).to_string()
}

/// `None` if it has not three bytes.
#[must_use]
pub fn series_code(text: &str) -> Option<SeriesCode> {
    text.as_bytes().try_into().ok()
}

#[must_use]
pub fn series_text(series: SeriesCode) -> String {
    String::from_utf8_lossy(&series).into_owned()
}

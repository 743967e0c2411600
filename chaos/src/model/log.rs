//! The exported log: the one order of everything that happened, in the judge's own types.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::history::{DelimitedReader, OrderId, PaymentName, Request, SeriesCode, wire};
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

/// Consecutive entries from the beginning of the log.
#[derive(Debug, Default)]
pub struct Log {
    pub first_index: u64,
    pub entries: Vec<Entry>,
    /// The file does not hold the whole log: why not.
    pub hole: Option<String>,
    /// Entries that were exported more than once, and compared.
    pub compared: u64,
    /// Indexes at which two exports showed different committed entries.
    pub conflicts: Vec<u64>,
}

impl Log {
    /// # Errors
    /// The file is missing, torn, or holds what cannot be a command.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut log = Self::default();
        let mut entries = BTreeMap::new();
        for message in DelimitedReader::<ExportLogResponse>::open(path)? {
            let message = message?;
            let index = message.log_index;
            let entry = Entry::parse(message)?;
            let Some(there) = entries.get(&index) else {
                entries.insert(index, entry);
                continue;
            };
            log.compared += 1;
            if *there != entry {
                log.conflicts.push(index);
            }
        }
        Ok(log.with_entries(entries))
    }

    fn with_entries(mut self, entries: BTreeMap<u64, Entry>) -> Self {
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

    #[must_use]
    pub fn entry(&self, index: u64) -> Option<&Entry> {
        let at = usize::try_from(index.checked_sub(self.first_index)?).ok()?;
        self.entries.get(at)
    }

    /// Highest index; 0 if there is none.
    #[must_use]
    pub fn last_index(&self) -> u64 {
        (self.first_index + self.entries.len() as u64).saturating_sub(1)
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

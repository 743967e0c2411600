//! Stamps on documents.

use prost::Message;

use super::{checked, document, document_bytes, message, order_id, order_id_bytes, place, place_to_proto};
use crate::domain::{LedgerTime, SeriesCode, StampNumber, Stamping};
use crate::proto::storage as proto;
use crate::storage::StorageError;

#[must_use]
pub fn encode_stamping(stamping: &Stamping) -> Vec<u8> {
    let record = proto::StampingRecord {
        order_id: order_id_bytes(stamping.order),
        document_sha256: document_bytes(stamping.document),
        series_code: stamping.series.as_str().to_owned(),
        number: stamping.number.get(),
        place: Some(place_to_proto(stamping.place)),
        at_ms: stamping.at.0,
    };
    record.encode_to_vec()
}

/// # Errors
/// [`StorageError::Corrupt`] names the field.
pub fn decode_stamping(bytes: &[u8]) -> Result<Stamping, StorageError> {
    let what = "stamping record";
    let record: proto::StampingRecord = message(what, bytes)?;
    Ok(Stamping {
        order: order_id(what, &record.order_id)?,
        document: document(what, &record.document_sha256)?,
        series: checked(what, "series_code", SeriesCode::new(&record.series_code))?,
        number: checked(what, "number", StampNumber::new(record.number))?,
        place: place(what, "place", record.place)?,
        at: LedgerTime(record.at_ms),
    })
}

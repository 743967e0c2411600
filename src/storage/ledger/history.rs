//! Audit records of one state, page by page, as they are stored: their bytes are what their names are made of. Blocks, but not for
//! long: a page has about [`limits::AUDIT_PAGE_BYTES`].

use super::RocksView;
use super::view::{Source, within};
use crate::limits;
use crate::storage::StorageError;
use crate::storage::codec::corrupt;
use crate::storage::files::rocks;
use crate::storage::keys::{self, Table};

impl RocksView {
    /// The records of the log indexes from `from` on, in order; the last page ends with that of [`Self::index`], and what comes
    /// behind it is empty.
    ///
    /// # Errors
    /// They could not be read, or one is missing.
    pub fn audit_page(&self, from: u64) -> Result<Vec<Vec<u8>>, StorageError> {
        let mut options = within(keys::audit(from), Table::Audit.end());
        // Read once and in order: it must not push out what the look-ups need.
        options.fill_cache(false);
        let mut cursor = self.state().cursor(options);
        cursor.seek_to_first();
        let (mut page, mut bytes) = (Vec::new(), 0);
        let mut indexes = from..;
        while bytes < limits::AUDIT_PAGE_BYTES
            && let Some((key, value)) = cursor.item()
            && let Some(index) = indexes.next()
        {
            if key != keys::audit(index) {
                return Err(missing(index));
            }
            bytes += value.len();
            page.push(value.to_vec());
            cursor.next();
        }
        cursor.status().map_err(rocks("read the audit record"))?;
        if page.is_empty() && self.index().is_some_and(|applied| from <= applied) {
            return Err(missing(from));
        }
        Ok(page)
    }
}

fn missing(index: u64) -> StorageError {
    corrupt("audit record", format_args!("that of log index {index} is missing"))
}

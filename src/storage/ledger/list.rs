//! Pages of a table in the order of its keys, with a filter. Blocks, but not for long: a page looks at no more than
//! [`limits::LIST_RECORDS_EXAMINED_MAX`] records, and says where to go on.

use super::RocksView;
use super::view::{Source, within};
use crate::domain::{Gateway, Order, Payment};
use crate::limits;
use crate::storage::StorageError;
use crate::storage::codec::{decode_order, decode_payment};
use crate::storage::files::rocks;
use crate::storage::keys::{self, Table};

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<R> {
    pub records: Vec<R>,
    /// The key where the next page begins; None: this was the last.
    pub next: Option<Vec<u8>>,
}

impl RocksView {
    /// Orders by id, from the key `from` on (empty: all), at most `size`.
    ///
    /// # Errors
    /// A record could not be read.
    pub fn orders_page(
        &self,
        from: &[u8],
        size: usize,
        is_wanted: impl Fn(&Order) -> bool,
    ) -> Result<Page<Order>, StorageError> {
        let all = (Table::Orders.start().to_vec(), Table::Orders.end().to_vec());
        page(self, all, from, size, |value| Ok(Some(decode_order(value)?).filter(&is_wanted)))
    }

    /// Payments by gateway and id, of one gateway or of all: what `pick` makes of those that it wants, which may look at other
    /// records for it.
    ///
    /// # Errors
    /// A record could not be read.
    pub fn payments_page<R>(
        &self,
        from: &[u8],
        size: usize,
        gateway: Option<&Gateway>,
        pick: impl Fn(Payment) -> Result<Option<R>, StorageError>,
    ) -> Result<Page<R>, StorageError> {
        let all = || (Table::Payments.start().to_vec(), Table::Payments.end().to_vec());
        page(self, gateway.map_or_else(all, keys::payments_of), from, size, |value| pick(decode_payment(value)?))
    }
}

fn page<R>(
    view: &RocksView,
    (start, end): (Vec<u8>, Vec<u8>),
    from: &[u8],
    size: usize,
    pick: impl Fn(&[u8]) -> Result<Option<R>, StorageError>,
) -> Result<Page<R>, StorageError> {
    let mut options = within(start.max(from.to_vec()), end);
    // A list must not push out what the look-ups need.
    options.fill_cache(false);
    let mut cursor = view.state().cursor(options);
    cursor.seek_to_first();
    let mut page = Page { records: Vec::new(), next: None };
    let mut examined = 0;
    while let Some((key, value)) = cursor.item() {
        if page.records.len() == size || examined == limits::LIST_RECORDS_EXAMINED_MAX {
            page.next = Some(key.to_vec());
            break;
        }
        examined += 1;
        page.records.extend(pick(value)?);
        cursor.next();
    }
    cursor.status().map_err(rocks("list the ledger"))?;
    Ok(page)
}

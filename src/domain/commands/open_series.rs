//! `OpenSeries`: the operator brings a run of serial numbers on sale. [`SeriesTerms`] keep their limits.
//!
//! Runs of different series may overlap in their numbers: a stamp is a series *and* a number.

use super::{Step, first_unequal};
use crate::domain::decision::{Change, Decision, Outcome, Refusal};
use crate::domain::ledger::LedgerView;
use crate::domain::series::{Series, SeriesTerms};

pub(super) fn decide<V: LedgerView>(view: &V, step: Step, terms: &SeriesTerms) -> Result<Decision, V::Error> {
    if let Some(opened) = view.series(terms.code())? {
        return Ok(match first_difference(&opened, terms) {
            Some(field) => Decision::refused(step.place, Refusal::SeriesReused { field }),
            None => Decision::replayed(opened.opened, Outcome::SeriesOpened),
        });
    }
    let series = Series::opened(terms, step.place);
    Ok(Decision::done(step.place, Outcome::SeriesOpened, vec![Change::Series(series)]))
}

fn first_difference(opened: &Series, terms: &SeriesTerms) -> Option<&'static str> {
    first_unequal([
        ("first_number", opened.first_number == terms.first_number()),
        ("capacity", opened.capacity == terms.capacity()),
        ("face_value_idr", opened.face_value == terms.face_value()),
        ("payment_window_ms", opened.payment_window_ms == terms.payment_window_ms()),
        ("key_check", opened.key_check == terms.key_check()),
    ])
}

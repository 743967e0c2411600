//! Notices of payment gateways.

use std::fmt;

use super::page::Page;
use crate::transport::gateways::{NoticeMetrics, Outcome, Source};

pub(super) fn encode(page: &mut Page<'_>, notices: &NoticeMetrics) -> fmt::Result {
    let all = Source::ALL.into_iter().flat_map(|source| {
        Outcome::ALL.map(|outcome| {
            let labels = [("gateway", source.name()), ("outcome", outcome.name())];
            (labels, notices.of(source, outcome).get())
        })
    });
    page.counters("stampede_webhook_notices", "Notices of payment gateways, by what became of them", all)?;
    page.counter(
        "stampede_webhook_turned_away",
        "Connections of payment gateways that were told at once to come again",
        notices.turned_away.get(),
    )?;
    page.counter(
        "stampede_webhook_made_room",
        "Connections to the webhook port that brought no whole notice and were closed for another",
        notices.made_room.get(),
    )
}

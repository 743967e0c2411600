//! The calls and log entries that violations point at, each with an anchor: the page proves what it says by itself.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::words;
use crate::checks::Finding;
use crate::evidence::pointed::places;
use crate::evidence::{Op, Pointed};
use crate::figures::{moment, ms, wall_time};
use crate::model::Entry;

/// Commands of an entry that are shown beside those that calls point at.
const COMMANDS_SHOWN: usize = 10;

pub(super) struct Proof<'a> {
    ops: &'a BTreeMap<u64, Op>,
    /// By log index; with the offsets that the calls stand at.
    entries: BTreeMap<u64, (&'a Entry, BTreeSet<usize>)>,
    /// Violations that point at a call: their anchors.
    pointed_at_by: BTreeMap<u64, Vec<(String, String)>>,
}

pub(super) fn violation_anchor(id: &str, nth: usize) -> String {
    format!("violation-{id}-{nth}")
}

impl<'a> Proof<'a> {
    pub(super) fn of(pointed: &'a Pointed, findings: &[Finding]) -> Self {
        let mut pointed_at_by: BTreeMap<u64, Vec<(String, String)>> = BTreeMap::new();
        let mut indexes: BTreeMap<u64, BTreeSet<usize>> = BTreeMap::new();
        for finding in findings {
            for (nth, shown) in (1_usize..).zip(&finding.shown) {
                for op in &shown.ops {
                    let by = (violation_anchor(&finding.id, nth), format!("{} ({nth})", finding.id));
                    pointed_at_by.entry(*op).or_default().push(by);
                }
                if let Some(index) = shown.log_index {
                    indexes.entry(index).or_default();
                }
            }
        }
        let ops = &pointed.ops;
        for place in ops.values().flat_map(places) {
            indexes.entry(place.log_index).or_default().insert(usize::try_from(place.offset).unwrap_or(usize::MAX));
        }
        let entry = |(index, offsets)| Some((index, (pointed.entries.get(&index)?, offsets)));
        let entries = indexes.into_iter().filter_map(entry).collect();
        Self { ops, entries, pointed_at_by }
    }

    pub(super) fn link_to_op(&self, op: u64) -> Markup {
        html! { @if self.ops.contains_key(&op) { a href={ "#op-" (op) } { "call " (op) } } @else { "call " (op) } }
    }

    pub(super) fn link_to_entry(&self, index: u64) -> Markup {
        html! {
            @if self.entries.contains_key(&index) { a href={ "#entry-" (index) } { "log entry " (index) } }
            @else { "log entry " (index) " (not in the exported log)" }
        }
    }

    pub(super) fn render(&self) -> Markup {
        let missing = self.pointed_at_by.len().saturating_sub(self.ops.len());
        html! {
            @if !self.ops.is_empty() {
                h3 { "Calls" }
                @if missing > 0 { p class="hint" { (missing) " more calls that violations point at are not shown." } }
                div class="wide" {
                    table {
                        tr { th { "call" } th { "what" } th { "sent" } th { "ended" } th { "outcome" } th { "proves" } }
                        @for (id, op) in self.ops { (self.op(*id, op)) }
                    }
                }
            }
            @if !self.entries.is_empty() {
                h3 { "Log entries" }
                div class="wide" {
                    table {
                        tr { th { "index" } th { "term" } th { "proposed" } th { "commands" } }
                        @for (index, (entry, offsets)) in &self.entries { (log_entry(*index, entry, offsets)) }
                    }
                }
            }
        }
    }

    fn op(&self, id: u64, op: &Op) -> Markup {
        let invoke = &op.invoke;
        html! {
            tr id={ "op-" (id) } {
                td.n { (id) }
                td {
                    (words::request(&invoke.request))
                    br; small { (words::purpose(invoke.purpose)) ", session " (invoke.session) ", node " (invoke.node) }
                }
                td.n { (moment(ms(invoke.at_ns))) }
                td.n { @for answer in &op.answers { div { (moment(ms(answer.at_ns))) @if answer.is_late { " late" } } } }
                td {
                    @for answer in &op.answers { div { (words::outcome(&answer.outcome)) } }
                    @for place in places(op) { div { (self.link_to_entry(place.log_index)) } }
                }
                td { @for (anchor, name) in self.pointed_at_by.get(&id).into_iter().flatten() { a href={ "#" (anchor) } { (name) } " " } }
            }
        }
    }
}

fn log_entry(index: u64, entry: &Entry, offsets: &BTreeSet<usize>) -> Markup {
    let is_shown = |at: usize| at < COMMANDS_SHOWN || offsets.contains(&at);
    let shown = || entry.commands.iter().enumerate().filter(|(at, _)| is_shown(*at));
    let hidden = entry.commands.len() - shown().count();
    html! {
        tr id={ "entry-" (index) } {
            td.n { (index) }
            td.n { (entry.term) }
            td { (wall_time(u64::try_from(entry.proposed_at_ms).unwrap_or(0))) }
            td {
                @if entry.commands.is_empty() { "none: the term began, or the members changed" }
                @for (at, command) in shown() {
                    div class=[offsets.contains(&at).then_some("pointed-at")] { (index) "." (at) " " (words::command(command)) }
                }
                @if hidden > 0 { small { "and " (hidden) " more" } }
            }
        }
    }
}

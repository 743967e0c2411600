//! Which planted bug is found by which checks, and how soon: the table of `chaos/README.md`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::Context;

use super::PlantedBug;

/// Around the table, in a file that has more than it.
const BEGIN: &str = "<!-- kill-matrix: written by `make kill-matrix` -->\n";
const END: &str = "<!-- /kill-matrix -->";

/// One bug.
pub(super) struct Row {
    number: u8,
    what: &'static str,
    scenario: &'static str,
    /// How often each check named it.
    by: BTreeMap<String, u32>,
    seconds: Vec<u64>,
}

impl Row {
    pub(super) fn of(bug: &PlantedBug) -> Self {
        let PlantedBug { number, what, scenario, .. } = *bug;
        Self { number, what, scenario, by: BTreeMap::new(), seconds: Vec::new() }
    }

    pub(super) fn add(&mut self, by: &[String], seconds: u64) {
        for id in by {
            *self.by.entry(id.clone()).or_default() += 1;
        }
        self.seconds.push(seconds);
        self.seconds.sort_unstable();
    }

    /// Of the times in which it was found, the middle one, or the lower of the two.
    fn median_s(&self) -> Option<u64> {
        self.seconds.get(self.seconds.len().saturating_sub(1) / 2).copied()
    }
}

/// Puts the table where the file has its place for it. Rows that it had, and that were not looked for, stay.
pub(super) fn write(file: &Path, rows: &[Row]) -> anyhow::Result<()> {
    let told = || file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(told)?;
    std::fs::write(file, replaced(&text, rows).with_context(told)?).with_context(told)
}

fn replaced(text: &str, rows: &[Row]) -> anyhow::Result<String> {
    let (before, rest) = text.split_once(BEGIN).context("it has no place for the table")?;
    let (old, after) = rest.split_once(END).context("the place for the table has no end")?;
    let mut lines: BTreeMap<u8, String> = BTreeMap::new();
    for line in old.lines() {
        let number = line.strip_prefix("| ").and_then(|line| line.split_once(' ')).and_then(|(number, _)| number.parse().ok());
        lines.extend(number.map(|number| (number, line.to_owned())));
    }
    lines.extend(rows.iter().map(|row| (row.number, line(row))));
    let mut table = String::from("| bug | scenario | found by | found | median s |\n|---|---|---|---|---|\n");
    for line in lines.values() {
        // Writing to a string cannot fail.
        let _infallible = writeln!(table, "{line}");
    }
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

fn line(row: &Row) -> String {
    let by: Vec<String> = row.by.keys().cloned().collect();
    let median = row.median_s().map_or_else(|| "-".to_owned(), |median| median.to_string());
    format!("| {} {} | `{}` | {} | {} times | {median} |", row.number, row.what, row.scenario, by.join(", "), row.seconds.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u8, finds: &[(&[&str], u64)]) -> Row {
        let bug = PlantedBug { number, what: "forgets", scenario: "smoke", breaks: &[] };
        let mut row = Row::of(&bug);
        for (by, seconds) in finds {
            row.add(&by.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>(), *seconds);
        }
        row
    }

    #[test]
    fn a_row_is_replaced_and_the_others_stay() {
        let old = format!(
            "# Title\n{BEGIN}| bug |\n|---|\n| 2 old | `a` | V1 | 1 times | 3 |\n| 11 old | `b` | V2 | 1 times | 4 |\n{END}\nrest\n"
        );
        let new = replaced(&old, &[row(11, &[(&["V9"], 30), (&["V1", "V9"], 10), (&["V9"], 20)])]).unwrap();
        assert!(new.starts_with("# Title\n") && new.ends_with("rest\n"), "{new}");
        assert!(
            new.contains("| 2 old | `a` | V1 | 1 times | 3 |\n| 11 forgets | `smoke` | V1, V9 | 3 times | 20 |\n"),
            "{new}"
        );
        assert_eq!(replaced(&new, &[]).unwrap(), new, "nothing was looked for");
    }

    #[test]
    fn what_was_never_found_has_no_time() {
        assert!(line(&row(3, &[])).ends_with("|  | 0 times | - |"));
        assert!(replaced("no place", &[]).is_err());
    }
}

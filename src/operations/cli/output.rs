//! Data for standard output: tables for people, JSON for programs. Talk goes to standard error.
//!
//! A value whose name ends with `_at_ms` is a time: Unix milliseconds for programs, a date for people.

use std::time::{Duration, SystemTime};

use comfy_table::{Table, presets};
use serde_json::{Map, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
}

/// Named values, in the order in which they are shown.
pub(super) type Record = Vec<(&'static str, Value)>;

/// One record: a line for each value, or one JSON object.
pub(super) fn print_record(format: Format, record: Record) {
    match format {
        Format::Json => print_json(&object(record)),
        Format::Table => {
            let width = record.iter().map(|(name, _)| header(name).len()).max().unwrap_or(0);
            for (name, value) in record {
                print_line(&format!("{:width$}  {}", header(name), cell(name, &value)));
            }
        }
    }
}

/// A table with a header, or a JSON array of objects. `columns` stand even if there is no row.
pub(super) fn print_records(format: Format, columns: &[&str], records: Vec<Record>) {
    match format {
        Format::Json => print_json(&Value::Array(records.into_iter().map(object).collect())),
        Format::Table => {
            let mut table = Table::new();
            table.load_style(presets::NOTHING).set_header(columns.iter().map(|name| header(name)).collect::<Vec<_>>());
            for record in records {
                table.add_row(record.iter().map(|(name, value)| cell(name, value)).collect::<Vec<_>>());
            }
            print_line(&table.trim_fmt());
        }
    }
}

fn object(record: Record) -> Value {
    Value::Object(record.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

/// How a name ends whose value is a time.
const TIME: &str = "_at_ms";

fn header(name: &str) -> &str {
    name.strip_suffix("_ms").filter(|_| name.ends_with(TIME)).unwrap_or(name)
}

fn cell(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Number(ms) if name.ends_with(TIME) => ms.as_u64().and_then(date).unwrap_or_else(|| ms.to_string()),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(|value| cell(name, value)).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// RFC 3339, UTC, to the second; none behind the year 9999.
fn date(unix_ms: u64) -> Option<String> {
    const YEAR_10000_MS: u64 = 253_402_300_800_000;
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms);
    (unix_ms < YEAR_10000_MS).then(|| humantime::format_rfc3339_seconds(time).to_string())
}

fn print_json(value: &Value) {
    print_line(&format!("{value:#}"));
}

/// A reader that has gone (`| head`) is no error of ours: what it wanted, it has.
pub(super) fn print_line(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_tells_times_as_dates_and_everything_else_as_it_is() {
        assert_eq!(
            (header("due_at_ms"), cell("due_at_ms", &json!(1_725_260_400_999_u64))),
            ("due_at", "2024-09-02T07:00:00Z".to_owned())
        );
        assert_eq!(cell("voided_at_ms", &json!(null)), "-");
        assert_eq!(
            (header("payment_window_ms"), cell("payment_window_ms", &json!(60_000))),
            ("payment_window_ms", "60000".to_owned())
        );
        let (last, behind) = (253_402_300_799_999_u64, 253_402_300_800_000_u64);
        assert_eq!(cell("expires_at_ms", &json!(last)), "9999-12-31T23:59:59Z");
        assert_eq!(cell("expires_at_ms", &json!(behind)), behind.to_string(), "no date has room for it");
    }
}

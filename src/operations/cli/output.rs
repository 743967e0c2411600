//! Data for standard output: tables for people, JSON and YAML for programs. Talk goes to standard error.
//!
//! A value whose name ends with `_at_ms` is a time: Unix milliseconds for programs, a date for people.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, SystemTime};

use comfy_table::{Table, presets};
use serde_json::{Map, Value};

use crate::limits::{LOOK_EVERY_MAX, LOOK_EVERY_MIN};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
    Yaml,
}

/// Named values, in the order in which they are shown.
pub(super) type Record = Vec<(&'static str, Value)>;

/// One record: a line for each value, or one object.
pub(super) fn print_record(format: Format, record: Record) {
    if format != Format::Table {
        return print_value(format, &object(record));
    }
    let width = record.iter().map(|(name, _)| header(name).len()).max().unwrap_or(0);
    for (name, value) in record {
        print_line(&format!("{:width$}  {}", header(name), cell(name, &value)));
    }
}

/// A table with a header, or an array of objects. `columns` stand even if there is no row.
pub(super) fn print_records(format: Format, columns: &[&str], records: Vec<Record>) {
    match format {
        Format::Table => print_line(&table(columns, &records)),
        _ => print_value(format, &array(records)),
    }
}

/// The same as [`print_records`], one of many looks: on a terminal it takes the place of the last; JSON has a line for each, YAML a
/// document.
///
/// # Errors
/// Nobody reads any more.
pub(super) fn print_look(format: Format, columns: &[&str], records: Vec<Record>) -> io::Result<()> {
    let clear = if io::stdout().is_terminal() { "\x1b[H\x1b[2J" } else { "" };
    let text = match format {
        Format::Table => format!("{clear}{}\n", table(columns, &records)),
        Format::Json => format!("{}\n", array(records)),
        Format::Yaml => format!("---\n{}", yaml(&array(records))),
    };
    write(&text)
}

/// How far apart looks are, of a flag.
pub(super) fn parse_every(text: &str) -> Result<Duration, String> {
    let every = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (LOOK_EVERY_MIN..=LOOK_EVERY_MAX).contains(&every) {
        return Ok(every);
    }
    let shown = |duration| humantime::format_duration(duration).to_string();
    Err(format!("must be {} to {}", shown(LOOK_EVERY_MIN), shown(LOOK_EVERY_MAX)))
}

fn table(columns: &[&str], records: &[Record]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(columns.iter().map(|name| header(name)).collect::<Vec<_>>());
    for record in records {
        table.add_row(record.iter().map(|(name, value)| cell(name, value)).collect::<Vec<_>>());
    }
    table.trim_fmt()
}

fn array(records: Vec<Record>) -> Value {
    Value::Array(records.into_iter().map(object).collect())
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

fn print_value(format: Format, value: &Value) {
    match format {
        Format::Yaml => print(&yaml(value)),
        Format::Table | Format::Json => print_line(&format!("{value:#}")),
    }
}

fn yaml(value: &Value) -> String {
    yaml_serde::to_string(value).expect("YAML can say what JSON can")
}

pub(super) fn print_line(line: &str) {
    print(&format!("{line}\n"));
}

/// A reader that has gone (`| head`) is no error of ours: what it wanted, it has.
pub(super) fn print(text: &str) {
    let _ = write(text);
}

/// # Errors
/// Nobody reads any more.
pub(super) fn write_line(line: &str) -> io::Result<()> {
    write(&format!("{line}\n"))
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_says_what_json_says() {
        let told = json!([{ "node": 1, "leader": null, "version": "0.10", "codes": ["A1", "null"], "is_new": true }]);
        let yaml = yaml_serde::to_string(&told).unwrap();
        assert_eq!(yaml_serde::from_str::<Value>(&yaml).unwrap(), told, "{yaml}");
        assert!(yaml.contains("version: '0.10'"), "text that looks like a number stays text: {yaml}");
    }

    #[test]
    fn looks_are_neither_closer_nor_farther_apart_than_is_of_use() {
        assert_eq!(parse_every("2s"), Ok(Duration::from_secs(2)));
        for out in ["99ms", "0s", "61m"] {
            assert_eq!(parse_every(out).unwrap_err(), "must be 100ms to 1h");
        }
        assert!(parse_every("soon").is_err());
    }

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

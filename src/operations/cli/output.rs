//! Data for standard output: tables for people, JSON and YAML for programs. Talk goes to standard error.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

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
    let width = record.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in record {
        print_line(&format!("{name:width$}  {}", cell(&value)));
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
    table.load_style(presets::NOTHING).set_header(columns.to_vec());
    for record in records {
        table.add_row(record.iter().map(|(_, value)| cell(value)).collect::<Vec<_>>());
    }
    table.trim_fmt()
}

fn array(records: Vec<Record>) -> Value {
    Value::Array(records.into_iter().map(object).collect())
}

fn object(record: Record) -> Value {
    Value::Object(record.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
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
}

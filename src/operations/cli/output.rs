//! Data for standard output: tables for people, JSON for programs. Talk goes to standard error.

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
            let width = record.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            for (name, value) in record {
                print_line(&format!("{name:width$}  {}", cell(&value)));
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
            table.load_style(presets::NOTHING).set_header(columns.to_vec());
            for record in records {
                table.add_row(record.iter().map(|(_, value)| cell(value)).collect::<Vec<_>>());
            }
            print_line(&table.trim_fmt());
        }
    }
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

fn print_json(value: &Value) {
    print_line(&format!("{value:#}"));
}

/// A reader that has gone (`| head`) is no error of ours: what it wanted, it has.
pub(super) fn print_line(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}

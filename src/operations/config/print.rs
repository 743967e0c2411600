//! The configuration as text: the reference, and what is in effect.

use std::fmt::Write as _;

use super::Loaded;
use super::schema::{KEYS, Key, SECTIONS};

/// Every key with its meaning, bounds and default; a valid file but for the keys that have no default, which are commented
/// out.
#[must_use]
pub fn reference() -> String {
    print(|key, text| {
        for line in key.doc {
            let _ = writeln!(text, "#{line}");
        }
        let _ =
            writeln!(text, "# {}{}", key.kind.describe(), if key.kind.default_value().is_some() { "" } else { "; no default" });
        let _ = match key.kind.default_value() {
            Some(value) => writeln!(text, "{} = {}\n", field(key), value.print()),
            None => writeln!(text, "# {} =\n", field(key)),
        };
    })
}

/// What a node started like this would use; a valid file.
#[must_use]
pub fn effective(loaded: &Loaded, show_origin: bool) -> String {
    print(|key, text| {
        let (value, origin) = loaded.values.with_origin(key.name).expect("loaded means that every key has a value");
        let _ = write!(text, "{} = {}", field(key), value.print());
        let _ = if show_origin { writeln!(text, "  # {origin}") } else { writeln!(text) };
    })
}

fn print(mut print_key: impl FnMut(&Key, &mut String)) -> String {
    let mut text = String::new();
    for (section, doc) in SECTIONS {
        if !text.is_empty() && !text.ends_with("\n\n") {
            text.push('\n');
        }
        for line in *doc {
            let _ = writeln!(text, "#{line}");
        }
        let _ = writeln!(text, "[{section}]");
        for key in KEYS.iter().filter(|key| key.name.split_once('.').is_some_and(|(of, _)| of == *section)) {
            print_key(key, &mut text);
        }
    }
    text
}

fn field(key: &Key) -> &'static str {
    key.name.split_once('.').map_or(key.name, |(_, field)| field)
}

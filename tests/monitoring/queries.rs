//! Which series a query of PromQL asks for.

/// Words that are followed by a list of labels, which are no series.
const BEFORE_LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
/// Words that are neither a series nor followed by a bracket in every place.
const WORDS: [&str; 14] =
    ["and", "or", "unless", "bool", "offset", "sum", "min", "max", "avg", "count", "count_values", "topk", "inf", "nan"];

/// Names of the series, in order, each time that it is asked for.
pub fn series(query: &str) -> Vec<String> {
    let bytes = query.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    let mut label_list_next = false;
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'"' | b'\'') => at = after_string(bytes, at, quote),
            b'{' => at = after(bytes, at, b'}'),
            b'[' => at = after(bytes, at, b']'),
            b'(' if label_list_next => {
                at = after(bytes, at, b')');
                label_list_next = false;
            }
            b'0'..=b'9' | b'.' => at = end_of(bytes, at, |byte| byte.is_ascii_alphanumeric() || byte == b'.'),
            byte if is_of_a_name(byte) => {
                let end = end_of(bytes, at, is_of_a_name);
                let word = &query[at..end];
                let is_call = query[end..].starts_with('(');
                label_list_next = BEFORE_LABELS.contains(&word);
                if !label_list_next && !is_call && !WORDS.contains(&word) {
                    found.push(word.to_owned());
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    found
}

fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':'
}

fn end_of(bytes: &[u8], from: usize, belongs: impl Fn(u8) -> bool) -> usize {
    bytes[from..].iter().position(|byte| !belongs(*byte)).map_or(bytes.len(), |length| from + length)
}

/// After the closing bracket; strings within may hold one.
fn after(bytes: &[u8], from: usize, closing: u8) -> usize {
    let mut at = from + 1;
    while bytes[at] != closing {
        at = if bytes[at] == b'"' { after_string(bytes, at, b'"') } else { at + 1 };
    }
    at + 1
}

fn after_string(bytes: &[u8], from: usize, quote: u8) -> usize {
    let mut at = from + 1;
    while bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

#[test]
fn labels_functions_and_words_are_no_series() {
    let table: [(&str, &[&str]); 6] = [
        ("max without (instance, pod) (stampede_orders)", &["stampede_orders"]),
        (r#"histogram_quantile(0.99, sum by (le) (rate(a_bucket{x=~"b}c",le="5"}[5m])))"#, &["a_bucket"]),
        ("1 - a:b:c / ignoring (outcome) group_left sum without (x) (d) > 1e3", &["a:b:c", "d"]),
        (r#"count_values without (pod) ("term", term and leads == 1) > 1"#, &["term", "leads"]),
        ("clamp_min(delta(x[6h]), 0) / 300 or max_over_time(y[1d])", &["x", "y"]),
        ("vector(1)", &[]),
    ];
    for (query, expected) in table {
        assert_eq!(series(query), expected, "{query}");
    }
}

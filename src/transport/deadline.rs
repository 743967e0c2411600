//! How long a call may take.
//!
//! tonic ends a call whose deadline has passed with CANCELLED and nothing else, and the caller learns neither what happened nor
//! what to do. So the node is given a little less time than the caller, and its own words (`OUTCOME_UNKNOWN`, or not done) arrive
//! while the caller still listens.

use std::time::Duration;

use tonic::metadata::MetadataMap;

use crate::limits;

const HEADER: &str = "grpc-timeout";

/// What the node may use of the call's deadline.
#[must_use]
pub fn within(metadata: &MetadataMap) -> Duration {
    let Some(asked) = asked(metadata) else { return limits::CALL_DEADLINE_DEFAULT };
    let asked = asked.min(limits::CALL_DEADLINE_MAX);
    asked.saturating_sub(limits::CALL_DEADLINE_RESERVE.min(asked / 8))
}

/// The caller's own deadline, if it set a readable one.
#[must_use]
pub fn asked(metadata: &MetadataMap) -> Option<Duration> {
    parse(metadata.get(HEADER)?.to_str().ok()?)
}

/// At most eight digits and a unit, by the gRPC protocol.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3_600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_gets_a_little_less_than_the_caller() {
        let ms = Duration::from_millis;
        let rows = [
            (None, limits::CALL_DEADLINE_DEFAULT),
            (Some("250m"), ms(240)),
            (Some("8m"), ms(7)),
            (Some("1S"), ms(990)),
            (Some("10H"), limits::CALL_DEADLINE_MAX - limits::CALL_DEADLINE_RESERVE),
            (Some("0m"), ms(0)),
            // Unreadable: as if none was given, as gRPC servers do.
            (Some("soon"), limits::CALL_DEADLINE_DEFAULT),
            (Some("m"), limits::CALL_DEADLINE_DEFAULT),
            (Some("123456789m"), limits::CALL_DEADLINE_DEFAULT),
        ];
        for (header, expected) in rows {
            let mut metadata = MetadataMap::new();
            if let Some(header) = header {
                metadata.insert(HEADER, header.parse().unwrap());
            }
            assert_eq!(within(&metadata), expected, "{header:?}");
        }
    }
}

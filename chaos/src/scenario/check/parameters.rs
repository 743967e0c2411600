//! What a kind of fault must and may be told.

use std::time::Duration;

use anyhow::bail;

use super::span_within;
use crate::limits;
use crate::scenario::{FaultKind, Hurt, Parameters};

pub(super) fn check(key: &str, kind: FaultKind, told: &Parameters) -> anyhow::Result<()> {
    let (name, hurt) = (kind.name(), kind.hurt());
    for (parameter, is_told, is_needed) in [
        ("delay", told.delay.is_some(), hurt == Hurt::Slows),
        ("offset", told.offset.is_some(), hurt == Hurt::WrongsClocks),
        ("point", told.point.is_some(), hurt == Hurt::Crashes),
    ] {
        match (is_needed, is_told) {
            (true, false) => bail!("{key}: {name} needs a value for {parameter}"),
            (false, true) => bail!("{key}: {name} has no {parameter}"),
            _ => {}
        }
    }
    for (parameter, value, max) in
        [("delay", told.delay, limits::LINK_DELAY_MAX), ("offset", told.offset, limits::CLOCK_OFFSET_MAX)]
    {
        if let Some(value) = value {
            span_within(&format!("{key}.{parameter}"), value, Duration::from_millis(1), max)?;
        }
    }
    Ok(())
}

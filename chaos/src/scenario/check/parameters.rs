//! What a kind of fault must and may be told, and which back end of the network can do it.

use std::time::Duration;

use anyhow::{bail, ensure};

use super::{span_within, within};
use crate::limits;
use crate::scenario::{BackEnd, FaultKind, Hurt, Limit, Packets, Parameters, Scenario, Share, Size};

enum Has {
    Never,
    Perhaps,
    Always,
}

pub(super) fn check(key: &str, scenario: &Scenario, kind: FaultKind, told: &Parameters) -> anyhow::Result<()> {
    check_back_end(key, scenario.network.back_end, kind)?;
    let (name, hurt) = (kind.name(), kind.hurt());
    ensure!(
        hurt != Hurt::LosesDisks || !scenario.needs_network(),
        "{key}: {name} cannot be done where the network is the tool's own: its links are between the members of the beginning"
    );
    let always_of = |wanted: Hurt| if hurt == wanted { Has::Always } else { Has::Never };
    let delay = if hits_packets(hurt) { Has::Perhaps } else { always_of(Hurt::Slows) };
    let packets = if hits_packets(hurt) { Has::Always } else { Has::Never };
    for (parameter, is_told, has) in [
        ("delay", told.delay.is_some(), delay),
        ("packets", told.packets.is_some(), packets),
        ("offset", told.offset.is_some(), always_of(Hurt::WrongsClocks)),
        ("point", told.point.is_some(), always_of(Hurt::Crashes)),
        ("limit", told.limit.is_some(), if is_limit(hurt) { Has::Always } else { Has::Never }),
    ] {
        match (has, is_told) {
            (Has::Always, false) => bail!("{key}: {name} needs a value for {parameter}"),
            (Has::Never, true) => bail!("{key}: {name} has no {parameter}"),
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
    if let Some(limit) = told.limit {
        check_limit(key, kind, limit)?;
    }
    told.packets.map_or(Ok(()), |packets| check_packets(key, kind, &packets))
}

const fn is_limit(hurt: Hurt) -> bool {
    matches!(hurt, Hurt::LimitsCpu | Hurt::LimitsMemory | Hurt::LimitsDescriptors)
}

fn check_limit(key: &str, kind: FaultKind, limit: Limit) -> anyhow::Result<()> {
    let name = match limit.hurt() {
        Hurt::LimitsCpu => "cpu",
        Hurt::LimitsMemory => "memory",
        _ => "descriptors",
    };
    ensure!(limit.hurt() == kind.hurt(), "{key}: {} has no limit.{name}", kind.name());
    let key = format!("{key}.limit.{name}");
    match limit {
        Limit::Cpu(share) => {
            let min = limits::CPU_SHARE_MIN;
            ensure!(share >= min, "{key} must be {min} to 100%, is {share}");
            Ok(())
        }
        Limit::Memory(size) => {
            let name = format!("{key} (bytes)");
            within(&name, size.bytes(), limits::MEMORY_BYTES_MIN, limits::MEMORY_BYTES_MAX)
        }
        Limit::Descriptors(count) => within(&key, count, 0, limits::DESCRIPTORS_SPARE_MAX),
    }
}

const fn hits_packets(hurt: Hurt) -> bool {
    matches!(hurt, Hurt::LosesPackets | Hurt::CorruptsPackets)
}

fn check_back_end(key: &str, back_end: BackEnd, kind: FaultKind) -> anyhow::Result<()> {
    let (name, hurt) = (kind.name(), kind.hurt());
    let can = match back_end {
        BackEnd::Switch => true,
        BackEnd::Proxies => !hits_packets(hurt),
        BackEnd::Nftables => !hits_packets(hurt) && hurt != Hurt::Slows,
    };
    ensure!(can, "{key}: {name} cannot be done with network.back_end {:?}", back_end.name());
    Ok(())
}

fn check_packets(key: &str, kind: FaultKind, packets: &Packets) -> anyhow::Result<()> {
    let (needed, share) = if kind.hurt() == Hurt::LosesPackets { ("loss", packets.loss) } else { ("corrupt", packets.corrupt) };
    ensure!(share > Share::default(), "{key}: {} needs packets.{needed} above 0%", kind.name());
    for (name, share) in
        [("loss", packets.loss), ("reorder", packets.reorder), ("duplicate", packets.duplicate), ("corrupt", packets.corrupt)]
    {
        let max = limits::PACKETS_HIT_MAX;
        ensure!(share <= max, "{key}.packets.{name} must be 0% to {max}, is {share}");
    }
    let rate = packets.bytes_per_s.map_or(limits::LINK_BYTES_PER_S_MAX, Size::bytes);
    let name = format!("{key}.packets.bytes_per_s (bytes)");
    within(&name, rate, limits::LINK_BYTES_PER_S_MIN, limits::LINK_BYTES_PER_S_MAX)
}

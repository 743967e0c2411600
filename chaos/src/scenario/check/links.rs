//! Faults of links: which back end can do them, and what they must and may say.

use std::time::Duration;

use anyhow::{bail, ensure};

use super::{span_within, within};
use crate::limits;
use crate::scenario::{BackEnd, FaultKind, Hurt, Packets, Scenario, Share, Size, Span};

pub(super) fn check(
    key: &str,
    scenario: &Scenario,
    kind: FaultKind,
    delay: Option<Span>,
    packets: Option<Packets>,
) -> anyhow::Result<()> {
    let (name, hurt, back_end) = (kind.name(), kind.hurt(), scenario.network.back_end);
    let hits_packets = matches!(hurt, Hurt::LosesPackets | Hurt::CorruptsPackets);
    let can = match back_end {
        BackEnd::Switch => true,
        BackEnd::Proxies => !hits_packets,
        BackEnd::Nftables => !hits_packets && hurt != Hurt::Slows,
    };
    ensure!(can, "{key}: {name} cannot be done with network.back_end {:?}", back_end.name());
    match delay {
        None if hurt == Hurt::Slows => bail!("{key}: {name} needs a delay"),
        Some(_) if hurt != Hurt::Slows && !hits_packets => bail!("{key}: {name} has no delay"),
        Some(delay) => span_within(&format!("{key}.delay"), delay, Duration::from_millis(1), limits::LINK_DELAY_MAX)?,
        None => {}
    }
    let needed = |packets: &Packets| if hurt == Hurt::LosesPackets { packets.loss } else { packets.corrupt };
    match packets {
        None if hits_packets => bail!("{key}: {name} needs packets"),
        Some(_) if !hits_packets => bail!("{key}: {name} has no packets"),
        Some(packets) if needed(&packets) == Share::default() => {
            let needed = if hurt == Hurt::LosesPackets { "loss" } else { "corrupt" };
            bail!("{key}: {name} needs packets.{needed} above 0%")
        }
        Some(packets) => check_packets(&format!("{key}.packets"), &packets),
        None => Ok(()),
    }
}

fn check_packets(key: &str, packets: &Packets) -> anyhow::Result<()> {
    for (name, share) in
        [("loss", packets.loss), ("reorder", packets.reorder), ("duplicate", packets.duplicate), ("corrupt", packets.corrupt)]
    {
        let max = limits::PACKETS_HIT_MAX;
        ensure!(share <= max, "{key}.{name} must be 0% to {max}, is {share}");
    }
    let rate = packets.bytes_per_s.map_or(limits::LINK_BYTES_PER_S_MAX, Size::bytes);
    within(&format!("{key}.bytes_per_s (bytes)"), rate, limits::LINK_BYTES_PER_S_MIN, limits::LINK_BYTES_PER_S_MAX)
}

//! What becomes of one packet: drawn from the direction's own generator, so that a seed and the same packets give the same fates.
//!
//! It reads no clock and sends nothing: a packet and a moment in, its fate out.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

use crate::network::Direction;
use crate::network::passage::{Hit, Impairment, Passage};
use crate::scenario::Share;

/// A packet that is to be overtaken comes so much later than its turn: many times what a link between nodes takes.
const OVERTAKEN_FOR: Duration = Duration::from_millis(5);

/// Of one direction.
pub(super) struct Gate {
    random: ChaCha8Rng,
    /// The last one is there then: jitter does not change their order.
    last_due: Instant,
    /// A link of limited rate has sent all that came before by then.
    sent_by: Instant,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fate {
    /// When it arrives, each time that it does: never, once or twice.
    pub(super) due: Vec<Instant>,
    pub(super) hits: Vec<Hit>,
}

impl Gate {
    pub(super) fn new(seed: u64, (from, to): Direction, now: Instant) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(u64::from(from) << 16 | u64::from(to));
        Self { random, last_due: now, sent_by: now }
    }

    /// Changes the packet if its fate is to be changed.
    pub(super) fn pass(&mut self, passage: &Passage, packet: &mut [u8], now: Instant) -> Fate {
        match passage {
            Passage::Free => Fate { due: vec![now], hits: Vec::new() },
            Passage::Cut => Fate { due: Vec::new(), hits: vec![Hit::Cut] },
            Passage::Impaired(by) => self.impair(by, packet, now),
        }
    }

    fn impair(&mut self, by: &Impairment, packet: &mut [u8], now: Instant) -> Fate {
        if self.draws(by.loss) {
            return Fate { due: Vec::new(), hits: vec![Hit::Lost] };
        }
        let mut hits = Vec::new();
        if self.draws(by.corrupt) && self.change_a_byte(packet) {
            hits.push(Hit::Corrupted);
        }
        let mut due =
            (self.sent(by, packet.len(), now) + by.delay + by.jitter.mul_f64(self.random.random())).max(self.last_due);
        self.last_due = due;
        if due > now {
            hits.push(Hit::Late);
        }
        if self.draws(by.reorder) {
            due += OVERTAKEN_FOR;
            hits.push(Hit::Reordered);
        }
        let is_twice = self.draws(by.duplicate);
        hits.extend(is_twice.then_some(Hit::Duplicated));
        Fate { due: if is_twice { vec![due, due] } else { vec![due] }, hits }
    }

    fn draws(&mut self, share: Share) -> bool {
        self.random.random_range(0..Share::WHOLE) < share.ppm()
    }

    /// When its last byte has left.
    fn sent(&mut self, by: &Impairment, bytes: usize, now: Instant) -> Instant {
        let Some(rate) = by.bytes_per_s else { return now };
        let takes_ns = bytes as u64 * 1_000_000_000 / rate.bytes();
        self.sent_by = self.sent_by.max(now) + Duration::from_nanos(takes_ns);
        self.sent_by
    }

    /// One, behind the head of IP, where the checksums of TCP and UDP cover it. (A single byte always shows in a sum of
    /// ones' complement; two could make up for each other.) Nothing, if there is none.
    fn change_a_byte(&mut self, packet: &mut [u8]) -> bool {
        let head = super::head_bytes(packet);
        let Some(body) = packet.get_mut(head..).filter(|body| !body.is_empty()) else { return false };
        let at = self.random.random_range(0..body.len());
        body[at] ^= self.random.random_range(1..=u8::MAX);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Size;

    fn share(text: &str) -> Share {
        Share::try_from(text.to_owned()).unwrap()
    }

    /// Of 20 bytes of head and 80 behind.
    fn packet() -> Vec<u8> {
        let mut packet = vec![0; 100];
        packet[0] = 0x45;
        packet
    }

    fn fates(impairment: Impairment, packets: usize) -> Vec<Fate> {
        let now = Instant::now();
        let mut gate = Gate::new(7, (1, 2), now);
        let passage = Passage::Impaired(impairment);
        (0..packets).map(|_| gate.pass(&passage, &mut packet(), now)).collect()
    }

    fn count(fates: &[Fate], hit: Hit) -> usize {
        fates.iter().filter(|fate| fate.hits.contains(&hit)).count()
    }

    #[test]
    fn a_free_way_does_nothing_and_a_cut_one_lets_nothing_pass() {
        let now = Instant::now();
        let mut gate = Gate::new(7, (1, 2), now);
        let mut sent = packet();
        assert_eq!(gate.pass(&Passage::Free, &mut sent, now), Fate { due: vec![now], hits: vec![] });
        assert_eq!(gate.pass(&Passage::Cut, &mut sent, now), Fate { due: vec![], hits: vec![Hit::Cut] });
        assert_eq!(sent, packet());
    }

    #[test]
    fn about_the_share_of_packets_is_hit_and_the_same_ones_for_a_seed() {
        let all = Impairment {
            loss: share("20%"),
            reorder: share("10%"),
            duplicate: share("10%"),
            corrupt: share("10%"),
            ..Default::default()
        };
        let fates = fates(all, 10_000);
        let near = |hit, wanted: usize| count(&fates, hit).abs_diff(wanted) < wanted / 5;
        assert!(near(Hit::Lost, 2_000) && near(Hit::Reordered, 800) && near(Hit::Duplicated, 800) && near(Hit::Corrupted, 800));
        assert!(fates.iter().all(|fate| fate.due.len()
            == usize::from(!fate.hits.contains(&Hit::Lost)) + usize::from(fate.hits.contains(&Hit::Duplicated))));
        let hits = |direction| {
            let mut gate = Gate::new(7, direction, Instant::now());
            let mut pass = || gate.pass(&Passage::Impaired(all), &mut packet(), Instant::now()).hits;
            (0..100).map(|_| pass()).collect::<Vec<_>>()
        };
        assert_eq!(hits((1, 2)), hits((1, 2)));
        assert_ne!(hits((1, 2)), hits((2, 1)), "each direction draws for itself");
    }

    #[test]
    fn jitter_keeps_the_order_and_a_packet_that_is_to_be_overtaken_is() {
        let ms = Duration::from_millis;
        let slow = Impairment { delay: ms(10), jitter: ms(10), ..Default::default() };
        let due: Vec<Instant> = fates(slow, 100).iter().map(|fate| fate.due[0]).collect();
        assert!(due.is_sorted() && due.iter().any(|one| *one != due[0]));
        let fates = fates(Impairment { reorder: share("5%"), ..slow }, 1_000);
        let overtaken = |pair: &&[Fate]| pair[0].due[0] > pair[1].due[0];
        assert!(fates.windows(2).filter(overtaken).all(|pair| pair[0].hits.contains(&Hit::Reordered)));
        assert!(fates.windows(2).any(|pair| overtaken(&pair)));
    }

    #[test]
    fn a_limited_rate_sends_one_packet_after_the_other() {
        let rate = Impairment { bytes_per_s: Some(Size::try_from("1KiB".to_owned()).unwrap()), ..Default::default() };
        let fates = fates(rate, 3);
        let gap = |pair: &[Fate]| pair[1].due[0] - pair[0].due[0];
        // A hundred bytes of 1,024 a second.
        assert!(fates.windows(2).all(|pair| gap(pair) == Duration::from_nanos(97_656_250)));
    }

    #[test]
    fn one_byte_behind_the_head_is_changed_and_nothing_else() {
        let (now, passage) = (Instant::now(), Passage::Impaired(Impairment { corrupt: share("100%"), ..Default::default() }));
        let mut gate = Gate::new(7, (1, 2), now);
        for _ in 0..1_000 {
            let mut changed = packet();
            assert_eq!(gate.pass(&passage, &mut changed, now).hits, [Hit::Corrupted]);
            let differs = |at: &usize| changed[*at] != packet()[*at];
            let differing: Vec<usize> = (0..100).filter(differs).collect();
            assert!(matches!(differing[..], [at] if at >= 20), "{differing:?}");
        }
        let mut bare = packet()[..20].to_vec();
        assert_eq!(gate.pass(&passage, &mut bare, now).hits, [], "there is nothing to change");
    }
}

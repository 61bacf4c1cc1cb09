//! µ-law to A-law and back, and other payload types, where the packet lies.

use codec::{Codec, g711};
use relay_rtp::{Packet, PayloadType};

use crate::counters::DropReason;
use crate::numbers::Numbers;
use crate::plan::{Plan, Work};

/// Turns packets of one law of G.711 into the other's, or gives them another payload type, one by
/// one and where they lie. They keep their source and timestamp, and their number until the sender
/// jumps, so RTCP passes as it is. A worker calls it between receiving and sending.
#[derive(Clone, Debug)]
pub struct Translation {
    /// By payload type.
    changes: Box<[Option<Change>; 128]>,
    numbers: Numbers,
}

/// What becomes of packets of one payload type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Change {
    law: Law,
    to: PayloadType,
}

/// What becomes of their payloads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Law {
    ToAlaw,
    ToUlaw,
    Same,
}

impl Translation {
    /// `None` if one of the plans asks for more than that, or two do not agree.
    #[must_use]
    pub fn of(plans: &[Plan]) -> Option<Self> {
        let mut translation = Self {
            changes: Box::new([None; 128]),
            numbers: Numbers::default(),
        };
        for plan in plans {
            translation.add(plan)?;
        }
        Some(translation)
    }

    /// What leaves is to go on as another translation has left it.
    pub fn follow(&mut self, other: &Self) {
        self.numbers = other.numbers;
    }

    fn add(&mut self, plan: &Plan) -> Option<()> {
        let (from, to) = (&plan.from, &plan.to);
        let law = match (from.codec, to.codec) {
            (Codec::Pcmu, Codec::Pcma) => Law::ToAlaw,
            (Codec::Pcma, Codec::Pcmu) => Law::ToUlaw,
            (Codec::Opus(_), Codec::Opus(_)) => Law::Same,
            (one, other) if one == other => Law::Same,
            _ => return None,
        };
        // The same plan within one law would need no more than other headers.
        let mut alike = *plan;
        alike.to.codec = from.codec;
        let events = from.events.zip(to.events);
        let is_one_clock = events.is_none_or(|(from, to)| from.clock_hz == to.clock_hz);
        if alike.work() != Work::Relabel || !is_one_clock {
            return None;
        }
        self.set(law, from.payload_type, to.payload_type)?;
        if let Some((from, to)) = events {
            self.set(Law::Same, from.payload_type, to.payload_type)?;
        }
        if let Some((from, to)) = from.comfort_noise.zip(to.comfort_noise) {
            self.set(Law::Same, from, to)?;
        }
        Some(())
    }

    fn set(&mut self, law: Law, from: PayloadType, to: PayloadType) -> Option<()> {
        let place = self.changes.get_mut(usize::from(from.value()))?;
        let change = Change { law, to };
        (*place.get_or_insert(change) == change).then_some(())
    }

    /// Translates one packet.
    ///
    /// # Errors
    ///
    /// If it is no RTP, or of a type that was not agreed. It is as it was then.
    pub fn apply(&mut self, packet: &mut [u8]) -> Result<(), DropReason> {
        let parsed = Packet::parse(&packet[..]).map_err(|_| DropReason::Malformed)?;
        let change = self
            .changes
            .get(usize::from(parsed.payload_type().value()))
            .copied();
        let change = change.flatten().ok_or(DropReason::PayloadType)?;
        let end = packet.len() - parsed.padding_len();
        let start = end - parsed.payload().len();
        let number = self.numbers.pass(parsed.ssrc(), parsed.sequence());
        match change.law {
            Law::ToAlaw => g711::ulaw_to_alaw_in_place(&mut packet[start..end]),
            Law::ToUlaw => g711::alaw_to_ulaw_in_place(&mut packet[start..end]),
            Law::Same => {}
        }
        packet[1] = packet[1] & 0x80 | change.to.value();
        packet[2..4].copy_from_slice(&number.value().to_be_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Events, Side};
    use codec::Rate;

    fn pt(value: u8) -> PayloadType {
        PayloadType::new(value).unwrap()
    }

    fn plan() -> Plan {
        let events = |payload_type| {
            Some(Events {
                payload_type: pt(payload_type),
                clock_hz: 8_000,
            })
        };
        let mut plan = Plan::new(
            Side::new(Codec::Pcmu, pt(0), 20),
            Side::new(Codec::Pcma, pt(8), 20),
        );
        plan.from.events = events(101);
        plan.to.events = events(96);
        plan
    }

    #[test]
    fn checklist_14_the_laws_are_exchanged_where_the_packet_lies() {
        let mut translation = Translation::of(&[plan()]).unwrap();
        // A marker, a contributor and padding stay.
        let mut packet = vec![0xa1, 0x80, 0, 7, 0, 0, 0, 9, 0, 0, 0, 5, 1, 2, 3, 4];
        packet.extend(0..=255);
        packet.extend([0, 0, 3]);
        let before = packet.clone();
        assert_eq!(translation.apply(&mut packet), Ok(()));
        assert_eq!(packet[..1], before[..1]);
        assert_eq!(packet[1], 0x88);
        assert_eq!(packet[2..16], before[2..16]);
        for octet in 0..=255 {
            assert_eq!(packet[16 + usize::from(octet)], g711::ulaw_to_alaw(octet));
        }
        assert_eq!(packet[272..], before[272..]);
    }

    #[test]
    fn events_pass_as_they_are_and_strangers_do_not() {
        let mut translation = Translation::of(&[plan()]).unwrap();
        let mut packet = [
            0x80,
            0x80 | 101,
            0,
            7,
            0,
            0,
            0,
            9,
            0,
            0,
            0,
            5,
            4,
            10,
            0,
            160,
        ];
        assert_eq!(translation.apply(&mut packet), Ok(()));
        assert_eq!(packet[1], 0x80 | 96);
        assert_eq!(packet[12..], [4, 10, 0, 160]);
        assert_eq!(translation.apply(&mut packet), Err(DropReason::PayloadType));
        assert_eq!(translation.apply(&mut [0; 12]), Err(DropReason::Malformed));
    }

    #[test]
    fn what_needs_more_than_a_table_has_none() {
        let mut other = plan();
        other.to.ptime_ms = 30;
        assert!(Translation::of(&[other]).is_none());
        other = plan();
        other.to.events = None;
        assert!(Translation::of(&[other]).is_none());
        other = plan();
        other.to.codec = Codec::Opus(Rate::Narrow);
        assert!(Translation::of(&[other]).is_none());
    }

    #[test]
    fn codecs_that_both_sides_have_pass_beside() {
        let side =
            |codec, payload_type| Side::new(codec, PayloadType::new(payload_type).unwrap(), 20);
        let mut same = Plan::new(side(Codec::Gsm, 98), side(Codec::Gsm, 3));
        let mut translation = Translation::of(&[plan(), same]).unwrap();
        let mut packet = vec![0x80, 98, 0, 7, 0, 0, 0, 9, 0, 0, 0, 5];
        packet.extend([0xd5; 33]);
        assert_eq!(translation.apply(&mut packet), Ok(()));
        assert_eq!((packet[1], &packet[12..]), (3, &[0xd5; 33][..]));
        // Two that do not agree on one payload type.
        same.from.payload_type = plan().from.payload_type;
        assert!(Translation::of(&[plan(), same]).is_none());
    }
}

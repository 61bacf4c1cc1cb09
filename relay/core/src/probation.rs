//! Sources that are not believed yet: what a stranger must show before it is learnt.
//!
//! Anybody can send one packet to every port there is. Going on with a stream at the pace of
//! media, on the port of one call, is dearer by orders of magnitude, and a phone does it anyhow.
//! So a stranger is heard out: [`PACKETS_MIN`] packets of one SSRC whose sequence numbers
//! follow each other (RFC 3550 A.1 asks for two), over [`SPAN_MIN`] at least, so that a burst is
//! not enough. With packets of 20 ms a phone has done that with its fourth, 60 ms late.
//!
//! Strangers that are heard out are few and of fixed size. One that makes no progress loses its
//! place, so that a flood of addresses does not keep a phone out for long.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use relay_rtp::{Kind, Packet, Sequence};

/// Packets in a row after which a stranger is believed.
pub(crate) const PACKETS_MIN: u8 = 4;

/// How long these must take at least: more than one turn of somebody who sends bursts, less than
/// four packets of the usual 20 ms.
pub(crate) const SPAN_MIN: Duration = Duration::from_millis(40);

/// How far the next sequence number may be from the last: a few packets may be lost.
const STEP_MAX: i16 = 4;

/// Strangers of one endpoint that are heard out at a time.
const STRANGERS_MAX: usize = 2;

/// After so long without progress another may have the place.
const PATIENCE: Duration = Duration::from_millis(250);

/// What a packet says about the stream that it belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Evidence {
    /// RTP.
    Rtp { ssrc: u32, sequence: Sequence },
    /// RTCP, and who sends it.
    Rtcp { ssrc: u32 },
    /// T.38 or whatever else: nothing to tell streams apart by.
    Other,
}

/// Sources of one endpoint that are heard out.
#[derive(Debug, Default)]
pub(crate) struct Probation {
    strangers: [Option<Stranger>; STRANGERS_MAX],
}

#[derive(Clone, Copy, Debug)]
struct Stranger {
    source: SocketAddr,
    newest: Evidence,
    packets: u8,
    since: Instant,
    progress_at: Instant,
}

/// What the next packet of a stranger means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// It goes on with the stream.
    Counts,
    /// It says nothing about the stream.
    Ignored,
    /// It is of another stream.
    Restarts,
}

impl Evidence {
    pub(crate) fn of(kind: Kind, packet: &[u8]) -> Self {
        match kind {
            Kind::Rtcp => match packet.get(4..).and_then(<[u8]>::first_chunk) {
                Some(ssrc) => Self::Rtcp {
                    ssrc: u32::from_be_bytes(*ssrc),
                },
                None => Self::Other,
            },
            Kind::Rtp => match Packet::parse(packet) {
                Ok(packet) => Self::Rtp {
                    ssrc: packet.ssrc().value(),
                    sequence: packet.sequence(),
                },
                Err(_) => Self::Other,
            },
            Kind::Other => Self::Other,
        }
    }

    fn step_to(self, next: Self) -> Step {
        match (self, next) {
            (
                Self::Rtp { ssrc, sequence },
                Self::Rtp {
                    ssrc: next_ssrc,
                    sequence: next,
                },
            ) => match next.distance_from(sequence) {
                _ if ssrc != next_ssrc => Step::Restarts,
                1..=STEP_MAX => Step::Counts,
                // Twice the same, or two that changed places.
                back if (-STEP_MAX..=0).contains(&back) => Step::Ignored,
                _ => Step::Restarts,
            },
            // RTCP between RTP, on one port.
            (Self::Rtp { .. }, _) => Step::Ignored,
            (Self::Rtcp { ssrc }, Self::Rtcp { ssrc: next }) if ssrc == next => Step::Counts,
            (Self::Other, Self::Other) => Step::Counts,
            _ => Step::Restarts,
        }
    }
}

impl Probation {
    /// Hears a stranger; says whether it has shown enough.
    pub(crate) fn hear(&mut self, now: Instant, source: SocketAddr, evidence: Evidence) -> bool {
        if let Some(stranger) = self.stranger(source) {
            return stranger.hear(now, evidence);
        }
        if let Some(place) = self.place(now) {
            *place = Some(Stranger::new(now, source, evidence));
        }
        false
    }

    /// Forgets what was heard from one source.
    pub(crate) fn forget(&mut self, source: SocketAddr) {
        for stranger in &mut self.strangers {
            stranger.take_if(|it| it.source == source);
        }
    }

    fn stranger(&mut self, source: SocketAddr) -> Option<&mut Stranger> {
        let mut strangers = self.strangers.iter_mut().flatten();
        strangers.find(|it| it.source == source)
    }

    /// A free place, or that of the one that has made no progress for the longest.
    fn place(&mut self, now: Instant) -> Option<&mut Option<Stranger>> {
        let idle = |it: &Option<Stranger>| match it {
            None => Duration::MAX,
            Some(stranger) => now.saturating_duration_since(stranger.progress_at),
        };
        let place = self.strangers.iter_mut().max_by_key(|it| idle(it))?;
        (idle(place) > PATIENCE).then_some(place)
    }
}

impl Stranger {
    fn new(now: Instant, source: SocketAddr, evidence: Evidence) -> Self {
        Self {
            source,
            newest: evidence,
            packets: 1,
            since: now,
            progress_at: now,
        }
    }

    fn hear(&mut self, now: Instant, evidence: Evidence) -> bool {
        match self.newest.step_to(evidence) {
            Step::Counts => {
                self.newest = evidence;
                self.packets = self.packets.saturating_add(1);
                self.progress_at = now;
            }
            Step::Ignored => {}
            // It keeps its place, but has made no progress.
            Step::Restarts => {
                let progress_at = self.progress_at;
                *self = Self::new(now, self.source, evidence);
                self.progress_at = progress_at;
            }
        }
        self.packets >= PACKETS_MIN && now.saturating_duration_since(self.since) >= SPAN_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::start;

    fn rtp(ssrc: u32, sequence: u16) -> Evidence {
        Evidence::Rtp {
            ssrc,
            sequence: Sequence::new(sequence),
        }
    }

    fn address(number: u16) -> SocketAddr {
        SocketAddr::from(([198, 51, 100, 1], number))
    }

    /// Hears packets 20 ms apart; says with which of them the stranger was believed.
    fn believed_with(evidence: &[Evidence]) -> Option<usize> {
        let (mut probation, start) = (Probation::default(), start());
        let mut packets = evidence.iter().enumerate();
        packets
            .find(|(index, it)| {
                let now = start + Duration::from_millis(20) * u32::try_from(*index).unwrap();
                probation.hear(now, address(1), **it)
            })
            .map(|(index, _)| index + 1)
    }

    #[test]
    fn a_stream_is_believed_with_its_fourth_packet() {
        let stream: Vec<_> = [65_534, 65_535, 0, 1].map(|it| rtp(7, it)).into();
        assert_eq!(believed_with(&stream), Some(4));
        assert_eq!(believed_with(&[Evidence::Other; 9]), Some(4));
        assert_eq!(believed_with(&[Evidence::Rtcp { ssrc: 7 }; 9]), Some(4));
    }

    #[test]
    fn what_does_not_follow_is_not_believed() {
        let jumps: Vec<_> = (0..50).map(|it| rtp(7, it * 100)).collect();
        assert_eq!(believed_with(&jumps), None);
        let sources: Vec<_> = (0..50).map(|it| rtp(it.into(), it)).collect();
        assert_eq!(believed_with(&sources), None);
        assert_eq!(believed_with(&[rtp(7, 1); 50]), None, "one packet again");
    }

    #[test]
    fn a_lost_packet_or_rtcp_between_is_no_harm() {
        let rtcp = Evidence::Rtcp { ssrc: 7 };
        let packets = [rtp(7, 1), rtcp, rtp(7, 2), rtp(7, 4), rtp(7, 3), rtp(7, 5)];
        assert_eq!(believed_with(&packets), Some(6));
    }

    #[test]
    fn a_burst_is_not_enough() {
        let (mut probation, now) = (Probation::default(), start());
        for sequence in 0..1_000 {
            assert!(!probation.hear(now, address(1), rtp(7, sequence)));
        }
        assert!(probation.hear(now + SPAN_MIN, address(1), rtp(7, 1_000)));
    }

    #[test]
    fn a_flood_of_addresses_keeps_nobody_out_for_long() {
        let (mut probation, start) = (Probation::default(), start());
        for flood in 0..1_000 {
            assert!(!probation.hear(start, address(1_000 + flood), rtp(flood.into(), 1)));
        }
        let believed = (0..100_u16).find(|packet| {
            let now = start + Duration::from_millis(20) * u32::from(*packet);
            probation.hear(now, address(1), rtp(7, *packet))
        });
        assert_eq!(believed, Some(13 + 3), "260 ms of patience, and its own 60");
    }

    #[test]
    fn who_makes_progress_keeps_the_place() {
        let (mut probation, start) = (Probation::default(), start());
        let believed = (0..20_u16).find(|packet| {
            let now = start + Duration::from_millis(200) * u32::from(*packet);
            let is_believed = probation.hear(now, address(1), rtp(7, *packet));
            for flood in 0..100 {
                let source = address(1_000 + packet * 100 + flood);
                assert!(!probation.hear(now, source, rtp(flood.into(), 1)));
            }
            is_believed
        });
        assert_eq!(believed, Some(3));
    }
}

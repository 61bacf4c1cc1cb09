//! How well RTP arrives, by source: measured from the packets themselves, whether or not the
//! phones send RTCP (RFC 3550 A.1, A.3, A.8).
//!
//! A packet costs some additions on memory that is at hand anyhow; what they mean is worked out
//! when somebody asks. Arrival is the time of the worker's turn, so jitter is as fine as a turn
//! is long: some hundred microseconds at most.

use std::time::Instant;

use relay_rtp::{ExtendedSequence, Packet};
use relay_wire::{SOURCES_PER_ENDPOINT_MAX, SourceStats};

/// The sources of one endpoint, the newest last. Their memory is taken when the endpoint is
/// made; a new source takes the place of the one that was silent for longest.
#[derive(Debug)]
pub(crate) struct Quality {
    sources: Vec<Source>,
}

/// What is known of one source.
#[derive(Debug)]
struct Source {
    ssrc: u32,
    payload_type: u8,
    packets: u64,
    bytes: u64,
    duplicates: u64,
    reordered: u64,
    first: ExtendedSequence,
    highest: ExtendedSequence,
    /// Bit n: the packet n before the highest has come.
    seen: u64,
    began: Moment,
    newest: Moment,
    /// Of the timestamp; 0: not known yet.
    clock_hz: u32,
    /// In 1/16 µs, as A.8 keeps it.
    jitter: u64,
}

/// When a packet came and what it says of when it was made.
#[derive(Clone, Copy, Debug)]
struct Moment {
    at: Instant,
    timestamp: u32,
}

/// Clocks that dynamic payload types have, to be told by the pace of their timestamps.
const CLOCKS_HZ: [u32; 7] = [8_000, 16_000, 24_000, 32_000, 44_100, 48_000, 90_000];

/// A stream must last so long before its pace says what clock it has.
const PACE_US_MIN: u64 = 1_000_000;

impl Quality {
    pub(crate) fn new() -> Self {
        Self {
            sources: Vec::with_capacity(SOURCES_PER_ENDPOINT_MAX),
        }
    }

    /// Takes in a packet of the peer.
    pub(crate) fn note(&mut self, now: Instant, packet: &Packet<&[u8]>, len: usize) {
        let ssrc = packet.ssrc().value();
        let Some(index) = self.sources.iter().rposition(|it| it.ssrc == ssrc) else {
            if self.sources.len() == SOURCES_PER_ENDPOINT_MAX {
                self.sources.remove(0);
            }
            return self.sources.push(Source::new(now, packet, len));
        };
        let last = self.sources.len() - 1;
        if index != last {
            self.sources[index..].rotate_left(1);
        }
        self.sources[last].note(now, packet, len);
    }

    pub(crate) fn stats(&self) -> Vec<SourceStats> {
        self.sources.iter().map(Source::stats).collect()
    }
}

impl Source {
    fn new(now: Instant, packet: &Packet<&[u8]>, len: usize) -> Self {
        let first = ExtendedSequence::first(packet.sequence());
        let moment = Moment {
            at: now,
            timestamp: packet.timestamp(),
        };
        let payload_type = packet.payload_type().value();
        Self {
            ssrc: packet.ssrc().value(),
            payload_type,
            packets: 1,
            bytes: len as u64,
            duplicates: 0,
            reordered: 0,
            first,
            highest: first,
            seen: 1,
            began: moment,
            newest: moment,
            clock_hz: static_clock_hz(payload_type),
            jitter: 0,
        }
    }

    fn note(&mut self, now: Instant, packet: &Packet<&[u8]>, len: usize) {
        self.packets += 1;
        self.bytes += len as u64;
        let number = self.highest.extend(packet.sequence());
        if number <= self.highest {
            return self.note_late(number);
        }
        let step = number.value() - self.highest.value();
        self.seen = if step < 64 { self.seen << step } else { 0 } | 1;
        self.highest = number;
        let moment = Moment {
            at: now,
            timestamp: packet.timestamp(),
        };
        let payload_type = packet.payload_type().value();
        if payload_type == self.payload_type {
            self.note_transit(moment);
        } else {
            self.payload_type = payload_type;
            self.clock_hz = static_clock_hz(payload_type);
            self.began = moment;
        }
        self.newest = moment;
    }

    /// A packet from before the highest: late, or there already.
    fn note_late(&mut self, number: ExtendedSequence) {
        let back = self.highest.value() - number.value();
        let bit = 1_u64.checked_shl(u32::try_from(back).unwrap_or(u32::MAX));
        match bit {
            Some(bit) if self.seen & bit != 0 => self.duplicates += 1,
            bit => {
                self.seen |= bit.unwrap_or(0);
                self.reordered += 1;
                self.first = self.first.min(number);
            }
        }
    }

    /// RFC 3550 A.8, in microseconds.
    fn note_transit(&mut self, moment: Moment) {
        if self.clock_hz == 0 {
            return self.tell_clock(moment);
        }
        let arrival = microseconds(self.newest.at, moment.at);
        let made = moment.timestamp.wrapping_sub(self.newest.timestamp);
        let made = u64::from(made) * 1_000_000 / u64::from(self.clock_hz);
        // A timestamp that jumps is a new beginning, not a delay of hours.
        if made < MADE_US_MAX {
            self.jitter -= (self.jitter + 8) >> 4;
            self.jitter += arrival.abs_diff(made);
        }
    }

    /// The clock, if the pace of timestamps is that of one.
    fn tell_clock(&mut self, moment: Moment) {
        let elapsed = microseconds(self.began.at, moment.at);
        if elapsed < PACE_US_MIN {
            return;
        }
        let ticks = u64::from(moment.timestamp.wrapping_sub(self.began.timestamp));
        let pace = ticks * 1_000_000 / elapsed;
        let is_near = |hz: &&u32| pace.abs_diff(u64::from(**hz)) * 20 < u64::from(**hz);
        match CLOCKS_HZ.iter().find(is_near) {
            Some(hz) => self.clock_hz = *hz,
            // Silence, or something else: look at the next second.
            None => self.began = moment,
        }
    }

    fn stats(&self) -> SourceStats {
        let expected = self.highest.value() - self.first.value() + 1;
        let arrived = self.packets - self.duplicates;
        SourceStats {
            ssrc: self.ssrc,
            payload_type: self.payload_type,
            packets: self.packets,
            bytes: self.bytes,
            lost: expected.saturating_sub(arrived),
            reordered: self.reordered,
            duplicates: self.duplicates,
            jitter_us: (self.clock_hz != 0)
                .then(|| u32::try_from(self.jitter >> 4).unwrap_or(u32::MAX)),
        }
    }
}

/// A gap in the timestamps that is no pause in speech any more.
const MADE_US_MAX: u64 = 60_000_000;

/// Clocks of static payload types (RFC 3551 §6); 0 for others.
fn static_clock_hz(payload_type: u8) -> u32 {
    match payload_type {
        0 | 3..=5 | 7..=9 | 12 | 13 | 15 | 18 => 8_000,
        6 => 16_000,
        10 | 11 => 44_100,
        16 => 11_025,
        17 => 22_050,
        14 | 25..=34 => 90_000,
        _ => 0,
    }
}

fn microseconds(from: Instant, to: Instant) -> u64 {
    let duration = to.saturating_duration_since(from);
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tests::start;

    /// Packets of a type: number, timestamp, when they arrive in µs.
    fn measure(payload_type: u8, packets: impl IntoIterator<Item = (u16, u32, u64)>) -> Quality {
        let (mut quality, start) = (Quality::new(), start());
        for (sequence, timestamp, at_us) in packets {
            note(
                &mut quality,
                start,
                [7, timestamp],
                payload_type,
                sequence,
                at_us,
            );
        }
        quality
    }

    fn note(
        quality: &mut Quality,
        start: Instant,
        [ssrc, timestamp]: [u32; 2],
        payload_type: u8,
        sequence: u16,
        at_us: u64,
    ) {
        let mut bytes = vec![0x80, payload_type];
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(&timestamp.to_be_bytes());
        bytes.extend_from_slice(&ssrc.to_be_bytes());
        let packet = Packet::parse(&bytes[..]).unwrap();
        quality.note(start + Duration::from_micros(at_us), &packet, 100);
    }

    fn numbers(numbers: &[u16]) -> SourceStats {
        let packets = numbers.iter().map(|it| (*it, 0, 0));
        measure(8, packets).stats().remove(0)
    }

    #[test]
    fn counts_loss_reordering_and_duplicates() {
        let stats = |it: SourceStats| (it.packets, it.lost, it.reordered, it.duplicates);
        assert_eq!(stats(numbers(&[1, 2, 3, 4])), (4, 0, 0, 0));
        assert_eq!(stats(numbers(&[65_534, 65_535, 0, 2])), (4, 1, 0, 0));
        assert_eq!(stats(numbers(&[1, 3, 2, 4])), (4, 0, 1, 0));
        assert_eq!(stats(numbers(&[2, 1, 3])), (3, 0, 1, 0), "before the first");
        assert_eq!(stats(numbers(&[1, 2, 2, 2, 3])), (5, 0, 0, 2));
        assert_eq!(stats(numbers(&[1, 4, 2, 2, 4])), (5, 1, 1, 2));
        assert_eq!(stats(numbers(&[1, 200, 100])), (3, 197, 1, 0), "very late");
    }

    #[test]
    fn an_even_stream_has_no_jitter_and_an_uneven_one_has() {
        let even = (0..100_u16).map(|it| (it, u32::from(it) * 160, u64::from(it) * 20_000));
        assert_eq!(measure(8, even.clone()).stats()[0].jitter_us, Some(0));
        // Every other packet is 4 ms late: each difference is 4 ms, and so is their mean.
        let uneven = even
            .map(|(number, timestamp, at)| (number, timestamp, at + u64::from(number % 2) * 4_000));
        let jitter = measure(8, uneven).stats()[0].jitter_us.unwrap();
        assert!((3_900..=4_000).contains(&jitter), "{jitter}");
    }

    #[test]
    fn the_clock_of_a_dynamic_type_is_told_by_its_pace() {
        let stream = |hz: u32, packets: u16| {
            (0..packets).map(move |it| (it, u32::from(it) * (hz / 50), u64::from(it) * 20_000))
        };
        assert_eq!(measure(111, stream(48_000, 40)).stats()[0].jitter_us, None);
        for hz in CLOCKS_HZ {
            let stats = measure(111, stream(hz, 200)).stats();
            assert_eq!(stats[0].jitter_us, Some(0), "{hz}");
        }
    }

    #[test]
    fn sources_are_apart_and_few() {
        let (mut quality, start) = (Quality::new(), start());
        for ssrc in 0..100 {
            note(&mut quality, start, [ssrc, 0], 8, 1, 0);
            note(
                &mut quality,
                start,
                [0, 0],
                8,
                u16::try_from(ssrc).unwrap() + 2,
                0,
            );
        }
        let stats = quality.stats();
        assert_eq!(stats.len(), SOURCES_PER_ENDPOINT_MAX);
        let newest = stats.last().unwrap();
        assert_eq!((newest.ssrc, newest.packets, newest.lost), (0, 101, 0));
        assert_eq!(quality.sources.capacity(), SOURCES_PER_ENDPOINT_MAX);
    }
}

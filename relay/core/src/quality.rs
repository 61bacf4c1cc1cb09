//! How well RTP arrives, by source: measured from the packets themselves, whether or not the
//! phones send RTCP (RFC 3550 A.1, A.3, A.8).
//!
//! A packet costs some additions and one multiplication on memory that is at hand anyhow; what
//! they mean is worked out when somebody asks. Arrival is the time of the worker's turn, so jitter
//! is as fine as a turn is long: some hundred microseconds at most.

use relay_rtp::{ExtendedSequence, FixedHeader, Sequence};
use relay_wire::{SOURCES_PER_ENDPOINT_MAX, SourceStats};

/// The sources of one endpoint. The one that speaks is at hand, in the endpoint's own memory; that
/// of the others is taken when there is a second one, which most endpoints never have. A new source
/// takes the place of the one that was silent for longest.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Quality {
    /// The source of the newest packet; without packets if there was none.
    current: Source,
    past: Option<Box<Past>>,
}

/// Sources that spoke before.
#[derive(Debug)]
struct Past {
    /// The newest last; there is room for all.
    others: Vec<Source>,
    /// What came from sources that are forgotten.
    forgotten: Count,
}

/// Sources beside the one that speaks.
const OTHERS_MAX: usize = SOURCES_PER_ENDPOINT_MAX - 1;

/// Packets and their bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Count {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// Where a stream is, for another to measure it further, or as it has measured it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    pub(crate) payload_type: u8,
    pub(crate) tick: u32,
    pub(crate) highest: u64,
    pub(crate) seen: u64,
    pub(crate) jitter: u64,
}

/// What a report says of a source (RFC 3550 §6.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Reception {
    pub(crate) ssrc: u32,
    /// All that arrived, and its bytes.
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Packets that were to arrive, and those of them that did not.
    pub(crate) expected: u64,
    pub(crate) lost: u64,
    /// Extended from zero.
    pub(crate) highest_sequence: u32,
    /// In units of the timestamp.
    pub(crate) jitter: u32,
    /// Of now, or of the newest packet.
    pub(crate) timestamp: u32,
}

/// What is known of one source: first what nearly every packet reads and writes, which is one
/// cache line.
#[derive(Clone, Debug)]
#[repr(C)]
struct Source {
    ssrc: u32,
    /// Timestamp of the newest packet.
    timestamp: u32,
    /// When that arrived, in nanoseconds of the worker's clock.
    arrived_ns: u64,
    highest: ExtendedSequence,
    /// Bit n: the packet n before the highest has come.
    seen: u64,
    count: Count,
    /// In 1/16 ns, as A.8 keeps it.
    jitter: u64,
    /// Nanoseconds of one unit of the timestamp, by [`TICK_SCALE_BITS`]; 0: not known yet.
    tick: u32,
    payload_type: u8,

    first: ExtendedSequence,
    duplicates: u32,
    reordered: u32,
    /// Where the pace of the timestamps is measured from.
    pace_began_ns: u64,
    pace_began_timestamp: u32,
}

const _: () = assert!(std::mem::offset_of!(Source, first) == 64);

/// Fractions of a nanosecond that a tick is kept in: as many as fit with the slowest clock, of
/// 8 kHz. What is lost is below a nanosecond in a second.
const TICK_SCALE_BITS: u32 = 15;

/// Clocks that dynamic payload types have, to be told by the pace of their timestamps.
const CLOCKS_HZ: [u32; 7] = [8_000, 16_000, 24_000, 32_000, 44_100, 48_000, 90_000];

const SECOND_NS: u64 = 1_000_000_000;

/// A stream must last so long before its pace says what clock it has.
const PACE_NS_MIN: u64 = SECOND_NS;

/// A gap in the timestamps that is no pause in speech any more.
const MADE_NS_MAX: u64 = 60 * SECOND_NS;

impl Default for Past {
    fn default() -> Self {
        Self {
            others: Vec::with_capacity(OTHERS_MAX),
            forgotten: Count::default(),
        }
    }
}

impl Past {
    /// Takes a source that speaks again.
    fn take(&mut self, ssrc: u32) -> Option<Source> {
        let known = self.others.iter().rposition(|it| it.ssrc == ssrc);
        known.map(|index| self.others.remove(index))
    }

    /// Adds a source that spoke.
    fn push(&mut self, source: Source) {
        if self.others.len() == OTHERS_MAX {
            let silent = self.others.remove(0).count;
            self.forgotten.add_all(silent);
        }
        self.others.push(source);
    }
}

impl Quality {
    pub(crate) fn new() -> Self {
        Self {
            current: Source::none(),
            past: None,
        }
    }

    /// Takes in a packet of the peer, which arrived at `now_ns` of the worker's clock.
    #[inline]
    pub(crate) fn note(&mut self, now_ns: u64, header: FixedHeader, len: usize) {
        if self.current.ssrc != header.ssrc.value() || self.current.count.packets == 0 {
            return self.note_other(now_ns, header, len);
        }
        self.current.note(now_ns, header, len);
    }

    /// A packet of another source than the one before.
    #[cold]
    fn note_other(&mut self, now_ns: u64, header: FixedHeader, len: usize) {
        let past = self.past.as_mut();
        let known = past.and_then(|it| it.take(header.ssrc.value()));
        if self.current.count.packets > 0 {
            let past = self.past.get_or_insert_default();
            past.push(self.current.clone());
        }
        match known {
            Some(known) => {
                self.current = known;
                self.current.note(now_ns, header, len);
            }
            None => self.current = Source::new(now_ns, header, len),
        }
    }

    /// The newest source, its payload type, and where its sequence is; `None`: there was no RTP.
    pub(crate) fn newest(&self) -> Option<(u32, u8, Sequence)> {
        let Source {
            ssrc, payload_type, ..
        } = self.current;
        (self.current.count.packets > 0)
            .then(|| (ssrc, payload_type, self.current.highest.sequence()))
    }

    /// The stream of the source that speaks.
    pub(crate) fn stream(&self) -> Stream {
        Stream {
            payload_type: self.current.payload_type,
            tick: self.current.tick,
            highest: self.current.highest.value(),
            seen: self.current.seen,
            jitter: self.current.jitter,
        }
    }

    /// Adds packets of a source that another has taken in.
    pub(crate) fn absorb(&mut self, ssrc: u32, new: Count, now: Stream) {
        if self.current.ssrc == ssrc && self.current.count.packets > 0 {
            return self.current.absorb(new, now);
        }
        let past = self.past.get_or_insert_default();
        match past.others.iter_mut().find(|it| it.ssrc == ssrc) {
            Some(source) => source.absorb(new, now),
            None => past.forgotten.add_all(new),
        }
    }

    /// All of them, the newest last.
    fn sources(&self) -> impl Iterator<Item = &Source> {
        let others = self.past.iter().flat_map(|it| &it.others);
        others.chain([&self.current])
    }

    /// All RTP so far.
    pub(crate) fn count(&self) -> Count {
        let past = self.past.as_ref();
        let mut count = past.map(|it| it.forgotten).unwrap_or_default();
        for source in self.sources() {
            count.add_all(source.count);
        }
        count
    }

    /// What there is to report of the source that speaks, if one does. With the time, the
    /// timestamp is that of now.
    pub(crate) fn reception(&self, now_ns: Option<u64>) -> Option<Reception> {
        (self.current.count.packets > 0).then(|| self.current.reception(now_ns))
    }

    pub(crate) fn stats(&self) -> Vec<SourceStats> {
        let sources = self.sources().filter(|it| it.count.packets > 0);
        sources.map(Source::stats).collect()
    }
}

impl Count {
    #[inline]
    pub(crate) fn add(&mut self, bytes: usize) {
        self.packets += 1;
        // Widening: a usize has at most 64 bits.
        self.bytes += bytes as u64;
    }

    pub(crate) fn add_all(&mut self, more: Self) {
        self.packets += more.packets;
        self.bytes += more.bytes;
    }
}

impl Source {
    fn new(now_ns: u64, header: FixedHeader, len: usize) -> Self {
        let first = ExtendedSequence::first(header.sequence);
        let payload_type = header.payload_type.value();
        let mut count = Count::default();
        count.add(len);
        Self {
            ssrc: header.ssrc.value(),
            timestamp: header.timestamp,
            arrived_ns: now_ns,
            highest: first,
            seen: 1,
            count,
            jitter: 0,
            tick: tick_of(static_clock_hz(payload_type)),
            payload_type,
            first,
            duplicates: 0,
            reordered: 0,
            pace_began_ns: now_ns,
            pace_began_timestamp: header.timestamp,
        }
    }

    /// A source that has not sent anything.
    fn none() -> Self {
        let first = ExtendedSequence::first(Sequence::new(0));
        Self {
            ssrc: 0,
            timestamp: 0,
            arrived_ns: 0,
            highest: first,
            seen: 0,
            count: Count::default(),
            jitter: 0,
            tick: 0,
            payload_type: 0,
            first,
            duplicates: 0,
            reordered: 0,
            pace_began_ns: 0,
            pace_began_timestamp: 0,
        }
    }

    #[inline]
    fn note(&mut self, now_ns: u64, header: FixedHeader, len: usize) {
        self.count.add(len);
        let number = self.highest.extend(header.sequence);
        if number <= self.highest {
            return self.note_late(number);
        }
        let step = number.value() - self.highest.value();
        self.seen = if step < 64 { self.seen << step } else { 0 } | 1;
        self.highest = number;
        if header.payload_type.value() == self.payload_type && self.tick != 0 {
            self.note_transit(now_ns, header.timestamp);
        } else {
            self.note_clock(now_ns, header);
        }
        (self.arrived_ns, self.timestamp) = (now_ns, header.timestamp);
    }

    /// A packet from before the highest: late, or there already.
    #[cold]
    fn note_late(&mut self, number: ExtendedSequence) {
        let back = self.highest.value() - number.value();
        let bit = 1_u64.checked_shl(u32::try_from(back).unwrap_or(u32::MAX));
        match bit {
            Some(bit) if self.seen & bit != 0 => {
                self.duplicates = self.duplicates.saturating_add(1);
            }
            bit => {
                self.seen |= bit.unwrap_or(0);
                self.reordered = self.reordered.saturating_add(1);
                self.first = self.first.min(number);
            }
        }
    }

    /// RFC 3550 A.8, in nanoseconds: a multiplication makes them of the timestamp's units.
    #[inline]
    fn note_transit(&mut self, now_ns: u64, timestamp: u32) {
        let arrival = now_ns.saturating_sub(self.arrived_ns);
        let ticks = timestamp.wrapping_sub(self.timestamp);
        let made = (u64::from(ticks) * u64::from(self.tick)) >> TICK_SCALE_BITS;
        // A timestamp that jumps is a new beginning, not a delay of hours.
        if made < MADE_NS_MAX {
            self.jitter -= (self.jitter + 8) >> 4;
            self.jitter += arrival.abs_diff(made);
        }
    }

    /// A packet of another type than the one before, or of a type whose clock is not known.
    #[cold]
    fn note_clock(&mut self, now_ns: u64, header: FixedHeader) {
        let payload_type = header.payload_type.value();
        if payload_type != self.payload_type {
            self.payload_type = payload_type;
            self.tick = tick_of(static_clock_hz(payload_type));
            (self.pace_began_ns, self.pace_began_timestamp) = (now_ns, header.timestamp);
            return;
        }
        let elapsed = now_ns.saturating_sub(self.pace_began_ns);
        if elapsed < PACE_NS_MIN {
            return;
        }
        let ticks = header.timestamp.wrapping_sub(self.pace_began_timestamp);
        let pace = (u64::from(ticks) * SECOND_NS).checked_div(elapsed);
        let is_near = |hz: &&u32| {
            let hz = u64::from(**hz);
            pace.is_some_and(|it| it.abs_diff(hz) * 20 < hz)
        };
        match CLOCKS_HZ.iter().find(is_near) {
            Some(hz) => self.tick = tick_of(*hz),
            // Silence, or something else: look at the next second.
            None => {
                (self.pace_began_ns, self.pace_began_timestamp) = (now_ns, header.timestamp);
            }
        }
    }

    /// The time of the newest packet stays: it goes with its timestamp.
    fn absorb(&mut self, new: Count, other: Stream) {
        self.count.add_all(new);
        self.jitter = other.jitter;
        if other.tick != 0 {
            // There may have been another type in between.
            (self.payload_type, self.tick) = (other.payload_type, other.tick);
        }
        let highest = ExtendedSequence::from_value(other.highest);
        let (low, high) = match highest > self.highest {
            true => ((self.highest, self.seen), (highest, other.seen)),
            false => ((highest, other.seen), (self.highest, self.seen)),
        };
        let step = high.0.value() - low.0.value();
        let older = u32::try_from(step)
            .ok()
            .and_then(|it| low.1.checked_shl(it));
        (self.highest, self.seen) = (high.0, high.1 | older.unwrap_or(0));
    }

    fn expected(&self) -> u64 {
        self.highest.value() - self.first.value() + 1
    }

    /// Numbers that did not come.
    fn lost(&self) -> u64 {
        let arrived = self.count.packets - u64::from(self.duplicates);
        self.expected().saturating_sub(arrived)
    }

    /// The highest number, extended from that of the first packet.
    fn last_sequence(&self) -> u32 {
        let first = u64::from(self.first.sequence().value());
        low((first + self.expected() - 1).into())
    }

    fn reception(&self, now_ns: Option<u64>) -> Reception {
        let units = |ns: u64| match self.tick {
            0 => 0,
            tick => (u128::from(ns) << TICK_SCALE_BITS) / u128::from(tick),
        };
        let since = now_ns.map_or(0, |now| now.saturating_sub(self.arrived_ns));
        Reception {
            ssrc: self.ssrc,
            packets: self.count.packets,
            bytes: self.count.bytes,
            expected: self.expected(),
            lost: self.lost(),
            highest_sequence: self.last_sequence(),
            jitter: u32::try_from(units(self.jitter >> 4)).unwrap_or(u32::MAX),
            timestamp: self.timestamp.wrapping_add(low(units(since))),
        }
    }

    fn stats(&self) -> SourceStats {
        let jitter_us = (self.jitter >> 4) / 1_000;
        SourceStats {
            ssrc: self.ssrc,
            payload_type: self.payload_type,
            packets: self.count.packets,
            bytes: self.count.bytes,
            lost: self.lost(),
            reordered: self.reordered.into(),
            duplicates: self.duplicates.into(),
            jitter_us: (self.tick != 0).then(|| u32::try_from(jitter_us).unwrap_or(u32::MAX)),
            last_sequence: self.last_sequence(),
            last_timestamp: self.timestamp,
        }
    }
}

fn low(number: u128) -> u32 {
    let [.., a, b, c, d] = number.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// One unit of a clock in nanoseconds, by [`TICK_SCALE_BITS`]; 0 for a clock of 0 Hz.
fn tick_of(clock_hz: u32) -> u32 {
    let tick = (SECOND_NS << TICK_SCALE_BITS).checked_div(clock_hz.into());
    u32::try_from(tick.unwrap_or(0)).unwrap_or(u32::MAX)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of a type: number, timestamp, when they arrive in µs.
    fn measure(payload_type: u8, packets: impl IntoIterator<Item = (u16, u32, u64)>) -> Quality {
        let mut quality = Quality::new();
        for (sequence, timestamp, at_us) in packets {
            note(&mut quality, [7, timestamp], payload_type, sequence, at_us);
        }
        quality
    }

    fn note(
        quality: &mut Quality,
        [ssrc, timestamp]: [u32; 2],
        payload_type: u8,
        sequence: u16,
        at_us: u64,
    ) {
        let mut bytes = vec![0x80, payload_type];
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(&timestamp.to_be_bytes());
        bytes.extend_from_slice(&ssrc.to_be_bytes());
        quality.note(at_us * 1_000, FixedHeader::read(&bytes).unwrap(), 100);
    }

    fn numbers(numbers: &[u16]) -> SourceStats {
        let packets = numbers.iter().map(|it| (*it, 0, 0));
        measure(8, packets).stats().remove(0)
    }

    #[test]
    fn the_newest_packet_is_told() {
        let last = |packets: &[(u16, u32)]| {
            let packets = packets.iter().map(|(number, stamp)| (*number, *stamp, 0));
            let stats = measure(8, packets).stats().remove(0);
            (stats.last_sequence, stats.last_timestamp)
        };
        assert_eq!(last(&[(5, 160)]), (5, 160));
        assert_eq!(last(&[(5, 160), (7, 480), (6, 320)]), (7, 480), "late");
        let around = [(65_535, u32::MAX), (0, 159), (1, 319)];
        assert_eq!(last(&around), (65_537, 319), "extended");
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
        let mut quality = Quality::new();
        for ssrc in 0..100 {
            note(&mut quality, [ssrc, 0], 8, 1, 0);
            let sequence = u16::try_from(ssrc).unwrap() + 2;
            note(&mut quality, [0, 0], 8, sequence, 0);
        }
        let stats = quality.stats();
        assert_eq!(stats.len(), SOURCES_PER_ENDPOINT_MAX);
        let newest = stats.last().unwrap();
        assert_eq!((newest.ssrc, newest.packets, newest.lost), (0, 101, 0));
        let past = quality.past.as_ref().unwrap();
        assert_eq!(past.others.capacity(), SOURCES_PER_ENDPOINT_MAX - 1);
        let all = Count {
            packets: 200,
            bytes: 20_000,
        };
        assert_eq!(quality.count(), all, "those that are forgotten included");
    }
}

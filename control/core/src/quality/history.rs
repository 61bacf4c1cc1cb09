//! How the streams of a call sounded, interval by interval: what `query` and `delete` tell as
//! average, lowest and highest MOS and as its progression.
//!
//! ```text
//! counts of a source  ●─────────●─────────●─────────●    looked at every some seconds
//! samples              what came between two looks
//! progression         ├─────────┼─────────┼─────────┤    an entry for each interval
//! ```
//!
//! There is room for a dozen entries. When they are there the interval is doubled, and those that
//! lie within one become one: a call of hours takes no more memory than one of minutes. An entry is
//! a sum, and what is told of it the mean of all samples that are in it, each with the same weight.

use relay_wire::{CallStats, EndpointStats, InterfaceId, Port, SourceStats};

use crate::call::CallState;

use super::{Arrival, expected, rounded, score};

/// Entries of a progression; about half of them are left when there were too many. The peer tells
/// some ten.
const ENTRIES_MAX: usize = 12;

/// Entries that memory is taken for at a time.
const ENTRIES_MORE: usize = 4;

/// Streams of a call that are looked at.
const STREAMS_MAX: usize = 16;

/// Streams of nearly all calls, and what memory is taken for at a time.
const STREAMS_USUAL: usize = 2;

/// Packets that a sample is made of: of fewer, chance would make the lowest score.
const PACKETS_MIN: u32 = 10;

/// All that is remembered of the streams of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    streams: Vec<Stream>,
}

/// What was counted of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look<'a> {
    pub(crate) state: &'a CallState,
    pub(crate) stats: &'a CallStats,
    /// When: milliseconds since 1970.
    pub(crate) unix_ms: u64,
    /// From one look to the next, and so the shortest interval; 0: there are no looks but those that
    /// are asked for.
    pub(crate) interval_s: u32,
}

/// How one source sounded.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    port: Port,
    ssrc: u32,
    /// As of the newest sample.
    counts: Counts,
    /// How many there were.
    samples: u32,
    lowest: Sample,
    highest: Sample,
    /// Seconds.
    interval_s: u64,
    /// All samples, the oldest first.
    entries: Vec<Entry>,
}

/// What was to arrive of a source, and what of that did not.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Counts {
    expected: u32,
    lost: u32,
}

/// How a source sounded for a while.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Sample {
    /// Seconds from the beginning of the call to the end of that while.
    pub(crate) at_s: u32,
    /// In 1/1,000 of a score.
    mos: u16,
    /// In 1/10,000 of what was to arrive.
    loss: u16,
    jitter: Time,
    round_trip: Time,
    round_trip_leg: Time,
}

/// In tenths of a millisecond, which is finer than anybody reads it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Time(u16);

/// The sum of the samples of one interval.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// When the newest of them ended.
    at_s: u32,
    count: u16,
    /// How many of them say so: jitter, round trip, and that of its leg.
    known: [u16; 3],
    mos: u32,
    loss: u32,
    times: [u32; 3],
}

impl History {
    /// Takes a look: of each stream of which enough came since the one before, that is a sample.
    pub(crate) fn note(&mut self, look: &Look<'_>, tell: impl FnMut(InterfaceId, Sample)) {
        // The relay forgets a source when others have followed it.
        self.streams.retain(|it| it.is_in(look.stats));
        let is_enough = |_: Option<&Stream>, new: Counts, _| new.expected >= PACKETS_MIN;
        self.take(look, STREAMS_MAX, is_enough, tell);
    }

    /// Takes a last look at a call: the rest is a sample if it is nearly as long as the others, and
    /// in any case if there is none.
    pub(crate) fn note_rest(&mut self, look: &Look<'_>) {
        let rest_s = (look.interval_s / 2).max(1);
        let is_enough = |known: Option<&Stream>, new: Counts, at_s| {
            known.is_none_or(|it| new.expected >= PACKETS_MIN && at_s >= it.last_s() + rest_s)
        };
        self.take(look, usize::MAX, is_enough, |_, _| {});
    }

    pub(crate) fn stream(&self, port: Port, ssrc: u32) -> Option<&Stream> {
        self.streams.iter().find(|it| it.is(port, ssrc))
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    fn take(
        &mut self,
        look: &Look<'_>,
        streams_max: usize,
        is_enough: impl Fn(Option<&Stream>, Counts, u32) -> bool,
        mut tell: impl FnMut(InterfaceId, Sample),
    ) {
        for endpoint in &look.stats.endpoints {
            let (port, at_s) = (endpoint.port, look.at_s(endpoint));
            for source in &endpoint.sources {
                let place = self.streams.iter().position(|it| it.is(port, source.ssrc));
                let known = place.map(|place| &self.streams[place]);
                // A clock that was set back does not turn the order of samples round.
                let at_s = at_s.max(known.map_or(0, Stream::last_s));
                let counts = Counts::of(source);
                let new = counts.since(known.map(|it| it.counts).unwrap_or_default());
                let has_room = known.is_some() || self.streams.len() < streams_max;
                if new.expected == 0 || !has_room || !is_enough(known, new, at_s) {
                    continue;
                }
                let sample = look.sample(at_s, (endpoint, source), new);
                tell(port.interface, sample);
                let place = place.unwrap_or_else(|| {
                    let interval_s = look.interval_s.max(1).into();
                    let new = Stream::new(port, source.ssrc, interval_s, sample);
                    if self.streams.len() == self.streams.capacity() {
                        self.streams.reserve_exact(STREAMS_USUAL);
                    }
                    self.streams.push(new);
                    self.streams.len() - 1
                });
                self.streams[place].counts = counts;
                self.streams[place].add(sample);
            }
        }
    }
}

impl Look<'_> {
    /// When the newest packet came: seconds since the beginning of the call.
    fn at_s(&self, endpoint: &EndpointStats) -> u32 {
        let newest = self.unix_ms.saturating_sub(endpoint.idle_ms.unwrap_or(0));
        let elapsed = newest.saturating_sub(self.state.created_unix_ms);
        u32::try_from(elapsed / 1_000).unwrap_or(u32::MAX)
    }

    fn sample(
        &self,
        at_s: u32,
        (endpoint, source): (&EndpointStats, &SourceStats),
        new: Counts,
    ) -> Sample {
        let (round_trip_leg_us, round_trip_us) = self.round_trip_us(endpoint.port);
        let score = score(Arrival {
            payload_type: source.payload_type,
            expected: new.expected.into(),
            lost: new.lost.into(),
            jitter_us: source.jitter_us,
            round_trip_us,
        });
        let loss = u64::from(new.lost) * 10_000 / u64::from(new.expected.max(1));
        Sample {
            at_s,
            mos: small(rounded(score, 1_000.0)),
            loss: small(loss),
            jitter: Time::of_us(source.jitter_us),
            round_trip: Time::of_us(round_trip_us),
            round_trip_leg: Time::of_us(round_trip_leg_us),
        }
    }

    /// From the relay to the party at a port and back; and from that party through the relay to the
    /// other one and back, if both ways are known.
    fn round_trip_us(&self, port: Port) -> (Option<u32>, Option<u32>) {
        let near = self.round_trip_of_port(port);
        let far = near.and_then(|_| self.round_trip_of_port(self.opposite(port)?));
        let both = near.zip(far);
        (near, both.map(|(near, far)| near.saturating_add(far)))
    }

    /// Where that arrives which leaves for the party at a port.
    fn opposite(&self, port: Port) -> Option<Port> {
        let (leg, index) = self.state.legs.iter().find_map(|leg| {
            let mut streams = 0..leg.streams.len();
            let index = streams.find(|it| leg.port(*it) == Some(port))?;
            Some((leg, index))
        })?;
        self.state.leg(leg.peer?)?.port(index)
    }

    /// RTCP may have a port of its own, the next.
    fn round_trip_of_port(&self, port: Port) -> Option<u32> {
        let above = Port {
            number: port.number.checked_add(1)?,
            ..port
        };
        let of = |port| {
            let mut endpoints = self.stats.endpoints.iter();
            endpoints.find(|it| it.port == port)?.round_trip_us
        };
        of(port).or_else(|| of(above))
    }
}

impl Counts {
    fn of(source: &SourceStats) -> Self {
        let low = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            expected: low(expected(source)),
            lost: low(source.lost),
        }
    }

    /// What has come since. A relay that was started again counts from 0.
    fn since(self, before: Self) -> Self {
        let Some(expected) = self.expected.checked_sub(before.expected) else {
            return self;
        };
        // What was lost may come yet.
        let lost = self.lost.saturating_sub(before.lost).min(expected);
        Self { expected, lost }
    }
}

impl Stream {
    fn new(port: Port, ssrc: u32, interval_s: u64, first: Sample) -> Self {
        Self {
            port,
            ssrc,
            counts: Counts::default(),
            samples: 0,
            lowest: first,
            highest: first,
            interval_s,
            entries: Vec::new(),
        }
    }

    /// How many samples there are.
    pub(crate) fn samples(&self) -> u32 {
        self.samples
    }

    /// The mean of all.
    pub(crate) fn average(&self) -> Sample {
        let all = self.entries.iter().copied().reduce(Entry::with);
        all.map_or(self.lowest, Entry::mean)
    }

    /// The worst.
    pub(crate) fn lowest(&self) -> Sample {
        self.lowest
    }

    /// The best.
    pub(crate) fn highest(&self) -> Sample {
        self.highest
    }

    /// The progression: the oldest first, one for each interval in which anything came.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Sample> {
        self.entries.iter().copied().map(Entry::mean)
    }

    /// From the beginning of one interval to that of the next, in seconds.
    pub(crate) fn interval_s(&self) -> u64 {
        self.interval_s
    }

    fn is(&self, port: Port, ssrc: u32) -> bool {
        (self.port, self.ssrc) == (port, ssrc)
    }

    fn is_in(&self, stats: &CallStats) -> bool {
        let mut endpoints = stats.endpoints.iter();
        let endpoint = endpoints.find(|it| it.port == self.port);
        endpoint.is_some_and(|it| it.sources.iter().any(|it| it.ssrc == self.ssrc))
    }

    /// When the newest sample ended.
    fn last_s(&self) -> u32 {
        self.entries.last().map_or(0, |it| it.at_s)
    }

    fn add(&mut self, sample: Sample) {
        self.samples = self.samples.saturating_add(1);
        if sample.mos < self.lowest.mos {
            self.lowest = sample;
        }
        if sample.mos > self.highest.mos {
            self.highest = sample;
        }
        let new = Entry::of(sample);
        while self.entries.len() >= ENTRIES_MAX && !self.joins_last(new) {
            self.interval_s *= 2;
            let interval_s = self.interval_s;
            self.entries.dedup_by(|next, kept| {
                let is_one = next.is_within_one(*kept, interval_s);
                if is_one {
                    *kept = kept.with(*next);
                }
                is_one
            });
        }
        if self.joins_last(new) {
            if let Some(last) = self.entries.last_mut() {
                *last = last.with(new);
            }
            return;
        }
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(ENTRIES_MORE);
        }
        self.entries.push(new);
    }

    fn joins_last(&self, new: Entry) -> bool {
        let last = self.entries.last();
        last.is_some_and(|it| it.is_within_one(new, self.interval_s))
    }
}

impl Entry {
    fn of(sample: Sample) -> Self {
        let times = [sample.jitter, sample.round_trip, sample.round_trip_leg].map(Time::known);
        Self {
            at_s: sample.at_s,
            count: 1,
            known: times.map(|it| it.is_some().into()),
            mos: sample.mos.into(),
            loss: sample.loss.into(),
            times: times.map(|it| it.unwrap_or(0).into()),
        }
    }

    /// Both together; the other is the later one.
    fn with(mut self, mut later: Self) -> Self {
        // More than 65,535 samples keep their proportion.
        while self.count.checked_add(later.count).is_none() {
            self.halve();
            later.halve();
        }
        let sums = |[a, b, c]: [u32; 3], [d, e, f]: [u32; 3]| [a + d, b + e, c + f];
        let counts = |[a, b, c]: [u16; 3], [d, e, f]: [u16; 3]| [a + d, b + e, c + f];
        Self {
            at_s: later.at_s,
            count: self.count + later.count,
            known: counts(self.known, later.known),
            mos: self.mos + later.mos,
            loss: self.loss + later.loss,
            times: sums(self.times, later.times),
        }
    }

    /// The same as half as many samples have it.
    fn halve(&mut self) {
        let half = |sum: u32, count: u16| {
            let mean = sum / u32::from(count.max(1));
            mean * u32::from(count.div_ceil(2))
        };
        self.mos = half(self.mos, self.count);
        self.loss = half(self.loss, self.count);
        self.count = self.count.div_ceil(2);
        for (time, known) in self.times.iter_mut().zip(&mut self.known) {
            *time = half(*time, *known);
            *known = known.div_ceil(2);
        }
    }

    fn mean(self) -> Sample {
        let count = u32::from(self.count.max(1));
        let time = |index: usize| {
            let mean = self.times[index].checked_div(self.known[index].into());
            mean.map_or(Time::UNKNOWN, |mean| Time::of_tenths(small(mean.into())))
        };
        Sample {
            at_s: self.at_s,
            mos: small((self.mos / count).into()),
            loss: small((self.loss / count).into()),
            jitter: time(0),
            round_trip: time(1),
            round_trip_leg: time(2),
        }
    }

    fn is_within_one(self, other: Self, interval_s: u64) -> bool {
        u64::from(self.at_s) / interval_s == u64::from(other.at_s) / interval_s
    }
}

impl Sample {
    /// Of 1.0 to 4.5, in tenths.
    pub(crate) fn mos_tenths(self) -> u64 {
        u64::from(self.mos + 50) / 100
    }

    pub(crate) fn mos(self) -> f64 {
        f64::from(self.mos) / 1_000.0
    }

    pub(crate) fn loss_percent(self) -> u64 {
        u64::from(self.loss) / 100
    }

    pub(crate) fn loss(self) -> f64 {
        f64::from(self.loss) / 10_000.0
    }

    pub(crate) fn jitter_us(self) -> Option<u32> {
        self.jitter.us()
    }

    pub(crate) fn round_trip_us(self) -> Option<u32> {
        self.round_trip.us()
    }

    pub(crate) fn round_trip_leg_us(self) -> Option<u32> {
        self.round_trip_leg.us()
    }
}

impl Time {
    const UNKNOWN: Self = Self(u16::MAX);

    fn of_us(us: Option<u32>) -> Self {
        us.map_or(Self::UNKNOWN, |us| {
            Self::of_tenths(small((us / 100).into()))
        })
    }

    fn of_tenths(tenths: u16) -> Self {
        Self(tenths.min(u16::MAX - 1))
    }

    fn known(self) -> Option<u16> {
        (self != Self::UNKNOWN).then_some(self.0)
    }

    fn us(self) -> Option<u32> {
        self.known().map(|tenths| u32::from(tenths) * 100)
    }
}

fn small(number: u64) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;

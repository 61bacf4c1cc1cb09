//! Keys: events as events, events as tones, tones as events.

use std::collections::VecDeque;

use codec::telephone_event::{self, Heard, Receiver, Sender};
use codec::tone::{Detector, Edge, Generator};
use codec::{Codec, g711};

use super::Stream;
use crate::counters::DropReason;
use crate::far::Beside;
use crate::near::FULL_SAMPLES_MAX;
use crate::pacer::MS;
use crate::plan::Plan;

/// An event of which nothing has come for so long has ended: three packets of 50 ms and a little.
const STALE: u64 = 200 * MS;

/// Speech that is sent beside an event is not from longer before it, in milliseconds.
const BESIDE_MS: u32 = 200;

/// What one packet may make a tone longer by, in milliseconds: some packets were lost before it.
const TONE_STEP_MS_MAX: u64 = 200;

/// Samples of a tone that are made at once.
const SUNG_AT_ONCE: usize = 960;

/// The longest packet that is said to its end when a key is heard in it, in milliseconds.
const WHOLE_MS_MAX: u64 = 20;

/// Edges that wait for their packet: those of 200 ms in which each block sounds like another key.
const EDGES_MAX: usize = 32;

#[derive(Debug)]
pub(super) struct Keys {
    receiver: Receiver,
    sender: Sender,
    generator: Generator,
    /// Where on the timeline the event begins that is going on.
    begin: u64,
    /// When something of it last came.
    heard_at: u64,
    detector: Option<Box<Detector>>,
    /// Keys that were heard to begin and to end, and where.
    edges: VecDeque<(u64, Edge)>,
    says: Says,
    /// The near side says events, and the far side has none.
    sings: bool,
}

/// What the packet that is being filled says, if keys are listened for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Says {
    Speech,
    /// The key that was heard before it began.
    Key,
    /// The same, for the last time.
    KeyEnd,
}

impl Keys {
    pub(super) fn new(plan: &Plan) -> Self {
        let detector = || Box::new(Detector::new(plan.from.codec.rate()));
        let edges_max = if plan.listens_for_keys() {
            EDGES_MAX
        } else {
            0
        };
        Self {
            receiver: Receiver::new(),
            sender: Sender::new(),
            generator: Generator::new(plan.rate()),
            begin: 0,
            heard_at: 0,
            detector: plan.listens_for_keys().then(detector),
            edges: VecDeque::with_capacity(edges_max),
            says: Says::Speech,
            sings: plan.from.events.is_some() && plan.to.events.is_none(),
        }
    }

    /// Another source follows.
    pub(super) fn reset(&mut self, plan: &Plan) {
        self.receiver = Receiver::new();
        self.edges.clear();
        self.says = Says::Speech;
        if let Some(detector) = &mut self.detector {
            **detector = Detector::new(plan.from.codec.rate());
        }
    }

    /// An event is going on: speech beside it would be heard as a second one.
    pub(super) fn is_event_heard(&self) -> bool {
        self.receiver.is_active()
    }

    pub(super) fn poll_timeout(&self) -> Option<u64> {
        self.receiver.is_active().then_some(self.heard_at + STALE)
    }

    /// Listens to what the near side says. `place_of` tells where on the timeline it is after so
    /// many samples.
    pub(super) fn listen(&mut self, decoded: &[i16], place_of: impl Fn(usize) -> u64) {
        let Some(detector) = &mut self.detector else {
            return;
        };
        let edges = &mut self.edges;
        detector.listen(decoded, |heard, edge| {
            if edges.len() == EDGES_MAX {
                edges.pop_front();
            }
            edges.push_back((place_of(heard), edge));
        });
    }

    /// A key is said, or will be.
    pub(super) fn is_busy(&self) -> bool {
        self.says != Says::Speech || !self.edges.is_empty()
    }

    /// A packet begins at this place: what it says. A key that begins with it is told, with its
    /// volume. What was heard before it counts, and of that one key alone, so that none is lost in
    /// long packets.
    fn turn(&mut self, place: u64) -> Option<(u8, u8)> {
        while let Some(&(at, edge)) = self.edges.front()
            && at <= place
        {
            match edge {
                Edge::Began { event, volume } if self.says == Says::Speech => {
                    self.edges.pop_front();
                    self.says = Says::Key;
                    return Some((event, volume));
                }
                Edge::Ended { .. } if self.says == Says::Speech => {
                    self.edges.pop_front();
                }
                _ => {
                    if let Edge::Ended { .. } = edge {
                        self.edges.pop_front();
                    }
                    self.says = Says::KeyEnd;
                    return None;
                }
            }
        }
        None
    }

    /// A packet that says a key is full up to this place; whether it is the last. A long packet is
    /// if the key was heard to end in it; after a short one it is the next.
    fn is_last(&mut self, place: u64, is_long: bool) -> bool {
        if let Some((at, Edge::Ended { .. })) = self.edges.front()
            && is_long
            && *at <= place
        {
            self.edges.pop_front();
            self.says = Says::KeyEnd;
        }
        self.says == Says::KeyEnd
    }

    /// From where on a packet that says speech is silent, since a key was heard in it.
    fn silent_from(&self) -> Option<u64> {
        let (at, edge) = self.edges.front()?;
        (self.says == Says::Speech && matches!(edge, Edge::Began { .. })).then_some(*at)
    }
}

impl Stream {
    pub(super) fn handle_event(&mut self, now: u64, timestamp: u32, payload: &[u8]) {
        if telephone_event::Payload::parse(payload).is_none() {
            return self.counters.drop_one(DropReason::Malformed);
        }
        let Some(heard) = self.keys.receiver.handle_packet(timestamp, payload) else {
            return;
        };
        self.keys.heard_at = now;
        self.missing = 0;
        if heard.is_new {
            self.begin_event(now, &heard);
        }
        self.continue_event(now, &heard);
    }

    /// Timestamps have gone elsewhere. If that is back behind the last event, by more than speech
    /// that is sent beside it may be, the next one is not an old one.
    pub(super) fn forget_event(&mut self, ticks: i64) {
        let clock_hz = self.plan.from.codec.rtp_clock_hz();
        if self
            .plan
            .from
            .events
            .is_none_or(|it| it.clock_hz != clock_hz)
        {
            return;
        }
        let [.., a, b, c, d] = (ticks + i64::from(clock_hz / 1_000 * BESIDE_MS)).to_be_bytes();
        self.keys
            .receiver
            .handle_step(u32::from_be_bytes([a, b, c, d]));
    }

    fn begin_event(&mut self, now: u64, heard: &Heard) {
        if !self.keys.sings {
            self.settle(now);
        }
        self.keys.begin = self.place_of_event(heard.timestamp);
        if self.keys.sings {
            self.keys.generator.begin(heard.event, heard.volume);
            let pause = self.keys.begin - self.far.end();
            if pause > 0 {
                self.skip(now, pause);
            }
        } else if let Some(events) = self.plan.to.events {
            let timestamp = self.far.timestamp(self.keys.begin, events.clock_hz);
            self.keys.sender.begin(timestamp, heard.event, heard.volume);
        }
        self.pause.note();
    }

    /// Where an event of this timestamp begins: not before what is already said, since an event
    /// takes the place of speech.
    fn place_of_event(&mut self, timestamp: u32) -> u64 {
        let end = self.far.end();
        let clock_hz = self.plan.from.events.map(|it| it.clock_hz);
        if clock_hz != Some(self.plan.from.codec.rtp_clock_hz()) {
            return end;
        }
        let ticks = self.timeline.extend(timestamp);
        let place = self
            .timeline
            .place(ticks)
            .and_then(|it| u64::try_from(it).ok());
        match place {
            Some(place) if place > end && place - end <= self.samples(60_000) => place,
            Some(place) if place <= end && end - place <= self.samples(100) => end,
            _ => {
                self.timeline.set_origin(ticks, end);
                end
            }
        }
    }

    fn continue_event(&mut self, now: u64, heard: &Heard) {
        let from_hz = self.plan.from.events.map_or(8_000, |it| it.clock_hz);
        let (rate_hz, channels) = (self.plan.rate().hz(), self.plan.rate().channels());
        let lasted = telephone_event::rescale(heard.duration, from_hz, rate_hz.into());
        let end = self.keys.begin + lasted * u64::from(channels);
        if self.keys.sings {
            self.sing(now, end.saturating_sub(self.far.end()));
            if heard.is_end {
                self.keys.generator.end();
            }
            return;
        }
        self.say_event(now, end, heard.is_end);
    }

    /// Sends a packet of the event that has lasted to this place, or three if it has ended.
    fn say_event(&mut self, now: u64, end: u64, is_end: bool) {
        let Some(events) = self.plan.to.events else {
            return;
        };
        self.keys
            .sender
            .extend(self.far.timestamp(end, events.clock_hz));
        if is_end {
            self.keys.sender.end();
        }
        // Where it has come to a packet ago, since its packets do not wait to be filled.
        let place = end
            .saturating_sub(self.far.packet_samples())
            .max(self.keys.begin);
        let mut after = 0;
        while let Some(packet) = self.keys.sender.poll_packet() {
            let head = Beside {
                payload_type: events.payload_type,
                marker: packet.marker,
                timestamp: packet.timestamp,
                after,
            };
            self.far
                .send(now, place, head, &packet.payload, &mut self.counters);
            after += self.far.packet_ns();
            if !is_end {
                break;
            }
        }
    }

    /// Makes so many samples of the tone that is going on.
    fn sing(&mut self, now: u64, samples: u64) {
        let samples = samples.min(self.samples(TONE_STEP_MS_MAX));
        let mut samples = usize::try_from(samples).unwrap_or(0);
        let mut tone = [0; SUNG_AT_ONCE];
        while samples > 0 {
            let tone = &mut tone[..samples.min(SUNG_AT_ONCE)];
            self.keys.generator.generate(tone);
            round(self.plan.to.codec, tone);
            self.far.push(now, tone, &mut self.counters);
            samples -= tone.len();
        }
        self.pause.note_overrun(self.samples(TONE_STEP_MS_MAX));
    }

    /// Ends an event of which nothing comes any more.
    pub(super) fn end_stale_event(&mut self, now: u64) {
        if self.keys.poll_timeout().is_some_and(|it| it <= now) {
            self.end_event(now);
        }
    }

    pub(super) fn end_event(&mut self, now: u64) {
        if let Some(heard) = self.keys.receiver.handle_timeout() {
            self.continue_event(now, &heard);
        }
        if self.keys.says != Says::Speech {
            self.say_event(now, self.far.end(), true);
            self.keys.says = Says::Speech;
        }
        self.keys.edges.clear();
    }

    /// Adds samples, of which packets are filled. One that begins when a key was heard says that
    /// key instead.
    pub(super) fn push(&mut self, now: u64, samples: &[i16]) {
        if self.keys.detector.is_none() {
            return self.far.push(now, samples, &mut self.counters);
        }
        let mut rest = samples;
        while !rest.is_empty() {
            if !self.far.is_begun() {
                self.begin_key();
            }
            let (these, others) = rest.split_at(self.len_alike(rest.len()));
            self.push_alike(now, these);
            rest = others;
        }
    }

    /// A packet begins, and a key perhaps with it.
    fn begin_key(&mut self) {
        let place = self.far.end();
        if let Some((event, volume)) = self.keys.turn(place)
            && let Some(events) = self.plan.to.events
        {
            self.keys.begin = place;
            let timestamp = self.far.timestamp(place, events.clock_hz);
            self.keys.sender.begin(timestamp, event, volume);
        }
    }

    /// How many of so many samples are in the packet that is being filled, and are said or not said
    /// alike.
    fn len_alike(&self, samples: usize) -> usize {
        let len = samples.min(self.far.room());
        let until = self
            .silent_from()
            .map_or(0, |it| it.saturating_sub(self.far.end()));
        match usize::try_from(until) {
            Ok(until) if until > 0 => len.min(until),
            _ => len,
        }
    }

    /// Only of long packets: who understands events hears little enough of the tone in others, and
    /// they stay whole.
    fn silent_from(&self) -> Option<u64> {
        self.keys.silent_from().filter(|_| self.is_long())
    }

    fn is_long(&self) -> bool {
        self.far.packet_samples() > self.samples(WHOLE_MS_MAX)
    }

    fn push_alike(&mut self, now: u64, samples: &[i16]) {
        if self.keys.says != Says::Speech {
            if self.far.withhold(samples.len()) {
                self.say_key(now);
            }
        } else if self.silent_from().is_some_and(|it| it <= self.far.end()) {
            static SILENCE: [i16; FULL_SAMPLES_MAX] = [0; FULL_SAMPLES_MAX];
            let silence = &SILENCE[..samples.len().min(FULL_SAMPLES_MAX)];
            self.far.push(now, silence, &mut self.counters);
        } else {
            self.far.push(now, samples, &mut self.counters);
        }
    }

    /// Says the key for as long as a packet that was filled.
    fn say_key(&mut self, now: u64) {
        let is_long = self.is_long();
        let is_end = self.keys.is_last(self.far.end(), is_long);
        self.counters.drop_one(DropReason::Suppressed);
        self.say_event(now, self.far.end(), is_end);
        // What is missing now is no loss: nothing was being said.
        self.pause.note();
        if is_end {
            self.keys.says = Says::Speech;
        }
    }
}

/// Rounds a tone to what G.711 can say.
fn round(codec: Codec, tone: &mut [i16]) {
    for sample in tone {
        *sample = match codec {
            Codec::Pcmu => g711::ULAW.nearest(*sample),
            Codec::Pcma => g711::ALAW.nearest(*sample),
            _ => return,
        };
    }
}

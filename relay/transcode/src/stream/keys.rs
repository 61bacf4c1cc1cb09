//! Keys: events as events, events as tones, tones as events.

use codec::telephone_event::{self, Heard, Receiver, Sender};
use codec::tone::{Detector, Edge, Generator};

use super::Stream;
use crate::counters::DropReason;
use crate::far::Beside;
use crate::near::SAMPLES_MAX;
use crate::pacer::MS;
use crate::plan::Plan;

/// An event of which nothing has come for so long has ended: three packets of 50 ms and a little.
const STALE: u64 = 200 * MS;

/// What one packet may make a tone longer by, in milliseconds: some packets were lost before it.
const TONE_STEP_MS_MAX: u64 = 200;

/// In which a tone fades away, in milliseconds.
const TONE_END_MS: u64 = 5;

/// How much of a tone has passed when it is told, in milliseconds, at least.
const TONE_TOLD_MS: u64 = 25;

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
    edges: Edges,
    /// The near side says events, and the far side has none.
    sings: bool,
}

/// What a listener told of one packet.
#[derive(Clone, Copy, Debug, Default)]
struct Edges {
    began: Option<(u8, u8)>,
    did_end: bool,
    is_held: bool,
}

impl Keys {
    pub(super) fn new(plan: &Plan) -> Self {
        let detector = || Box::new(Detector::new(plan.from.codec.rate()));
        Self {
            receiver: Receiver::new(),
            sender: Sender::new(),
            generator: Generator::new(plan.rate()),
            begin: 0,
            heard_at: 0,
            detector: plan.listens_for_keys().then(detector),
            edges: Edges::default(),
            sings: plan.from.events.is_some() && plan.to.events.is_none(),
        }
    }

    /// Another source follows.
    pub(super) fn reset(&mut self, plan: &Plan) {
        self.receiver = Receiver::new();
        self.edges = Edges::default();
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

    /// Listens to what the near side says; whether it is a key, and so to be said as an event.
    pub(super) fn takes_away(&mut self, decoded: &[i16]) -> bool {
        let Some(detector) = &mut self.detector else {
            return false;
        };
        let edges = &mut self.edges;
        edges.began = None;
        detector.listen(decoded, |edge| match edge {
            Edge::Began { event, volume } => edges.began = Some((event, volume)),
            Edge::Ended { .. } => edges.did_end = true,
        });
        edges.is_held = detector.held().is_some();
        edges.is_held
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
        self.is_one_missing = false;
        if heard.is_new {
            self.begin_event(now, &heard);
        }
        self.continue_event(now, &heard);
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
        let rate_hz = u32::from(self.plan.rate().hz());
        let end = self.keys.begin + telephone_event::rescale(heard.duration, from_hz, rate_hz);
        if self.keys.sings {
            self.sing(now, end.saturating_sub(self.far.end()));
            if heard.is_end {
                self.keys.generator.end();
                self.sing(now, self.samples(TONE_END_MS));
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
        let mut tone = [0; SAMPLES_MAX];
        let tone = &mut tone[..usize::try_from(samples).unwrap_or(0).min(SAMPLES_MAX)];
        self.keys.generator.generate(tone);
        self.far.push(now, tone, &mut self.counters);
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
        if std::mem::take(&mut self.keys.edges.is_held) {
            self.say_event(now, self.far.end(), true);
        }
    }

    /// Says the key that is heard, instead of so many samples.
    pub(super) fn replace_by_event(&mut self, now: u64, samples: u64) {
        if let Some((event, volume)) = self.keys.edges.began.take() {
            self.report_key_end(now);
            self.far.blank();
            self.settle(now);
            let told = self.samples(TONE_TOLD_MS);
            self.keys.begin = self.far.end().saturating_sub(told);
            if let Some(events) = self.plan.to.events {
                let timestamp = self.far.timestamp(self.keys.begin, events.clock_hz);
                self.keys.sender.begin(timestamp, event, volume);
            }
        }
        self.counters.drop_one(DropReason::Suppressed);
        self.pause.note();
        self.settle(now);
        let samples = self.pause.beyond_overrun(samples);
        self.far.skip(samples);
        self.say_event(now, self.far.end(), false);
    }

    /// Says that the key that was heard is over, if it is.
    pub(super) fn report_key_end(&mut self, now: u64) {
        if std::mem::take(&mut self.keys.edges.did_end) && self.keys.sender.is_active() {
            self.say_event(now, self.far.end(), true);
        }
    }
}

//! Pauses: nothing is sent, or comfort noise is said, or made.

use codec::comfort_noise::{Analyzer, Description, Generator, PAYLOAD_LEN_MAX};

use super::Stream;
use crate::counters::DropReason;
use crate::far::Beside;
use crate::near::SAMPLES_MAX;
use crate::pacer::MS;

/// For how long noise is made when nothing at all comes, in nanoseconds.
const ALONE_MAX: u64 = 60_000 * MS;

/// A packet that has begun is completed when nothing has come for so long after its time. What
/// comes later than that finds its place taken by what was made up, so this is longer than senders
/// and networks stand still.
const FLUSH_AFTER: u64 = 500 * MS;

/// Whoever looks so long after he wanted to has stood still himself, and what came meanwhile is yet
/// to be read.
const OVERSLEPT: u64 = 20 * MS;

/// Packets of noise that one call makes at most.
const PACKETS_AT_ONCE: usize = 8;

/// Speech so faint may be silence, in dB below overload.
const FAINT: u8 = 45;

/// For how long it must be so, in milliseconds.
const FAINT_MS: u64 = 200;

/// What noise must change by to be said again, in dB.
const CHANGE_DB: u8 = 4;

/// Coefficients of noise that is said.
const ORDER: usize = 8;

#[derive(Debug)]
pub(super) struct Pause {
    state: State,
    /// Samples on the timeline that the near side has not said.
    overrun: u64,
    generator: Generator,
    has_description: bool,
    analyzer: Analyzer,
    /// The level that was said last.
    said: Option<u8>,
    /// Samples of faint speech so far.
    faint: u64,
    /// The packet that has begun is not completed before.
    flush_from: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Speech comes.
    Speech,
    /// Nothing comes, and nothing leaves.
    Quiet,
    /// Noise is made; of the near side something came last at this time.
    Noise(u64),
}

impl Pause {
    pub(super) fn new() -> Self {
        Self {
            state: State::Speech,
            overrun: 0,
            generator: Generator::new(),
            has_description: false,
            analyzer: Analyzer::new(),
            said: None,
            faint: 0,
            flush_from: 0,
        }
    }

    /// Whether what is missing now is a pause.
    pub(super) fn is_on(&self) -> bool {
        self.state != State::Speech
    }

    /// Nothing is said for a while.
    pub(super) fn note(&mut self) {
        if self.state == State::Speech {
            self.state = State::Quiet;
        }
    }

    /// Speech comes, of which so much is still claimed by what was made before.
    pub(super) fn begin_speech(&mut self, overrun: u64) {
        self.state = State::Speech;
        self.overrun = overrun;
    }

    /// Samples at the end of the timeline that speech may still claim.
    pub(super) fn overrun(&self) -> u64 {
        self.overrun
    }

    /// What is left of so many samples when those that were already made are taken off.
    pub(super) fn beyond_overrun(&mut self, samples: u64) -> u64 {
        let made = self.overrun.min(samples);
        self.overrun -= made;
        samples - made
    }

    /// So much of what was made may turn out to be another's.
    pub(super) fn note_overrun(&mut self, samples: u64) {
        self.overrun = self.overrun.max(samples);
    }

    fn describe(&mut self, description: &Description) {
        self.generator.describe(description);
        self.has_description = true;
    }
}

impl Stream {
    /// Comfort noise of the near side.
    pub(super) fn handle_noise(&mut self, now: u64, timestamp: u32, payload: &[u8]) {
        let Some(description) = Description::parse(payload) else {
            return self.counters.drop_one(DropReason::Malformed);
        };
        let ticks = self.timeline.extend(timestamp);
        self.missing = 0;
        self.pause.describe(&description);
        if self.keys.is_event_heard() {
            return;
        }
        let end = self.far.end();
        let place = self
            .timeline
            .place(ticks)
            .and_then(|it| u64::try_from(it).ok());
        match place {
            Some(place) if place > end && place - end <= self.samples(600_000) => {
                self.skip(now, place - end);
            }
            Some(place) if end - place.min(end) <= self.pause.overrun() => {}
            _ => self.timeline.set_origin(ticks, end),
        }
        self.hush(now, &description);
    }

    /// A pause begins, or goes on with other noise.
    fn hush(&mut self, now: u64, description: &Description) {
        let Some(payload_type) = self.plan.to.comfort_noise else {
            self.pause.state = State::Noise(now);
            return;
        };
        self.settle(now);
        self.pause.state = State::Quiet;
        self.pause.said = Some(description.level());
        let mut payload = [0; PAYLOAD_LEN_MAX];
        let len = description.emit(&mut payload);
        let clock_hz = self.plan.to.codec.rtp_clock_hz();
        let head = Beside {
            payload_type,
            marker: false,
            timestamp: self.far.timestamp(self.far.end(), clock_hz),
            after: 0,
        };
        self.far.send(
            now,
            self.far.end(),
            head,
            &payload[..len],
            &mut self.counters,
        );
        self.far.begin_source();
    }

    /// Completes the packet that is being filled, so that nothing of it waits through a pause.
    pub(super) fn settle(&mut self, now: u64) {
        self.far.flush_frames(now, &mut self.counters);
        if self.far.is_begun() {
            let room = self.far.room() as u64;
            self.pad(now, room);
            self.pause.overrun += room;
        }
    }

    /// Time passes in which nothing is said.
    pub(super) fn skip(&mut self, now: u64, samples: u64) {
        self.far.flush_frames(now, &mut self.counters);
        let mut samples = samples;
        if self.far.is_begun() {
            let room = (self.far.room() as u64).min(samples);
            self.pad(self.on_time(now), room);
            samples -= room;
        }
        if let State::Noise(_) = self.pause.state {
            // The timer has made most of it; the rest is what it lags behind by.
            let made = samples.min(self.samples(100));
            self.pad(now, made);
            samples -= made;
            if samples > 0 && self.far.is_begun() {
                let room = (self.far.room() as u64).min(samples);
                self.pad(now, room);
                samples -= room;
            }
        }
        if samples > 0 {
            self.far.skip(samples);
        }
    }

    /// Fills with noise if it is known what that sounds like, else with what fades away.
    fn pad(&mut self, now: u64, samples: u64) {
        if !self.pause.has_description {
            return self.conceal(now, samples, None);
        }
        let mut noise = [0; SAMPLES_MAX];
        let mut samples = usize::try_from(samples).unwrap_or(0);
        while samples > 0 {
            let len = samples.min(SAMPLES_MAX);
            self.pause.generator.generate(&mut noise[..len]);
            self.push(now, &noise[..len]);
            samples -= len;
        }
    }

    /// When the packet that has begun is completed, so that the end of what was said does not wait
    /// for what is said next.
    pub(super) fn flush_due(&self) -> Option<u64> {
        if !self.far.is_begun() || matches!(self.pause.state, State::Noise(_)) {
            return None;
        }
        let due = self.far.time_of_packet()? + self.far.packet_ns() + FLUSH_AFTER;
        Some(due.max(self.pause.flush_from))
    }

    /// Completes the packet that has begun, if that is due.
    pub(super) fn flush(&mut self, now: u64) {
        let Some(due) = self.flush_due().filter(|it| *it <= now) else {
            return;
        };
        if now - due > OVERSLEPT {
            self.pause.flush_from = now + FLUSH_AFTER;
            return;
        }
        self.settle(self.on_time(now));
    }

    /// When the packet that has begun was to leave: what completes it late on purpose is not to
    /// move the schedule.
    fn on_time(&self, now: u64) -> u64 {
        let on_time = self.far.time_of_packet().unwrap_or(now);
        on_time.min(now)
    }

    /// When a packet of noise is to be made: a packet time after it would have left, so that
    /// speech which comes in time is not too late.
    pub(super) fn noise_due(&self) -> Option<u64> {
        match self.pause.state {
            State::Noise(_) => Some(self.far.time_of_packet()? + self.far.packet_ns()),
            _ => None,
        }
    }

    /// Makes the noise that is due.
    pub(super) fn make_noise(&mut self, now: u64) {
        for _ in 0..PACKETS_AT_ONCE {
            let State::Noise(since) = self.pause.state else {
                return;
            };
            if self.noise_due().is_none_or(|it| it > now) {
                return;
            }
            if now.saturating_sub(since) > ALONE_MAX {
                self.pause.state = State::Quiet;
                return;
            }
            let room = self.far.room() as u64;
            // It is late on purpose, and that is not to move the schedule.
            let on_time = now.saturating_sub(self.far.packet_ns());
            self.pad(on_time, room);
            self.pause.overrun += room;
        }
        // Nobody has called for long: that time is lost.
        if let Some(passed) = self.far.place_at(now) {
            let passed = passed.saturating_sub(self.far.end());
            if passed > 0 && !self.far.is_begun() {
                self.far.skip(passed);
                self.pause.overrun += passed;
            }
        }
    }

    /// Listens whether speech pauses; `is_told` if the codec itself says so.
    pub(super) fn is_silence(&mut self, samples: &[i16], is_told: bool) -> bool {
        let says_noise = self.plan.to.comfort_noise.is_some();
        if is_told {
            self.pause.analyzer.listen(samples);
            let description = self.pause.analyzer.describe(ORDER);
            self.pause.describe(&description);
            return says_noise;
        }
        let mut alone = Analyzer::new();
        if self.plan.suppresses_silence && says_noise {
            alone.listen(samples);
        }
        if alone.describe(0).level() < FAINT || !(self.plan.suppresses_silence && says_noise) {
            self.pause.faint = 0;
            self.pause.said = None;
            return false;
        }
        self.pause.analyzer.listen(samples);
        self.pause.faint += samples.len() as u64;
        self.pause.faint >= self.samples(FAINT_MS)
    }

    /// Says what silence sounds like, instead of so many samples.
    pub(super) fn say_silence(&mut self, now: u64, samples: u64) {
        let description = self.pause.analyzer.describe(ORDER);
        self.settle(now);
        let said = self.pause.said;
        if said.is_none_or(|it| it.abs_diff(description.level()) >= CHANGE_DB) {
            self.pause.describe(&description);
            self.hush(now, &description);
        }
        let samples = self.pause.beyond_overrun(samples);
        self.far.skip(samples);
    }
}

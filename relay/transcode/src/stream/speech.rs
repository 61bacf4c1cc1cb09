//! Packets of speech: where on the timeline they belong, and what is between them.

use codec::{Codec, gsm};

use super::Stream;
use crate::counters::DropReason;
use crate::near::{FULL_SAMPLES_MAX, PACKET_MS_MAX, SAMPLES_MAX};

/// How much of a loss is made up, in milliseconds: after that all concealment has faded away.
const CONCEALED_MS_MAX: u64 = 100;

/// Timestamps that are so much further than time, in milliseconds, count from somewhere else.
const HASTE_MS_MAX: u64 = 200;

/// Numbers that are passed over at once: a third of what receivers take for a jump (`MAX_DROPOUT` of
/// RFC 3550 A.1).
const SKIPPED_MAX: u64 = 1_000;

/// A pause so long makes a decoder forget, in milliseconds.
const FORGET_MS: u64 = 1_000;

/// Opus: a packet so short is a sign of life in a pause (RFC 7587 §3.1.3).
const OPUS_SID_LEN_MAX: usize = 2;

/// A frame of GSM whose place is known, and what is to be done with its samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct PutOff {
    frame: [u8; gsm::FRAME_LEN],
    /// When it came.
    now: u64,
    /// Its first samples, of the far side, that are already said.
    overlap: u64,
}

impl Stream {
    pub(super) fn handle_speech(&mut self, now: u64, timestamp: u32, payload: &[u8]) {
        let codec = self.plan.from.codec;
        let Ok(near_samples) = codec.samples_in(payload) else {
            self.missing += 1;
            return self.counters.drop_one(DropReason::Malformed);
        };
        if near_samples > codec.rate().samples(PACKET_MS_MAX) {
            self.missing += 1;
            return self.counters.drop_one(DropReason::TooLong);
        }
        let missing = std::mem::take(&mut self.missing);
        let ticks = self.timeline.extend(timestamp);
        if self.keys.is_event_heard() {
            // What is missing when speech goes on is a pause, not a loss.
            self.pause.note();
            return self.counters.drop_one(DropReason::Suppressed);
        }
        let far_samples = self.far_samples(near_samples);
        self.far.set_arriving(far_samples);
        let (overlap, made_up) = self.place_speech(now, ticks, missing > 0, payload);
        self.skip_numbers(missing.saturating_mul(far_samples).saturating_sub(made_up));
        self.pause.begin_speech(overlap.saturating_sub(far_samples));
        self.add_speech(now, payload, far_samples, overlap);
    }

    /// Brings the timeline to where a packet belongs: how many samples of it are already said, and how
    /// many were made up before it.
    fn place_speech(&mut self, now: u64, ticks: i64, is_lost: bool, next: &[u8]) -> (u64, u64) {
        let end = self.far.end();
        let place = self.timeline.place(ticks);
        let at = place.and_then(|it| u64::try_from(it).ok());
        match at {
            Some(at) if at <= end && end - at <= self.pause.overrun() => (end - at, 0),
            Some(at) if at > end && !self.is_step(now, at - end) => {
                (0, self.bridge(now, at - end, is_lost, next))
            }
            _ => {
                self.counters.timestamp_jumps += u64::from(place.is_some());
                if at.is_some_and(|at| at > end) {
                    self.skip_to(now);
                }
                self.timeline.set_origin(ticks, self.far.end());
                self.forget_event(ticks);
                (0, 0)
            }
        }
    }

    /// Whether timestamps have gone on by so much more than time has: their sender counts from
    /// somewhere else now, and what is between was never there.
    fn is_step(&self, now: u64, missing: u64) -> bool {
        let passed = self.far.place_at(now).unwrap_or(0);
        missing.saturating_sub(passed.saturating_sub(self.far.end())) > self.samples(HASTE_MS_MAX)
    }

    /// So much was lost and not made up: the numbers of what leaves show it (RFC 3550 §7.1), so that
    /// its receiver can count it, and do about it what it can.
    fn skip_numbers(&mut self, samples: u64) {
        let numbers = samples / self.far.packet_samples();
        self.far.skip_numbers(numbers.min(SKIPPED_MAX));
    }

    /// Samples of the far side that so many of the near side are.
    fn far_samples(&self, near: usize) -> u64 {
        let (from, to) = (self.plan.from.codec.rate(), self.plan.rate());
        near as u64 * u64::from(to.per_second()) / u64::from(from.per_second())
    }

    /// Fills what is missing before a packet: a loss with what might have been said, a pause with
    /// nothing. How many samples were made up.
    fn bridge(&mut self, now: u64, missing: u64, is_lost: bool, next: &[u8]) -> u64 {
        let mut missing = missing;
        let mut made_up = 0;
        if is_lost && !self.pause.is_on() && self.near.is_some() {
            made_up = missing.min(self.concealed_max());
            self.conceal(now, made_up, Some(next));
            self.counters.concealed_ms += made_up / self.samples(1);
            missing -= made_up;
        } else {
            self.counters.pauses += 1;
        }
        if missing == 0 {
            return made_up;
        }
        self.skip(now, missing);
        if missing > self.samples(FORGET_MS)
            && let Some(near) = &mut self.near
            && near.reset().is_err()
        {
            self.counters.drop_one(DropReason::Codec);
        }
        made_up
    }

    /// As many whole frames as the bound allows.
    fn concealed_max(&self) -> u64 {
        let frame = self
            .far_samples(self.plan.from.codec.frame_samples())
            .max(1);
        (self.samples(CONCEALED_MS_MAX) / frame).max(1) * frame
    }

    /// Makes up so many samples of the far side.
    pub(super) fn conceal(&mut self, now: u64, samples: u64, next: Option<&[u8]>) {
        if self.plan.rate().is_full() {
            self.conceal_in::<FULL_SAMPLES_MAX>(now, samples, next);
        } else {
            self.conceal_in::<SAMPLES_MAX>(now, samples, next);
        }
    }

    /// The same with room for so many samples. Not inlined: 8 kHz are not to pay for the room of 48.
    #[inline(never)]
    fn conceal_in<const ROOM: usize>(&mut self, now: u64, samples: u64, next: Option<&[u8]>) {
        let (from, to) = (self.plan.from.codec.rate(), self.plan.rate());
        let Some(near) = &mut self.near else {
            return;
        };
        let (mut made_up, mut resampled) = ([0; ROOM], [0; ROOM]);
        let wanted = usize::try_from(samples).unwrap_or(usize::MAX);
        let len = wanted
            .saturating_mul(from.hz().into())
            .div_ceil(to.hz().into());
        let made_up = &mut made_up[..len.min(ROOM)];
        near.conceal(next, made_up);
        let far = near.resample(made_up, &mut resampled);
        self.push(now, &far[..far.len().min(wanted)]);
    }

    fn add_speech(&mut self, now: u64, payload: &[u8], far_samples: u64, overlap: u64) {
        if overlap >= far_samples {
            return self.counters.drop_one(DropReason::Overlap);
        }
        let Some(near) = &mut self.near else {
            let samples = usize::try_from(far_samples).unwrap_or(0);
            return self
                .far
                .push_payload(now, payload, samples, &mut self.counters);
        };
        if near.gsm_mut().is_some()
            && let Ok(frame) = payload.try_into()
        {
            self.put_off = Some(PutOff {
                frame,
                now,
                overlap,
            });
            return;
        }
        if self.plan.rate().is_full() {
            self.decode_in::<FULL_SAMPLES_MAX>(now, payload, overlap);
        } else {
            self.decode_in::<SAMPLES_MAX>(now, payload, overlap);
        }
    }

    /// Decodes a payload with room for so many samples. Not inlined, either.
    #[inline(never)]
    fn decode_in<const ROOM: usize>(&mut self, now: u64, payload: &[u8], overlap: u64) {
        let Some(near) = &mut self.near else {
            return;
        };
        let mut decoded = [0; ROOM];
        let Ok(len) = near.decode(payload, &mut decoded) else {
            self.missing += 1;
            return self.counters.drop_one(DropReason::Codec);
        };
        let is_opus = matches!(self.plan.from.codec, Codec::Opus(_));
        let is_sign_of_life = is_opus && payload.len() <= OPUS_SID_LEN_MAX;
        self.add_decoded::<ROOM>(now, &decoded[..len], overlap, is_sign_of_life);
    }

    /// The frame that is put off, to be decoded with those of other streams.
    pub(crate) fn undecoded(&mut self) -> Option<(&mut gsm::Decoder, &[u8; gsm::FRAME_LEN])> {
        let frame = &self.put_off.as_ref()?.frame;
        Some((self.near.as_mut()?.gsm_mut()?, frame))
    }

    /// The frame that was [`Self::undecoded`] is these samples.
    pub(crate) fn set_decoded(&mut self, decoded: &[i16; gsm::SAMPLES_PER_FRAME]) {
        if let Some(PutOff { now, overlap, .. }) = self.put_off.take() {
            self.add_decoded::<SAMPLES_MAX>(now, decoded, overlap, false);
        }
    }

    /// Decodes what is put off.
    pub(crate) fn finish_speech(&mut self) {
        if let Some((decoder, frame)) = self.undecoded() {
            let decoded = decoder.decode(frame);
            self.set_decoded(&decoded);
        }
    }

    fn add_decoded<const ROOM: usize>(
        &mut self,
        now: u64,
        decoded: &[i16],
        overlap: u64,
        is_sign_of_life: bool,
    ) {
        let Some(near) = &mut self.near else {
            return;
        };
        let mut resampled = [0; ROOM];
        let samples = near.resample(decoded, &mut resampled);
        let samples = samples
            .get(usize::try_from(overlap).unwrap_or(0)..)
            .unwrap_or_default();
        let (from, to) = (self.plan.from.codec.rate(), self.plan.rate());
        let start = self.far.end();
        self.keys.listen(decoded, |heard| {
            let heard = heard as u64 * u64::from(to.per_second()) / u64::from(from.per_second());
            (start + heard).saturating_sub(overlap)
        });
        if !self.keys.is_busy() && self.is_silence(samples, is_sign_of_life) {
            return self.say_silence(now, samples.len() as u64);
        }
        self.push(now, samples);
    }
}

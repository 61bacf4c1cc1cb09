//! From samples, or frames that stay as they are, to packets of the far side.

use codec::{Codec, Encoder, Error, gsm, telephone_event};
use relay_rtp::PayloadType;

use crate::counters::{Counters, DropReason};
use crate::outbox::{Head, Outbox, Pushed};
use crate::pacer::{MS, Pacer};
use crate::plan::{PAYLOAD_LEN_MAX, Plan, Work};

/// Milliseconds of media that may wait to leave: a packet of the longest, what is made up before
/// it, and what was held.
const WAITING_MS_MAX: usize = 800;

/// Packets that may wait, whatever their length.
const WAITING_MAX: usize = 96;

/// Packets that may wait beside speech: events and comfort noise.
const WAITING_OTHERS: usize = 8;

#[derive(Debug)]
pub(crate) struct Far {
    payload_type: PayloadType,
    clock_hz: u64,
    /// Samples a second, of all channels.
    rate_hz: u64,
    channels: u64,
    /// The RTP timestamp of place 0.
    base: u32,
    /// The place of the first sample of the packet that is being filled.
    place: u64,
    /// Samples that are in it.
    filled: usize,
    /// Samples that fill it.
    len: usize,
    content: Content,
    /// The next packet is the first after a pause, or of all.
    is_first: bool,
    /// Numbers that are to be passed over before the next packet.
    skipped: u16,
    pacer: Pacer,
    outbox: Outbox,
    /// The slot of a packet that waits and is not encoded yet. Its samples are the content.
    unwritten: Option<usize>,
}

#[derive(Debug)]
enum Content {
    Samples(Box<[i16]>, Box<Encoder>),
    /// Frames as they came: samples and octets of one.
    Frames(Box<[u8]>, usize, usize),
    /// Payloads as they came.
    Payloads,
}

impl Far {
    pub(crate) fn new(plan: &Plan, base: u32) -> Result<Self, Error> {
        let codec = plan.to.codec;
        let len = plan.packet_samples();
        let rate = plan.rate();
        let slot_len = plan
            .payload_len_max()
            .max(codec::comfort_noise::PAYLOAD_LEN_MAX);
        let (content, slot_len) = match plan.work() {
            Work::Relabel => (Content::Payloads, PAYLOAD_LEN_MAX),
            Work::Repacketise => {
                let frame = codec.frame_samples();
                let octets = codec.payload_len(frame).unwrap_or(1);
                let place = vec![0; slot_len].into_boxed_slice();
                (Content::Frames(place, frame, octets), slot_len)
            }
            Work::Transcode => {
                let encoder = match plan.opus {
                    Some(settings) if codec == Codec::Opus(settings.rate) => {
                        Encoder::with_opus(settings)?
                    }
                    _ => Encoder::new(codec)?,
                };
                (
                    Content::Samples(vec![0; len].into(), Box::new(encoder)),
                    slot_len,
                )
            }
        };
        let waiting = (rate.samples(WAITING_MS_MAX) / len).clamp(4, WAITING_MAX);
        let waiting = if matches!(content, Content::Payloads) {
            8
        } else {
            waiting
        };
        let rate_hz = u64::from(rate.per_second());
        let ns = |samples: usize| samples as u64 * 1_000 * MS / rate_hz;
        Ok(Self {
            payload_type: plan.to.payload_type,
            clock_hz: u64::from(codec.rtp_clock_hz()),
            rate_hz,
            channels: rate.channels().into(),
            base,
            place: 0,
            filled: 0,
            len,
            content,
            is_first: true,
            skipped: 0,
            pacer: Pacer::new(ns(len), u64::from(plan.from.ptime_ms.clamp(1, 200)) * MS),
            outbox: Outbox::new(waiting + WAITING_OTHERS, slot_len),
            unwritten: None,
        })
    }

    /// The RTP timestamp of place 0 is this, of which nothing has left yet.
    pub(crate) fn set_base(&mut self, base: u32) {
        self.base = base;
    }

    /// The first packet has this timestamp, and a marker or none.
    pub(crate) fn begin_as(&mut self, timestamp: u32, has_marker: bool) {
        (self.base, self.is_first) = (timestamp, has_marker);
    }

    /// Where the next sample comes.
    pub(crate) fn end(&self) -> u64 {
        self.place + self.filled as u64
    }

    /// Samples that the packet still takes.
    pub(crate) fn room(&self) -> usize {
        self.len - self.filled
    }

    /// Whether a packet has begun.
    pub(crate) fn is_begun(&self) -> bool {
        self.filled > 0
    }

    pub(crate) fn set_arriving(&mut self, samples: u64) {
        let ns = self.ns(samples);
        self.pacer.set_arriving(ns);
    }

    pub(crate) fn set_complexity(&mut self, complexity: u8) -> Result<(), Error> {
        match &mut self.content {
            Content::Samples(_, encoder) => encoder.set_complexity(complexity),
            _ => Ok(()),
        }
    }

    /// Adds samples; packets that they fill are encoded, GSM when it is wanted.
    pub(crate) fn push(&mut self, now: u64, mut samples: &[i16], counters: &mut Counters) {
        while !samples.is_empty() {
            self.write();
            let Content::Samples(frame, _) = &mut self.content else {
                return;
            };
            let (these, others) = samples.split_at(samples.len().min(self.len - self.filled));
            frame[self.filled..][..these.len()].copy_from_slice(these);
            self.filled += these.len();
            samples = others;
            if self.filled == self.len {
                self.emit(now, counters);
            }
        }
    }

    /// So many samples, that there is room for, are not said. Says whether they fill the packet: then
    /// it does not leave.
    pub(crate) fn withhold(&mut self, samples: usize) -> bool {
        self.write();
        if let Content::Samples(frame, _) = &mut self.content {
            frame[self.filled..][..samples].fill(0);
        }
        self.filled += samples;
        let is_full = self.filled == self.len;
        if is_full {
            self.place += std::mem::take(&mut self.filled) as u64;
        }
        is_full
    }

    /// Adds a payload of so many samples as it is.
    pub(crate) fn push_payload(
        &mut self,
        now: u64,
        payload: &[u8],
        samples: usize,
        counters: &mut Counters,
    ) {
        if !matches!(self.content, Content::Frames(..)) {
            return self.pass(now, payload, samples, counters);
        }
        let mut rest = payload;
        while let Content::Frames(place, frame, octets) = &mut self.content {
            let frames = ((self.len - self.filled) / *frame).min(rest.len() / *octets);
            if frames == 0 {
                return;
            }
            let (these, others) = rest.split_at(frames * *octets);
            let at = self.filled / *frame * *octets;
            place[at..][..these.len()].copy_from_slice(these);
            self.filled += frames * *frame;
            rest = others;
            if self.filled == self.len {
                self.emit(now, counters);
            }
        }
    }

    /// Sends frames that do not fill a packet: there will be no more for a while.
    pub(crate) fn flush_frames(&mut self, now: u64, counters: &mut Counters) {
        if self.filled > 0 && matches!(self.content, Content::Frames(..)) {
            self.emit(now, counters);
        }
    }

    /// Nothing is said for so many samples. The packet that is being filled must be empty.
    pub(crate) fn skip(&mut self, samples: u64) {
        debug_assert_eq!(self.filled, 0);
        self.place += samples;
        self.is_first = true;
    }

    /// So many numbers are passed over before the next packet.
    pub(crate) fn skip_numbers(&mut self, numbers: u64) {
        let numbers = u16::try_from(numbers).unwrap_or(u16::MAX);
        self.skipped = self.skipped.saturating_add(numbers);
    }

    /// What follows comes from elsewhere.
    pub(crate) fn begin_source(&mut self) {
        self.is_first = true;
    }

    /// Sends something beside speech, whose media is at `place`.
    pub(crate) fn send(
        &mut self,
        now: u64,
        place: u64,
        head: Beside,
        payload: &[u8],
        counters: &mut Counters,
    ) {
        let due = self.pacer.due(now, self.ns(place)) + head.after;
        let head = Head {
            due,
            payload_type: head.payload_type,
            marker: head.marker,
            timestamp: head.timestamp,
            skipped: std::mem::take(&mut self.skipped),
        };
        self.queue(head, counters, |_, bytes| {
            bytes.get_mut(..payload.len())?.copy_from_slice(payload);
            Some(payload.len())
        });
    }

    /// The RTP timestamp of a place, in this clock.
    pub(crate) fn timestamp(&self, place: u64, clock_hz: u32) -> u32 {
        let ticks =
            telephone_event::rescale(place, u32::try_from(self.rate_hz).unwrap_or(1), clock_hz);
        let [.., a, b, c, d] = ticks.to_be_bytes();
        self.base.wrapping_add(u32::from_be_bytes([a, b, c, d]))
    }

    /// The place whose packet would leave now.
    pub(crate) fn place_at(&self, now: u64) -> Option<u64> {
        let media = self.pacer.media_at(now)?;
        let (seconds, rest) = (media / (1_000 * MS), media % (1_000 * MS));
        let place = seconds * self.rate_hz + rest * self.rate_hz / (1_000 * MS);
        Some(place / self.channels * self.channels)
    }

    /// When the packet that is being filled would leave.
    pub(crate) fn time_of_packet(&self) -> Option<u64> {
        self.pacer.time_of(self.ns(self.place))
    }

    /// Samples of a packet.
    pub(crate) fn packet_samples(&self) -> u64 {
        self.len as u64
    }

    /// Nanoseconds of a packet.
    pub(crate) fn packet_ns(&self) -> u64 {
        self.ns(self.len as u64)
    }

    pub(crate) fn due(&self) -> Option<u64> {
        self.outbox.due()
    }

    pub(crate) fn pop(&mut self, now: u64) -> Option<(Head, &mut [u8])> {
        if self.due()? <= now {
            self.write();
        }
        self.outbox.pop(now)
    }

    /// The frame of GSM that is not encoded yet, to be encoded with those of other streams.
    pub(crate) fn unwritten(&mut self) -> Option<gsm::Encoding<'_>> {
        let Content::Samples(samples, encoder) = &mut self.content else {
            return None;
        };
        Some(gsm::Encoding {
            encoder: encoder.gsm_mut()?,
            samples: samples.first_chunk()?,
            frame: self.outbox.payload_mut(self.unwritten?).first_chunk_mut()?,
        })
    }

    /// The frame that was [`Self::unwritten`] is encoded.
    pub(crate) fn set_written(&mut self) {
        self.unwritten = None;
    }

    /// Encodes what is not encoded yet.
    fn write(&mut self) {
        if let Some(encoding) = self.unwritten() {
            gsm::encode_batch(&mut [encoding]);
            self.set_written();
        }
    }

    /// Of samples on the timeline: nothing adds up, though 48 kHz do not divide a second into whole
    /// nanoseconds.
    fn ns(&self, samples: u64) -> u64 {
        let (seconds, rest) = (samples / self.rate_hz, samples % self.rate_hz);
        seconds
            .saturating_mul(1_000 * MS)
            .saturating_add(rest * 1_000 * MS / self.rate_hz)
    }

    fn pass(&mut self, now: u64, payload: &[u8], samples: usize, counters: &mut Counters) {
        let head = self.speech_head(now);
        self.queue(head, counters, |_, bytes| {
            bytes.get_mut(..payload.len())?.copy_from_slice(payload);
            Some(payload.len())
        });
        self.place += samples as u64;
    }

    fn emit(&mut self, now: u64, counters: &mut Counters) {
        let head = self.speech_head(now);
        let filled = std::mem::take(&mut self.filled);
        self.place += filled as u64;
        if self.is_one_gsm_frame() {
            // Its length is known, and encoding does not fail.
            self.unwritten = self.queue(head, counters, |_, _| Some(gsm::FRAME_LEN));
            return;
        }
        self.queue(head, counters, |content, bytes| match content {
            Content::Samples(frame, encoder) => encoder.encode(&frame[..filled], bytes).ok(),
            Content::Frames(place, frame, octets) => {
                let len = filled / *frame * *octets;
                bytes.get_mut(..len)?.copy_from_slice(&place[..len]);
                Some(len)
            }
            Content::Payloads => None,
        });
    }

    /// Whether packets are one frame of GSM each, which may be encoded later.
    fn is_one_gsm_frame(&self) -> bool {
        match &self.content {
            Content::Samples(samples, encoder) => {
                samples.len() == gsm::SAMPLES_PER_FRAME && encoder.codec() == Codec::Gsm
            }
            _ => false,
        }
    }

    fn speech_head(&mut self, now: u64) -> Head {
        let clock_hz = u32::try_from(self.clock_hz).unwrap_or(1);
        Head {
            due: self.pacer.due(now, self.ns(self.place)),
            payload_type: self.payload_type,
            marker: std::mem::take(&mut self.is_first),
            timestamp: self.timestamp(self.place, clock_hz),
            skipped: std::mem::take(&mut self.skipped),
        }
    }

    /// The slot where the packet waits, if it does.
    fn queue(
        &mut self,
        head: Head,
        counters: &mut Counters,
        write: impl FnOnce(&mut Content, &mut [u8]) -> Option<usize>,
    ) -> Option<usize> {
        let content = &mut self.content;
        match self.outbox.push(head, |bytes| write(content, bytes)) {
            Pushed::Queued(slot) => return Some(slot),
            Pushed::Nothing => counters.drop_one(DropReason::Codec),
            Pushed::Full => counters.drop_one(DropReason::QueueFull),
        }
        None
    }
}

/// The header of a packet beside speech.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beside {
    pub(crate) payload_type: PayloadType,
    pub(crate) marker: bool,
    pub(crate) timestamp: u32,
    /// Nanoseconds that it waits beyond its time: repetitions.
    pub(crate) after: u64,
}

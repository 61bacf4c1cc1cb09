//! One direction of a stream.

mod change;
mod keys;
mod pause;
mod speech;

use std::fmt;
use std::time::{Duration, Instant};

use codec::{Error, gsm};
use relay_rtp::{Packet, PayloadType, Ssrc};

use crate::counters::{Counters, DropReason};
use crate::far::Far;
use crate::near::Near;
use crate::pacer::MS;
use crate::plan::{PAYLOAD_LEN_MAX, Plan, Work};
use crate::reception::Reception;
use crate::rtcp::Sent;
use crate::sequencer::{Header, Held, Offer, Sequencer};
use crate::timeline::Timeline;
use keys::Keys;
use pause::Pause;
use speech::PutOff;

/// What packets that leave say of themselves. All of it is to be random (RFC 3550 §5.1); what
/// [`Stream::begin_as`] takes from a packet is as random as its sender made it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Identity {
    /// Our source.
    pub ssrc: Ssrc,
    /// The number of the first packet.
    pub sequence: u16,
    /// The timestamp of the first packet.
    pub timestamp: u32,
}

/// One direction of a stream: packets of one codec in, packets of another out.
///
/// Performs no I/O and reads no clock. Allocates when it is made, and never else. What one packet can cause is bounded: 200 ms of its own, as much of what was
/// held before it, and 100 ms that are made up before each.
pub struct Stream {
    plan: Plan,
    start: Instant,
    identity: Identity,
    sequencer: Sequencer,
    timeline: Timeline,
    /// `None` if payloads stay as they are.
    near: Option<Near>,
    far: Far,
    keys: Keys,
    pause: Pause,
    /// A frame that is still to be decoded, before anything else is done.
    put_off: Option<PutOff>,
    /// Packets that were lost, or whose payload was no good, since the last of which something was
    /// made.
    missing: u64,
    hold: u64,
    counters: Counters,
    reception: Reception,
    /// What a sender report says: the last timestamp of speech, and when it left.
    last_sent: Option<(u32, u64)>,
    /// The number of the next packet that leaves.
    sequence: u16,
}

impl fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Stream");
        debug
            .field("plan", &self.plan)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

impl Stream {
    /// A stream in which nothing has come yet.
    ///
    /// # Errors
    ///
    /// If libopus has no memory, or is not given what it can do.
    pub fn new(now: Instant, plan: Plan, identity: Identity) -> Result<Self, Error> {
        let is_decoded = plan.work() == Work::Transcode;
        let near = is_decoded.then(|| Near::new(plan.from.codec, plan.to.codec));
        let clock_hz = plan.from.codec.rtp_clock_hz();
        Ok(Self {
            plan,
            start: now,
            identity,
            sequencer: Sequencer::new(),
            timeline: Timeline::new(clock_hz, plan.rate().per_second()),
            near: near.transpose()?,
            far: Far::new(&plan, identity.timestamp)?,
            keys: Keys::new(&plan),
            pause: Pause::new(),
            put_off: None,
            missing: 0,
            hold: u64::from(plan.from.ptime_ms.clamp(10, 60)) * MS,
            counters: Counters::default(),
            reception: Reception::new(clock_hz),
            last_sent: None,
            sequence: identity.sequence,
        })
    }

    /// Begins with the source, the number, the timestamp and the marker of the first packet that
    /// comes, as a translator does (RFC 3550 §7.1). Nothing that can be read may have come yet.
    pub fn begin_as(&mut self, first: &Packet<&[u8]>) {
        debug_assert_eq!(self.counters.packets_out, 0);
        self.identity.ssrc = first.ssrc();
        self.sequence = first.sequence().value();
        self.far.begin_as(first.timestamp(), first.marker());
    }

    /// What it does.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What became of packets so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How reception goes, for [`crate::Leg::poll_report`] of the near side.
    pub fn reception(&mut self) -> &mut Reception {
        &mut self.reception
    }

    /// How much work is made of encoding, 0 to 10, where that can be chosen.
    ///
    /// # Errors
    ///
    /// None that libopus is known to have.
    pub fn set_complexity(&mut self, complexity: u8) -> Result<(), Error> {
        self.far.set_complexity(complexity)
    }

    /// Takes a datagram of RTP.
    pub fn handle_packet(&mut self, now: Instant, datagram: &[u8]) {
        self.begin_packet(now, datagram);
        self.finish_speech();
    }

    /// As [`Self::handle_packet`], but the last frame of GSM may be left to [`Batch::decode`].
    /// Until then, [`Self::poll_timeout`] and [`Self::counters`] may not tell of it; what changes
    /// the stream decodes it first.
    ///
    /// [`Batch::decode`]: crate::Batch::decode
    pub fn begin_packet(&mut self, now: Instant, datagram: &[u8]) {
        self.finish_speech();
        self.counters.packets_in += 1;
        let now = self.read(now);
        let Ok(packet) = Packet::parse(datagram) else {
            return self.counters.drop_one(DropReason::Malformed);
        };
        if packet.payload().len() > PAYLOAD_LEN_MAX {
            return self.counters.drop_one(DropReason::TooLong);
        }
        let header = Header::of(&packet);
        let is_speech = header.payload_type == self.plan.from.payload_type;
        self.reception.note(now, &header, is_speech);
        self.arrange(now, header, packet.payload());
        self.take_held(now);
        for _ in 0..self.sequencer.take_strays() {
            self.counters.drop_one(DropReason::Jump);
        }
    }

    /// Brings a packet into its place. Each time round, one that is held leaves, or the source is
    /// new and the packet its first.
    fn arrange(&mut self, now: u64, header: Header, payload: &[u8]) {
        loop {
            match self.sequencer.offer(now, self.hold, header, payload) {
                Offer::Now => return self.handle_in_order(now, header, 0, payload),
                Offer::Held => return,
                Offer::Drop(reason) => return self.counters.drop_one(reason),
                Offer::Full => {
                    if let Some(held) = self.sequencer.take_first() {
                        self.handle_held(now, held);
                    }
                }
                Offer::NewSource => {
                    while let Some(held) = self.sequencer.take_first() {
                        self.handle_held(now, held);
                    }
                    self.sequencer.forget_source();
                    self.begin_source(now);
                    self.far.begin_source();
                }
                Offer::Jumped => self.take_jump(now),
            }
        }
    }

    fn take_held(&mut self, now: u64) {
        while let Some(held) = self.sequencer.take(now) {
            self.handle_held(now, held);
        }
        if self.sequencer.is_jump_due(now) {
            self.take_jump(now);
        }
    }

    /// The sender counts from somewhere else now. What leaves goes on as if it did not: the time
    /// that has passed is known by the clock alone.
    fn take_jump(&mut self, now: u64) {
        while let Some(held) = self.sequencer.take_first() {
            self.handle_held(now, held);
        }
        self.begin_source(now);
        if let Some(jump) = self.sequencer.take_jump() {
            self.handle_held(now, jump);
        }
    }

    fn handle_held(&mut self, now: u64, held: Held) {
        self.handle_in_order(now, held.header, held.lost, held.payload());
        self.sequencer.give_back(held);
    }

    fn handle_in_order(&mut self, now: u64, header: Header, lost: u64, payload: &[u8]) {
        self.finish_speech();
        self.counters.lost += lost;
        self.missing = self.missing.saturating_add(lost);
        let is = |payload_type: Option<PayloadType>| payload_type == Some(header.payload_type);
        let from = &self.plan.from;
        if is(Some(from.payload_type)) {
            self.handle_speech(now, header.timestamp, payload);
        } else if is(from.events.map(|it| it.payload_type)) {
            self.handle_event(now, header.timestamp, payload);
        } else if is(from.comfort_noise) {
            self.handle_noise(now, header.timestamp, payload);
        } else {
            self.counters.drop_one(DropReason::PayloadType);
        }
    }

    /// Does what is due. Does nothing before [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.read(now);
        self.finish_speech();
        self.take_held(now);
        self.finish_speech();
        self.end_stale_event(now);
        self.make_noise(now);
        self.flush(now);
    }

    /// When [`Self::handle_timeout`] or [`Self::poll_packet`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let times = [
            self.sequencer.poll_timeout(),
            self.far.due(),
            self.keys.poll_timeout(),
            self.noise_due(),
            self.flush_due(),
        ];
        let first = times.into_iter().flatten().min()?;
        Some(self.start + Duration::from_nanos(first))
    }

    /// Takes a packet whose time has come.
    pub fn poll_packet(&mut self, now: Instant) -> Option<&[u8]> {
        let now = self.read(now);
        self.finish_speech();
        let (head, bytes) = self.far.pop(now)?;
        let marker = if head.marker { 0x80 } else { 0 };
        self.sequence = self.sequence.wrapping_add(head.skipped);
        self.counters.numbers_skipped += u64::from(head.skipped);
        bytes[..2].copy_from_slice(&[0x80, marker | head.payload_type.value()]);
        bytes[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[4..8].copy_from_slice(&head.timestamp.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.identity.ssrc.value().to_be_bytes());
        self.sequence = self.sequence.wrapping_add(1);
        self.counters.packets_out += 1;
        self.counters.octets_out += bytes.len() as u64 - 12;
        if head.payload_type == self.plan.to.payload_type {
            self.last_sent = Some((head.timestamp, now));
        }
        Some(bytes)
    }

    /// What was sent, for [`crate::Leg::poll_report`] of the far side. `None` before the first
    /// packet of speech.
    #[must_use]
    pub fn sent(&self, now: Instant) -> Option<Sent> {
        let (timestamp, at) = self.last_sent?;
        let elapsed = u128::from(self.read(now).saturating_sub(at));
        let ticks = elapsed * u128::from(self.plan.to.codec.rtp_clock_hz()) / 1_000_000_000;
        Some(Sent {
            ssrc: self.identity.ssrc,
            packets: lower_half(self.counters.packets_out.into()),
            octets: lower_half(self.counters.octets_out.into()),
            timestamp: timestamp.wrapping_add(lower_half(ticks)),
        })
    }

    /// The frame that is not encoded yet, to be encoded with those of other streams.
    pub(crate) fn unencoded(&mut self) -> Option<gsm::Encoding<'_>> {
        self.far.unwritten()
    }

    /// The frame that was [`Self::unencoded`] is encoded.
    pub(crate) fn set_encoded(&mut self) {
        self.far.set_written();
    }

    /// Another source: what is known of the old one means nothing, but our own stream goes on, and
    /// as much time passes on it as by the clock.
    fn begin_source(&mut self, now: u64) {
        self.finish_speech();
        self.counters.source_changes += 1;
        self.timeline.forget();
        self.missing = 0;
        self.end_event(now);
        self.keys.reset(&self.plan);
        if let Some(near) = &mut self.near
            && near.reset().is_err()
        {
            self.counters.drop_one(DropReason::Codec);
        }
        self.skip_to(now);
    }

    /// As much time passes on our own stream as by the clock, if that is long.
    fn skip_to(&mut self, now: u64) {
        let place = self.far.place_at(now).unwrap_or(0);
        let passed = place.saturating_sub(self.far.end());
        if passed > self.samples(100) {
            self.skip(now, passed);
        }
    }

    /// Samples of the far side in so many milliseconds.
    fn samples(&self, milliseconds: u64) -> u64 {
        u64::from(self.plan.rate().per_second()) / 1_000 * milliseconds
    }

    /// Nanoseconds since the stream was made.
    fn read(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.start).as_nanos();
        u64::try_from(elapsed).unwrap_or(u64::MAX)
    }
}

/// The lower 32 bits: counts and timestamps wrap around.
fn lower_half(value: u128) -> u32 {
    let [.., a, b, c, d] = value.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

//! A sound as a stream: samples to packets, one each packet time.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use codec::{Codec, Encoder, Error, Rate, g711};

use crate::plan::{Plan, Side};
use crate::stream::Identity;

/// Packets that are sent at once when nobody looked for a while. What is older than that leaves
/// later: a phone would throw it away.
const LATE_MAX: u32 = 4;

/// Samples, of one channel.
#[derive(Clone, Eq, PartialEq)]
pub struct Sound {
    /// Of how many a second.
    pub rate: Rate,
    /// These.
    pub samples: Vec<i16>,
}

/// A sound, and how often it is heard.
#[derive(Clone, Debug)]
pub struct Playing {
    /// What is heard.
    pub sound: Arc<Sound>,
    /// The sample that comes first, the first time.
    pub start: usize,
    /// How often, once at least.
    pub times: u32,
    /// Samples after which it does not begin once more.
    pub samples_max: Option<u64>,
}

impl fmt::Debug for Sound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.samples.len();
        write!(formatter, "{len} samples at {} Hz", self.rate.hz())
    }
}

impl Playing {
    /// The sample that comes when so many were heard; the end, if none does.
    #[must_use]
    pub fn position(&self, heard: u64) -> usize {
        let len = self.sound.samples.len() as u64;
        let first = len.saturating_sub(self.start as u64);
        let position = match heard.checked_sub(first) {
            None => self.start as u64 + heard,
            Some(_) if heard >= self.total() => len,
            Some(more) => more % len,
        };
        usize::try_from(position).unwrap_or(usize::MAX)
    }

    /// Samples that are heard in all.
    fn total(&self) -> u64 {
        let len = self.sound.samples.len() as u64;
        let first = len.saturating_sub(self.start as u64);
        if len == 0 || first == 0 {
            return 0;
        }
        let mut again = u64::from(self.times.saturating_sub(1));
        if let Some(samples_max) = self.samples_max {
            again = again.min(samples_max.saturating_sub(first).div_ceil(len));
        }
        first + again * len
    }
}

/// Plays a sound: a packet each packet time, the last one filled with silence.
///
/// Performs no I/O and reads no clock. Allocates when it is made, and never else.
pub struct Player {
    playing: Playing,
    /// Samples that are heard in all, and that have been.
    total: u64,
    heard: u64,
    encoder: Encoder,
    side: Side,
    frame: Box<[i16]>,
    packet: Box<[u8]>,
    /// What the next packet says.
    next: Identity,
    ticks: u32,
    interval: Duration,
    due: Instant,
}

impl fmt::Debug for Player {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Player");
        debug
            .field("playing", &self.playing)
            .field("side", &self.side)
            .field("heard", &self.heard)
            .finish_non_exhaustive()
    }
}

impl Player {
    /// Begins at once. `plan` is of what would be the sound's own codec, to what is heard.
    ///
    /// # Errors
    ///
    /// If libopus has no memory, or is not given what it can do.
    pub fn new(
        now: Instant,
        plan: &Plan,
        playing: Playing,
        identity: Identity,
    ) -> Result<Self, Error> {
        let codec = plan.to.codec;
        let encoder = match plan.opus {
            Some(settings) if codec == Codec::Opus(settings.rate) => Encoder::with_opus(settings)?,
            _ => Encoder::new(codec)?,
        };
        let len = Self::packet_samples(plan);
        let (rate, clock) = (u64::from(codec.rate().per_second()), codec.rtp_clock_hz());
        let ticks = len as u64 * u64::from(clock) / rate;
        Ok(Self {
            total: playing.total(),
            playing,
            heard: 0,
            encoder,
            side: plan.to,
            frame: vec![0; len].into(),
            packet: vec![0; 12 + plan.payload_len_max()].into(),
            next: identity,
            ticks: u32::try_from(ticks).unwrap_or(0),
            interval: Duration::from_micros(len as u64 * 1_000_000 / rate),
            due: now,
        })
    }

    /// Samples of each packet.
    #[must_use]
    pub fn packet_samples(plan: &Plan) -> usize {
        plan.packet_samples()
    }

    /// Nothing more will come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.heard >= self.total
    }

    /// When the next packet leaves.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.is_over()).then_some(self.due)
    }

    /// How much work is made of encoding, 0 to 10, where that can be chosen.
    ///
    /// # Errors
    ///
    /// None that libopus is known to have.
    pub fn set_complexity(&mut self, complexity: u8) -> Result<(), Error> {
        self.encoder.set_complexity(complexity)
    }

    /// Takes a packet whose time has come.
    pub fn poll_packet(&mut self, now: Instant) -> Option<&[u8]> {
        if self.is_over() || now < self.due {
            return None;
        }
        let is_first = self.heard == 0;
        self.fill();
        if now > self.due + self.interval * LATE_MAX {
            self.due = now;
        }
        self.due += self.interval;
        let Identity {
            ssrc,
            sequence,
            timestamp,
        } = self.next;
        let (head, payload) = self.packet.split_at_mut(12);
        // An encoder that fails says nothing, and time goes on.
        let len = self.encoder.encode(&self.frame, payload).unwrap_or(0);
        let marker = if is_first { 0x80 } else { 0 };
        head[..2].copy_from_slice(&[0x80, marker | self.side.payload_type.value()]);
        head[2..4].copy_from_slice(&sequence.to_be_bytes());
        head[4..8].copy_from_slice(&timestamp.to_be_bytes());
        head[8..].copy_from_slice(&ssrc.value().to_be_bytes());
        self.next.sequence = sequence.wrapping_add(1);
        self.next.timestamp = timestamp.wrapping_add(self.ticks);
        Some(&self.packet[..12 + len])
    }

    /// Puts the next samples into the frame, and silence behind the last one.
    fn fill(&mut self) {
        let mut filled = 0;
        while filled < self.frame.len() && self.heard < self.total {
            let samples = &self.playing.sound.samples;
            let at = self.playing.position(self.heard);
            let len = (self.frame.len() - filled).min(samples.len() - at);
            self.frame[filled..][..len].copy_from_slice(&samples[at..][..len]);
            filled += len;
            self.heard += len as u64;
        }
        self.frame[filled..].fill(0);
        round(self.side.codec, &mut self.frame);
    }
}

/// What G.711 makes of a sample is to be the nearest one that it has. Its own encoder divides by the
/// bits, as the standard does; a file that is played has time for more.
fn round(codec: Codec, samples: &mut [i16]) {
    let made: fn(i16) -> i16 = match codec {
        Codec::Pcma => |it| g711::ALAW.decode(g711::ALAW.encode(it)),
        Codec::Pcmu => |it| g711::ULAW.decode(g711::ULAW.encode(it)),
        _ => return,
    };
    for sample in samples {
        *sample = nearest(made, *sample);
    }
}

/// The nearest of what is made of a sample and of its neighbours, as far as 14 bits tell.
fn nearest(made: fn(i16) -> i16, sample: i16) -> i16 {
    let loudness = i32::from((sample & !3).saturating_abs());
    let of = |it: i32| {
        let it = it.clamp(i16::MIN.into(), i16::MAX.into());
        made(i16::try_from(it).unwrap_or(i16::MAX))
    };
    let off = |it: i16| (i32::from(it) - loudness).abs();
    let one = of(loudness);
    // As far on the other side.
    let other = of(2 * loudness - i32::from(one));
    let nearest = if off(other) < off(one) { other } else { one };
    if sample < 0 { -nearest } else { nearest }
}

#[cfg(test)]
mod tests {
    use codec::opus;
    use proptest::prelude::*;
    use relay_rtp::{Packet, PayloadType, Ssrc};

    use super::*;

    const IDENTITY: Identity = Identity {
        ssrc: Ssrc::new(7),
        sequence: u16::MAX,
        timestamp: u32::MAX,
    };

    #[expect(
        clippy::disallowed_methods,
        reason = "std makes an Instant in no other way"
    )]
    fn begin() -> Instant {
        Instant::now()
    }

    fn sound(rate: Rate, len: usize) -> Arc<Sound> {
        let samples = (0..len).map(|it| i16::try_from(it % 1_000).unwrap_or(0));
        Arc::new(Sound {
            rate,
            samples: samples.collect(),
        })
    }

    fn playing(len: usize) -> Playing {
        Playing {
            sound: sound(Rate::Narrow, len),
            start: 0,
            times: 1,
            samples_max: None,
        }
    }

    fn plan(codec: Codec) -> Plan {
        let side = |codec| Side::new(codec, PayloadType::new(96).unwrap(), 20);
        Plan::new(side(Codec::L16(codec.rate())), side(codec))
    }

    /// All packets, with the samples that are in them.
    fn play(playing: Playing) -> Vec<(bool, u16, u32, Vec<i16>)> {
        let mut now = begin();
        let plan = plan(Codec::L16(Rate::Narrow));
        let mut player = Player::new(now, &plan, playing, IDENTITY).unwrap();
        let mut packets = Vec::new();
        while let Some(due) = player.poll_timeout() {
            now = due;
            let packet = player.poll_packet(now).unwrap();
            let packet = Packet::parse(packet).unwrap();
            let samples = packet.payload().as_chunks().0.iter();
            packets.push((
                packet.marker(),
                packet.sequence().value(),
                packet.timestamp(),
                samples.map(|it| i16::from_be_bytes(*it)).collect(),
            ));
            assert!(player.poll_packet(now).is_none(), "not before its time");
        }
        packets
    }

    #[test]
    fn what_is_heard_is_the_sound_and_then_silence() {
        let packets = play(playing(400));
        assert_eq!(packets.len(), 3);
        let heads = packets.iter().map(|it| (it.0, it.1, it.2));
        let expected = [(true, u16::MAX, u32::MAX), (false, 0, 159), (false, 1, 319)];
        assert!(heads.eq(expected));
        let samples: Vec<_> = packets.into_iter().flat_map(|it| it.3).collect();
        assert_eq!(samples[..400], playing(400).sound.samples);
        assert_eq!(samples[400..], [0; 80]);
    }

    #[test]
    fn a_sound_goes_over_into_itself_without_a_gap() {
        let twice = Playing {
            start: 100,
            times: 2,
            ..playing(250)
        };
        let packets = play(twice.clone());
        let samples: Vec<_> = packets.into_iter().flat_map(|it| it.3).collect();
        let sound = &twice.sound.samples;
        assert_eq!(samples[..400], [&sound[100..], &sound[..]].concat());
        assert_eq!(twice.position(149), 249);
        assert_eq!(twice.position(150), 0);
        assert_eq!(twice.position(400), 250, "the end is the end");
    }

    #[test]
    fn after_its_time_it_does_not_begin_again() {
        let packets = |samples_max| {
            let often = Playing {
                times: u32::MAX,
                samples_max: Some(samples_max),
                ..playing(160)
            };
            play(often).len()
        };
        assert_eq!([0, 160, 161, 1_600].map(packets), [1, 1, 2, 10]);
    }

    #[test]
    fn nothing_comes_of_nothing() {
        for (len, start) in [(0, 0), (10, 10), (10, 50)] {
            let nothing = Playing {
                start,
                times: 3,
                ..playing(len)
            };
            assert!(play(nothing).is_empty());
        }
    }

    #[test]
    fn who_looks_late_gets_no_flood() {
        let start = begin();
        let plan = plan(Codec::Pcma);
        let mut player = Player::new(start, &plan, playing(16_000), IDENTITY).unwrap();
        let mut at = |ms| {
            let now = start + Duration::from_millis(ms);
            std::iter::from_fn(|| player.poll_packet(now).map(drop)).count()
        };
        assert_eq!(
            [at(0), at(19), at(60), at(1_000), at(1_020)],
            [1, 0, 3, 1, 1]
        );
    }

    #[test]
    fn each_codec_has_its_clock() {
        for codec in Codec::ALL.into_iter().chain(Codec::FULL) {
            let mut plan = plan(codec);
            if let Codec::Opus(rate) = codec {
                plan.opus = Some(opus::Settings::new(rate));
            }
            let playing = Playing {
                sound: sound(codec.rate(), 4_000),
                ..playing(0)
            };
            let now = begin();
            let mut player = Player::new(now, &plan, playing, IDENTITY).unwrap();
            let first = player.poll_packet(now).unwrap();
            assert!(Packet::parse(first).is_ok_and(|it| !it.payload().is_empty()));
            let due = player.poll_timeout().unwrap();
            let ms = u32::try_from((due - now).as_millis()).unwrap();
            let second = Packet::parse(player.poll_packet(due).unwrap()).unwrap();
            let ticks = second.timestamp().wrapping_sub(IDENTITY.timestamp);
            assert_eq!(ticks, ms * codec.rtp_clock_hz() / 1_000, "{codec:?}");
        }
    }

    #[test]
    fn g711_says_what_is_nearest() {
        let laws: [fn(i16) -> i16; 2] = [
            |it| g711::ALAW.decode(g711::ALAW.encode(it)),
            |it| g711::ULAW.decode(g711::ULAW.encode(it)),
        ];
        for made in laws {
            let all: std::collections::BTreeSet<_> = (i16::MIN..=i16::MAX).map(made).collect();
            for sample in (i16::MIN..=i16::MAX).filter(|it| it % 4 == 0) {
                let off = |it: i16| (i32::from(it) - i32::from(sample)).abs();
                let best = all.iter().map(|it| off(*it)).min();
                let found = nearest(made, sample);
                assert_eq!(Some(off(found)), best, "{sample}");
                assert_eq!(made(found), found, "{sample}");
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_comes_to_an_end(
            len in 0_usize..2_000,
            start in 0_usize..2_500,
            times in 0_u32..5,
            samples_max in proptest::option::of(0_u64..20_000),
        ) {
            let any = Playing { start, times, samples_max, ..playing(len) };
            prop_assert!(play(any).len() <= 5 * 13);
        }
    }
}

//! A sender, a clock, and a receiver that writes everything down.

use std::f64::consts::TAU;
use std::time::{Duration, Instant};

use codec::ilbc::Mode;
use codec::{Codec, Encoder, PAYLOAD_LEN_MAX, Rate};
use relay_rtp::{Packet, PayloadType, Ssrc};
use relay_transcode::{Events, Identity, Plan, Side, Stream};

pub(crate) const OURS: Identity = Identity {
    ssrc: Ssrc::new(0xcafe),
    sequence: 65_500,
    timestamp: u32::MAX - 3_000,
};

/// Those that every one is transcoded to every other of.
pub(crate) const CODECS: [Codec; 7] = [
    Codec::Pcmu,
    Codec::Pcma,
    Codec::Gsm,
    Codec::Ilbc(Mode::Ms20),
    Codec::Ilbc(Mode::Ms30),
    Codec::G722,
    Codec::Opus(Rate::Narrow),
];

pub(crate) const EVENTS: u8 = 101;
pub(crate) const NOISE: u8 = 13;

pub(crate) fn pt(value: u8) -> PayloadType {
    PayloadType::new(value).unwrap()
}

/// A side that says nothing but speech, in packets of one frame.
pub(crate) fn side(codec: Codec) -> Side {
    let ptime_ms = if codec == Codec::Ilbc(Mode::Ms30) {
        30
    } else {
        20
    };
    Side::new(codec, pt(96), ptime_ms)
}

pub(crate) fn with_events(mut side: Side) -> Side {
    let clock_hz = side.codec.rtp_clock_hz();
    side.events = Some(Events {
        payload_type: pt(EVENTS),
        clock_hz,
    });
    side
}

pub(crate) fn with_noise(mut side: Side) -> Side {
    side.comfort_noise = Some(pt(NOISE));
    side
}

/// A packet that has left.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Out {
    /// Milliseconds after the beginning, and the rest in microseconds.
    pub(crate) at_us: u64,
    pub(crate) payload_type: u8,
    pub(crate) marker: bool,
    pub(crate) timestamp: u32,
    pub(crate) payload: Vec<u8>,
}

/// A stream, the time, and what has left.
pub(crate) struct Wire {
    pub(crate) stream: Stream,
    pub(crate) start: Instant,
    pub(crate) out: Vec<Out>,
}

impl Wire {
    #[expect(
        clippy::disallowed_methods,
        reason = "std makes an Instant in no other way"
    )]
    pub(crate) fn new(plan: Plan) -> Self {
        let start = Instant::now();
        Self {
            stream: Stream::new(start, plan, OURS).unwrap(),
            start,
            out: vec![],
        }
    }

    pub(crate) fn at(&self, us: u64) -> Instant {
        self.start + Duration::from_micros(us)
    }

    /// Lets time pass.
    pub(crate) fn run_until(&mut self, us: u64) {
        let until = self.at(us);
        while let Some(at) = self.stream.poll_timeout().filter(|it| *it <= until) {
            self.stream.handle_timeout(at);
            self.drain(at);
        }
    }

    /// Looks at the clock again only then, and at the clock first.
    pub(crate) fn oversleep(&mut self, us: u64) {
        let now = self.at(us);
        self.stream.handle_timeout(now);
        self.drain(now);
    }

    pub(crate) fn send(&mut self, us: u64, packet: &[u8]) {
        self.run_until(us);
        let now = self.at(us);
        self.stream.handle_packet(now, packet);
        self.drain(now);
    }

    fn drain(&mut self, now: Instant) {
        let at_us = u64::try_from((now - self.start).as_micros()).unwrap();
        while let Some(bytes) = self.stream.poll_packet(now) {
            let packet = Packet::parse(bytes).unwrap();
            assert_eq!(packet.ssrc(), OURS.ssrc);
            let sequence = packet.sequence().value();
            self.out.push(Out {
                at_us,
                payload_type: packet.payload_type().value(),
                marker: packet.marker(),
                timestamp: packet.timestamp().wrapping_sub(OURS.timestamp),
                payload: packet.payload().to_vec(),
            });
            let counters = self.stream.counters();
            let [.., high, low] = (counters.packets_out + counters.numbers_skipped).to_be_bytes();
            let next = OURS.sequence.wrapping_add(u16::from_be_bytes([high, low]));
            assert_eq!(
                sequence.wrapping_add(1),
                next,
                "checklist 3: no gaps but those"
            );
        }
    }

    /// The packets of speech that have left.
    pub(crate) fn speech(&self) -> Vec<&Out> {
        self.of(96)
    }

    pub(crate) fn of(&self, payload_type: u8) -> Vec<&Out> {
        self.out
            .iter()
            .filter(|it| it.payload_type == payload_type)
            .collect()
    }
}

/// Makes packets as the near side does.
pub(crate) struct Phone {
    pub(crate) side: Side,
    pub(crate) encoder: Encoder,
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
}

impl Phone {
    pub(crate) fn new(side: Side) -> Self {
        Self {
            side,
            encoder: Encoder::new(side.codec).unwrap(),
            ssrc: 1,
            sequence: 65_000,
            timestamp: u32::MAX - 50_000,
        }
    }

    /// Samples of a packet.
    pub(crate) fn packet_samples(&self) -> usize {
        self.side.codec.packet_samples(self.side.ptime_ms.into())
    }

    pub(crate) fn packet_us(&self) -> u64 {
        self.packet_samples() as u64 * 1_000_000 / u64::from(self.side.codec.rate().per_second())
    }

    /// The next packet of speech.
    pub(crate) fn speak(&mut self, samples: &[i16]) -> Vec<u8> {
        let mut payload = vec![0; PAYLOAD_LEN_MAX];
        let len = self.encoder.encode(samples, &mut payload).unwrap();
        let packet = self.packet(96, self.timestamp, &payload[..len]);
        self.pause(samples.len());
        packet
    }

    /// So much time passes.
    pub(crate) fn pause(&mut self, samples: usize) {
        self.timestamp = self.timestamp.wrapping_add(self.side.codec.ticks(samples));
    }

    /// A packet with the next number.
    pub(crate) fn packet(&mut self, payload_type: u8, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x80, payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }
}

/// Something like voiced speech: harmonics of a gliding pitch that grow fainter, with pauses.
pub(crate) fn speech(rate: Rate, len: usize) -> Vec<i16> {
    let rate_hz = f64::from(rate.hz());
    let mut phase = 0.0;
    let sample = |at: usize| {
        let time = at as f64 / rate_hz;
        phase += TAU * (120.0 + 30.0 * (TAU * 0.7 * time).sin()) / rate_hz;
        let harmonics = (1..20).map(|n| (phase * f64::from(n)).sin() / f64::from(n));
        let syllable = 0.05 + (TAU * 2.0 * time).sin().max(0.0);
        to_sample(harmonics.sum::<f64>() * syllable * 5_000.0)
    };
    (0..len).map(sample).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "limited")]
pub(crate) fn to_sample(value: f64) -> i16 {
    value.round().clamp(-32_768.0, 32_767.0) as i16
}

/// Signal over difference in dB, averaged over 20 ms segments that are not silent.
pub(crate) fn segmental_snr_db(reference: &[i16], heard: &[i16], segment: usize) -> f64 {
    let pairs = reference
        .chunks_exact(segment)
        .zip(heard.chunks_exact(segment));
    let (mut sum, mut count) = (0.0, 0.0);
    for (reference, heard) in pairs {
        let signal: f64 = reference.iter().map(|it| f64::from(*it).powi(2)).sum();
        if signal < 10_000.0 * segment as f64 {
            continue;
        }
        let errors = reference.iter().zip(heard);
        let error: f64 = errors
            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
            .sum();
        sum += (10.0 * (signal / error.max(1.0)).log10()).clamp(-10.0, 60.0);
        count += 1.0;
    }
    assert!(count > 0.0, "there was something to hear");
    sum / count
}

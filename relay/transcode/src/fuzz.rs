//! Bodies of fuzz targets.

use std::time::{Duration, Instant};

use codec::Codec;
use relay_rtp::{Packet, PayloadType, Ssrc};

use crate::{Events, Identity, Leg, Plan, REPORT_LEN_MAX, Side, Stream, Translation};

/// The payload types of both sides.
const SPEECH: u8 = 96;
const EVENTS: u8 = 101;
const NOISE: u8 = 13;

/// Packets that one packet may cause: its own 200 ms, 100 ms that are made up, and what completes a
/// packet before a pause, in packets of 10 ms; and an event's end.
const PACKETS_AT_ONCE: u64 = 40;

/// A plan of two octets, which is also another one the other way round, then packets: each an octet
/// of time, four that say how number, time, source, type and plan change, and the payload after its
/// length.
///
/// # Panics
///
/// If the stream that leaves is not as it should be.
pub fn stream(data: &[u8]) {
    run(data);
}

/// The number of packets that left.
fn run(data: &[u8]) -> u64 {
    let [first, second, packets @ ..] = data else {
        return 0;
    };
    let (Some(mut plan), Some(mut other)) = (plan(*first, *second), plan(*second, *first)) else {
        return 0;
    };
    let start = start();
    let identity = Identity {
        ssrc: Ssrc::new(7),
        sequence: 65_530,
        timestamp: u32::MAX - 500,
    };
    let Ok(stream) = Stream::new(start, plan, identity) else {
        return 0;
    };
    let mut translation = Translation::of(&[plan]);
    let leg = Leg::new(
        start,
        1 << 32,
        Ssrc::new(7),
        "fuzz",
        Duration::from_millis(500),
    );
    let mut check = Check {
        stream,
        leg,
        now: start,
        start,
        first: 65_530,
        speech: None,
        packets: 0,
    };
    let mut writer = Writer::default();
    let mut rest = packets;
    while let Some((packet, delay, others)) = writer.write(rest) {
        let changes_plan = rest.get(3).is_some_and(|kind| kind & 0x60 == 0x40);
        rest = others;
        check.pass(delay);
        if changes_plan && check.stream.set_plan(check.now, other).is_ok() {
            std::mem::swap(&mut plan, &mut other);
        }
        check.stream.handle_packet(check.now, &packet);
        if let Some(translation) = &mut translation {
            let _ = translation.apply(&mut packet.clone());
        }
        check.leg.handle_rtcp(check.now, &packet);
        check.drain();
    }
    check.pass(Duration::from_secs(2));
    assert!(check.packets <= check.allowed(), "more leaves than comes");
    check.packets
}

#[expect(
    clippy::disallowed_methods,
    reason = "std makes an Instant in no other way"
)]
fn start() -> Instant {
    Instant::now()
}

fn plan(first: u8, second: u8) -> Option<Plan> {
    let are_full = first & 0x1f >= 0x1e && second & 0x1f >= 0x1e;
    let codec = |octet: u8| match are_full {
        true => Codec::FULL[usize::from(first % 2)],
        false => Codec::ALL[usize::from(octet) % Codec::ALL.len()],
    };
    let side = |octet: u8, ptime_ms, clock_hz| {
        let payload_type = PayloadType::new;
        Some(Side {
            codec: codec(octet),
            payload_type: payload_type(SPEECH)?,
            ptime_ms,
            events: if octet & 0x40 == 0 {
                Some(Events {
                    payload_type: payload_type(EVENTS)?,
                    clock_hz,
                })
            } else {
                None
            },
            comfort_noise: payload_type(NOISE).filter(|_| octet & 0x80 == 0),
        })
    };
    let from = codec(first % 32);
    let mut plan = Plan::new(
        side(first, 20, from.rtp_clock_hz())?,
        side(second, [20, 30, 60, 10][usize::from(first / 8 % 4)], 8_000)?,
    );
    plan.suppresses_silence = second & 0x20 != 0;
    plan.is_coded_anew = are_full;
    Some(plan)
}

/// Makes packets of octets.
#[derive(Default)]
struct Writer {
    sequence: u16,
    timestamp: u32,
    ssrc: u8,
}

impl Writer {
    fn write<'a>(&mut self, octets: &'a [u8]) -> Option<(Vec<u8>, Duration, &'a [u8])> {
        let [delay, step, time, kind, len, rest @ ..] = octets else {
            return None;
        };
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*len)));
        let step = i16::from(step.cast_signed() / 32) + 1;
        self.sequence = self
            .sequence
            .wrapping_add_signed(if *kind & 0x80 == 0 { 1 } else { step });
        self.timestamp = self.timestamp.wrapping_add(match time % 8 {
            7 => u32::from(*time) << 16,
            6 => 0_u32.wrapping_sub(u32::from(*time)),
            5 => u32::from(*time) * 160,
            _ => 160,
        });
        self.ssrc = self.ssrc.wrapping_add(u8::from(*kind & 0x60 == 0x60));
        let payload_type =
            [SPEECH, SPEECH, SPEECH, SPEECH, EVENTS, NOISE, SPEECH, 0][usize::from(kind % 8)];
        let mut packet = vec![0x80, payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.timestamp.to_be_bytes());
        packet.extend([0, 0, 0, self.ssrc]);
        packet.extend(payload);
        // Lengths that codecs have, of which few come by chance.
        if *kind & 0x10 != 0 {
            let lens = [33, 38, 50, 160, 320, 7, 1, 99];
            packet.resize(12 + lens[usize::from(len % 8)], 0xd5);
        }
        // The signature of GSM.
        if let Some(octet) = packet.get_mut(12).filter(|_| *kind & 0x08 != 0) {
            *octet = *octet & 0x0f | 0xd0;
        }
        Some((packet, Duration::from_millis(u64::from(delay / 4)), rest))
    }
}

/// What must hold of all that leaves.
struct Check {
    stream: Stream,
    leg: Leg,
    now: Instant,
    start: Instant,
    first: u16,
    /// The timestamp of the last packet of speech.
    speech: Option<u32>,
    packets: u64,
}

impl Check {
    /// Lets time pass, by the stream's own timers.
    fn pass(&mut self, delay: Duration) {
        let until = self.now + delay;
        let mut turns = 0;
        while let Some(at) = self.stream.poll_timeout().filter(|it| *it <= until) {
            self.now = self.now.max(at);
            self.stream.handle_timeout(self.now);
            self.drain();
            turns += 1;
            assert!(turns < 10_000, "a timer that never rests");
        }
        self.now = until;
    }

    fn drain(&mut self) {
        while let Some(bytes) = self.stream.poll_packet(self.now) {
            let packet = Packet::parse(bytes).expect("our own packet");
            let sequence = packet.sequence().value();
            assert_eq!(packet.ssrc(), Ssrc::new(7));
            assert!(!packet.payload().is_empty());
            self.packets += 1;
            if packet.payload_type().value() == SPEECH {
                let timestamp = packet.timestamp();
                if let Some(last) = self.speech.replace(timestamp) {
                    let step = timestamp.wrapping_sub(last).cast_signed();
                    assert!(step > 0, "time goes on: {step}");
                }
            }
            let counters = self.stream.counters();
            let [.., high, low] = (counters.packets_out + counters.numbers_skipped).to_be_bytes();
            let next = self.first.wrapping_add(u16::from_be_bytes([high, low]));
            assert_eq!(
                sequence.wrapping_add(1),
                next,
                "numbers have no gaps but those"
            );
        }
        let sent = self.stream.sent(self.now);
        let reception = self.stream.reception();
        let mut report = [0; REPORT_LEN_MAX];
        if let Some(len) = self
            .leg
            .poll_report(self.now, sent, Some(reception), &mut report)
        {
            assert!(
                relay_rtp::rtcp::Compound::parse(&report[..len]).is_ok(),
                "our own report"
            );
        }
    }

    /// What comes, and noise as time passes.
    fn allowed(&self) -> u64 {
        let elapsed_ms = (self.now - self.start).as_millis();
        let noise = u64::try_from(elapsed_ms / 10).unwrap_or(u64::MAX);
        PACKETS_AT_ONCE * (self.stream.counters().packets_in + 1) + noise
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    #[test]
    fn it_is_a_test_for_every_codec() {
        for first in 0..10 {
            // Every 20 ms a payload of a length that the codec has.
            let len: u8 = [3, 3, 0, 1, 2, 3, 5, 5, 4, 4][usize::from(first)];
            let packet = [vec![80, 0, 0, 0x18, len], vec![0xd5; len.into()]].concat();
            let script = [vec![first, 0], packet.repeat(60)].concat();
            let packets = super::run(&script);
            assert!(packets >= 20, "{first}: {packets}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn what_leaves_is_a_stream_whatever_comes(data in prop::collection::vec(any::<u8>(), 0..900)) {
            super::stream(&data);
        }
    }
}

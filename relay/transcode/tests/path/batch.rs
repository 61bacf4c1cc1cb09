//! Frames of many streams, coded at once, are those that each stream codes alone.

use std::time::{Duration, Instant};

use codec::Codec;
use codec::ilbc::Mode;
use proptest::prelude::*;
use relay_transcode::{Batch, Plan, Stream};

use crate::harness::{EVENTS, NOISE, OURS, Phone, Wire, side, speech, with_events, with_noise};

/// What a stream is to do.
fn plan(kind: u8) -> Plan {
    let long = |codec| {
        let mut side = side(codec);
        side.ptime_ms = 40;
        side
    };
    match kind % 10 {
        0 | 1 => Plan::new(side(Codec::Gsm), side(Codec::Pcmu)),
        2 | 3 => Plan::new(side(Codec::Pcma), side(Codec::Gsm)),
        4 => Plan::new(with_events(with_noise(side(Codec::Gsm))), side(Codec::G722)),
        5 => Plan::new(with_events(with_noise(side(Codec::Pcmu))), side(Codec::Gsm)),
        6 => Plan::new(long(Codec::Gsm), side(Codec::Pcma)),
        7 => Plan::new(side(Codec::Pcmu), long(Codec::Gsm)),
        8 => Plan::new(side(Codec::Gsm), side(Codec::Gsm)),
        _ => Plan::new(side(Codec::Ilbc(Mode::Ms30)), side(Codec::Gsm)),
    }
}

/// One caller, and its stream twice.
struct Twins {
    phone: Phone,
    said: Vec<i16>,
    late: Option<Vec<u8>>,
    alone: Stream,
    together: Stream,
}

impl Twins {
    fn new(start: Instant, at: usize, plan: Plan) -> Self {
        let stream = || Stream::new(start, plan, OURS).unwrap();
        Self {
            phone: Phone::new(plan.from),
            // Nobody says the same.
            said: speech(plan.from.codec.rate(), 3_000).split_off(at * 20),
            late: None,
            alone: stream(),
            together: stream(),
        }
    }

    fn begin(&mut self, now: Instant, step: usize, fate: u8) {
        self.alone.handle_timeout(now);
        self.together.handle_timeout(now);
        for packet in self.packets(step, fate) {
            self.alone.handle_packet(now, &packet);
            self.together.begin_packet(now, &packet);
        }
    }

    /// How many packets leave both.
    fn compare(&mut self, now: Instant) -> usize {
        let mut left = 0;
        loop {
            let expected = self.alone.poll_packet(now);
            assert_eq!(self.together.poll_packet(now), expected);
            if expected.is_none() {
                break;
            }
            left += 1;
        }
        let of = |stream: &Stream| (format!("{stream:?}"), stream.poll_timeout());
        assert_eq!(of(&self.together), of(&self.alone));
        left
    }

    /// What of its next packet arrives: in this order.
    fn packets(&mut self, step: usize, fate: u8) -> Vec<Vec<u8>> {
        let len = self.phone.packet_samples();
        let at = step * len % (self.said.len() - len);
        let packet = self.phone.speak(&self.said[at..at + len]);
        let timestamp = self.phone.timestamp;
        let packets = match fate {
            // Lost, late, twice, of another source, an event, a pause, no GSM.
            0..16 => vec![],
            16..32 => {
                self.late = Some(packet);
                return vec![];
            }
            32..40 => vec![packet.clone(), packet],
            40..44 => {
                self.phone.ssrc += 1;
                vec![packet]
            }
            44..50 => vec![
                packet,
                self.phone.packet(EVENTS, timestamp, &[5, 10, 0, 160]),
            ],
            50..56 => vec![packet, self.phone.packet(NOISE, timestamp, &[60])],
            56..60 => {
                self.phone.pause(1_600);
                vec![packet]
            }
            60..64 => vec![self.phone.packet(96, timestamp, &[0; 33])],
            _ => vec![packet],
        };
        packets.into_iter().chain(self.late.take()).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn streams_that_code_together_say_what_each_says_alone(
        kinds in proptest::collection::vec(0_u8..10, 1..=40),
        fates in proptest::collection::vec(any::<u8>(), 60..600),
    ) {
        let start = Wire::new(plan(0)).start;
        let plans = kinds.iter().map(|kind| plan(*kind)).enumerate();
        let mut all: Vec<_> = plans.map(|(at, plan)| Twins::new(start, at, plan)).collect();
        let mut fates = fates.iter().cycle();
        let (mut batch, mut left, mut coded) = (Batch::new(), 0, 0);
        for step in 0..14 {
            let now = start + Duration::from_millis(20 * step as u64);
            for twins in &mut all {
                twins.begin(now, step, *fates.next().unwrap());
            }
            // Some code alone what they have put off.
            let keys = || (0..kinds.len()).filter(|at| (at + step) % 7 > 0);
            coded += batch.decode(&mut all[..], keys(), stream_of);
            coded += batch.encode(&mut all[..], keys(), stream_of);
            left += all.iter_mut().map(|it| it.compare(now)).sum::<usize>();
        }
        // It was a test, unless most of few were lost.
        let plain = kinds.iter().filter(|kind| **kind < 4).count();
        prop_assert!(plain < 8 || left > plain && coded > plain, "{left} {coded}");
    }
}

fn stream_of(all: &mut [Twins], at: usize) -> Option<&mut Stream> {
    all.get_mut(at).map(|it| &mut it.together)
}

//! No packet allocates: counted by the allocator itself.

use std::time::{Duration, Instant};

use codec::{Codec, Encoder, PAYLOAD_LEN_MAX, Rate};
use relay_rtp::{PayloadType, Ssrc};
use relay_transcode::{Batch, Events, Identity, Plan, Side, Stream};
use tandem_allocations::{Counting, of_thread};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn side(codec: Codec, ptime_ms: u16, has_more: bool) -> Side {
    let pt = |value| PayloadType::new(value).unwrap();
    let mut side = Side::new(codec, pt(96), ptime_ms);
    if has_more {
        let clock_hz = codec.rtp_clock_hz();
        side.events = Some(Events {
            payload_type: pt(101),
            clock_hz,
        });
        side.comfort_noise = Some(pt(13));
    }
    side
}

/// Packets that come in order and not, of speech, events and noise, from several sources.
fn packet(step: u32, speech: &[u8]) -> Vec<u8> {
    let (payload_type, payload): (u8, &[u8]) = match step % 97 {
        30 => (101, &[5, 10, 0, 160]),
        31 => (101, &[5, 0x8a, 1, 64]),
        60 => (13, &[60]),
        _ => (96, speech),
    };
    let number = if step % 13 == 5 {
        step + 1
    } else {
        step - u32::from(step % 13 == 6)
    };
    let mut packet = vec![0x80, payload_type];
    packet.extend(&number.to_be_bytes()[2..]);
    packet.extend((number * 160 + step / 97 * 800).to_be_bytes());
    packet.extend((step / 500).to_be_bytes());
    packet.extend(payload);
    packet
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "std makes an Instant in no other way"
)]
fn checklist_16_no_packet_allocates() {
    let start = Instant::now();
    let identity = Identity {
        ssrc: Ssrc::new(1),
        sequence: 0,
        timestamp: 0,
    };
    let others = |from| Codec::ALL.map(|to| (from, to));
    let full = Codec::FULL.map(|codec| (codec, codec));
    for (from, to) in Codec::ALL.into_iter().flat_map(others).chain(full) {
        for has_more in [false, true] {
            let mut plan = Plan::new(side(from, 20, true), side(to, 20, has_more));
            plan.suppresses_silence = has_more;
            plan.is_coded_anew = true;
            let mut encoder = Encoder::new(from).unwrap();
            let mut payload = vec![0; PAYLOAD_LEN_MAX];
            let samples = vec![4_000; from.packet_samples(20).min(from.rate().samples(40))];
            let len = encoder.encode(&samples, &mut payload).unwrap();
            let packets: Vec<_> = (0..1_200)
                .map(|step| packet(step, &payload[..len]))
                .collect();
            let mut stream = Stream::new(start, plan, identity).unwrap();
            let mut batch = Batch::new();
            let before = of_thread();
            let mut left = 0;
            for (step, packet) in (0..).zip(&packets).filter(|(step, _)| step % 29 != 7) {
                let now = start + Duration::from_millis(step * 20);
                stream.handle_timeout(now);
                stream.begin_packet(now, packet);
                batch.decode(&mut stream, [()], |it, ()| Some(it));
                batch.encode(&mut stream, [()], |it, ()| Some(it));
                while stream.poll_packet(now).is_some() {
                    left += 1;
                }
            }
            assert_eq!(of_thread() - before, 0, "{from:?} to {to:?}");
            assert!(left > 300, "{from:?} to {to:?}: it was a test, {left}");
        }
    }
    assert!(Codec::ALL.contains(&Codec::Opus(Rate::Narrow)));
}

//! Every codec to every other, with and without loss.

use codec::resample::{Down, Up};
use codec::{Codec, Decoder, Encoder, PAYLOAD_LEN_MAX, Rate, SAMPLES_MAX};
use relay_transcode::{DropReason, Plan, Work};

use crate::harness::{CODECS, Out, Phone, Wire, segmental_snr_db, side, speech};

const SECONDS: usize = 60;

/// Which packets are lost: one of twenty, not evenly; two together at times. None at the end.
fn is_lost(at: usize, count: usize) -> bool {
    at > 5 && at + 5 < count && (at * 7_919) % 101 < 5
}

/// What goes in, packet by packet.
fn payloads(codec: Codec) -> Vec<Vec<u8>> {
    let mut phone = Phone::new(side(codec));
    let speech = speech(codec.rate(), codec.rate().samples(SECONDS * 1_000));
    let packets = speech.chunks_exact(phone.packet_samples());
    packets.map(|it| phone.speak(it)).collect()
}

/// The same by hand: decode, resample, encode and decode, all at once.
fn reference(from: Codec, to: Codec, packets: &[Vec<u8>], loses: bool) -> Vec<i16> {
    let mut decoder = Decoder::new(from).unwrap();
    let mut near = vec![];
    let mut place = [0; SAMPLES_MAX];
    let packet_samples = from.packet_samples(side(from).ptime_ms.into());
    let mut missing = 0;
    for (at, packet) in packets.iter().enumerate() {
        if loses && is_lost(at, packets.len()) {
            missing += packet_samples;
            continue;
        }
        if missing > 0 {
            decoder.conceal(Some(&packet[12..]), &mut place[..missing]);
            near.extend_from_slice(&place[..missing]);
            missing = 0;
        }
        let len = decoder.decode(&packet[12..], &mut place).unwrap();
        near.extend_from_slice(&place[..len]);
    }
    let far = match (from.rate(), to.rate()) {
        (Rate::Narrow, Rate::Wide) => {
            let mut far = vec![0; near.len() * 2];
            Up::new().resample(&near, &mut far);
            far
        }
        (Rate::Wide, Rate::Narrow) => {
            let mut far = vec![0; near.len() / 2];
            Down::new().resample(&near, &mut far);
            far
        }
        _ => near,
    };
    let mut encoder = Encoder::new(to).unwrap();
    let packet = to.packet_samples(side(to).ptime_ms.into());
    let mut payload = vec![0; PAYLOAD_LEN_MAX];
    let payloads = far.chunks_exact(packet).map(|samples| {
        let len = encoder.encode(samples, &mut payload).unwrap();
        payload[..len].to_vec()
    });
    decode(to, payloads)
}

fn decode(codec: Codec, payloads: impl Iterator<Item = Vec<u8>>) -> Vec<i16> {
    let mut decoder = Decoder::new(codec).unwrap();
    let (mut samples, mut place) = (vec![], [0; SAMPLES_MAX]);
    for payload in payloads {
        let len = decoder.decode(&payload, &mut place).unwrap();
        samples.extend_from_slice(&place[..len]);
    }
    samples
}

fn run(from: Codec, to: Codec, packets: &[Vec<u8>], loses: bool) -> Wire {
    let mut wire = Wire::new(Plan::new(side(from), side(to)));
    assert_eq!(wire.stream.plan().work() == Work::Relabel, from == to);
    let packet_us = Phone::new(side(from)).packet_us();
    for (at, packet) in packets.iter().enumerate() {
        if !(loses && is_lost(at, packets.len())) {
            wire.send(at as u64 * packet_us, packet);
        }
    }
    wire.run_until(SECONDS as u64 * 1_000_000 + 500_000);
    wire
}

fn check(from: Codec, to: Codec, packets: &[Vec<u8>], loses: bool) {
    let name = format!(
        "{from:?} to {to:?}, {}",
        if loses { "5 % lost" } else { "nothing lost" }
    );
    let wire = run(from, to, packets, loses);
    let out = wire.speech();
    assert_eq!(out.len(), wire.out.len(), "{name}");
    let packet = to.packet_samples(side(to).ptime_ms.into());
    let ticks = to.ticks(packet);
    for (at, it) in (0..).zip(&out) {
        assert_eq!(it.timestamp, at * ticks, "{name}: the timeline is exact");
        assert_eq!(it.marker, at == 0, "{name}");
    }
    // All that came, but for what does not fill a packet.
    let came = packets.len() * from.packet_samples(side(from).ptime_ms.into());
    let came = came * usize::from(to.rate().hz()) / usize::from(from.rate().hz());
    assert_eq!(out.len(), came / packet, "{name}");
    for reason in DropReason::ALL {
        assert_eq!(
            wire.stream.counters().dropped(reason),
            0,
            "{name}: {reason:?}"
        );
    }
    let heard = decode(to, out.iter().map(|it| it.payload.clone()));
    let reference = reference(from, to, packets, loses);
    assert_eq!(heard.len(), reference.len(), "{name}");
    let snr = segmental_snr_db(&reference, &heard, to.rate().samples(20));
    assert!(snr > 35.0, "{name}: {snr:.1} dB of the reference chain");
    check_pacing(&name, &out, loses);
}

fn check_pacing(name: &str, out: &[&Out], loses: bool) {
    let ptime_us = out
        .windows(2)
        .map(|it| it[1].at_us - it[0].at_us)
        .max()
        .unwrap();
    assert!(
        loses || ptime_us == 20_000 || ptime_us == 30_000,
        "{name}: {ptime_us} µs"
    );
    // In time all along: nothing adds up.
    let delay = |at: usize, step_us: u64| out[at].at_us.abs_diff(at as u64 * step_us);
    let step_us = SECONDS as u64 * 1_000_000 / out.len() as u64 / 10_000 * 10_000;
    assert!(delay(out.len() - 1, step_us) <= 100_000, "{name}");
}

fn check_all(loses: bool) {
    for from in CODECS {
        let packets = payloads(from);
        for to in CODECS.into_iter().filter(|to| *to != from) {
            check(from, to, &packets, loses);
        }
    }
}

#[test]
fn every_codec_becomes_every_other() {
    check_all(false);
}

#[test]
fn checklist_8_losses_are_made_up_to_the_sample_in_every_pair() {
    check_all(true);
}

#[test]
fn the_same_codec_passes_as_it_is() {
    for codec in CODECS {
        let packets = payloads(codec);
        let wire = run(codec, codec, &packets, false);
        let out = wire.speech();
        assert!(
            out.iter()
                .map(|it| &it.payload[..])
                .eq(packets.iter().map(|it| &it[12..])),
            "{codec:?}"
        );
        let last = u32::try_from(packets.len() - 1).unwrap();
        let ticks = codec.ticks(codec.packet_samples(side(codec).ptime_ms.into()));
        assert_eq!(out.last().unwrap().timestamp, last * ticks, "{codec:?}");
    }
}

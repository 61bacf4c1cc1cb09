//! What codecs make of speech when nothing is between them.

use codec::resample::{Down, Up};
use codec::{Codec, Decoder, Encoder, PAYLOAD_LEN_MAX, Rate, SAMPLES_MAX};
use tandem_tests::audio::speech;

use super::codecs::{packet_ms, payload_type};

/// Bytes before a payload.
const HEADER_LEN: usize = 12;

/// RTP of somebody who speaks for a while.
pub(super) fn packets_of(codec: Codec, seconds: usize) -> Vec<Vec<u8>> {
    let spoken = resample(
        speech(1, u32::try_from(seconds).unwrap() * 1_000),
        Rate::Narrow,
        codec.rate(),
    );
    let samples = codec.packet_samples(packet_ms(codec));
    let mut encoder = Encoder::new(codec).unwrap();
    let mut place = vec![0; PAYLOAD_LEN_MAX];
    let packets = (0_u16..).zip(spoken.chunks_exact(samples));
    let packets = packets.map(|(at, samples)| {
        let len = encoder.encode(samples, &mut place).unwrap();
        let timestamp = u32::from(at) * codec.ticks(samples.len());
        let mut packet = vec![0x80, payload_type(codec)];
        packet.extend(at.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend([0xd0, 0, 0, payload_type(codec)]);
        packet.extend(&place[..len]);
        packet
    });
    packets.collect()
}

/// What is to be heard: decoded, made up for what is lost, resampled, encoded and decoded again.
pub(super) fn reference(
    from: Codec,
    to: Codec,
    packets: &[Vec<u8>],
    is_lost: impl Fn(usize) -> bool,
) -> Vec<i16> {
    let far = resample(received(from, packets, is_lost), from.rate(), to.rate());
    let mut encoder = Encoder::new(to).unwrap();
    let mut place = vec![0; PAYLOAD_LEN_MAX];
    let packets = far.chunks_exact(to.packet_samples(packet_ms(to)));
    let payloads: Vec<Vec<u8>> = packets
        .map(|samples| {
            let len = encoder.encode(samples, &mut place).unwrap();
            place[..len].to_vec()
        })
        .collect();
    decode(to, payloads.iter().map(Vec::as_slice))
}

/// The samples of what came, and of what did not.
fn received(codec: Codec, packets: &[Vec<u8>], is_lost: impl Fn(usize) -> bool) -> Vec<i16> {
    let mut decoder = Decoder::new(codec).unwrap();
    let (mut samples, mut place) = (vec![], [0; SAMPLES_MAX]);
    let mut missing = 0;
    for (at, packet) in packets.iter().enumerate() {
        if is_lost(at) {
            missing += codec.packet_samples(packet_ms(codec));
            continue;
        }
        let payload = &packet[HEADER_LEN..];
        if missing > 0 {
            decoder.conceal(Some(payload), &mut place[..missing]);
            samples.extend_from_slice(&place[..missing]);
            missing = 0;
        }
        let len = decoder.decode(payload, &mut place).unwrap();
        samples.extend_from_slice(&place[..len]);
    }
    samples
}

/// The samples of payloads that all came.
pub(super) fn decode<'a>(codec: Codec, payloads: impl Iterator<Item = &'a [u8]>) -> Vec<i16> {
    let mut decoder = Decoder::new(codec).unwrap();
    let (mut samples, mut place) = (vec![], [0; SAMPLES_MAX]);
    for payload in payloads {
        let len = decoder.decode(payload, &mut place).unwrap();
        samples.extend_from_slice(&place[..len]);
    }
    samples
}

fn resample(samples: Vec<i16>, from: Rate, to: Rate) -> Vec<i16> {
    match (from, to) {
        (Rate::Narrow, Rate::Wide) => {
            let mut wide = vec![0; samples.len() * 2];
            Up::new().resample(&samples, &mut wide);
            wide
        }
        (Rate::Wide, Rate::Narrow) => {
            let mut narrow = vec![0; samples.len() / 2];
            Down::new().resample(&samples, &mut narrow);
            narrow
        }
        _ => samples,
    }
}

/// Signal over difference in dB of each segment that is not silent, and its number; those that are
/// alike have 60.
pub(super) fn segments_db(reference: &[i16], heard: &[i16], segment: usize) -> Vec<(usize, f64)> {
    let energy = |samples: &mut dyn Iterator<Item = f64>| samples.map(|it| it * it).sum::<f64>();
    let pairs = reference
        .chunks_exact(segment)
        .zip(heard.chunks_exact(segment));
    let ratios = pairs.enumerate().filter_map(|(at, (reference, heard))| {
        let signal = energy(&mut reference.iter().map(|it| f64::from(*it)));
        let differences = reference.iter().zip(heard);
        let error = energy(&mut differences.map(|(a, b)| f64::from(*a) - f64::from(*b)));
        let is_speech = signal > 10_000.0 * segment as f64;
        let ratio = (10.0 * (signal / error.max(1.0)).log10()).clamp(-10.0, 60.0);
        is_speech.then_some((at, ratio))
    });
    ratios.collect()
}

/// Of none it is no number.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), it| (sum + it, count + 1.0));
    sum / count
}

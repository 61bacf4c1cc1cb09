//! Every codec through [`Decoder`] and [`Encoder`]: what a transcoder relies on.

use codec::{Codec, Decoder, Encoder, Error, PAYLOAD_LEN_MAX, SAMPLES_MAX, ilbc};

/// Those of 48 kHz, too.
fn codecs() -> impl Iterator<Item = Codec> {
    Codec::ALL.into_iter().chain(Codec::FULL)
}

/// A tone that all of them carry, in each channel.
fn tone(codec: Codec, len: usize) -> Vec<i16> {
    let step = std::f64::consts::TAU * 440.0 / f64::from(codec.rate().hz());
    let channels = u32::from(codec.rate().channels());
    let sample = |at: u32| (f64::from(at / channels) * step).sin() * 8_000.0;
    #[expect(clippy::cast_possible_truncation, reason = "none is above 8,000")]
    (0..u32::try_from(len).unwrap())
        .map(|at| sample(at) as i16)
        .collect()
}

fn energy(samples: &[i16]) -> f64 {
    samples.iter().map(|it| f64::from(*it).powi(2)).sum::<f64>() / samples.len() as f64
}

fn encode(encoder: &mut Encoder, samples: &[i16]) -> Vec<u8> {
    let mut payload = vec![0; PAYLOAD_LEN_MAX];
    let len = encoder.encode(samples, &mut payload).unwrap();
    payload.truncate(len);
    payload
}

#[test]
fn each_carries_a_tone_in_packets_of_any_length() {
    for codec in codecs() {
        for ptime_ms in [10, 20, 30, 40, 60, 100] {
            let packet = codec.packet_samples(ptime_ms);
            let (mut encoder, mut decoder) =
                (Encoder::new(codec).unwrap(), Decoder::new(codec).unwrap());
            let mut decoded = Vec::new();
            let tone = tone(codec, codec.rate().samples(600) / packet * packet);
            for samples in tone.chunks(packet) {
                let payload = encode(&mut encoder, samples);
                assert_eq!(codec.samples_in(&payload), Ok(packet), "{codec:?}");
                if let Some(len) = codec.payload_len(packet) {
                    assert_eq!(payload.len(), len, "{codec:?}");
                }
                let mut out = [0; SAMPLES_MAX];
                let len = decoder.decode(&payload, &mut out).unwrap();
                decoded.extend_from_slice(&out[..len]);
            }
            assert_eq!(decoded.len(), tone.len(), "{codec:?}, {ptime_ms} ms");
            let settled = codec.rate().samples(200);
            let change = energy(&decoded[settled..]) / energy(&tone[settled..]);
            assert!(
                (0.7..1.4).contains(&change),
                "{codec:?}, {ptime_ms} ms: {change}"
            );
        }
    }
}

#[test]
fn packet_lengths_are_those_of_the_codec() {
    let lens = |codec: Codec| [5, 20, 30, 50, 1_000].map(|it| codec.packet_samples(it));
    assert_eq!(lens(Codec::Pcma), [40, 160, 240, 400, 1_600]);
    assert_eq!(lens(Codec::G722), [80, 320, 480, 800, 3_200]);
    assert_eq!(lens(Codec::Gsm), [160, 160, 160, 320, 1_600]);
    assert_eq!(
        lens(Codec::Ilbc(ilbc::Mode::Ms30)),
        [240, 240, 240, 240, 1_440]
    );
    assert_eq!(
        lens(Codec::Opus(codec::Rate::Narrow)),
        [80, 160, 160, 320, 480]
    );
}

#[test]
fn time_is_counted_in_the_clock_of_rtp() {
    let ticks = |codec: Codec| codec.ticks(codec.rate().samples(20));
    for codec in codecs() {
        let expected = match codec {
            Codec::Opus(_) => 960,
            Codec::L16(codec::Rate::Wide) => 320,
            _ => 160,
        };
        assert_eq!(ticks(codec), expected, "{codec:?}");
        let (descriptor, hz) = (codec.descriptor(), u32::from(codec.rate().hz()));
        assert_eq!(descriptor.rtp_clock_hz, codec.rtp_clock_hz());
        assert!(descriptor.sample_rate_hz >= hz, "{codec:?}");
    }
}

#[test]
fn what_is_lost_is_made_up_for_to_the_last_sample() {
    for codec in codecs() {
        let (mut encoder, mut decoder) =
            (Encoder::new(codec).unwrap(), Decoder::new(codec).unwrap());
        let packet = codec.packet_samples(20);
        for samples in tone(codec, 20 * packet).chunks(packet) {
            let payload = encode(&mut encoder, samples);
            decoder.decode(&payload, &mut [0; SAMPLES_MAX]).unwrap();
        }
        let mut samples = vec![0; packet];
        decoder.conceal(None, &mut samples);
        let share = energy(&samples) / energy(&tone(codec, packet));
        assert!(share > 0.2, "{codec:?} splices silence in: {share}");
        for len in [packet, 3 * packet, packet + 7, 1, 0] {
            let mut samples = vec![i16::MAX; len];
            decoder.conceal(None, &mut samples);
            assert!(samples.iter().all(|it| *it != i16::MAX), "{codec:?}: {len}");
        }
        let mut long = vec![0; codec.rate().samples(1_000)];
        decoder.conceal(None, &mut long);
        let rest = &long[codec.rate().samples(800)..];
        assert!(
            energy(rest) < 100.0 * 100.0,
            "{codec:?} does not fall silent"
        );
    }
}

#[test]
fn what_is_no_payload_is_refused_without_harm() {
    let mut samples = [0; SAMPLES_MAX];
    for codec in codecs() {
        let mut decoder = Decoder::new(codec).unwrap();
        assert!(decoder.decode(&[], &mut samples).is_err(), "{codec:?}");
        assert!(
            decoder.decode(&[0; 40_000], &mut samples).is_err(),
            "{codec:?}"
        );
        let payload = encode(
            &mut Encoder::new(codec).unwrap(),
            &tone(codec, codec.packet_samples(20)),
        );
        assert!(
            decoder.decode(&payload, &mut samples[..1]).is_err(),
            "{codec:?}"
        );
        assert!(decoder.decode(&payload, &mut samples).is_ok(), "{codec:?}");
    }
}

#[test]
fn samples_that_are_no_frame_are_not_encoded() {
    for codec in codecs() {
        let mut encoder = Encoder::new(codec).unwrap();
        assert_eq!(encoder.encode(&[], &mut [0; 400]), Err(Error::Samples(0)));
        let packet = codec.packet_samples(20);
        if codec.frame_samples() > 1 {
            assert!(
                encoder.encode(&vec![0; packet + 1], &mut [0; 400]).is_err(),
                "{codec:?}"
            );
        }
        assert!(
            encoder.encode(&vec![0; packet], &mut []).is_err(),
            "{codec:?}"
        );
    }
}

#[test]
fn an_ilbc_sender_that_does_not_heed_the_mode_is_understood() {
    let [short, long] = ilbc::Mode::ALL.map(Codec::Ilbc);
    let payload = encode(&mut Encoder::new(short).unwrap(), &[0; 160]);
    let mut decoder = Decoder::new(long).unwrap();
    assert_eq!(decoder.decode(&payload, &mut [0; SAMPLES_MAX]), Ok(160));
}

#[test]
fn a_decoder_that_was_set_back_is_as_a_new_one() {
    for codec in codecs() {
        let tone = tone(codec, 20 * codec.packet_samples(20));
        let mut encoder = Encoder::new(codec).unwrap();
        let packets = tone.chunks(codec.packet_samples(20));
        let packets: Vec<_> = packets.map(|it| encode(&mut encoder, it)).collect();
        let [mut used, mut new] = [0, 1].map(|_| Decoder::new(codec).unwrap());
        let (mut samples, mut expected) = ([0; SAMPLES_MAX], [0; SAMPLES_MAX]);
        for packet in &packets {
            used.decode(packet, &mut samples).unwrap();
        }
        used.conceal(None, &mut samples[..codec.packet_samples(20)]);
        used.reset().unwrap();
        for packet in &packets[5..] {
            let len = used.decode(packet, &mut samples).unwrap();
            assert_eq!(new.decode(packet, &mut expected), Ok(len));
            assert_eq!(samples[..len], expected[..len], "{codec:?}");
        }
    }
}

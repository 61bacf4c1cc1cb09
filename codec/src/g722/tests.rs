use super::*;
use crate::signal;

/// What both filters hold back, in samples.
const DELAY: usize = 22;

fn there_and_back(samples: &[i16], mode: Mode) -> Vec<i16> {
    let mut payload = vec![0; samples.len() / 2];
    Encoder::new().encode(samples, &mut payload);
    let mut decoded = vec![0; samples.len()];
    Decoder::with_mode(mode).decode(&payload, &mut decoded);
    decoded
}

#[test]
fn speech_comes_back_the_better_the_more_bits_are_regarded() {
    let speech = signal::speech(16_000, 32_000);
    let [one, two, three] = [Mode::One, Mode::Two, Mode::Three]
        .map(|mode| signal::snr_db(&speech, &there_and_back(&speech, mode), DELAY));
    assert!(one > 25.0, "{one} dB");
    assert!(
        one > two && two > three && three > 15.0,
        "{one} {two} {three} dB"
    );
}

#[test]
fn both_bands_pass() {
    for hz in [300.0, 1_000.0, 3_400.0, 5_000.0, 6_500.0] {
        let tone: Vec<_> = signal::tone(16_000, hz, 8_000.0).take(3_200).collect();
        let decoded = there_and_back(&tone, Mode::One);
        let change = signal::level_db(&decoded[400..]) - signal::level_db(&tone[400..]);
        assert!(change.abs() < 1.0, "{hz} Hz: {change} dB");
    }
}

#[test]
fn silence_stays_silent() {
    let decoded = there_and_back(&[0; 3_200], Mode::One);
    let loudest = decoded.iter().map(|it| it.unsigned_abs()).max();
    assert!(loudest < Some(8), "{loudest:?}");
}

#[test]
fn the_loudest_noise_does_not_wrap() {
    let noise: Vec<_> = signal::noise(1, 32_768.0).take(16_000).collect();
    let snr = signal::snr_db(&noise, &there_and_back(&noise, Mode::One), DELAY);
    assert!(
        snr > 5.0,
        "{snr} dB: a sample that wraps is wrong by twice its size"
    );
}

#[test]
fn it_does_not_matter_how_a_stream_is_cut() {
    let samples: Vec<_> = signal::noise(2, 20_000.0).take(2_400).collect();
    let mut whole = [0; 1_200];
    Encoder::new().encode(&samples, &mut whole);
    let mut decoded_whole = [0; 2_400];
    Decoder::new().decode(&whole, &mut decoded_whole);
    for cut in [1, 3, 80, 159, 160, 161, 240] {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        let (mut octets, mut decoded) = (Vec::new(), Vec::new());
        for samples in samples.chunks(2 * cut) {
            let (mut payload, mut out) = ([0; 240], [0; 480]);
            let len = encoder.encode(samples, &mut payload);
            octets.extend_from_slice(&payload[..len]);
            let len = decoder.decode(&payload[..len], &mut out);
            decoded.extend_from_slice(&out[..len]);
        }
        assert_eq!(octets, whole, "in pieces of {cut}");
        assert_eq!(decoded, decoded_whole, "in pieces of {cut}");
    }
}

#[test]
fn buffers_of_different_length_are_filled_as_far_as_both_reach() {
    let mut payload = [0; 4];
    assert_eq!(Encoder::new().encode(&[1; 7], &mut payload), 3);
    assert_eq!(Encoder::new().encode(&[1; 100], &mut payload), 4);
    let mut samples = [0; 7];
    assert_eq!(Decoder::new().decode(&payload, &mut samples), 6);
    assert_eq!(Decoder::new().decode(&payload[..1], &mut samples), 2);
}

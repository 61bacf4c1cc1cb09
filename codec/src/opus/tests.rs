use super::*;
use crate::signal;

/// What encoder and decoder hold back together, in milliseconds.
const DELAY_US: usize = 6_500;

fn packets(samples: &[i16], settings: Settings, frame_ms: usize) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(settings).unwrap();
    let frames = samples.chunks_exact(settings.rate.samples(frame_ms));
    frames
        .map(|frame| {
            let mut payload = [0; PAYLOAD_LEN_MAX];
            let len = encoder.encode(frame, &mut payload).unwrap();
            payload[..len].to_vec()
        })
        .collect()
}

/// How strongly two signals resemble each other at the best delay: 1 if they are the same.
fn likeness(original: &[i16], decoded: &[i16], rate: Rate) -> f64 {
    let around = usize::from(rate.hz()) * DELAY_US / 1_000_000;
    let at = |delay: usize| {
        let pairs = || original.iter().zip(&decoded[delay..]);
        let dot = |f: fn(f64, f64) -> f64| {
            pairs()
                .map(|(a, b)| f((*a).into(), (*b).into()))
                .sum::<f64>()
        };
        dot(|a, b| a * b) / (dot(|a, _| a * a) * dot(|_, b| b * b)).sqrt()
    };
    (0..2 * around).map(at).fold(0.0, f64::max)
}

#[test]
fn speech_comes_back_at_both_rates_and_all_frame_lengths() {
    for rate in [Rate::Narrow, Rate::Wide, Rate::Full] {
        let speech = signal::speech(u32::from(rate.hz()), rate.samples(2_400));
        let settings = Settings {
            complexity: 5,
            bitrate: Some(40_000),
            ..Settings::new(rate)
        };
        for frame_ms in [10, 20, 40, 60] {
            let mut decoder = Decoder::new(rate).unwrap();
            let mut decoded = Vec::new();
            for packet in packets(&speech, settings, frame_ms) {
                let mut samples = [0; 5_760];
                let len = decoder.decode(&packet, &mut samples).unwrap();
                assert_eq!(len, rate.samples(frame_ms));
                assert_eq!(duration(&packet, rate), Some(len));
                decoded.extend_from_slice(&samples[..len]);
            }
            assert_eq!(decoded.len(), speech.len());
            let likeness = likeness(&speech, &decoded, rate);
            assert!(likeness > 0.75, "{rate:?}, {frame_ms} ms: {likeness}");
        }
    }
}

#[test]
fn two_channels_and_what_is_not_speech_come_back_too() {
    let rate = Rate::Wide;
    let speech = signal::speech(16_000, rate.samples(2_400));
    for purpose in [Purpose::Speech, Purpose::Audio, Purpose::LowDelay] {
        let settings = Settings {
            bitrate: Some(40_000),
            purpose,
            is_stereo: true,
            ..Settings::new(rate)
        };
        let mut decoder = Decoder::new(rate).unwrap();
        let mut decoded = Vec::new();
        for packet in packets(&speech, settings, 60) {
            assert_eq!(packet[0] & 4, 4, "RFC 6716 §3.1: two channels");
            let mut samples = [0; 960];
            let len = decoder.decode(&packet, &mut samples).unwrap();
            decoded.extend_from_slice(&samples[..len]);
        }
        let likeness = likeness(&speech, &decoded, rate);
        assert!(likeness > 0.75, "{purpose:?}: {likeness}");
    }
}

#[test]
fn what_is_on_the_left_stays_there() {
    let rate = Rate::Stereo;
    let [left, right] = [440.0, 1_100.0].map(|hz| {
        let tone = signal::tone(48_000, hz, 8_000.0);
        tone.take(48_000).collect::<Vec<_>>()
    });
    let pairs = left.iter().zip(&right).flat_map(|(a, b)| [*a, *b]);
    let pairs: Vec<_> = pairs.collect();
    for frame_ms in [10, 20, 60] {
        let mut decoder = Decoder::new(rate).unwrap();
        let mut decoded = [vec![], vec![]];
        for packet in packets(&pairs, Settings::new(rate), frame_ms) {
            let mut samples = [0; Rate::Stereo.samples(PACKET_MS_MAX)];
            let len = decoder.decode(&packet, &mut samples).unwrap();
            assert_eq!(len, rate.samples(frame_ms));
            assert_eq!(duration(&packet, rate), Some(len));
            for [a, b] in samples[..len].as_chunks().0 {
                decoded[0].push(*a);
                decoded[1].push(*b);
            }
        }
        for (own, other, heard) in [(&left, &right, &decoded[0]), (&right, &left, &decoded[1])] {
            let own = likeness(own, heard, Rate::Full);
            let other = likeness(other, heard, Rate::Full);
            assert!(own > 0.95 && other < 0.2, "{frame_ms} ms: {own}, {other}");
        }
    }
}

#[test]
fn the_next_packet_says_what_the_lost_one_said() {
    let rate = Rate::Narrow;
    let speech = signal::speech(8_000, rate.samples(4_000));
    let settings = Settings {
        loss_percent: 10,
        ..Settings::new(rate)
    };
    let packets = packets(&speech, settings, 20);
    let decode = |is_next_used: bool| {
        let mut decoder = Decoder::new(rate).unwrap();
        let mut decoded = Vec::new();
        for (at, packet) in packets.iter().enumerate() {
            let mut samples = [0; 160];
            if at % 5 == 4 {
                let next = packets.get(at + 1).filter(|_| is_next_used);
                decoder
                    .conceal(next.map(Vec::as_slice), &mut samples)
                    .unwrap();
            } else {
                decoder.decode(packet, &mut samples).unwrap();
            }
            decoded.extend_from_slice(&samples);
        }
        likeness(&speech, &decoded, rate)
    };
    let (with, without) = (decode(true), decode(false));
    assert!(with > without + 0.01, "{with} with, {without} without");
}

#[test]
fn what_is_no_packet_is_refused() {
    let mut decoder = Decoder::new(Rate::Narrow).unwrap();
    let mut samples = [0; 960];
    assert_eq!(decoder.decode(&[], &mut samples), Err(Error::Packet));
    // Code 3 with more frames than 120 ms hold.
    assert_eq!(
        decoder.decode(&[0x03, 63], &mut samples),
        Err(Error::Packet)
    );
    assert_eq!(duration(&[0x03, 63], Rate::Narrow), None);
    assert_eq!(duration(&[], Rate::Narrow), None);
    // 20 ms do not fit into 10.
    let packet = packets(&[0; 160], Settings::new(Rate::Narrow), 20).remove(0);
    assert_eq!(
        decoder.decode(&packet, &mut samples[..80]),
        Err(Error::Length)
    );
}

#[test]
fn other_lengths_are_not_encoded() {
    let mut encoder = Encoder::new(Settings::new(Rate::Narrow)).unwrap();
    let mut payload = [0; 100];
    for len in [0, 1, 161, 240] {
        assert_eq!(
            encoder.encode(&vec![0; len], &mut payload),
            Err(Error::Length)
        );
    }
    assert_eq!(encoder.encode(&[0; 160], &mut []), Err(Error::Length));
}

#[test]
fn any_length_is_concealed_in_whole_quarters_of_10_ms() {
    let mut decoder = Decoder::new(Rate::Wide).unwrap();
    for (len, expected) in [(0, 0), (39, 0), (40, 40), (330, 320), (4_000, 1_920)] {
        assert_eq!(decoder.conceal(None, &mut vec![0; len]), Ok(expected));
    }
}

#[test]
fn settings_are_limited_to_what_there_is() {
    let settings = Settings {
        complexity: 99,
        bitrate: Some(1),
        loss_percent: 200,
        ..Settings::new(Rate::Narrow)
    };
    let encoder = Encoder::new(settings).unwrap();
    assert_eq!(encoder.settings().complexity, 10);
    assert_eq!(encoder.settings().loss_percent, 100);
}

#[test]
fn state_can_move_to_another_thread() {
    fn assert_send<T: Send>() {}
    assert_send::<(Encoder, Decoder)>();
}

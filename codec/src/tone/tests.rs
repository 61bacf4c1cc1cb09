use super::*;
use crate::{Rate, signal};

/// What is sung: frequencies, loudness of each tone in dBm0, and how long.
#[derive(Clone, Copy)]
struct Sung {
    hz: [f64; 2],
    db: [f64; 2],
    ms: usize,
}

impl Sung {
    fn key(event: u8) -> Self {
        let (row, column) = place(event).unwrap();
        Self {
            hz: [f64::from(ROWS[row]), f64::from(COLUMNS[column])],
            db: [-10.0, -8.0],
            ms: 50,
        }
    }

    /// With silence around it, `offset` samples of which come first.
    fn samples(self, rate: Rate, offset: usize) -> Vec<i16> {
        let rate_hz = u32::from(rate.hz());
        let len = self.ms * usize::from(rate.hz()) / 1_000;
        let amplitude = |db: f64| f64::from(AMPLITUDE_0_DBM0) * 10_f64.powf(db / 20.0);
        let lower = signal::tone(rate_hz, self.hz[0], amplitude(self.db[0]));
        let upper = signal::tone(rate_hz, self.hz[1], amplitude(self.db[1]));
        let sum = lower.zip(upper).map(|(a, b)| a.saturating_add(b)).take(len);
        let silence = std::iter::repeat_n(0, offset);
        silence.chain(sum).chain([0; 800]).collect()
    }
}

fn heard(samples: &[i16], rate: Rate) -> Vec<Edge> {
    let mut detector = Detector::new(rate);
    let mut edges = Vec::new();
    // As packets come.
    for frame in samples.chunks(160) {
        detector.listen(frame, |_, edge| edges.push(edge));
    }
    edges
}

fn keys(samples: &[i16]) -> Vec<u8> {
    let began = |edge| match edge {
        Edge::Began { event, .. } => Some(event),
        Edge::Ended { .. } => None,
    };
    heard(samples, Rate::Narrow)
        .into_iter()
        .filter_map(began)
        .collect()
}

/// How often it is heard as this key and nothing else, wherever it begins in a block.
fn hits(event: u8, sung: Sung) -> usize {
    let is_hit = |offset: &usize| keys(&sung.samples(Rate::Narrow, *offset)) == [event];
    (0..102).step_by(3).filter(is_hit).count()
}

const ALWAYS: usize = 34;

#[test]
fn every_key_is_sung_and_heard_at_every_rate() {
    for rate in [Rate::Narrow, Rate::Wide, Rate::Full, Rate::Stereo] {
        for event in 0..16 {
            let mut generator = Generator::new(rate);
            let mut samples = vec![0; rate.samples(200)];
            generator.begin(event, 12);
            generator.generate(&mut samples[..rate.samples(80)]);
            let edges = heard(&samples, rate);
            let [
                Edge::Began {
                    event: began,
                    volume,
                },
                Edge::Ended { .. },
            ] = edges[..]
            else {
                panic!("{rate:?}: {edges:?}");
            };
            assert_eq!(began, event, "{rate:?}");
            // Each of two channels is 3 dB fainter.
            let expected = 12 + 3 * (rate.channels() - 1);
            assert!(volume.abs_diff(expected) <= 1, "{rate:?}: {volume}");
        }
    }
}

#[test]
fn every_key_is_heard_once_wherever_it_begins() {
    for event in 0..16 {
        assert_eq!(hits(event, Sung::key(event)), ALWAYS, "{event}");
    }
}

#[test]
fn what_the_generator_sings_is_heard_at_both_rates() {
    for rate in [Rate::Narrow, Rate::Wide] {
        for event in 0..16 {
            let mut generator = Generator::new(rate);
            assert!(generator.begin(event, 10));
            let mut samples = vec![0; usize::from(rate.hz()) / 20];
            generator.generate(&mut samples);
            generator.end();
            let mut silence = vec![0; usize::from(rate.hz()) / 10];
            generator.generate(&mut silence);
            assert!(!generator.is_active());
            samples.extend(silence);
            let edges = heard(&samples, rate);
            let [
                Edge::Began {
                    event: began,
                    volume,
                },
                Edge::Ended { event: ended },
            ] = edges[..]
            else {
                panic!("{event}: {edges:?}");
            };
            assert_eq!((began, ended), (event, event));
            assert!(volume.abs_diff(10) <= 1, "{volume} dB");
        }
    }
}

#[test]
fn a_key_is_told_with_the_block_that_made_it_sure() {
    let mut detector = Detector::new(Rate::Narrow);
    let mut edges = vec![];
    // After a block of silence 400 samples of the key, in frames that are no blocks.
    let samples = Sung::key(8).samples(Rate::Narrow, 102);
    for (at, frame) in samples.chunks(160).enumerate() {
        detector.listen(frame, |heard, edge| edges.push((160 * at + heard, edge)));
    }
    let (began, ended) = (edges[0].0, edges[1].0);
    assert_eq!((began, edges.len()), (3 * 102, 2), "{edges:?}");
    // Eight samples of its last block are silent, and two blocks after it.
    assert_eq!(ended, 7 * 102, "{edges:?}");
}

#[test]
fn a_sung_key_is_two_sines_from_zero_on_to_the_very_end() {
    let mut generator = Generator::new(Rate::Narrow);
    assert!(generator.begin(8, 16));
    let mut samples = [0; 480];
    for part in samples.chunks_mut(70) {
        generator.generate(part);
    }
    for (at, sample) in samples.iter().enumerate() {
        let time = at as f64 / 8_000.0;
        let sum = [852.0, 1_336.0].map(|hz| (std::f64::consts::TAU * hz * time).sin());
        let expected = 32_767.0 / 2.0 * 10_f64.powf(-0.8) * (sum[0] + sum[1]);
        let off = f64::from(*sample) - expected;
        assert!(off.abs() < 1.000_1, "{at}: {sample}, {expected}");
        assert!(off * expected <= 0.001, "{at}: rounded to zero");
    }
    generator.end();
    generator.generate(&mut samples);
    assert_eq!(samples, [0; 480]);
}

#[test]
fn the_loudest_key_is_not_clipped() {
    for event in 0..16 {
        let mut generator = Generator::new(Rate::Wide);
        assert!(generator.begin(event, 0));
        let mut samples = vec![0; 16_000];
        generator.generate(&mut samples);
        let clipped = samples.iter().filter(|it| it.unsigned_abs() > 32_766);
        assert!(clipped.count() <= 4, "{event}");
    }
}

#[test]
fn other_events_are_not_sung() {
    let mut generator = Generator::new(Rate::Narrow);
    assert!(!generator.begin(16, 10));
    let mut samples = [1; 80];
    generator.generate(&mut samples);
    assert_eq!(samples, [0; 80]);
}

#[test]
fn loud_and_faint_keys_are_heard() {
    for db in [-2.0, -5.0, -15.0, -24.0, -28.0] {
        let sung = Sung {
            db: [db; 2],
            ..Sung::key(5)
        };
        assert_eq!(hits(5, sung), ALWAYS, "{db} dBm0");
    }
    let too_faint = Sung {
        db: [-36.0; 2],
        ..Sung::key(5)
    };
    assert_eq!(hits(5, too_faint), 0);
}

#[test]
fn twist_is_borne_within_limits() {
    for (twist, expected) in [(5.0, ALWAYS), (-9.0, ALWAYS), (10.0, 0), (-14.0, 0)] {
        for event in [1, 5, 15] {
            let sung = Sung {
                db: [-12.0, -12.0 + twist],
                ..Sung::key(event)
            };
            assert_eq!(hits(event, sung), expected, "{event}: {twist} dB");
        }
    }
}

#[test]
fn a_key_is_as_long_as_the_standard_says() {
    for event in 0..16 {
        let of = |ms| {
            hits(
                event,
                Sung {
                    ms,
                    ..Sung::key(event)
                },
            )
        };
        assert_eq!(of(40), ALWAYS, "{event}");
        assert_eq!(of(20), 0, "{event}");
    }
}

#[test]
fn frequencies_may_be_off_by_little() {
    for event in 0..16 {
        let off = |lower: f64, upper: f64| {
            let mut sung = Sung::key(event);
            sung.hz[0] *= 1.0 + lower / 100.0;
            sung.hz[1] *= 1.0 + upper / 100.0;
            hits(event, sung)
        };
        for (lower, upper) in [(1.5, 1.5), (-1.5, -1.5), (1.5, -1.5), (-1.5, 1.5)] {
            assert_eq!(off(lower, upper), ALWAYS, "{event}: {lower} %, {upper} %");
        }
        for (lower, upper) in [(4.5, 4.5), (-4.5, -4.5)] {
            assert_eq!(off(lower, upper), 0, "{event}: {lower} %, {upper} %");
        }
    }
}

#[test]
fn a_pause_tells_a_key_from_the_same_again() {
    let key = Sung::key(8);
    let again = |pause_ms: usize| {
        let mut samples = key.samples(Rate::Narrow, 0);
        samples.truncate(400 + 8 * pause_ms);
        samples.extend(key.samples(Rate::Narrow, 0));
        keys(&samples)
    };
    assert_eq!(again(40), [8, 8]);
    assert_eq!(again(10), [8], "a click in a key does not make it two");
}

#[test]
fn keys_are_heard_through_noise() {
    let mut missed = 0;
    for event in 0..16 {
        let sung = Sung {
            ms: 50,
            ..Sung::key(event)
        }
        .samples(Rate::Narrow, 31);
        // 15 dB below both tones together.
        let rms = 10_f64.powf((signal::level_db(&sung[31..431]) - 15.0) / 20.0) * 32_768.0;
        for seed in 0..20 {
            let noise = signal::noise(seed, rms * 3_f64.sqrt());
            let noisy: Vec<_> = sung
                .iter()
                .zip(noise)
                .map(|(a, b)| a.saturating_add(b))
                .collect();
            missed += usize::from(keys(&noisy) != [event]);
        }
    }
    assert!(missed <= 3, "{missed} of 320");
}

#[test]
fn speech_and_noise_are_no_keys() {
    assert_eq!(keys(&signal::speech(8_000, 8_000 * 60)), []);
    let noise: Vec<_> = signal::noise(9, 20_000.0).take(8_000 * 60).collect();
    assert_eq!(keys(&noise), []);
}

#[test]
fn one_tone_alone_is_no_key() {
    for hz in ROWS
        .into_iter()
        .chain(COLUMNS)
        .chain([350.0, 440.0, 1_100.0, 2_100.0])
    {
        let tone: Vec<_> = signal::tone(8_000, f64::from(hz), 10_000.0)
            .take(8_000)
            .collect();
        assert_eq!(keys(&tone), [], "{hz} Hz");
    }
    // Dial tone is two, neither of a key.
    let dial = Sung {
        hz: [350.0, 440.0],
        db: [-13.0; 2],
        ms: 1_000,
    };
    assert_eq!(keys(&dial.samples(Rate::Narrow, 0)), []);
}

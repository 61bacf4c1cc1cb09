use super::*;
use crate::signal;

fn up(narrow: &[i16]) -> Vec<i16> {
    let mut wide = vec![0; 2 * narrow.len()];
    assert_eq!(Up::new().resample(narrow, &mut wide), wide.len());
    wide
}

fn down(wide: &[i16]) -> Vec<i16> {
    let mut narrow = vec![0; wide.len() / 2];
    assert_eq!(Down::new().resample(wide, &mut narrow), narrow.len());
    narrow
}

fn tone(rate_hz: u32, hz: f64) -> Vec<i16> {
    signal::tone(rate_hz, hz, 16_000.0).take(8_000).collect()
}

/// The level of a tone of this frequency alone.
fn level_at(samples: &[i16], rate_hz: u32, hz: f64) -> f64 {
    let step = std::f64::consts::TAU * hz / f64::from(rate_hz);
    let (mut re, mut im) = (0.0, 0.0);
    for (at, sample) in (0_u32..).zip(samples) {
        let (sin, cos) = (f64::from(at) * step).sin_cos();
        re += f64::from(*sample) * cos;
        im += f64::from(*sample) * sin;
    }
    20.0 * (re.hypot(im) / samples.len() as f64).max(1e-3).log10()
}

const PASSES: [f64; 8] = [
    50.0, 300.0, 1_000.0, 2_000.0, 2_700.0, 3_100.0, 3_300.0, 3_400.0,
];

#[test]
fn what_phones_carry_passes_unchanged() {
    for hz in PASSES {
        for (before, after) in [
            (tone(8_000, hz), up(&tone(8_000, hz))),
            (tone(16_000, hz), down(&tone(16_000, hz))),
        ] {
            let (before, after) = (&before[400..], &after[400..]);
            let change = signal::level_db(after) - signal::level_db(before);
            assert!(change.abs() < 0.02, "{hz} Hz: {change} dB");
        }
    }
}

#[test]
fn what_cannot_be_carried_does_not_come_back_as_something_else() {
    for hz in [4_600.0, 5_000.0, 5_800.0, 6_500.0, 7_500.0] {
        let left = signal::level_db(&down(&tone(16_000, hz))[400..]);
        let before = signal::level_db(&tone(16_000, hz));
        assert!(left < before - 65.0, "{hz} Hz: {left} of {before} dB");
    }
}

#[test]
fn no_image_appears_above_4_khz() {
    for hz in PASSES {
        let wide = &up(&tone(8_000, hz))[800..];
        let wide = &wide[..wide.len() / 320 * 320];
        let image = level_at(wide, 16_000, 8_000.0 - hz);
        let itself = level_at(wide, 16_000, hz);
        assert!(image < itself - 65.0, "{hz} Hz: {image} of {itself} dB");
    }
}

#[test]
fn up_and_down_is_the_same_but_later() {
    let speech: Vec<_> = tone(8_000, 700.0);
    let again = down(&up(&speech));
    let snr = signal::snr_db(&speech, &again, 31);
    assert!(snr > 55.0, "{snr} dB");
}

#[test]
fn the_loudest_signals_do_not_wrap() {
    let square: Vec<_> = [i16::MAX; 20]
        .into_iter()
        .chain([i16::MIN; 20])
        .cycle()
        .take(4_000)
        .collect();
    for samples in [up(&square), down(&square)] {
        let jumps = samples
            .windows(2)
            .filter(|it| it[0].abs_diff(it[1]) > 60_000)
            .count();
        assert!(
            jumps <= 200,
            "{jumps}: an edge is spread, so only wrapping jumps as far"
        );
    }
    let extremes = [i16::MIN, i16::MAX];
    for seed in 0..100 {
        let noise: Vec<_> = signal::noise(seed, 9.0)
            .take(400)
            .map(|it| extremes[usize::from(it > 0)])
            .collect();
        let (_, _) = (up(&noise), down(&noise));
    }
}

#[test]
fn it_does_not_matter_how_a_stream_is_cut() {
    let samples: Vec<_> = signal::noise(5, 30_000.0).take(1_280).collect();
    let (whole_up, whole_down) = (up(&samples), down(&samples));
    for cut in [1, 7, 31, 80, 160, 161, 240] {
        let (mut upper, mut downer) = (Up::new(), Down::new());
        let (mut cut_up, mut cut_down) = (Vec::new(), Vec::new());
        for piece in samples.chunks(2 * cut) {
            let (mut wide, mut narrow) = ([0; 960], [0; 240]);
            let len = upper.resample(piece, &mut wide);
            cut_up.extend_from_slice(&wide[..len]);
            let len = downer.resample(piece, &mut narrow);
            cut_down.extend_from_slice(&narrow[..len]);
        }
        assert_eq!(
            (cut_up, cut_down),
            (whole_up.clone(), whole_down.clone()),
            "{cut}"
        );
    }
}

//! How much a recording is like what was said, when codecs and resamplers changed every sample.

#![expect(
    clippy::cast_possible_truncation,
    reason = "samples between others are no louder than these by much, and are clamped"
)]

use std::f64::consts::PI;

use super::alignment::{align_by, correlation, energy, level_db};
use super::{SAMPLE_RATE_HZ, Wav};

/// Samples that are judged together: 100 ms, some ten periods of a voice.
const SEGMENT_LEN: usize = 800;

/// Mean square of speech that counts. The hisses of synthetic speech are below it: no codec that
/// saves bits keeps the samples of noise.
const VOICED_MIN: f64 = 1_000.0 * 1_000.0;

/// The least that a piece of the recording is like some piece of the source, if it is of it.
const PIECE_MIN: f64 = 0.7;

/// Parts of a sample that the fine search tells apart: what is a whole sample for one rate lies
/// between two of another.
const STEPS: i16 = 4;

/// Samples around the place of the liveliest piece within which the rest lies: codecs of few bits
/// shift what they do not drop.
const AROUND: isize = 4;

/// Samples on either side that a sample in between is made of, at 8 kHz.
const REACH: u32 = 8;

/// How a recording compares with its source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likeness {
    /// The correlation of both, averaged over the segments of voiced speech: 1 if nothing but the
    /// level changed, 0 for silence, and next to 0 for what is not of the source, such as noise,
    /// or is of another moment of it.
    pub correlation: f64,
    /// Samples of the source missing at the start.
    pub missing_at_start: usize,
    /// Samples missing at the end.
    pub missing_at_end: usize,
    /// How much louder the recording is than the part of the source it shows.
    pub level_change_db: f64,
}

/// Compares a recording at any multiple of 8 kHz with its source at 8 kHz. `None` if the recording
/// is nothing of the source.
#[must_use]
pub fn likeness(source: &[i16], recording: &Wav) -> Option<Likeness> {
    let offset = align_by(PIECE_MIN, &narrow(recording, 0), source)?;
    let recordings = (0..STEPS).map(|step| narrow(recording, step));
    let likenesses = recordings.flat_map(|heard| {
        let offsets = offset - AROUND..=offset + AROUND;
        offsets.map(move |offset| at(offset, source, &heard))
    });
    likenesses.max_by(|left, right| left.correlation.total_cmp(&right.correlation))
}

/// Compares with what begins at `offset` in the source.
fn at(offset: isize, source: &[i16], heard: &[i16]) -> Likeness {
    let skipped = usize::try_from(-offset).unwrap_or(0).min(heard.len());
    let first = usize::try_from(offset).unwrap_or(0);
    let compared = (heard.len() - skipped).min(source.len() - first);
    let heard = &heard[skipped..skipped + compared];
    let sent = &source[first..first + compared];
    Likeness {
        correlation: mean_correlation(sent, heard),
        missing_at_start: first,
        missing_at_end: source.len() - first - compared,
        level_change_db: level_db(heard) - level_db(sent),
    }
}

fn mean_correlation(sent: &[i16], heard: &[i16]) -> f64 {
    let segments = sent
        .chunks_exact(SEGMENT_LEN)
        .zip(heard.chunks_exact(SEGMENT_LEN));
    let (mut sum, mut count) = (0.0, 0.0);
    for (sent, heard) in segments {
        if energy(sent) >= VOICED_MIN * f64::from(SEGMENT_LEN as u32) {
            let root = (energy(sent) * energy(heard)).sqrt();
            sum += correlation(sent, heard) / root.max(1.0);
            count += 1.0;
        }
    }
    sum / f64::max(count, 1.0)
}

/// The recording at 8 kHz, each sample so many steps later than where it was.
fn narrow(recording: &Wav, steps: i16) -> Vec<i16> {
    let factor = recording.sample_rate_hz / SAMPLE_RATE_HZ;
    assert_eq!(factor * SAMPLE_RATE_HZ, recording.sample_rate_hz);
    let kernel = kernel(factor, f64::from(steps) / f64::from(STEPS));
    let reach = (kernel.len() - 1) / 2;
    let mut padded = vec![0.0; reach];
    padded.extend(recording.samples.iter().map(|sample| f64::from(*sample)));
    padded.extend(vec![0.0; reach]);
    let windows = padded.windows(kernel.len()).step_by(factor as usize);
    windows
        .map(|window| {
            let products = window.iter().zip(&kernel).map(|(sample, at)| sample * at);
            let sum: f64 = products.sum();
            sum.round().clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
        })
        .collect()
}

/// A low pass for every `factor`th sample: the samples before, at and after one, for the moment
/// `later` after it, in samples at 8 kHz. A sinc under a raised cosine.
fn kernel(factor: u32, later: f64) -> Vec<f64> {
    let reach = i32::try_from(REACH * factor).expect("a kernel is short");
    let taps = (-reach..=reach).map(|at| {
        let time = f64::from(at) / f64::from(factor) - later;
        let window = (PI * time / f64::from(REACH + 1)).cos() + 1.0;
        let sinc = if time.abs() < 1e-9 {
            1.0
        } else {
            (PI * time).sin() / (PI * time)
        };
        sinc * window / 2.0
    });
    let taps: Vec<f64> = taps.collect();
    let sum: f64 = taps.iter().sum();
    taps.into_iter().map(|tap| tap / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{speech, ulaw_encode, ulaw_round_trip};

    fn at_8_khz(samples: Vec<i16>) -> Wav {
        Wav {
            sample_rate_hz: SAMPLE_RATE_HZ,
            samples,
        }
    }

    fn source() -> Vec<i16> {
        speech(7, 3_000)
    }

    #[test]
    fn the_same_is_alike_wherever_it_begins() {
        let mut late = vec![0; 777];
        late.extend(source());
        let whole = likeness(&source(), &at_8_khz(late)).unwrap();
        assert!(whole.correlation > 0.999, "{whole:?}");
        assert_eq!((whole.missing_at_start, whole.missing_at_end), (0, 0));
        let part = at_8_khz(source()[320..20_000].to_vec());
        let part = likeness(&source(), &part).unwrap();
        assert_eq!((part.missing_at_start, part.missing_at_end), (320, 4_000));
    }

    #[test]
    fn other_rates_and_times_between_samples_are_found() {
        for (factor, late) in [(2, 1), (6, 0), (6, 3), (6, 5)] {
            let mut samples = vec![0; late];
            // Linear in between: not a good resampler.
            for pair in source().windows(2) {
                let (left, right) = (i32::from(pair[0]), i32::from(pair[1]));
                let between = (0..factor).map(|at| left + (right - left) * at / factor);
                samples.extend(between.map(|sample| i16::try_from(sample).unwrap()));
            }
            let sample_rate_hz = SAMPLE_RATE_HZ * u32::try_from(factor).unwrap();
            let recording = Wav {
                sample_rate_hz,
                samples,
            };
            let found = likeness(&source(), &recording).unwrap();
            assert!(found.correlation > 0.98, "{factor} {late} {found:?}");
        }
    }

    #[test]
    fn a_wrong_codec_and_a_lost_packet_show() {
        let ulaw: Vec<i16> = source().into_iter().map(ulaw_round_trip).collect();
        let right = likeness(&source(), &at_8_khz(ulaw.clone())).unwrap();
        assert!(right.correlation > 0.99, "{right:?}");
        // A-law: the bits of every other place are inverted.
        let wrong = source()
            .into_iter()
            .map(|sample| crate::audio::ulaw_decode(ulaw_encode(sample) ^ 0xd5));
        let wrong = likeness(&source(), &at_8_khz(wrong.collect()));
        assert!(wrong.is_none_or(|it| it.correlation < 0.2), "{wrong:?}");
        let mut short = ulaw;
        short.drain(12_000..12_160);
        let short = likeness(&source(), &at_8_khz(short)).unwrap();
        assert!(short.correlation < 0.7, "{short:?}");
    }

    #[test]
    fn other_speech_and_another_moment_correlate_little() {
        let (said, other) = (source(), speech(8, 3_000));
        let pairs = [(&said[..], &other[..]), (&said[160..], &said[..])];
        for correlation in pairs.map(|(sent, heard)| mean_correlation(sent, heard)) {
            assert!(correlation.abs() < 0.2, "{correlation}");
        }
    }

    #[test]
    fn other_speech_and_silence_are_not_alike() {
        assert_eq!(likeness(&source(), &at_8_khz(speech(8, 3_000))), None);
        assert_eq!(likeness(&source(), &at_8_khz(vec![0; 24_000])), None);
    }
}

//! The start state: the samples of the residual that are quantised one by one (RFC 3951 §3.5, §4.2).

use super::ORDER;
use super::spectrum::Predictor;
use super::tables::{STATE_LEVELS, STATE_PEAK, STATE_PEAKS};
use super::vector::{add_filtered, all_pole};

/// Samples of a start state, at most.
pub(super) const STATE_MAX: usize = 58;

/// The start state from the index of its greatest sample and the indices of all samples (§4.2).
///
/// `output` is as long as `samples`, at most [`STATE_MAX`]. `predictor`: that of the sub-block
/// where the start state begins.
pub(super) fn decode(predictor: &Predictor, peak: u8, samples: &[u8], output: &mut [f32]) {
    let scale = 10_f32.powf(STATE_PEAKS[usize::from(peak % 64)]) / STATE_PEAK;
    let len = output.len().min(samples.len()).min(STATE_MAX);
    let output = &mut output[..len];
    for (output, index) in output.iter_mut().zip(samples) {
        *output = scale * STATE_LEVELS[usize::from(index % 8)];
    }
    output.reverse();
    disperse(predictor, output);
    output.reverse();
}

/// Convolves `samples`, at most [`STATE_MAX`], with an all-pass filter as if they were a circle
/// (§3.5.2).
pub(super) fn disperse(predictor: &Predictor, samples: &mut [f32]) {
    let len = samples.len();
    let mut input = [0.0; 2 * ORDER + 2 * STATE_MAX];
    let mut output = [0.0; ORDER + 2 * STATE_MAX];
    input[ORDER..ORDER + len].copy_from_slice(samples);
    // The numerator is the denominator backwards.
    let mut taps = [1.0; ORDER + 1];
    taps[1..].copy_from_slice(predictor);
    let end = ORDER + 2 * len;
    add_filtered(&taps, &input[..end], &mut output[ORDER..end]);
    all_pole(predictor, &mut output[..end]);
    for (at, sample) in samples.iter_mut().enumerate() {
        *sample = output[ORDER + at] + output[ORDER + len + at];
    }
}

/// Quantises a start state: the index of its greatest sample and those of all samples (§3.5.2,
/// §3.5.3).
///
/// `weights`: the weighting filter of each sample, as that of the first `boundary` samples and
/// that of the others.
pub(super) fn encode(
    predictor: &Predictor,
    weights: [&Predictor; 2],
    boundary: usize,
    residual: &[f32],
    samples: &mut [u8],
) -> u8 {
    let mut buffer = [0.0; ORDER + STATE_MAX];
    let end = ORDER + residual.len();
    buffer[ORDER..end].copy_from_slice(residual);
    disperse(predictor, &mut buffer[ORDER..end]);
    let peak = buffer
        .iter()
        .fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    let peak = nearest(&STATE_PEAKS, peak.max(10.0).log10());
    let scale = STATE_PEAK / 10_f32.powf(STATE_PEAKS[usize::from(peak)]);
    for sample in &mut buffer {
        *sample *= scale;
    }
    let boundary = ORDER + boundary;
    all_pole(weights[0], &mut buffer[..boundary]);
    all_pole(weights[1], &mut buffer[boundary - ORDER..end]);
    quantise(weights, boundary, &buffer[..end], samples);
    peak
}

/// Quantises weighted samples one by one, each less what the ones before predict.
fn quantise(weights: [&Predictor; 2], boundary: usize, weighted: &[f32], samples: &mut [u8]) {
    let mut past = [0.0; ORDER];
    let targets = weighted.iter().enumerate().skip(ORDER);
    for ((at, target), index) in targets.zip(samples) {
        let weights = if at < boundary {
            weights[0]
        } else {
            weights[1]
        };
        let mut predicted = 0.0;
        for (sample, weight) in past.iter().zip(weights.iter().rev()) {
            predicted -= sample * weight;
        }
        *index = nearest_level(target - predicted);
        past.copy_within(1.., 0);
        past[ORDER - 1] = predicted + STATE_LEVELS[usize::from(*index)];
    }
}

/// The index of the level nearest to `value`.
fn nearest_level(value: f32) -> u8 {
    let levels = STATE_LEVELS.windows(2);
    levels
        .map(|pair| u8::from(value > 0.5 * (pair[0] + pair[1])))
        .sum()
}

/// The index of the entry of a table that is nearest to `value`.
pub(super) fn nearest(table: &[f32], value: f32) -> u8 {
    let mut best = (0, f32::INFINITY);
    for (index, entry) in (0..).zip(table) {
        let distance = (value - entry).abs();
        if distance < best.1 {
            best = (index, distance);
        }
    }
    best.0
}
